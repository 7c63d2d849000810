"""More rows of rare kinds: a table's column that names them becomes even."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from aejax.data.columns.categories import texts_of
from aejax.data.formats.tables import Table
from aejax.tables.codes import fit_codes
from aejax.tables.columns import Notice
from aejax.tables.config import for_new_rows
from aejax.tables.generation import generate
from aejax.tables.training import train
from aejax.training import Progress

_FEWEST_ROWS = 5


def augment(
    table: Table,
    target: str,
    folder: str | Path,
    *,
    levels: Sequence[str] | None = None,
    seed: int = 0,
    num_steps: int | None = None,
    progress: bool | Callable[[Progress], None] = False,
    notice: Notice = lambda text: None,  # noqa: ARG005
) -> dict[str, np.ndarray]:
    """New rows of the rare levels of a column: as many as make each as frequent as the most frequent one.

    A conditional VAE learns rows given the level, a flow where its codes lie given the level. What rare levels have in
    common with frequent ones is learned from all rows.

    Args:
        table: real rows.
        target: the column of categories whose levels are to be even.
        folder: of the run that is trained.
        levels: those to draw rows of; all but the most frequent one if None.
        seed: of the training and the draws.
        num_steps: of the flow's training, as in ``fit_codes``.
        progress: as in ``aejax.fit``.
        notice: takes what a user should know, a line each.

    Returns:
        The columns of the table, new rows alone, those of one level after another.

    Raises:
        ValueError: no such column of categories, one with gaps, a level that is none or that has fewer than five rows,
            or nothing to draw.
    """
    wanted = wanted_rows(table, target, levels)
    config = for_new_rows(len(table.values), model="conditional_vae", condition_columns=(target,), seed=seed)
    run = train(table, config, folder, progress=progress, notice=notice)
    codes = fit_codes(run, table, "flow", progress, num_steps)
    parts = [
        generate(run, count, {target: level}, seed + number, notice, codes)
        for number, (level, count) in enumerate(wanted.items())
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in table.columns}


def wanted_rows(table: Table, target: str, levels: Sequence[str] | None = None) -> dict[str, int]:
    """How many rows each level of a column lacks beside the most frequent one.

    Args:
        table: real rows.
        target: the column.
        levels: those that count; all if None.

    Returns:
        {level as text: number of rows}, those that lack any.

    Raises:
        ValueError: as ``augment``.

    Example:
        >>> from aejax.data.formats.tables import as_table
        >>> wanted_rows(as_table({"T": range(24), "valve": ["open"] * 17 + ["shut"] * 7}), "valve")
        {'shut': 10}
    """
    if target not in table.columns:
        raise ValueError(f"target: found no column {target!r}, expected one of {', '.join(table.columns)}")
    values = table.values[:, table.columns.index(target)]
    if np.isnan(values).any():
        raise ValueError(
            f"target: found {np.isnan(values).sum()} empty cells in {target}, expected a level in each row"
        )
    if target not in table.categories:
        raise ValueError(
            f"target: found numbers in {target}, expected categories; read it with kinds={target}=category"
        )
    names, counts = np.unique(texts_of(values, table.categories[target]), return_counts=True)
    known = {str(name): int(count) for name, count in zip(names, counts, strict=True)}
    chosen = list(known) if levels is None else list(levels)
    if unknown := [level for level in chosen if level not in known]:
        raise ValueError(f"levels: found {', '.join(unknown)}, expected levels of {target}: {', '.join(known)}")
    lacking = {level: max(known.values()) - known[level] for level in chosen if known[level] < max(known.values())}
    if not lacking:
        raise ValueError(f"target: found all chosen levels of {target} equally frequent, expected a rarer one")
    if few := [level for level in lacking if known[level] < _FEWEST_ROWS]:
        raise ValueError(
            f"target: found fewer than {_FEWEST_ROWS} rows of {', '.join(few)}, expected more of them to learn from; "
            "leave them out by levels"
        )
    return lacking
