"""``aejax inspect``: what is read of a table, before anything is trained on it."""

import dataclasses
from typing import Annotated, Any

from tyro.conf import Positional, arg

from aejax.cli.commands.command import Command
from aejax.cli.commands.options import Json, Reading
from aejax.cli.commands.results import say
from aejax.cli.commands.tables import read_table
from aejax.data.formats.options import ReadOptions

_MOST_LEVELS = 10  # of a category, that are printed


@dataclasses.dataclass(frozen=True)
class InspectCommand:
    """Print what is read of a table: header, marks, columns, and what is left out and why."""

    data: Positional[Annotated[str, arg(metavar="DATA")]]
    """File, folder of files or pattern such as 'day_*.csv'; - for standard input."""
    drop_columns: tuple[str, ...] = ()
    """Columns to leave out."""
    reading: Reading = ReadOptions()
    json: Json = False


def run(command: InspectCommand) -> None:
    """Does what the command says.

    Args:
        command: the options.

    Raises:
        ValueError: a table that cannot be read; the message says what to do.
        OSError: a file that cannot be read.
    """
    from aejax.data.formats.reading import described

    table = read_table(command.data, command.reading, command.drop_columns)
    found = described(table) | {"sha256": table.reading.sha256}
    say(found, [_text(found)], command.json)


def _text(found: dict[str, Any]) -> str:
    from aejax.reports.pages import format_table

    rows: list[tuple[object, ...]] = [("column", "unit", "kind", "lowest", "highest", "missing")]
    for column in found["columns"]:
        unit = column["unit"] or ""
        lowest, highest = ("" if column[end] is None else f"{column[end]:g}" for end in ("lowest", "highest"))
        rows.append((column["name"], unit, column["kind"], lowest, highest, f"{column['missing']:.1%}"))
    lines = [f"{found['num_rows']} rows, {len(found['columns'])} columns to model", *found["sentences"]]
    lines += [
        f"categories of {each['name']}: {_counts(each['levels'])}" for each in found["columns"] if "levels" in each
    ]
    return "\n".join([*lines, "", format_table(rows)])


def _counts(levels: dict[str, int]) -> str:
    shown = [f"{name} ({count})" for name, count in list(levels.items())[:_MOST_LEVELS]]
    return ", ".join(shown + ([f"and {len(levels) - _MOST_LEVELS} more"] if len(levels) > _MOST_LEVELS else []))


COMMANDS = {"inspect": Command(InspectCommand, run)}
