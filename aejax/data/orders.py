"""Random orders that a seed tells: the same numbers in every version of NumPy, and on every machine."""

from collections.abc import Sequence

import jax
import numpy as np

from aejax.base import Array


def seed_of(key: Array) -> tuple[int, ...]:
    """The seed that belongs to a PRNG key.

    Example:
        >>> seed_of(jax.random.key(7))
        (0, 7)
    """
    return tuple(np.asarray(jax.device_get(jax.random.key_data(key))).ravel().tolist())


def shuffled(seed: Sequence[int], num_rows: int) -> np.ndarray:
    """All rows in a random order.

    Random words whose last digits are the row numbers are sorted, which takes a third of the time of sorting the
    numbers by them. NumPy keeps the words of Philox (Salmon et al. 2011) as they are from version to version, and those
    of its own permutations not.

    Args:
        seed: whole numbers of at least 0; others give another order.
        num_rows: n, below 2^32.

    Returns:
        (n,) int64, each of 0 to n - 1 once.

    Example:
        >>> sorted(shuffled((0, 1), 5).tolist())
        [0, 1, 2, 3, 4]
    """
    digits = np.uint64((1 << max(1, int(num_rows - 1).bit_length())) - 1)
    words = _words(seed, num_rows)
    words &= ~digits
    words |= np.arange(num_rows, dtype=np.uint64)
    words.sort()
    words &= digits
    return words.view(np.int64)


def chosen(seed: Sequence[int], num_rows: int, count: int) -> np.ndarray:
    """Some rows at random, none of them twice, whatever the number of rows.

    Args:
        seed: as in ``shuffled``.
        num_rows: n, below 2^63.
        count: how many, at most n.

    Returns:
        (count,) int64, in a random order.

    Example:
        >>> rows = chosen((0, 1), 10**12, 1000)
        >>> len(set(rows.tolist())), bool(rows.max() < 10**12)
        (1000, True)
    """
    if num_rows <= 4 * count:
        return shuffled(seed, num_rows)[:count]
    # Of twice as many draws from four times as many rows at least, more than enough differ; a few more for few.
    drawn = (_words(seed, 2 * count + 64) % np.uint64(num_rows)).view(np.int64)
    _, first = np.unique(drawn, return_index=True)
    return drawn[np.sort(first)[:count]]


def _words(seed: Sequence[int], count: int) -> np.ndarray:
    return np.random.Philox(np.random.SeedSequence(list(seed))).random_raw(count)
