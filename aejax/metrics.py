"""How good a result is: signal-to-noise ratio, explained variance, ranking of anomalies, distance of samples."""

import numpy as np

from aejax.base import ArrayLike


def snr_db(clean: ArrayLike, estimate: ArrayLike) -> float:
    """Signal-to-noise ratio of an estimate, 10 log10(sum clean^2 / sum (clean - estimate)^2), in dB.

    Args:
        clean: the true signal, any shape.
        estimate: the same shape.

    Returns:
        dB; infinite for a perfect estimate.

    Example:
        >>> round(snr_db(np.array([1.0, -1.0]), np.array([1.1, -1.1])), 6)
        20.0
    """
    clean, estimate = np.asarray(clean, float), np.asarray(estimate, float)
    error = np.sum(np.square(clean - estimate))
    return float(10 * np.log10(np.sum(np.square(clean)) / error)) if error > 0 else float("inf")


def explained_variance(x: ArrayLike, reconstruction: ArrayLike) -> np.ndarray:
    """R^2 of each column, 1 - mean squared error / variance.

    Args:
        x: (n, c), NaN where missing.
        reconstruction: (n, c).

    Returns:
        (c,), at most 1; NaN for a column that does not vary.

    Example:
        >>> explained_variance(np.array([[0.0], [2.0]]), np.array([[0.0], [1.0]]))
        array([0.5])
    """
    x, reconstruction = np.asarray(x, float), np.asarray(reconstruction, float)
    seen = ~np.isnan(x)
    count = np.maximum(seen.sum(axis=0), 1)
    centred = x - np.sum(x, axis=0, where=seen) / count
    total = np.sum(np.square(centred), axis=0, where=seen)
    left = np.sum(np.square(x - reconstruction), axis=0, where=seen)
    # What a column of one repeated number "varies" by is rounding.
    varies = total > 1e-20 * count * np.square(np.nan_to_num(np.max(np.abs(x), axis=0, initial=0, where=seen)))
    return np.where(varies, 1 - left / np.where(varies, total, 1), np.nan)


def auroc(score: ArrayLike, is_positive: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive row scores above a negative one, ties counting half.

    Args:
        score: (n,).
        is_positive: (n,) bool.

    Returns:
        In [0, 1].

    Raises:
        ValueError: one of the two kinds is absent.

    Example:
        >>> auroc(np.array([1.0, 2.0, 3.0]), np.array([False, False, True]))
        1.0
    """
    score, is_positive = np.asarray(score, float), np.asarray(is_positive, bool)
    positive, negative = score[is_positive], np.sort(score[~is_positive])
    if not len(positive) or not len(negative):
        raise ValueError(
            f"is_positive: found {len(positive)} positive and {len(negative)} negative rows, expected both"
        )
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return float(below.mean() / (2 * len(negative)))


def ks_distance(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """Kolmogorov-Smirnov distance between two samples, column by column.

    Args:
        first: (n, c).
        second: (m, c).

    Returns:
        (c,) in [0, 1].

    Example:
        >>> ks_distance(np.array([[0.0], [1.0]]), np.array([[5.0], [6.0]]))
        array([1.])
    """
    first, second = np.asarray(first, float), np.asarray(second, float)

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        at = np.concatenate([a, b])
        return np.max(
            np.abs(
                np.searchsorted(np.sort(a), at, "right") / len(a) - np.searchsorted(np.sort(b), at, "right") / len(b)
            )
        )

    return np.array([distance(a, b) for a, b in zip(first.T, second.T, strict=True)])
