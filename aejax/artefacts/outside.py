"""What comes from outside: whatever goes wrong while it is read becomes one short sentence that names it."""

import contextlib
import os
import re
from collections.abc import Iterator

LONGEST = 500  # characters of a message
_END = 150  # of which the remedy, which stands last, is kept
# What a terminal would obey, and what no encoding has: controls but the line end, lone surrogates, marks of direction.
_UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


@contextlib.contextmanager
def reading(where: str | os.PathLike[str]) -> Iterator[None]:
    """Turns whatever is raised inside into a sentence with the name of what is read.

    Args:
        where: the file or folder; "" for one without a name.

    Raises:
        ValueError: it is damaged or does not fit; the error that was raised is its cause.
        OSError: the system could not read it.
        MemoryError: it is too large.

    Example:
        >>> with reading("table.csv"):
        ...     [][0]
        Traceback (most recent call last):
        ValueError: table.csv: found what cannot be read (IndexError: list index out of range)
    """
    try:
        yield
    except ImportError:  # of a library that a format needs: the sentence says how to install it
        raise
    except MemoryError as error:
        raise MemoryError(_named(where, "found more than the memory holds, expected a smaller file")) from error
    except Exception as error:
        if isinstance(error, OSError) and (error.errno is not None or isinstance(error, FileNotFoundError)):
            raise
        text = _named(where, explained(error))
        if isinstance(error, ValueError) and text == str(error):
            raise
        raise ValueError(text) from error


def explained(error: BaseException) -> str:
    """An error in words.

    Args:
        error: of any type.

    Returns:
        What it says, if its type is one whose sentences are for users; else the type as well.

    Example:
        >>> explained(KeyError("train")), explained(ValueError("found 3, expected 4"))
        ("it has no 'train'", 'found 3, expected 4')
    """
    if isinstance(error, OSError) and error.strerror:
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return f"{where}{error.strerror[:1].lower()}{error.strerror[1:]}"
    if isinstance(error, KeyError):
        return f"it has no {error}"
    if isinstance(error, RecursionError):
        return "found what is nested too deeply, expected a few levels"
    if isinstance(error, ValueError | OSError) and str(error):
        return str(error)
    said = f": {error}" if str(error) else ""
    return f"found what cannot be read ({type(error).__name__}{said})"


def shortened(text: str, longest: int = LONGEST) -> str:
    r"""A text as it may be shown: at most so many characters, its end kept, and nothing that a terminal would obey.

    Args:
        text: any text.
        longest: the most characters.

    Returns:
        The text.

    Example:
        >>> shortened("a\x1b[2Jb"), len(shortened("a" * 9000))
        ('a\\x1b[2Jb', 500)
    """
    return _cut(_UNSEEN.sub(_escaped, _cut(text, longest)), longest)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - _END - 5]} ... {text[-_END:]}"


def _named(where: str | os.PathLike[str], text: str) -> str:
    name = os.fspath(where)
    text = text.replace("\n", " ")
    return shortened(text if not name or name in text else f"{name}: {text}")


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
