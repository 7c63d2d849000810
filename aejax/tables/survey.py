"""What is to be known of all rows of a table before the first is judged: of blocks of rows it is added up."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aejax.data.columns.conditions import find_unknown
from aejax.data.columns.features import check_features, encode, observed
from aejax.data.columns.gross import beyond
from aejax.data.formats.tables import Table, select_columns
from aejax.tables import config as configs
from aejax.tables.columns import select, with_known_levels
from aejax.tables.gaps import Gaps, find_gaps
from aejax.tables.profiles import changes, pinned
from aejax.tables.run import Run
from aejax.tasks.anomaly import gap_counts
from aejax.tasks.anomaly.gap_counts import Patterns

_MOST_LEVELS = 3  # that are named


class Rows(NamedTuple):
    """Rows of a table as a run takes them.

    Attributes:
        x: (n, c) the modelled columns, in the units of the table, NaN where missing.
        cond: (n, k) the conditions.
        is_known: (n,) bool, of which rows all conditions are known.
    """

    x: np.ndarray
    cond: np.ndarray
    is_known: np.ndarray

    def known(self) -> "Rows":
        """Those whose conditions are known."""
        if self.is_known.all():
            return self  # a mask would copy all
        return Rows(self.x[self.is_known], self.cond[self.is_known], self.is_known[self.is_known])


class Told(NamedTuple):
    """What is said of some rows.

    Attributes:
        counts: how many rows, by sentence.
        rows: (r, k) rows of which the same would be said, at least one for each sentence.
    """

    counts: dict[str, int]
    rows: np.ndarray


class Survey(NamedTuple):
    """What is to be known of all rows.

    Attributes:
        num_rows: of the table.
        num_known: rows whose conditions are known; all else is about these.
        unknown: conditions unlike those of training.
        changed: constant columns that are not what they always were.
        new_levels: (count, the smallest ones) of values not seen in training, of each column.
        gaps: what is not observed.
        patterns: of the gaps.
        num_beyond: (c,) values beyond the limits of gross errors.
    """

    num_rows: int
    num_known: int
    unknown: Told
    changed: Told
    new_levels: tuple[tuple[int, np.ndarray], ...]
    gaps: Gaps
    patterns: Patterns
    num_beyond: np.ndarray


def rows_of(run: Run, table: Table) -> Rows:
    """The columns of a run in a table.

    Args:
        run: the Run.
        table: any rows.

    Returns:
        The Rows.

    Raises:
        ValueError: columns that differ from the training columns.
    """
    selected = select_columns(table, run.source.columns, run.source.has_header)
    values = with_known_levels(selected, run.source.columns, tuple(run.column_kinds.values()))
    x, cond = select(values, run.source, run.config)
    return Rows(x, cond, ~np.isnan(cond).any(axis=1))


def survey(run: Run, table: Table) -> Survey:
    """Looks at rows.

    Args:
        run: the Run.
        table: all rows, or a block of them.

    Returns:
        The Survey.

    Raises:
        ValueError: columns that differ from the training columns, or rows that the likelihood cannot have.
    """
    rows = rows_of(run, table)
    known = rows.known()
    features = encode(run.profile.columns, pinned(run.profile, known.x))
    check_features(run.profile.columns, run.scaler, features, run.columns, configs.scaling(run.config))
    unknown = find_unknown(run.conditions, known.cond, run.config.condition_columns)
    changed = _changed(run, known.x)
    return Survey(
        len(rows.x),
        len(known.x),
        _told(unknown, known.cond),
        _told(changed, known.x),
        tuple(_new_levels(run, known.x)),
        find_gaps(np.where(observed(run.profile.columns, known.x), 0.0, np.nan), run.columns),
        gap_counts.count_patterns(~np.isnan(features), run.calibration.rows),
        beyond(run.profile.limits, known.x).sum(axis=0),
    )


def added(run: Run, parts: Sequence[Survey]) -> Survey:
    """The survey of blocks that follow each other.

    Args:
        run: the Run.
        parts: of each block, at least one.

    Returns:
        What ``survey`` gives of all rows.
    """
    if len(parts) == 1:
        return parts[0]
    unknown = _together([part.unknown for part in parts])
    changed = _together([part.changed for part in parts])
    # Which sentence comes first is told by rows of which each is said.
    of_unknown = find_unknown(run.conditions, unknown.rows, run.config.condition_columns)
    of_changed = _changed(run, changed.rows)
    return Survey(
        sum(part.num_rows for part in parts),
        sum(part.num_known for part in parts),
        Told({what: unknown.counts[what] for _, what in of_unknown}, unknown.rows),
        Told({what: changed.counts[what] for _, what in of_changed}, changed.rows),
        tuple(
            (sum(count for count, _ in column), np.unique(np.concatenate([few for _, few in column]))[:_MOST_LEVELS])
            for column in zip(*(part.new_levels for part in parts), strict=True)
        ),
        _gaps_together(run, [part.gaps for part in parts]),
        gap_counts.added([part.patterns for part in parts]),
        np.sum([part.num_beyond for part in parts], axis=0),
    )


def _changed(run: Run, x: np.ndarray) -> list[tuple[np.ndarray, str]]:
    found = changes(run.profile, x, run.columns, run.config.false_alarm_rate)
    return [(change.rows, change.what) for change in found]


def _told(found: list[tuple[np.ndarray, str]], values: np.ndarray) -> Told:
    shown = [int(np.argmax(where)) for where, _ in found]
    return Told({what: int(where.sum()) for where, what in found}, values[shown])


def _together(parts: Sequence[Told]) -> Told:
    counts: dict[str, int] = {}
    rows = []
    for part in parts:
        is_new = [what not in counts for what in part.counts]
        rows.append(part.rows[is_new])
        for what, count in part.counts.items():
            counts[what] = counts.get(what, 0) + count
    return Told(counts, np.concatenate(rows))


def _gaps_together(run: Run, parts: Sequence[Gaps]) -> Gaps:
    by_column = {name: sum(part.by_column.get(name, 0) for part in parts) for name in run.columns}
    return Gaps(
        num_rows=sum(part.num_rows for part in parts),
        num_with_gaps=sum(part.num_with_gaps for part in parts),
        num_empty=sum(part.num_empty for part in parts),
        by_column={name: count for name, count in by_column.items() if count},
    )


def _new_levels(run: Run, x: np.ndarray) -> list[tuple[int, np.ndarray]]:
    found = []
    for column, values in zip(run.profile.columns, x.T, strict=True):
        is_new = np.zeros(len(values), bool)
        if column.kind == "few values":
            is_new = ~np.isnan(values) & ~np.isin(values, column.facts["values"])
        found.append((int(is_new.sum()), np.unique(values[is_new])[:_MOST_LEVELS]))
    return found
