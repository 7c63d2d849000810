"""What a denoiser makes better, measured against signals that are known."""

import numpy as np

from aejax.base import ArrayLike
from aejax.tasks.denoising.denoiser import Denoiser, denoise
from aejax.tasks.denoising.onsets import onset_error


def evaluate_denoiser(
    denoiser: Denoiser,
    noisy: ArrayLike,
    clean: ArrayLike,
    arrival: ArrayLike | None = None,
    sampling_rate: float | None = None,
) -> dict[str, float]:
    """Measures a denoiser on pairs that it was not trained on, such as ``mixtures`` of other places.

    Args:
        denoiser: the Denoiser.
        noisy: (n, length).
        clean: (n, length), the same signals without the noise.
        arrival: (n,), the sample near which each event begins, to measure how well its onset is picked.
        sampling_rate: of the pairs, in samples a second; that of the training if None.

    Returns:
        The mean gain in dB, the mean correlation with the clean signals before and after (0 where one does not vary),
        and, with ``arrival``, the median of the onset's error before and after, with its sign and without, in seconds.

    Raises:
        ValueError: pairs that do not fit each other or have no noise, or as in ``denoise``.

    Example:
        >>> import aejax, jax
        >>> model = aejax.models.masking_autoencoder((256,), hidden_dim=8, dilations=(1,))
        >>> variables = model.init(jax.random.key(0), aejax.Batch(np.zeros((1, 256))))
        >>> clean, noise = np.random.default_rng(0).standard_normal((2, 3, 500))
        >>> sorted(evaluate_denoiser(Denoiser(model, variables, 256, 100.0), clean + noise, clean))
        ['mean correlation, denoised', 'mean correlation, noisy', 'mean gain, dB']
    """
    noisy, clean = np.asarray(noisy), np.asarray(clean)
    if noisy.shape != clean.shape or noisy.ndim != 2:
        raise ValueError(f"noisy, clean: found shapes {noisy.shape}, {clean.shape}, expected (n, length) for both")
    without = int((noisy == clean).all(axis=1).sum())
    if without:
        raise ValueError(f"noisy, clean: found {without} pairs without noise, expected some in each; leave them out")
    estimate = denoise(denoiser, noisy, sampling_rate)
    measured = {
        "mean gain, dB": gain(noisy, clean, estimate).mean(),
        "mean correlation, noisy": np.nan_to_num(correlation(clean, noisy)).mean(),
        "mean correlation, denoised": np.nan_to_num(correlation(clean, estimate)).mean(),
    }
    if arrival is not None:
        rate = sampling_rate or denoiser.sampling_rate
        late = {
            name: onset_error(clean, traces, arrival, sampling_rate=rate)
            for name, traces in (("noisy", noisy), ("denoised", estimate))
        }
        measured |= {f"onset error, {n}, median of the absolute, s": np.median(np.abs(e)) for n, e in late.items()}
        measured |= {f"onset error, {name}, median, s": np.median(error) for name, error in late.items()}
    return {name: float(value) for name, value in measured.items()}


def gain(noisy: ArrayLike, clean: ArrayLike, estimate: ArrayLike) -> np.ndarray:
    """The rise of the signal-to-noise ratio, 10 log10(sum (noisy - clean)^2 / sum (estimate - clean)^2).

    Args:
        noisy: (..., length).
        clean: (..., length).
        estimate: (..., length).

    Returns:
        (...), in dB: the ratio of the estimate less that of the input.

    Example:
        >>> round(float(gain(np.array([1.0, 1.0]), np.zeros(2), np.array([0.1, 0.1]))), 6)
        20.0
    """
    noisy, clean, estimate = (np.asarray(array, float) for array in (noisy, clean, estimate))
    before, after = (np.sum((array - clean) ** 2, axis=-1) for array in (noisy, estimate))
    with np.errstate(divide="ignore", invalid="ignore"):
        return 10 * np.log10(before / after)


def correlation(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """The correlation coefficient of waveforms at zero lag.

    Args:
        first: (..., length).
        second: (..., length).

    Returns:
        (...), between -1 and 1; NaN where one does not vary.

    Example:
        >>> round(float(correlation([1.0, 2.0, 3.0], [2.0, 4.0, 6.5])), 3)
        0.998
    """
    arrays = (np.asarray(array, float) for array in (first, second))
    one, other = (array - array.mean(axis=-1, keepdims=True) for array in arrays)
    size = np.sqrt(np.sum(one**2, axis=-1) * np.sum(other**2, axis=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sum(one * other, axis=-1) / size
