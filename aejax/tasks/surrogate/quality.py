"""How much of maps an answer explains, beside the plain answer of principal components."""

import numpy as np

from aejax.base import ArrayLike
from aejax.tasks.surrogate.compression import principal_directions
from aejax.tasks.surrogate.observed import mean_observed

_NUM_COMPLETIONS = 5


def through_components(train: ArrayLike, maps: ArrayLike, num_components: int) -> np.ndarray:
    """Maps through principal components of others: the plain answer that a compression is to be compared with.

    Args:
        train: (m, *event), NaN where missing; such elements are filled by the mean, then by the components.
        maps: (n, *event), NaN where missing; coefficients are those that fit what is observed.
        num_components: beside the mean; of few maps there are no more than one less than maps.

    Returns:
        (n, *event), complete. On another scale, such as that of square roots, give both on it.

    Example:
        >>> rows = np.outer(np.arange(5.0), np.ones(3))
        >>> bool(np.allclose(through_components(rows[:3], rows, 1), rows, atol=1e-4))
        True
    """
    train, maps = np.asarray(train, np.float32), np.asarray(maps, np.float32)
    num = min(num_components, len(train) - 1)
    rows, new = (array.reshape(len(array), -1) for array in (train, maps))
    missing = np.isnan(rows)
    filled = np.where(missing, np.nan_to_num(mean_observed(rows)), rows)
    for _ in range(_NUM_COMPLETIONS if missing.any() else 0):
        mean = filled.mean(axis=0)
        directions = principal_directions(filled - mean, num)
        filled = np.where(missing, mean + (filled - mean) @ directions.T @ directions, rows)
    mean = filled.mean(axis=0)
    directions = principal_directions((filled - mean).astype(np.float32), num)
    return (mean + _coefficients(new - mean, directions) @ directions).reshape(maps.shape)


def _coefficients(off: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(n, d) coefficients of orthonormal directions, from what is observed of each row."""
    seen = np.isfinite(off)
    if seen.all():
        return off @ directions.T
    fits = [np.linalg.lstsq(directions[:, of].T, row[of], rcond=None)[0] for row, of in zip(off, seen, strict=True)]
    return np.stack(fits)


def share_within(maps: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> float:
    """The share of the observed pixels that lie within two spreads of what was predicted."""
    seen = np.isfinite(maps)
    return float(np.mean((np.abs(maps - mean) <= 2 * spread)[seen]))


def explained(maps: ArrayLike, reconstruction: ArrayLike, mean: ArrayLike, mask: ArrayLike | None = None) -> float:
    """R² = 1 - sum (x - x̂)² / sum (x - mean)², over all elements of all maps together.

    Args:
        maps: (n, *event), NaN where missing.
        reconstruction: (n, *event).
        mean: (*event), the mean map of the training crystals: what would be said without looking; (n, *event) where
            maps were held out from different trainings.
        mask: (n, *event), True where it is to be judged; all that is observed if None.

    Returns:
        R², at most 1.

    Example:
        >>> explained(np.array([[0.0, 2.0]]), np.array([[0.0, 1.0]]), np.array([1.0, 1.0]))
        0.5
    """
    maps = np.asarray(maps, float)
    seen = np.isfinite(maps) & np.isfinite(mean)
    if mask is not None:
        seen &= np.asarray(mask, bool)
    left = np.sum(np.square(maps - reconstruction), where=seen)
    return float(1 - left / np.sum(np.square(maps - mean), where=seen))
