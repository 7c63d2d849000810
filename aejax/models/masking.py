"""Denoising by a mask over the short-time spectrum."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from aejax import losses, nets
from aejax.base import Array, Aux, Batch, Model, PyTree, Variables
from aejax.data.spectrograms import inverse_stft, num_frames, stft
from aejax.kernels.recipes import remembered
from aejax.models.autoencoder import autoencoder

# In the logarithm of magnitudes beside their root mean square: what lies 80 dB below it counts as silence.
_MAGNITUDE_FLOOR = 1e-4
# In the logarithm of the error's share of the energy: below -40 dB there is nothing more to gain.
_ERROR_FLOOR = 1e-4


@remembered
def masking_autoencoder(
    event_shape: Sequence[int],
    *,
    frame_length: int = 256,
    hop: int = 64,
    hidden_dim: int = 128,
    dilations: Sequence[int] = (1, 2, 4, 8, 1, 2),
    dropout_rate: float = 0.0,
) -> Model:
    """A model of signals that keeps of each time and frequency the share that is not noise.

    The code is the masked spectrum M X, where X is the short-time Fourier transform of the signal and M in [0, 1] the
    output of a network; the decoder, which has no parameters, is the inverse transform (the idea of Zhu, Mousavi &
    Beroza 2019, whose mask comes from a two-dimensional U-Net and is trained on the oracle mask). The network is of
    dilated convolutions along time, whose channels are the frequencies. It sees log-magnitudes less their median over
    the signal, and that median and the 20 % quantile, which describe the stationary noise. Nothing it sees depends on
    the amplitude, so a signal twice as large is denoised to one twice as large.

    Trained on pairs (``Batch(x=noisy, target=clean)``, from ``aejax.tasks.denoising.mixtures``). The loss is the error
    of the signal in decibels below the energy of the input, 10 log10(|estimate - target|^2 / |x|^2 + 1e-4), averaged
    over examples: its fall is the mean rise of the signal-to-noise ratio. So each pair counts alike, which a sum of
    squares would leave to the pairs with the most noise.

    Args:
        event_shape: (num_samples,) of one signal, at least as long as a frame.
        frame_length: samples in a frame of the transform.
        hop: samples from one frame to the next.
        hidden_dim: channels of the network.
        dilations: of its layers, in frames.
        dropout_rate: share of hidden units silenced in training.

    Returns:
        The Model; equal arguments give the same one. ``decode(encode(x))`` of a noisy signal is the denoised one. The
        code has two numbers for each frame and frequency: it compresses nothing.

    Raises:
        ValueError: an event that is not one signal, or a size that is not as above.

    Example:
        >>> model = masking_autoencoder((512,), hidden_dim=8)
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 512))))
        >>> model.decode(variables, model.encode(variables, jnp.ones((3, 512))).mean).shape
        (3, 512)
    """
    event_shape = tuple(event_shape)
    if len(event_shape) != 1:
        raise ValueError(f"event_shape: found {event_shape}, expected (num_samples,) of one signal")
    (num_samples,) = event_shape
    if num_samples < frame_length:
        raise ValueError(f"event_shape: found {event_shape}, expected at least one frame of {frame_length} samples")
    frames, bins = num_frames(num_samples, frame_length, hop), frame_length // 2 + 1
    network = nets.dilated_convolutions(hidden_dim, bins, dilations=dilations, dropout_rate=dropout_rate)

    def init_mask(key: Array, x: Array, cond: Array | None = None) -> Variables:
        return network.init(key, _features(stft(x, frame_length, hop)), cond)

    def mask(
        collections: Variables, x: Array, cond: Array | None = None, key: Array | None = None, train: bool = False
    ) -> tuple[Array, Variables]:
        spectrum = stft(x, frame_length, hop)
        logit, collections = network.apply(collections, _features(spectrum), cond, key=key, train=train)
        kept = jax.nn.sigmoid(logit) * spectrum
        return jnp.stack([kept.real, kept.imag], axis=-1).reshape(len(x), -1), collections

    def synthesise(
        collections: Variables, z: Array, cond: Array | None = None, key: Array | None = None, train: bool = False
    ) -> tuple[Array, Variables]:
        del cond, key, train
        z = z.reshape(-1, frames, bins, 2)
        return inverse_stft(z[..., 0] + 1j * z[..., 1], frame_length, hop, num_samples), collections

    encoder = nets.Network(init_mask, mask)
    decoder = nets.Network(lambda key, z, cond=None: {}, synthesise)  # noqa: ARG005
    model = autoencoder(event_shape, 2 * frames * bins, encoder=encoder, decoder=decoder)

    def loss(key: Array, variables: Variables, batch: Batch, hparams: PyTree, train: bool = True) -> tuple[Array, Aux]:
        del hparams
        z, collections = mask(nets.select(variables, "encoder"), batch.x, batch.cond, key, train)
        error = synthesise({}, z)[0] - (batch.x if batch.target is None else batch.target)
        energy = losses.sum_elements(jnp.square(batch.x), batch)
        share = losses.sum_elements(jnp.square(error), batch) / jnp.maximum(energy, 1e-20)
        value = losses.mean_examples(10 * jnp.log10(share + _ERROR_FLOOR), batch)
        metrics = {"loss": value, "mse": jnp.mean(losses.mean_elements(jnp.square(error), batch))}
        return value, Aux(metrics, nets.join(encoder=collections))

    return model._replace(loss=loss)


def _features(spectrum: Array) -> Array:
    """(n, frames, bins) to (n, frames, 3 bins): log-magnitudes less their median over time, and two quantiles."""
    magnitude = jnp.abs(spectrum)
    scale = jnp.sqrt(jnp.mean(jnp.square(magnitude), axis=(1, 2), keepdims=True))
    level = jnp.log(magnitude / jnp.maximum(scale, 1e-20) + _MAGNITUDE_FLOOR)
    in_order = jnp.sort(level, axis=1)
    low, median = (in_order[:, int(share * (level.shape[1] - 1))][:, None] for share in (0.2, 0.5))
    return jnp.concatenate([level - median, *(jnp.broadcast_to(part, level.shape) for part in (low, median))], axis=-1)
