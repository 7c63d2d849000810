"""Delimited text: read as plant historians, spreadsheets and scripts write it, written as CSV."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, Literal

import numpy as np

from aejax.data.formats.table_files.registry import TableFormat, register
from aejax.data.formats.text.parts import parts_of_text
from aejax.data.formats.text.reader import read_text
from aejax.data.formats.text.words import BEGIN_FORMULAS, is_missing, is_number

# Cells that are text at a time: as Python's strings they take ten times the memory of numbers.
_BLOCK = 1 << 17


def csv_blocks(columns: Mapping[str, np.ndarray], *, keep_formulas: bool = False) -> Iterator[str]:
    r"""Columns as CSV, a float as the shortest text that reads back as the same number, NaN as an empty cell.

    Text that a spreadsheet would take for a formula has an apostrophe before it. Numbers stay numbers. ``read_table``
    takes the apostrophe off the names of columns again.

    Args:
        columns: (n,) by name.
        keep_formulas: whether such text is written as it is.

    Yields:
        The header, and then the text of some rows at a time.

    Example:
        >>> "".join(csv_blocks({"T": np.array([0.1, np.nan]), "on": np.array([True, False])}))
        'T,on\n0.1,True\n,False\n'
        >>> "".join(csv_blocks({"=1+1": np.array(["-2.5", "@x"])}))
        "'=1+1\n-2.5\n'@x\n"
    """
    yield from csv_text([columns], keep_formulas=keep_formulas)


def csv_text(tables: Iterable[Mapping[str, np.ndarray]], *, keep_formulas: bool = False) -> Iterator[str]:
    r"""The same of rows that come block by block.

    Args:
        tables: columns of some rows, (n,) by name, the same in each block.
        keep_formulas: as in ``csv_blocks``.

    Yields:
        As ``csv_blocks``.

    Example:
        >>> "".join(csv_text([{"T": np.array([0.1])}, {"T": np.array([np.nan])}]))
        'T\n0.1\nNaN\n'
    """
    as_written = (lambda text: text) if keep_formulas else _harmless
    last: list[tuple[str, ...]] = []
    is_begun = False
    for columns in tables:
        if not is_begun:
            names = list(map(as_written, columns))
            # Unquoted, a first name such as #1 would make the header a comment.
            yield _lines([names], csv.QUOTE_ALL if names[0].startswith("#") else csv.QUOTE_MINIMAL)
            is_begun = True
        num_rows = len(next(iter(columns.values())))
        size = max(1, _BLOCK // len(columns))
        for begin in range(0, num_rows, size):
            cells = (_cells(column[begin : begin + size], as_written) for column in columns.values())
            *rows, below = zip(*cells, strict=True)
            yield _lines([*last, *rows], csv.QUOTE_MINIMAL)
            last = [below]
    if last and not any(last[0]):  # else it would be read as what a spreadsheet leaves
        last = [("NaN", *last[0][1:])]
    yield _lines(last, csv.QUOTE_MINIMAL)


def _lines(rows: Iterable[Sequence[str]], quoting: Literal[0, 1]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=quoting).writerows(rows)
    return text.getvalue()


def _harmless(text: str) -> str:
    is_formula = text.startswith(BEGIN_FORMULAS) and not is_number(text) and not is_missing(text)
    return f"'{text}" if is_formula else text


def _cells(column: np.ndarray, as_written: Callable[[str], str]) -> list[str]:
    kind = column.dtype.kind
    if column.dtype == np.float64:
        texts = list(map(repr, column.tolist()))
    elif kind == "O":
        texts = ["" if value is None else str(value) for value in column.tolist()]
        texts = [
            as_written(text) if isinstance(value, str) else text
            for text, value in zip(texts, column.tolist(), strict=True)
        ]
    else:
        texts = column.astype(str).tolist()  # a float32 has a shorter text than the float64 of the same value
        texts = _each_once(texts, as_written) if kind == "U" else texts
    return ["" if text in ("nan", "NaT") else text for text in texts]


def _each_once(texts: list[str], as_written: Callable[[str], str]) -> list[str]:
    """Texts as they are written; a column of names has few different ones."""
    written = {text: as_written(text) for text in set(texts)}
    return [written[text] for text in texts]


def write_csv(file: BinaryIO, columns: Mapping[str, np.ndarray], *, keep_formulas: bool = False) -> None:
    """Writes columns; see ``csv_blocks``."""
    append_csv(file, [columns], keep_formulas=keep_formulas)


def append_csv(file: BinaryIO, blocks: Iterable[Mapping[str, np.ndarray]], *, keep_formulas: bool = False) -> None:
    """Writes columns that come block by block; see ``csv_text``."""
    for text in csv_text(blocks, keep_formulas=keep_formulas):
        file.write(text.encode(errors="backslashreplace"))


CSV = TableFormat("CSV", (".csv",), (), read_text, write_csv, parts=parts_of_text, append=append_csv)
register(CSV)
