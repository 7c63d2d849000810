"""Rows of a delimited text: split and converted by pyarrow, and cell by cell where that does not do."""

import csv
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from aejax.data.formats.arrow_numbers import as_float64
from aejax.data.formats.options import ReadOptions, categories_told
from aejax.data.formats.table_files.registry import UNSEEN, Column, Content, names, shown
from aejax.data.formats.text import marks as of_marks
from aejax.data.formats.text.cells import Read, Rules, columns_of_text
from aejax.data.formats.text.dialect import Dialect, find_dialect, is_comment, split_cells
from aejax.data.formats.text.encoding import BinaryError, as_utf8
from aejax.data.formats.text.footer import without_footer
from aejax.data.formats.text.header import Row, kinds_of
from aejax.data.formats.text.sums import without_computed
from aejax.data.formats.text.totals import without_labelled
from aejax.data.formats.text.words import MISSING

# How a note begins where no cell shows the decimal mark.
TAKEN = "is taken for the decimal mark"

_SEPARATORS = {"\t": "tab", " ": "white space", ",": "comma", ";": "semicolon", "|": "bar"}
_NUL, _CTRL_Z = b"\0", b"\x1a"
_TAIL = 1 << 16
_NUM_ROWS = 50  # that show what the columns hold
_MAY_BE_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")


class _Span(NamedTuple):
    """A part of a text, which is not copied: a table may fill half of the memory."""

    text: bytes
    start: int
    end: int

    def __contains__(self, mark: object) -> bool:
        assert isinstance(mark, bytes)
        return self.text.find(mark, self.start, self.end) >= 0

    def count_of(self, mark: bytes) -> int:
        return self.text.count(mark, self.start, self.end)

    def matches(self, pattern: bytes) -> bool:
        """Whether the pattern is found; it begins at the beginning of a line."""
        return re.compile(pattern).search(self.text, self.start, self.end) is not None

    def copied(self) -> bytes:
        return self.text[self.start : self.end]


class _Body(NamedTuple):
    """The rows of a text.

    Attributes:
        rows: without comments.
        lines: the same with comments, from the first row on.
        header: the line of the names, which is no row wherever it stands.
        notes: what was cut off behind them.
    """

    rows: _Span
    lines: _Span
    header: str
    notes: tuple[str, ...]


def read_text(data: bytes, options: ReadOptions = ReadOptions()) -> Content:
    r"""Reads delimited text.

    Separator, header, units, decimal and thousands marks are found by ``aejax.data.formats.text``. Blank lines and
    comments are skipped, and so are rows of nothing but separators at the end. A separator that ends every line makes
    no column. pyarrow splits the rows and reads the numbers; what it does not take is read cell by cell.

    Args:
        data: the whole file.
        options: what is known of it.

    Returns:
        The Content. Text is no error here but the column's ``problem``, so that the caller may leave the column out.

    Raises:
        ValueError: there are no rows, or a row has more or fewer fields than the others.

    Example:
        >>> content = read_text(b"time;T1\n2024-01-01;20,5\n2024-01-02;\n")
        >>> [(column.name, column.is_clock) for column in content.columns], content.has_header
        ([('time', True), ('T1', False)], True)
        >>> content.columns[1].values
        array([20.5,  nan])
    """
    try:
        text, encoding = as_utf8(data)
    except BinaryError:
        raise ValueError(f"found binary data, expected one of {names()}, or a text in a GZ or ZIP file") from None
    dialect = find_dialect(text, options)
    body = _body(text, dialect)
    split, labelled = without_labelled(_columns(body, dialect, options), options)
    found, marks, decimal = _read_columns(split, body, dialect, options)
    if not len(found[0].values):
        raise ValueError(f"found no rows below the header {shown(dialect.names or ())}, expected at least one")
    found = _without_open_end(found, dialect)
    found, computed = without_computed(found, options)
    labels = dialect.names or [""] * len(found)
    units = dialect.units or [""] * len(found)
    found = [column._replace(name=name, unit=unit) for column, name, unit in zip(found, labels, units, strict=True)]
    written = _described(dialect, encoding, decimal)
    notes = (*dialect.notes, *_decimal_notes(decimal, dialect, options), *marks, *labelled, *computed, *body.notes)
    return Content(found, dialect.names is not None, written, notes)


def _decimal_notes(decimal: str | None, dialect: Dialect, options: ReadOptions) -> list[str]:
    """Says which decimal mark is taken where no cell shows one, and where the cells show an unusual one."""
    if options.decimal or options.thousands:
        return []
    usual, words = options.usual_decimal, of_marks.WORDS
    if decimal:
        shown = f"the decimal mark is a {words[decimal]}, as the cells show"
        return [f"{shown}, and not a {words[usual]} as in the training table"] if usual not in (None, decimal) else []
    cell = next((cell for row in dialect.rows for cell in row if _MAY_BE_GROUPED.fullmatch(cell)), None)
    taken = f"a {words[dialect.marks.taken]} {TAKEN}"
    if cell and dialect.marks.usual:
        other = words[of_marks.other(dialect.marks.usual)]
        return [f"{taken} as in the training table, for {cell!r} may have either; --decimal {other} for a {other}"]
    if cell and "." in cell and (dialect.separator != "," or usual):
        return [f"{taken}, as in {cell!r}; --thousands point if it groups digits"]
    return []


def _described(dialect: Dialect, encoding: str, decimal: str | None) -> dict[str, str]:
    described = {"encoding": encoding, "separator": _SEPARATORS.get(dialect.separator, dialect.separator)}
    if dialect.width == 1:
        described["separator"] = "none, one column"
    described["header"] = "none" if dialect.header is None else f"line {dialect.header + 1}"
    described["decimal mark"] = of_marks.WORDS.get(decimal or "", UNSEEN)
    return described


def _body(text: bytes, dialect: Dialect) -> _Body:
    """The rows of the table, without comments, and without what programs leave at the end of a file."""
    start = 0
    for _ in range(dialect.first):
        start = text.find(b"\n", start) + 1
    if dialect.first and not start:
        start = len(text)
    text, remarks = _without_footer(text, start, dialect)
    end, notes = _end(text, start, dialect)
    notes += remarks
    lines = rows = _Span(text, start, end)
    if end > start and text.startswith(_NUL, end - 1):
        line = text.rstrip(_NUL).count(b"\n") + 1
        raise ValueError(
            f"line {line}: found bytes of 0 up to the end, expected text; the file was not written whole: cut them off"
        )
    # One character is looked for faster than two.
    marks = [mark for mark in (b"#", b"%", b"//") if mark[:1] in rows]
    header = _header(text, start, dialect)
    # Most rows lack one of its letters, and one character is looked for faster.
    may_repeat = header and all(bytes([letter]) in rows for letter in set(header) if bytes([letter]).isalpha())
    num_headers = rows.count_of(b"\n" + header + b"\n") if may_repeat else 0
    if num_headers:
        times = "once" if num_headers == 1 else f"{num_headers} times"
        notes.append(f"the header stands among the rows {times}: left out")
    if num_headers or any(text.startswith(mark, start) or b"\n" + mark in rows for mark in marks):
        kept = (
            line
            for line in rows.copied().split(b"\n")
            if not is_comment(line.decode(errors="replace")) and not (header and line == header)
        )
        rows = _spanning(b"\n".join(kept))
    if dialect.separator == " ":
        rows = _spanning(b"\n".join(b" ".join(line.split()) for line in rows.copied().split(b"\n")))
    return _Body(rows, lines, header.decode(errors="replace"), tuple(notes))


def _without_footer(text: bytes, start: int, dialect: Dialect) -> tuple[bytes, list[str]]:
    kinds = kinds_of([Row(0, cells) for cells in dialect.rows[-_NUM_ROWS:]], dialect.width, ())

    def split(line: str) -> list[str]:
        cells: list[str] = next(split_cells([line + "\n"], dialect.separator), [])
        return cells[:-1] if dialect.ends_open and cells and not cells[-1] else cells

    return without_footer(text, start, kinds, split)


def _header(text: bytes, start: int, dialect: Dialect) -> bytes:
    """The line of the names, which is found among the rows where files were put one behind the other."""
    if dialect.header is None:
        return b""
    line = text[:start].split(b"\n")[dialect.header]
    return b"" if is_comment(line.decode(errors="replace")) else line


def _spanning(text: bytes) -> _Span:
    return _Span(text, 0, len(text))


def _end(text: bytes, start: int, dialect: Dialect) -> tuple[int, list[str]]:
    """Where the last row with something in it ends, and what is behind it."""
    quote = b'"' if dialect.width > 1 else b""  # quotes alone are an empty row of a single column
    nothing = b" ,;|\t\n" + quote + _CTRL_Z + dialect.separator.encode()
    begin = max(start, len(text) - _TAIL)
    tail = text[begin:].rstrip(nothing)
    end = begin + len(tail) if tail else start + len(text[start:].rstrip(nothing))
    end = text.find(b"\n", end)
    rest = text[end + 1 :] if end >= 0 else b""
    if not rest.strip(b"\n") or text.count(b'"', start, end + 1) % 2:
        return (start + len(text[start:].rstrip(_CTRL_Z)) if text.endswith(_CTRL_Z) else len(text)), []
    num_empty = sum(bool(line.strip(b'" \t' + _CTRL_Z) or b"\t" in line) for line in rest.split(b"\n"))
    rows_of = "1 row" if num_empty == 1 else f"{num_empty} rows"
    notes = [f"{rows_of} of nothing but separators at the end: left out"] * (num_empty > 0)
    notes += ["a Ctrl-Z at the end of the file: left out"] * (_CTRL_Z in rest)
    return end + 1, notes


def _columns(body: _Body, dialect: Dialect, options: ReadOptions) -> list[Any]:
    """Columns of numbers as arrays, others as text of pyarrow."""
    import pyarrow as arrow

    if _is_awkward(body.rows, dialect):
        return _by_python(body, dialect)
    are_numbers = _plain(dialect, options)
    for chosen in (are_numbers, [False] * len(are_numbers)):
        try:
            return _by_arrow(body.rows, dialect, options, chosen)
        except arrow.ArrowInvalid as error:
            if "CSV parse error" in str(error):
                break
    return _by_python(body, dialect)


def _name(dialect: Dialect, place: int) -> str:
    """What a column is called, one without a name by its place."""
    named = dialect.names or ()
    return (named[place] if place < len(named) else "") or f"column_{place + 1}"


def _is_awkward(rows: _Span, dialect: Dialect) -> bool:
    """Whether quotes, or lines of white space, mean something else to pyarrow."""
    has_quotes = b'"' in rows
    separator = re.escape(dialect.separator.encode())
    return (
        (not rows._replace(end=min(rows.end, rows.start + _TAIL)).copied().strip() and not rows.copied().strip())
        or (has_quotes and (rows.count_of(b'"') % 2 == 1 or rows.matches(separator + b' +"|(?m:^ +")')))
        or (dialect.width == 1 and rows.matches(rb"(?m)^[ \t]+$"))
        or (dialect.separator == "\t" and rows.matches(rb"\n[ \t]*\n"))
        or len(dialect.separator.encode()) > 1
    )


def _plain(dialect: Dialect, options: ReadOptions) -> list[bool]:
    """Which columns hold, in the first rows, numbers that pyarrow reads, or nothing."""
    decimal = re.escape(dialect.marks.taken)
    number = re.compile(rf"-?(?:\d+{decimal}?\d*|{decimal}\d+)(?:[eE][+-]?\d+)?", re.ASCII)
    missing = {*MISSING, *(word.strip().lower() for word in options.missing)}
    texts = categories_told(options)
    columns = []
    for j in range(dialect.width):
        cells = [row[j] for row in dialect.rows if len(row) > j]
        filled = [cell for cell in cells if cell.lower() not in missing]
        columns.append(_name(dialect, j) not in texts and bool(filled) and all(map(number.fullmatch, filled)))
    return columns + [False] * dialect.ends_open


def _by_arrow(rows: _Span, dialect: Dialect, options: ReadOptions, are_numbers: list[bool]) -> list[Any]:
    import pyarrow as arrow
    from pyarrow import csv as arrow_csv

    labels = [str(j) for j in range(len(are_numbers))]
    words = [
        spelt for word in (*MISSING, *options.missing) for spelt in {word, word.lower(), word.upper(), word.title()}
    ]
    table = arrow_csv.read_csv(
        arrow.BufferReader(memoryview(rows.text)[rows.start : rows.end]),
        arrow_csv.ReadOptions(column_names=labels, block_size=1 << 20),
        arrow_csv.ParseOptions(
            delimiter=dialect.separator,
            newlines_in_values=b'"' in rows,
            invalid_row_handler=lambda row: "error" if row.text.strip() else "skip",
        ),
        arrow_csv.ConvertOptions(
            column_types={
                label: arrow.float64() if is_number else arrow.string()
                for label, is_number in zip(labels, are_numbers, strict=True)
            },
            null_values=[*words, "NaN"],
            decimal_point=dialect.marks.taken,
        ),
    )
    columns = table.columns
    del table  # whose columns go one by one, as each is copied
    for place, is_number in enumerate(are_numbers):
        if is_number:
            columns[place] = as_float64(columns[place])
    return list(columns)


def _by_python(body: _Body, dialect: Dialect) -> list[Any]:
    """Splits rows that pyarrow does not, and says which row has too many or too few fields."""
    import pyarrow as arrow

    width = dialect.width + dialect.ends_open
    rows = []
    for line, cells in _numbered(body, dialect):
        if len(cells) == width - 1 and dialect.ends_open:
            cells.append("")
        elif len(cells) == width + 1 and not cells[-1]:
            cells.pop()
        elif len(cells) != width:
            first = dialect.first if dialect.header is None else dialect.header
            raise ValueError(
                f"line {line}: found {len(cells)} fields, expected {dialect.width} as in line {first + 1}; "
                "correct the line, or quote a field that holds the separator"
            )
        rows.append(cells)
    cells_of = zip(*rows, strict=True) if rows else [()] * width
    return [arrow.chunked_array([list(cells)], arrow.string()) for cells in cells_of]


def _numbered(body: _Body, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """The rows as cells, with the number of their line in the file, from 1."""
    tabs = max(dialect.width - 1, 1) if dialect.separator == "\t" else None
    kept = [
        (number, f"{line}\n")
        for number, line in enumerate(body.lines.copied().decode(errors="replace").split("\n"), dialect.first + 1)
        if (line.strip() or line.count("\t") == tabs)
        and not is_comment(line)
        and not (body.header and line == body.header)
    ]
    reader = split_cells((line for _, line in kept), dialect.separator)
    start = 0
    try:
        for cells in reader:
            yield kept[start][0], cells
            start = reader.line_num
    except csv.Error as error:
        raise ValueError(f"line {kept[reader.line_num - 1][0]}: {error}; look for an unclosed quote") from None


def _read_columns(columns: list[Any], body: _Body, dialect: Dialect, options: ReadOptions) -> Read:
    """Columns of numbers as they are, the others read from their cells."""
    places = [j for j, column in enumerate(columns) if not isinstance(column, np.ndarray)]

    def where(row: int) -> str:
        line, _ = next(islice(_numbered(body, dialect), row, None))
        return f"row {row + 1} (line {line})"

    rules = Rules(dialect.marks, options.missing, where, categories_told(options))
    read = columns_of_text([_name(dialect, j) for j in places], [columns[j] for j in places], rules)
    found = dict(zip(places, read.columns, strict=True))
    return read._replace(columns=[found[j] if j in found else Column("", column) for j, column in enumerate(columns)])


def _without_open_end(columns: list[Column], dialect: Dialect) -> list[Column]:
    """The columns without the one behind a separator that ends the rows."""
    if not dialect.ends_open:
        return columns
    last = columns[-1]
    if last.problem or last.is_clock or not np.isnan(last.values).all():
        raise ValueError(
            f"found cells behind column {dialect.width}, which the first rows do not have; expected {dialect.width} "
            "columns; name all of them in a header"
        )
    return columns[:-1]
