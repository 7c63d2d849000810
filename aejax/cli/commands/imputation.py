"""``aejax impute``: fill the missing cells of a table."""

import dataclasses
import functools
from pathlib import Path

from tyro.conf import Positional

from aejax.cli.commands.notes import note
from aejax.cli.commands.options import Json, KeepFormulas, Quiet, Reading
from aejax.cli.commands.results import say
from aejax.cli.commands.tables import read_table
from aejax.data.formats.options import ReadOptions


@dataclasses.dataclass(frozen=True)
class ImputeCommand:
    """Fill the missing cells of a table from what the other cells of their rows say."""

    data: Positional[str]
    """File with the table, a folder or a pattern of files; - for standard input."""
    out: Path
    """File to write: the same columns, what was observed unchanged."""
    spread: Path | None = None
    """File to write with the standard deviation of what was filled in; 0 where a value was observed."""
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


def run(command: ImputeCommand) -> None:
    """Fits an imputer to a part of the rows, measures it on the others, and fills the whole table."""
    import jax
    import numpy as np

    from aejax.artefacts import storage
    from aejax.data.formats.tables import check_numbers, write_table
    from aejax.tasks.imputation import evaluate_imputer, fit_imputer, impute

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
    found = impute(draw_key, imputer, table.values)
    for path, values in ((command.out, found.x), (command.spread, found.std)):
        if path is not None:
            columns = {**table.labels, **dict(zip(table.columns, values.T, strict=True))}
            write_table(path, columns, keep_formulas=command.keep_formulas)
    written = [str(path) for path in (command.out, command.spread) if path is not None]
    lines = [f"{name}: {value:.4g}" for name, value in figures.items()] + [f"written to {path}" for path in written]
    say({"figures": figures, "written": written}, lines, command.json)
