"""From the columns of a table to scaled rows and conditions."""

from collections.abc import Sequence

import numpy as np

from aejax.base import Batch
from aejax.data.batches import check_range
from aejax.data.columns import categories
from aejax.data.columns.features import Coding, coded
from aejax.data.columns.kinds import CATEGORY, Column
from aejax.data.formats.table_files.registry import shown
from aejax.data.formats.tables import Selection, Table
from aejax.data.formats.texts import texts_of_numbers
from aejax.tables.config import TrainConfig
from aejax.tables.profiles import Notice as Notice
from aejax.tables.run import Run, Source


def check_columns(table: Table, config: TrainConfig) -> tuple[str, ...]:
    """The modelled columns, once it is sure that the named ones are there and that all hold values."""
    for name in config.condition_columns:
        if name not in table.columns:
            raise ValueError(f"condition_columns: found no column {name!r}, expected one of {', '.join(table.columns)}")
    columns = tuple(name for name in table.columns if name not in config.condition_columns)
    if len(columns) < 2:
        raise ValueError(
            f"found {len(columns)} column(s) to model ({', '.join(columns) or 'none'}), expected at least two"
        )
    empty = chosen_names(np.isnan(table.values).all(axis=0), table.columns)
    if empty:
        raise ValueError(
            f"column {', '.join(map(repr, empty))} holds no value at all; leave it out with --drop-columns "
            + " ".join(empty)
        )
    if config.gross_errors == "keep":  # else one so large is left out as such an error
        check_range(table.values, table.columns)
    return columns


def select(values: np.ndarray, source: Source, config: TrainConfig) -> tuple[np.ndarray, np.ndarray]:
    """Splits the values of a table, in the order of the source's columns, into modelled ones and conditions."""
    if not config.condition_columns:
        return values, values[:, :0]
    is_condition = np.array([name in config.condition_columns for name in source.columns], bool)
    order = [source.columns.index(name) for name in config.condition_columns]
    return values[:, ~is_condition], values[:, order]


def with_known_levels(selected: Selection, names: Sequence[str], columns: Sequence[Column]) -> np.ndarray:
    """The values of columns in which the levels of categories have the numbers that they had in training.

    Args:
        selected: (n, c) columns.
        names: of the columns.
        columns: what is known of them.

    Returns:
        (n, c).

    Raises:
        ValueError: categories in a column that was one of numbers.
    """
    values = selected.values
    if all(column.kind != CATEGORY for column in columns) and not selected.categories:
        return values
    values = np.array(values)
    for place, (name, column) in enumerate(zip(names, columns, strict=True)):
        texts, numbers = selected.categories.get(name), values[:, place]
        if column.kind != CATEGORY and texts is not None:
            raise ValueError(
                f"column {name!r}: found categories ({shown(texts, 3)}), expected numbers as in training; give "
                "read_table or as_table the run's columns and config.reading"
            )
        if column.kind == CATEGORY:
            if texts is None:  # values that were never text
                found, places = np.unique(texts_of_numbers(numbers), return_inverse=True)
                texts, numbers = tuple(found.tolist()), np.where(np.isnan(numbers), np.nan, places)
            values[:, place] = categories.numbers_of(texts, numbers, column.facts["levels"])
    return values


def scaled_batch(x: np.ndarray, cond: np.ndarray, coding: Coding, cond_coding: Coding) -> Batch:
    """Rows and conditions as a model is given them; NaN where missing, zeros for a condition never seen in training."""
    scaled_cond = np.nan_to_num(coded(cond_coding, cond)) if cond.shape[1] else None
    return Batch(coded(coding, x), cond=scaled_cond)  # type: ignore[arg-type]


def has_conditions(cond: np.ndarray, config: TrainConfig, notice: Notice) -> np.ndarray:
    """(n,) bool, the rows whose conditions are all known; says how many are not."""
    is_known: np.ndarray = ~np.isnan(cond).any(axis=1)
    say_skipped(int(is_known.sum()), len(cond), config, notice)
    return is_known


def say_skipped(num_known: int, num_rows: int, config: TrainConfig, notice: Notice) -> None:
    """Says how many rows have no value in a condition column; refuses a table of which no row has all of them."""
    if not num_known:
        raise ValueError(f"condition columns {', '.join(config.condition_columns)}: found no row with a value in each")
    if num_known < num_rows:
        notice(
            f"{num_rows - num_known} of {num_rows} rows are skipped: they have no value in a condition column "
            f"({', '.join(config.condition_columns)})"
        )


def say_rate(rate: float, num_calibration: int, notice: Notice) -> None:
    """Says where there are too few calibration rows for a false alarm rate."""
    smallest = 1 / (num_calibration + 1)
    if rate < smallest:
        notice(
            f"{num_calibration} calibration rows are too few for a false alarm rate of {rate:g}: no score is flagged "
            f"below a rate of {smallest:.3g}"
        )


def say_divergence(run: Run, notice: Notice) -> None:
    """Says that a run's training diverged, if it did.

    Args:
        run: the Run.
        notice: takes what a user should know.
    """
    if run.diverged:
        notice(f"the run's training diverged, and its results are those of an early stage: {run.diverged}")


def as_columns(run: Run, x: np.ndarray, cond: np.ndarray | None) -> dict[str, np.ndarray]:
    """Rows by the name of their column, categories as texts.

    Args:
        run: the Run.
        x: (n, c) modelled columns.
        cond: (n, k) conditions, None for a run without.

    Returns:
        The columns of the table, in its order.
    """
    by_name = dict(zip(run.columns, x.T, strict=True))
    if cond is not None:
        by_name |= dict(zip(run.config.condition_columns, cond.T, strict=True))
    return {
        name: categories.texts_of(by_name[name], column.facts["levels"]) if column.kind == CATEGORY else by_name[name]
        for name, column in run.column_kinds.items()
    }


def chosen_names(chosen: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """The names of which ``chosen`` is true."""
    return [name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen]
