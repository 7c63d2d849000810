"""``aejax impute``: fill the missing cells of a table."""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from aejax.cli.commands.command import Command
from aejax.cli.commands.notes import note
from aejax.cli.commands.options import Json, KeepFormulas, Quiet, Reading
from aejax.cli.commands.results import say
from aejax.cli.commands.tables import read_table
from aejax.data.formats.options import ReadOptions

if TYPE_CHECKING:
    import numpy as np

    from aejax.data.formats.tables import Table


@dataclasses.dataclass(frozen=True)
class ImputeCommand:
    """Fill the missing cells of a table from what the other cells of their rows say."""

    data: Positional[str]
    """File with the table, a folder or a pattern of files; - for standard input."""
    out: Path
    """File to write: the same columns, what was observed unchanged."""
    spread: Path | None = None
    """File to write with the standard deviation of what was filled in; 0 where a value was observed."""
    draws: int | None = None
    """Fill the gaps so many times, each time as they may have been, not by means: all rows again for each draw, whose
    number is in a first column, draw."""
    test_share: float = 0.2
    """Share of the rows that nothing is fitted to: cells of theirs are hidden, filled and compared."""
    num_steps: int = 5000
    """Steps of training."""
    drop_columns: tuple[str, ...] = ()
    """Columns to leave out."""
    reading: Reading = ReadOptions()
    seed: int = 0
    """Of the split, the training and the draws."""
    keep_formulas: KeepFormulas = False
    json: Json = False
    quiet: Quiet = False


def columns_of(table: "Table", values: "np.ndarray") -> "dict[str, np.ndarray]":
    """The columns of a file: those that label rows, and the values."""
    return {**table.labels, **dict(zip(table.columns, values.T, strict=True))}


def run(command: ImputeCommand) -> None:
    """Fits an imputer to a part of the rows, measures it on the others, and fills the whole table."""
    import jax
    import numpy as np

    from aejax.artefacts import storage
    from aejax.data.formats.tables import check_numbers, write_table
    from aejax.tasks.imputation import evaluate_imputer, fit_imputer, impute, impute_draws

    storage.check_no_input(command.out, command.data)
    if command.spread:
        storage.check_no_input(command.spread, command.data)
    if not 0 < command.test_share < 1:
        raise ValueError(f"test_share: found {command.test_share}, expected a share between 0 and 1")
    notice = functools.partial(note, quiet=command.quiet)
    table = read_table(command.data, command.reading, command.drop_columns, notice=notice)
    check_numbers(table, "an imputer")
    split_key, fit_key, test_key, draw_key = jax.random.split(jax.random.key(command.seed), 4)
    order = np.asarray(jax.random.permutation(split_key, len(table.values)))
    test, train = np.split(order, [max(1, round(command.test_share * len(order)))])
    imputer = fit_imputer(fit_key, table.values[train], num_steps=command.num_steps, progress=not command.quiet)
    figures = evaluate_imputer(test_key, imputer, table.values[test])
    results = {}
    if command.draws is None or command.spread:
        found = impute(draw_key, imputer, table.values)
        results[command.out] = columns_of(table, found.x)
    if command.spread:
        results[command.spread] = columns_of(table, found.std)
    if command.draws is not None:
        drawn = impute_draws(draw_key, imputer, table.values, num_draws=command.draws)
        parts = [
            {"draw": np.full(len(rows), number), **columns_of(table, rows)} for number, rows in enumerate(drawn, 1)
        ]
        results[command.out] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for path, columns in results.items():
        write_table(path, columns, keep_formulas=command.keep_formulas)
    written = [str(path) for path in results]
    lines = [f"{name}: {value:.4g}" for name, value in figures.items()] + [f"written to {path}" for path in written]
    say({"figures": figures, "written": written}, lines, command.json)


COMMANDS = {"impute": Command(ImputeCommand, run)}
