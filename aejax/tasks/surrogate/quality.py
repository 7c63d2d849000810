"""How much of maps an answer explains, beside the plain answer of principal components."""

import numpy as np

from aejax.base import ArrayLike
from aejax.tasks.surrogate.compression import principal_directions


def through_components(train: ArrayLike, maps: ArrayLike, num_components: int) -> np.ndarray:
    """Maps through principal components of others: the plain answer that a compression is to be compared with.

    Args:
        train: (m, *event), complete.
        maps: (n, *event), complete.
        num_components: beside the mean; of few maps there are no more than one less than maps.

    Returns:
        (n, *event). On another scale, such as that of square roots, give both on it.

    Example:
        >>> rows = np.outer(np.arange(5.0), np.ones(3))
        >>> bool(np.allclose(through_components(rows[:3], rows, 1), rows, atol=1e-4))
        True
    """
    train, maps = np.asarray(train, np.float32), np.asarray(maps, np.float32)
    mean = train.mean(axis=0)
    directions = principal_directions((train - mean).reshape(len(train), -1), min(num_components, len(train) - 1))
    return mean + ((maps - mean).reshape(len(maps), -1) @ directions.T @ directions).reshape(maps.shape)


def explained(maps: ArrayLike, reconstruction: ArrayLike, mean: ArrayLike, mask: ArrayLike | None = None) -> float:
    """R² = 1 - sum (x - x̂)² / sum (x - mean)², over all elements of all maps together.

    Args:
        maps: (n, *event).
        reconstruction: (n, *event).
        mean: (*event), the mean map of the training crystals: what would be said without looking; (n, *event) where
            maps were held out from different trainings.
        mask: (n, *event), True where observed; everything if None.

    Returns:
        R², at most 1.

    Example:
        >>> explained(np.array([[0.0, 2.0]]), np.array([[0.0, 1.0]]), np.array([1.0, 1.0]))
        0.5
    """
    maps, seen = np.asarray(maps, float), True if mask is None else np.asarray(mask, bool)
    left = np.sum(np.square(maps - reconstruction), where=seen)
    return float(1 - left / np.sum(np.square(maps - mean), where=seen))
