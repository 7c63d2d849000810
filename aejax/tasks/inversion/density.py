"""Data, forward function, noise and prior, and the density of a code that follows from them."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Adversary, Array, ArrayLike, Model, Variables, required
from aejax.tasks.mixture import Mixture, mixture_log_density

Observe = Callable[[Array], Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Problem:
    """All that log p(z | y) is made of. A pytree: functions are static, arrays change without compiling anew.

    Attributes:
        model: a fitted Model or Adversary.
        observe: the forward function.
        variables: of the model.
        y: (m,) data.
        whitening: (m,) or (m, m), what makes noise uncorrelated and of variance 1.
        prior: of the code.
        cond: (c,) conditions, or None.
    """

    model: Model | Adversary = dataclasses.field(metadata={"static": True})
    observe: Observe = dataclasses.field(metadata={"static": True})
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
    zero = jnp.zeros((1, latent_dim), jnp.float32)
    return Mixture(zero[:, 0], zero, jnp.eye(latent_dim, dtype=jnp.float32)[None])


def decode_one(model: Model | Adversary, variables: Variables, z: Array, cond: Array | None = None) -> Array:
    """The section of a code: the decoder's mean, or the generator's output.

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
    decode = model.generate if isinstance(model, Adversary) else required(model.decode, "decode")
    return decode(variables, z[None], None if cond is None else cond[None])[0]


def problem(
    model: Model | Adversary,
    variables: Variables,
    observe: Observe,
    y: ArrayLike,
    noise: ArrayLike,
    prior: int | Mixture,
    cond: ArrayLike | None = None,
) -> Problem:
    """States an inversion: which codes are probable, given data. Checks that all of it fits together.

    Args:
        model: a fitted Model or Adversary.
        variables: its variables.
        observe: (*event) -> (m,), the forward function, differentiable by JAX. The compiled program belongs to it:
            define it once, not anew for each section.
        y: (m,) data.
        noise: its standard deviation in the units of y, a number or (m,), or its covariance, (m, m).
        prior: the number of dimensions of a standard normal prior, for a VAE or a GAN, or a Mixture from
            ``fit_mixture``, for any Model.
        cond: (c,) conditions, for a conditional model.

    Returns:
        The Problem, for ``maximum_a_posteriori`` and ``posterior``.

    Raises:
        ValueError: a model without a prior, data or noise that do not fit.

    Example:
        >>> import aejax
        >>> model = aejax.models.vae((5,), 2)
        >>> variables = model.init(jax.random.key(0), aejax.Batch(jnp.zeros((1, 5))))
        >>> problem(model, variables, jnp.cumsum, jnp.zeros(5), 0.1, prior=2).whitening
        Array([10., 10., 10., 10., 10.], dtype=float32)
    """
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
            raise ValueError(f"noise: found {noise!s}, expected positive standard deviations, one or {y.size}")
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
    return Problem(model, observe, variables, y, jnp.asarray(whitening, jnp.float32), prior, cond)


def residuals(problem: Problem, z: Array) -> Array:
    """In units of the noise, uncorrelated."""
    error = problem.y - problem.observe(decode_one(problem.model, problem.variables, z, problem.cond))
    return problem.whitening @ error if problem.whitening.ndim == 2 else problem.whitening * error


def log_density_at(problem: Problem, z: Array) -> Array:
    """Log p(z | y) up to a constant."""
    misfit = 0.5 * jnp.sum(jnp.square(residuals(problem, z)))
    return mixture_log_density(problem.prior, z[None])[0] - misfit


def misfit_at(problem: Problem, z: Array) -> Array:
    """The root mean square of the residuals, in units of the noise."""
    return jnp.sqrt(jnp.mean(jnp.square(residuals(problem, z))))
