"""Delimited text: read as plant historians, spreadsheets and scripts write it, written as CSV."""

import csv
import io
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

from aejax.data.formats.table_files.registry import TableFormat, register
from aejax.data.formats.text.reader import read_text
from aejax.data.formats.text.words import BEGIN_FORMULAS, is_missing, is_number


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
    rows = list(zip(*map(_cells, columns.values()), strict=True))
    if rows and not any(rows[-1]):  # else it would be read as what a spreadsheet leaves at the end
        rows[-1] = ("NaN", *rows[-1][1:])
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def without_formulas(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Columns whose text no spreadsheet takes for a formula: an apostrophe stands before =, +, - and @.

    Numbers stay numbers. ``read_table`` takes the apostrophe off the names of columns again.

    Args:
        columns: (n,) by name.

    Returns:
        The same, such names and cells of text changed.

    Example:
        >>> without_formulas({"=1+1": np.array(["-2.5", "@x"])})
        {"'=1+1": array(['-2.5', "'@x"], dtype='<U4')}
    """
    return {_harmless(name): _harmless_cells(column) for name, column in columns.items()}


def _harmless_cells(column: np.ndarray) -> np.ndarray:
    if column.dtype.kind not in "OU":
        return column
    cells = [_harmless(cell) if isinstance(cell, str) else cell for cell in column.tolist()]
    return np.array(cells, object if column.dtype.kind == "O" else None)


def _harmless(text: str) -> str:
    is_formula = text.startswith(BEGIN_FORMULAS) and not is_number(text) and not is_missing(text)
    return f"'{text}" if is_formula else text


def _cells(column: np.ndarray) -> list[str]:
    if column.dtype == np.float64:
        texts = list(map(repr, column.tolist()))
    elif column.dtype.kind == "O":
        texts = ["" if value is None else str(value) for value in column.tolist()]
    else:
        texts = column.astype(str).tolist()  # a float32 has a shorter text than the float64 of the same value
    return ["" if text in ("nan", "NaT") else text for text in texts]


def _write(file: BinaryIO, columns: Mapping[str, np.ndarray]) -> None:
    file.write(csv_text(columns).encode(errors="backslashreplace"))


CSV = TableFormat("CSV", (".csv",), (), read_text, _write)
register(CSV)
