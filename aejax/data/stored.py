"""Rows that lie elsewhere than in memory, read a group at a time: what files, memory maps and tables in parts share."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

# Rows that are read at once where any may be: many groups for a random order, each large enough for a disk.
_GROUP_BYTES = 1 << 20


class Stored(NamedTuple):
    """Rows in groups, each of which is read as a whole, in any order.

    Attributes:
        sizes: (g,) int64, rows of each group.
        read: number of a group -> its rows in their order, some in each (m, *event) array, which its reader may write
            into.
    """

    sizes: np.ndarray
    read: Callable[[int], Iterator[np.ndarray]]

    @property
    def num_rows(self) -> int:
        """All rows."""
        return int(self.sizes.sum())

    def rows(self) -> Iterator[np.ndarray]:
        """All rows in their order, some in each array."""
        for group in range(len(self.sizes)):
            yield from self.read(group)


def stored_array(array: np.ndarray, group_rows: int | None = None) -> Stored:
    """The rows of an array that need not be in memory, such as a memory map.

    Args:
        array: (n, *event), of which slices are read.
        group_rows: rows of a group; about a mebibyte if None.

    Returns:
        The Stored.

    Example:
        >>> stored = stored_array(np.arange(10.0).reshape(5, 2), group_rows=2)
        >>> stored.sizes.tolist(), [rows.tolist() for rows in stored.read(2)]
        ([2, 2, 1], [[[8.0, 9.0]]])
    """
    size = group_rows or rows_of_group(array.dtype.itemsize * int(np.prod(array.shape[1:])))

    def read(group: int) -> Iterator[np.ndarray]:
        yield np.array(array[group * size : (group + 1) * size])

    return Stored(even_groups(len(array), size), read)


class Records(Protocol):
    """Records that are found by their number, such as a list or a source of Grain."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """The record of a number."""
        ...


def stored_records(records: Records, decode: Callable[[Any], np.ndarray], group_rows: int | None = None) -> Stored:
    """Rows that are found one by one, such as the records of an ArrayRecord file by Grain.

    Args:
        records: such as ``grain.sources.ArrayRecordDataSource(path)``. Where they have ``__getitems__``, as those of
            Grain do, a group is read at once.
        decode: a record -> its row, an (*event) array.
        group_rows: rows of a group; about a mebibyte if None.

    Returns:
        The Stored.

    Example:
        >>> records = [np.full(3, number, np.float32).tobytes() for number in range(5)]
        >>> stored = stored_records(records, lambda record: np.frombuffer(record, np.float32), group_rows=2)
        >>> stored.sizes.tolist(), next(stored.read(1)).tolist()
        ([2, 2, 1], [[2.0, 2.0, 2.0], [3.0, 3.0, 3.0]])
    """
    num_rows = len(records)
    size = group_rows or rows_of_group(np.asarray(decode(records[0])).nbytes if num_rows else 1)
    sizes = even_groups(num_rows, size)
    several = getattr(records, "__getitems__", None)

    def read(group: int) -> Iterator[np.ndarray]:
        numbers = range(group * size, group * size + int(sizes[group]))
        found = several(list(numbers)) if several else map(records.__getitem__, numbers)
        yield np.stack([decode(record) for record in found])

    return Stored(sizes, read)


def rows_of_group(row_bytes: int) -> int:
    """Rows of a group, where any number may be read at once."""
    return max(1, _GROUP_BYTES // max(1, row_bytes))


def even_groups(num_rows: int, size: int) -> np.ndarray:
    """The sizes of groups of so many rows, of which the last may be smaller.

    Example:
        >>> even_groups(5, 2).tolist()
        [2, 2, 1]
    """
    begins = np.arange(0, num_rows, size, dtype=np.int64)
    return np.minimum(size, num_rows - begins)


def joined(parts: Sequence[Stored]) -> Stored:
    """The rows of several as those of one, in their order.

    Args:
        parts: of one event shape, at least one.

    Returns:
        The Stored.

    Example:
        >>> joined([stored_array(np.zeros((3, 2))), stored_array(np.ones((2, 2)))]).num_rows
        5
    """
    ends = np.cumsum([len(part.sizes) for part in parts])

    def read(group: int) -> Iterator[np.ndarray]:
        index = int(np.searchsorted(ends, group, side="right"))
        return parts[index].read(group - int(ends[index]) + len(parts[index].sizes))

    return Stored(np.concatenate([part.sizes for part in parts]), read)


def leaving_out(stored: Stored, rows: np.ndarray) -> Stored:
    """All rows but some, which are held out.

    Args:
        stored: the rows.
        rows: numbers of those to leave out.

    Returns:
        The Stored, of as many groups, of which some may be empty.

    Example:
        >>> rest = leaving_out(stored_array(np.arange(5.0)[:, None], group_rows=3), np.array([4, 1]))
        >>> [rows[:, 0].tolist() for rows in rest.rows()]
        [[0.0, 2.0], [3.0]]
    """
    out = np.unique(rows)
    ends = np.cumsum(stored.sizes)
    bounds = np.searchsorted(out, [0, *ends.tolist()])

    def read(group: int) -> Iterator[np.ndarray]:
        begin = int(ends[group] - stored.sizes[group])
        for values in stored.read(group):
            is_kept = np.ones(len(values), bool)
            first, last = np.searchsorted(out, [begin, begin + len(values)])
            is_kept[out[first:last] - begin] = False
            begin += len(values)
            yield values[is_kept] if first < last else values

    return Stored(stored.sizes - np.diff(bounds), read)
