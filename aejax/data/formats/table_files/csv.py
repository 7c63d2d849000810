"""Delimited text: read as plant historians, spreadsheets and scripts write it, written as CSV."""

import csv
import io
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

from aejax.data.formats.table_files.registry import TableFormat, register
from aejax.data.formats.text.reader import read_text


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


CSV = TableFormat("CSV", (".csv",), (), read_text, _write)
register(CSV)
