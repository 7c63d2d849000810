"""The one engine: any Algorithm, as one compiled program that runs a given number of epochs at a call.

The loop over epochs is a ``while_loop`` whose bound is traced, so every chunk of a run, however long, executes the
same compiled code. That is what makes the results bit-identical however the run is cut, and why cutting it costs no
compilation: a ``scan`` of one epoch and a ``scan`` of ten are two programs, which XLA may round differently.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, ParamSpec

import jax
import jax.numpy as jnp

from aejax import hoisting
from aejax.base import Algorithm, Array, Batch, Metrics, TrainState, Variables
from aejax.training.sharding import over, over_origin
from aejax.training.shuffling import shuffle

_P = ParamSpec("_P")

RUNNING, STOPPED_EARLY, DIVERGED = 0, 1, 2

# Validation rows that are evaluated at once; more of them are evaluated block by block.
_EVALUATION_BLOCK = 4096


class Plan(NamedTuple):
    """What is static in a run: shapes depend on it, so another plan is another program.

    Attributes:
        num_epochs: the most epochs that the run may take.
        batch_size: rows a step.
        num_validation: the rows held out; 0 for none.
        split: ``"random"`` holds out rows drawn by the run's key, ``"last"`` the last ones.
        patience: epochs without a better validation loss after which the run stops; None for never.
    """

    num_epochs: int
    batch_size: int
    num_validation: int
    split: Literal["random", "last"]
    patience: int | None


class Run(NamedTuple):
    """A run between two chunks: arrays only, and all that is needed to go on.

    Attributes:
        state: the algorithm's TrainState.
        shuffle_key: epoch ``e`` is shuffled by ``fold_in(shuffle_key, e)``.
        evaluate_key: the one key of all validations, so that their noise does not choose the best epoch.
        train_rows: (num_train,) int32.
        validation_rows: (num_validation,) int32.
        epoch: the epochs done.
        status: RUNNING, STOPPED_EARLY or DIVERGED.
        failed_step: the first step whose loss or gradient was not finite, -1 if none was.
        best: the variables with the lowest validation loss.
        best_loss: that loss.
        best_epoch: the number of epochs done when it was measured.
        history: metrics by name, each (num_epochs,), NaN where not yet run.
    """

    state: TrainState
    shuffle_key: Array
    evaluate_key: Array
    train_rows: Array
    validation_rows: Array
    epoch: Array
    status: Array
    failed_step: Array
    best: Variables
    best_loss: Array
    best_epoch: Array
    history: Metrics


@functools.cache
def program(function: Callable[..., Run], donated: tuple[str, ...]) -> Any:
    """The compiled function of (algorithm, plan, axes, ...).

    On a CPU LLVM's first level of optimisation takes a half to a third of the time of the last one, and a training step
    is no slower. The backend is asked for at the first call: at import nobody has chosen it yet.
    """
    options = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else None
    names = ("algorithm", "plan", "axes")
    return jax.jit(function, static_argnames=names, donate_argnames=donated, compiler_options=options)


def _compiled(*donated: str) -> Callable[[Callable[_P, Run]], Callable[_P, Run]]:
    """Lets ``program`` run a function, giving up the buffers of the arguments named."""

    def decorate(function: Callable[_P, Run]) -> Callable[_P, Run]:
        @functools.wraps(function)
        def call(*arguments: _P.args, **options: _P.kwargs) -> Run:
            return program(function, donated)(*arguments, **options)

        return call

    return decorate


@_compiled()
def start(
    algorithm: Algorithm,
    plan: Plan,
    axes: tuple[str, ...],
    key: Array,
    data: Batch,
    hparams: Any,
    variables: Variables | None = None,
) -> Run:
    """A run before its first epoch.

    Args:
        algorithm: the Algorithm.
        plan: the Plan.
        axes: the leading axes of the run: ``()``, ``("key",)``, ``("hparams",)`` or ``("hparams", "key")``.
        key: the run's key, with a leading axis where ``axes`` names it.
        data: all rows, those for validation included.
        hparams: the algorithm's hyperparameters, likewise.
        variables: what to begin from, with a leading axis where keys have one; drawn by the key if None.

    Returns:
        The Run, with the leading axes.
    """
    return over_origin(axes, functools.partial(_start, algorithm, plan), (key, variables), data, hparams)


@_compiled("run")
def advance(
    algorithm: Algorithm,
    plan: Plan,
    axes: tuple[str, ...],
    run: Run,
    data: Batch,
    hparams: Any,
    until_epoch: int,
) -> Run:
    """Runs epochs until ``until_epoch`` are done, the patience is at its end, or the run diverges.

    Args:
        algorithm: the Algorithm.
        plan: the Plan.
        axes: the leading axes of the run.
        run: the Run so far; its buffers are given up.
        data: all rows.
        hparams: the algorithm's hyperparameters.
        until_epoch: traced, at most ``plan.num_epochs``.

    Returns:
        The Run.
    """

    def loop(run: Run, data: Batch, hparams: Any) -> Run:
        return jax.lax.while_loop(
            lambda run: (run.epoch < until_epoch) & (run.status == RUNNING),
            lambda run: _epoch(algorithm, plan, run, data, hparams),
            run,
        )

    return over(axes, loop, run, data, hparams)


def _start(algorithm: Algorithm, plan: Plan, origin: tuple[Array, Variables | None], data: Batch, hparams: Any) -> Run:
    key, variables = origin
    init_key, split_key, shuffle_key, evaluate_key = jax.random.split(key, 4)
    rows = jnp.arange(data.x.shape[0], dtype=jnp.int32)
    if plan.split == "random":
        rows = shuffle(split_key, rows)
    num_train = data.x.shape[0] - plan.num_validation
    state = algorithm.init(init_key, _take(data, rows[:1]), hparams, variables)
    run = Run(
        state=state,
        shuffle_key=shuffle_key,
        evaluate_key=evaluate_key,
        train_rows=rows[:num_train],
        validation_rows=rows[num_train:],
        epoch=jnp.zeros((), jnp.int32),
        status=jnp.full((), RUNNING, jnp.int32),
        failed_step=jnp.full((), -1, jnp.int32),
        best=algorithm.variables(state),
        best_loss=jnp.full((), jnp.inf, jnp.float32),
        best_epoch=jnp.zeros((), jnp.int32),
        history={},
    )
    metrics = jax.eval_shape(lambda run: _train_and_validate(algorithm, plan, run, data, hparams)[1], run)
    return run._replace(history={name: jnp.full((plan.num_epochs,), jnp.nan, jnp.float32) for name in metrics})


def _epoch(algorithm: Algorithm, plan: Plan, run: Run, data: Batch, hparams: Any) -> Run:
    """One epoch, its validation, and what follows from them for the run."""
    state, metrics, failed_step = _train_and_validate(algorithm, plan, run, data, hparams)
    diverged = failed_step >= 0
    loss = metrics["val_loss"] if plan.num_validation else metrics["loss"]
    # Without validation rows there is nothing to choose by: the last epoch counts as the best.
    improved = ~diverged & ((loss < run.best_loss) if plan.num_validation else True)
    epoch = run.epoch + 1
    best_epoch = jnp.where(improved, epoch, run.best_epoch)
    out_of_patience = False if plan.patience is None else epoch - best_epoch >= plan.patience
    return run._replace(
        # The variables before an epoch that diverged are the last good ones.
        state=_where(diverged, run.state, state),
        epoch=epoch,
        status=jnp.where(diverged, DIVERGED, jnp.where(out_of_patience, STOPPED_EARLY, RUNNING)).astype(jnp.int32),
        failed_step=failed_step,
        best=_where(improved, algorithm.variables(state), run.best),
        best_loss=jnp.where(improved, loss, run.best_loss),
        best_epoch=best_epoch,
        history={name: run.history[name].at[run.epoch].set(value) for name, value in metrics.items()},
    )


def _train_and_validate(
    algorithm: Algorithm, plan: Plan, run: Run, data: Batch, hparams: Any
) -> tuple[TrainState, Metrics, Array]:
    num_train = run.train_rows.shape[0]
    num_steps = steps_per_epoch(num_train, plan.batch_size)
    shuffle_key = jax.random.fold_in(run.shuffle_key, run.state.step // num_steps)
    rows = shuffle(shuffle_key, run.train_rows)
    # The last batch is filled up with the epoch's first rows, so that every step has the same shape.
    batches = jnp.resize(rows, (num_steps, plan.batch_size))

    def step(moving: tuple[Variables, Any], inputs: tuple[Array, Array]) -> tuple[tuple[Variables, Any], Metrics]:
        number, rows = inputs
        state = TrainState(number, moving[0], moving[1], run.state.key)
        state, metrics = algorithm.step(state, _take(data, rows), hparams)
        return (state.variables, state.opt_state), metrics

    numbers = run.state.step + jnp.arange(num_steps, dtype=jnp.int32)
    moving = (run.state.variables, run.state.opt_state)
    (variables, opt_state), per_step = hoisting.scan(step, moving, (numbers, batches))
    state = TrainState(run.state.step + num_steps, variables, opt_state, run.state.key)
    finite = functools.reduce(jnp.logical_and, (jnp.isfinite(values) for values in per_step.values()))
    metrics = {name: jnp.mean(values) for name, values in per_step.items()}
    failed_step = jnp.where(jnp.all(finite), -1, run.state.step + jnp.argmin(finite)).astype(jnp.int32)
    if plan.num_validation:
        measured = _with_loss(_validate(algorithm, run, algorithm.variables(state), data, hparams))
        metrics.update({f"val_{name}": value for name, value in measured.items()})
        failed_step = jnp.where((failed_step < 0) & ~jnp.isfinite(measured["loss"]), state.step - 1, failed_step)
    else:
        _with_loss(metrics)
    return state, metrics, failed_step


def _with_loss(metrics: Metrics) -> Metrics:
    if "loss" not in metrics:
        raise ValueError(
            f'metrics: found {", ".join(metrics) or "none"}, expected "loss" among them: the best epoch is '
            'chosen by it; a model\'s loss returns Aux({"loss": value, ...}, collections)'
        )
    return metrics


def _validate(algorithm: Algorithm, run: Run, variables: Variables, data: Batch, hparams: Any) -> Metrics:
    """Validation metrics: of all rows at once, or the mean over blocks, which bounds the memory they take."""
    num_rows = run.validation_rows.shape[0]
    if num_rows <= _EVALUATION_BLOCK:
        batch = _take(data, run.validation_rows)
        return algorithm.evaluate(run.evaluate_key, variables, batch, hparams)
    num_blocks = math.ceil(num_rows / _EVALUATION_BLOCK)
    # Blocks of equal size: the last one is filled up with the first rows, less than one part in the blocks' number.
    blocks = jnp.resize(run.validation_rows, (num_blocks, math.ceil(num_rows / num_blocks)))

    def evaluate(index: Array) -> Metrics:
        key = jax.random.fold_in(run.evaluate_key, index)
        return algorithm.evaluate(key, variables, _take(data, blocks[index]), hparams)

    return jax.tree.map(jnp.mean, jax.lax.map(evaluate, jnp.arange(num_blocks)))


def steps_per_epoch(num_train: int, batch_size: int) -> int:
    """The steps that see each training row once.

    Example:
        >>> steps_per_epoch(100, 64)
        2
    """
    return math.ceil(num_train / batch_size)


def _take(data: Batch, rows: Array) -> Batch:
    # The rows are known to be in range; "clip" spares the default mode's check against it.
    return jax.tree.map(lambda array: jnp.take(array, rows, axis=0, mode="clip"), data)


def _where(condition: Array, chosen: Any, other: Any) -> Any:
    return jax.tree.map(lambda a, b: a if a is b else jnp.where(condition, a, b), chosen, other)
