"""``aejax augment``: new rows of the rare levels of a column."""

import dataclasses
import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from aejax.cli.commands.command import Command
from aejax.cli.commands.notes import note
from aejax.cli.commands.options import Json, KeepFormulas, Quiet, Reading
from aejax.cli.commands.results import say
from aejax.cli.commands.tables import read_table
from aejax.data.formats.options import ReadOptions, with_categories

if TYPE_CHECKING:
    import numpy as np

    from aejax.data.formats.tables import Table


@dataclasses.dataclass(frozen=True)
class AugmentCommand:
    """Write new rows of the rare levels of a column, as many as make all levels equally frequent."""

    data: Positional[str]
    """File with the table, a folder or a pattern of files; - for standard input."""
    target: Annotated[str, arg(metavar="COLUMN")]
    """Column whose levels are to be equally frequent: a grade, a fault, a class."""
    out: str
    """File to write: new rows alone, the same columns; - for standard output."""
    levels: tuple[str, ...] = ()
    """Levels to draw rows of; all but the most frequent one by default."""
    run: Path | None = None
    """Folder to keep the trained run in; none is kept by default."""
    held_out: str | None = None
    """Table of real rows that nothing is learned from: says what trees learn with the new rows, and without."""
    flow_steps: int | None = None
    """Steps of the flow's training; by the number of rows by default."""
    drop_columns: tuple[str, ...] = ()
    """Columns to leave out."""
    reading: Reading = ReadOptions()
    seed: int = 0
    """Of the training and the draws."""
    keep_formulas: KeepFormulas = False
    json: Json = False
    quiet: Quiet = False


def run(command: AugmentCommand) -> None:
    """Does what the command says.

    Args:
        command: the options.

    Raises:
        ImportError: with ``held_out``, scikit-learn is not installed.
        ValueError: a table that cannot be read, or a column whose levels cannot be made even.
        OSError: a file that cannot be read or written.
    """
    from aejax.artefacts import storage
    from aejax.data.formats.tables import write_table
    from aejax.tables.augmentation import augment

    notice = functools.partial(note, quiet=command.quiet)
    if command.out != "-":
        storage.check_no_input(Path(command.out), command.data)
    told = with_categories(command.reading, [command.target])
    table = read_table(command.data, told, command.drop_columns, notice=notice)
    with tempfile.TemporaryDirectory() as folder:
        rows = augment(
            table,
            command.target,
            command.run or Path(folder) / "run",
            levels=command.levels or None,
            seed=command.seed,
            num_steps=command.flow_steps,
            progress=not command.quiet,
            notice=notice,
        )
    figures = {} if command.held_out is None else _gain(command, table, rows)
    write_table(command.out, rows, keep_formulas=command.keep_formulas)
    if command.out == "-":
        return
    num_rows = len(rows[command.target])
    lines = [f"{name}: {value:.4g}" for name, value in figures.items()]
    written = {"figures": figures, "num_rows": num_rows, "written": command.out}
    say(written, [*lines, f"{num_rows} new rows written to {command.out}"], command.json)


def _gain(command: AugmentCommand, table: "Table", rows: "dict[str, np.ndarray]") -> dict[str, float]:
    """What trees learn of the target, without and with the new rows, on rows held out."""
    from aejax.data.formats.tables import as_table
    from aejax.tables.likeness.classifiers import learned
    from aejax.tables.likeness.samples import joined, samples_of

    alike = with_categories(command.reading, table.categories)
    test = read_table(str(command.held_out), alike, command.drop_columns, table.columns)
    real, new, held_out = samples_of([table, as_table(rows, alike, table.columns), test])
    return {
        "learned from the real rows, on rows held out": learned(real, held_out, command.target),
        "learned from real and new rows": learned(joined(real, new), held_out, command.target),
    }


COMMANDS = {"augment": Command(AugmentCommand, run)}
