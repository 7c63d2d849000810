"""Signals at another sampling rate."""

from fractions import Fraction

import numpy as np

from aejax.base import ArrayLike


def resample(x: ArrayLike, rate: float, new_rate: float) -> np.ndarray:
    """Samples a band-limited signal at another rate, by cutting or extending its Fourier series.

    The signal is continued by its point reflection at both ends, so that they do not meet as a jump. Sample k lies at
    time k / rate before and k / new_rate after: nothing is shifted. Frequencies above half of the lower rate
    are lost.

    Args:
        x: (..., num_samples).
        rate: samples a second of x; both rates must be in a ratio of whole numbers up to 1,000.
        new_rate: samples a second asked for.

    Returns:
        (..., ceil(num_samples * new_rate / rate)), of x's type where that is floating, else float64.

    Raises:
        ValueError: a rate that is not positive, or another ratio.

    Example:
        >>> second = resample(np.sin(2 * np.pi * np.arange(200) / 100), rate=100, new_rate=50)
        >>> len(second), bool(np.allclose(second[20:80], np.sin(2 * np.pi * np.arange(20, 80) / 50), atol=1e-3))
        (100, True)
    """
    x = np.asarray(x)
    x = x if np.issubdtype(x.dtype, np.floating) else x.astype(np.float64)
    if not (rate > 0 and new_rate > 0):
        raise ValueError(f"rate, new_rate: found {rate} and {new_rate} samples a second, expected positive numbers")
    ratio = Fraction(new_rate / rate).limit_denominator(1000)
    if ratio.numerator > 1000 or abs(float(ratio) * rate / new_rate - 1) > 1e-9:
        raise ValueError(
            f"rate: found {rate} samples a second, which is no simple ratio of whole numbers of {new_rate}; resample "
            "the signal first"
        )
    if ratio == 1:
        return x
    num_samples = x.shape[-1]
    wanted = -(-num_samples * ratio.numerator // ratio.denominator)
    # As many samples on each side as make both lengths whole numbers.
    side = -(-min(num_samples - 1, 500) // ratio.denominator) * ratio.denominator
    after = side + -(num_samples + 2 * side) % ratio.denominator
    extended = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(side, after)], mode="reflect", reflect_type="odd")
    new_length = extended.shape[-1] * ratio.numerator // ratio.denominator
    spectrum = np.fft.rfft(extended, axis=-1)[..., : new_length // 2 + 1]
    new = np.fft.irfft(spectrum, new_length, axis=-1) * float(ratio)
    begin = side * ratio.numerator // ratio.denominator
    return new[..., begin : begin + wanted].astype(x.dtype)
