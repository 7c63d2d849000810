"""Tables that are larger than memory: read twice, some rows at a time, as ``read_table`` would read them whole.

The first time decides what all rows have a say in: which columns are times, counters or text. The second time gives
the rows. Whatever is out of the ordinary is left to ``read_table``, which knows what to say of it.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aejax.artefacts.outside import reading
from aejax.data.formats.clocks import clocks, is_measurement
from aejax.data.formats.contents import files_of, unpacked
from aejax.data.formats.joining import joined
from aejax.data.formats.options import ReadOptions, categories_told, checked
from aejax.data.formats.reading import Reading
from aejax.data.formats.selecting import modelled
from aejax.data.formats.stamps import Stamp, check_unchanged, stamp_of
from aejax.data.formats.stored_files import HEAD
from aejax.data.formats.table_files.csv import CSV
from aejax.data.formats.table_files.registry import UNSEEN, Column, Content, Parts, WholeError, format_of
from aejax.data.formats.tables import Table
from aejax.data.formats.text.sums import Above, may_end_in_sums

PART = 1 << 25  # bytes
_HEAD = 1 << 18  # bytes of text, in which its decimal mark is looked for


class Blocks(NamedTuple):
    """A table that is read some rows at a time.

    Attributes:
        empty: the table without its rows: its columns, what is left out of them, and how it was read.
        tables: gives its rows, some in each Table, from the first on each time it is called.
        stamps: of its files, from before they were read.
    """

    empty: Table
    tables: Callable[[], Iterator[Table]]
    stamps: tuple[Stamp, ...]


class _File(NamedTuple):
    path: Path
    format_name: str
    options: ReadOptions
    parts: Parts
    stamp: Stamp


class _Sought(NamedTuple):
    """Which columns are looked for, and which are not to be read, though each file must have them for training."""

    wanted: frozenset[str]
    dropped: frozenset[str]
    is_for_training: bool


def read_blocks(
    source: str | os.PathLike[str],
    options: ReadOptions,
    columns: Sequence[str] | None,
    drop_columns: Sequence[str] = (),
    note: Callable[[Table], None] = lambda table: None,  # noqa: ARG005
    size: int = PART,
) -> Blocks | None:
    """Reads a table once, and says how to read it again.

    Args:
        source: a path, a folder or a pattern.
        options: what the files do not say themselves.
        columns: the training columns, where these are new rows for a model; None where one is trained on them.
        drop_columns: names to leave out.
        note: takes the columns of numbers, some rows at a time: all that are modelled are among them.
        size: bytes that are read at a time, about.

    Returns:
        The Blocks; None where the table is small, or has to be read whole. What ``note`` took is void then.

    Raises:
        FileNotFoundError: there is no such file, or one has gone meanwhile.
        ValueError: a file has changed meanwhile.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "rows.npy"
        >>> np.save(path, np.arange(12.0).reshape(6, 2))
        >>> blocks = read_blocks(path, ReadOptions(), ("column_1", "column_2"), size=32)
        >>> blocks.empty.columns, [len(table.values) for table in blocks.tables()]
        (('column_1', 'column_2'), [2, 2, 2])
    """
    sought = _Sought(frozenset(columns or ()), frozenset(drop_columns), columns is None)
    if categories_told(options):
        return None  # all cells of a column say which categories it has
    files: list[_File] = []
    try:
        files = _files(source, checked(options), size)
        if not files:
            return None
        found = [_survey(file, sought, note) for file in files]
        whole = joined([(str(file.path), content) for file, (content, _) in zip(files, found, strict=True)])
        num_rows = sum(count for _, count in found)
        # Columns that nothing depends on are not held; beside none that is they need not even be of its length.
        length = max(len(column.values) for column in whole.columns)
        held = [c if len(c.values) == num_rows else c._replace(values=_nothing(length)) for c in whole.columns]
        chosen = modelled(whole._replace(columns=held), options, columns)
    except Exception:  # whatever it is, it is found again and said where the table is read whole
        check_unchanged(file.stamp for file in files)
        return None
    check_unchanged(file.stamp for file in files)
    formats = dict.fromkeys(file.format_name for file in files)
    names = tuple(column.name for column in chosen.kept)
    empty = Table(
        names,
        np.empty((0, len(names))),
        whole.has_header,
        tuple(chosen.reasons),
        {name: np.empty(0) for name in chosen.labels},
        Reading(
            tuple(str(file.path) for file in files),
            ", ".join(formats),
            whole.dialect,
            {column.name: column.unit for column in chosen.kept if column.unit},
            chosen.reasons,
            (*whole.notes, *chosen.notes),
        ),
    )
    return Blocks(empty, lambda: _tables(files, empty), tuple(file.stamp for file in files))


def _files(source: str | os.PathLike[str], options: ReadOptions, size: int) -> list[_File]:
    """The files of a table; none where it is small, or where all of one is read at once anyway."""
    if not isinstance(source, str | os.PathLike) or str(source) == "-":
        return []
    opened = []
    for path in files_of(source):
        stamp = stamp_of(path)
        begins = _begin(path, HEAD)
        is_packed = begins.startswith((b"PK", b"\x1f\x8b"))
        opened.append((path, stamp, (format_of(begins) if not is_packed else None) or CSV, is_packed))
    if all(known is CSV for _, _, known, _ in opened) and sum(stamp.size for _, stamp, *_ in opened) < size:
        return []
    files, marks = [], []
    for path, stamp, known, is_packed in opened:
        parts = known.parts(path, options, size) if known.parts and not is_packed else None
        mark = UNSEEN
        if known is CSV and parts is not None:
            head = _begin(path, _HEAD)
            mark = CSV.read(head[: head.rfind(b"\n") + 1], options).dialect["decimal mark"]
            marks.append(mark)
        files.append((path, known, parts, mark, stamp))
    is_small = sum(stamp.size if parts is None else parts.num_bytes for _, _, parts, _, stamp in files) < size
    if is_small or (len(files) == 1 and files[0][2] is None):
        return []
    seen = set(marks) - {UNSEEN}
    # Files whose own cells show no decimal mark are read with that of the others.
    told = checked(dataclasses.replace(options, decimal=seen.pop())) if len(seen) == 1 and not options.decimal else None
    found = []
    for path, known, parts, mark, stamp in files:
        of_file = told if told and mark == UNSEEN and known is CSV and len(files) > 1 else options
        if parts is None:
            parts = _in_one(path, of_file)
        elif of_file is not options and known.parts:
            parts = known.parts(path, of_file, size) or parts
        found.append(_File(path, known.name, of_file, parts, stamp))
    return found


def _begin(path: Path, num_bytes: int) -> bytes:
    with path.open("rb") as file:
        return file.read(num_bytes)


def _in_one(path: Path, options: ReadOptions) -> Parts:
    """A file that is read whole, as one part of the table."""

    def contents() -> Iterator[Content]:
        with reading(path):
            data = unpacked(path.read_bytes(), str(path))
            yield (format_of(data) or CSV).read(data, options)

    return Parts(path.stat().st_size, contents)


def _survey(file: _File, sought: _Sought, note: Callable[[Table], None]) -> tuple[Content, int]:
    """What a file holds: all values of columns whose behaviour decides, and of others what they are."""
    first: Content | None = None
    ending = _Ending()
    kinds: dict[str, set[str]] = {}
    held: dict[str, list[np.ndarray]] = {}
    notes: dict[str, None] = {}
    num_rows = 0
    for content in file.parts.contents():
        content = _named(content, sought)
        if first is None:
            first = content
            held = {name: [] for name in _deciding(content, sought)}
        _check_alike(content, first)
        notes |= dict.fromkeys(content.notes)
        for column in content.columns:
            kinds.setdefault(column.name, set()).add(_kind(column))
            if column.name in held:
                held[column.name].append(np.array(column.values))
        num_rows += len(content.columns[0].values)
        if file.parts.may_end_in_totals:
            ending.add(content)
        note(_numbers(content, file.options))
    if first is None:
        raise WholeError("found no rows")
    ending.check()
    columns = [
        _summary(column, kinds[column.name] - {"empty"}, held.get(column.name), column.name in sought.wanted)
        for column in first.columns
    ]
    return first._replace(columns=columns, notes=tuple(notes)), num_rows


class _Ending:
    """The last rows of a file, and the sums of those above: last rows that may hold totals are judged in the whole."""

    def __init__(self) -> None:
        self._last: list[Content] = []
        self._above: list[Above] = []

    def add(self, content: Content) -> None:
        if any("--keep-totals" in text for text in content.notes):
            raise WholeError("found rows that may be totals")
        self._above = self._above or [Above()] * len(content.columns)
        if len(self._last) == 2:
            columns = self._last.pop(0).columns
            self._above = [above.and_below(one.values) for above, one in zip(self._above, columns, strict=True)]
        self._last.append(content)

    def check(self) -> None:
        parts = [[column.values for column in content.columns] for content in self._last]
        if parts and may_end_in_sums([np.concatenate(values) for values in zip(*parts, strict=True)], self._above):
            raise WholeError("found last rows that may be sums or means of those above")


def _named(content: Content, sought: _Sought) -> Content:
    """The columns, each with a name; without those that are dropped."""
    columns = [column._replace(name=column.name or f"column_{i}") for i, column in enumerate(content.columns, 1)]
    if sought.is_for_training and not sought.dropped <= {column.name for column in columns}:
        raise WholeError("found none of the columns to drop")
    columns = [column for column in columns if column.name not in sought.dropped]
    if len({column.name for column in columns}) < len(columns) or not columns:
        raise WholeError("found columns of one name")
    return content._replace(columns=columns)


def _deciding(content: Content, sought: _Sought) -> list[str]:
    """Columns all of whose values are looked at: those that may be clocks, and parts of a clock that tell of others."""
    numbers = {column.name: column.values for column in content.columns if _kind(column) in ("number", "empty")}
    others = [name for name in numbers if name not in sought.wanted and not is_measurement(numbers[name])]
    return [*others, *(name for name in clocks(numbers) if name in sought.wanted)] if others else []


def _check_alike(content: Content, first: Content) -> None:
    names, expected = ([column.name for column in part.columns] for part in (content, first))
    units = [column.unit for column in content.columns]
    if names != expected or content.has_header != first.has_header or units != [c.unit for c in first.columns]:
        raise WholeError(f"found the columns {names}, expected {expected} as above")


def _kind(column: Column) -> str:
    if column.is_clock:
        return "clock"
    if column.problem:
        return "text"
    if np.isinf(column.values).any():
        return "infinite"
    return "empty" if np.isnan(column.values).all() else "number"


def _summary(column: Column, kinds: set[str], held: list[np.ndarray] | None, is_wanted: bool) -> Column:
    """The column of all rows, by what its parts are."""
    is_number = kinds <= {"number"}
    if is_wanted and not is_number:
        raise WholeError(f"column {column.name!r}: found {', '.join(sorted(kinds))}, expected numbers")
    if held is not None and kinds <= {"number", "infinite"}:
        return column._replace(values=np.concatenate(held))
    values = np.array([0.0 if kinds == {"number"} else np.nan])
    if is_number:
        return column._replace(values=values)
    is_clock = kinds == {"clock"}
    return Column(
        column.name, values, is_clock, None if is_clock else "text", np.full(1, ""), column.unit, (), column.is_index
    )


def _numbers(content: Content, options: ReadOptions) -> Table:
    kept = [
        column
        for column in content.columns
        if _kind(column) in ("number", "empty") and column.name != options.time_column
    ]
    if not kept:
        raise WholeError("found no column of numbers")
    return Table(
        tuple(column.name for column in kept),
        np.column_stack([column.values for column in kept]),
        content.has_header,
        (),
    )


def _nothing(num_rows: int) -> np.ndarray:
    return np.broadcast_to(np.nan, num_rows)


def _tables(files: Sequence[_File], empty: Table) -> Iterator[Table]:
    """The rows of all files, once it is known which columns are kept."""
    for file in files:
        check_unchanged([file.stamp])
        try:
            for content in file.parts.contents():
                yield _table(content, empty)
        except Exception:
            check_unchanged([file.stamp])
            raise
        check_unchanged([file.stamp])


def _table(content: Content, empty: Table) -> Table:
    by_name = {column.name or f"column_{i}": column for i, column in enumerate(content.columns, 1)}
    values = np.column_stack([by_name[name].values for name in empty.columns])
    labels = {name: _label(by_name[name], name in _dates(empty)) for name in empty.labels}
    return empty._replace(values=values, labels=labels)


def _dates(empty: Table) -> set[str]:
    return {name for name, reason in empty.reading.left_out.items() if reason == "dates or times"}


def _label(column: Column, is_date: bool) -> np.ndarray:
    if column.cells is not None:
        return column.cells
    return np.full(len(column.values), "", object) if is_date else column.values
