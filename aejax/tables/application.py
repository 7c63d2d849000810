"""Using a run on a table: codes, clean rows, anomalies."""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from aejax import tasks
from aejax.base import Batch
from aejax.data.columns import kinds
from aejax.data.columns.conditions import find_unknown
from aejax.data.columns.features import decoded, pooled, summed
from aejax.data.formats.tables import Table, select_columns
from aejax.tables.columns import Notice, as_columns, say_divergence, say_rate, say_skipped, scaled_batch
from aejax.tables.gaps import say_gaps
from aejax.tables.profiles import changes, pinned
from aejax.tables.run import Run
from aejax.tables.survey import Rows, Survey, rows_of, survey
from aejax.tasks.anomaly.detection import Detection, References, detect_block, refer
from aejax.tasks.anomaly.gap_counts import is_compared

Columns = dict[str, np.ndarray]
# From rows whose conditions are known to the columns of a result.
Applied = Callable[[Rows], Columns]


def encode(run: Run, table: Table, notice: Notice = lambda text: None) -> Columns:  # noqa: ARG005
    """The code of each row.

    Args:
        run: the Run.
        table: rows with the run's columns. Of a row without its conditions the result is missing.
        notice: takes what a user should know.

    Returns:
        Columns ``z1``, ``z2``, ...

    Raises:
        ValueError: columns that differ from the training columns.
    """
    return in_place(encoding(run, surveyed(run, table, notice), notice), rows_of(run, table))


def reconstruct(run: Run, table: Table, notice: Notice = lambda text: None) -> Columns:  # noqa: ARG005
    """Each row after the bottleneck, in the units of the table: denoised, and with missing values filled in.

    Args:
        run: the Run.
        table: rows with the run's columns. Of a row without its conditions the result is missing.
        notice: takes what a user should know.

    Returns:
        The training columns in their order; conditions as they were given.

    Raises:
        ValueError: columns that differ from the training columns.
    """
    return in_place(reconstruction(run, surveyed(run, table, notice), notice), rows_of(run, table))


def detect(
    run: Run,
    table: Table,
    false_alarm_rate: float | None = None,
    notice: Notice = lambda text: None,  # noqa: ARG005
) -> Columns:
    """Scores each row against the run's held-out normal rows.

    Args:
        run: the Run.
        table: rows with the run's columns. Of a row without its conditions the result is missing.
        false_alarm_rate: share of normal rows that may be flagged; the config's by default.
        notice: takes what a user should know.

    Returns:
        Columns ``score``, ``p_value``, ``is_anomaly``; ``top_sensor``, the column that contributed most, empty for a
        GAN, which has no residual; and ``reason``, what decided or what to know of the row, empty for most. A row is
        an anomaly by its score, or where a column that was constant in training has changed.

    Raises:
        ValueError: columns that differ from the training columns, or a rate out of range.
    """
    return in_place(detection(run, surveyed(run, table, notice), notice, false_alarm_rate), rows_of(run, table))


def encoding(run: Run, found: Survey, notice: Notice) -> Applied:  # noqa: ARG001
    """What ``encode`` makes of rows, block by block.

    Args:
        run: the Run.
        found: of all rows.
        notice: takes what a user should know of all rows.

    Returns:
        A function of blocks of rows, in their order; all but the last have a multiple of the rows
        that ``rows_at_once`` says.
    """

    def encode(rows: Rows) -> Columns:
        codes = tasks.encode(run.model, run.variables, batch_of(run, rows)).mean
        return {f"z{index + 1}": code for index, code in enumerate(codes.T)}

    return encode


def reconstruction(run: Run, found: Survey, notice: Notice) -> Applied:  # noqa: ARG001
    """The same of ``reconstruct``: see ``encoding``."""
    constant = kinds.constants(run.profile.columns)

    def reconstruct(rows: Rows) -> Columns:
        batch = batch_of(run, rows)
        clean = decoded(run.coding, tasks.reconstruct(run.model, run.variables, batch))
        clean = np.where(np.isnan(constant), clean, constant)
        return as_columns(run, clean, None if batch.cond is None else rows.cond)

    return reconstruct


def detection(run: Run, found: Survey, notice: Notice, false_alarm_rate: float | None = None) -> Applied:
    """The same of ``detect``: see ``encoding``. Rows with gaps are compared with what the gaps of all rows ask for."""
    judge = judging(run, found, notice, false_alarm_rate)
    return lambda rows: judge(rows)[0]


def judging(
    run: Run, found: Survey, notice: Notice, false_alarm_rate: float | None = None
) -> Callable[[Rows], tuple[Columns, np.ndarray]]:
    """The same, with (n, c) how much each column contributed, 1 on average in normal rows."""
    rate = run.config.false_alarm_rate if false_alarm_rate is None else false_alarm_rate
    columns = run.profile.columns
    references = references_of(run, found, rate)
    pooled_groups = (
        group._replace(residual_scale=pooled(columns, group.residual_scale)) for group in references.groups
    )
    references = references._replace(groups=tuple(pooled_groups))
    num_other = found.patterns.num_with_gaps if run.calibration.rows is None else 0
    say_gaps(found.gaps, references.num_similar, num_other, notice)
    say_rate(rate, len(run.calibration.score), notice)
    _say_new_levels(run, found.new_levels, notice)
    for what, count in found.changed.counts.items():
        notice(f"{count} rows: {what}")
    names, detected = np.array(run.columns, object), in_turn(run, references)

    def judge(rows: Rows) -> tuple[Columns, np.ndarray]:
        judged = detected(batch_of(run, rows))
        contribution = _of_varying(run, summed(columns, judged.contribution))
        top = names[np.argmax(contribution, axis=1)]
        top[~contribution.any(axis=1)] = ""
        is_anomaly = judged.is_anomaly.copy()
        reasons = [(judged.is_anomaly, "score")]
        for change in changes(run.profile, rows.x, run.columns, run.config.false_alarm_rate):
            reasons.append((change.rows, change.what))
            if change.is_alarm:
                top[change.rows & ~is_anomaly] = change.name
                is_anomaly |= change.rows
        reasons += find_unknown(run.conditions, rows.cond, run.config.condition_columns)
        verdict = {
            "score": judged.score,
            "p_value": judged.p_value,
            "is_anomaly": is_anomaly,
            "top_sensor": top.astype(str),
            "reason": _joined(len(top), reasons),
        }
        return verdict, contribution

    return judge


def references_of(run: Run, found: Survey, false_alarm_rate: float) -> References:
    """What the rows of a table are compared with.

    Args:
        run: the Run.
        found: of all rows.
        false_alarm_rate: the share of normal rows that may be flagged.

    Returns:
        The References.
    """
    key = jax.random.key(run.config.seed)
    return refer(key, run.model, run.variables, found.patterns, run.calibration, false_alarm_rate)


def in_turn(run: Run, references: References) -> Callable[[Batch], Detection]:
    """Compares blocks of rows, in their order.

    Args:
        run: the Run.
        references: of all rows.

    Returns:
        A function of the blocks, as ``encoding`` takes them.
    """
    key, num_before = jax.random.key(run.config.seed), 0

    def detected(batch: Batch) -> Detection:
        nonlocal num_before
        judged = detect_block(key, run.model, run.variables, batch, references, num_before)
        num_before += int(is_compared(~np.isnan(np.asarray(batch.x)), run.calibration.rows).sum())
        return judged

    return detected


def say_columns(run: Run, table: Table, notice: Notice) -> None:
    """Says how the columns of a table became those of a run, and that the run's training diverged.

    Args:
        run: the Run.
        table: any of its rows, or none.
        notice: takes what a user should know.

    Raises:
        ValueError: columns that differ from the training columns.
    """
    selected = select_columns(table, run.source.columns, run.source.has_header)
    if selected.note:
        notice(selected.note)
    unused = (*selected.extra, *(name for name in table.left_out if name not in table.labels))
    if unused:
        notice(f"columns that the run does not use are ignored: {', '.join(unused)}")
    say_divergence(run, notice)


def say_conditions(run: Run, found: Survey, notice: Notice) -> None:
    """Says of how many rows the conditions are missing, or unlike those of training.

    Args:
        run: the Run.
        found: of all rows.
        notice: takes what a user should know.

    Raises:
        ValueError: no row has all its conditions.
    """
    say_skipped(found.num_known, found.num_rows, run.config, notice)
    for what, count in found.unknown.counts.items():
        notice(f"{count} of {found.num_known} rows have a condition {what}; their results are extrapolations")


def in_place(function: Applied, rows: Rows) -> Columns:
    """The results of rows at their places; missing, or False, for rows without conditions.

    Args:
        function: of rows with conditions.
        rows: at least one of which has its conditions.

    Returns:
        (n,) by name.
    """
    columns = function(rows.known())
    if rows.is_known.all():
        return columns
    return {name: _spread(values, rows.is_known) for name, values in columns.items()}


def surveyed(run: Run, table: Table, notice: Notice) -> Survey:
    """What is to be known of a table that is there in one piece; it is said.

    Args:
        run: the Run.
        table: all rows.
        notice: takes what a user should know.

    Returns:
        The Survey.

    Raises:
        ValueError: columns that differ from the training columns, or no row has all its conditions.
    """
    say_columns(run, table, notice)
    found = survey(run, table)
    say_conditions(run, found, notice)
    return found


def batch_of(run: Run, rows: Rows) -> Batch:
    """Rows as the model takes them: scaled, NaN where missing; constant columns are what they always were.

    Args:
        run: the Run.
        rows: whose conditions are known.

    Returns:
        The Batch.
    """
    return scaled_batch(pinned(run.profile, rows.x), rows.cond, run.coding, run.cond_coding)


def _of_varying(run: Run, contribution: np.ndarray) -> np.ndarray:
    """Contributions without those of constant columns: what a model makes of these says nothing of the row."""
    return np.where(~np.isnan(kinds.constants(run.profile.columns)), 0, contribution)


def _say_new_levels(run: Run, new_levels: Sequence[tuple[int, np.ndarray]], notice: Notice) -> None:
    for name, column, (count, few) in zip(run.columns, run.profile.columns, new_levels, strict=True):
        if count:
            known = ", ".join(f"{level:g}" for level in column.facts["values"])
            new = ", ".join(f"{level:g}" for level in few)
            notice(f"column {name!r}: {count} rows hold {new}, not seen in training ({known})")


def _joined(num_rows: int, reasons: list[tuple[np.ndarray, str]]) -> np.ndarray:
    """(n,) text, the reasons of each row."""
    joined = np.full(num_rows, "", object)
    for rows, what in reasons:
        joined[rows] = [f"{before}; {what}" if before else what for before in joined[rows]]
    return joined.astype(str)


def _spread(values: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    missing = np.nan if values.dtype.kind == "f" else values.dtype.type()
    whole = np.full(len(is_known), missing, values.dtype)
    whole[is_known] = values
    return whole
