"""A process monitor on a table of named columns: what it is kept with, and new rows judged."""

from typing import NamedTuple

import numpy as np

from aejax.data.formats.tables import Table, select_columns
from aejax.tables.columns import Notice, chosen_names
from aejax.tasks import anomaly
from aejax.tasks.anomaly import Chart, Monitor


class TableMonitor(NamedTuple):
    """A monitor, and the table that it was fitted to.

    Attributes:
        monitor: the Monitor.
        columns: c names, in the order of the monitor.
        has_header: whether the names are the table's own.
        normal_contribution: (c,), what each column contributes on average to the rows that it was fitted to.
    """

    monitor: Monitor
    columns: tuple[str, ...]
    has_header: bool
    normal_contribution: np.ndarray


class Watched(NamedTuple):
    """What a monitor makes of a table.

    Attributes:
        chart: the Chart of its rows.
        contribution: (n, c), as ``anomaly.contributions``, in the order of the monitor's columns.
        top_sensor: (n,), the column that contributes most; empty where nothing is observed.
    """

    chart: Chart
    contribution: np.ndarray
    top_sensor: np.ndarray


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
    return TableMonitor(monitor, normal.columns, normal.has_header, contribution)


def watch(monitor: TableMonitor, table: Table, notice: Notice = lambda text: None) -> Watched:  # noqa: ARG005
    """Judges the rows of a table, in the order of time.

    Args:
        monitor: the TableMonitor.
        table: rows with its columns.
        notice: takes what a user should know: the columns that take no part.

    Returns:
        The Watched.

    Raises:
        ValueError: columns that differ from those of the monitor.
    """
    selected = select_columns(table, monitor.columns, monitor.has_header)
    if selected.note:
        notice(selected.note)
    rows = selected.values
    _note_constant(monitor, rows, notice)
    chart, _ = anomaly.watch(monitor.monitor, rows)
    contribution = anomaly.contributions(monitor.monitor, rows)
    top = np.array(monitor.columns)[contribution.argmax(axis=1)]
    return Watched(chart, contribution, np.where(np.isfinite(chart.combined), top, ""))


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
