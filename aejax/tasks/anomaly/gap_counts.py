"""Which patterns of gaps rows have: all that is to be known of all rows before the first of them is judged."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aejax.base import Batch
from aejax.tasks.anomaly.patterns import observed


class Patterns(NamedTuple):
    """The patterns of gaps of some rows.

    Attributes:
        patterns: (p, e) bool, what is observed, each pattern once, in the order of their elements.
        which: (m,) int32, the pattern of each row that is compared with normal rows of which the same is hidden.
        num_with_gaps: rows of which anything is missing.
    """

    patterns: np.ndarray
    which: np.ndarray
    num_with_gaps: int


def is_compared(seen: np.ndarray, normal: Batch | None) -> np.ndarray:
    """Which rows are compared with normal rows of which the same is hidden.

    Args:
        seen: (n, *event) bool, what is observed.
        normal: from ``patterns.kept``; None where there is none.

    Returns:
        (n,) bool: none where there are no normal rows. Neither is a row of which nothing is observed, nor a whole one
        if all normal rows are whole.

    Example:
        >>> is_compared(np.array([[True, True], [True, False], [False, False]]), Batch(np.ones((3, 2))))
        array([False,  True, False])
    """
    flat = _flat(seen)
    if normal is None:
        return np.zeros(len(flat), bool)
    return np.logical_and(flat.any(axis=1), ~(flat.all(axis=1) & observed(normal).all()))


def count_patterns(seen: np.ndarray, normal: Batch | None) -> Patterns:
    """The patterns of rows.

    Args:
        seen: (n, *event) bool, what is observed.
        normal: as in ``is_compared``.

    Returns:
        The Patterns.

    Example:
        >>> found = count_patterns(np.array([[True, False], [True, True], [True, False]]), Batch(np.ones((3, 2))))
        >>> found.patterns, found.which
        (array([[ True, False]]), array([0, 0], dtype=int32))
    """
    flat = _flat(seen)
    packed, which = np.unique(_packed(flat[is_compared(seen, normal)]), return_inverse=True)
    num_whole = int(flat.all(axis=1).sum())
    return Patterns(_unpacked(packed, flat.shape[1]), which.astype(np.int32), len(flat) - num_whole)


def added(parts: Sequence[Patterns]) -> Patterns:
    """The patterns of blocks of rows that follow each other.

    Args:
        parts: of each block, at least one.

    Returns:
        What ``count_patterns`` gives of all rows.

    Example:
        >>> rows = np.array([[True, False], [False, True], [True, False]])
        >>> parts = [count_patterns(part, Batch(np.ones((3, 2)))) for part in (rows[:1], rows[1:])]
        >>> added(parts).patterns, added(parts).which
        (array([[False,  True], [ True, False]]), array([1, 0, 1], dtype=int32))
    """
    if len(parts) == 1:
        return parts[0]
    num_elements = parts[0].patterns.shape[1]
    packed, place = np.unique(np.concatenate([_packed(part.patterns) for part in parts]), return_inverse=True)
    ends = np.cumsum([len(part.patterns) for part in parts])
    places = np.split(place.astype(np.int32), ends[:-1])
    which = np.concatenate([place[part.which] for place, part in zip(places, parts, strict=True)])
    return Patterns(_unpacked(packed, num_elements), which, sum(part.num_with_gaps for part in parts))


def _flat(seen: np.ndarray) -> np.ndarray:
    return seen.reshape(len(seen), math.prod(seen.shape[1:]))


def _packed(patterns: np.ndarray) -> np.ndarray:
    """(p,) bytes, in the order of the patterns."""
    bits = np.packbits(patterns, axis=1)
    return np.ascontiguousarray(bits).view(f"S{bits.shape[1]}").reshape(-1)


def _unpacked(packed: np.ndarray, num_elements: int) -> np.ndarray:
    bits = np.ascontiguousarray(packed).view(np.uint8).reshape(len(packed), packed.itemsize)
    return np.unpackbits(bits, axis=1, count=num_elements).astype(bool)
