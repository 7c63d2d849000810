"""Feather, the file of Apache Arrow, by pyarrow."""

from collections.abc import Mapping
from functools import partial
from typing import BinaryIO

import numpy as np

from aejax.data.formats.table_files.arrow import parts_of_arrow, read_arrow, table_of
from aejax.data.formats.table_files.registry import TableFormat, register


def _write(file: BinaryIO, columns: Mapping[str, np.ndarray]) -> None:
    from pyarrow import feather

    feather.write_feather(table_of(columns), file)


register(
    TableFormat(
        "Feather",
        (".feather", ".arrow"),
        (b"ARROW1",),
        partial(read_arrow, "feather"),
        _write,
        parts=partial(parts_of_arrow, "feather"),
    )
)
