"""Delimited text: read as plant historians, spreadsheets and scripts write it, written as CSV."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, BinaryIO

import numpy as np

from aejax.data.formats.table_files.registry import Column, TableFormat, names, register, shown

# Lower case; how a cell that is not a plain number is read.
_WORDS = dict.fromkeys(("", "na", "n/a", "nan", "null", "none", "-", "?", "#n/a", "#na"), "nan")
_WORDS |= {"true": "1", "false": "0"}
# A line that starts with one of these is data of a spreadsheet, not a comment.
_SPREADSHEET_ERRORS = ("#N/A", "#NA", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!")

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = (
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})|\d{8}(?=T\d)"
    rf"|\d{{1,2}}[-/. ]{_MONTH}[-/., ]+(?:\d{{4}}|\d{{2}})|{_MONTH} \d{{1,2}},? \d{{4}}"
)
_ZONE = r"Z|[A-Z]{3,4}|[+-]\d\d(?::?\d\d)?"
_TIME = rf"\d{{1,2}}:?\d\d(?::?\d\d(?:[.,:]\d+)?)?(?:\s?[ap]\.?m\.?)?(?:\s?(?:{_ZONE}))?(?:\[[\w/+-]+\])?"
_CLOCK = re.compile(rf"(?:{_DATE})(?:[T ,]+{_TIME})?|(?=\d{{1,2}}:){_TIME}", re.IGNORECASE)
_DECIMAL_COMMA = rf"(?:[+-]?\d+(?:,\d+)?(?:e[+-]?\d+)?|{'|'.join(re.escape(word) for word in _WORDS if word)})"
_DECIMAL_COMMA_ROW = re.compile(rf"\s*{_DECIMAL_COMMA}(?:\s+{_DECIMAL_COMMA})+\s*", re.IGNORECASE)

_ROWS_PER_BLOCK = 4_000  # text takes ten times the memory of the numbers in it: convert as we go


def parse_csv(text: str) -> tuple[list[Column], bool]:
    r"""Reads delimited text.

    The separator is the one of semicolon, tab, bar, comma and white space that most of the first lines hold; where
    it is not a comma, a column may have decimal commas. Blank lines and lines that begin with ``#`` are skipped.
    The first line is a header where a cell of it is text and none is a date. A header of numbers alone (the
    wavelengths of spectra) cannot be told from data, and is read as data. A separator that ends every line makes no
    column.

    Args:
        text: the whole file.

    Returns:
        The columns, and whether they have a header. Text is no error here but the column's ``problem``, so that the
        caller may leave the column out.

    Raises:
        ValueError: there are no rows, or a row has more or fewer fields than the first one.

    Example:
        >>> columns, has_header = parse_csv("time;T1\n2024-01-01;20,5\n2024-01-02;\n")
        >>> [(column.name, column.is_clock) for column in columns], has_header
        ([('time', True), ('T1', False)], True)
        >>> columns[1].values
        array([20.5,  nan])
    """
    numbered = [
        (number, f"{line}\n")
        for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1)
        if not line.startswith("#") or line.startswith(_SPREADSHEET_ERRORS)
    ]
    filled = [line for _, line in numbered if line.strip()]
    if not filled:
        raise ValueError("found no rows: the file is empty; expected a line of column names and rows of numbers")
    separator = _separator(filled[:50])
    lines: list[str] = []
    line_numbers = []
    for number, line in numbered:
        # Where tabs separate, a line of tabs is a row in which nothing was measured.
        if line.strip() or (separator == "\t" and lines and line.count("\t") == lines[0].count("\t")):
            lines.append(line)
            line_numbers.append(number)
    decimal_comma = separator != ","
    spaced: Iterable[str] = (" ".join(line.split()) for line in lines) if separator == " " else lines
    reader = csv.reader(spaced, delimiter=separator, skipinitialspace=True)

    first = [field.strip().replace("\n", " ") for field in _next_rows(reader, 1, line_numbers)[0]]
    texts = [_numbers((field,), decimal_comma) is None for field in first]
    has_header = any(texts) and not any(map(_is_clock, first))
    if has_header:
        if not first[-1]:
            first.pop()  # the line ended with a separator, as the rows may or may not do
        names, rows = first, []
    else:
        names, rows = [""] * len(first), [first]
    parts: list[list[np.ndarray]] = [[] for _ in names]
    clocks: dict[int, list[str]] = {}
    problems: dict[int, str] = {}
    num_rows = 0
    while True:
        start = reader.line_num - len(rows)
        rows += _next_rows(reader, _ROWS_PER_BLOCK, line_numbers)
        if not rows:
            break
        block_lines = line_numbers[start : start + len(rows)]
        for j, cells in enumerate(_columns(rows, len(names), block_lines)):
            numbers = _numbers(cells, decimal_comma)
            are_dates = numbers is None and all(_is_clock(cell) or _is_missing(cell) for cell in cells)
            if are_dates or (numbers is not None and j in clocks):
                clocks.setdefault(j, [""] * num_rows).extend(cells)
            elif numbers is None and j not in problems:
                dates = j in clocks or _is_clock(next(cell for cell in cells if not _is_missing(cell)))
                i = _offender(cells, decimal_comma, dates)
                where = f"row {num_rows + i + 1} (line {block_lines[i]})"
                kind = "a date as in the rows above" if dates else "a number"
                problems[j] = f"found {cells[i].strip()!r} in {where}, expected {kind}"
                if has_header and num_rows + i == 0 and len(rows) > 1 and not _is_text(cells[1:], decimal_comma):
                    problems[j] += "; if that line is a second header (units), delete it"
            parts[j].append(np.full(len(cells), np.nan) if numbers is None else numbers)
        num_rows += len(rows)
        rows = []
    if num_rows == 0:
        raise ValueError(f"found no rows below the header {shown(first)}, expected at least one")

    columns = []
    for j, (name, part) in enumerate(zip(names, parts, strict=True)):
        values = np.concatenate(part)
        seen = ~np.isnan(values)
        if j in clocks and seen.any() and j not in problems:
            problems[j] = f"found a number in row {int(np.argmax(seen)) + 1}, expected a date as in other rows"
        is_clock = j in clocks and j not in problems
        columns.append(Column(name, values, is_clock, problems.get(j), np.array(clocks[j]) if is_clock else None))
    last = columns[-1]
    if not has_header and len(columns) > 1 and not last.is_clock and not last.problem and np.isnan(last.values).all():
        columns.pop()  # every line ended with a separator
    return columns, has_header


def _separator(lines: Sequence[str]) -> str:
    """The separator that most lines hold outside quotes; the earlier one of a tie, as a comma may be a decimal."""
    bare = [re.sub(r'"[^"]*"', '""', line).strip(" \n") for line in lines]
    shares = {separator: sum(separator in line for line in bare) / len(bare) for separator in ";\t|, "}
    best = max(shares, key=lambda separator: shares[separator])
    if shares[best] <= 0.5:
        return ","  # a single column
    if best == "," and all(map(_DECIMAL_COMMA_ROW.fullmatch, bare[1:] or bare)):
        return " "
    return best


def _next_rows(reader: Any, num_rows: int, line_numbers: Sequence[int]) -> list[list[str]]:
    """The next rows of a csv.reader, fewer at the end of the file."""
    try:
        return list(islice(reader, num_rows))
    except csv.Error as error:
        raise ValueError(f"line {line_numbers[reader.line_num - 1]}: {error}; look for an unclosed quote") from None


def _columns(rows: list[list[str]], width: int, line_numbers: Sequence[int]) -> Iterable[tuple[str, ...]]:
    """Transposes the rows, forgiving a separator that ends a row but not the first line."""
    for i, row in enumerate(rows):
        if len(row) == width + 1 and not row[-1]:
            row.pop()
        elif len(row) != width:
            where = line_numbers[min(i, len(line_numbers) - 1)]
            raise ValueError(
                f"line {where}: found {len(row)} fields, expected {width} as in the first line; "
                "correct the line, or quote a field that holds the separator"
            )
    return zip(*rows, strict=True)


def _numbers(cells: Sequence[str], decimal_comma: bool) -> np.ndarray | None:
    """(n,) float64, or None where a cell is not a number."""
    if "_" in "".join(cells):
        return None  # float would read 1_000
    try:
        return np.fromiter(map(float, cells), float, len(cells))
    except ValueError:
        pass
    words = [_WORDS.get(cell.strip().lower(), cell) for cell in cells]
    # A point beside the commas makes them thousands, or the column a mixture: not ours to guess.
    if decimal_comma and not any("." in word for word in words):
        words = [word.replace(",", ".") for word in words]
    try:
        return np.fromiter(map(float, words), float, len(words))
    except ValueError:
        return None


def _is_clock(cell: str) -> bool:
    return _CLOCK.fullmatch(cell.strip()) is not None


def _is_missing(cell: str) -> bool:
    return _WORDS.get(cell.strip().lower()) == "nan"


def _is_text(cells: Sequence[str], decimal_comma: bool) -> bool:
    return _numbers(cells, decimal_comma) is None and not all(_is_clock(c) or _is_missing(c) for c in cells)


def _offender(cells: Sequence[str], decimal_comma: bool, dates: bool) -> int:
    """The first cell that is no date, or no number; in a mixture of decimal marks the first that has a comma."""
    for decimal in (decimal_comma, False):
        for i, cell in enumerate(cells):
            fits = _is_clock(cell) if dates else _numbers((cell,), decimal) is not None
            if not fits and not _is_missing(cell):
                return i
    raise AssertionError("there is no such cell")


def _read(data: bytes) -> tuple[list[Column], bool]:
    """In UTF-8, in UTF-16 with its mark, or as older Windows programs write it."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return parse_csv(data.decode("utf-16"))
        except UnicodeDecodeError:
            raise ValueError("found damaged UTF-16 text, expected whole characters; save the file as UTF-8") from None
    if b"\0" in data[:4096]:
        raise ValueError(f"found binary data, expected one of {names()}")
    try:
        return parse_csv(data.decode("utf-8-sig"))
    except UnicodeDecodeError:  # a degree sign in a header is enough
        return parse_csv(data.decode("cp1252", errors="replace"))


def csv_text(columns: Mapping[str, np.ndarray]) -> str:
    r"""Columns as CSV, a float as the shortest text that reads back as the same number, NaN as an empty cell.

    Example:
        >>> csv_text({"T": np.array([0.1, np.nan]), "on": np.array([True, False])})
        'T,on\n0.1,True\n,False\n'
    """
    text = io.StringIO()
    header = csv.writer(text, lineterminator="\n")
    if next(iter(columns)).startswith("#"):  # unquoted, it would make the header a comment
        header = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    header.writerow(columns)
    csv.writer(text, lineterminator="\n").writerows(zip(*map(_cells, columns.values()), strict=True))
    return text.getvalue()


def _cells(column: np.ndarray) -> list[str]:
    if column.dtype == np.float64:
        texts = list(map(repr, column.tolist()))
    elif column.dtype.kind == "O":
        texts = ["" if value is None else str(value) for value in column.tolist()]
    else:
        texts = column.astype(str).tolist()  # a float32 has a shorter text than the float64 of the same value
    return ["" if text in ("nan", "NaT") else text for text in texts]


def _write(file: BinaryIO, columns: Mapping[str, np.ndarray]) -> None:
    file.write(csv_text(columns).encode())


CSV = TableFormat("CSV", (".csv",), (), _read, _write)
register(CSV)
