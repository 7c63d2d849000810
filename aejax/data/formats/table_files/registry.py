"""What a format of tables is, and the formats that there are."""

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

import numpy as np

from aejax.data.formats.options import ReadOptions
from aejax.data.stored import Stored

UNSEEN = "not seen"  # the decimal mark of a text without one
_ZIP = b"PK\x03\x04"


class Column(NamedTuple):
    """One column of a file, of whatever format.

    Attributes:
        name: "" where it has none.
        values: (n,) float64, NaN where missing; all NaN in a column of dates or text.
        is_clock: whether its cells are dates or times of day.
        problem: what keeps it from being a column of numbers, or None.
        cells: (n,), the cells of a column of dates, times of day or text; None in any other.
        unit: what the file says of it, "" for nothing.
        words: words in the place of numbers, which ``ReadOptions.missing`` may name.
        is_index: whether it is an index of a frame of pandas.
        levels: of a column of categories their texts, whose numbers its values are; None of any other.
    """

    name: str
    values: np.ndarray
    is_clock: bool = False
    problem: str | None = None
    cells: np.ndarray | None = None
    unit: str = ""
    words: tuple[str, ...] = ()
    is_index: bool = False
    levels: tuple[str, ...] | None = None


class Content(NamedTuple):
    """What a file holds.

    Attributes:
        columns: of equal length.
        has_header: whether their names are the file's own.
        dialect: how it is written, by name, for a reader of it.
        notes: what was decided or ignored, a sentence each.
    """

    columns: list[Column]
    has_header: bool
    dialect: Mapping[str, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()


class TableFormat(NamedTuple):
    """A format of tables.

    Attributes:
        name: what people call it.
        endings: of the names of its files, lower case with the dot; what is written is told by these.
        begins: the first bytes of its files, any one of these; what is read is told by them. Text has none.
        read: (content of a file, options) -> what it holds. Raises ValueError with what was found and what was
            expected.
        write: (open file, columns) -> None. Columns are (n,) by name; raises ValueError for one that the format
            cannot hold. None where the format is only read.
        members: of a format whose files are ZIP archives, how the name of a file in them ends.
        parts: (file, options, bytes of a part) -> ``Parts``, or None where this file can only be read whole. None where
            all files of the format are.
        append: (open file, columns of some rows, columns of the rows below, ...) -> None, as ``write`` does with all of
            them at once. None where the format needs all rows.
        groups: (file, names of columns) -> the rows of a file in groups that are read in any order. Raises
            ``WholeError`` where this file has none. None where no file of the format has.
    """

    name: str
    endings: tuple[str, ...]
    begins: tuple[bytes, ...]
    read: Callable[[bytes, ReadOptions], Content]
    write: Callable[[BinaryIO, Mapping[str, np.ndarray]], None] | None = None
    members: str = ""
    parts: Callable[[Path, ReadOptions, int], "Parts | None"] | None = None
    append: Callable[[BinaryIO, Iterable[Mapping[str, np.ndarray]]], None] | None = None
    groups: Callable[[Path, Sequence[str]], Stored] | None = None


class Parts(NamedTuple):
    """A file that is read some rows at a time.

    Attributes:
        num_bytes: how much memory all its rows would take, about.
        contents: gives what it holds, some rows in each Content. Raises ``WholeError`` where these rows may mean
            something else beside the others.
        may_end_in_totals: whether last rows that hold totals are left out where the file is read whole.
    """

    num_bytes: int
    contents: Callable[[], Iterator[Content]]
    may_end_in_totals: bool = False


class WholeError(ValueError):
    """A file has to be read whole to be read rightly."""


TABLE_FORMATS: list[TableFormat] = []


def register(table_format: TableFormat) -> None:
    """Makes a format known to ``read_table`` and ``write_table``."""
    TABLE_FORMATS.append(table_format)


def format_of(data: bytes) -> TableFormat | None:
    """The format of a file with this content; None for text, and for an archive of other files."""
    alike = [one for one in TABLE_FORMATS if data.startswith(one.begins)]
    if data.startswith(_ZIP):
        members = zip_members(data)
        return next((one for one in alike if any(name.endswith(one.members) for name in members)), None)
    return next(iter(alike), None)


def zip_members(data: bytes) -> list[str]:
    """The names of the files in a ZIP archive; none of those that systems put beside.

    Raises:
        ValueError: a damaged archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise ValueError(f"found a damaged ZIP, NPZ or XLSX file ({error}), expected a whole one") from None
    return [
        name for name in names if not name.endswith("/") and not name.startswith("__MACOSX/") and "/." not in f"/{name}"
    ]


def writers() -> dict[str, Callable[[BinaryIO, Mapping[str, np.ndarray]], None]]:
    """How to write the files that have an ending, by ending.

    Example:
        >>> ".parquet" in writers(), ".xlsx" in writers()
        (True, False)
    """
    return {ending: one.write for one in TABLE_FORMATS if one.write for ending in one.endings}


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
