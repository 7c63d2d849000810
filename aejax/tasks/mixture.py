"""A Gaussian mixture over codes: where the codes of the data really are, which the prior only hopes for."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from aejax.artefacts import codecs
from aejax.artefacts.codecs import Stored
from aejax.artefacts.rules import numbers
from aejax.base import Array, ArrayLike, Model, Variables
from aejax.data.batches import RowsLike
from aejax.tasks.codes import codes_of, draw

# Added to the diagonal of each covariance, in squared units of the codes' standard deviation.
_REGULARISATION = 1e-4
_NUM_ITERATIONS = 100

_drawn = jax.jit(draw)


class Mixture(NamedTuple):
    """A mixture of Gaussians over codes.

    Attributes:
        log_weight: (k,).
        mean: (k, d).
        cholesky: (k, d, d), lower factors of the covariances.
    """

    log_weight: Array
    mean: Array
    cholesky: Array


def fit_mixture(key: Array, model: Model, variables: Variables, x: RowsLike, num_components: int = 10) -> Mixture:
    """Fits a mixture to the codes of rows, as a second sampler beside the prior (Ghosh et al. 2020, section 4).

    Codes of a VAE are draws of q(z | x), whose aggregate the decoder was trained on; means alone would be too narrow.
    Fitted by 100 steps of expectation maximisation with full covariances (Dempster, Laird & Rubin 1977), from means
    that are random codes. A deterministic autoencoder gets codes to draw from in this way, though no observation noise.

    Args:
        key: PRNG key.
        model: a fitted Model.
        variables: its variables.
        x: (n, *event) rows, NaN where missing, or a Batch.
        num_components: k, at most n.

    Returns:
        The Mixture, for ``generate(..., codes=...)`` or ``sample_mixture``.

    Raises:
        ValueError: a GAN, which has no encoder, or fewer rows than components.

    Example:
        >>> import aejax
        >>> x = jax.random.normal(jax.random.key(0), (200, 5))
        >>> model = aejax.models.vae((5,), 2)
        >>> variables = model.init(jax.random.key(1), aejax.Batch(x))
        >>> fit_mixture(jax.random.key(2), model, variables, x, num_components=3).mean.shape
        (3, 2)
    """
    latent = codes_of(model, variables, x).latent
    draw_key, start_key = jax.random.split(key)
    z = _drawn(draw_key, jax.device_put(latent))
    if not 1 <= num_components <= z.shape[0]:
        raise ValueError(f"num_components: found {num_components}, expected 1 to the number of rows ({z.shape[0]})")
    return _expectation_maximisation(num_components, start_key, z)


def sample_mixture(key: Array, mixture: Mixture, num_samples: int) -> Array:
    """Draws codes.

    Args:
        key: PRNG key.
        mixture: the Mixture.
        num_samples: how many.

    Returns:
        (num_samples, d).

    Example:
        >>> mixture = Mixture(jnp.zeros(1), jnp.ones((1, 2)), jnp.zeros((1, 2, 2)))
        >>> sample_mixture(jax.random.key(0), mixture, 1)
        Array([[1., 1.]], dtype=float32)
    """
    return _sample(num_samples, key, mixture)


@functools.partial(jax.jit, static_argnames="num_samples")
def _sample(num_samples: int, key: Array, mixture: Mixture) -> Array:
    component_key, noise_key = jax.random.split(key)
    component = jax.random.categorical(component_key, mixture.log_weight, shape=(num_samples,))
    noise = jax.random.normal(noise_key, (num_samples, mixture.mean.shape[1]), mixture.mean.dtype)
    return mixture.mean[component] + jnp.einsum("nij,nj->ni", mixture.cholesky[component], noise)


def mixture_log_density(mixture: Mixture, z: Array) -> Array:
    """The log-density of codes.

    Args:
        mixture: the Mixture.
        z: (n, d).

    Returns:
        (n,), in nats.

    Example:
        >>> mixture = Mixture(jnp.zeros(1), jnp.zeros((1, 1)), jnp.ones((1, 1, 1)))
        >>> round(float(mixture_log_density(mixture, jnp.zeros((1, 1)))[0]), 4)
        -0.9189
    """
    return jax.nn.logsumexp(_joint_log_density(mixture, z), axis=1)


def evaluate_mixture(mixture: Mixture, z: ArrayLike) -> dict[str, float]:
    """Measures a mixture on codes of rows that it was not fitted to.

    Args:
        mixture: the Mixture.
        z: (n, d).

    Returns:
        The mean log-density of the codes, in nats: the higher, the better.

    Raises:
        ValueError: codes of another size.

    Example:
        >>> mixture = Mixture(jnp.zeros(1), jnp.zeros((1, 1)), jnp.ones((1, 1, 1)))
        >>> round(evaluate_mixture(mixture, [[0.0], [1.0]])["mean log-density, nats"], 4)
        -1.1689
    """
    z = jnp.asarray(z, mixture.mean.dtype)
    if z.ndim != 2 or z.shape[1] != mixture.mean.shape[1]:
        raise ValueError(f"z: found shape {z.shape}, expected (n, {mixture.mean.shape[1]})")
    return {"mean log-density, nats": float(mixture_log_density(mixture, z).mean())}


def _joint_log_density(mixture: Mixture, z: Array) -> Array:
    def component(mean: Array, cholesky: Array) -> Array:
        whitened = jax.scipy.linalg.solve_triangular(cholesky, (z - mean[None, :]).T, lower=True)
        log_determinant = jnp.sum(jnp.log(jnp.diagonal(cholesky)))
        return -0.5 * jnp.sum(whitened**2 + jnp.log(2 * jnp.pi), axis=0) - log_determinant

    return mixture.log_weight[None, :] + jax.vmap(component, out_axes=1)(mixture.mean, mixture.cholesky)


@functools.partial(jax.jit, static_argnames="num_components")
def _expectation_maximisation(num_components: int, key: Array, z: Array) -> Mixture:
    spread = jnp.var(z, axis=0) + 1e-12
    floor = _REGULARISATION * jnp.diag(spread)
    start = Mixture(
        log_weight=jnp.full((num_components,), -jnp.log(num_components), z.dtype),
        mean=jax.random.choice(key, z, (num_components,), replace=False),
        cholesky=jnp.tile(jnp.diag(jnp.sqrt(spread)), (num_components, 1, 1)),
    )

    def iterate(mixture: Mixture, _: None) -> tuple[Mixture, None]:
        share = jax.nn.softmax(_joint_log_density(mixture, z), axis=1)
        mass = share.sum(axis=0) + 1e-6
        mean = (share.T @ z) / mass[:, None]

        def covariance(share: Array, mean: Array, mass: Array) -> Array:
            return (share[:, None] * (z - mean[None, :])).T @ (z - mean[None, :]) / mass + floor

        cholesky = jnp.linalg.cholesky(jax.vmap(covariance, in_axes=(1, 0, 0))(share, mean, mass))
        return Mixture(jnp.log(mass / mass.sum()), mean, cholesky), None

    return jax.lax.scan(iterate, start, None, length=_NUM_ITERATIONS)[0]


def _pack(mixture: Mixture) -> Stored:
    return Stored({}, mixture._asdict())


def _unpack(stored: Stored) -> Mixture:
    mixture = Mixture(*jax.device_put([stored.arrays[name] for name in Mixture._fields]))
    shape = mixture.mean.shape
    found = {name: array.shape for name, array in mixture._asdict().items()}
    if len(shape) != 2 or found["log_weight"] != shape[:1] or found["cholesky"] != (*shape, shape[-1]):
        raise ValueError(f"found shapes {found}, expected (k,), (k, d) and (k, d, d)")
    return mixture


codecs.register(codecs.Codec("mixture", Mixture, 1, _pack, _unpack, arrays={"*": numbers(least=1)}))
