"""Which encoding the bytes of a text are in."""

import codecs

_PIECE = 1 << 20
_MARK = b"\xef\xbb\xbf"


def as_utf8(data: bytes) -> tuple[bytes, str]:
    r"""The bytes of a text in UTF-8, with lines that end with ``\n`` or ``\r\n``.

    UTF-8 and UTF-16 are recognised with or without their mark; other bytes are those of older Windows programs.

    Args:
        data: the bytes of a text.

    Returns:
        The bytes without a mark, and the name of the encoding that they had.

    Raises:
        ValueError: damaged UTF-16, or no text at all.

    Example:
        >>> as_utf8("T [°C]".encode("utf-16"))
        (b'T [\xc2\xb0C]', 'UTF-16')
        >>> as_utf8(b"T [\xb0C]")
        (b'T [\xc2\xb0C]', 'Windows-1252')
    """
    sixteen = _sixteen_bits(data)
    if sixteen:
        try:
            text, encoding = data.decode(sixteen), sixteen[:6].upper()
        except UnicodeDecodeError:
            raise ValueError(
                f"found damaged {sixteen[:6].upper()} text, expected whole characters; save the file as UTF-8"
            ) from None
        data = text.removeprefix("\ufeff").encode(errors="replace")
    else:
        head = data[:4096]
        if b"\0" in head.rstrip(b"\0") or (b"\0" in head and b"\n" not in head):
            raise BinaryError
        encoding = "UTF-8"
        data = data.removeprefix(_MARK)
        if not data.isascii():
            if b"\n" + _MARK in data or data.startswith(_MARK):  # of files that were put one behind the other
                data = data.removeprefix(_MARK).replace(b"\n" + _MARK, b"\n")
            try:
                _check_utf8(data)
            except UnicodeDecodeError:  # a degree sign in a header is enough
                data, encoding = data.decode("cp1252", errors="replace").encode(), "Windows-1252"
    if b"\r" in data[:4096] or b"\r" in data[-4096:]:
        # Excel writes \r alone inside quotes, and older Macs at the end of each line.
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data, encoding


class BinaryError(ValueError):
    """The bytes are no text."""


def _check_utf8(data: bytes) -> None:
    """Raises UnicodeDecodeError; piece by piece, since the characters of a text take more memory than its bytes."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for begin in range(0, len(data), _PIECE):
        decoder.decode(data[begin : begin + _PIECE])
    decoder.decode(b"", final=True)


def _sixteen_bits(data: bytes) -> str | None:
    """UTF-16, or UTF-32 with its mark."""
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    head = data[:2048]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if len(head) >= 4 and max(even, odd) > 0.7 * (len(head) // 2) and min(even, odd) == 0:
        return "utf-16-le" if odd > even else "utf-16-be"
    return None
