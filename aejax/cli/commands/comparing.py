"""``aejax compare``: how like new rows are to real ones."""

import dataclasses
import functools
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from aejax.cli.commands.command import Command
from aejax.cli.commands.notes import note
from aejax.cli.commands.options import Json, Quiet, Reading
from aejax.cli.commands.results import say
from aejax.cli.commands.tables import read_table
from aejax.data.formats.options import ReadOptions, with_categories

if TYPE_CHECKING:
    from aejax.tables.likeness.comparison import Comparison


@dataclasses.dataclass(frozen=True)
class CompareCommand:
    """Say how like new rows are to real ones, beside the same figures of other real rows."""

    real: Positional[Annotated[str, arg(metavar="REAL")]]
    """Table of real rows: those that the new ones were learned from."""
    new: Positional[Annotated[str, arg(metavar="NEW")]]
    """Table of new rows, with the same columns."""
    held_out: str | None = None
    """Table of real rows that nothing was learned from; without it the real ones are parted in two."""
    target: str | None = None
    """Column to be learned from the others, on new rows and on real ones."""
    drop_columns: tuple[str, ...] = ()
    """Columns to leave out."""
    reading: Reading = ReadOptions()
    seed: int = 0
    """Of the rows that are drawn where there are more of one table."""
    json: Json = False
    quiet: Quiet = False


def run(command: CompareCommand) -> None:
    """Does what the command says.

    Args:
        command: the options.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: tables that cannot be read or compared.
        OSError: a file that cannot be read.
    """
    from aejax.tables.likeness.comparison import as_json, compare

    notice = functools.partial(note, quiet=command.quiet)
    real = read_table(command.real, command.reading, command.drop_columns, notice=notice)
    alike = with_categories(command.reading, real.categories)
    new = read_table(command.new, alike, command.drop_columns, real.columns, notice=notice)
    held_out = None
    if command.held_out is not None:
        held_out = read_table(command.held_out, alike, command.drop_columns, real.columns, notice=notice)
    found = compare(real, new, held_out, command.target, command.seed, notice)
    say(as_json(found), [_text(found)], command.json)


def _text(found: "Comparison") -> str:
    from aejax.reports.pages import format_table

    figures = [(each.name, each.new, each.real, each.best) for each in found.figures]
    columns = [(name, *errors) for name, errors in found.by_column.items()]
    pairs = [(f"{first}, {second}", new, real) for first, second, new, real in found.worst_pairs]
    return "\n\n".join(
        [
            f"{found.num_rows} new rows, and as many real ones in their place",
            format_table([("figure", "new rows", "real rows", "at best"), *figures]),
            format_table([("error of column", "new rows", "real rows"), *columns]),
            *([format_table([("worst pairs, error", "new rows", "real rows"), *pairs])] if pairs else []),
        ]
    )


COMMANDS = {"compare": Command(CompareCommand, run)}
