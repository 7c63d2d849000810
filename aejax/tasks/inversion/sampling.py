"""Draws from the posterior, by the No-U-Turn sampler."""

import functools
import importlib
import time
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Array, ArrayLike, PyTree
from aejax.tasks.inversion.chains import effective_sample_size, rank_normalised_r_hat
from aejax.tasks.inversion.density import Problem, log_density_at, misfit_at, residuals
from aejax.tasks.inversion.maxima import chain_starts, maximum_a_posteriori
from aejax.training.progress import Progress, ProgressBar

_DRAWS_PER_BLOCK = 50


class Posterior(NamedTuple):
    """Draws from p(z | y).

    Attributes:
        z: (chains, draws, d).
        log_density: (chains, draws), up to a constant.
        misfit: (chains, draws), root mean square of the residuals in units of the noise.
        acceptance_rate: (chains,), mean over the draws; 0.8 is what the step size was adapted to.
        is_divergent: (chains, draws), where the integrator left the level set: many of these make the draws doubtful.
        r_hat: (d,), rank-normalised split R-hat; see ``rank_normalised_r_hat``.
        effective_sample_size: (d,), in draws, of all chains together.
    """

    z: np.ndarray
    log_density: np.ndarray
    misfit: np.ndarray
    acceptance_rate: np.ndarray
    is_divergent: np.ndarray
    r_hat: np.ndarray
    effective_sample_size: np.ndarray


def posterior(
    key: Array,
    problem: Problem,
    *,
    start: ArrayLike | None = None,
    num_chains: int = 4,
    num_warmup: int = 300,
    num_samples: int = 500,
    progress: bool | Callable[[Progress], None] = False,
) -> Posterior:
    """Draws from the posterior over codes by the No-U-Turn sampler (Hoffman & Gelman 2014), chains at once.

    A chain moves in coordinates in which the Gaussian at its start has unit covariance: that of Gauss and Newton,
    (J^T C^-1 J + prior's inverse covariance)^-1 with the Jacobian J of the data by the code. Step size and diagonal
    mass matrix are then adapted in windows, as in Stan; from BlackJAX (Cabezas et al. 2024), the extra ``inversion``.
    Chains do not cross from one maximum to another that lies far away: R-hat then says so.

    Args:
        key: PRNG key.
        problem: the Problem.
        start: (num_chains, d) codes; ``chain_starts`` of four times as many maxima if None.
        num_chains: at least 2, or R-hat says little.
        num_warmup: steps of adaptation, which are thrown away.
        num_samples: draws of each chain.
        progress: True for a bar on a terminal, or a function that takes a ``Progress`` whose epochs are draws.

    Returns:
        Posterior.

    Raises:
        ImportError: BlackJAX is not installed.
        ValueError: a start that does not fit.

    Example:
        >>> import aejax
        >>> from aejax.tasks import inversion
        >>> model = aejax.models.vae((5,), 2)
        >>> variables = model.init(jax.random.key(0), aejax.Batch(jnp.zeros((1, 5))))
        >>> problem = inversion.problem(model, variables, jnp.cumsum, jnp.zeros(5), 1.0, prior=2)
        >>> posterior(jax.random.key(1), problem, num_chains=2, num_warmup=50, num_samples=20).z.shape
        (2, 20, 2)
    """
    _blackjax()
    start_key, warmup_key, draw_key = jax.random.split(key, 3)
    num_dims = problem.prior.mean.shape[1]
    if start is None:
        start = chain_starts(maximum_a_posteriori(start_key, problem, num_starts=4 * num_chains), num_chains)
    start = jnp.asarray(start, jnp.float32)
    if start.shape != (num_chains, num_dims):
        raise ValueError(f"start: found shape {start.shape}, expected ({num_chains}, {num_dims})")
    report = ProgressBar() if progress is True else progress or None
    began = time.monotonic()
    frames = _frames(problem, start)
    state, parameters = _warm_up(num_warmup, problem, jax.random.split(warmup_key, num_chains), frames)
    blocks: list[tuple[np.ndarray, ...]] = []
    done, adapted = 0, time.monotonic()
    # In blocks of one size, so that one program serves all; draws beyond the number asked for are left out.
    while done < num_samples:
        keys = jax.random.split(jax.random.fold_in(draw_key, done), num_chains)
        state, block = _draw(problem, keys, frames, state, parameters)
        blocks.append(jax.tree.map(np.asarray, block))
        done = min(done + _DRAWS_PER_BLOCK, num_samples)
        if report:
            now = time.monotonic()
            metrics = {"misfit": float(block[2].mean())}
            report(Progress(done, num_samples, now - began, done / (now - adapted), metrics, done == num_samples))
    z, log_density, misfit, accepted, divergent = (
        np.concatenate(parts, axis=1)[:, :num_samples] for parts in zip(*blocks, strict=True)
    )
    is_enough = num_samples >= 4
    nothing = np.full(num_dims, np.nan)
    return Posterior(
        z,
        log_density,
        misfit,
        accepted.mean(axis=1),
        divergent,
        rank_normalised_r_hat(z) if is_enough else nothing,
        effective_sample_size(z) if is_enough else nothing,
    )


def _blackjax() -> ModuleType:
    try:
        return importlib.import_module("blackjax")
    except ImportError as error:
        raise ImportError('posterior draws need BlackJAX: pip install "aejax[inversion]"') from error


class _Frame(NamedTuple):
    """Coordinates u of a chain, z = origin + scale u."""

    origin: Array
    scale: Array

    def code(self, u: Array) -> Array:
        return self.origin + self.scale @ u


@jax.jit
def _frames(problem: Problem, start: Array) -> _Frame:
    weight, mean = jnp.exp(problem.prior.log_weight), problem.prior.mean
    centred = mean - (weight @ mean)[None, :]
    within = jnp.einsum("k,kij,klj->il", weight, problem.prior.cholesky, problem.prior.cholesky)
    prior_precision = jnp.linalg.inv(within + (weight[:, None] * centred).T @ centred)

    def one(z: Array) -> _Frame:
        jacobian = jax.jacfwd(lambda z: residuals(problem, z))(z)
        upper = jnp.linalg.cholesky(prior_precision + jacobian.T @ jacobian).T
        return _Frame(z, jax.scipy.linalg.solve_triangular(upper, jnp.eye(z.size, dtype=z.dtype)))

    return jax.lax.map(one, start)


@functools.partial(jax.jit, static_argnames="num_warmup")
def _warm_up(num_warmup: int, problem: Problem, keys: Array, frames: _Frame) -> tuple[PyTree, dict[str, PyTree]]:
    blackjax = _blackjax()

    def one(key: Array, frame: _Frame) -> tuple[PyTree, dict[str, PyTree]]:
        adaptation = blackjax.window_adaptation(blackjax.nuts, lambda u: log_density_at(problem, frame.code(u)))
        return adaptation.run(key, jnp.zeros_like(frame.origin), num_warmup)[0]

    return jax.vmap(one)(keys, frames)


@jax.jit
def _draw(
    problem: Problem,
    keys: Array,
    frames: _Frame,
    state: PyTree,
    parameters: dict[str, PyTree],
) -> tuple[PyTree, tuple[Array, ...]]:
    """A block of draws of each chain: states to continue from; z, log density, misfit, acceptance and divergence."""
    blackjax = _blackjax()

    def one(
        key: Array, frame: _Frame, state: PyTree, parameters: dict[str, PyTree]
    ) -> tuple[PyTree, tuple[Array, ...]]:
        kernel = blackjax.nuts(lambda u: log_density_at(problem, frame.code(u)), **parameters).step

        def step(state: PyTree, key: Array) -> tuple[PyTree, tuple[Array, ...]]:
            state, info = kernel(key, state)
            z = frame.code(state.position)
            misfit = misfit_at(problem, z)
            return state, (z, state.logdensity, misfit, info.acceptance_rate, info.is_divergent)

        return jax.lax.scan(step, state, jax.random.split(key, _DRAWS_PER_BLOCK))

    return jax.vmap(one)(keys, frames, state, parameters)
