"""How a command ends: with its result or with one sentence, and with an exit code that says which."""

import contextlib
import os
import sys
import warnings
from collections.abc import Callable
from typing import TextIO

from aejax.artefacts.outside import explained, shortened

_PARTS = (ValueError, OSError, RuntimeError, ImportError)  # whose sentences are for users


def exit_code(command: Callable[[], int], is_debug: bool = False) -> int:
    """Runs a command; what it raises becomes a sentence on standard error.

    Args:
        command: returns its exit code.
        is_debug: whether an error is raised as it is.

    Returns:
        That of the command; 1 for an error, 130 after Ctrl-C, 0 where the reader of standard output has gone.

    Raises:
        SystemExit: the words were no command.
    """
    _open_closed_streams()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _as_note
            code = command()
        _flush()
    except KeyboardInterrupt as interrupt:
        code = _say(str(interrupt) or "interrupted", 130)
    except BrokenPipeError:
        code = 0  # the reader of our standard output (head, say) has gone; nothing is left to say to it
    except Exception as error:
        if is_debug:
            raise
        code = _say(f"error: {in_words(error)}", 1)
    _drop_what_cannot_be_written()
    return code


def in_words(error: Exception) -> str:
    """An error as a user reads it.

    Args:
        error: of any type.

    Returns:
        A sentence of at most 500 characters.

    Example:
        >>> in_words(ValueError("rate: found 2")), in_words(MemoryError())
        ('rate: found 2', 'out of memory; give fewer rows or columns, or a smaller model or batch')
    """
    text = str(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        said = f" ({shortened(text, 200)})" if text else ""
        return f"out of memory{said}; give fewer rows or columns, or a smaller model or batch"
    if isinstance(error, _PARTS) and text:
        return shortened(explained(error) if isinstance(error, OSError) else text)
    said = f": {shortened(text, 300)}" if text else ""
    return f"{type(error).__name__}{said} (--debug shows where it happened)"


def _open_closed_streams() -> None:
    """Gives closed streams a place, or the next file that is opened takes it and gets what is printed.

    What is written to standard output is refused then, so that no result is lost in silence.
    """
    for name, mode, access in (
        ("stdin", "r", os.O_WRONLY),
        ("stdout", "w", os.O_RDONLY),
        ("stderr", "w", os.O_WRONLY),
    ):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, access), mode, encoding="utf-8"))
        elif name == "stdout" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names of files may be no text


def _as_note(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    if issubclass(category, RuntimeWarning):  # of NumPy, on numbers that are refused or named elsewhere
        return
    _print(f"note: {shortened(str(message))}")


def _say(text: str, code: int) -> int:
    _print(f"aejax: {shortened(text)}")
    return code


def _print(text: str) -> None:
    with contextlib.suppress(OSError):  # standard error may be full or gone, which costs nobody his result
        print(text, file=sys.stderr, flush=True)


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


def _drop_what_cannot_be_written() -> None:
    """What is left for a stream that takes nothing would be an error of Python's own at its end."""
    streams: tuple[TextIO, ...] = (sys.stdout, sys.stderr)
    for stream in streams:
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
