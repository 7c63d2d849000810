"""How a delimited text is written: separator, header, units, decimal mark, as its first lines show."""

import csv
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from aejax.data.formats.options import ReadOptions
from aejax.data.formats.text import marks as of_marks
from aejax.data.formats.text.header import Row, find_layout
from aejax.data.formats.text.marks import Marks
from aejax.data.formats.text.words import BEGIN_FORMULAS, MISSING

_TAB = "\t"
_HEAD = 1 << 18
_NUM_LINES = 300
_SEPARATORS = ";\t|, "
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
# A line that begins with one of these is data of a spreadsheet, not a comment.
_COMMENT = re.compile(r"(?:#(?!N/A|NA|DIV/0!|VALUE!|REF!|NAME\?|NUM!|NULL!)|%|//)")
_DECIMAL_COMMA = (
    rf"(?:[+-]?\d+(?:,\d+)?(?:e[+-]?\d+)?|{'|'.join(re.escape(word) for word in MISSING if word)}|true|false)"
)
_ONE_NUMBER = re.compile(r"[+-]?\d+,\d+")
_DECIMAL_COMMA_ROW = re.compile(rf"\s*{_DECIMAL_COMMA}(?:\s+{_DECIMAL_COMMA})+\s*", re.IGNORECASE)


class Dialect(NamedTuple):
    """How a text is written.

    Attributes:
        separator: between cells; a space stands for any white space.
        names: c names, or None.
        width: c, number of columns.
        ends_open: whether a separator that makes no column ends the rows.
        first: line of the first row, from 0.
        header: line of the names, from 0, or None.
        units: c units, "" for none, or () without such a line.
        marks: of numbers, as far as the first lines show them.
        rows: cells of the first rows.
        notes: what was decided, a sentence each.
    """

    separator: str
    names: tuple[str, ...] | None
    width: int
    ends_open: bool
    first: int
    header: int | None
    units: tuple[str, ...]
    marks: Marks
    rows: list[list[str]]
    notes: tuple[str, ...]


def is_comment(line: str) -> bool:
    """Whether a line says something about the table.

    Example:
        >>> is_comment("# plant 4"), is_comment("#N/A,1")
        (True, False)
    """
    return _COMMENT.match(line) is not None


def find_dialect(data: bytes, options: ReadOptions) -> Dialect:
    r"""How a text is written, by its first lines.

    Args:
        data: the whole text in UTF-8.
        options: what is known of it.

    Returns:
        The Dialect.

    Raises:
        ValueError: there is no row, or the header does not fit the rows.

    Example:
        >>> found = find_dialect(b"# Plant 4\n# time;T1\n12:00;1,5\n12:01;2\n", ReadOptions())
        >>> found.separator, found.names, found.first, found.marks.decimal
        (';', ('time', 'T1'), 2, ',')
    """
    lines = _first_lines(data)
    skipped = options.skip_rows or 0
    told = _SEPARATOR_LINE.fullmatch(lines[skipped]) if skipped < len(lines) else None
    skipped += told is not None
    separator = options.separator or (told and told[1]) or _separator(lines[skipped:])
    rows = _rows(lines, skipped, separator)
    if not any(not row.is_comment for row in rows):
        raise ValueError("found no rows: the file is empty; expected a line of column names and rows of numbers")
    missing = tuple(word.strip().lower() for word in options.missing)
    header_line = None if options.header_row is None else options.header_row - 1
    layout = find_layout(rows, missing, header_line)
    names = tuple(map(_unquoted, layout.header.cells[: layout.width])) if layout.header else None
    body = [row.cells for row in rows if row.line >= layout.first and not row.is_comment]
    columns = zip(*(cells for cells in body if len(cells) >= layout.width), strict=False)
    told_by = of_marks.other(options.thousands) if options.thousands in (".", ",") else None
    decimal = options.decimal or told_by or of_marks.agreed([of_marks.decimal_of(list(cells)) for cells in columns])
    # What separates the cells is no mark in them.
    usual = None if layout.width > 1 and separator == options.usual_decimal else options.usual_decimal
    mark = "a tab" if separator == _TAB else repr(separator)
    notes = [f"line {skipped} says that {mark} separates the cells"] * (told is not None)
    if layout.width == 1 and options.separator is None and any("," in cell for row in body for cell in row):
        notes.append("one name stands above: a comma is a mark of the numbers; --separator comma if it separates two")
    notes += _notes(layout.header, layout.units, names, layout.first, lines, skipped)
    return Dialect(
        separator,
        names,
        layout.width,
        layout.ends_open,
        layout.first,
        layout.header.line if layout.header else None,
        tuple(_unit(cell) for cell in layout.units.cells[: layout.width]) if layout.units else (),
        Marks(decimal, options.thousands, usual),
        body,
        tuple(notes),
    )


def _first_lines(data: bytes) -> list[str]:
    head = data[:_HEAD]
    lines = head.decode(errors="replace").split("\n")
    if len(data) > _HEAD and len(lines) > 1:
        lines.pop()  # a part of a line
    return lines[:_NUM_LINES] if lines[-1] or len(lines) > _NUM_LINES else lines[:-1]


def _separator(lines: Sequence[str]) -> str:
    """The separator that most lines hold outside quotes; the earlier one of a tie, as a comma may be a decimal."""
    filled = [line for line in lines if line.strip(" \t") and not is_comment(line)] or [""]
    # The later half is free of titles.
    bare = [re.sub(r'"[^"]*"', '""', line).strip(" ") for line in filled[len(filled) // 2 if len(filled) > 4 else 0 :]]
    while sum(any(mark in line for mark in ";\t|,") for line in bare) > len(bare) / 2 and not set(";\t|,") & {
        *bare[-1]
    }:
        bare.pop()  # a remark behind the rows, such as "End of file"
    shares = {separator: sum(separator in line for line in bare) / len(bare) for separator in _SEPARATORS}
    best = max(shares, key=lambda separator: shares[separator])
    if shares[best] <= 0.5:
        return ","  # a single column
    if best == "," and _is_one_column(filled):
        return ";"
    if best == "," and all(map(_DECIMAL_COMMA_ROW.fullmatch, bare[1:] or bare)):
        return " "
    return best


def _is_one_column(filled: Sequence[str]) -> bool:
    """Whether a name without a comma stands over numbers with a decimal comma."""
    below = [line.strip() for line in filled[1:]]
    return "," not in filled[0] and len(below) > 0 and all(map(_ONE_NUMBER.fullmatch, below))


def split_cells(lines: Iterable[str], separator: str) -> Any:
    """A reader of lines that end with a line end."""
    if separator == " ":
        lines = (" ".join(line.split()) + "\n" for line in lines)
    return csv.reader(lines, delimiter=separator, skipinitialspace=True)


def _rows(lines: Sequence[str], skipped: int, separator: str) -> list[Row]:
    """The rows of the first lines; comments without their mark."""
    rows = []
    kept: list[int] = []
    for line in range(skipped, len(lines)):
        if is_comment(lines[line]):
            cells = _cells(_COMMENT.sub("", lines[line], count=1), separator)
            rows.append(Row(line, cells, is_comment=True))
        elif lines[line].strip(" ") and (lines[line].strip() or (separator == "\t" and kept)):
            kept.append(line)
    reader = split_cells((lines[line] + "\n" for line in kept), separator)
    start = 0
    try:
        for cells in reader:
            rows.append(Row(kept[start], [cell.strip().replace("\n", " ") for cell in cells]))
            start = reader.line_num
    except csv.Error as error:
        raise ValueError(f"line {kept[max(reader.line_num - 1, 0)] + 1}: {error}; look for an unclosed quote") from None
    tabs = len(next((row.cells for row in rows if not row.is_comment), []))
    rows = [row for row in rows if row.is_comment or any(row.cells) or len(row.cells) >= min(tabs, 2)]
    rows = _with_numbered_tags(rows, lines, separator)
    return sorted(rows, key=lambda row: row.line)


def _with_numbered_tags(rows: list[Row], lines: Sequence[str], separator: str) -> list[Row]:
    """Gives names such as ``#1 Fan amps`` their mark back: it is no comment's."""
    return [
        row._replace(cells=_cells(lines[row.line], separator))
        if row.is_comment
        and (re.match(r"#\d+\b\s*[^\d\s.,;|]", lines[row.line]) or any(cell.startswith("#") for cell in row.cells[1:]))
        else row
        for row in rows
    ]


def _cells(line: str, separator: str) -> list[str]:
    try:
        cells: list[str] = next(split_cells([line.strip(" ") + "\n"], separator), [])
    except csv.Error:
        cells = [line]
    return [cell.strip() for cell in cells]


def _unquoted(name: str) -> str:
    """A name without the apostrophe by which ``write_table`` keeps spreadsheets from running it."""
    return name[1:] if name.startswith("'") and name[1:].startswith(BEGIN_FORMULAS) else name


def _unit(cell: str) -> str:
    return cell.strip("[]() -")


def _notes(
    header: Row | None, units: Row | None, names: tuple[str, ...] | None, first: int, lines: Sequence[str], skipped: int
) -> list[str]:
    notes = []
    if header is None:
        notes.append("no header was found: the columns are numbered, column_1 first; --header-row names its line")
    elif header.is_comment:
        notes.append(f"the header is line {header.line + 1}, which begins as a comment does")
    elif names and all(name.replace(".", "").replace(":", "").isdigit() for name in names[1:]) and len(names) > 1:
        notes.append(
            f"line {header.line + 1} is taken for the header, though it holds numbers; --header-row 0 if it is data"
        )
    if units is not None:
        notes.append(f"line {units.line + 1} holds units, or says that there are none; it is no row")
    named = {row.line for row in (header, units) if row}
    before = [line for line in range(skipped, first) if line not in named and line < len(lines) and lines[line].strip()]
    others = [line for line in before if not is_comment(lines[line])]
    if others:
        which = f"line {others[0] + 1}" if len(others) == 1 else f"lines {others[0] + 1} to {others[-1] + 1}"
        notes.append(f"{which} above the rows: left out, such as {lines[others[0]].strip()[:40]!r}")
    return notes
