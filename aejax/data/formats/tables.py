"""Tables of numbers: read from files of any format and from frames, written, and matched by column name."""

import dataclasses
import hashlib
import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from aejax.artefacts.outside import reading
from aejax.artefacts.writing import atomic_path
from aejax.base import ArrayLike
from aejax.data.formats.contents import contents, nearest
from aejax.data.formats.joining import joined
from aejax.data.formats.options import ReadOptions, checked
from aejax.data.formats.reading import Reading
from aejax.data.formats.selecting import modelled
from aejax.data.formats.table_files.arrow import content_of
from aejax.data.formats.table_files.csv import CSV, append_csv, csv_text
from aejax.data.formats.table_files.registry import TABLE_FORMATS, UNSEEN, Content, format_of, shown, writers


class Table(NamedTuple):
    """Rows of numbers, and of categories as numbers, with names.

    Attributes:
        columns: c names; ``column_1``, ``column_2``, ... where the file has none.
        values: (n, c) float64, NaN where missing.
        has_header: whether the names are the file's own.
        left_out: the columns which are not in ``values``: times, counters, row numbers, and text that is not needed.
        labels: the cells of these, text apart, (n,) each; a result is written beside them.
        reading: how it was read, and why columns were left out.
        categories: of the columns of categories their texts, whose numbers stand in ``values``.
    """

    columns: tuple[str, ...]
    values: np.ndarray
    has_header: bool
    left_out: tuple[str, ...]
    labels: Mapping[str, np.ndarray] = MappingProxyType({})
    reading: Reading = Reading()
    categories: Mapping[str, tuple[str, ...]] = MappingProxyType({})


class Selection(NamedTuple):
    """The columns a model was trained on, in its order.

    Attributes:
        values: (n, c) float64.
        extra: the names of the table's other columns, which are not in ``values``.
        note: a sentence where columns were matched by their position; "" where by their names.
        categories: as in ``Table``, of these columns, by the names of training.
    """

    values: np.ndarray
    extra: tuple[str, ...]
    note: str = ""
    categories: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def read_table(
    source: str | os.PathLike[str] | BinaryIO,
    options: ReadOptions | None = None,
    columns: Sequence[str] | None = None,
    drop_columns: Sequence[str] = (),
) -> Table:
    r"""Reads a table; its format, one of those in ``aejax.data.formats.table_files``, is recognised from its content.

    A folder, or a pattern such as ``"day_*.csv"``, is one table of the rows of all files. A file in a GZ or ZIP file is
    read as it is.

    Left out are columns of dates or times of day, and columns that behave as a clock, a counter or an id
    (``aejax.data.formats.clocks``). They stand in ``labels``, and ``reading`` says why. Columns of text are categories
    where the texts come again and again (``aejax.data.formats.texts``).

    Args:
        source: a path, a folder, a pattern, ``"-"`` for standard input, or an open binary file.
        options: what the file does not say itself.
        columns: the training columns, when new data are read for a model. They are kept though they look like a
            clock or an index; another column that is not numbers is left out and no error; ``drop_columns`` that
            the file lacks are none either.
        drop_columns: names to leave out; text in them is no error.

    Returns:
        The table.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column holds text or infinite values, a row has too many or too few fields, two columns have
            one name, an option names no column of the file, files of a folder differ, or there are no rows or no
            columns.
        ModuleNotFoundError: the format needs a library that is not installed.

    Example:
        >>> import io
        >>> table = read_table(io.BytesIO(b"time,T1,p1\n2024-01-01 00:00,20.5,1.0\n2024-01-01 00:01,,1.1\n"))
        >>> table.columns, table.left_out
        (('T1', 'p1'), ('time',))
        >>> table.values
        array([[20.5,  1. ],
               [ nan,  1.1]])
        >>> table.reading.sentences()[-1]
        'left out: time (dates or times)'
    """
    options = checked(_of_options(options))
    digest = hashlib.sha256()
    # Nothing holds the bytes of a file once it is read.
    read = [(name, *_read(name, data, options)) for name, data in contents(source, digest.update)]
    read = _with_one_decimal(source, read, options)
    parts = [(name, content) for name, _, content in read]
    files, kinds = tuple(name for name, _ in parts), dict.fromkeys(kind for _, kind, _ in read)
    with reading("" if len(files) == 1 else str(source)):
        whole = joined(parts)
    with reading(files[0] if len(files) == 1 else str(source)):
        return _table(
            whole, options, columns, drop_columns, Reading(files, ", ".join(kinds), sha256=digest.hexdigest())
        )


def _read(name: str, data: bytes, options: ReadOptions) -> tuple[str, Content]:
    """The format of a file and what it holds."""
    with reading(name):
        table_format = format_of(data) or CSV
        return table_format.name, table_format.read(data, options)


def _with_one_decimal(
    source: Any, read: list[tuple[str, str, Content]], options: ReadOptions
) -> list[tuple[str, str, Content]]:
    """Files whose own cells show no decimal mark are read again with that of the others."""
    marks = [content.dialect.get("decimal mark", UNSEEN) for _, _, content in read]
    seen = set(marks) - {UNSEEN}
    if options.decimal or len(seen) != 1 or UNSEEN not in marks:
        return read
    told = checked(dataclasses.replace(options, decimal=seen.pop()))
    return [
        (name, *_read(name, data, told)) if mark == UNSEEN else before
        for before, mark, (name, data) in zip(read, marks, contents(source), strict=True)
    ]


def as_table(
    frame: Any,
    options: ReadOptions | None = None,
    columns: Sequence[str] | None = None,
    drop_columns: Sequence[str] = (),
) -> Table:
    """The table of a frame of pandas or polars, of a table of pyarrow, or of arrays by name.

    Its columns are treated as those of a file are: see ``read_table``. An index of dates or numbers is a label.

    Args:
        frame: what pyarrow makes a table of.
        options: as in ``read_table``.
        columns: as in ``read_table``.
        drop_columns: as in ``read_table``.

    Returns:
        The table; what the functions of ``aejax.tables`` return of it are arrays by name, of which both libraries
        make a frame.

    Raises:
        ValueError: as in ``read_table``.
        TypeError: no frame.

    Example:
        >>> as_table({"T1": [20.5, None], "p1": [1.0, 1.1]}).columns
        ('T1', 'p1')
    """
    import pyarrow as arrow

    try:
        table = _table_of_arrow(frame)
    except (arrow.ArrowInvalid, arrow.ArrowTypeError, arrow.ArrowNotImplementedError, ValueError) as error:
        raise ValueError(
            f"frame: found {type(frame).__name__} that is no table of one type a column: {error}"
        ) from None
    except TypeError:
        raise TypeError(
            f"frame: found {type(frame).__name__}, expected a frame of pandas or polars without sparse columns, or "
            "arrays by name"
        ) from None
    options = checked(_of_options(options))
    return _table(content_of(table, options), options, columns, drop_columns, Reading(format=type(frame).__name__))


def _table_of_arrow(frame: Any) -> Any:
    """A table of pyarrow, which may have two columns of one name though pyarrow takes no such frame of pandas."""
    import pyarrow as arrow

    names = [str(name) for name in frame.columns] if hasattr(frame, "set_axis") and hasattr(frame, "columns") else []
    if len(set(names)) == len(names):
        return arrow.table(frame)
    table = arrow.table(frame.set_axis([f"column {place}" for place in range(len(names))], axis=1))
    return table.rename_columns([*names, *table.column_names[len(names) :]])


def select_columns(table: Table, columns: Sequence[str], has_header: bool) -> Selection:
    r"""Puts a table's columns in the order that a model was trained on.

    Matched by name where both have names; else by position, which ``note`` says.

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
        Selection(values=array([[2., 1.]]), extra=('note',), note='', categories={})
    """
    missing = [name for name in columns if name not in table.columns]
    # Numbers of columns are names enough, where both tables have the columns of these numbers.
    if not (table.has_header and has_header) and (missing or table.has_header or has_header):
        return _by_position(table, columns, has_header)
    if missing:
        hints = [f"{name!r}{nearest(name, table.columns)}" for name in missing[:20]]
        more = f" and {len(missing) - 20} more" if len(missing) > 20 else ""
        left_out = [name for name in missing if name in table.left_out]
        also = f"; left out on reading: {shown(left_out)}, give read_table the training columns" if left_out else ""
        raise ValueError(
            f"columns: {len(missing)} of the {len(columns)} training columns missing: {', '.join(hints)}{more}; "
            f"found {shown(table.columns)}{also}"
        )
    order = [table.columns.index(name) for name in columns]
    extra = tuple(name for name in table.columns if name not in set(columns))
    note = "" if has_header else f"columns are matched by their position: neither table has a header ({shown(columns)})"
    is_same = tuple(columns) == table.columns  # as mostly, and a copy would take as much memory again
    categories = {name: table.categories[name] for name in columns if name in table.categories}
    return Selection(table.values if is_same else table.values[:, order], extra, note, categories)


def _by_position(table: Table, columns: Sequence[str], has_header: bool) -> Selection:
    both = not table.has_header and not has_header
    which = "neither table has" if both else "the new table has no" if has_header else "the training data had no"
    why = f"{which}{' a' if both else ''} header"
    if len(table.columns) != len(columns):
        raise ValueError(
            f"columns: found {len(table.columns)}, expected {len(columns)} as in training ({shown(columns)}); "
            f"they are matched by position because {why}"
        )
    note = f"columns are matched by their position, not by name: {why} ({table.columns[0]!r} is {columns[0]!r})"
    names = dict(zip(table.columns, columns, strict=True))
    return Selection(table.values, (), note, {names[name]: levels for name, levels in table.categories.items()})


def check_numbers(table: Table | Selection, user: str) -> None:
    """Refuses columns of categories.

    Args:
        table: the Table, or the columns of it that matter.
        user: who takes numbers alone, for the error.

    Raises:
        ValueError: there are categories; the message names the first such column.

    Example:
        >>> check_numbers(as_table({"T": [1, 2]}), "a monitor")
    """
    for name, levels in table.categories.items():
        raise ValueError(
            f"column {name!r}: found categories ({shown(levels, 3)}), expected numbers, which are all that {user} "
            f"takes; leave it out with --drop-columns {shlex.quote(name)}"
        )


def write_table(path: str | os.PathLike[str], table: Mapping[str, ArrayLike], *, keep_formulas: bool = False) -> None:
    """Writes columns to a file, in the format that its suffix names.

    The file is written atomically: no reader finds half of it, and a failure leaves an older file as it was. Folders
    are made.

    Args:
        path: ends as the files of a format in ``aejax.data.formats.table_files`` do, such as ``.csv``; ``"-"`` is CSV
            on standard output.
        keep_formulas: whether text of CSV that begins with =, +, - or @ is written as it is; a spreadsheet may run it.
            Else an apostrophe stands before it.
        table: (n,) arrays by column name: numbers and booleans, in formats other than NumPy's text and datetime64 too.

    Raises:
        ValueError: the suffix is unknown, there are no columns, a column is not one-dimensional, their lengths
            differ, or a format cannot hold a column.

    Example:
        >>> write_table("-", {"row": np.arange(2), "score": np.array([0.1, np.nan]), "alarm": np.array([True, False])})
        row,score,alarm
        0,0.1,True
        1,,False
    """
    write_blocks(path, [table], keep_formulas=keep_formulas)


def write_blocks(
    path: str | os.PathLike[str], blocks: Iterable[Mapping[str, ArrayLike]], *, keep_formulas: bool = False
) -> None:
    """The same of rows that come block by block; of CSV and Parquet no more than some of them are held.

    Args:
        path: as in ``write_table``.
        blocks: (n,) arrays by column name, of the same columns in each block; at least one.
        keep_formulas: as in ``write_table``.

    Raises:
        ValueError: as ``write_table``.

    Example:
        >>> write_blocks("-", ({"row": np.array([i])} for i in range(2)))
        row
        0
        1
    """
    path = Path(path)
    one = next((one for one in TABLE_FORMATS if one.write and path.suffix.lower() in one.endings), None)
    if str(path) == "-":
        _write_to_standard_output(csv_text(map(_checked, blocks), keep_formulas=keep_formulas))
        return
    if one is None:
        raise ValueError(f"{path}: found the suffix {path.suffix!r}, expected one of {', '.join(writers())}")
    with atomic_path(path) as unfinished, unfinished.open("wb") as file:
        if one is CSV:
            append_csv(file, map(_checked, blocks), keep_formulas=keep_formulas)
        elif one.append:
            one.append(file, map(_checked, blocks))
        elif one.write:
            one.write(file, _in_one([_checked(block) for block in blocks]))


def _checked(table: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    columns = {str(name): np.asarray(values) for name, values in table.items()}
    shapes = {name: values.shape for name, values in columns.items()}
    if not columns or len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise ValueError(f"table: found columns of shapes {shapes}, expected one or more, each (n,) with the same n")
    return columns


def _in_one(blocks: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return blocks[0] if len(blocks) == 1 else {name: np.concatenate([b[name] for b in blocks]) for name in blocks[0]}


def _write_to_standard_output(blocks: Iterable[str]) -> None:
    try:
        sys.stdout.writelines(blocks)
    except BrokenPipeError:
        raise
    except OSError as error:  # which does not say what could not be written
        raise OSError(error.errno, error.strerror, "standard output") from error


def _of_options(options: object) -> ReadOptions:
    if options is None or isinstance(options, ReadOptions):
        return options or ReadOptions()
    raise TypeError(
        f"options: found {type(options).__name__}, expected ReadOptions; names to leave out are drop_columns"
    )


def _table(
    content: Content, options: ReadOptions, wanted: Sequence[str] | None, drop: Sequence[str], reading: Reading
) -> Table:
    """The columns to model, and why the others are left out."""
    chosen = modelled(content, options, wanted, drop)
    values = np.column_stack([column.values for column in chosen.kept])
    names = tuple(column.name for column in chosen.kept)
    reading = reading._replace(
        dialect=content.dialect,
        units={column.name: column.unit for column in chosen.kept if column.unit},
        left_out=chosen.reasons,
        notes=(*content.notes, *chosen.notes),
    )
    categories = {column.name: column.levels for column in chosen.kept if column.levels is not None}
    return Table(names, values, content.has_header, tuple(chosen.reasons), chosen.labels, reading, categories)
