"""What a format of tables is, and the formats that there are."""

from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np


class Column(NamedTuple):
    """One column of a file, of whatever format.

    Attributes:
        name: "" where it has none.
        values: (n,) float64, NaN where missing; all NaN in a column of dates or text.
        is_clock: whether its cells are dates or times of day.
        problem: what keeps it from being a column of numbers, or None.
        cells: (n,), the cells of a column of dates or times of day; None in any other.
    """

    name: str
    values: np.ndarray
    is_clock: bool = False
    problem: str | None = None
    cells: np.ndarray | None = None


class TableFormat(NamedTuple):
    """A format of tables.

    Attributes:
        name: what people call it.
        endings: of the names of its files, lower case with the dot; what is written is told by these.
        begins: the first bytes of its files, any one of these; what is read is told by them. Text has none.
        read: (content of a file) -> its columns, and whether their names are the file's own. Raises ValueError with
            what was found and what was expected.
        write: (open file, columns) -> None. Columns are (n,) by name; raises ValueError for one that the format
            cannot hold.
    """

    name: str
    endings: tuple[str, ...]
    begins: tuple[bytes, ...]
    read: Callable[[bytes], tuple[list[Column], bool]]
    write: Callable[[BinaryIO, Mapping[str, np.ndarray]], None]


TABLE_FORMATS: list[TableFormat] = []


def register(table_format: TableFormat) -> None:
    """Makes a format known to ``read_table`` and ``write_table``."""
    TABLE_FORMATS.append(table_format)


def format_that_begins(data: bytes) -> TableFormat | None:
    """The format whose files begin like this one; None for text."""
    return next((one for one in TABLE_FORMATS if data.startswith(one.begins)), None)


def writers() -> dict[str, Callable[[BinaryIO, Mapping[str, np.ndarray]], None]]:
    """How to write the files that have an ending, by ending.

    Example:
        >>> ".parquet" in writers()
        True
    """
    return {ending: one.write for one in TABLE_FORMATS for ending in one.endings}


def names() -> str:
    """The names of the formats, for an error."""
    return ", ".join(one.name for one in TABLE_FORMATS)


def shown(names: Sequence[str], limit: int = 20) -> str:
    """Names for an error, the first ones of many.

    Args:
        names: any number of them.
        limit: how many to show.

    Returns:
        The names, quoted.

    Example:
        >>> shown(["T1", "T2", "T3"], limit=2)
        "'T1', 'T2' and 1 more"
    """
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(repr, names[:limit])) + more
