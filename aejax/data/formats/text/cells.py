"""Columns of text cells: numbers, dates, or a problem that is named."""

import math
import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from aejax.data.formats.arrow_numbers import as_float64
from aejax.data.formats.table_files.registry import Column
from aejax.data.formats.text import marks as of_marks
from aejax.data.formats.text.marks import Marks
from aejax.data.formats.text.words import (
    BOOLEANS,
    DATE_PATTERN,
    MINUS,
    MISSING,
    OF_HISTORIANS,
    is_date,
    is_missing,
    is_number,
)

_LONGEST = 80  # of a cell in an error: a quote that is not closed makes a cell of many lines
_PARTS = 16  # that cells are looked at in, until one is read as a whole
_MOST_WORDS = 12  # of a column in which they stand for missing values; more are a text


class Rules(NamedTuple):
    """How the cells of a text are read.

    Attributes:
        marks: of the whole text, as far as they are known.
        missing: words for a missing value, beside those that always are.
        where: (row from 0) -> where that is for an error, such as ``"row 3 (line 5)"``.
        categories: names of columns whose cells are categories, whatever they look like.
    """

    marks: Marks = Marks()
    missing: tuple[str, ...] = ()
    where: Callable[[int], str] = lambda row: f"row {row + 1}"
    categories: frozenset[str] = frozenset()


class Read(NamedTuple):
    """What was read of columns of text.

    Attributes:
        columns: as numbers or dates.
        notes: what a user should know of their marks, a sentence each.
        decimal: the decimal mark that was told or that they show; None where nothing decides.
    """

    columns: list[Column]
    notes: list[str]
    decimal: str | None


def columns_of_text(names: list[str], texts: list[Any], rules: Rules) -> Read:
    """Columns of text cells as numbers or dates.

    Args:
        names: c names.
        texts: c columns of strings, chunked arrays of pyarrow; null is missing.
        rules: how they are read.

    Returns:
        What was Read of them.

    Example:
        >>> import pyarrow as arrow
        >>> cells = [arrow.chunked_array([part]) for part in (["1,041", "930"], ["34.89", "NA"])]
        >>> columns, notes, decimal = columns_of_text(["flow", "level"], cells, Rules())
        >>> [column.values.tolist() for column in columns]
        [[1041.0, 930.0], [34.89, nan]]
        >>> notes
        ["column 'flow': a comma groups digits by three: '1,041' is read as 1041"]
    """
    # Whole dates, the most common text, need no more than a look.
    trimmed = [
        None if name in rules.categories or _are_dates(cells) else _without_missing(cells, rules.missing)
        for name, cells in zip(names, texts, strict=True)
    ]
    decimals = [None if cells is None else of_marks.decimal_in(cells) for cells in trimmed]
    shown = rules.marks.decimal or of_marks.agreed(decimals)
    whole = shown or rules.marks.usual
    columns, notes = [], []
    for name, text, cells, decimal in zip(names, texts, trimmed, decimals, strict=True):
        if cells is None:
            columns.append(_text(name, text, "categories") if name in rules.categories else _clock(name, text))
            continue
        marks = _marks_of(cells, rules.marks, decimal or whole)
        values = None if marks is None else _numbers(cells, marks)
        if values is not None and marks is not None:
            columns.append(Column(name, values))
            notes += _note(name, cells, marks)
        elif marks is not None and _are_dates(cells):
            columns.append(_clock(name, text))
        else:
            problem, words = _problem(cells, marks, rules)
            columns.append(_text(name, text, problem, words))
    return Read(columns, notes, shown)


def _without_missing(cells: Any, missing: tuple[str, ...]) -> Any:
    """Trimmed cells, null where missing."""
    import pyarrow as arrow
    import pyarrow.compute as pc

    trimmed = _as_usual(pc.utf8_trim_whitespace(cells))
    words = arrow.array([*MISSING, *(word.strip().lower() for word in missing)], trimmed.type)
    return pc.if_else(pc.is_in(pc.utf8_lower(trimmed), words), arrow.scalar(None, trimmed.type), trimmed)


def _marks_of(cells: Any, told: Marks, decimal: str | None) -> Marks | None:
    """The marks of a column; None where its commas may be either."""
    import pyarrow.compute as pc

    if told.thousands == "none":
        return Marks(told.decimal or decimal or ".", "none")
    if told.decimal or told.thousands in (".", ","):
        decimal = told.decimal or of_marks.other(told.thousands or "")
    if decimal is None:
        commas = pc.any(pc.match_substring(cells, ",")).as_py()
        if commas and pc.any(pc.match_substring_regex(cells, r"^[+-]?[1-9]\d{0,2},\d{3}$")).as_py():
            return None
        decimal = "."
    return Marks(decimal, told.thousands or of_marks.other(decimal))


def _numbers(cells: Any, marks: Marks) -> np.ndarray | None:
    """(n,) float64, or None where a cell is not a number."""
    import pyarrow as arrow
    import pyarrow.compute as pc

    plain = cells
    for pattern in {of_marks.grouped_pattern(marks), of_marks.grouped_pattern(marks._replace(thousands=""))}:
        if marks.thousands != "none":
            is_grouped = pc.match_substring_regex(plain, pattern)
            if pc.any(is_grouped).as_py():
                digits = pc.replace_substring_regex(plain, f"[^0-9eE+{marks.decimal}-]", "")
                plain = pc.if_else(is_grouped, digits, plain)
    if marks.decimal == ",":
        if pc.any(pc.match_substring(plain, ".")).as_py():
            return None
        plain = pc.replace_substring(plain, ",", ".")
    try:
        values = plain.cast(arrow.float64())
    except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError):
        return _by_python(plain.to_pylist())
    return as_float64(values)


def _by_python(cells: list[str | None]) -> np.ndarray | None:
    """What pyarrow does not read: a plus, words for true and false, numbers out of range."""
    try:
        values = np.array([np.nan if cell is None else _number(cell) for cell in cells])
    except ValueError:
        return None
    # A word for true among measurements is none of them.
    has_words = any(cell is not None and cell.lower() in BOOLEANS for cell in cells)
    return None if has_words and not np.isin(values[~np.isnan(values)], (0, 1)).all() else values


def _number(cell: str) -> float:
    if "_" in cell:
        raise ValueError  # float would read 1_000
    return BOOLEANS[cell.lower()] if cell.lower() in BOOLEANS else float(cell)


def _as_usual(cells: Any) -> Any:
    """Cells with the minus of typesetters and the exponent of Fortran as other programs write them."""
    import pyarrow.compute as pc

    if pc.any(pc.match_substring(cells, MINUS)).as_py():
        cells = pc.replace_substring(cells, MINUS, "-")
    if pc.any(pc.match_substring_regex(cells, r"[.,]\d*[dD][+-]?\d")).as_py():
        cells = pc.replace_substring_regex(cells, r"([.,]\d*)[dD]([+-]?\d+)$", r"\1e\2")
    return cells


def _are_dates(cells: Any) -> bool:
    import pyarrow.compute as pc

    first = next((cell.as_py() for cell in cells if cell.is_valid), "")
    if not is_date(first):
        return False
    # The pattern is compiled for each chunk.
    are_dates = pc.match_substring_regex(cells.combine_chunks(), rf"(?i)^\s*{DATE_PATTERN}\s*$")
    return pc.all(are_dates).as_py() is True and pc.any(are_dates).as_py() is True


def _clock(name: str, text: Any) -> Column:
    import pyarrow.compute as pc

    cells = pc.fill_null(pc.utf8_trim_whitespace(text), "").to_numpy()
    return Column(name, np.full(len(cells), np.nan), is_clock=True, cells=cells)


def _text(name: str, text: Any, problem: str, words: tuple[str, ...] = ()) -> Column:
    return _clock(name, text)._replace(is_clock=False, problem=problem, words=words)


def _note(name: str, cells: Any, marks: Marks) -> list[str]:
    """Says where points or commas group digits, with an example."""
    import pyarrow.compute as pc

    if marks.thousands == "none":
        return []
    is_grouped = pc.fill_null(pc.match_substring_regex(cells, of_marks.grouped_pattern(marks)), False)
    shown = cells.filter(is_grouped)
    if not len(shown):
        return []
    cell = shown[0].as_py()
    value = _numbers(shown.slice(0, 1), marks)
    words = {",": "a comma", ".": "a point"}.get(marks.thousands or "", repr(marks.thousands))
    assert value is not None  # the whole column was numbers
    return [f"column {name!r}: {words} groups digits by three: {cell!r} is read as {value[0]:.12g}"]


def _problem(cells: Any, marks: Marks | None, rules: Rules) -> tuple[str, tuple[str, ...]]:
    """What keeps a column from being numbers, and the words in it that may stand for missing values."""
    texts = ["" if cell is None else cell for cell in cells.to_pylist()]
    if marks is None:
        row = next(row for row, cell in enumerate(texts) if "," in cell)
        number = texts[row]
        return (
            f"found {number!r} in {rules.where(row)}, which is {number.replace(',', '')} or "
            f"{number.replace(',', '.')}: no cell decides; say it with --decimal comma or --thousands comma "
            "(ReadOptions(decimal=',') or ReadOptions(thousands=','))"
        ), ()
    filled = [(row, cell) for row, cell in enumerate(texts) if cell]
    dates = is_date(filled[0][1])
    different = list(dict.fromkeys(cell for _, cell in filled))
    wanted = set(filter(is_date, different)) if dates else _that_read(different, marks)
    others = [(row, cell) for row, cell in filled if cell not in wanted]
    if any(cell.lower() in BOOLEANS for _, cell in filled) and not others:  # words for true among numbers
        others = [(row, cell) for row, cell in filled if cell.lower() in BOOLEANS]
    words = sorted({cell for _, cell in others})
    are_few = len(others) < len(filled) / 2 and len(words) <= _MOST_WORDS
    # A word that historians write hides the one that is really wrong.
    row, cell = (
        next(((row, cell) for row, cell in others if not _is_word(cell)), others[0]) if not are_few else others[0]
    )
    kind = "a date as in other rows" if dates else "a number"
    shown = cell if len(cell) <= _LONGEST else f"{cell[:_LONGEST]}..."
    problem = f"found {shown!r} in {rules.where(row)}, expected {kind}"
    offered = tuple(words) if all(map(_is_word, words)) or (are_few and not any(map(_is_plain_number, words))) else ()
    return problem, offered


def _is_word(cell: str) -> bool:
    return cell.lower() in OF_HISTORIANS


def _is_plain_number(cell: str) -> bool:
    return is_number(cell) and cell.lower() not in BOOLEANS


def _that_read(cells: list[str], marks: Marks) -> set[str]:
    """Those that are numbers or missing: a part that is read as a whole is not looked at cell by cell."""
    import pyarrow as arrow

    there = [cell for cell in cells if not is_missing(cell)]
    if not there or _numbers(arrow.chunked_array([there]), marks) is not None:
        return set(cells)
    found = set(cells) - set(there)
    if len(there) > 1:
        size = math.ceil(len(there) / _PARTS)
        found.update(*(_that_read(there[begin : begin + size], marks) for begin in range(0, len(there), size)))
    return found


def offer(words: tuple[str, ...]) -> str:
    """How to say that words stand for missing values.

    Example:
        >>> offer(("Bad", "No Data"))
        "--missing Bad 'No Data' (ReadOptions(missing=('Bad', 'No Data')))"
    """
    return f"--missing {' '.join(map(shlex.quote, words))} (ReadOptions(missing={words!r}))"
