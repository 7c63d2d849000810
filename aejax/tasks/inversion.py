"""Inversion: what a measurement says about a model of the ground, through the decoder that knows what such models are.

The unknown is a code z with a known prior p(z); the decoder makes a model of the ground of it, x = decode(z), and
a forward function what would be measured, observe(x). With Gaussian noise of covariance C,

    log p(z | y) = log p(z) - (y - observe(decode(z)))^T C^-1 (y - observe(decode(z))) / 2 + constant.
"""

import functools
import importlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from aejax.base import Adversary, Array, ArrayLike, Model, Variables
from aejax.tasks.chains import effective_sample_size, rank_normalised_r_hat
from aejax.tasks.mixture import Mixture, mixture_log_density, sample_mixture
from aejax.training.progress import ProgressBar, Report

Observe = Callable[[Array], Array]

_DRAWS_PER_BLOCK = 50
# Of L-BFGS: it ends after so many steps in a row that lower the objective by less than this share of it.
_RELATIVE_DECREASE = 1e-5
_MOST_STALLED = 2
_MOST_TRIALS = 10


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


class ApproximationError(NamedTuple):
    """What the decoder cannot represent, as it shows in the data.

    Attributes:
        mean: (m,), to take from the data before they are inverted.
        covariance: (m, m), to add to that of the noise.
    """

    mean: np.ndarray
    covariance: np.ndarray


class _Problem(NamedTuple):
    """The arrays of log p(z | y): what another section changes without compiling anew."""

    variables: Variables
    y: Array
    whitening: Array
    prior: Mixture
    cond: Array | None


def standard_normal(latent_dim: int) -> Mixture:
    """The prior of a VAE or a GAN, as a mixture of one component.

    Example:
        >>> round(float(mixture_log_density(standard_normal(2), jnp.zeros((1, 2)))[0]), 4)
        -1.8379
    """
    if latent_dim < 1:
        raise ValueError(f"prior: found {latent_dim}, expected a positive number of dimensions, or a Mixture")
    return Mixture(jnp.zeros(1), jnp.zeros((1, latent_dim)), jnp.eye(latent_dim)[None])


def maximum_a_posteriori(
    key: Array,
    model: Model | Adversary,
    variables: Variables,
    observe: Observe,
    y: ArrayLike,
    noise: ArrayLike,
    prior: int | Mixture,
    *,
    num_starts: int = 32,
    num_steps: int = 100,
    cond: ArrayLike | None = None,
) -> Optima:
    """The most probable codes given data, by L-BFGS from many draws of the prior at once (Liu & Nocedal 1989).

    Through a decoder the posterior has many maxima: one start is not enough. All starts are one compiled program.

    Args:
        key: PRNG key, of the starts.
        model: a fitted Model or Adversary.
        variables: its variables.
        observe: (*event) -> (m,), the forward function, differentiable by JAX. The compiled program belongs to it:
            define it once, not anew for each section.
        y: (m,) data.
        noise: its standard deviation in the units of y, a number or (m,), or its covariance, (m, m).
        prior: the number of dimensions of a standard normal prior, for a VAE or a GAN, or a Mixture from
            ``fit_mixture``, for any Model.
        num_starts: k.
        num_steps: the most iterations of L-BFGS.
        cond: (c,) conditions, for a conditional model.

    Returns:
        Optima, the most probable first.

    Raises:
        ValueError: a model without a prior, data or noise that do not fit.

    Example:
        >>> import aejax
        >>> model = aejax.models.vae((5,), 2)
        >>> variables = model.init(jax.random.key(0), aejax.Batch(jnp.zeros((1, 5))))
        >>> found = maximum_a_posteriori(
        ...     jax.random.key(1), model, variables, jnp.cumsum, jnp.zeros(5), 0.1, prior=2, num_starts=4)
        >>> found.z.shape
        (4, 2)
    """
    problem = _problem(model, variables, observe, y, noise, prior, cond)
    if num_starts < 1:
        raise ValueError(f"num_starts: found {num_starts}, expected a positive whole number")
    start = sample_mixture(key, problem.prior, num_starts)
    return _maximise(model, observe, num_steps, problem, start)


def posterior(
    key: Array,
    model: Model | Adversary,
    variables: Variables,
    observe: Observe,
    y: ArrayLike,
    noise: ArrayLike,
    prior: int | Mixture,
    *,
    start: ArrayLike | None = None,
    num_chains: int = 4,
    num_warmup: int = 300,
    num_samples: int = 500,
    cond: ArrayLike | None = None,
    progress: bool | Callable[[Report], None] = False,
) -> Posterior:
    """Draws from the posterior over codes by the No-U-Turn sampler (Hoffman & Gelman 2014), chains at once.

    A chain moves in coordinates in which the Gaussian at its start has unit covariance: that of Gauss and Newton,
    (J^T C^-1 J + prior's inverse covariance)^-1 with the Jacobian J of the data by the code. Step size and diagonal
    mass matrix are then adapted in windows, as in Stan; from BlackJAX (Cabezas et al. 2024), the extra ``inversion``.
    Chains do not cross from one maximum to another that lies far away: R-hat then says so.

    Args:
        key: PRNG key.
        model: a fitted Model or Adversary.
        variables: its variables.
        observe: (*event) -> (m,), the forward function, differentiable by JAX.
        y: (m,) data.
        noise: standard deviation, a number or (m,), or covariance, (m, m).
        prior: as in ``maximum_a_posteriori``.
        start: (num_chains, d) codes; the best of as many maxima as ``maximum_a_posteriori`` finds if None.
        num_chains: at least 2, or R-hat says little.
        num_warmup: steps of adaptation, which are thrown away.
        num_samples: draws of each chain.
        cond: (c,) conditions, for a conditional model.
        progress: True for a bar on a terminal, or a function that takes a ``Report`` whose epochs are draws.

    Returns:
        Posterior.

    Raises:
        ImportError: BlackJAX is not installed.
        ValueError: a model without a prior, data, noise or start that do not fit.

    Example:
        >>> import aejax
        >>> model = aejax.models.vae((5,), 2)
        >>> variables = model.init(jax.random.key(0), aejax.Batch(jnp.zeros((1, 5))))
        >>> found = posterior(jax.random.key(1), model, variables, jnp.cumsum, jnp.zeros(5), 1.0, prior=2,
        ...     num_chains=2, num_warmup=50, num_samples=20)
        >>> found.z.shape
        (2, 20, 2)
    """
    _blackjax()
    problem = _problem(model, variables, observe, y, noise, prior, cond)
    start_key, warmup_key, draw_key = jax.random.split(key, 3)
    num_dims = problem.prior.mean.shape[1]
    if start is None:
        found = maximum_a_posteriori(
            start_key, model, variables, observe, y, noise, prior, num_starts=4 * num_chains, cond=cond
        )
        start = found.z[:num_chains]
    start = jnp.asarray(start, jnp.float32)
    if start.shape != (num_chains, num_dims):
        raise ValueError(f"start: found shape {start.shape}, expected ({num_chains}, {num_dims})")
    report = ProgressBar() if progress is True else progress or None
    began = time.monotonic()
    frames = _frames(model, observe, problem, start)
    state, parameters = _warm_up(model, observe, num_warmup, problem, jax.random.split(warmup_key, num_chains), frames)
    blocks: list[Any] = []
    done, adapted = 0, time.monotonic()
    # In blocks of one size, so that one program serves all; draws beyond the number asked for are left out.
    while done < num_samples:
        keys = jax.random.split(jax.random.fold_in(draw_key, done), num_chains)
        state, block = _draw(model, observe, problem, keys, frames, state, parameters)
        blocks.append(jax.tree.map(np.asarray, block))
        done = min(done + _DRAWS_PER_BLOCK, num_samples)
        if report:
            now = time.monotonic()
            metrics = {"misfit": float(block[2].mean())}
            report(Report(done, num_samples, now - began, done / (now - adapted), metrics, done == num_samples))
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


def refine(
    model: Model | Adversary,
    variables: Variables,
    x: Any,
    z: ArrayLike,
    *,
    noise: float = 0.3,
    num_steps: int = 25,
    cond: ArrayLike | None = None,
) -> Array:
    """Codes that the decoder itself likes best for given rows, from codes nearby such as the encoder's.

    An encoder is a guess at once; this goes on from it by L-BFGS on |x - decode(z)|^2 / (2 noise^2) + |z|^2 / 2, and so
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
    return _refine(model, num_steps, variables, x, z, jnp.float32(1 / noise), cond)


def approximation_error(
    model: Model | Adversary, variables: Variables, observe: Observe, x: Any, z: ArrayLike
) -> ApproximationError:
    """Mean and covariance of observe(x) - observe(decode(z)) over held-out rows.

    No decoder gives every section exactly. What it leaves out looks like noise in the data, but is correlated and
    larger than the instrument's: an inversion that ignores it is sure of what is wrong. Its mean is to be taken from
    the data, its covariance added to that of the noise (Kaipio & Somersalo 2007; for decoders Lopez-Alvis et al. 2021).

    Args:
        model: a fitted Model or Adversary.
        variables: its variables.
        observe: (*event) -> (m,).
        x: (n, *event), rows that the model was not trained on, nor those to be inverted.
        z: (n, d), the codes that represent them best, such as those of ``refine``.

    Returns:
        ApproximationError. The covariance is the sample's, shrunk towards its diagonal by 1 / sqrt(n), or it would be
        singular with fewer rows than data.

    Raises:
        ValueError: fewer than two rows, or another number of codes.

    Example:
        >>> import aejax
        >>> x = jax.random.normal(jax.random.key(0), (20, 5))
        >>> model = aejax.models.vae((5,), 2)
        >>> variables = model.init(jax.random.key(1), aejax.Batch(x))
        >>> approximation_error(model, variables, jnp.cumsum, x, jnp.zeros((20, 2))).covariance.shape
        (5, 5)
    """
    x, z = jnp.asarray(x, jnp.float32), jnp.asarray(z, jnp.float32)
    if len(x) != len(z) or len(x) < 2:
        raise ValueError(f"x, z: found {len(x)} rows and {len(z)} codes, expected as many, at least 2")
    error = np.asarray(_observed_error(model, observe, variables, x, z), float)
    covariance = np.atleast_2d(np.cov(error, rowvar=False))
    share = 1 / np.sqrt(len(x))
    covariance = (1 - share) * covariance + share * np.diag(np.diagonal(covariance))
    return ApproximationError(error.mean(axis=0), covariance)


def interval_coverage(draws: ArrayLike, truth: ArrayLike, level: float = 0.9) -> np.ndarray:
    """Where the truth lies inside the central interval of the draws: on average ``level``, if they are right.

    Args:
        draws: (n, ...), chains joined.
        truth: (...).
        level: of the interval, in (0, 1).

    Returns:
        (...) bool.

    Example:
        >>> draws = np.random.default_rng(0).normal(size=(1000, 2))
        >>> interval_coverage(draws, [0.0, 3.0])
        array([ True, False])
    """
    low, high = np.quantile(np.asarray(draws), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return (low <= np.asarray(truth)) & (np.asarray(truth) <= high)


def decode_one(model: Model | Adversary, variables: Variables, z: Array, cond: Array | None = None) -> Array:
    """What a code stands for: the decoder's mean, or what a generator makes of it.

    Args:
        model: a Model or an Adversary.
        variables: its variables.
        z: (d,).
        cond: (c,), for a conditional model.

    Returns:
        (*event).

    Example:
        >>> import aejax
        >>> gan = aejax.models.gan((5,), 2)
        >>> variables = gan.init(jax.random.key(0), aejax.Batch(jnp.zeros((1, 5))))
        >>> decode_one(gan, variables, jnp.zeros(2)).shape
        (5,)
    """
    decode = model.generate if isinstance(model, Adversary) else model.decode
    return decode(variables, z[None], None if cond is None else cond[None])[0]


def _problem(
    model: Model | Adversary,
    variables: Variables,
    observe: Observe,
    y: ArrayLike,
    noise: ArrayLike,
    prior: int | Mixture,
    cond: ArrayLike | None,
) -> _Problem:
    """Checks what is given and whitens the noise."""
    if not isinstance(prior, Mixture):
        if model.sample is None:
            raise ValueError(
                f"prior: found {prior} dimensions of a standard normal, but this model was not trained towards one: "
                "its codes lie anywhere. Give a Mixture fitted to codes of data, fit_mixture(key, model, variables, "
                "x), or train a generative model, such as vae"
            )
        prior = standard_normal(prior)
    y = jnp.asarray(y, jnp.float32)
    if not bool(jnp.isfinite(y).all()):
        raise ValueError("y: found a value that is not finite; leave data that were not measured out of observe")
    spread = np.asarray(noise, float)
    if spread.ndim == 2:
        if spread.shape != (y.size, y.size):
            raise ValueError(f"noise: found a covariance of shape {spread.shape}, expected {(y.size, y.size)}")
        try:
            whitening = np.linalg.inv(np.linalg.cholesky(spread))
        except np.linalg.LinAlgError as error:
            raise ValueError("noise: found a covariance that is not positive definite") from error
    else:
        if not (np.isfinite(spread) & (spread > 0)).all() or spread.shape not in ((), (1,), y.shape):
            raise ValueError(f"noise: found {noise}, expected positive standard deviations, one or {y.size}")
        whitening = 1 / np.broadcast_to(spread, y.shape)
    cond = None if cond is None else jnp.asarray(cond, jnp.float32)
    z = jax.ShapeDtypeStruct(prior.mean.shape[1:], jnp.float32)
    try:
        x = jax.eval_shape(lambda z: decode_one(model, variables, z, cond), z)
    except (TypeError, ValueError) as error:
        raise ValueError(f"prior: found {z.shape[0]} dimensions, which the decoder does not take: {error}") from error
    found = jax.eval_shape(observe, x).shape
    if y.ndim != 1 or found != y.shape:
        raise ValueError(f"y: found shape {y.shape}, expected {found}, what observe gives, with one axis")
    return _Problem(variables, y, jnp.asarray(whitening, jnp.float32), prior, cond)


def _residuals(model: Any, observe: Observe, problem: _Problem, z: Array) -> Array:
    """In units of the noise, uncorrelated."""
    error = problem.y - observe(decode_one(model, problem.variables, z, problem.cond))
    return problem.whitening @ error if problem.whitening.ndim == 2 else problem.whitening * error


def _log_density(model: Any, observe: Observe, problem: _Problem, z: Array) -> Array:
    misfit = 0.5 * jnp.sum(jnp.square(_residuals(model, observe, problem, z)))
    return mixture_log_density(problem.prior, z[None])[0] - misfit


def _misfit(model: Any, observe: Observe, problem: _Problem, z: Array) -> Array:
    return jnp.sqrt(jnp.mean(jnp.square(_residuals(model, observe, problem, z))))


def _minimise(objective: Callable[[Array], Array], z: Array, num_steps: int) -> Array:
    """L-BFGS with Optax's line search, until the value does not fall any more.

    A bound on the gradient would not do: in single precision the gradient of a sum of many squares never gets small.
    """
    search = optax.scale_by_zoom_linesearch(max_linesearch_steps=_MOST_TRIALS, initial_guess_strategy="one")
    optimizer = optax.lbfgs(linesearch=search)
    value_and_gradient = optax.value_and_grad_from_state(objective)

    def goes_on(carry: Any) -> Array:
        _, _, _, num_stalled, step = carry
        return (step < num_steps) & (num_stalled < _MOST_STALLED)

    def advance(carry: Any) -> Any:
        z, state, before, num_stalled, step = carry
        value, gradient = value_and_gradient(z, state=state)
        updates, state = optimizer.update(gradient, state, z, value=value, grad=gradient, value_fn=objective)
        falls = before - value > _RELATIVE_DECREASE * (1 + jnp.abs(value))
        return optax.apply_updates(z, updates), state, value, jnp.where(falls, 0, num_stalled + 1), step + 1

    zero = jnp.zeros((), jnp.int32)
    return jax.lax.while_loop(goes_on, advance, (z, optimizer.init(z), jnp.asarray(jnp.inf), zero, zero))[0]


@functools.partial(jax.jit, static_argnames=("model", "observe", "num_steps"))
def _maximise(model: Any, observe: Observe, num_steps: int, problem: _Problem, start: Array) -> Optima:
    def one(z: Array) -> Array:
        return _minimise(lambda z: -_log_density(model, observe, problem, z), z, num_steps)

    z = jax.vmap(one)(start)
    log_density = jax.vmap(lambda z: _log_density(model, observe, problem, z))(z)
    # A start whose search ended in numbers that are not finite comes last.
    order = jnp.argsort(-jnp.where(jnp.isfinite(log_density), log_density, -jnp.inf))
    misfit = jax.vmap(lambda z: _misfit(model, observe, problem, z))(z)
    return Optima(z[order], log_density[order], misfit[order])


@functools.partial(jax.jit, static_argnames=("model", "num_steps"))
def _refine(
    model: Any, num_steps: int, variables: Variables, x: Array, z: Array, precision: Array, cond: Array | None
) -> Array:
    def one(row: tuple[Array, Array]) -> Array:
        x, z = row

        def objective(z: Array) -> Array:
            error = (x - decode_one(model, variables, z, cond)) * precision
            return 0.5 * (jnp.sum(jnp.square(error)) + jnp.sum(jnp.square(z)))

        return _minimise(objective, z, num_steps)

    return jax.lax.map(one, (x, z), batch_size=64)


@functools.partial(jax.jit, static_argnames=("model", "observe"))
def _observed_error(model: Any, observe: Observe, variables: Variables, x: Array, z: Array) -> Array:
    return jax.lax.map(lambda row: observe(row[0]) - observe(decode_one(model, variables, row[1])), (x, z))


def _blackjax() -> Any:
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


@functools.partial(jax.jit, static_argnames=("model", "observe"))
def _frames(model: Any, observe: Observe, problem: _Problem, start: Array) -> _Frame:
    weight, mean = jnp.exp(problem.prior.log_weight), problem.prior.mean
    centred = mean - weight @ mean
    within = jnp.einsum("k,kij,klj->il", weight, problem.prior.cholesky, problem.prior.cholesky)
    prior_precision = jnp.linalg.inv(within + (weight[:, None] * centred).T @ centred)

    def one(z: Array) -> _Frame:
        jacobian = jax.jacfwd(lambda z: _residuals(model, observe, problem, z))(z)
        upper = jnp.linalg.cholesky(prior_precision + jacobian.T @ jacobian).T
        return _Frame(z, jax.scipy.linalg.solve_triangular(upper, jnp.eye(z.size)))

    return jax.lax.map(one, start)


@functools.partial(jax.jit, static_argnames=("model", "observe", "num_warmup"))
def _warm_up(
    model: Any, observe: Observe, num_warmup: int, problem: _Problem, keys: Array, frames: _Frame
) -> tuple[Any, Any]:
    blackjax = _blackjax()

    def one(key: Array, frame: _Frame) -> tuple[Any, Any]:
        adaptation = blackjax.window_adaptation(
            blackjax.nuts, lambda u: _log_density(model, observe, problem, frame.code(u))
        )
        return adaptation.run(key, jnp.zeros_like(frame.origin), num_warmup)[0]

    return jax.vmap(one)(keys, frames)


@functools.partial(jax.jit, static_argnames=("model", "observe"))
def _draw(
    model: Any, observe: Observe, problem: _Problem, keys: Array, frames: _Frame, state: Any, parameters: Any
) -> tuple[Any, Any]:
    """A block of draws of each chain: states to go on from; z, log density, misfit, acceptance and divergence."""
    blackjax = _blackjax()

    def one(key: Array, frame: _Frame, state: Any, parameters: Any) -> tuple[Any, Any]:
        kernel = blackjax.nuts(lambda u: _log_density(model, observe, problem, frame.code(u)), **parameters).step

        def step(state: Any, key: Array) -> tuple[Any, Any]:
            state, info = kernel(key, state)
            z = frame.code(state.position)
            misfit = _misfit(model, observe, problem, z)
            return state, (z, state.logdensity, misfit, info.acceptance_rate, info.is_divergent)

        return jax.lax.scan(step, state, jax.random.split(key, _DRAWS_PER_BLOCK))

    return jax.vmap(one)(keys, frames, state, parameters)
