"""Rows at the end of a table that a word calls sums, means or the like: they are no rows."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from aejax.data.formats.options import ReadOptions
from aejax.data.formats.text.words import kind_of

_SUMS_AND_MEANS = (
    r"(?:(?:grand|sub|over)[ -]?)?(?:total|totals|totale|sum|sums|suma|somme|mean|means|average|averages|avg|moyenne"
    r"|media|promedio|summe|summen|gesamt|gesamtsumme|zwischensumme|mittel|mittelwert|durchschnitt|Σ|∑|Ø)"
)
_OTHERS = r"(?:min|max|minimum|maximum|median|count|anzahl|std|stdev|std\.? ?dev\.?|standardabweichung|n)"
_BEHIND = r"(?: (?:value|values|wert|werte|sum|all))?(?: ?[\[(].*[\])]| \d[\d./-]*)?[:.]?"
# RE2 and Python read it alike.
_LABEL = rf"(?i)^\s*(?:{_SUMS_AND_MEANS}|{_OTHERS}){_BEHIND}\s*$"
_IS_LABEL = re.compile(_LABEL)
_IS_SUM_OR_MEAN = re.compile(rf"(?i)\s*{_SUMS_AND_MEANS}{_BEHIND}\s*")
_MOST_LABELLED = 10  # more are a kind of rows


def is_total(cell: str) -> bool:
    """Whether a cell says that its row holds sums, means or the like.

    Example:
        >>> [is_total(cell) for cell in ("Total", "Grand total:", "Mittelwert", "Mean [degC]", "Total Energies")]
        [True, True, True, True, False]
    """
    return _IS_LABEL.match(cell) is not None


def without_labelled(columns: Sequence[Any], options: ReadOptions) -> tuple[list[Any], list[str]]:
    """Columns without the last rows that a word calls totals, means or the like.

    The word stands in the first column, or in one that is filled, and nowhere above.

    Args:
        columns: (n,) each, text of pyarrow or anything else.
        options: which may say to keep them.

    Returns:
        The columns, and what was left out, a sentence or none.

    Example:
        >>> import pyarrow as arrow
        >>> names, values = arrow.chunked_array([["a", "b", "Total"]]), np.array([1.0, 2.0, 3.0])
        >>> without_labelled([names, values], ReadOptions())[1]
        ["1 row at the end that is called 'Total': left out; --keep-totals keeps it"]
    """
    if options.keep_totals:
        return list(columns), []
    labels = max((_labels(column, place) for place, column in enumerate(columns)), key=len, default=[])
    if not labels:
        return list(columns), []
    end = len(columns[0]) - len(labels)
    while end > 0 and all(_is_empty(column[end - 1]) for column in columns):
        end -= 1
    called = " and ".join(map(repr, dict.fromkeys(labels)))
    return [column[:end] for column in columns], [sentence(len(labels), f"called {called}")]


def sentence(count: int, what: str) -> str:
    """What is said of rows that are left out."""
    rows, they, them = ("1 row", "is", "it") if count == 1 else (f"{count} rows", "are", "them")
    return f"{rows} at the end that {they} {what}: left out; --keep-totals keeps {them}"


def _labels(column: Any, place: int) -> list[str]:
    """The words at the end of a column of text that call the rows totals."""
    import pyarrow as arrow
    import pyarrow.compute as pc

    if isinstance(column, np.ndarray) or not arrow.types.is_string(column.type):
        return []
    last = [cell or "" for cell in column[-_MOST_LABELLED - 1 :].to_pylist()]
    labels: list[str] = []
    while len(labels) < len(last) and is_total(last[-1 - len(labels)]):
        labels.insert(0, last[-1 - len(labels)].strip())
    above = column[: len(column) - len(labels)]
    if (
        not 0 < len(labels) <= _MOST_LABELLED
        or not len(above)
        or pc.any(pc.match_substring_regex(above, _LABEL)).as_py()
    ):
        return []
    filled = above.filter(pc.match_substring_regex(pc.fill_null(above, ""), r"\S"))
    if place > 0 and len(filled) < len(above) / 2:
        return []  # a remark
    is_text = len(filled) > 0 and kind_of(filled[0].as_py()) == "text"
    return [] if is_text and not any(map(_IS_SUM_OR_MEAN.fullmatch, labels)) else labels


def _is_empty(cell: Any) -> bool:
    value = cell.as_py() if hasattr(cell, "as_py") else cell
    return value is None or value != value or (isinstance(value, str) and not value.strip())
