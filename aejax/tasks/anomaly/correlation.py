"""How long rows in time resemble each other, and how many independent stretches they therefore hold."""

import math

import numpy as np

from aejax.base import ArrayLike

# Below this an autocorrelation is taken for noise.
_NOISE = 0.05
# What the mean takes with it is corrected for up to this share of the variance.
_LARGEST_SHARE = 0.9


def correlation_time(x: ArrayLike) -> float:
    """The integrated autocorrelation time: a mean over n rows is as good as one of n / time independent rows.

    The time is 1 + 2 * sum of the autocorrelations up to the first below 0.05, as in the analysis of Markov chains
    (Geyer 1992, initial positive sequence). In a short stretch the mean follows the rows and takes time / n of their
    variance with it, so that all autocorrelations come out too small by about as much (Priestley 1981, 5.3.3). This is
    added back, until the time agrees with itself.

    Args:
        x: (n,) numbers in time, equally spaced; NaN is left out.

    Returns:
        At least 1, in rows, and at most n.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal(1000)
        >>> round(correlation_time(rows)), round(correlation_time(np.repeat(rows, 10)))
        (1, 10)
    """
    values = np.asarray(x, np.float64)
    values = values[np.isfinite(values)]
    longest = len(values) // 3
    measured = _autocorrelations(values, longest) if longest > 1 else np.zeros(0)
    time = 1.0
    for _ in range(100):
        share = min(time / max(len(values), 1), _LARGEST_SHARE)
        corrected = measured * (1 - share) + share
        is_noise = np.append(corrected < _NOISE, True)
        before, time = time, 1 + 2 * float(corrected[1 : is_noise.argmax()].sum())
        time = min(max(time, 1.0), max(len(values), 1))
        if abs(time - before) < 1e-3 * time:
            break
    return time


def num_stretches(*columns: ArrayLike) -> float:
    """How many independent stretches columns in time hold: that of the slowest.

    Args:
        *columns: each (n,), such as sensors and scores.

    Returns:
        Rows divided by the longest ``correlation_time``.

    Example:
        >>> fast = np.random.default_rng(0).standard_normal(1000)
        >>> slow = np.repeat(np.random.default_rng(1).standard_normal(20), 50)
        >>> num_stretches(fast) > 700, num_stretches(fast, slow) < 40
        (True, True)
    """
    return min(float(np.isfinite(np.asarray(column)).sum()) / correlation_time(column) for column in columns)


def block_length(score: ArrayLike) -> int:
    """The length of blocks that are nearly independent: twice the ``correlation_time``.

    Args:
        score: (n,) scores of rows in time.

    Returns:
        At least 1 and at most n / 5, so that there are some blocks.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal(1000)
        >>> block_length(rows), block_length(np.repeat(rows, 10)) > 15
        (2, True)
    """
    return length_of(int(np.isfinite(np.asarray(score)).sum()), num_stretches(score))


def length_of(num_rows: int, stretches: float) -> int:
    """As ``block_length``, for so many rows with so many independent stretches."""
    return max(min(math.ceil(2 * num_rows / max(stretches, 1)), num_rows // 5), 1)


def _autocorrelations(values: np.ndarray, longest: int) -> np.ndarray:
    """(longest,), from that at lag 0 on; zeros for values that never change."""
    deviation = values - values.mean()
    power = float(deviation @ deviation)
    if power == 0:
        return np.zeros(longest)
    spectrum = np.fft.rfft(deviation, 2 * len(values))
    sums = np.fft.irfft(np.abs(spectrum) ** 2)[:longest]
    return np.asarray(sums / power * len(values) / (len(values) - np.arange(longest)))
