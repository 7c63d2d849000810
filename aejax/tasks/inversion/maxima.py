"""Maxima of the posterior, by L-BFGS from many starts at once."""

import functools
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from aejax.base import Adversary, Array, ArrayLike, Model, PyTree, Variables
from aejax.tasks.inversion.density import Problem, decode_one, log_density_at, misfit_at
from aejax.tasks.mixture import sample_mixture
from aejax.training.progress import Progress, ProgressBar

# Of L-BFGS: it ends after so many steps in a row that lower the objective by less than this share of it.
_RELATIVE_DECREASE = 1e-5
_MOST_STALLED = 2
_MOST_TRIALS = 10
_ROWS_AT_ONCE = 64
_STEPS_PER_REPORT = 5
# Code, the optimizer's state, the objective before, steps in a row that hardly lowered it, steps.
_Carry = tuple[Array, PyTree, Array, Array, Array]


class Optima(NamedTuple):
    """Local maxima of the posterior, the highest first.

    Attributes:
        z: (k, d).
        log_density: (k,), log p(z | y) up to a constant that is the same for all.
        misfit: (k,), root mean square of the residuals in units of the noise: near 1 where the data are fitted to the
            noise level; of many data, less is a fit to the noise.
    """

    z: Array
    log_density: Array
    misfit: Array


def maximum_a_posteriori(
    key: Array,
    problem: Problem,
    *,
    num_starts: int = 32,
    num_steps: int = 100,
    progress: bool | Callable[[Progress], None] = False,
) -> Optima:
    """The most probable codes given data, by L-BFGS from many draws of the prior at once (Liu & Nocedal 1989).

    Through a decoder the posterior has many maxima: one start is not enough. All starts move at once.

    Args:
        key: PRNG key, of the starts.
        problem: the Problem.
        num_starts: k.
        num_steps: the most iterations of L-BFGS.
        progress: True for a bar on a terminal, or a function that takes a ``Progress`` whose epochs are iterations.

    Returns:
        Optima, the most probable first.

    Raises:
        ValueError: a number of starts that is not positive.

    Example:
        >>> import aejax
        >>> from aejax.tasks import inversion
        >>> model = aejax.models.vae((5,), 2)
        >>> variables = model.init(jax.random.key(0), aejax.Batch(jnp.zeros((1, 5))))
        >>> problem = inversion.problem(model, variables, jnp.cumsum, jnp.zeros(5), 0.1, prior=2)
        >>> maximum_a_posteriori(jax.random.key(1), problem, num_starts=4).z.shape
        (4, 2)
    """
    if num_starts < 1:
        raise ValueError(f"num_starts: found {num_starts}, expected a positive whole number")
    report = ProgressBar() if progress is True else progress or None
    carry = jax.vmap(_standing)(sample_mixture(key, problem.prior, num_starts))
    began, step, is_over = time.monotonic(), 0, False
    while not is_over:
        step = min(step + _STEPS_PER_REPORT, num_steps) if report else num_steps
        carry, is_done = _advance(problem, carry, step)
        is_over = step == num_steps or bool(is_done)
        if report:
            seconds = time.monotonic() - began
            loss = {"loss": float(jnp.min(carry[2]))}
            report(Progress(num_steps if is_over else step, num_steps, seconds, step / seconds, loss, is_over))
    return _sorted(problem, carry[0])


def chain_starts(found: Optima, num_chains: int) -> Array:
    """Where chains of the posterior begin: at its highest maxima, but not at those with negligible probability.

    A chain does not leave a maximum that is cut off, however improbable, and would count there as much as the others.
    Around a maximum in d dimensions nearly all draws lie less than d / 2 + 3 sqrt(d / 2) below its log density (half a
    chi-squared variable); a maximum further below the highest is skipped, and chains for which there is
    none begin where others do.

    Args:
        found: the Optima.
        num_chains: how many.

    Returns:
        (num_chains, d).

    Raises:
        ValueError: no maximum whose log density is finite.

    Example:
        >>> found = Optima(jnp.array([[2.0], [1.9], [-1.0]]), jnp.array([-3.0, -3.1, -90.0]), jnp.ones(3))
        >>> chain_starts(found, 4)[:, 0]
        Array([2. , 1.9, 2. , 1.9], dtype=float32)
    """
    if not bool(jnp.isfinite(found.log_density[0])):
        raise ValueError("log_density: found no maximum with a finite one; are the data in the units of observe?")
    half = found.z.shape[1] / 2
    num_worthwhile = int(jnp.sum(found.log_density >= found.log_density[0] - half - 3 * half**0.5))
    return found.z[jnp.arange(num_chains) % num_worthwhile]


def refine(
    model: Model | Adversary,
    variables: Variables,
    x: ArrayLike,
    z: ArrayLike,
    *,
    noise: float = 0.3,
    num_steps: int = 25,
    cond: ArrayLike | None = None,
) -> Array:
    """Codes whose decoded rows fit given rows best, starting from codes nearby such as the encoder's.

    An encoder gives a first guess; this improves it by L-BFGS on |x - decode(z)|^2 / (2 noise^2) + |z|^2 / 2, and so
    closes the amortisation gap (Cremer, Li & Duvenaud 2018). It is ``maximum_a_posteriori`` where all is observed.

    Args:
        model: a fitted Model or Adversary.
        variables: its variables.
        x: (n, *event), complete rows.
        z: (n, d), where to begin.
        noise: standard deviation of an element, in the units of x; the smaller, the less the prior counts.
        num_steps: the most iterations.
        cond: (c,) conditions, the same for all rows, for a conditional model.

    Returns:
        (n, d).

    Raises:
        ValueError: rows and codes of different numbers.

    Example:
        >>> import aejax
        >>> x = jax.random.normal(jax.random.key(0), (20, 5))
        >>> model = aejax.models.vae((5,), 2)
        >>> variables = model.init(jax.random.key(1), aejax.Batch(x))
        >>> refine(model, variables, x, aejax.encode(model, variables, x).mean).shape
        (20, 2)
    """
    x, z = jnp.asarray(x, jnp.float32), jnp.asarray(z, jnp.float32)
    if len(x) != len(z):
        raise ValueError(f"z: found {len(z)} codes, expected {len(x)} as rows in x")
    cond = None if cond is None else jnp.asarray(cond, jnp.float32)
    # Blocks of one size, the last one filled up: a smaller one would be a second program to compile.
    num_filled = -(-len(x) // _ROWS_AT_ONCE) * _ROWS_AT_ONCE if len(x) > _ROWS_AT_ONCE else len(x)
    rows = jnp.arange(num_filled) % len(x)
    return _refine(model, num_steps, variables, x[rows], z[rows], jnp.float32(1 / noise), cond)[: len(x)]


def _minimise(objective: Callable[[Array], Array], z: Array, num_steps: int) -> Array:
    """L-BFGS with Optax's line search, until the value does not fall any more.

    A bound on the gradient would not do: in single precision the gradient of a sum of many squares never gets small.
    """
    return _descended(objective, _standing(z), num_steps)[0]


def _standing(z: Array) -> _Carry:
    zero = jnp.zeros((), jnp.int32)
    return z, _optimizer().init(z), jnp.full((), jnp.inf, z.dtype), zero, zero


def _optimizer() -> optax.GradientTransformationExtraArgs:
    search = optax.scale_by_zoom_linesearch(max_linesearch_steps=_MOST_TRIALS, initial_guess_strategy="one")
    return optax.lbfgs(linesearch=search)


def _descended(objective: Callable[[Array], Array], carry: _Carry, num_steps: int | Array) -> _Carry:
    """The search until it stalls, or until its step ``num_steps``."""
    optimizer = _optimizer()
    value_and_gradient = optax.value_and_grad_from_state(objective)

    def goes_on(carry: _Carry) -> Array:
        _, _, _, num_stalled, step = carry
        return (step < num_steps) & (num_stalled < _MOST_STALLED)

    def advance(carry: _Carry) -> _Carry:
        z, state, before, num_stalled, step = carry
        value, gradient = value_and_gradient(z, state=state)
        updates, state = optimizer.update(gradient, state, z, value=value, grad=gradient, value_fn=objective)
        falls = before - value > _RELATIVE_DECREASE * (1 + jnp.abs(value))
        return optax.apply_updates(z, updates), state, value, jnp.where(falls, 0, num_stalled + 1), step + 1

    return jax.lax.while_loop(goes_on, advance, carry)


@jax.jit
def _advance(problem: Problem, carry: _Carry, num_steps: Array | int) -> tuple[_Carry, Array]:
    """The searches of all starts until step ``num_steps``, and whether all have stalled before."""
    carry = jax.vmap(lambda one: _descended(lambda z: -log_density_at(problem, z), one, num_steps))(carry)
    return carry, jnp.all(carry[3] >= _MOST_STALLED)


@jax.jit
def _sorted(problem: Problem, z: Array) -> Optima:
    log_density = jax.vmap(lambda z: log_density_at(problem, z))(z)
    # A start whose search ended in numbers that are not finite comes last.
    order = jnp.argsort(-jnp.where(jnp.isfinite(log_density), log_density, -jnp.inf))
    misfit = jax.vmap(lambda z: misfit_at(problem, z))(z)
    return Optima(z[order], log_density[order], misfit[order])


@functools.partial(jax.jit, static_argnames=("model", "num_steps"))
def _refine(
    model: Model | Adversary,
    num_steps: int,
    variables: Variables,
    x: Array,
    z: Array,
    precision: Array,
    cond: Array | None,
) -> Array:
    def one(row: tuple[Array, Array]) -> Array:
        x, z = row

        def objective(z: Array) -> Array:
            error = (x - decode_one(model, variables, z, cond)) * precision
            return 0.5 * (jnp.sum(jnp.square(error)) + jnp.sum(jnp.square(z)))

        return _minimise(objective, z, num_steps)

    return jax.lax.map(one, (x, z), batch_size=_ROWS_AT_ONCE)
