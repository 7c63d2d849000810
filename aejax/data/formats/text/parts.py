"""A long delimited text in parts: each is read as a text of its own, below the header of all of them."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from aejax.data.formats.options import ReadOptions, checked
from aejax.data.formats.table_files.registry import UNSEEN, Content, Parts, WholeError
from aejax.data.formats.text.dialect import Dialect, find_dialect
from aejax.data.formats.text.encoding import BinaryError, as_utf8
from aejax.data.formats.text.reader import TAKEN, read_text

_HEAD = 1 << 18  # as much as the dialect is found in
# A word for true is a number only where nothing but 0 and 1 stands in its column, anywhere in the file.
_PARTS_OF_BOOLEANS = (b"rue", b"RUE", b"alse", b"ALSE")


def parts_of_text(path: Path, options: ReadOptions, size: int) -> Parts | None:
    """A text, some rows at a time.

    Args:
        path: the file.
        options: what is known of it.
        size: bytes of a part, about.

    Returns:
        The Parts; None for a text that is not in an encoding of single bytes or in UTF-8.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    head = head[: head.rfind(b"\n") + 1]
    try:
        text, _ = as_utf8(head)
        dialect = find_dialect(text, options)
    except (BinaryError, ValueError):
        return None
    if b"\0" in head or head.count(b"\n") <= dialect.first:
        return None
    above = b"".join(line + b"\n" for line in head.split(b"\n")[: dialect.first])

    def contents() -> Iterator[Content]:
        first: Content | None = None
        told = options
        notes: tuple[str, ...] = ()
        guessed: list[str] = []
        for part in _cut(path, size):
            if notes:
                raise WholeError(f"{notes[0]}: found above other rows")
            if any(word in part for word in _PARTS_OF_BOOLEANS):
                raise WholeError("found words for true and false, whose meaning all rows decide")
            content = read_text(part if first is None else above + part, told)
            # What is said of the rows themselves may be said of the last ones alone.
            own = [note for note in content.notes if note not in dialect.notes]
            marks = [note for note in own if TAKEN in note]
            notes = tuple(note for note in own if note not in marks)
            if first is None:
                first, told, guessed = content, _told(options, dialect), marks
                # Where it is a guess, each part is asked for a cell that decides.
                told = dataclasses.replace(told, decimal=options.decimal) if guessed else told
            elif guessed and content.dialect["decimal mark"] != UNSEEN:
                raise WholeError("found a decimal mark below rows that show none")
            else:  # it was said of the first rows
                content = content._replace(notes=tuple(note for note in content.notes if note not in marks))
            yield content._replace(dialect=_agreed(first, content, options))

    return Parts(path.stat().st_size, contents, not options.keep_totals)


def _told(options: ReadOptions, dialect: Dialect) -> ReadOptions:
    """The options by which rows further down are read as the first ones are: with a point where these do not tell."""
    header_row = 0 if dialect.header is None else dialect.header + 1
    decimal = dialect.marks.decimal or "."
    told = dataclasses.replace(options, separator=dialect.separator, header_row=header_row, decimal=decimal)
    return checked(told)


def _agreed(first: Content, content: Content, options: ReadOptions) -> dict[str, str]:
    """The dialect of all parts; refuses one that is written otherwise."""
    dialect = dict(content.dialect)
    is_read_alike = dialect["decimal mark"] == "point" and options.usual_decimal in (None, ".")
    if first.dialect["decimal mark"] == UNSEEN and is_read_alike:
        dialect["decimal mark"] = UNSEEN
    if dialect != dict(first.dialect):
        raise WholeError(f"found {dialect}, expected {dict(first.dialect)} as above")
    return dialect


def _cut(path: Path, size: int) -> Iterator[bytes]:
    """The text in pieces that end with a row; the last one is no shorter than half of the others."""
    with path.open("rb") as file:
        piece = file.read(max(size, _HEAD))  # in which the dialect is found, as in the whole
        while piece:
            below = file.read(size)
            if len(below) < size // 2:
                yield piece + below
                return
            end = _end_of_row(piece)
            yield piece[:end]
            piece = piece[end:] + below


def _end_of_row(piece: bytes) -> int:
    """Where the last row ends: at the last line end that is not between quotes."""
    end = piece.rfind(b"\n") + 1
    while end and piece.count(b'"', 0, end) % 2:
        end = piece.rfind(b"\n", 0, end - 1) + 1
    if not end:
        raise WholeError("found no end of a row in a part")
    return end
