"""Deterministic autoencoders, and the wrapper that makes any model a denoising one."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from aejax import losses, nets
from aejax.base import Array, Aux, Batch, Latent, Model, Variables
from aejax.models.coder import coder
from aejax.models.registry import factory


class AutoencoderHparams(NamedTuple):
    """A plain autoencoder has no hyperparameter that can be traced."""


class DenoisingHparams(NamedTuple):
    """Hyperparameters of a denoising model.

    Attributes:
        noise_level: the corruption's strength: a standard deviation, or the share of elements masked.
        model: the hyperparameters of the model inside.
    """

    noise_level: float | Array
    model: Any


@factory
def autoencoder(
    event_shape: Sequence[int],
    latent_dim: int,
    *,
    hidden_dims: Sequence[int] = (64, 32),
    activation: str = "tanh",
    dropout_rate: float = 0.0,
    batch_norm: bool = False,
    likelihood: losses.Likelihood | None = None,
    encoder: nets.Network | None = None,
    decoder: nets.Network | None = None,
) -> Model:
    """An autoencoder: x -> z -> x, trained on the squared error (Rumelhart, Hinton & Williams 1986).

    The loss is the squared error summed over the event and averaged over examples, so that neither batch size nor
    missing rows change its scale; the metric ``mse`` is per element. The score is the mean squared error over the
    observed elements. The output is linear: a sigmoid, as some texts use, cannot fit standardised data.

    Args:
        event_shape: shape of one example, e.g. ``(15,)``.
        latent_dim: size of the code.
        hidden_dims: widths of the encoder's hidden layers; the decoder mirrors them. None at all makes it linear, and
            its optimum the principal subspace (Baldi & Hornik 1989).
        activation: name of the hidden activation, one of ``aejax.nets.ACTIVATIONS``. On the two processes in
            the README tanh explains more held-out variance than the source texts' ReLU, though not on every table.
        dropout_rate: share of hidden units silenced in training.
        batch_norm: whether hidden layers are normalised.
        likelihood: what the decoder's output means; the squared error if None.
        encoder: a Network event -> (latent_dim,) in place of the dense one.
        decoder: a Network (latent_dim,) -> event in place of the dense one.

    Returns:
        The Model. Conditions in the batch, if any, are appended to the input of encoder and decoder.

    Raises:
        ValueError: a dimension is not positive, or an unknown activation.

    Example:
        >>> model = autoencoder(event_shape=(10,), latent_dim=2)
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 10))))
        >>> model.encode(variables, jnp.zeros((5, 10))).mean.shape
        (5, 2)
    """
    parts = coder(
        event_shape,
        latent_dim,
        code_size=latent_dim,
        hidden_dims=hidden_dims,
        activation=activation,
        dropout_rate=dropout_rate,
        batch_norm=batch_norm,
        likelihood=likelihood or losses.squared_error(),
        encoder=encoder,
        decoder=decoder,
    )

    def encode(variables: Variables, x: Array, cond: Array | None = None) -> Latent:
        return Latent(parts.encode(variables, x, cond)[0])

    def loss(
        key: Array, variables: Variables, batch: Batch, hparams: AutoencoderHparams, train: bool = True
    ) -> tuple[Array, Aux]:
        del hparams
        encoder_key, decoder_key = jax.random.split(key)
        z, encoder_state = parts.encode(variables, batch.x, batch.cond, encoder_key, train)
        output, decoder_state = parts.decode(variables, z, batch.cond, decoder_key, train)
        nll = parts.nll(variables, batch, output)
        value = losses.mean_examples(losses.sum_elements(nll, batch), batch)
        metrics = {"loss": value, "mse": parts.mse(batch, output)}
        return value, Aux(metrics, nets.join(encoder=encoder_state, decoder=decoder_state))

    def score(key: Array, variables: Variables, batch: Batch) -> Array:
        del key
        output, _ = parts.decode(variables, encode(variables, batch.x, batch.cond).mean, batch.cond)
        return losses.mean_elements(parts.nll(variables, batch, output), batch)

    return Model(parts.init, encode, parts.mean, loss, score, None, AutoencoderHparams())


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
    return jnp.where(jax.random.bernoulli(key, noise_level, x.shape), 0, x)


def denoising(model: Model, corrupt: Callable[[Array, Array, Any], Array], noise_level: float | Array) -> Model:
    """Wraps a model so that it learns to undo a corruption drawn afresh at each step (Vincent et al. 2008).

    Args:
        model: any Model.
        corrupt: (key, x, noise_level) -> x of the same shape, corrupted.
        noise_level: the default strength.

    Returns:
        The Model. Its loss sees corrupted rows and reconstructs the target, the rows as given; what is not a loss
        stays as it was, so ``decode(encode(x))`` of a noisy row is the denoised row.

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
        if mask is not None:  # a missing value is shown to the model as it will be in use: as zero
            noisy = jnp.where(mask, noisy, batch.x)
        target = batch.x if batch.target is None else batch.target
        return model.loss(model_key, variables, batch._replace(x=noisy, target=target), hparams.model, train)

    return model._replace(loss=loss, hparams=DenoisingHparams(noise_level, model.hparams))


@factory
def denoising_autoencoder(
    event_shape: Sequence[int],
    latent_dim: int,
    *,
    hidden_dims: Sequence[int] = (64, 32),
    noise_level: float = 0.3,
    corruption: Literal["gaussian", "masking"] = "gaussian",
    activation: str = "tanh",
    dropout_rate: float = 0.0,
    batch_norm: bool = False,
) -> Model:
    """An autoencoder that reconstructs clean rows from corrupted ones (Vincent et al. 2008).

    The noise is drawn afresh at each step from the step's key; the source system draws it once, before training, so
    that its network can memorise the noise.

    Args:
        event_shape: shape of one example.
        latent_dim: size of the code.
        hidden_dims: widths of the encoder's hidden layers; the decoder mirrors them.
        noise_level: standard deviation of the Gaussian noise, or the share of elements masked. A default of the
            hyperparameters, so that a sweep over it compiles once.
        corruption: ``"gaussian"`` or ``"masking"``.
        activation: name of the hidden activation.
        dropout_rate: share of hidden units silenced in training, as in the source system.
        batch_norm: whether hidden layers are normalised.

    Returns:
        The Model.

    Raises:
        ValueError: an unknown corruption, or a noise level out of range.

    Example:
        >>> denoising_autoencoder(event_shape=(10,), latent_dim=4).hparams.noise_level
        0.3
    """
    corruptions = {"gaussian": gaussian_noise, "masking": masking_noise}
    if corruption not in corruptions:
        raise ValueError(f"corruption: found {corruption!r}, expected one of {', '.join(corruptions)}")
    if noise_level < 0 or (corruption == "masking" and noise_level > 1):
        raise ValueError(f"noise_level: found {noise_level}, expected at least 0 (a share, for masking noise)")
    inner = autoencoder(
        event_shape,
        latent_dim,
        hidden_dims=hidden_dims,
        activation=activation,
        dropout_rate=dropout_rate,
        batch_norm=batch_norm,
    )
    return denoising(inner, corruptions[corruption], noise_level)
