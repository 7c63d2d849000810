"""How much a file may claim to hold: it is checked before the memory is taken."""

import gzip
import io
import lzma
import math
import zipfile
from typing import IO

import numpy as np

_ALWAYS = 1 << 27  # bytes that any file may hold
_MOST_TIMES = 50  # so many times its own size a packed file may hold; tables are packed some ten times


class TooLargeError(ValueError):
    """A file claims to hold more than it can."""


def most_bytes(packed: int, times: int = _MOST_TIMES) -> int:
    """How many bytes a packed file may hold.

    Args:
        packed: its own size in bytes.
        times: so many times as many, at least.

    Returns:
        Bytes; 128 MiB for a small file.
    """
    return max(_ALWAYS, times * packed)


def check_packed(size: int, packed: int, times: int = _MOST_TIMES) -> None:
    """Refuses what would be out of all proportion to its file, as a damaged or malicious one is.

    Args:
        size: what it claims to hold, in bytes.
        packed: the size of the file.
        times: as in ``most_bytes``.

    Raises:
        TooLargeError: it claims more than ``most_bytes``.

    Example:
        >>> check_packed(10**12, 1000)
        Traceback (most recent call last):
        aejax.artefacts.sizes.TooLargeError: found a file of 1000 bytes that claims to hold 1e+12, expected ...
    """
    most = most_bytes(packed, times)
    if size > most:
        raise TooLargeError(
            f"found a file of {packed} bytes that claims to hold {size:.3g}, expected at most {most:.3g}; if that is "
            "right, unpack it, or save it without compression"
        )


def unpacked(stream: IO[bytes] | gzip.GzipFile, packed: int) -> bytes:
    """What a stream unpacks, and no more than it may hold.

    Args:
        stream: such as ``gzip.GzipFile``.
        packed: the size of the file.

    Returns:
        All of it.

    Raises:
        TooLargeError: it goes on beyond ``most_bytes``.
    """
    most = most_bytes(packed)
    data = stream.read(most + 1)
    if len(data) > most:
        raise TooLargeError(f"found a packed file of {packed} bytes that holds more than {most:.3g}; unpack it first")
    return data


def check_archive(archive: zipfile.ZipFile, packed: int) -> None:
    """Refuses a ZIP archive by the sizes in its directory.

    Args:
        archive: the archive.
        packed: the size of the file.

    Raises:
        ValueError: its members claim to hold more than ``most_bytes``.
    """
    check_packed(sum(member.file_size for member in archive.infolist()), packed)


def header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and the type of an array of NumPy, once it is sure that the file holds as much.

    Args:
        file: of an NPY file, at its beginning.
        size: of the whole file in bytes.

    Returns:
        Shape and type; the file is read up to the first number.

    Raises:
        ValueError: no header of NumPy, or one that claims more than follows.

    Example:
        >>> file = io.BytesIO()
        >>> np.save(file, np.zeros((2, 3)))
        >>> header(io.BytesIO(file.getvalue()), len(file.getvalue()))
        ((2, 3), dtype('float64'))
    """
    shape, dtype, _ = layout(file, size)
    return shape, dtype


def layout(file: IO[bytes], size: int) -> tuple[tuple[int, ...], np.dtype, bool]:
    """The same, and whether the numbers of a column, not of a row, stand together.

    Args:
        file: as for ``header``.
        size: as for ``header``.

    Returns:
        Shape, type, and whether the array is in the order of Fortran.

    Raises:
        ValueError: as ``header``.
    """
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_by_columns, dtype = read(file)
    claimed, left = math.prod(shape) * max(dtype.itemsize, 1), size - file.tell()
    if any(length < 0 for length in shape) or (claimed > left and not dtype.hasobject):
        raise ValueError(f"found an array {shape} of {dtype} in {left} bytes, expected one that fits; it is damaged")
    return shape, dtype, is_by_columns


def headers(archive: zipfile.ZipFile | None, packed: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shapes and types of the arrays in an NPZ file; none of them is read.

    Args:
        archive: the file.
        packed: its size in bytes.

    Returns:
        Both by the name of each array.

    Raises:
        ValueError: as ``header`` and ``check_archive``.
    """
    assert archive is not None  # an NpzFile that is closed has none
    check_archive(archive, packed)
    found = {}
    for member in archive.infolist():
        if member.filename.endswith(".npy"):
            with archive.open(member) as file:
                found[member.filename.removesuffix(".npy")] = header(file, member.file_size)
    return found


def unpacked_xz(data: bytes) -> bytes:
    """The content of an XZ file.

    Args:
        data: the file.

    Returns:
        What it holds.

    Raises:
        ValueError, lzma.LZMAError: it holds more than ``most_bytes``, or is damaged.
    """
    with lzma.open(io.BytesIO(data)) as stream:
        return unpacked(stream, len(data))
