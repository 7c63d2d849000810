"""The table that a command is given."""

import dataclasses
import io
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from aejax.data.formats.options import ReadOptions

if TYPE_CHECKING:
    from aejax.data.formats.tables import Table
    from aejax.tables.config import TrainConfig
    from aejax.tables.large import LargeTable


def read_table(
    path: str,
    options: ReadOptions,
    drop_columns: Sequence[str] = (),
    columns: Sequence[str] | None = None,
    conditions: Sequence[str] = (),
    notice: Callable[[str], None] = lambda text: None,  # noqa: ARG005
) -> "Table":
    """A table, and what was read of it said.

    Args:
        path: of a file, a folder or a pattern of names; - for standard input.
        options: how it is read.
        drop_columns: columns to leave out.
        columns: those of training, which are looked for; all if None.
        conditions: columns that are kept though they behave as a clock does, such as the hour.
        notice: takes what was read, a line each.

    Returns:
        The Table.
    """
    from aejax.data.formats import tables

    content = sys.stdin.buffer.read() if path == "-" else None

    def read(options: ReadOptions) -> "Table":
        return tables.read_table(path if content is None else io.BytesIO(content), options, columns, drop_columns)

    table = read(options)
    if asked := tuple(name for name in conditions if name in table.left_out):
        table = read(dataclasses.replace(options, keep_columns=(*options.keep_columns, *asked)))
    _say(table, columns, notice)
    return table


def read_training_table(
    path: str, config: "TrainConfig", columns: Sequence[str] | None, notice: Callable[[str], None]
) -> "Table | LargeTable":
    """The same of a table to train on, whose rows stay in the files where they are many.

    Args:
        path: as in ``read_table``.
        config: the TrainConfig.
        columns: those of a run that is resumed; None for a new one.
        notice: takes what was read, a line each.

    Returns:
        The Table, or a LargeTable.
    """
    from aejax.tables.large import read_large

    table = read_large(path, config, columns)
    if table is None:
        return read_table(path, config.reading, config.drop_columns, columns, config.condition_columns, notice)
    _say(table, columns, notice)
    return table


def _say(table: "Table | LargeTable", columns: Sequence[str] | None, notice: Callable[[str], None]) -> None:
    # Of new data only what is out of the ordinary is said: the model says which columns it does not use.
    for line in table.reading.sentences() if columns is None else table.reading.notes:
        notice(line)
