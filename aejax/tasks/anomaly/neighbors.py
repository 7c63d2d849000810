"""How far rows are from their nearest normal rows, and how far these are from one another there."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Array

NUM_NEIGHBORS = 3
# So many normal rows around a row say how far apart normal rows lie there.
_NUM_AROUND = 10
# Which power of that distance a row's own is divided by: 0 is nearest neighbours, 1 the local outlier factor.
_LOCAL = 0.5
# Rows are compared with normal ones in blocks of at most this many numbers.
_NUM_DISTANCES = 1 << 23
# A row among the normal ones is at distance 0, whose logarithm would hide all else.
_SMALLEST_DISTANCE = 1e-6


def spacing(normal: np.ndarray) -> np.ndarray:
    """How far normal rows are from one another.

    Args:
        normal: (m, d) rows.

    Returns:
        (m,), the mean distance of each row to its three nearest others; 0 where there are none.

    Example:
        >>> spacing(np.array([[0.0], [1.0], [3.0]]))
        array([2.3333333, 1.6666666, 2.6666667], dtype=float32)
    """
    own = np.ones(len(normal), bool)
    return nearest(normal, np.ones_like(normal, bool), normal, NUM_NEIGHBORS, own)[0].mean(axis=1)


def local_distance(
    rows: np.ndarray, seen: np.ndarray, normal: np.ndarray, apart: np.ndarray, num_neighbors: int, own: np.ndarray
) -> np.ndarray:
    """Logarithm of the distance to normal rows, less half of that of the distance between normal rows there.

    Both distances are counted from the usual one between normal rows up, so that a distance of 0, as between equal rows
    of counts, has a finite logarithm.

    Args:
        rows: (n, d).
        seen: (n, d) bool, over which elements they are compared.
        normal: (m, d) normal rows.
        apart: (m,) their ``spacing``.
        num_neighbors: the mean distance to so many is taken.
        own: (n,) bool, which rows are themselves among the normal ones; these are not compared with themselves.

    Returns:
        (n,).

    Example:
        >>> normal, one = np.array([[0.0], [1.0], [2.0]]), np.array([[9.0]])
        >>> local_distance(one, np.ones((1, 1), bool), normal, np.ones(3), 1, np.zeros(1, bool)).round(2)
        array([1.73])
    """
    usual = np.median(apart)
    usual = max(usual if usual > 0 else apart.mean(), _SMALLEST_DISTANCE)
    distances, numbers = nearest(rows, seen, normal, max(num_neighbors, _NUM_AROUND), own)
    around = np.log(apart + usual)[numbers[:, :_NUM_AROUND]].mean(axis=1)
    return np.log(distances[:, :num_neighbors].mean(axis=1) + usual) - _LOCAL * around


def log_distance(
    rows: np.ndarray, seen: np.ndarray, normal: np.ndarray, num_neighbors: int, own: np.ndarray
) -> np.ndarray:
    """Mean logarithm of the distances to the nearest normal rows, by which detectors of earlier versions score.

    Args:
        rows: (n, d).
        seen: (n, d) bool, over which elements they are compared.
        normal: (m, d) normal rows.
        num_neighbors: over so many the mean is taken.
        own: as in ``local_distance``.

    Returns:
        (n,).

    Example:
        >>> one = np.zeros((1, 1))
        >>> log_distance(one, np.ones((1, 1), bool), np.array([[np.e], [9.0]]), 1, np.zeros(1, bool)).round(3)
        array([1.], dtype=float32)
    """
    distances, _ = nearest(rows, seen, normal, num_neighbors, own)
    return np.asarray(jnp.mean(jnp.log(distances + np.float32(_SMALLEST_DISTANCE)), axis=1))


def nearest(
    rows: np.ndarray, seen: np.ndarray, normal: np.ndarray, num_neighbors: int, own: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest normal rows of each row.

    Args:
        rows: (n, d).
        seen: (n, d) bool, over which elements they are compared.
        normal: (m, d) normal rows.
        num_neighbors: how many of them; of fewer normal rows the farthest is repeated.
        own: (n,) bool, which rows are themselves among the normal ones; the nearest of these is left out.

    Returns:
        (n, num_neighbors) distances, the smallest first, and the numbers of the normal rows.

    Example:
        >>> x = np.array([[0.0], [1.0], [3.0]])
        >>> nearest(x, np.ones_like(x, bool), x, 1, np.ones(3, bool))[0].tolist()
        [[1.0], [1.0], [2.0]]
    """
    most = min(num_neighbors + 1, len(normal))  # also where none is its own, so that all blocks have one program
    size = 1 << max(int(math.log2(max(_NUM_DISTANCES // len(normal), 1))), 5)
    size = min(size, 1 << max(len(rows) - 1, 1).bit_length())
    found = []
    normal = jax.device_put(normal)
    for begin in range(0, len(rows), size):
        block = slice(begin, begin + size)
        is_whole = seen[block].all()
        padded = [np.resize(values[block], (size, rows.shape[1])) for values in (rows, seen)]
        arguments = jax.device_put((padded[0], None if is_whole else padded[1]))
        parts = jax.device_get(_nearest(*arguments, normal, most))
        found.append([part[: len(rows[block])] for part in parts])
    distances, numbers = (np.concatenate(parts) for parts in zip(*found, strict=True))
    places = np.minimum(np.arange(num_neighbors)[None, :] + own[:, None], most - 1)
    return np.take_along_axis(distances, places, axis=1), np.take_along_axis(numbers, places, axis=1)


@functools.partial(jax.jit, static_argnames="num_neighbors")
def _nearest(rows: Array, seen: Array | None, normal: Array, num_neighbors: int) -> tuple[Array, Array]:
    # Squares by a matrix product are fast but rounded; they choose candidates, whose distances are then exact.
    size = jnp.square(normal)
    lengths = jnp.sum(size, axis=1)[None, :] if seen is None else seen.astype(rows.dtype) @ size.T
    _, numbers = jax.lax.top_k(2 * rows @ normal.T - lengths, min(num_neighbors + 3, len(normal)))
    difference = rows[:, None] - normal[numbers]
    difference = difference if seen is None else jnp.where(seen[:, None], difference, 0)
    exact, numbers = jax.lax.sort((jnp.sqrt(jnp.sum(jnp.square(difference), axis=2)), numbers), num_keys=1)
    return exact[:, :num_neighbors], numbers[:, :num_neighbors]
