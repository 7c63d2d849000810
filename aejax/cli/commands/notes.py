"""What the commands say beside their results."""

import contextlib
import sys
import warnings
from collections.abc import Iterator

from aejax.artefacts.outside import shortened


def note(text: str, quiet: bool) -> None:
    """Prints a note to standard error.

    Args:
        text: one line.
        quiet: whether the command was asked to say nothing but results and errors.
    """
    if not quiet:
        with contextlib.suppress(OSError):  # standard error may be full or gone
            print(f"note: {shortened(text)}", file=sys.stderr)


@contextlib.contextmanager
def warnings_noted(quiet: bool) -> Iterator[None]:
    """Makes notes of what the library warns of inside the block.

    Args:
        quiet: as in ``note``.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        note(str(warning.message), quiet)
