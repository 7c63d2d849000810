"""What a command of the command line is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Command(NamedTuple):
    """Options and what is done with them.

    Attributes:
        options: a dataclass; its docstring is the help.
        run: takes the options; returns the exit code, None for 0.
        folder: of the options, the folder that is written, if any: it is locked before anything is read.
        defaults: of the words, the options where they say nothing; those of the dataclass by default.
    """

    options: type
    run: Callable[[Any], int | None]
    folder: Callable[[Any], Path | None] | None = None
    defaults: Callable[[list[str]], Any] | None = None
