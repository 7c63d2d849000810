"""Rows that lie in files, in an order that a seed and a place tell, read ahead of where they are needed.

The order has two levels. Groups of rows come in a random order; so many of them as fit into a window are read, and the
rows of a window come in a random order. Both orders are computed from the seed, the number of the pass and the place of
the window, so that any place is found without what stands before it.

The places of a batch are shared among lanes. Each lane is filled from a part of the pass of its own, and so from groups
of its own: whoever needs some of the places reads some of the groups. How many processes there are changes no lane.
"""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import numpy as np

from aejax.base import Batch
from aejax.data.orders import shuffled
from aejax.data.stored import Stored

_T = TypeVar("_T")
_GROUPS, _ROWS = 0, 1  # what a seed is for
_MOST_LANES = 8
_GROUPS_OF_A_LANE = 8  # at least: two lanes read the group that lies between them


class Window(NamedTuple):
    """Some groups of a pass, whose rows are shuffled together.

    Attributes:
        seed: of the order of its rows.
        groups: (g,) their numbers.
        bounds: (g, 2) from which row of each to before which one; a lane may begin or end within a group.
        begin: the rows of the pass before it.
        num_rows: its rows.
    """

    seed: tuple[int, ...]
    groups: np.ndarray
    bounds: np.ndarray
    begin: int
    num_rows: int


class Lane(NamedTuple):
    """Places of a batch.

    Attributes:
        begin: the first of them.
        end: the one behind the last.
        num_places: of the batch.
    """

    begin: int
    end: int
    num_places: int

    def rows_before(self, place: int) -> tuple[int, int]:
        """How many of so many rows, batch after batch, lie in lanes before this one, and how many up to its end."""
        num_batches, rest = divmod(place, self.num_places)
        return num_batches * self.begin + min(rest, self.begin), num_batches * self.end + min(rest, self.end)


def lanes(batch_size: int, sizes: np.ndarray, most_rows: int) -> list[Lane]:
    """The lanes of a batch: as many as groups fit into a window, a power of two.

    Args:
        batch_size: rows of a batch.
        sizes: (g,) rows of each group.
        most_rows: of the windows of all lanes together.

    Returns:
        The Lanes, in the order of their places; each has some.

    Example:
        >>> lanes(100, np.full(1000, 50), most_rows=120)
        [Lane(begin=0, end=50, num_places=100), Lane(begin=50, end=100, num_places=100)]
    """
    num_groups = int(np.count_nonzero(sizes))
    most = min(_MOST_LANES, batch_size, most_rows // int(sizes.max()), num_groups // _GROUPS_OF_A_LANE)
    count = 1 << (max(1, most).bit_length() - 1)
    bounds = [batch_size * index // count for index in range(count + 1)]
    return [Lane(begin, end, batch_size) for begin, end in itertools.pairwise(bounds)]


def windows(
    seed: Sequence[int], sizes: np.ndarray, pass_number: int, most_rows: int, begin: int = 0, end: int | None = None
) -> Iterator[Window]:
    """The windows of one pass over all rows, or of a part of it.

    Args:
        seed: of the order.
        sizes: (g,) rows of each group.
        pass_number: from 0 on.
        most_rows: of a window, about: it ends with the group that reaches them.
        begin: the first row of the pass that is wanted.
        end: the row behind the last one; all if None.

    Yields:
        The Windows, in which each row stands once.

    Example:
        >>> found = list(windows((0,), np.array([3, 4, 5]), 0, most_rows=6))
        >>> sorted(np.concatenate([window.groups for window in found]).tolist()), found[-1].begin + found[-1].num_rows
        ([0, 1, 2], 12)
    """
    order = shuffled((*seed, _GROUPS, pass_number), len(sizes))
    before = np.cumsum(sizes[order]) - sizes[order]
    asked = (begin, int(sizes.sum()) if end is None else end)
    bounds = np.stack([np.clip(row - before, 0, sizes[order]) for row in asked], axis=1)
    is_wanted = bounds[:, 0] < bounds[:, 1]
    order, bounds = order[is_wanted], bounds[is_wanted]
    ends = np.cumsum(bounds[:, 1] - bounds[:, 0])
    number = np.concatenate([[0], ends[:-1]]) // most_rows
    cuts = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(order)]
    for first, last in itertools.pairwise(cuts):
        num_before = int(ends[first - 1]) if first else 0
        place = begin + num_before
        window = (*seed, _ROWS, pass_number, place)
        yield Window(window, order[first:last], bounds[first:last], place, int(ends[last - 1]) - num_before)


def windows_from(
    seed: Sequence[int], sizes: np.ndarray, lane: Lane, step: int, most_rows: int
) -> Iterator[tuple[Window, int]]:
    """The windows that fill a lane from a step on, pass after pass without an end.

    Args:
        seed: as in ``windows``.
        sizes: as in ``windows``.
        lane: the Lane.
        step: the batches that have been before.
        most_rows: as in ``windows``.

    Yields:
        Windows, and how many of their rows have been before.
    """
    num_rows, place = int(sizes.sum()), step * (lane.end - lane.begin)  # rows of the lane that have been before
    for pass_number in itertools.count((step * lane.num_places + lane.begin) // num_rows):
        earlier, until = (lane.rows_before((pass_number + index) * num_rows) for index in (0, 1))
        begin, end = (after - before for before, after in zip(earlier, until, strict=True))
        place_in_pass = begin + max(0, place - (earlier[1] - earlier[0]))
        for window in windows(seed, sizes, pass_number, most_rows, begin, end) if begin < end else ():
            if window.begin + window.num_rows > place_in_pass:
                yield window, max(0, place_in_pass - window.begin)


def read_window(
    stored: Stored, window: Window, transform: Callable[[np.ndarray], Batch], is_over: threading.Event
) -> Batch:
    """The rows of a window in their order.

    Args:
        stored: the rows.
        window: which of them.
        transform: rows as they lie there -> a Batch of as many, arrays of NumPy.
        is_over: set where nobody waits for them any more.

    Returns:
        The Batch.

    Raises:
        CancelledError: nobody waits any more.
    """
    places, begin = shuffled(window.seed, window.num_rows), 0
    whole: Batch | None = None
    for values in _rows_of(stored, window):
        if is_over.is_set():
            raise CancelledError
        part = transform(values)
        whole = jax.tree.map(partial(_room, window.num_rows), part) if whole is None else whole
        here = places[begin : begin + len(values)]
        for field, rows in zip(jax.tree.leaves(whole), jax.tree.leaves(part), strict=True):
            field[here] = rows
        begin += len(values)
    assert whole is not None  # of what is empty there are no windows
    assert begin == window.num_rows
    return whole


def ahead(
    items: Iterator[_T], read: Callable[[_T, threading.Event], Batch], thread: Executor, is_over: threading.Event
) -> Iterator[Batch]:
    """Reads what the items stand for in a thread, the next one while the one before is in use.

    Args:
        items: without an end.
        read: (item, ``is_over``) -> what is read; what it raises is raised here.
        thread: in which it is read.
        is_over: set where nobody waits any more.

    Yields:
        What was read, in the order of the items.
    """
    coming = thread.submit(read, next(items), is_over)
    while True:
        now = coming.result()
        coming = thread.submit(read, next(items), is_over)
        yield now


def _rows_of(stored: Stored, window: Window) -> Iterator[np.ndarray]:
    for group, (first, last) in zip(window.groups.tolist(), window.bounds.tolist(), strict=True):
        begin = 0
        for values in stored.read(group):
            part = values[max(0, first - begin) : max(0, last - begin)]
            begin += len(values)
            if len(part):
                yield part


def _room(num_rows: int, field: np.ndarray) -> np.ndarray:
    return np.empty((num_rows, *field.shape[1:]), field.dtype)
