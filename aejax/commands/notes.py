"""What the commands say beside their results."""

import sys


def note(text: str, quiet: bool) -> None:
    """Prints a note to standard error.

    Args:
        text: one line.
        quiet: whether the command was asked to say nothing but results and errors.
    """
    if not quiet:
        print(f"note: {text}", file=sys.stderr)
