"""Tables of numbers: read from files of any format, written, and matched by column name."""

import difflib
import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

import numpy as np

from aejax.artefacts.storage import atomic_path
from aejax.base import ArrayLike
from aejax.data.formats.table_files.csv import CSV, csv_text
from aejax.data.formats.table_files.registry import Column, format_that_begins, shown, writers

_CLOCK_NAMES = {"time", "timestamp", "date", "datetime", "date_time", "epoch"}
_INDEX_NAMES = {"Unnamed: 0", "__index_level_0__"}


class Table(NamedTuple):
    """Rows of numbers with names.

    Attributes:
        columns: c names; ``column_1``, ``column_2``, ... where the file has none.
        values: (n, c) float64, NaN where missing.
        has_header: whether the names are the file's own.
        left_out: the columns recognised as timestamps or as an index, which are not in ``values``.
        labels: the cells of these, (n,) each; a result is written beside them.
    """

    columns: tuple[str, ...]
    values: np.ndarray
    has_header: bool
    left_out: tuple[str, ...]
    labels: Mapping[str, np.ndarray] = MappingProxyType({})


class Selection(NamedTuple):
    """The columns a model was trained on, in its order.

    Attributes:
        values: (n, c) float64.
        extra: the names of the table's other columns, which are not in ``values``.
    """

    values: np.ndarray
    extra: tuple[str, ...]


def read_table(
    source: str | os.PathLike[str] | BinaryIO,
    drop_columns: Sequence[str] = (),
    columns: Sequence[str] | None = None,
) -> Table:
    r"""Reads a table; its format, one of those in ``aejax.data.formats.table_files``, is recognised from its content.

    Left out are: columns of dates or times of day; a column of numbers named time, timestamp, date, datetime,
    date_time or epoch (upper or lower case, with or without a unit in brackets) that increases strictly from row to
    row, as a clock does and a measurement does not; an index as pandas writes it (a first column without a
    name, ``Unnamed: 0`` or ``__index_level_0__``) of distinct whole numbers.

    Args:
        source: a path, ``"-"`` for standard input, or an open binary file.
        drop_columns: names to leave out; text in them is no error.
        columns: the training columns, when new data are read for a model. They are kept though they look like a
            clock or an index; another column that is not numbers is left out and no error; ``drop_columns`` that
            the file lacks are none either.

    Returns:
        The table.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column holds text or infinite values, a row has too many or too few fields, two columns have
            one name, ``drop_columns`` names no column of the file, or there are no rows or no columns.
        ModuleNotFoundError: the format needs a library that is not installed.

    Example:
        >>> import io
        >>> table = read_table(io.BytesIO(b"time,T1,p1\n2024-01-01 00:00,20.5,1.0\n2024-01-01 00:01,,1.1\n"))
        >>> table.columns, table.left_out
        (('T1', 'p1'), ('time',))
        >>> table.values
        array([[20.5,  1. ],
               [ nan,  1.1]])
    """
    name, data = _contents(source)
    try:
        read = (format_that_begins(data) or CSV).read
        return _table(*read(data), drop_columns, columns)
    except ValueError as error:
        raise ValueError(f"{name}: {error}" if name else str(error)) from None


def select_columns(table: Table, columns: Sequence[str], has_header: bool) -> Selection:
    r"""Puts a table's columns in the order that a model was trained on.

    Matched by name; by position where the table or the training data had no header.

    Args:
        table: new data.
        columns: the c training columns.
        has_header: whether their names came from the training file.

    Returns:
        (n, c) values in the training order, and the names that were not needed.

    Raises:
        ValueError: a training column is missing, or the counts differ where they are matched by position.

    Example:
        >>> import io
        >>> table = read_table(io.BytesIO(b"b,a,note\n1,2,3\n"))
        >>> select_columns(table, ("a", "b"), has_header=True)
        Selection(values=array([[2., 1.]]), extra=('note',))
    """
    if not (table.has_header and has_header):
        if len(table.columns) != len(columns):
            which = "the new table" if has_header else "the training data"
            raise ValueError(
                f"columns: found {len(table.columns)}, expected {len(columns)} as in training ({shown(columns)}); "
                f"they are matched by position because {which} had no header"
            )
        return Selection(table.values, ())
    missing = [name for name in columns if name not in table.columns]
    if missing:
        hints = [f"{name!r}{_nearest(name, table.columns)}" for name in missing[:20]]
        more = f" and {len(missing) - 20} more" if len(missing) > 20 else ""
        left_out = [name for name in missing if name in table.left_out]
        also = f"; left out on reading: {shown(left_out)}, give read_table the training columns" if left_out else ""
        raise ValueError(
            f"columns: {len(missing)} of the {len(columns)} training columns missing: {', '.join(hints)}{more}; "
            f"found {shown(table.columns)}{also}"
        )
    order = [table.columns.index(name) for name in columns]
    return Selection(table.values[:, order], tuple(name for name in table.columns if name not in set(columns)))


def write_table(path: str | os.PathLike[str], table: Mapping[str, ArrayLike]) -> None:
    """Writes columns to a file, in the format that its suffix names.

    The file is written atomically: no reader finds half of it, and a failure leaves an older file as it was. Folders
    are made.

    Args:
        path: ends as the files of a format in ``aejax.data.formats.table_files`` do, such as ``.csv``; ``"-"`` is CSV
            on standard output.
        table: (n,) arrays by column name: numbers and booleans, in formats other than NumPy's text and datetime64 too.

    Raises:
        ValueError: the suffix is unknown, there are no columns, a column is not one-dimensional, their lengths
            differ, or a format cannot hold a column.
        ModuleNotFoundError: the format needs a library that is not installed.

    Example:
        >>> write_table("-", {"row": np.arange(2), "score": np.array([0.1, np.nan]), "alarm": np.array([True, False])})
        row,score,alarm
        0,0.1,True
        1,,False
    """
    columns = {str(name): np.asarray(values) for name, values in table.items()}
    shapes = {name: values.shape for name, values in columns.items()}
    if not columns or len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise ValueError(f"table: found columns of shapes {shapes}, expected one or more, each (n,) with the same n")
    if str(path) == "-":
        sys.stdout.write(csv_text(columns))
        return
    path = Path(path)
    write = writers().get(path.suffix.lower())
    if write is None:
        raise ValueError(f"{path}: found the suffix {path.suffix!r}, expected one of {', '.join(writers())}")
    with atomic_path(path) as unfinished, unfinished.open("wb") as file:
        write(file, columns)


def _contents(source: str | os.PathLike[str] | BinaryIO) -> tuple[str, bytes]:
    """What the source is called, "" where it has no name, and what it holds."""
    if not isinstance(source, str | os.PathLike):
        data = source.read()
        if isinstance(data, str):
            raise ValueError("source: found a file open for text, expected a binary one: open(path, 'rb')")
        return str(getattr(source, "name", "")), data
    if str(source) == "-":
        return "standard input", sys.stdin.buffer.read()
    path = Path(source)
    if not path.is_file():
        if path.is_dir():
            raise IsADirectoryError(f"{path}: found a folder, expected a file")
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise FileNotFoundError(f"{path}: there is no such file{_nearest(path.name, beside)}")
    return str(path), path.read_bytes()


def _table(columns: list[Column], has_header: bool, drop: Sequence[str], wanted: Sequence[str] | None) -> Table:
    """Checks the columns of numbers, and separates clocks and indices."""
    columns = [column._replace(name=column.name or f"column_{i}") for i, column in enumerate(columns, 1)]
    names = [column.name for column in columns]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        places = [i for i, name in enumerate(names, 1) if name == twice[0]]
        raise ValueError(f"column {twice[0]!r}: found in places {places}, expected once; rename all but one of them")
    for name in drop:
        if name not in names and wanted is None:
            raise ValueError(f"drop_columns: found {name!r}{_nearest(name, names)}, expected some of {shown(names)}")
    kept, left_out, labels = [], [], {}
    for i, column in enumerate(columns):
        if column.name in drop:
            continue
        is_wanted = wanted is not None and column.name in wanted
        counts = has_header and not column.problem and _is_counter(column, first=i == 0)
        problem = column.problem or _infinity(column)
        if column.is_clock or (counts and not is_wanted) or (problem and has_header and wanted and not is_wanted):
            left_out.append(column.name)
            if column.is_clock or counts:
                labels[column.name] = column.values if column.cells is None else column.cells
            continue
        if problem:
            remedy = "empty the cell if it means a missing value"
            # A column that was asked for cannot be left out.
            if not is_wanted:
                remedy += (
                    f", or leave the column out with --drop-columns {shlex.quote(column.name)} "
                    f"(drop_columns=[{column.name!r}])"
                )
            raise ValueError(f"column {column.name!r}: {problem}; {remedy}")
        kept.append(column)
    if not kept:
        raise ValueError(f"found no column of numbers, expected at least one; left out: {shown([*left_out, *drop])}")
    values = np.column_stack([column.values for column in kept])
    if not len(values):
        raise ValueError(f"found no rows in the columns {shown(names)}, expected at least one")
    return Table(tuple(column.name for column in kept), values, has_header, tuple(left_out), labels)


def _infinity(column: Column) -> str | None:
    infinite = np.isinf(column.values)
    if not infinite.any():
        return None
    row = int(np.argmax(infinite))
    return f"found {column.values[row]} in row {row + 1}, expected finite numbers"


def _is_counter(column: Column, first: bool) -> bool:
    """Whether a column of numbers is a clock by its name and course, or an index of rows."""
    name = re.sub(r"\s*[\[(].*[\])]$", "", column.name).strip().lower()
    if name in _CLOCK_NAMES:
        return bool((np.diff(column.values) > 0).all()) and not np.isnan(column.values).any()
    # "column_1" in first place is what `_table` calls a column without a name.
    if (first and column.name == "column_1") or column.name in _INDEX_NAMES:
        return bool((column.values % 1 == 0).all()) and len(np.unique(column.values)) == len(column.values)
    return False


def _nearest(name: str, names: Sequence[str]) -> str:
    """The most similar name, as the part of a sentence; nothing where none is similar."""
    by_lower = {other.lower(): other for other in names}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f" (nearest: {by_lower[found[0]]!r})" if found else ""
