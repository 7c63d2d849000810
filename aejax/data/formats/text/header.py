"""Where the rows of a text begin, and which line above them has the names of the columns."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from aejax.data.formats.text.words import is_missing, kind_of

# A unit is short, and made of what units are made of.
_UNIT = re.compile(
    r"[\[(]?\s*(?:[-\u2013\u2014]+|%\w*|‰|°|(?:°|deg\.?)\s?[cfkr]?|[cfk]|pp[mb]v?\w?|(?:n|µ|u|m|c|d|h|k|M|G|T)?(?:m|g|s|A|V|W|Pa|bar|J|N|Hz|"
    r"l|L|t|mol|VA|var|Wh|Ω|ohm)(?:[23²³]|\^-?\d)?(?:[ag])?|bar[ag]|psi[ag]?|mmHg|inH2O|atm|torr|hpa|"
    r"min|sec|hr?|d|day|h|rpm|1/min|rad|cp|cst|sg|ph|db\w?|nm3?|sm3|scfm|gpm|lbs?|ft|in|gal|btu|utc|gmt|cet|cest|local|"
    r"date|time|datetime|string|bool|float|int|double|counts?|units?|none)"
    r"(?:\s?[/*·.]\s?(?:[\w²³µ°^-]{1,5}))*\s*[\])]?",
    re.IGNORECASE,
)
_FEWEST_NUMBERS = 4  # of a header of numbers: fewer may rise by chance


class Row(NamedTuple):
    """The cells of a line.

    Attributes:
        line: number of the line, from 0.
        cells: stripped.
        is_comment: whether a mark of a comment stood before them.
    """

    line: int
    cells: list[str]
    is_comment: bool = False


class Layout(NamedTuple):
    """What the lines of a text are.

    Attributes:
        width: number of columns.
        ends_open: whether rows end with a separator that makes no column.
        first: line of the first row of data.
        header: the row of names, or None.
        units: the row of units below it, or None.
    """

    width: int
    ends_open: bool
    first: int
    header: Row | None
    units: Row | None


def find_layout(rows: Sequence[Row], missing: tuple[str, ...] = (), header_line: int | None = None) -> Layout:
    """Tells names, units and data apart, by what the cells of the columns are further down.

    Args:
        rows: of the beginning of a text, comments too.
        missing: words for a missing value, in lower case.
        header_line: number of the header's line, from 0, where it is known; -1 for none.

    Returns:
        The Layout.

    Raises:
        ValueError: a header that has another number of cells than the rows.

    Example:
        >>> rows = [["Plant 4"], ["time", "T1"], ["", "degC"], ["12:00", "20.5"], ["12:01", "20.6"]]
        >>> layout = find_layout([Row(line, cells) for line, cells in enumerate(rows)])
        >>> layout.header.cells, layout.units.cells, layout.first
        (['time', 'T1'], ['', 'degC'], 3)
    """
    if header_line is not None and header_line >= 0:
        return _told(rows, missing, header_line)
    data = [row for row in rows if not row.is_comment]
    raw = _common(len(row.cells) for row in data[len(data) // 2 :])
    above = [row for row in rows if row.is_comment or len(row.cells) < raw or row is data[0]]
    ends_open = _ends_open([row for row in data if len(row.cells) == raw], above, raw)
    width = raw - ends_open
    kinds = kinds_of([row for row in data[max(1, len(data) // 2) :] if len(row.cells) == raw], width, missing)
    if header_line is not None:
        return Layout(width, ends_open, data[0].line, None, None)
    values = [row for row in data if len(row.cells) == raw]
    start = _start(data, (raw, width), kinds, missing)
    first = data[start].line if start < len(data) else data[-1].line + 1
    lines = [row for row in data[:start] if _names(row, kinds, missing)]
    block = _block(lines, [row for row in rows if row.is_comment and row.line < first], width)
    block = block or _block([row for row in data[:start] if _is_remark(row, kinds, missing)], [], width)[:1]
    if (
        not block
        and start < len(data)
        and (_is_half_named(data[start], kinds, missing) or _is_of_numbers(data[start], values, kinds))
    ):
        block, start = [data[start]], start + 1
        first = data[start].line if start < len(data) else block[0].line + 1
    if start < len(data) and block and not block[-1].is_comment and _is_dashed(data[start], kinds):
        block, start = [*block, data[start]], start + 1
        first = data[start].line if start < len(data) else first + 1
    header, units = _header_and_units(block)
    if header is None:
        _check_above(data[:start], width)
    return Layout(width, ends_open, first, header, units)


def _told(rows: Sequence[Row], missing: tuple[str, ...], header_line: int) -> Layout:
    """The layout where the header is known."""
    header = next((row for row in rows if row.line == header_line), None)
    below = [row for row in rows if row.line > header_line and not row.is_comment]
    if header is None:
        raise ValueError(f"header_row: found nothing in line {header_line + 1}, expected the names of the columns")
    raw = _common(len(row.cells) for row in below[len(below) // 2 :]) if below else len(header.cells)
    cells = header.cells[:-1] if len(header.cells) > 1 and not header.cells[-1] else header.cells
    ends_open = raw == len(cells) + 1 and all(not row.cells[-1] for row in below if len(row.cells) == raw)
    width = raw - ends_open
    if len(cells) != width and len(header.cells) != width:
        raise ValueError(
            f"header_row: found {len(cells)} names in line {header_line + 1}, expected {width} as in the rows below it"
        )
    kinds = kinds_of(below[max(1, len(below) // 2) :], width, missing)
    units = below[0] if len(below) > 1 and (_names(below[0], kinds, missing) or _is_dashed(below[0], kinds)) else None
    rest = below[1:] if units else below
    return Layout(width, ends_open, rest[0].line if rest else header_line + 1, header, units)


def _common(numbers: Iterable[int]) -> int:
    return Counter(numbers).most_common(1)[0][0]


def _ends_open(rows: Sequence[Row], above: Sequence[Row], raw: int) -> bool:
    """Whether a separator ends each row: the last cell is empty, and no name stands over it."""
    if raw < 2 or not all(row.cells[-1] == "" for row in rows[1:] or rows):
        return False
    full = [row for row in rows[:1] if row.cells[-1]]
    return not full and not any(len(row.cells) == raw and row.cells[-1] for row in above)


def kinds_of(rows: Sequence[Row], width: int, missing: tuple[str, ...]) -> list[str]:
    """What most cells of each column are: number, date, text, or empty."""
    kinds = []
    for j in range(width):
        found = Counter(kind_of(row.cells[j], missing) for row in rows if len(row.cells) > j)
        filled = sum(found.values()) - found["missing"]
        most = "date" if 2 * found["date"] >= filled else "number" if 2 * found["number"] >= filled else "text"
        kinds.append(most if filled else "empty")
    return kinds


def _start(data: Sequence[Row], widths: tuple[int, int], kinds: list[str], missing: tuple[str, ...]) -> int:
    """Place of the first row of data: below the last names above a row that is data throughout."""
    fits = [len(row.cells) in widths and any(row.cells) for row in data]
    named = [
        fit and (_names(row, kinds, missing) or _is_remark(row, kinds, missing))
        for fit, row in zip(fits, data, strict=True)
    ]
    whole = [fit and not any(_strange(row, kinds, missing)) for fit, row in zip(fits, data, strict=True)]
    clean = whole.index(True) if True in whole else len(data)
    above = [i for i in range(clean) if named[i]]
    return above[-1] + 1 if above else fits.index(True) if True in fits else len(data)


def _strange(row: Row, kinds: list[str], missing: tuple[str, ...]) -> list[bool]:
    """Which cells are text over numbers or dates, or dates over numbers."""
    found = [kind_of(cell, missing) for cell in row.cells]
    return [
        (kind in ("number", "date") and cell == "text") or (kind == "number" and cell == "date")
        for cell, kind in zip(found, kinds, strict=False)
    ]


def _names(row: Row, kinds: list[str], missing: tuple[str, ...]) -> bool:
    """Whether a row has names over numbers or dates, and nothing that is a number or a date itself."""
    found = [kind_of(cell, missing) for cell in row.cells]
    is_same = [cell == kind and kind in ("number", "date") for cell, kind in zip(found, kinds, strict=False)]
    if not set(kinds) & {"number", "date"}:
        return set(found) <= {"text", "missing"} and "text" in found and set(kinds) != {"text"}
    return any(_strange(row, kinds, missing)) and not any(is_same)


def _is_remark(row: Row, kinds: list[str], missing: tuple[str, ...]) -> bool:
    """Whether text stands in the place of a date, as beside the numbers of channels, or limits."""
    return any(
        kind == "date" and kind_of(cell, missing) == "text" for cell, kind in zip(row.cells, kinds, strict=False)
    )


def _is_half_named(row: Row, kinds: list[str], missing: tuple[str, ...]) -> bool:
    """Whether a first row has as many names as numbers over numbers, or names where all columns are text."""
    found = [kind_of(cell, missing) for cell in row.cells]
    if not set(kinds) & {"number", "date"}:
        return "text" in found and "date" not in found
    names = sum(cell == "text" and kind in ("number", "date") for cell, kind in zip(found, kinds, strict=False))
    same = sum(cell == kind and kind in ("number", "date") for cell, kind in zip(found, kinds, strict=False))
    return names > 0 and names >= same


def _is_of_numbers(row: Row, rows: Sequence[Row], kinds: list[str]) -> bool:
    """Whether a row of numbers stands over columns it has nothing to do with, as wavelengths over absorbances do.

    It rises or falls from cell to cell, evenly or in whole numbers, and each is far outside of its column.
    """
    columns = [j for j, kind in enumerate(kinds) if kind == "number" and (j or row.cells[j])]
    below = [other for other in rows if other.line > row.line]
    fewest = _FEWEST_NUMBERS if row.cells[0] else 2  # nothing stands over an index
    if len(columns) < fewest or len(below) < 3:
        return False
    try:
        found = [_number(row.cells[j]) for j in columns]
        ranges = [[_number(other.cells[j]) for other in below if kind_of(other.cells[j]) == "number"] for j in columns]
    except ValueError:
        return False
    if found == list(range(len(found))) and any(value % 1 for column in ranges for value in column):
        return True  # as pandas numbers columns without names
    if len(columns) < _FEWEST_NUMBERS:
        return False
    steps = [after - before for before, after in pairwise(found)]
    if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
        return False
    even = max(steps) - min(steps) <= 1e-3 * max(abs(step) for step in steps) + 1e-9 * max(map(abs, found))
    far = all(
        value < min(column) - (max(column) - min(column)) or value > max(column) + (max(column) - min(column))
        for value, column in zip(found, ranges, strict=True)
    )
    return far and (even or all(value % 1 == 0 for value in found) or len(found) > 2 * _FEWEST_NUMBERS)


def _number(cell: str) -> float:
    return float(cell.replace(",", "."))


def _is_dashed(row: Row, kinds: list[str]) -> bool:
    """Whether a row below the names says that nothing has a unit: marks in all cells, the time's too."""
    return "date" in kinds and all(cell and is_missing(cell) for cell in row.cells)


def _block(lines: Sequence[Row], comments: Sequence[Row], width: int) -> list[Row]:
    """The lines of as many names as there are columns that stand just above the data; else the last such comments.

    A comment above a single column is no name: it says something of the table.
    """
    lines, comments = [_closed(row, width) for row in lines], [_closed(row, width) for row in comments]
    while comments and len(comments[-1].cells) != width:
        comments.pop()
    for candidates in (lines, comments if width > 1 else []):
        block: list[Row] = []
        for row in reversed(candidates):
            if len(row.cells) != width or (block and row.line != block[-1].line - 1):
                break
            block.append(row)
        if block:
            return block[::-1]
    return []


def _closed(row: Row, width: int) -> Row:
    """The row without the empty cell behind a separator that ends it."""
    return row._replace(cells=row.cells[:-1]) if len(row.cells) == width + 1 and not row.cells[-1] else row


def _header_and_units(block: list[Row]) -> tuple[Row | None, Row | None]:
    """The last line may be units; of the others the first that names all columns has the names, as tags come first.

    Where there are two columns a line above may be a note such as ``Device,DL-7``, and the last one has the names.
    """
    if not block:
        return None, None
    units = block[-1] if len(block) > 1 and _are_units(block[-1], block[-2]) else None
    names = block[:-1] if units else block
    if len(names[-1].cells) < 3 or names[-1].is_comment:
        return names[-1], units
    return next((row for row in names if all(row.cells) and len(set(row.cells)) == len(row.cells)), names[-1]), units


def _are_units(row: Row, above: Row) -> bool:
    filled = [cell for cell in row.cells if cell]
    named = [cell for cell in above.cells if cell]
    if not filled or 2 * len(named) < len(row.cells) or len(filled) > len(named):
        return False
    num_units = sum(_UNIT.fullmatch(cell) is not None for cell in filled)
    repeats = len(set(filled)) < len(filled) and len(set(named)) == len(named)
    return 2 * num_units >= len(filled) or (repeats and max(map(len, filled)) <= 12) or len(filled) < len(named)


def _check_above(rows: Sequence[Row], width: int) -> None:
    """Refuses rows without names below a line that may have them, but not one for each column."""
    if rows and len(rows[-1].cells) > 1 and any(rows[-1].cells):
        found = len(rows[-1].cells)
        raise ValueError(
            f"line {rows[-1].line + 1}: found {found} fields, expected {width} as in the rows below it; correct the "
            "line, or say which has the names with --header-row (0 for none)"
        )
