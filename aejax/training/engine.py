"""The one engine: any Algorithm over any Source, as one compiled program that runs from one step to another.

Which rows step t sees, and all its noise, follow from the run's key and t alone. Loops have traced bounds, so every
part of a run, however long, executes the same compiled code: results are the same to the bit however a run is cut, and
cutting it compiles nothing. An epoch is so many steps, at whose end the variables are validated.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple, ParamSpec

import jax
import jax.numpy as jnp

from aejax.base import Algorithm, Array, Metrics, PyTree, TrainState, Variables
from aejax.kernels import hoisting
from aejax.training.meshes import with_layout
from aejax.training.plans import (
    Data,
    Keys,
    Plan,
    batch_at,
    first_rows,
    held_out_rows,
    num_evaluation_blocks,
    validation_rows,
)
from aejax.training.sharding import map_members, num_in_lockstep, over_origin

_P = ParamSpec("_P")

RUNNING, STOPPED_EARLY, DIVERGED = 0, 1, 2


class RunState(NamedTuple):
    """A run between two parts: arrays only, and all that is needed to continue.

    Attributes:
        state: the algorithm's TrainState; not finite where the run diverged (see ``last_good``).
        kept: that of the end of the last epoch: what remains where the run diverges.
        keys: the Keys.
        epoch: the epochs done.
        means: of the metrics over the present epoch's steps so far.
        block: the blocks of validation rows that are done at the end of the present epoch.
        val_means: of the metrics over these.
        status: RUNNING, STOPPED_EARLY or DIVERGED.
        failed_step: the first step whose loss or gradient was not finite, -1 if none was.
        best: the variables with the lowest validation loss.
        best_loss: that loss.
        best_epoch: the number of epochs done when it was measured.
        history: metrics by name, each (num_epochs,), 0 where not yet run.
    """

    state: TrainState
    kept: TrainState
    keys: Keys
    epoch: Array
    means: Metrics
    block: Array
    val_means: Metrics
    status: Array
    failed_step: Array
    best: Variables
    best_loss: Array
    best_epoch: Array
    history: Metrics


class Clock(NamedTuple):
    """Where a run stands and how far it goes: int32 scalars, the same for all members.

    Attributes:
        origin: the step at which its first epoch began.
        step: the steps done.
        epoch: the epochs done.
        block: as in ``RunState``.
        until_step: where to stop.
        num_blocks: the most blocks of validation rows to evaluate before stopping.
    """

    origin: Array
    step: Array
    epoch: Array
    block: Array
    until_step: Array
    num_blocks: Array


# How programs are compiled, by backend. On a CPU LLVM's first level of optimisation takes a half to a third of the time
# of the last one, and a training step is no slower.
COMPILER_OPTIONS: dict[str, dict[str, int | bool | str]] = {"cpu": {"xla_backend_optimization_level": 1}}


@functools.cache
def program(function: Callable[..., RunState], donated: tuple[str, ...]) -> Callable[..., RunState]:
    """The compiled function of (algorithm, plan, axes, ...).

    The backend is asked for at the first call: at import nobody has chosen it yet.
    """
    options = COMPILER_OPTIONS.get(jax.default_backend())
    names = ("algorithm", "plan", "axes")
    return jax.jit(function, static_argnames=names, donate_argnames=donated, compiler_options=options)


def _compiled(*donated: str) -> Callable[[Callable[_P, RunState]], Callable[_P, RunState]]:
    """Lets ``program`` run a function, giving up the buffers of the arguments named."""

    def decorate(function: Callable[_P, RunState]) -> Callable[_P, RunState]:
        @functools.wraps(function)
        def call(*arguments: _P.args, **options: _P.kwargs) -> RunState:
            return program(function, donated)(*arguments, **options)

        return call

    return decorate


# A function of (algorithm, plan, ...) whose trace serves each program that it becomes a part of.
_traced_once = functools.partial(jax.jit, static_argnames=("algorithm", "plan"), inline=True)


@_compiled()
def start(
    algorithm: Algorithm,
    plan: Plan,
    axes: tuple[str, ...],
    key: Array,
    data: Data,
    hparams: PyTree,
    variables: Variables | None = None,
) -> RunState:
    """A run before its first step.

    Args:
        algorithm: the Algorithm.
        plan: the Plan.
        axes: the leading axes of the run: ``()``, ``("key",)``, ``("hparams",)`` or ``("hparams", "key")``.
        key: the run's key, with a leading axis where ``axes`` names it.
        data: the Data.
        hparams: the algorithm's hyperparameters, likewise.
        variables: what to begin from, with a leading axis where keys have one; drawn by the key if None.

    Returns:
        The RunState, with the leading axes.
    """
    run = over_origin(axes, functools.partial(begin, algorithm, plan), (key, variables), data, hparams, plan.mesh)
    return with_layout(plan.mesh, run, len(axes))


@_compiled("run")
def advance(
    algorithm: Algorithm, plan: Plan, axes: tuple[str, ...], run: RunState, data: Data, hparams: PyTree, clock: Clock
) -> RunState:
    """Runs until so many steps are done and what follows from them, the patience is at its end, or the run diverges.

    Args:
        algorithm: the Algorithm.
        plan: the Plan.
        axes: the leading axes of the run.
        run: the RunState so far; its buffers are given up.
        data: the Data.
        hparams: the algorithm's hyperparameters.
        clock: the Clock.

    Returns:
        The RunState.
    """

    def advance_members(run: RunState, data: Data, hparams: PyTree) -> RunState:
        return run_until(algorithm, plan, run, data, hparams, clock, num_side_by_side)

    num_side_by_side = num_in_lockstep(axes, run.status.size, plan.mesh)
    run = map_members(axes, advance_members, run, data, hparams, plan.mesh)
    return with_layout(plan.mesh, run, len(axes))


def begin(
    algorithm: Algorithm, plan: Plan, origin: tuple[Array, Variables | None], data: Data, hparams: PyTree
) -> RunState:
    """``start`` for one run, to be traced."""
    key, variables = origin
    init_key, *keys = jax.random.split(key, 4)
    run_keys = Keys(*keys)
    first = first_rows(plan, run_keys, data)
    state = algorithm.init(init_key, first, hparams, variables)
    zero = jnp.zeros((), jnp.int32)

    def metrics_of(state: TrainState) -> tuple[Metrics, Metrics]:
        state, metrics = _step(algorithm, plan, state, run_keys, data, hparams)
        measured = _evaluate(algorithm, plan, run_keys, algorithm.variables(state), data, hparams, zero)
        return metrics, measured

    names = [_with_loss(metrics) for metrics in jax.eval_shape(metrics_of, state)]
    means, val_means = ({name: jnp.zeros((), jnp.float32) for name in part} for part in names)
    history = [*means, *(f"val_{name}" for name in val_means)]
    return RunState(
        state=state,
        kept=state,
        keys=run_keys,
        epoch=zero,
        means=means,
        block=zero,
        val_means=val_means,
        status=jnp.full((), RUNNING, jnp.int32),
        failed_step=jnp.full((), -1, jnp.int32),
        best=algorithm.variables(state),
        best_loss=jnp.full((), jnp.inf, jnp.float32),
        best_epoch=zero,
        history={name: jnp.zeros((plan.num_epochs,), jnp.float32) for name in history},
    )


def run_until(
    algorithm: Algorithm,
    plan: Plan,
    run: RunState,
    data: Data,
    hparams: PyTree,
    clock: Clock,
    num_side_by_side: int = 0,
) -> RunState:
    """``advance`` for one run, to be traced.

    Args:
        algorithm: the Algorithm.
        plan: the Plan.
        run: the RunState so far.
        data: the Data.
        hparams: the algorithm's hyperparameters.
        clock: the Clock.
        num_side_by_side: how many members ``vmap`` maps, 0 where it does not. One that has ended is then computed along
            with the others and its results are dropped, so that no loop depends on a member.

    Returns:
        The RunState.
    """
    num_blocks = num_evaluation_blocks(plan, data)
    lockstep = num_side_by_side > 0

    def epoch_end(clock: Clock) -> Array:
        return clock.origin + (clock.epoch + 1) * plan.steps_per_epoch

    def goes_on(carry: tuple[Clock, RunState]) -> Array:
        clock, run = carry
        has_work = jnp.where(clock.step == epoch_end(clock), clock.num_blocks > 0, clock.step < clock.until_step)
        return has_work if lockstep else has_work & (run.status == RUNNING)

    def part(carry: tuple[Clock, RunState]) -> tuple[Clock, RunState]:
        clock, before = carry
        end = jnp.minimum(clock.until_step, epoch_end(clock))
        run = _train(algorithm, plan, before, data, hparams, clock, end, max(1, num_side_by_side))
        clock = clock._replace(step=jnp.maximum(clock.step, end))

        def validate(carry: tuple[Clock, RunState]) -> tuple[Clock, RunState]:
            clock, run = carry
            clock, run = _validate(algorithm, plan, run, data, hparams, clock, num_blocks)
            return jax.lax.cond(clock.block == num_blocks, close, lambda carry: carry, (clock, run))

        def close(carry: tuple[Clock, RunState]) -> tuple[Clock, RunState]:
            clock, run = carry
            run = _close_epoch(algorithm, plan, run, clock)
            return clock._replace(epoch=clock.epoch + 1, block=jnp.zeros_like(clock.block)), run

        clock, run = jax.lax.cond(
            clock.step == epoch_end(clock), validate if num_blocks else close, lambda carry: carry, (clock, run)
        )
        status = jnp.where(run.failed_step >= 0, DIVERGED, run.status).astype(jnp.int32)
        run = run._replace(status=status)
        return clock, _where(before.status == RUNNING, run, before) if lockstep else run

    return jax.lax.while_loop(goes_on, part, (clock, run))[1]


def _train(
    algorithm: Algorithm,
    plan: Plan,
    run: RunState,
    data: Data,
    hparams: PyTree,
    clock: Clock,
    end: Array,
    num_copies: int,
) -> RunState:
    """Steps up to ``end``, within one epoch."""
    first, names = clock.origin + clock.epoch * plan.steps_per_epoch, list(run.means)

    def step(carry: PyTree, number: Array) -> PyTree:
        variables, opt_state, means, failed_step = carry
        state = TrainState(number, variables, opt_state, run.state.key)
        state, metrics = _step(algorithm, plan, state, run.keys, data, hparams)
        # As one vector: each operation on a number of its own takes some microseconds.
        values = jnp.stack([metrics[name].astype(jnp.float32) for name in names])
        failed_step = jnp.where((failed_step < 0) & ~jnp.all(jnp.isfinite(values)), number, failed_step)
        means = _mean_with(means, values, number - first)
        return _typed_as((state.variables, state.opt_state, means, failed_step), carry)

    means = jnp.stack([run.means[name] for name in names])
    carry = (run.state.variables, run.state.opt_state, means, run.failed_step)
    period = plan.steps_per_epoch
    variables, opt_state, means, failed_step = hoisting.loop(step, carry, clock.step, end, first, period, num_copies)
    state = TrainState(jnp.maximum(run.state.step, end), variables, opt_state, run.state.key)
    return run._replace(state=state, means=dict(zip(names, means, strict=True)), failed_step=failed_step)


def _validate(
    algorithm: Algorithm, plan: Plan, run: RunState, data: Data, hparams: PyTree, clock: Clock, num_blocks: int
) -> tuple[Clock, RunState]:
    """Evaluates blocks of validation rows at the end of an epoch: all that are left, or as many as the clock has."""
    variables = algorithm.variables(run.state)
    end = jnp.minimum(num_blocks, clock.block + clock.num_blocks)

    def evaluate(carry: tuple[Array, Metrics]) -> tuple[Array, Metrics]:
        block, means = carry
        metrics = _evaluate(algorithm, plan, run.keys, variables, data, hparams, block)
        return block + 1, {
            name: _mean_with(mean, metrics[name].astype(jnp.float32), block) for name, mean in means.items()
        }

    carry = (clock.block, run.val_means)
    # A loop of one round would be compiled all the same, and keep XLA from fusing what is in it.
    block, means = (
        evaluate(carry) if num_blocks == 1 else jax.lax.while_loop(lambda carry: carry[0] < end, evaluate, carry)
    )
    left = clock.num_blocks if num_blocks == 1 else clock.num_blocks - (block - clock.block)
    return clock._replace(block=block, num_blocks=left), run._replace(block=block, val_means=means)


def _close_epoch(algorithm: Algorithm, plan: Plan, run: RunState, clock: Clock) -> RunState:
    """What follows from an epoch and its validation for the run."""
    metrics = {**run.means, **{f"val_{name}": value for name, value in run.val_means.items()}}
    failed_step = run.failed_step
    if plan.num_validation:
        loss = run.val_means["loss"]
        failed_step = jnp.where((failed_step < 0) & ~jnp.isfinite(loss), clock.step - 1, failed_step)
    else:
        loss = run.means["loss"]
    diverged = failed_step >= 0
    # Without validation rows there is nothing to choose by: the last epoch counts as the best.
    improved = ~diverged & ((loss < run.best_loss) if plan.num_validation else True)
    epoch = clock.epoch + 1
    best_epoch = jnp.where(improved, epoch, run.best_epoch)
    out_of_patience = False if plan.patience is None else epoch - best_epoch >= plan.patience
    return run._replace(
        kept=_where(diverged, run.kept, run.state),
        epoch=jnp.where(diverged, run.epoch, epoch),
        means=jax.tree.map(jnp.zeros_like, run.means),
        block=jnp.zeros_like(run.block),
        val_means=jax.tree.map(jnp.zeros_like, run.val_means),
        status=jnp.where(out_of_patience, STOPPED_EARLY, run.status).astype(jnp.int32),
        failed_step=failed_step,
        best=_where(improved, algorithm.variables(run.state), run.best),
        best_loss=jnp.where(improved, loss, run.best_loss),
        best_epoch=best_epoch,
        history={name: run.history[name].at[clock.epoch].set(value) for name, value in metrics.items()},
    )


@jax.jit
def last_good(run: RunState) -> TrainState:
    """The state at the end, or at the end of the last good epoch where the run diverged.

    The choice is not made in each part, where it would read and write the whole state.

    Args:
        run: the RunState, with its leading axes.

    Returns:
        The TrainState.
    """

    def choose(status: Array, kept: TrainState, state: TrainState) -> TrainState:
        return _where(status == DIVERGED, kept, state)

    for _ in range(run.status.ndim):
        choose = jax.vmap(choose)
    return choose(run.status, run.kept, run.state)


@_traced_once
def _step(
    algorithm: Algorithm, plan: Plan, state: TrainState, keys: Keys, data: Data, hparams: PyTree
) -> tuple[TrainState, Metrics]:
    return algorithm.step(state, batch_at(plan, keys, data, state.step), hparams)


@_traced_once
def _evaluate(
    algorithm: Algorithm, plan: Plan, keys: Keys, variables: Variables, data: Data, hparams: PyTree, block: Array
) -> Metrics:
    """The metrics of one block of validation rows."""
    if not plan.num_validation:
        return {}
    num_blocks = num_evaluation_blocks(plan, data)
    # Blocks of equal size: the last one is filled up with the first rows, less than one part in the blocks' number.
    size = math.ceil(plan.num_validation / num_blocks)
    index = (block * size + jnp.arange(size, dtype=jnp.int32)) % plan.num_validation
    batch = held_out_rows(plan, data, validation_rows(plan, keys, index))
    key = keys.evaluate if num_blocks == 1 else jax.random.fold_in(keys.evaluate, block)
    return algorithm.evaluate(key, variables, batch, hparams)


def _mean_with(means: Array, values: Array, count: Array) -> Array:
    """Running means with one value more: in the order of steps, so that cutting does not change them."""
    return means + (values - means) / (count + 1).astype(jnp.float32)


def _typed_as(tree: PyTree, like: PyTree) -> PyTree:
    """A step keeps the types of the state, whatever it was computed in (float64 under ``jax_enable_x64``)."""
    return jax.tree.map(
        lambda leaf, before: leaf if leaf.dtype == before.dtype else jnp.asarray(leaf, before.dtype), tree, like
    )


def _with_loss(metrics: Metrics) -> Metrics:
    if metrics and "loss" not in metrics:
        raise ValueError(
            f'metrics: found {", ".join(metrics)}, expected "loss" among them: the best epoch is chosen by it'
        )
    return metrics


def _where(condition: Array, chosen: PyTree, other: PyTree) -> PyTree:
    def select(chosen: Array, other: Array) -> Array:
        return chosen if chosen is other else jnp.where(condition, chosen, other)

    return jax.tree.map(select, chosen, other)
