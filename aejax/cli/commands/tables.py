"""The table that a command is given."""

import contextlib
import dataclasses
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
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


@contextlib.contextmanager
def training_table(
    path: str, config: "TrainConfig", columns: Sequence[str] | None, folder: Path, notice: Callable[[str], None]
) -> Iterator["Table | LargeTable"]:
    """The same of a table to train on, whose rows stay in the files where they are many.

    The rows of large CSV files are copied to a Parquet file, which is there as long as the table is in use.

    Args:
        path: as in ``read_table``.
        config: the TrainConfig.
        columns: those of a run that is resumed; None for a new one.
        folder: for the copy.
        notice: takes what was read, a line each.

    Yields:
        The Table, or a LargeTable.
    """
    from aejax.artefacts.writing import passing_path
    from aejax.tables.large import read_large

    copies: list[Path] = []
    with contextlib.ExitStack() as in_use:

        def copy() -> Path:
            copies.append(in_use.enter_context(passing_path(folder, ".parquet")))
            return copies[0]

        table: Table | LargeTable | None = read_large(path, config, columns, copy=copy)
        if table is None:
            table = read_table(path, config.reading, config.drop_columns, columns, config.condition_columns, notice)
        else:
            _say(table, columns, notice)
        for name in copies:
            size = name.stat().st_size / 1e6
            notice(f"the rows were copied to {folder}, {size:.0f} MB of Parquet, which are deleted after the training")
        yield table


def _say(table: "Table | LargeTable", columns: Sequence[str] | None, notice: Callable[[str], None]) -> None:
    # Of new data only what is out of the ordinary is said: the model says which columns it does not use.
    for line in table.reading.sentences() if columns is None else table.reading.notes:
        notice(line)
