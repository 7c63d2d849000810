"""Files whose rows are read a group at a time and in any order: Parquet by its row groups, NPY wherever one likes."""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aejax.artefacts import sizes
from aejax.data.formats.arrow_numbers import as_float64
from aejax.data.formats.stamps import Stamp, stamp_of, unchanged
from aejax.data.formats.table_files.registry import WholeError
from aejax.data.stored import Stored, even_groups, rows_of_group

# Of a row group so many rows are turned into numbers at a time: a few million bytes stay near the processor.
_PIECE_ROWS = 1 << 14
_BUFFER = 1 << 20


def parquet_groups(path: Path, columns: Sequence[str]) -> Stored:
    """The rows of a Parquet file by its row groups.

    Args:
        path: of the file.
        columns: names of columns of numbers, in the order that is wanted.

    Returns:
        The Stored: (m, c) float64, NaN where missing.

    Raises:
        WholeError: a column is not of numbers, or has no name.
        OSError, ValueError: the file is damaged.
    """
    import pyarrow as arrow
    from pyarrow import parquet

    stamp = stamp_of(path)
    with parquet.ParquetFile(path) as opened:
        metadata, schema = opened.metadata, opened.schema_arrow
    kinds = arrow.types
    for name in columns:
        index = schema.get_field_index(name) if name else -1
        are_numbers = (kinds.is_boolean, kinds.is_integer, kinds.is_floating, kinds.is_decimal, kinds.is_null)
        if index < 0 or not any(is_kind(schema.field(index).type) for is_kind in are_numbers):
            raise WholeError(f"column {name!r}: found no numbers as Parquet stores them")
    num_groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]

    def read(group: int) -> Iterator[np.ndarray]:
        options: dict[str, Any] = {"row_groups": [group], "columns": list(columns), "use_threads": False}
        with unchanged(stamp), _opened(stamp) as file:
            for batch in file.iter_batches(_PIECE_ROWS, **options):
                values = np.empty((len(columns), batch.num_rows))
                for row, name in zip(values, columns, strict=True):
                    row[:] = as_float64(batch.column(name))
                yield values.T
        arrow.default_memory_pool().release_unused()  # which would be held beside the next group's otherwise

    return Stored(np.array(num_groups, np.int64), read)


def npy_groups(path: Path, columns: Sequence[str]) -> Stored:
    """The rows of a NumPy array in a file, read where they lie.

    Args:
        path: of the file.
        columns: ``column_1`` and so on, in the order that is wanted.

    Returns:
        The Stored: (m, c) float64, NaN where missing.

    Raises:
        WholeError: the array lies by columns, or holds no numbers.
        ValueError: the file is damaged.
    """
    stamp = stamp_of(path)
    with path.open("rb") as file:
        shape, dtype, is_by_columns = sizes.layout(file, stamp.size)
        begin = file.tell()
    if dtype.kind not in "biuf" or len(shape) not in (1, 2) or (is_by_columns and len(shape) == 2):
        raise WholeError("found an array that is no rows of numbers")
    num_columns = int(np.prod(shape[1:]))
    places = [int(name.removeprefix("column_")) - 1 for name in columns]
    is_all = places == list(range(num_columns))
    size = rows_of_group(dtype.itemsize * num_columns)
    counts = even_groups(shape[0], size)

    # Read, not mapped: pages of a map count as memory of the process.
    def read(group: int) -> Iterator[np.ndarray]:
        count = int(counts[group]) * num_columns
        with unchanged(stamp):
            values = np.fromfile(path, dtype, count, offset=begin + group * size * num_columns * dtype.itemsize)
            rows = values.reshape(-1, num_columns)
        yield (rows if is_all else rows[:, places]).astype(np.float64, copy=False)

    return Stored(counts, read)


def _opened(stamp: Stamp) -> Any:
    from pyarrow import parquet

    # Without a buffer of its own a reader holds all bytes of the row group beside its numbers.
    return parquet.ParquetFile(stamp.path, metadata=_metadata(stamp), pre_buffer=False, buffer_size=_BUFFER)


@functools.lru_cache(maxsize=4)
def _metadata(stamp: Stamp) -> Any:
    """The footer of a Parquet file: that of one with many groups is long to read, those of many files large to hold."""
    from pyarrow import parquet

    return parquet.read_metadata(stamp.path)
