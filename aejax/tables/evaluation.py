"""How well a run represents rows, measured some rows at a time: each figure is a sum over blocks of rows."""

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax import tasks
from aejax.base import Batch, Model
from aejax.data.columns.features import spread
from aejax.data.columns.gross import are_rare, beyond
from aejax.data.formats.blocks import PART
from aejax.data.formats.options import ReadOptions
from aejax.data.formats.tables import Table
from aejax.tables import quality
from aejax.tables.application import batch_of, in_turn, references_of, surveyed
from aejax.tables.columns import Notice
from aejax.tables.files import aligned, read_new, rows_a_block
from aejax.tables.generation import ROWS_A_BLOCK, draw_rows, key_of_block
from aejax.tables.large import sha256_of
from aejax.tables.quality import Distances, Residuals
from aejax.tables.run import Run
from aejax.tables.survey import Survey, rows_of
from aejax.tasks.anomaly.detection import Detection


class _Sums(NamedTuple):
    """What is added up over blocks of rows.

    Attributes:
        num_flagged: rows that detection flags.
        score: the sum of the scores of rows without a gross error.
        num_scored: how many these are.
        num_gross: gross errors.
        residuals: of a model that reconstructs.
    """

    num_flagged: int
    score: float
    num_scored: int
    num_gross: int
    residuals: Residuals | None


def evaluate(run: Run, table: Table, notice: Notice = lambda text: None) -> dict[str, Any]:  # noqa: ARG005
    """How well the model represents rows.

    Args:
        run: the Run.
        table: rows with the run's columns.
        notice: takes what a user should know.

    Returns:
        ``num_rows``; ``mean_score``; ``flagged``, the share of rows that detection flags at ``false_alarm_rate``. Of a
        model that reconstructs: ``mse`` per observed element of scaled columns: in units of the training variance,
        or of the range or of counts, as the likelihood scales them; ``explained_variance``,
        its mean over the columns that vary; ``explained_variance_by_column``. Of one that generates: ``ks_distance`` of
        as many new rows, at the same conditions, to those of the table, its mean over columns;
        ``ks_distance_by_column``.

    Raises:
        ValueError: columns that differ from the training columns.
    """
    return _measured(run, surveyed(run, table, notice), iter([table]), notice)


def evaluate_files(
    run: Run,
    source: str | os.PathLike[str],
    reading: ReadOptions = ReadOptions(),
    notice: Notice = lambda text: None,  # noqa: ARG005
    size: int = PART,
) -> dict[str, Any]:
    """The figures of ``evaluate`` of files of any size, read some rows at a time where they are large.

    Args:
        run: the Run.
        source: a path, a folder, a pattern, or ``"-"`` for standard input.
        reading: how the files are read; what it leaves open is as in training.
        notice: takes what a user should know.
        size: bytes that are read at a time, about.

    Returns:
        As ``evaluate``.

    Raises:
        ValueError: as ``evaluate``, or a file that has changed while it was read.
        FileNotFoundError: there is no such file, or it has gone while it was read.
    """
    found = read_new(run, source, reading, notice, size)
    if (found.reading.sha256 or sha256_of(found.reading.files)) == run.source.sha256:
        notice("these rows include those that the run was trained on: the figures are not those of new rows")
    return _measured(run, found.survey, found.tables(), notice)


def _measured(run: Run, found: Survey, tables: Iterator[Table], notice: Notice) -> dict[str, Any]:
    rate = run.config.false_alarm_rate
    detected = in_turn(run, references_of(run, found, rate))
    is_rare = are_rare(found.num_beyond, found.num_known)
    distances, num_drawn, parts = Distances(run.profile.columns), 0, []
    for block in aligned(tables, run, rows_a_block(run, ROWS_A_BLOCK)):
        rows = rows_of(run, block).known()
        batch = batch_of(run, rows)
        is_gross = beyond(run.profile.limits, rows.x) & is_rare
        parts.append(_sums(run, batch, is_gross, detected(batch)))
        if run.model.sample is not None:
            drawn = _drawn(run, batch, num_drawn)
            distances.add(drawn, np.where(is_gross, np.nan, rows.x))
            num_drawn += len(drawn)
    if num_gross := sum(part.num_gross for part in parts):
        notice(f"all figures but the share flagged are without {num_gross} gross errors")
    num_scored = sum(part.num_scored for part in parts)
    result: dict[str, Any] = {
        "num_rows": found.num_known,
        "mean_score": sum(part.score for part in parts) / num_scored if num_scored else np.nan,
        "flagged": sum(part.num_flagged for part in parts) / found.num_known,
        "false_alarm_rate": rate,
    }
    if left := [part.residuals for part in parts if part.residuals]:
        together = quality.added(left)
        result["mse"] = float(together.left.sum() / together.of.observed.sum())
        result |= _by_column(run, "explained_variance", quality.explained_variance(run.profile.columns, together))
    if run.model.sample is not None:
        result |= _by_column(run, "ks_distance", distances.found())
    return result


def _sums(run: Run, batch: Batch, is_gross: np.ndarray, detected: Detection) -> _Sums:
    score = detected.score[~is_gross.any(axis=1)]
    left = None
    if isinstance(run.model, Model):
        batch = batch._replace(x=jnp.where(spread(run.profile.columns, is_gross), np.float32(np.nan), batch.x))
        left = quality.residuals(np.asarray(batch.x), tasks.reconstruct(run.model, run.variables, batch))
    return _Sums(
        int(detected.is_anomaly.sum()),
        float(np.nansum(score, dtype=float)),
        int(np.isfinite(score).sum()),
        int(is_gross.sum()),
        left,
    )


def _drawn(run: Run, batch: Batch, num_before: int) -> np.ndarray:
    """As many new rows as a block has, at the same conditions.

    Args:
        run: the Run.
        batch: the rows of the block.
        num_before: rows of the blocks before, a multiple of ``ROWS_A_BLOCK``.

    Returns:
        (n, c) in the units of the table.
    """
    key, num_rows = jax.random.key(run.config.seed), len(batch.x)
    parts = []
    for begin in range(0, num_rows, ROWS_A_BLOCK):
        end = min(begin + ROWS_A_BLOCK, num_rows)
        cond = None if batch.cond is None else batch.cond[begin:end]
        parts.append(draw_rows(run, key_of_block(key, (num_before + begin) // ROWS_A_BLOCK), end - begin, cond))
    return np.concatenate(parts)


def _by_column(run: Run, name: str, values: np.ndarray) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    by_column = {
        column: float(value) if np.isfinite(value) else None for column, value in zip(run.columns, values, strict=True)
    }
    return {name: float(finite.mean()) if finite.size else None, f"{name}_by_column": by_column}
