"""Files that must stay as they are while they are read."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from aejax.artefacts.outside import reading


class Stamp(NamedTuple):
    """By what a file is known to be the one that was there before.

    Attributes:
        path: of the file.
        size: in bytes.
        changed: when it was changed, in nanoseconds.
        number: that the system gives it.
    """

    path: Path
    size: int
    changed: int
    number: int


def stamp_of(path: Path) -> Stamp:
    """The Stamp of a file as it is now."""
    status = path.stat()
    return Stamp(path, status.st_size, status.st_mtime_ns, status.st_ino)


def check_unchanged(stamps: Iterable[Stamp]) -> None:
    """Refuses rows that are not those that were read before.

    Args:
        stamps: of the files, from before.

    Raises:
        FileNotFoundError: one has gone.
        ValueError: one has changed.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "t.csv"
        >>> _ = path.write_text("a,b")
        >>> stamp = stamp_of(path)
        >>> check_unchanged([stamp])
        >>> path.unlink()
        >>> check_unchanged([stamp])
        Traceback (most recent call last):
        FileNotFoundError: ...t.csv: it was there and is gone, expected it to stay until all is read
    """
    for stamp in stamps:
        if not stamp.path.exists():
            raise FileNotFoundError(f"{stamp.path}: it was there and is gone, expected it to stay until all is read")
        if stamp_of(stamp.path) != stamp:
            raise ValueError(
                f"{stamp.path}: it has changed while it was read, expected one that nothing writes to; run the command "
                "again once it is complete"
            )


@contextlib.contextmanager
def unchanged(stamp: Stamp) -> Iterator[None]:
    """Reads from a file that must be the one that was there before.

    Args:
        stamp: of the file, from before.

    Raises:
        FileNotFoundError, ValueError: it has gone or has changed, or what is read in it is damaged.
    """
    check_unchanged([stamp])
    try:
        with reading(stamp.path):
            yield
    except Exception:
        check_unchanged([stamp])  # which says more than what became of it
        raise
    check_unchanged([stamp])
