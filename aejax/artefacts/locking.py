"""One writer a folder: a lock that says who holds it, and that a process which dies gives back."""

import contextlib
import datetime
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import filelock

from aejax.artefacts.writing import clear_leftovers, is_partial, make_folder

LOCK = ".aejax.lock"
_SECONDS_BETWEEN = 0.02
# Who holds a lock writes so a moment after.
_MOST_READINGS = 50


class FolderInUseError(OSError):
    """Another process writes to the folder."""


@contextlib.contextmanager
def locked(folder: str | os.PathLike[str], seconds: float = 0.0) -> Iterator[None]:
    """Holds the lock of a folder; the same thread may take it again.

    The system gives the lock back when its process ends, however it ends. The files that a killed writer has left
    unfinished in the folder are removed.

    Args:
        folder: made if it is not there, and removed again where nothing was written to it.
        seconds: how long to wait for another writer.

    Raises:
        FolderInUseError: another process, or another thread, holds it; the message says which one and since when.
        OSError: the folder cannot be written.

    Example:
        >>> import tempfile
        >>> with locked(tempfile.mkdtemp()):
        ...     pass
    """
    folder = Path(os.path.realpath(folder))
    made = make_folder(folder)
    lock = filelock.FileLock(folder / LOCK, is_singleton=True)
    try:
        lock.acquire(timeout=seconds, poll_interval=_SECONDS_BETWEEN)
    except filelock.Timeout:
        raise FolderInUseError(f"{folder} is being written by {_holder(folder)}; wait until it has ended") from None
    try:
        if lock.lock_counter == 1:
            _say_who_holds(folder)
            clear_leftovers(folder)
        yield
    finally:
        if lock.lock_counter == 1:
            # While it is held: whoever waits for the file sees that it is gone, and makes another.
            with contextlib.suppress(OSError):
                (folder / LOCK).unlink()
        lock.release()
        for path in reversed(made):
            with contextlib.suppress(OSError):
                path.rmdir()


def is_leftover(name: str) -> bool:
    """Whether a file of this name is a lock or unfinished.

    Example:
        >>> is_leftover(".aejax.lock"), is_leftover("config.json")
        (True, False)
    """
    return name == LOCK or is_partial(name)


def _say_who_holds(folder: Path) -> None:
    since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    holder = {"pid": os.getpid(), "host": platform.node(), "since": since}
    with contextlib.suppress(OSError):  # where the system keeps others from a locked file, it keeps us from it too
        (folder / LOCK).write_text(json.dumps(holder))


def _holder(folder: Path) -> str:
    for _ in range(_MOST_READINGS):
        try:
            found = json.loads((folder / LOCK).read_text())
            return f"process {found['pid']} on {found['host']}, since {found['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            time.sleep(_SECONDS_BETWEEN)
    return "another process"
