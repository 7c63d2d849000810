"""Rows with gaps are compared with normal rows in which the same elements are hidden."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from aejax.base import Batch
from aejax.data.batches import RowsLike, as_arrays

# What a row is compared with: normal rows with its own gaps; with those of rows like it; as they are.
SAME_GAPS, SIMILAR_GAPS, OTHER_GAPS = "same gaps", "similar gaps", "other gaps"

_MOST_NORMAL = 2000  # rows that are kept
_MOST_PATTERNS = 200  # for each of which the normal rows are scored anew
_MOST_POOLS = 16
_FEWEST_APART = 64  # rows that miss so few elements are one group


class Comparison(NamedTuple):
    """New rows, and the normal rows to compare them with.

    Attributes:
        rows: numbers of the new rows.
        normal: normal rows, of which what the new rows miss is hidden.
        gaps: ``SAME_GAPS`` or ``SIMILAR_GAPS``.
    """

    rows: np.ndarray
    normal: Batch
    gaps: str


def kept(x: RowsLike) -> Batch:
    """Normal rows to compare with, evenly spaced where there are more than 2000.

    Args:
        x: (m, *event) rows, NaN where missing, or a Batch.

    Returns:
        A Batch of NumPy arrays without a mask: NaN where missing. Rows of which nothing is observed are left out.

    Example:
        >>> kept([[1.0, np.nan], [np.nan, np.nan]]).x
        array([[ 1., nan]], dtype=float32)
    """
    batch = jax.device_get(as_arrays(x))
    seen = observed(batch)
    batch = batch._replace(x=np.where(seen, batch.x, np.nan).astype(np.float32), mask=None)
    numbers = np.flatnonzero(_flat(seen).any(axis=1))
    if len(numbers) > _MOST_NORMAL:
        numbers = numbers[np.linspace(0, len(numbers) - 1, _MOST_NORMAL).round().astype(int)]
    return jax.tree.map(lambda field: field[numbers], batch)


def observed(batch: Batch) -> np.ndarray:
    """(n, *event) bool, what of rows is observed.

    Example:
        >>> observed(Batch(np.array([[1.0, np.nan]])))
        array([[ True, False]])
    """
    x = np.asarray(batch.x)
    seen = ~np.isnan(x) if x.dtype.kind == "f" else np.ones(x.shape, bool)
    if batch.mask is None:
        return seen
    mask = np.asarray(batch.mask, bool)
    return seen & mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))


def by_number_missing(seen: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Puts rows together that miss about as many elements, so that no row is as much work as the one with most gaps.

    Args:
        seen: (n, *event) bool, what is observed.

    Returns:
        Pairs of row numbers and how many elements these rows miss at most: 0, 64, 256, ... or all. Rows of which
        nothing is observed are in none, unless there are no others.

    Example:
        >>> [(rows.tolist(), most) for rows, most in by_number_missing(np.array([[True, True], [True, False]]))]
        [([0], 0), ([1], 2)]
    """
    flat = _flat(seen)
    size, num_missing = flat.shape[1], (~flat).sum(axis=1)
    if (num_missing == size).all():
        return [(np.arange(len(flat)), size)]
    groups, fewer, most = [], -1, 0
    while fewer < size - 1:
        most = min(most, size)
        rows = np.flatnonzero((num_missing > fewer) & (num_missing <= min(most, size - 1)))
        groups += [(rows, most)] if len(rows) else []
        fewer, most = most, 4 * most or _FEWEST_APART
    return groups


def unless_known(seen: np.ndarray, normal: Batch | None) -> np.ndarray:
    """What rows are compared with before ``comparisons`` say otherwise.

    Args:
        seen: (n, *event) bool, what is observed.
        normal: from ``kept``, or None where there is none.

    Returns:
        (n,) text: ``SAME_GAPS``, and ``OTHER_GAPS`` of rows with gaps where there are no normal rows to hide them in.
    """
    words = np.full(len(seen), SAME_GAPS, f"<U{max(map(len, (SAME_GAPS, SIMILAR_GAPS, OTHER_GAPS)))}")
    if normal is None and not seen.all():
        words[~_flat(seen).all(axis=1)] = OTHER_GAPS
    return words


def comparisons(seen: np.ndarray, normal: Batch | None, false_alarm_rate: float) -> Iterator[Comparison]:
    """What to compare rows with, pattern of gaps by pattern of gaps.

    A row that is exchangeable with normal rows is so with normal rows of which what it misses is hidden, whatever is
    missing (conformal prediction with missing data augmentation; Zaffran, Dieuleveut, Josse & Romano 2023). So the
    false alarm rate holds for each pattern by itself. It takes normal rows that hold all that the row holds. The 200
    most frequent patterns are treated so, if there are enough such normal rows for the rate. The rows of all others
    are pooled with those that miss about as many elements, and compared with normal rows in which their patterns are
    hidden in turn: the rate holds over the rows of a pool together, not for each pattern.

    Args:
        seen: (n, *event) bool, what is observed.
        normal: from ``kept``; nothing is compared where there is none.
        false_alarm_rate: the rate that the normal rows have to be enough for.

    Yields:
        Comparisons. No row is in two of them; rows of which nothing is observed are in none, and neither are complete
        rows where all normal rows are complete.

    Example:
        >>> seen = np.array([[True, True], [True, False]])
        >>> (found,) = comparisons(seen, Batch(np.ones((3, 2))), 0.5)
        >>> found.rows, found.normal.x[0], found.gaps
        (array([1]), array([ 1., nan]), 'same gaps')
    """
    if normal is None:
        return
    seen, normal_seen = _flat(seen), _flat(observed(normal))
    if seen.all() and normal_seen.all():
        return
    is_whole = normal_seen.all()
    numbers = np.flatnonzero(seen.any(axis=1) & ~(seen.all(axis=1) & is_whole))
    patterns, which = np.unique(seen[numbers], axis=0, return_inverse=True)
    for rows, hidden, gaps in by_pattern(patterns, which.ravel(), normal, false_alarm_rate):
        yield Comparison(numbers[rows], hidden, gaps)


def by_pattern(patterns: np.ndarray, which: np.ndarray, normal: Batch, false_alarm_rate: float) -> Iterator[Comparison]:
    """The comparisons of rows of which nothing but the patterns is known.

    Args:
        patterns: (p, e) bool, what is observed, each once, in the order of their elements.
        which: (m,) the pattern of each row.
        normal: from ``kept``.
        false_alarm_rate: as in ``comparisons``.

    Yields:
        Comparisons, their rows counted among the m; each row is in one of them.
    """
    normal_seen = _flat(observed(normal))
    enough = min(math.ceil(1 / false_alarm_rate) - 1, len(normal_seen))
    counts = np.bincount(which, minlength=len(patterns))
    pooled = np.ones(len(patterns), bool)
    for pattern in np.argsort(-counts, kind="stable")[:_MOST_PATTERNS]:
        holds_all = ~(patterns[pattern] & ~normal_seen).any(axis=1)
        if holds_all.sum() >= enough:
            pooled[pattern] = False
            hidden = np.broadcast_to(~patterns[pattern], (holds_all.sum(), len(patterns[pattern])))
            yield Comparison(np.flatnonzero(which == pattern), _hidden(normal, holds_all, hidden), SAME_GAPS)
    rest = np.flatnonzero(pooled[which])
    if not len(rest):
        return
    num_missing = (~patterns).sum(axis=1)[which[rest]]
    in_order = rest[np.argsort(num_missing, kind="stable")]
    num_pools = min(_MOST_POOLS, len(np.unique(num_missing)))
    for rows in np.array_split(in_order, num_pools):
        in_turn = rows[np.linspace(0, len(rows) - 1, len(normal_seen)).round().astype(int)]
        hidden = _as_many(~patterns[which[in_turn]], ~normal_seen)
        yield Comparison(rows, _hidden(normal, slice(None), hidden), SIMILAR_GAPS)


def _as_many(hidden: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Of what is to be hidden only so much that no row misses more than that, or than it misses already."""
    wanted = hidden & ~missing
    num_wanted = hidden.sum(axis=1) - missing.sum(axis=1)
    return wanted & (np.cumsum(wanted, axis=1) <= num_wanted[:, None])


def _hidden(normal: Batch, chosen: np.ndarray | slice, hidden: np.ndarray) -> Batch:
    rows = jax.tree.map(lambda field: field[chosen], normal)
    return rows._replace(x=np.where(hidden.reshape(rows.x.shape), np.float32(np.nan), rows.x))


def _flat(seen: np.ndarray) -> np.ndarray:
    return seen.reshape(len(seen), -1)
