"""Parquet, by pyarrow."""

from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

from aejax.data.formats.table_files.arrow import library, read_columns, table_of
from aejax.data.formats.table_files.registry import Column, TableFormat, register


def _read(data: bytes) -> tuple[list[Column], bool]:
    return read_columns("parquet", data), True


def _write(file: BinaryIO, columns: Mapping[str, np.ndarray]) -> None:
    _, parquet = library("parquet")
    parquet.write_table(table_of(columns), file)


register(TableFormat("Parquet", (".parquet",), (b"PAR1",), _read, _write))
