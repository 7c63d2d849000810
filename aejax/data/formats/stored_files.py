"""The rows of files in groups that are read in any order."""

from collections.abc import Sequence

from aejax.data.formats.stamps import Stamp, check_unchanged
from aejax.data.formats.table_files.registry import WholeError, format_of
from aejax.data.stored import Stored, joined

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
