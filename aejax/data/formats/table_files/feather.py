"""Feather, the file of Apache Arrow, by pyarrow."""

from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

from aejax.data.formats.table_files.arrow import library, read_columns, table_of
from aejax.data.formats.table_files.registry import Column, TableFormat, register


def _read(data: bytes) -> tuple[list[Column], bool]:
    return read_columns("feather", data), True


def _write(file: BinaryIO, columns: Mapping[str, np.ndarray]) -> None:
    _, feather = library("feather")
    feather.write_feather(table_of(columns), file)


register(TableFormat("Feather", (".feather", ".arrow"), (b"ARROW1",), _read, _write))
