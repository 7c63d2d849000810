"""Tables that are larger than memory, to train on: their rows stay in the files, but for some that decide and judge.

A first reading says which columns there are, and takes the rows that are held: those held out, and at random some of
the others, from which follows what is known of the columns. A second one measures all training rows.
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aejax.artefacts.outside import reading
from aejax.base import Array, Batch, Stream
from aejax.data.columns.conditions import Conditions
from aejax.data.columns.gross import fit_limits, no_limits
from aejax.data.columns.scalers import Scaler
from aejax.data.formats.blocks import PART, Blocks, read_blocks
from aejax.data.formats.contents import files_of
from aejax.data.formats.reading import Reading
from aejax.data.formats.selecting import modelled
from aejax.data.formats.stamps import stamp_of
from aejax.data.formats.stored_files import HEAD, stored_files, write_rows
from aejax.data.formats.table_files.registry import WholeError, format_of
from aejax.data.formats.tables import Table
from aejax.data.orders import chosen, seed_of
from aejax.data.stored import Stored, leaving_out
from aejax.tables.columns import Notice, select
from aejax.tables.config import TrainConfig
from aejax.tables.large_rows import Cleaning, Measured, in_force, measure, scaled
from aejax.tables.preparation import Held, Prepared, Split, prepared, run_keys
from aejax.tables.profiles import Profile
from aejax.tables.run import Source
from aejax.training.sources import stored_rows

# Of rows that are held to validate, to calibrate, and to know the columns by, each: a quantile of one in a thousand is
# known to a tenth of itself by as many.
_MOST_ROWS = 1 << 16
_SHARE = 2  # of the bytes that are read at a time, those that they may take
_HELD_OUT, _SAMPLE = 0, 1  # what a seed is for
_HASHED = 1 << 20  # bytes at a time


class LargeTable(NamedTuple):
    """A table whose rows stay in its files.

    Attributes:
        excerpt: the rows that are held.
        split: of the excerpt; ``train`` are some of the training rows.
        training: all training rows, in the order of the excerpt's columns.
    """

    excerpt: Table
    split: Split
    training: Stored

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self.excerpt.columns

    @property
    def has_header(self) -> bool:
        """Whether the files name them."""
        return self.excerpt.has_header

    @property
    def categories(self) -> Mapping[str, tuple[str, ...]]:
        """None: a table with categories is read whole."""
        return self.excerpt.categories

    @property
    def reading(self) -> Reading:
        """How the files were read."""
        return self.excerpt.reading


class TrainingRows(NamedTuple):
    """What a model is trained on, where it lies in files.

    Attributes:
        stored: the rows as they lie there.
        transform: some of them -> a Batch of scaled ones.
    """

    stored: Stored
    transform: Callable[[np.ndarray], Batch]

    @property
    def num_rows(self) -> int:
        """How many there are."""
        return self.stored.num_rows

    def source(self, key: Array, batch_size: int) -> Stream:
        """For ``fit``, in an order that the key tells."""
        return stored_rows(key, self.stored, batch_size, transform=self.transform)


def read_large(
    source: str | os.PathLike[str],
    config: TrainConfig,
    columns: Sequence[str] | None = None,
    size: int = PART,
    most_rows: int = _MOST_ROWS,
    copy: Callable[[], Path] | None = None,
) -> LargeTable | None:
    """Reads a table to train on, and leaves most of its rows where they are.

    Parquet and NPY files are read once here. Of others, such as CSV, rows are not found at once by their number: they
    are read twice here, and their numbers written to a Parquet file, from which the model is then trained.

    Args:
        source: a path, a folder or a pattern.
        config: the TrainConfig.
        columns: those of a run that is resumed.
        size: bytes that are read at a time, about; held rows of a part take half as many at most.
        most_rows: to hold of each part.
        copy: gives the path of the Parquet file to write, where one is needed; the caller deletes it after training.
            Tables that need one are not read if None.

    Returns:
        The LargeTable; None where the table is small, or has to be read whole.

    Raises:
        FileNotFoundError, ValueError: a file has gone or has changed meanwhile.
        OSError: the copy cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "rows.npy"
        >>> np.save(path, np.random.default_rng(0).normal(size=(1000, 2)))
        >>> table = read_large(path, TrainConfig(), size=2048, most_rows=50)
        >>> [len(part) for part in table.split], table.training.num_rows
        ([50, 50, 50], 900)
    """
    # A condition is kept though it behaves as a clock does, such as the hour.
    kept = (*config.reading.keep_columns, *config.condition_columns)
    options = dataclasses.replace(config.reading, keep_columns=kept)

    def read(note: Callable[[Table], None]) -> Blocks | None:
        return read_blocks(source, options, columns, config.drop_columns, note, size)

    def taken_of(num_rows: int) -> _Taken:
        return _Taken(lambda width: _split(config, num_rows, min(most_rows, size // (_SHARE * 8 * width))))

    num_rows = _num_rows(source)
    if num_rows is None:
        return None if copy is None else _read_by_copy(read, taken_of, copy)
    _refuse_text(files_of(source)[0], config, columns, size)
    taken = taken_of(num_rows)
    blocks = read(taken.add)
    if blocks is None or taken.num_rows != num_rows:
        return None
    try:
        stored = stored_files(blocks.stamps, blocks.empty.columns)
    except WholeError:
        return None
    return _large(blocks, taken, stored)


def _num_rows(source: str | os.PathLike[str]) -> int | None:
    """The rows of files that tell it; None where they do not, or where there are none."""
    try:
        stamps = [stamp_of(path) for path in files_of(source)] if str(source) != "-" else []
        return stored_files(stamps, ()).num_rows if stamps else None
    except (WholeError, OSError, ValueError):  # what is wrong is said where the table is read whole
        return None


def _read_by_copy(
    read: Callable[[Callable[[Table], None]], Blocks | None],
    taken_of: Callable[[int], "_Taken"],
    copy: Callable[[], Path],
) -> LargeTable | None:
    """The first reading says how many rows there are, and the second one copies them."""
    counts: list[int] = []
    blocks = read(lambda table: counts.append(len(table.values)))
    if blocks is None:
        return None
    taken, path = taken_of(sum(counts)), copy()

    def noted() -> Iterator[np.ndarray]:
        for table in blocks.tables():
            taken.add(table)
            yield table.values

    write_rows(path, blocks.empty.columns, noted())
    return _large(blocks, taken, stored_files([stamp_of(path)], blocks.empty.columns))


def _large(blocks: Blocks, taken: "_Taken", stored: Stored) -> LargeTable:
    how = blocks.empty.reading._replace(sha256=sha256_of(stamp.path for stamp in blocks.stamps))
    excerpt = blocks.empty._replace(values=taken.values(blocks.empty.columns), labels={}, reading=how)
    held_out = np.concatenate(taken.split[1:])
    split = Split(*(np.searchsorted(taken.rows, part) for part in taken.split))
    return LargeTable(excerpt, split, leaving_out(stored, held_out))


def prepared_large(
    key: Array, table: LargeTable, source: Source, config: TrainConfig, notice: Notice
) -> tuple[Prepared, TrainingRows]:
    """``prepared`` of the excerpt, with the scale and the gross errors of all training rows, which are read once.

    Args:
        key: PRNG key of the split.
        table: the LargeTable.
        source: where it is from.
        config: the TrainConfig.
        notice: takes what a user should know, a line each.

    Returns:
        The Prepared of the excerpt, and all training rows.

    Raises:
        ValueError: columns or rows that a model cannot be trained on; the message names them. A file has changed.
    """
    train, validation, calibration = map(len, table.split)
    notice(
        f"the rows stay in their files: {table.training.num_rows} train, {validation} validate, {calibration} "
        f"calibrate; kinds and limits of columns are those of {train} training rows"
    )
    cond = select(table.excerpt.values, source, config)[1]
    keeps_gross = config.gross_errors == "keep"
    cond_limits = no_limits(cond.shape[1]) if keeps_gross else in_force(fit_limits(cond), cond)
    found: list[Measured] = []

    def of_all(
        profile: Profile, conditions: Conditions, x: np.ndarray, num_gross: np.ndarray
    ) -> tuple[Profile, Scaler, Scaler]:
        cleaning = Cleaning(source, config, in_force(profile.limits, x), cond_limits)
        measured = measure(table.training, cleaning, profile, conditions, profile.num_gross - num_gross)
        found.append(measured)
        return measured.profile, measured.coding.scaler, measured.cond_coding.scaler

    ready = prepared(key, table.excerpt, source, config, notice, Held(table.split, of_all))
    return ready, TrainingRows(table.training, partial(scaled, found[0]))


def _refuse_text(path: Path, config: TrainConfig, columns: Sequence[str] | None, size: int) -> None:
    """Says by the first rows that a column holds text, for which all would be read whole otherwise."""
    with path.open("rb") as file:
        found = format_of(file.read(HEAD))
    parts = found.parts(path, config.reading, size) if found and found.parts else None
    try:
        content = next(parts.contents(), None) if parts else None
    except WholeError:
        return
    if content and any(column.problem for column in content.columns):
        with reading(path):
            modelled(content, config.reading, columns, config.drop_columns)


class _Taken:
    """The rows that are held, taken from blocks as they come by."""

    def __init__(self, split: Callable[[int], Split]):
        self._split_of = split
        self._parts: list[tuple[tuple[str, ...], np.ndarray]] = []
        self.num_rows = 0

    def add(self, table: Table) -> None:
        if not self._parts:
            self.split = self._split_of(len(table.columns))
            self.rows = np.sort(np.concatenate(self.split))
        after = self.num_rows + len(table.values)
        first, last = np.searchsorted(self.rows, [self.num_rows, after])
        self._parts.append((table.columns, table.values[self.rows[first:last] - self.num_rows]))
        self.num_rows = after

    def values(self, names: Sequence[str]) -> np.ndarray:
        """(rows, columns) in the order of the names."""
        return np.concatenate([rows[:, [columns.index(name) for name in names]] for columns, rows in self._parts])


def _split(config: TrainConfig, num_rows: int, most: int) -> Split:
    """Row numbers of the parts, of which ``train`` are some only: they follow from the key and the number of rows."""
    num_validation = min(most, max(1, round(config.validation_fraction * num_rows)))
    num_calibration = min(most, max(1, round(config.calibration_fraction * num_rows)))
    num_train = num_rows - num_validation - num_calibration
    seed = seed_of(run_keys(config)[0])
    if config.split == "random":
        held_out = chosen((*seed, _HELD_OUT), num_rows, num_validation + num_calibration)
    else:
        held_out = np.arange(num_train, num_rows)
    among_train = np.sort(chosen((*seed, _SAMPLE), num_train, min(most, num_train)))
    out = np.sort(held_out)
    # As many rows are held out before the i-th training row as have fewer than i training rows before them.
    sample = among_train + np.searchsorted(out - np.arange(len(out)), among_train, side="right")
    return Split(sample, np.sort(held_out[:num_validation]), np.sort(held_out[num_validation:]))


def sha256_of(paths: Iterable[str | os.PathLike[str]]) -> str:
    """The SHA-256 of files, one after the other, of which no more than a mebibyte is held.

    Args:
        paths: of the files.

    Returns:
        It, in hexadecimal.
    """
    digest = hashlib.sha256()
    for path in paths:
        with Path(path).open("rb") as file:
            while part := file.read(_HASHED):
                digest.update(part)
    return digest.hexdigest()
