"""Rows that lie in files, in an order that a seed and a place tell, read ahead of where they are needed.

The order has two levels. Groups of rows come in a random order; so many of them as fit into a window are read, and the
rows of a window come in a random order. Both orders are computed from the seed, the number of the pass and that of the
window, so that any place is found without what stands before it.
"""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import numpy as np

from aejax.base import Batch
from aejax.data.orders import shuffled
from aejax.data.stored import Stored

_T = TypeVar("_T")
_GROUPS, _ROWS = 0, 1  # what a seed is for


class Window(NamedTuple):
    """Some groups of a pass, whose rows are shuffled together.

    Attributes:
        seed: of the order of its rows.
        groups: their numbers.
        begin: the rows of the pass before it.
        num_rows: its rows.
    """

    seed: tuple[int, ...]
    groups: np.ndarray
    begin: int
    num_rows: int


def windows(seed: Sequence[int], sizes: np.ndarray, pass_number: int, most_rows: int) -> Iterator[Window]:
    """The windows of one pass over all rows.

    Args:
        seed: of the order.
        sizes: (g,) rows of each group.
        pass_number: from 0 on.
        most_rows: of a window, about: it ends with the group that reaches them.

    Yields:
        The Windows, in which each group stands once.

    Example:
        >>> found = list(windows((0,), np.array([3, 4, 5]), 0, most_rows=6))
        >>> sorted(np.concatenate([window.groups for window in found]).tolist()), found[-1].begin + found[-1].num_rows
        ([0, 1, 2], 12)
    """
    order = shuffled((*seed, _GROUPS, pass_number), len(sizes))
    ends = np.cumsum(sizes[order])
    number = (ends - sizes[order]) // most_rows
    bounds = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(order)]
    for index, (first, last) in enumerate(itertools.pairwise(bounds)):
        begin = int(ends[first - 1]) if first else 0
        yield Window((*seed, _ROWS, pass_number, index), order[first:last], begin, int(ends[last - 1]) - begin)


def windows_from(seed: Sequence[int], sizes: np.ndarray, row: int, most_rows: int) -> Iterator[tuple[Window, int]]:
    """The windows from a place on, pass after pass without an end.

    Args:
        seed: as in ``windows``.
        sizes: as in ``windows``.
        row: how many rows of all passes have been before.
        most_rows: as in ``windows``.

    Yields:
        Windows, and how many of their rows have been before.
    """
    first_pass, place = divmod(row, int(sizes.sum()))
    for pass_number in itertools.count(first_pass):
        for window in windows(seed, sizes, pass_number, most_rows):
            if window.begin + window.num_rows > place:
                yield window, max(0, place - window.begin)
        place = 0


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
    for values in itertools.chain.from_iterable(map(stored.read, window.groups.tolist())):
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


def ahead(items: Iterator[_T], read: Callable[[_T, threading.Event], Batch]) -> Iterator[Batch]:
    """Reads what the items stand for in a thread, the next one while the one before is in use.

    Args:
        items: without an end.
        read: (item, an event that is set where it is no longer needed) -> what is read; what it raises is raised here.

    Yields:
        What was read, in the order of the items.
    """
    is_over = threading.Event()
    with ThreadPoolExecutor(1, "aejax-rows") as thread:
        try:
            coming = thread.submit(read, next(items), is_over)
            while True:
                now = coming.result()
                coming = thread.submit(read, next(items), is_over)
                yield now
        finally:
            is_over.set()


def _room(num_rows: int, field: np.ndarray) -> np.ndarray:
    return np.empty((num_rows, *field.shape[1:]), field.dtype)
