"""The rows of files in groups that are read in any order."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from aejax.data.formats.stamps import Stamp, check_unchanged
from aejax.data.formats.table_files.registry import WholeError, format_of
from aejax.data.stored import Stored, joined

# Of a row group that is written: several of them fit into a window of rows that are shuffled together.
_GROUP_NUMBERS = 1 << 19
HEAD = 64  # bytes, by which a format is known


def stored_files(stamps: Sequence[Stamp], columns: Sequence[str]) -> Stored:
    """The rows of files as those of one table.

    Args:
        stamps: of the files, in their order.
        columns: names of columns of numbers that each of them has.

    Returns:
        The Stored: (m, c) float64, NaN where missing.

    Raises:
        WholeError: one of them cannot be read so.
        FileNotFoundError, ValueError: one of them has gone, has changed or is damaged.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from aejax.data.formats.stamps import stamp_of
        >>> path = Path(tempfile.mkdtemp()) / "rows.npy"
        >>> np.save(path, np.arange(6.0).reshape(3, 2))
        >>> next(stored_files([stamp_of(path)], ["column_2"]).rows())[:, 0]
        array([1., 3., 5.])
    """
    parts = []
    for stamp in stamps:
        check_unchanged([stamp])
        with stamp.path.open("rb") as file:
            found = format_of(file.read(HEAD))
        if found is None or found.groups is None:
            raise WholeError(f"{stamp.path}: found a file whose rows are not read in any order")
        parts.append(found.groups(stamp.path, columns))
    check_unchanged(stamps)
    return joined(parts)


def write_rows(path: Path, columns: Sequence[str], parts: Iterable[np.ndarray]) -> None:
    """Writes rows to a Parquet file whose row groups are read in any order.

    Args:
        path: the file.
        columns: names of the c columns.
        parts: (m, c) float64 some rows at a time, NaN where missing.

    Raises:
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> from aejax.data.formats.stamps import stamp_of
        >>> path = Path(tempfile.mkdtemp()) / "rows.parquet"
        >>> write_rows(path, ["a"], [np.zeros((3, 1)), np.ones((2, 1))])
        >>> stored_files([stamp_of(path)], ["a"]).num_rows
        5
    """
    import pyarrow as arrow
    from pyarrow import parquet

    schema = arrow.schema([(name, arrow.float64()) for name in columns])
    with parquet.ParquetWriter(path, schema) as file:
        for part in parts:
            rows = arrow.table(list(map(arrow.array, np.ascontiguousarray(part.T))), schema=schema)
            file.write_table(rows, row_group_size=max(1, _GROUP_NUMBERS // len(columns)))
