"""Parquet, by pyarrow."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import BinaryIO

import numpy as np

from aejax.data.formats.table_files.arrow import parts_of_arrow, read_arrow, table_of, whole_groups
from aejax.data.formats.table_files.groups import parquet_groups
from aejax.data.formats.table_files.registry import TableFormat, register

_GROUP = 1 << 20  # rows of a group, as many as pyarrow gives it


def _write(file: BinaryIO, columns: Mapping[str, np.ndarray]) -> None:
    from pyarrow import parquet

    parquet.write_table(table_of(columns), file)


def _append(file: BinaryIO, blocks: Iterable[Mapping[str, np.ndarray]]) -> None:
    from pyarrow import parquet

    groups = whole_groups(blocks, _GROUP)
    first = next(groups)
    with parquet.ParquetWriter(file, first.schema) as writer:
        writer.write_table(first)
        for group in groups:
            writer.write_table(group.cast(first.schema))


register(
    TableFormat(
        "Parquet",
        (".parquet",),
        (b"PAR1",),
        partial(read_arrow, "parquet"),
        _write,
        parts=partial(parts_of_arrow, "parquet"),
        append=_append,
        groups=parquet_groups,
    )
)
