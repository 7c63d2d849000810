"""The table that a command is given."""

import hashlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aejax.data.formats.tables import Table


def read_table(path: str, drop_columns: Sequence[str], columns: Sequence[str] | None = None) -> tuple["Table", str]:
    """A table and the SHA-256 of its bytes.

    Args:
        path: of a file, - for standard input.
        drop_columns: columns to leave out.
        columns: those of training, which are looked for; all if None.

    Returns:
        The Table, and the digest in hexadecimal.
    """
    from aejax.data.formats import tables

    content = sys.stdin.buffer.read() if path == "-" else None
    table = tables.read_table(path if content is None else io.BytesIO(content), drop_columns, columns)
    return table, hashlib.sha256(Path(path).read_bytes() if content is None else content).hexdigest()
