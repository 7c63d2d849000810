"""How good a result is: signal-to-noise ratio, explained variance, ranking of anomalies, distance of samples."""

import math
from collections.abc import Sequence

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


def psnr_db(image: ArrayLike, estimate: ArrayLike, peak: float = 1.0) -> float:
    """Peak signal-to-noise ratio of images, 10 log10(peak^2 / mean squared error), in dB.

    Args:
        image: the true images, any shape.
        estimate: the same shape.
        peak: the range of the data, 1 for images in [0, 1].

    Returns:
        dB; infinite for a perfect estimate.

    Example:
        >>> round(psnr_db(np.zeros(4), np.full(4, 0.1)), 6)
        20.0
    """
    error = np.mean(np.square(np.asarray(image, float) - np.asarray(estimate, float)))
    return float(10 * np.log10(peak**2 / error)) if error > 0 else float("inf")


def ssim(images: ArrayLike, estimates: ArrayLike, peak: float = 1.0, num_spatial_dims: int = 2) -> np.ndarray:
    """Structural similarity (Wang et al. 2004, eq. 13) with its Gaussian window, 11 wide, of standard deviation 1.5.

    Means, variances and covariance are taken in the window about each position at which it lies inside the image; along
    an axis shorter than 11 the window is as long as the axis.

    Args:
        images: (n, *spatial) or (n, *spatial, channels).
        estimates: the same shape.
        peak: the range of the data, 1 for images in [0, 1].
        num_spatial_dims: number of spatial axes, 1, 2 or 3.

    Returns:
        (n,), averaged over positions and channels; 1 if and only if the two are equal.

    Raises:
        ValueError: shapes that differ or do not have so many spatial axes.

    Example:
        >>> image = np.arange(256.0).reshape(1, 16, 16) / 255
        >>> ssim(image, image)
        array([1.])
    """
    first, second = np.asarray(images, float), np.asarray(estimates, float)
    if first.shape != second.shape or first.ndim - 1 - num_spatial_dims not in (0, 1):
        raise ValueError(
            f"images: found shapes {first.shape} and {second.shape}, expected (n, *spatial) or (n, *spatial, channels) "
            f"with {num_spatial_dims} spatial axes, twice the same"
        )

    def windowed(values: np.ndarray) -> np.ndarray:
        for axis in range(1, num_spatial_dims + 1):
            size = min(11, values.shape[axis])
            weight = np.exp(-0.5 * np.square((np.arange(size) - (size - 1) / 2) / 1.5))
            windows = np.lib.stride_tricks.sliding_window_view(values, size, axis=axis)
            values = windows @ (weight / weight.sum())
        return values

    mean_first, mean_second = windowed(first), windowed(second)
    var_first = windowed(first**2) - mean_first**2
    var_second = windowed(second**2) - mean_second**2
    covariance = windowed(first * second) - mean_first * mean_second
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    similarity = ((2 * mean_first * mean_second + c1) * (2 * covariance + c2)) / (
        (mean_first**2 + mean_second**2 + c1) * (var_first + var_second + c2)
    )
    return similarity.reshape(len(first), -1).mean(axis=1)


def compression_ratio(event_shape: Sequence[int], latent_dim: int) -> float:
    """Numbers in an example for each number in its code; the decoder, which both sides must have, is not counted.

    Example:
        >>> compression_ratio((224, 224, 3), 128)
        1176.0
    """
    return math.prod(event_shape) / latent_dim


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
        ValueError: one of the two kinds is absent, or a score is missing.

    Example:
        >>> auroc(np.array([1.0, 2.0, 3.0]), np.array([False, False, True]))
        1.0
    """
    score, is_positive = np.asarray(score, float), np.asarray(is_positive, bool)
    if np.isnan(score).any():
        raise ValueError(
            f"score: found {np.isnan(score).sum()} missing values (NaN), expected none; leave these rows out"
        )
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
        first: (n, c), NaN where missing; (n,) is one column.
        second: (m, c), likewise.

    Returns:
        (c,) in [0, 1]; NaN for a column without a value.

    Raises:
        ValueError: different columns.

    Example:
        >>> ks_distance(np.array([[0.0], [1.0]]), np.array([[5.0], [6.0]]))
        array([1.])
    """
    first, second = _columns(first, second)

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        a, b = a[~np.isnan(a)], b[~np.isnan(b)]
        if not len(a) or not len(b):
            return np.nan
        at = np.concatenate([a, b])
        return np.max(
            np.abs(
                np.searchsorted(np.sort(a), at, "right") / len(a) - np.searchsorted(np.sort(b), at, "right") / len(b)
            )
        )

    return np.array([distance(a, b) for a, b in zip(first.T, second.T, strict=True)])


def total_variation(first: ArrayLike, second: ArrayLike) -> float:
    """Total variation distance between two samples of categories: half the sum of the differences of their shares.

    Args:
        first: (n,) numbers of categories, NaN where missing.
        second: (m,), likewise.

    Returns:
        In [0, 1]; NaN where one sample has no value.

    Example:
        >>> total_variation([0, 1], [0, 0])
        0.5
    """
    samples = [values[~np.isnan(values)] for values in (np.asarray(first, float), np.asarray(second, float))]
    if not all(map(len, samples)):
        return np.nan
    categories, places = np.unique(np.concatenate(samples), return_inverse=True)
    counts = (np.bincount(part, minlength=len(categories)) for part in np.split(places, [len(samples[0])]))
    shares = [count / len(values) for count, values in zip(counts, samples, strict=True)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def correlation_error(first: ArrayLike, second: ArrayLike) -> float:
    """The largest difference between the correlations of two samples' columns.

    A column that does not vary in one of the samples has no correlation there and is left out.

    Args:
        first: (n, c).
        second: (m, c).

    Returns:
        In [0, 2]; NaN where fewer than two columns vary in both.

    Raises:
        ValueError: different columns.

    Example:
        >>> x = np.array([[0.0, 0.0, 7.0], [1.0, 1.0, 7.0], [2.0, 2.0, 7.0]])
        >>> round(correlation_error(x, x * [1, -1, 1]), 6)
        2.0
    """
    first, second = _columns(first, second)
    varies = (np.ptp(first, axis=0) != 0) & (np.ptp(second, axis=0) != 0)
    if varies.sum() < 2:
        return float("nan")
    return float(np.max(np.abs(np.corrcoef(first[:, varies].T) - np.corrcoef(second[:, varies].T))))


def _columns(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Two samples as (n, c) and (m, c)."""
    samples = [np.asarray(sample, float) for sample in (first, second)]
    one, other = (sample[:, None] if sample.ndim == 1 else sample for sample in samples)
    if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1]:
        raise ValueError(
            f"second: found shapes {one.shape} and {other.shape}, expected (n, c) and (m, c) with the same columns"
        )
    return one, other
