"""Denoising: a wrapper that makes any model undo a corruption."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Unpack

import jax
import jax.numpy as jnp

from aejax import losses
from aejax.base import Array, Aux, Batch, Model, PyTree, Variables
from aejax.kernels.options import options_of
from aejax.models.autoencoder import AutoencoderOptions, autoencoder
from aejax.models.registry import factory

Corruption = Callable[[Array, Array, float | Array], Array]


class DenoisingHparams(NamedTuple):
    """Hyperparameters of a denoising model.

    Attributes:
        noise_level: the corruption's strength: a standard deviation, or the share of elements hit.
        emphasis: the weight of an element that was corrupted, where one that was not has 1.
        model: the hyperparameters of the model inside.
    """

    noise_level: float | Array
    emphasis: float | Array
    model: PyTree


def gaussian_noise(key: Array, x: Array, noise_level: float | Array) -> Array:
    """Adds Normal(0, noise_level^2).

    Example:
        >>> bool((gaussian_noise(jax.random.key(0), jnp.ones((2, 2)), 0.0) == 1).all())
        True
    """
    return x + noise_level * jax.random.normal(key, x.shape, x.dtype)


def masking_noise(key: Array, x: Array, noise_level: float | Array) -> Array:
    """Sets a share ``noise_level`` of the elements to zero (Vincent et al. 2008, section 2.3).

    Example:
        >>> float(masking_noise(jax.random.key(0), jnp.ones((2, 2)), 1.0).sum())
        0.0
    """
    return jnp.where(_hit(key, x, noise_level), 0, x)


def salt_and_pepper_noise(key: Array, x: Array, noise_level: float | Array) -> Array:
    """Sets a share ``noise_level`` of the elements to the element's largest or smallest value in the batch, at random.

    Vincent et al. (2010), section 4.1, for data in [0, 1]; on standardised data the extremes are those of the batch.

    Example:
        >>> noisy = salt_and_pepper_noise(jax.random.key(0), jnp.array([[0.0], [0.5], [1.0]]), 1.0)
        >>> sorted(set(noisy.ravel().tolist()))
        [0.0, 1.0]
    """
    hit_key, side_key = jax.random.split(key)
    is_salt = jax.random.bernoulli(side_key, 0.5, x.shape)
    extreme = jnp.where(is_salt, jnp.max(x, axis=0, keepdims=True), jnp.min(x, axis=0, keepdims=True))
    return jnp.where(_hit(hit_key, x, noise_level), extreme, x)


def _hit(key: Array, x: Array, share: float | Array) -> Array:
    """True for a share of the elements, drawn in the type of x: the same ones whatever JAX's default type is."""
    return jax.random.uniform(key, x.shape, x.dtype) < share


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian": gaussian_noise,
    "masking": masking_noise,
    "salt_and_pepper": salt_and_pepper_noise,
}


def denoising(model: Model, corrupt: Corruption, noise_level: float | Array, emphasis: float | Array = 1.0) -> Model:
    """Wraps a model so that it learns to undo a corruption drawn afresh at each step (Vincent et al. 2008).

    Args:
        model: any Model.
        corrupt: (key, x, noise_level) -> x of the same shape, corrupted.
        noise_level: the default strength.
        emphasis: the default weight of corrupted elements in the loss, where the others have 1 (Vincent et al. 2010,
            section 4.2). It tells apart the elements that masking or salt-and-pepper noise hit; Gaussian noise hits
            all.

    Returns:
        The Model. Its loss sees corrupted rows and reconstructs the target, the rows as given. Everything
        else stays as it was, so ``decode(encode(x))`` of a noisy row is the denoised row.

    Example:
        >>> inner = autoencoder(event_shape=(10,), latent_dim=2)
        >>> denoising(inner, masking_noise, noise_level=0.25).hparams.noise_level
        0.25
    """

    def loss(
        key: Array, variables: Variables, batch: Batch, hparams: DenoisingHparams, train: bool = True
    ) -> tuple[Array, Aux]:
        corrupt_key, model_key = jax.random.split(key)
        noisy = corrupt(corrupt_key, batch.x, hparams.noise_level)
        mask = losses.observed(batch)
        if mask is not None:  # a missing value stays one, which the model inside fills
            noisy = jnp.where(mask, noisy, batch.x)
        target = batch.x if batch.target is None else batch.target
        weight = jnp.where(noisy == batch.x, 1, hparams.emphasis)
        weight = weight if batch.weight is None else weight * batch.weight
        corrupted = batch._replace(x=noisy, target=target, weight=weight)
        return model.loss(model_key, variables, corrupted, hparams.model, train)

    return model._replace(loss=loss, hparams=DenoisingHparams(noise_level, emphasis, model.hparams))


def corruption_named(name: str, noise_level: float) -> Corruption:
    """The corruption of that name, once its strength is checked.

    Args:
        name: one of ``CORRUPTIONS``.
        noise_level: a standard deviation, or a share.

    Returns:
        The corruption.

    Raises:
        ValueError: an unknown name, or a strength out of range.

    Example:
        >>> corruption_named("masking", 0.3) is masking_noise
        True
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"corruption: found {name!r}, expected one of {', '.join(CORRUPTIONS)}")
    if noise_level < 0 or (name != "gaussian" and noise_level > 1):
        raise ValueError(f"noise_level: found {noise_level}, expected at least 0 (a share, but for Gaussian noise)")
    return CORRUPTIONS[name]


@factory
@options_of(autoencoder)
def denoising_autoencoder(
    event_shape: Sequence[int],
    latent_dim: int,
    *,
    noise_level: float = 0.3,
    corruption: Literal["gaussian", "masking", "salt_and_pepper"] = "gaussian",
    emphasis: float = 1.0,
    **options: Unpack[AutoencoderOptions],
) -> Model:
    """An autoencoder that reconstructs clean rows from corrupted ones (Vincent et al. 2008).

    The noise is drawn afresh at each step from the step's key; the source system draws it once, before training, so
    that its network can memorise the noise.

    Args:
        event_shape: shape of one example.
        latent_dim: size of the code.
        noise_level: standard deviation of the Gaussian noise, or the share of elements hit. A default of the
            hyperparameters, so that a sweep over it compiles once.
        corruption: ``"gaussian"``, ``"masking"`` or ``"salt_and_pepper"``.
        emphasis: weight of corrupted elements in the loss, where the others have 1; likewise.
        options: as in ``autoencoder``.

    Returns:
        The Model.

    Raises:
        ValueError: an unknown corruption, or a noise level out of range.

    Example:
        >>> denoising_autoencoder(event_shape=(10,), latent_dim=4).hparams.noise_level
        0.3
    """
    corrupt = corruption_named(corruption, noise_level)
    return denoising(autoencoder(event_shape, latent_dim, **options), corrupt, noise_level, emphasis)
