"""The bytes of tables: a file, standard input, a folder, a pattern of names, and what is packed in GZ and ZIP files."""

import difflib
import glob
import gzip
import io
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from aejax.artefacts import sizes
from aejax.artefacts.outside import reading
from aejax.data.formats.table_files.registry import format_of, shown, zip_members

_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_LONGEST = 200  # of names that are compared: the time for it grows with the square


def contents(
    source: str | os.PathLike[str] | BinaryIO,
    note: Callable[[bytes], None] = lambda data: None,  # noqa: ARG005
) -> Iterator[tuple[str, bytes]]:
    """What a source holds, file by file.

    Args:
        source: a path, a folder, a pattern such as ``day_*.csv``, ``"-"`` for standard input, or an open binary file.
        note: takes the bytes of each file as they lie there, such as ``hashlib.sha256().update``.

    Yields:
        The name, "" where there is none, and the content of each file, in the order of the names, numbers in them as
        numbers.

    Raises:
        FileNotFoundError: nothing has this name.
        ValueError: a file open for text, an empty folder, or an archive of several files.
    """
    if not isinstance(source, str | os.PathLike):
        data = source.read()
        if isinstance(data, str):
            raise ValueError("source: found a file open for text, expected a binary one: open(path, 'rb')")
        name = str(getattr(source, "name", ""))
        note(data)
        yield name, unpacked(data, name)
    elif str(source) == "-":
        data = sys.stdin.buffer.read()
        note(data)
        yield "standard input", unpacked(data, "standard input")
    else:
        for path in files_of(source):
            yield str(path), _read(path, note)


def _read(path: Path, note: Callable[[bytes], None]) -> bytes:
    with reading(path):
        data = path.read_bytes()
        note(data)
        return unpacked(data, str(path))


def files_of(source: str | os.PathLike[str]) -> list[Path]:
    """The files of a path, a folder or a pattern.

    Args:
        source: one of these.

    Returns:
        Their paths, in the order of their names.

    Raises:
        FileNotFoundError: nothing has this name.
    """
    path = Path(source)
    if path.is_file():
        return [path]
    if path.is_dir():
        files = [file for file in path.iterdir() if file.is_file() and not file.name.startswith((".", "_"))]
        if not files:
            raise FileNotFoundError(f"{path}: found a folder without files, expected the files of a table")
        return sorted(files, key=_numbered)
    files = list(Path(path.anchor).glob(str(path.relative_to(path.anchor)))) if glob.has_magic(str(path)) else []
    if files := [file for file in files if file.is_file()]:
        return sorted(files, key=_numbered)
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    raise FileNotFoundError(f"{path}: there is no such file{nearest(path.name, beside)}")


def unpacked(data: bytes, name: str) -> bytes:
    """The content of a file that a GZ or ZIP file holds; other content as it is.

    Args:
        data: the content of a file.
        name: of the file, for the error.

    Returns:
        The content.

    Raises:
        ValueError: damaged, or an archive of several files.

    Example:
        >>> unpacked(gzip.compress(b"a,b"), "t.csv.gz")
        b'a,b'
    """
    where = f"{name}: " if name else ""
    if data.startswith(_GZIP):
        try:
            with gzip.open(io.BytesIO(data)) as stream:
                return unpacked(sizes.unpacked(stream, len(data)), name)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{where}found a damaged GZ file ({error}), expected a whole one") from None
    if not data.startswith(_ZIP):
        return data
    try:
        if format_of(data) is not None:
            return data
        members = zip_members(data)
        if len(members) != 1:
            raise ValueError(f"found a ZIP file of {shown(members) or 'nothing'}, expected one file in it; unpack it")
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(members[0]) as stream:
            return unpacked(sizes.unpacked(stream, len(data)), f"{name}/{members[0]}")
    except (zipfile.BadZipFile, RuntimeError, zlib.error, NotImplementedError) as error:
        raise ValueError(f"{where}found a ZIP file that cannot be unpacked ({error})") from None
    except ValueError as error:
        raise error if str(error).startswith(where) and where else ValueError(f"{where}{error}") from None


def nearest(name: str, names: Sequence[str]) -> str:
    """The most similar name, as the part of a sentence; nothing where none is similar.

    Example:
        >>> nearest("plant4.csv", ["plant_4.csv", "notes.txt"])
        " (nearest: 'plant_4.csv')"
    """
    by_lower = {other[:_LONGEST].lower(): other for other in names}
    found = difflib.get_close_matches(name[:_LONGEST].lower(), by_lower, n=1)
    return f" (nearest: {by_lower[found[0]]!r})" if found else ""


def _numbered(path: Path) -> list[tuple[int, str]]:
    """A key that has part_2 before part_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]
