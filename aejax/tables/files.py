"""Using a run on files of any size: rows are read, judged and written some at a time, to the bits of one piece."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aejax.data.formats.blocks import PART, read_blocks
from aejax.data.formats.options import ReadOptions, told_last
from aejax.data.formats.reading import Reading
from aejax.data.formats.tables import Table, read_table, write_blocks
from aejax.tables import application
from aejax.tables import survey as surveys
from aejax.tables.application import Columns, in_place, say_columns, say_conditions
from aejax.tables.columns import Notice
from aejax.tables.run import Run
from aejax.tables.survey import Survey, rows_of
from aejax.tasks.rows import rows_at_once

_TASKS: dict[str, Callable[..., application.Applied]] = {
    "encode": application.encoding,
    "reconstruct": application.reconstruction,
    "detect": application.detection,
}
_NUMBERS_ONLY = (".npy", ".npz")


class NewRows(NamedTuple):
    """Rows of files, for a run.

    Attributes:
        survey: of all of them.
        tables: gives them, some in each Table, from the first on each time it is called.
        reading: how they were read.
    """

    survey: Survey
    tables: Callable[[], Iterator[Table]]
    reading: Reading


def write_results(
    run: Run,
    task: str,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    reading: ReadOptions = ReadOptions(),
    *,
    keep_formulas: bool = False,
    notice: Notice = lambda text: None,  # noqa: ARG005
    note: Callable[[Columns], None] = lambda columns: None,  # noqa: ARG005
    size: int = PART,
    **options: Any,
) -> None:
    """Writes what ``encode``, ``reconstruct`` or ``detect`` makes of each row, beside the row's time or number.

    The results are those of the function on the whole table, bit by bit. CSV, Parquet, Feather and NPY files that are
    large are read some rows at a time, twice: first to see what all rows have a say in. CSV and Parquet are written so.

    Args:
        run: the Run.
        task: ``"encode"``, ``"reconstruct"`` or ``"detect"``.
        source: a path, a folder, a pattern, or ``"-"`` for standard input.
        out: the file to write, ``"-"`` for CSV on standard output.
        reading: how the files are read; what it leaves open is as in training.
        keep_formulas: as in ``write_table``.
        notice: takes what a user should know, a line each.
        note: takes the results, some rows at a time.
        size: bytes that are read at a time, about.
        options: of the task, such as ``false_alarm_rate``.

    Raises:
        ValueError: as ``read_table`` and the task, or a file that has changed while it was read.
        FileNotFoundError: there is no such file, or it has gone while it was read.

    Example:
        >>> import tempfile
        >>> from aejax.tables.config import TrainConfig
        >>> from aejax.tables.training import train
        >>> x = np.random.default_rng(0).normal(size=(100, 3))
        >>> folder = Path(tempfile.mkdtemp())
        >>> np.save(folder / "new.npy", x)
        >>> run = train(Table(("a", "b", "c"), x, False, ()), TrainConfig(num_epochs=1, latent_dim=1), folder / "run")
        >>> write_results(run, "detect", folder / "new.npy", folder / "scores.csv")
        >>> (folder / "scores.csv").read_text().splitlines()[0]
        'score,p_value,is_anomaly,top_sensor,reason'
    """
    found = read_new(run, source, reading, notice, size)
    apply = _TASKS[task](run, found.survey, notice, **options)
    with_labels = Path(out).suffix.lower() not in _NUMBERS_ONLY

    def results() -> Iterator[Columns]:
        for block in aligned(found.tables(), run, rows_a_block(run)):
            result = in_place(apply, rows_of(run, block))
            note(result)
            yield {**block.labels, **result} if with_labels else result

    write_blocks(out, results(), keep_formulas=keep_formulas)


def read_new(
    run: Run,
    source: str | os.PathLike[str],
    reading: ReadOptions,
    notice: Notice,
    size: int = PART,
) -> NewRows:
    """Reads the rows of files once, and says what is to be known of them.

    Args:
        run: the Run.
        source: as in ``write_results``, and so are the others.
        reading: how the files are read.
        notice: takes what a user should know, a line each.
        size: bytes that are read at a time, about.

    Returns:
        The NewRows.

    Raises:
        ValueError: as ``write_results``.
        FileNotFoundError: there is no such file.
    """
    told = told_last(reading, run.config.reading)
    columns, dropped = run.source.columns, run.config.drop_columns
    parts: list[Survey] = []
    blocks = read_blocks(source, told, columns, dropped, lambda table: parts.append(surveys.survey(run, table)), size)
    if blocks is None:
        table = read_table(source, told, columns, dropped)
        empty, tables = table, lambda: iter([table])
    else:
        empty, tables, _ = blocks
    for line in empty.reading.notes:
        notice(line)
    say_columns(run, empty, notice)
    found = surveys.added(run, parts) if blocks else surveys.survey(run, empty)
    say_conditions(run, found, notice)
    return NewRows(found, tables, empty.reading)


def rows_a_block(run: Run, least: int = 1) -> int:
    """Rows that are judged at a time: about as many as are read at a time.

    Args:
        run: the Run.
        least: a power of two, of which they are a multiple.

    Returns:
        A number for ``aligned``.
    """
    unit = max(rows_at_once(len(run.profile.columns)), least)
    return unit * max(1, PART // (8 * len(run.source.columns) * unit))


def aligned(tables: Iterator[Table], run: Run, num_rows: int) -> Iterator[Table]:
    """Rows anew in blocks, of which all but the last have so many rows whose conditions are known.

    Args:
        tables: some rows each, in their order.
        run: the Run, which says what the conditions are.
        num_rows: a multiple of what ``rows_at_once`` says, so that cutting changes no bit of a result.

    Yields:
        The rows; each block begins with one whose conditions are known, apart from the first.
    """
    held: list[Table] = []
    num_held = 0
    for table in tables:
        held.append(table)
        num_held += int(rows_of(run, table).is_known.sum())
        if num_held <= num_rows:
            continue
        whole = _joined(held)
        places = np.flatnonzero(rows_of(run, whole).is_known)
        cuts = [0, *places[num_rows::num_rows].tolist()]
        for begin, end in itertools.pairwise(cuts):
            yield _rows(whole, begin, end)
        held = [_rows(whole, cuts[-1], None)]
        num_held = len(places) - num_rows * (len(cuts) - 1)
    yield _joined(held)


def _joined(tables: list[Table]) -> Table:
    if len(tables) == 1:
        return tables[0]
    labels = {name: np.concatenate([table.labels[name] for table in tables]) for name in tables[0].labels}
    return tables[0]._replace(values=np.concatenate([table.values for table in tables]), labels=labels)


def _rows(table: Table, begin: int, end: int | None) -> Table:
    labels = {name: cells[begin:end] for name, cells in table.labels.items()}
    return table._replace(values=table.values[begin:end], labels=labels)
