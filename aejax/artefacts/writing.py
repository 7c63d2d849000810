"""Files that are written atomically: whole or not there, whatever fails meanwhile, a power cut included."""

import contextlib
import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_PARTIAL = re.compile(r"\.aejax-(\d+)-([0-9a-f]{8})-[0-9a-f]{16}\.partial(\.[^.]*)?")
_SECONDS_OF_A_DAY = 86_400
_being_written: set[str] = set()  # by this process


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write to, which takes the place of ``path`` once all is written and on the disk.

    Whatever goes wrong, ``path`` holds what it held before or all of the new content. Its folder is made. A file that
    is replaced keeps its mode and, where the system lets us, its owner. A link is followed. A pipe or a device is
    written to once all is there.

    Args:
        path: the file to write.

    Yields:
        A path with the same ending, in the same folder unless ``path`` is a pipe or a device.

    Raises:
        OSError: the file cannot be written, or is write-protected.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_path(folder / "numbers.txt") as path:
        ...     _ = path.write_text("1 2 3")
        >>> [file.name for file in folder.iterdir()]
        ['numbers.txt']
    """
    path = Path(path)
    before = _status(path)
    if before is not None and not stat.S_ISREG(before.st_mode):
        with _written_through(path) as partial:
            yield partial
        return
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    if before is not None and not os.access(path, os.W_OK):
        raise PermissionError(f"{path} is write-protected; choose another name, or allow writing")
    make_folder(path.parent)
    partial = _begun(path, 0o666 if before is None else 0o600)
    try:
        yield partial
        if before is not None:
            _keep_owner_and_mode(partial, before)
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    finally:
        _being_written.discard(partial.name)
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def passing_path(folder: str | os.PathLike[str], ending: str) -> Iterator[Path]:
    """A file in a folder that is needed no longer than the block.

    That of a killed process is removed by the next one that holds the folder's lock.

    Args:
        folder: which is there.
        ending: of the name, with the dot.

    Yields:
        The path of an empty file.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> with passing_path(folder, ".parquet") as path:
        ...     _ = path.write_bytes(b"rows")
        >>> list(folder.iterdir())
        []
    """
    partial = _begun(Path(folder) / f"rows{ending}", 0o600)
    try:
        yield partial
    finally:
        _being_written.discard(partial.name)
        partial.unlink(missing_ok=True)


def make_folder(folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Makes a folder that stays there after a power cut.

    Args:
        folder: the folder; those above it are made as well.

    Returns:
        The folders that were not there before, outermost first.
    """
    folder = Path(folder)
    missing = [path for path in (folder, *folder.parents) if not path.exists()][::-1]
    for path in missing:
        path.mkdir(exist_ok=True)
        sync(path.parent)
    return tuple(missing)


def sync(path: str | os.PathLike[str]) -> None:
    """Waits until the content of a file, or the names in a folder, are on the disk.

    Args:
        path: the file or folder.
    """
    is_folder, is_windows = os.path.isdir(path), os.name == "nt"  # noqa: PTH112
    if is_folder and is_windows:
        return
    try:
        descriptor = os.open(path, os.O_RDWR if is_windows else os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        # Some file systems do not sync folders, and a folder that may be written to need not be readable.
        if not is_folder or error.errno not in (errno.EACCES, errno.EINVAL, errno.ENOTSUP):
            raise


def sync_tree(folder: str | os.PathLike[str]) -> None:
    """The same for all files and folders in a folder, for those that another library wrote.

    Args:
        folder: the folder.
    """
    for path in sorted(Path(folder).rglob("*"), reverse=True):  # what is inside comes first
        sync(path)
    sync(folder)


def clear_leftovers(folder: str | os.PathLike[str]) -> None:
    """Removes unfinished files of writers that were killed.

    A file is left over if its name says that ``atomic_path`` made it, and the process that it names is gone. Of a
    process on another machine nothing is known: its files go after a day.

    Args:
        folder: the folder; the caller holds its lock.
    """
    for path in Path(folder).glob(".aejax-*"):
        if is_partial(path.name) and not _is_being_written(path):
            path.unlink(missing_ok=True)


def is_partial(name: str) -> bool:
    """Whether a file of this name is unfinished.

    Example:
        >>> is_partial(".aejax-17-0123abcd-0123456789abcdef.partial.csv"), is_partial("scores.csv")
        (True, False)
    """
    return _PARTIAL.fullmatch(name) is not None


def _is_being_written(path: Path) -> bool:
    found = _PARTIAL.fullmatch(path.name)
    assert found is not None
    if found[2] != _HOST:
        return time.time() - path.stat().st_mtime < _SECONDS_OF_A_DAY
    pid = int(found[1])
    # In a container a new process often has the number of the one before.
    return path.name in _being_written if pid == os.getpid() else _is_alive(pid)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's process, or a system that cannot tell
        return True
    return True


def _status(path: Path) -> os.stat_result | None:
    """What ``path`` is, or what it links to; asking the system applies its rules for links in shared folders."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _begun(path: Path, mode: int) -> Path:
    """A new empty file beside ``path``, of a name that nobody can guess or has taken."""
    partial = path.with_name(f".aejax-{os.getpid()}-{_HOST}-{secrets.token_hex(8)}.partial{path.suffix}")
    _being_written.add(partial.name)
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    return partial


def _keep_owner_and_mode(partial: Path, before: os.stat_result) -> None:
    made = partial.stat()
    if (made.st_uid, made.st_gid) != (before.st_uid, before.st_gid) and hasattr(os, "chown"):
        with contextlib.suppress(PermissionError):
            os.chown(partial, before.st_uid, before.st_gid)
    partial.chmod(stat.S_IMODE(before.st_mode))


@contextlib.contextmanager
def _written_through(path: Path) -> Iterator[Path]:
    """For what no file can take the place of: the content goes to it once it is whole."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, expected the name of a file to write")
    with tempfile.TemporaryDirectory() as folder:
        partial = Path(folder) / f"whole{path.suffix}"
        yield partial
        with partial.open("rb") as whole, path.open("wb") as pipe:
            shutil.copyfileobj(whole, pipe)
