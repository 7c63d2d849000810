"""Short-time Fourier transform and its inverse, as pure functions of arrays of any leading shape."""

import jax.numpy as jnp
import numpy as np

from aejax.base import Array, ArrayLike


def num_frames(num_samples: int, frame_length: int, hop: int) -> int:
    """The frames that ``stft`` makes of a signal.

    Args:
        num_samples: length of the signal.
        frame_length: samples in a frame.
        hop: samples from one frame to the next.

    Returns:
        The number of frames, so many that each sample lies in ``frame_length / hop`` of them.

    Raises:
        ValueError: a length that is not positive, or a frame that is not a whole number of at least two hops.

    Example:
        >>> num_frames(256, 64, 16)
        19
    """
    if min(num_samples, frame_length, hop) < 1:
        raise ValueError(
            f"num_samples, frame_length, hop: found {num_samples}, {frame_length}, {hop}, expected positive numbers"
        )
    if frame_length % hop or frame_length < 2 * hop:
        raise ValueError(
            f"hop: found {hop} with frames of {frame_length}, expected a divisor of the frame, at most half of it"
        )
    return -(-num_samples // hop) + frame_length // hop - 1


def stft(x: ArrayLike, frame_length: int, hop: int) -> Array:
    """The short-time Fourier transform, X[t, f] = sum_n w[n] x[t hop + n - (frame_length - hop)] exp(-2 pi i f n / L).

    The window w is the square root of a Hann window, here and in the inverse, so that a spectrum that was changed is
    put together again with the least squared error (Griffin & Lim 1984, eq. 6).

    Args:
        x: (..., num_samples), real. Silence is put before and after.
        frame_length: samples in a frame, L.
        hop: samples from one frame to the next, a divisor of L and at most half of it.

    Returns:
        (..., num_frames, L // 2 + 1), complex; bin f is at the frequency f / L times the sampling rate.

    Raises:
        ValueError: lengths that are not as above.

    Example:
        >>> spectrum = stft(jnp.ones((3, 256)), frame_length=64, hop=16)
        >>> spectrum.shape
        (3, 19, 33)
        >>> bool(jnp.allclose(inverse_stft(spectrum, 64, 16, 256), 1, atol=1e-5))
        True
    """
    x = jnp.asarray(x)
    count = num_frames(x.shape[-1], frame_length, hop)
    overlap = frame_length // hop
    before = frame_length - hop
    after = (count + overlap - 1) * hop - before - x.shape[-1]
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(before, after)])
    # Frames as neighbouring pieces of one hop each: slices, where an index of samples would be a gather.
    pieces = padded.reshape(*x.shape[:-1], -1, hop)
    frames = jnp.concatenate([pieces[..., i : i + count, :] for i in range(overlap)], axis=-1)
    return jnp.fft.rfft(frames * np.expand_dims(_window(frame_length), tuple(range(frames.ndim - 1))))


def inverse_stft(spectrum: ArrayLike, frame_length: int, hop: int, num_samples: int) -> Array:
    """The signal whose transform is nearest to a spectrum: windowed frames, added where they overlap.

    Args:
        spectrum: (..., num_frames, frame_length // 2 + 1), complex.
        frame_length: as in ``stft``.
        hop: as in ``stft``.
        num_samples: length of the signal.

    Returns:
        (..., num_samples); ``inverse_stft(stft(x))`` is x.

    Raises:
        ValueError: a spectrum of another shape than ``stft`` gives for these lengths.

    Example:
        >>> inverse_stft(jnp.zeros((19, 33)), frame_length=64, hop=16, num_samples=256).shape
        (256,)
    """
    spectrum = jnp.asarray(spectrum)
    expected = (num_frames(num_samples, frame_length, hop), frame_length // 2 + 1)
    if spectrum.shape[-2:] != expected:
        raise ValueError(f"spectrum: found (frames, bins) = {spectrum.shape[-2:]}, expected {expected}")
    overlap = frame_length // hop
    window = _window(frame_length)
    weight = np.expand_dims(window / np.sum(window[::hop] ** 2), tuple(range(spectrum.ndim - 1)))
    frames = jnp.fft.irfft(spectrum, frame_length) * weight
    no_pad = [(0, 0)] * (frames.ndim - 2)
    added = sum(
        jnp.pad(frames[..., i * hop : (i + 1) * hop], [*no_pad, (i, overlap - 1 - i), (0, 0)]) for i in range(overlap)
    )
    begin = frame_length - hop
    return jnp.reshape(added, (*spectrum.shape[:-2], -1))[..., begin : begin + num_samples]


def _window(frame_length: int) -> np.ndarray:
    """The root of a Hann window with period ``frame_length``: its squares, shifted by hops, add to a constant."""
    return np.sin(np.pi * np.arange(frame_length) / frame_length).astype(np.float32)
