"""Sheets of spreadsheets, by calamine: their cells are read as text is."""

import csv
import dataclasses
import datetime
import functools
import io
import re
import zipfile
from typing import Any

from aejax.artefacts import sizes
from aejax.data.formats.options import ReadOptions
from aejax.data.formats.table_files.registry import Content, TableFormat, register
from aejax.data.formats.text.reader import read_text

_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml")
_CELL = re.compile(rb'<(?:\w+:)?c\s[^>]*?\br="([A-Z]{1,3})([0-9]{1,9})"')
_BYTES_OF_A_CELL = 32


def _read(data: bytes, options: ReadOptions) -> Content:
    """The sheet that is named, or the only one that holds something.

    A decimal mark is that of text cells; numbers need none.
    """
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'Excel files need calamine: pip install "aejax[excel]"; or save the sheet as CSV'
        ) from None
    _check_extent(data)
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(data))
        sheets = {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names}
    except CalamineError as error:
        raise ValueError(f"found a damaged Excel file ({error}), expected a whole one") from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of Rust, which is no Exception and cannot be imported
            raise
        raise ValueError(f"found an Excel file that calamine cannot read ({error}), expected a whole one") from None
    name = _chosen(sheets, options.sheet)
    rows = sheets[name]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_text(cell) for cell in row] for row in rows)
    # Numbers are numbers here, whatever marks the sheet shows them with.
    options = dataclasses.replace(options, separator=",", decimal=None, usual_decimal=None, thousands=None)
    content = read_text(text.getvalue().encode(), options)
    header = {"sheet": name, "header": content.dialect["header"].replace("line", "row")}
    return content._replace(dialect=header)


def _chosen(sheets: dict[str, list[list[Any]]], asked: str | None) -> str:
    if asked is not None:
        if asked not in sheets:
            raise ValueError(f"sheet: found {asked!r}, expected one of {', '.join(sheets)}")
        return asked
    filled = [name for name, rows in sheets.items() if any(cell != "" for row in rows for cell in row)]
    if len(filled) != 1:
        raise ValueError(
            f"found {len(filled)} sheets with something in them ({', '.join(filled) or 'none'}), expected one; "
            "name the one that is meant with --sheet (ReadOptions(sheet=...))"
        )
    return filled[0]


def _check_extent(data: bytes) -> None:
    """Refuses sheets that calamine would lay out whole though few of their cells hold something."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sizes.check_archive(archive, len(data))
        for name in archive.namelist():
            if not _SHEET.fullmatch(name):
                continue
            cells = _CELL.findall(archive.read(name))
            rows = max((int(row) for _, row in cells), default=0)
            columns = max((_number(letters) for letters in {letters for letters, _ in cells}), default=0)
            if _BYTES_OF_A_CELL * rows * columns > sizes.most_bytes(len(data)):
                raise ValueError(
                    f"found a sheet of {rows} x {columns} cells in a file of {len(data)} bytes, expected few empty "
                    "ones; delete what stands far from the table"
                )


def _number(letters: bytes) -> int:
    """The number of the column AB."""
    return functools.reduce(lambda number, letter: 26 * number + letter - 64, letters, 0)


def _text(cell: object) -> str:
    if isinstance(cell, datetime.datetime | datetime.date):
        return cell.isoformat(" ") if isinstance(cell, datetime.datetime) else cell.isoformat()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return str(cell)


register(TableFormat("Excel", (".xlsx",), (b"PK\x03\x04",), _read, members="[Content_Types].xml"))
