"""A process monitor on a table of named columns: what it is kept with, and new rows judged."""

import warnings
from typing import Any, NamedTuple

import numpy as np

from aejax.base import Array
from aejax.data.batches import check_range
from aejax.data.columns.sentinels import MARKS, find_sentinels
from aejax.data.formats.options import ReadOptions, with_found
from aejax.data.formats.tables import Table, check_numbers, select_columns
from aejax.data.gaps import standstills
from aejax.tables.columns import Notice, chosen_names
from aejax.tables.gaps import Gaps, describe, find_gaps
from aejax.tasks import anomaly
from aejax.tasks.anomaly import Chart, Monitor

# A sensor that repeats its reading in so many rows, and twice as many as it ever did, stands still.
_FEWEST_STILL = 10
# How many standard deviations away a mark such as -999 must be: that is ten times the range of usual readings.
_FAR = 60
_QUARTILES_APART = 1.349  # of a normal distribution, in standard deviations


class TableMonitor(NamedTuple):
    """A monitor, and the table that it was fitted to.

    Attributes:
        monitor: the Monitor.
        columns: c names, in the order of the monitor.
        has_header: whether the names are the table's own.
        normal_contribution: (c,), what each column contributes on average to the rows that it was fitted to.
        longest_still: (c,), in how many of these rows in sequence a column had one value at most; None in what
            earlier versions saved.
        reading: how the table was read; new tables are read so too.
    """

    monitor: Monitor
    columns: tuple[str, ...]
    has_header: bool
    normal_contribution: np.ndarray
    longest_still: np.ndarray | None = None
    reading: ReadOptions = ReadOptions()


class Watched(NamedTuple):
    """What a monitor makes of a table.

    Attributes:
        chart: the Chart of its rows.
        contribution: (n, c), as ``anomaly.contributions``, in the order of the monitor's columns.
        top_sensor: (n,), the column that contributes most; empty where nothing is observed.
        gaps: what is missing.
    """

    chart: Chart
    contribution: np.ndarray
    top_sensor: np.ndarray
    gaps: Gaps


def fit_monitor(key: Array, normal: Table, notice: Notice = lambda text: None, **options: Any) -> TableMonitor:  # noqa: ARG005
    """Learns normal operation from a table, in which values such as -999 count as missing.

    Args:
        key: PRNG key.
        normal: rows of normal operation in time.
        notice: takes what a user should know: values that count as missing, gaps.
        **options: as in ``anomaly.fit_monitor``.

    Returns:
        The TableMonitor.

    Raises:
        ValueError: as ``anomaly.fit_monitor``.

    Example:
        >>> import jax
        >>> values = np.random.default_rng(0).standard_normal((300, 2))
        >>> values[::50, 1] = -999
        >>> normal = Table(("flow", "level"), values, True, ())
        >>> monitor = fit_monitor(jax.random.key(0), normal, print, num_epochs=1, false_alarm_rate=0.05)
        level: 6 normal rows hold -999, far from all other values; they count as missing
        normal rows with gaps: 6 of 300 (level 6)
        >>> monitor.longest_still
        array([1., 1.])
    """
    check_numbers(normal, "a monitor")
    low, middle, high = _quartiles(normal.values)
    values = without_sentinels(normal.values, middle, (high - low) / _QUARTILES_APART, normal.columns, "normal", notice)
    if line := describe(find_gaps(values, normal.columns)):
        notice(f"normal {line}")
    return table_monitor(anomaly.fit_monitor(key, values, **options), normal._replace(values=values))


def rebase_monitor(
    monitor: TableMonitor,
    normal: Table,
    notice: Notice = lambda text: None,  # noqa: ARG005
    **options: Any,
) -> TableMonitor:
    """Accepts the state of a table as normal, without training: ``anomaly.rebase_monitor``.

    Args:
        monitor: the TableMonitor; it stays as it is.
        normal: rows of the new normal state in time, with its columns.
        notice: takes what a user should know, as in ``watch``.
        **options: as in ``anomaly.rebase_monitor``.

    Returns:
        The TableMonitor of the new state.

    Raises:
        ValueError: columns that differ from those of the monitor, or as ``anomaly.rebase_monitor``.

    Example:
        >>> import jax
        >>> values = np.random.default_rng(0).standard_normal((600, 2))
        >>> normal = Table(("flow", "level"), values[:300], True, ())
        >>> monitor = fit_monitor(jax.random.key(0), normal, num_epochs=1, false_alarm_rate=0.05)
        >>> again = rebase_monitor(monitor, normal._replace(values=values[300:] + [0, 9]))
        >>> bool(abs(again.monitor.scaler.mean[1] - 9) < 0.2), again.columns
        (True, ('flow', 'level'))
    """
    rows = _rows_of(monitor, normal, "normal", notice)
    rebased = anomaly.rebase_monitor(monitor.monitor, rows, **options)
    table = normal._replace(columns=monitor.columns, values=rows)
    return table_monitor(rebased, table)._replace(has_header=monitor.has_header, reading=monitor.reading)


def _quartiles(values: np.ndarray) -> np.ndarray:
    """(3, c); NaN for a column without a value, which is refused later."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanpercentile(values, [25, 50, 75], axis=0)


def table_monitor(monitor: Monitor, normal: Table) -> TableMonitor:
    """Keeps with a monitor which columns it watches.

    Args:
        monitor: fitted to the values of the table.
        normal: the table.

    Returns:
        The TableMonitor.

    Raises:
        ValueError: a table with another number of columns.

    Example:
        >>> import jax
        >>> values = np.random.default_rng(0).standard_normal((300, 2))
        >>> normal = Table(("flow", "level"), values, True, ())
        >>> monitor = anomaly.fit_monitor(jax.random.key(0), values, num_epochs=1, false_alarm_rate=0.05)
        >>> found = watch(table_monitor(monitor, normal), normal._replace(values=values[:20] + [0, 9]))
        >>> str(found.top_sensor[-1])
        'level'
    """
    contribution = anomaly.contributions(monitor, normal.values).mean(axis=0)
    longest = np.array([_longest_still(column)[0] for column in normal.values.T], float)
    reading = with_found(ReadOptions(), normal.reading.dialect)
    return TableMonitor(monitor, normal.columns, normal.has_header, contribution, longest, reading)


def watch(monitor: TableMonitor, table: Table, notice: Notice = lambda text: None) -> Watched:  # noqa: ARG005
    """Judges the rows of a table, in the order of time.

    Args:
        monitor: the TableMonitor.
        table: rows with its columns.
        notice: takes what a user should know: the columns that take no part, values such as -999 that count as
            missing, sensors that stand still.

    Returns:
        The Watched.

    Raises:
        ValueError: columns that differ from those of the monitor.
    """
    rows = _rows_of(monitor, table, "new", notice)
    _note_constant(monitor, rows, notice)
    _note_still(monitor, rows, notice)
    chart, _ = anomaly.watch(monitor.monitor, rows)
    contribution = anomaly.contributions(monitor.monitor, rows)
    top = np.array(monitor.columns)[contribution.argmax(axis=1)]
    is_seen = np.isfinite(chart.combined)
    return Watched(chart, contribution, np.where(is_seen, top, ""), find_gaps(rows, monitor.columns))


def _rows_of(monitor: TableMonitor, table: Table, which: str, notice: Notice) -> np.ndarray:
    """The rows of a table in the order of the monitor's columns, with NaN for values such as -999."""
    selected = select_columns(table, monitor.columns, monitor.has_header)
    check_numbers(selected, "a monitor")
    if selected.note:
        notice(selected.note)
    scaler = monitor.monitor.scaler
    return without_sentinels(selected.values, scaler.mean, scaler.scale, monitor.columns, which, notice)


def without_sentinels(
    rows: np.ndarray, centre: np.ndarray, spread: np.ndarray, columns: tuple[str, ...], which: str, notice: Notice
) -> np.ndarray:
    """The rows with NaN for values such as -999; ``which`` and ``notice`` say how many there were."""
    check_range(rows, columns)
    rows = rows.copy()
    found: list[tuple[int, float, int]] = []
    while more := _sentinels(rows, centre, spread):
        found += more
        for column, value, _ in more:
            rows[rows[:, column] == value, column] = np.nan
    for column, value, count in found:
        notice(
            f"{columns[column]}: {count} {which} rows hold {value:g}, far from all other values; they count as missing"
        )
    return rows


def _sentinels(rows: np.ndarray, centre: np.ndarray, spread: np.ndarray) -> list[tuple[int, float, int]]:
    """What repeats itself far from normal readings, and usual codes there that do not; no spread, no judgement."""
    # Beside normal readings, since a dead sensor may give nothing else.
    takes_part = np.isfinite(spread) & (spread > 0)
    normal = centre + np.linspace(-3, 3, 9)[:, None] * np.where(takes_part, spread, np.nan)
    found = find_sentinels(np.concatenate([np.where(takes_part, rows, np.nan), normal]))
    for column in set(np.flatnonzero(takes_part).tolist()) - {column for column, *_ in found}:
        is_far = np.abs(rows[:, column] - centre[column]) > _FAR * spread[column]
        for value in np.unique(rows[is_far & np.isin(rows[:, column], MARKS), column])[:1]:
            found.append((column, float(value), int((rows[:, column] == value).sum())))
    return found


def _note_still(monitor: TableMonitor, rows: np.ndarray, notice: Notice) -> None:
    """Points out sensors that stand still for longer than they ever did in the normal rows."""
    if monitor.longest_still is None:
        return
    for name, column, usual in zip(monitor.columns, rows.T, monitor.longest_still, strict=True):
        length, begin = _longest_still(column)
        if length >= max(_FEWEST_STILL, 2 * usual) and usual < length:
            notice(
                f"{name}: stands still at {column[begin]:g} from row {begin} to {begin + length - 1} (counted from 0), "
                f"in the normal rows for {usual:.0f} at most; check the sensor"
            )


def _longest_still(column: np.ndarray) -> tuple[int, int]:
    """Of the longest stretch of one value its length and where it begins; gaps end a stretch."""
    runs = standstills(column, 1)
    begin, end = runs[np.diff(runs).argmax()].tolist()
    return end - begin, begin


def _note_constant(monitor: TableMonitor, rows: np.ndarray, notice: Notice) -> None:
    """Says which columns the monitor knows nothing of, since they stood still in the normal rows."""
    scaler = monitor.monitor.scaler
    is_constant = np.isinf(scaler.scale)
    is_moved = is_constant & (~np.isclose(rows, scaler.mean) & np.isfinite(rows)).any(axis=0)
    for chosen, what in (
        (is_constant & ~is_moved, "constant in the normal rows, so the monitor ignores it"),
        (is_moved, "constant in the normal rows, not in the new ones; the monitor ignores it, so check it yourself"),
    ):
        if chosen.any():
            notice(f"{', '.join(chosen_names(chosen, monitor.columns))}: {what}")
