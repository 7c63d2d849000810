"""Models with convolutional networks, in 1, 2 or 3 dimensions."""

from collections.abc import Sequence
from typing import Any, Literal, Unpack

from aejax import losses, nets
from aejax.base import Model
from aejax.kernels.options import options_of
from aejax.models.autoencoder import autoencoder
from aejax.models.coder import LayerOptions, check_latent_dim, output_shape
from aejax.models.denoising import corruption_named, denoising
from aejax.models.registry import factory
from aejax.models.vae import vae


class ConvolutionalOptions(LayerOptions, total=False):
    """The options of ``convolutional_networks``, for type checkers."""

    hidden_dims: Sequence[int]
    num_spatial_dims: int | None
    grid: Sequence[int] | None
    dense_dims: Sequence[int]


def convolutional_networks(
    event_shape: Sequence[int],
    code_size: int,
    likelihood: losses.Likelihood,
    *,
    hidden_dims: Sequence[int] = (32, 64, 128, 256),
    num_spatial_dims: int | None = None,
    activation: str = "relu",
    dropout_rate: float = 0.0,
    batch_norm: bool = True,
    precision: nets.Precision = "float32",
    remat: bool = False,
    grid: Sequence[int] | None = None,
    dense_dims: Sequence[int] = (),
) -> tuple[nets.Network, nets.Network]:
    """An encoder and a decoder of convolutions that mirror each other.

    Args:
        event_shape: shape of one example, channels last.
        code_size: size of the encoder's output.
        likelihood: p(x | output of the decoder).
        hidden_dims: channels of the encoder's layers; the decoder mirrors them.
        num_spatial_dims: how many leading axes of the event are spatial, 1, 2 or 3; by default all of one or two
            axes, and all but the last of three or four. ``(32, 32, 16)`` is a volume with 3.
        activation: name of the hidden activation.
        dropout_rate: share of activations silenced in training.
        batch_norm: whether hidden layers are normalised.
        precision: ``"bfloat16"`` has the layers compute in it, which is faster on accelerators; parameters and losses
            stay float32.
        remat: whether hidden layers are computed again in the backward pass in place of being kept, see
            ``aejax.nets.recomputed``: less memory, a third more arithmetic.
        grid: sizes of a coarser grid that the convolutions work on, in the place of the spatial axes: their input is
            averaged onto it, their output interpolated from it, linearly. With ``bernoulli()`` the edges of bodies of
            some cells' width stay sharp, since a field of logits crosses zero between grid points; the work is less by
            the ratio of the cells.
        dense_dims: widths of dense layers between the convolutions and the code, and back.

    Returns:
        Encoder and decoder.

    Raises:
        ValueError: an event without spatial axes, a size that is not positive, or an unknown activation.
    """
    spatial = _spatial(tuple(event_shape), num_spatial_dims)
    output = output_shape(event_shape, likelihood)
    inner = spatial if grid is None else tuple(grid)
    options: dict[str, Any] = {"activation": activation, "dropout_rate": dropout_rate, "batch_norm": batch_norm}
    encoder = {
        "convolutions": nets.convolutional_encoder(inner, hidden_dims, (*dense_dims, code_size)[0], **options),
    }
    decoder = {
        "convolutions": nets.convolutional_decoder(
            inner, (*inner, *output[len(spatial) :]), tuple(hidden_dims)[::-1], **options
        ),
    }
    if dense_dims:
        widths = tuple(dense_dims)[::-1]
        encoder = encoder | {"dense": nets.mlp(dense_dims, (code_size,), **options)}
        decoder = {"dense": nets.mlp(widths, widths[-1:], output_activation=activation, **options)} | decoder
    if inner != spatial:
        encoder = {"resize": nets.resize(spatial, inner)} | encoder
        decoder = decoder | {"resize": nets.resize(inner, spatial)}
    # Alone, a network keeps its layers without a name of its own before them, as PyTorch's weights are paired.
    networks = [nets.compose(**parts) if len(parts) > 1 else next(iter(parts.values())) for parts in (encoder, decoder)]
    encoder_network, decoder_network = (
        nets.recomputed(nets.computed_in(network, precision), remat) for network in networks
    )
    return encoder_network, decoder_network


@factory
@options_of(convolutional_networks)
def convolutional_autoencoder(
    event_shape: Sequence[int],
    latent_dim: int,
    *,
    likelihood: losses.Likelihood | None = None,
    **options: Unpack[ConvolutionalOptions],
) -> Model:
    """An autoencoder of signals, images or volumes (Masci et al. 2011).

    Each layer halves the grid, rounding up; the decoder doubles it back to exactly the sizes that it had, even or odd.
    Its output is linear where the source text ends in a sigmoid: say ``likelihood=losses.bernoulli()`` for
    data in [0, 1].

    Args:
        event_shape: shape of one example, channels last: ``(128,)`` a signal, ``(28, 28)`` a grey image,
            ``(224, 224, 3)`` a colour image, ``(32, 32, 16, 1)`` a volume. PyTorch's (3, 224, 224) becomes this by
            ``jnp.moveaxis(x, 1, -1)``.
        latent_dim: size of the code.
        likelihood: what the decoder's output means; the squared error if None.
        options: as in ``convolutional_networks``.

    Returns:
        The Model.

    Raises:
        ValueError: an event without spatial axes, a size that is not positive, or an unknown activation.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from aejax.base import Batch
        >>> model = convolutional_autoencoder((9, 7, 3), 4, hidden_dims=(8, 8))
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 9, 7, 3))))
        >>> model.decode(variables, jnp.zeros((2, 4))).shape
        (2, 9, 7, 3)
    """
    check_latent_dim(latent_dim)
    likelihood = likelihood or losses.squared_error()
    encoder, decoder = convolutional_networks(event_shape, latent_dim, likelihood, **options)
    return autoencoder(event_shape, latent_dim, likelihood=likelihood, encoder=encoder, decoder=decoder)


@factory
@options_of(convolutional_networks)
def convolutional_vae(
    event_shape: Sequence[int],
    latent_dim: int,
    *,
    beta: float = 1.0,
    num_importance_samples: int = 1,
    likelihood: losses.Likelihood | None = None,
    **options: Unpack[ConvolutionalOptions],
) -> Model:
    """A variational autoencoder of signals, images or volumes: ``vae`` with convolutions.

    Args:
        event_shape: as in ``convolutional_autoencoder``.
        latent_dim: size of the code.
        beta: default weight of the KL term.
        num_importance_samples: as in ``vae``.
        likelihood: p(x | z); a Gaussian with one learned scale if None, since one for each pixel lets those that are
            always dark take all the weight.
        options: as in ``convolutional_networks``.

    Returns:
        The Model.

    Raises:
        ValueError: as for ``convolutional_autoencoder``.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from aejax.base import Batch
        >>> model = convolutional_vae((28, 28), 8, hidden_dims=(8, 8), likelihood=losses.bernoulli())
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 28, 28))))
        >>> model.sample(jax.random.key(1), variables, 2).shape
        (2, 28, 28)
    """
    check_latent_dim(latent_dim)
    likelihood = likelihood or losses.gaussian("shared")
    encoder, decoder = convolutional_networks(event_shape, 2 * latent_dim, likelihood, **options)
    return vae(
        event_shape,
        latent_dim,
        beta=beta,
        num_importance_samples=num_importance_samples,
        likelihood=likelihood,
        encoder=encoder,
        decoder=decoder,
    )


@factory
@options_of(convolutional_autoencoder)
def convolutional_denoising_autoencoder(
    event_shape: Sequence[int],
    latent_dim: int,
    *,
    hidden_dims: Sequence[int] = (32, 64, 128),
    noise_level: float = 0.3,
    corruption: Literal["gaussian", "masking", "salt_and_pepper"] = "gaussian",
    emphasis: float = 1.0,
    **options: Any,
) -> Model:
    """A denoising autoencoder of signals, images or volumes: ``denoising`` around ``convolutional_autoencoder``.

    Args:
        event_shape: as in ``convolutional_autoencoder``.
        latent_dim: size of the code.
        hidden_dims: channels of the encoder's layers; the decoder mirrors them.
        noise_level: as in ``denoising_autoencoder``.
        corruption: as in ``denoising_autoencoder``.
        emphasis: as in ``denoising_autoencoder``.
        options: as in ``convolutional_autoencoder``.

    Returns:
        The Model.

    Raises:
        ValueError: as for ``convolutional_autoencoder`` and ``denoising_autoencoder``.

    Example:
        >>> convolutional_denoising_autoencoder((128,), 16).hparams.noise_level
        0.3
    """
    inner = convolutional_autoencoder(event_shape, latent_dim, hidden_dims=hidden_dims, **options)
    return denoising(inner, corruption_named(corruption, noise_level), noise_level, emphasis)


def _spatial(event_shape: tuple[int, ...], num_spatial_dims: int | None) -> tuple[int, ...]:
    """The spatial sizes of an event; what follows them is the axis of channels, if there is one."""
    num_axes = len(event_shape)
    if num_spatial_dims is None:
        num_spatial_dims = num_axes if num_axes <= 2 else num_axes - 1
    if not 1 <= num_spatial_dims <= 3 or num_axes - num_spatial_dims not in (0, 1):
        raise ValueError(
            f"event_shape: found {event_shape} with num_spatial_dims={num_spatial_dims}, expected 1 to 3 spatial axes "
            "and at most one axis of channels behind them, e.g. (128,), (28, 28), (224, 224, 3), (32, 32, 16, 1)"
        )
    return event_shape[:num_spatial_dims]
