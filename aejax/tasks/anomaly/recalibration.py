"""A monitor's limits or its normal state set anew, without training."""

import numpy as np

from aejax.base import Batch, Variables
from aejax.data.batches import RowsLike
from aejax.data.columns.scalers import fit_scaler
from aejax.tasks.anomaly.held_out import check_folds, held_out, taken
from aejax.tasks.anomaly.monitor import Monitor, check_limits, check_stretches, set_limits, stretches_of
from aejax.tasks.anomaly.rows_in_time import as_rows, row_windows
from aejax.tasks.anomaly.statistics import Statistics, Whitening, fit_whitening
from aejax.tasks.anomaly.stream import watch


def recalibrate(
    monitor: Monitor, x: RowsLike | None = None, *, false_alarm_rate: float | None = None, limits: str = "auto"
) -> Monitor:
    """Sets the limits anew, without training.

    Args:
        monitor: the Monitor.
        x: (m, c) normal rows in time that it was not trained on, such as those of another run of the plant; None
            for the held-out rows that it has.
        false_alarm_rate: the share of normal rows that may be above; the one it has if None.
        limits: "auto", "rows" or "blocks", as in ``fit_monitor``.

    Returns:
        The Monitor with these limits.

    Warns:
        UserWarning: as ``fit_monitor``, of few independent stretches.

    Raises:
        ValueError: rows with other columns, a rate out of range, no row with an observed value, or as ``fit_monitor``
            too few independent stretches.
    """
    rate = monitor.rate.asked if false_alarm_rate is None else false_alarm_rate
    scores, num_stretches = monitor.held_out, monitor.num_stretches
    if x is not None:
        chart, _ = watch(monitor, x)
        scores, num_stretches = Statistics(chart.t2, chart.spe, chart.combined), None
    check_limits(rate, limits, int(np.isfinite(scores.combined).sum()))
    if num_stretches is not None:
        check_stretches(num_stretches, len(scores.combined), limits)
    else:
        # Of what earlier versions saved nothing but the scores is known.
        rows = np.zeros((len(scores.combined), 0)) if x is None else _moving(monitor, as_rows(x)[0])
        num_stretches = stretches_of(scores, rows, limits)
    limit, obtained = set_limits(scores, rate, limits, num_stretches)
    return monitor._replace(held_out=scores, limit=limit, rate=obtained, num_stretches=num_stretches)


def rebase_monitor(
    monitor: Monitor,
    x: RowsLike,
    *,
    false_alarm_rate: float | None = None,
    limits: str = "auto",
    num_folds: int = 5,
) -> Monitor:
    """Accepts a new state of the process as normal, without training.

    After a change that stays, such as another product or a repaired pump, everything lies above the old limits. Rows
    of the new state, which someone who knows the process marks as normal, say where the centre of each column is now,
    and what codes and residuals are normal around it. Model and scales stay. As in ``fit_monitor`` the limits come from
    rows in whose measures they had no part: each of ``num_folds`` blocks is judged by the others.

    Args:
        monitor: the Monitor; it stays as it is.
        x: (m, c) rows of the new normal state in time, in their own units, NaN where missing; or a Batch with
            conditions. A column that the monitor ignores is still ignored.
        false_alarm_rate: the share of normal rows that may be above; the one it has if None.
        limits: "auto", "rows" or "blocks", as in ``fit_monitor``.
        num_folds: blocks of the rows.

    Returns:
        The Monitor of the new state.

    Warns:
        UserWarning: as ``fit_monitor``, of few independent stretches.

    Raises:
        ValueError: rows with other columns, or as ``fit_monitor`` too few of them.

    Example:
        >>> import jax
        >>> from aejax.tasks.anomaly import fit_monitor
        >>> rows = np.random.default_rng(0).standard_normal((900, 4))
        >>> monitor = fit_monitor(jax.random.key(0), rows[:300], num_epochs=2, false_alarm_rate=0.05)
        >>> moved = rows[300:] + [0, 0, 9, 0]
        >>> bool(watch(monitor, moved)[0].is_above[5:].all())
        True
        >>> bool(watch(rebase_monitor(monitor, moved[:300]), moved[300:])[0].is_above.mean() < 0.1)
        True
    """
    rate = monitor.rate.asked if false_alarm_rate is None else false_alarm_rate
    rows, cond = as_rows(x, len(monitor.scaler.mean), monitor.num_conditions)
    check_folds(num_folds, len(rows), monitor.num_lags)
    check_limits(rate, limits, len(rows))
    scaler = monitor.scaler._replace(mean=fit_scaler(rows).mean)
    windows = Batch(row_windows(scaler, rows, monitor.num_lags), cond=cond)  # type: ignore[arg-type]

    def learned(chosen: np.ndarray) -> tuple[Variables, Whitening]:
        return monitor.variables, fit_whitening(monitor.model, monitor.variables, taken(windows, chosen))

    scores = held_out(monitor.model, windows, rows, monitor.num_lags, [learned] * num_folds)
    smoothed = scores.smoothed(monitor.smoothing)
    num_stretches = stretches_of(smoothed, _moving(monitor, rows), limits)
    limit, obtained = set_limits(smoothed, rate, limits, num_stretches)
    return monitor._replace(
        scaler=scaler,
        whitening=scores.scaled(learned(np.arange(monitor.num_lags, len(rows)))[1]),
        held_out=smoothed,
        limit=limit,
        rate=obtained,
        num_stretches=num_stretches,
        left_out=(0, 0),
    )


def _moving(monitor: Monitor, rows: np.ndarray) -> np.ndarray:
    """The columns that take part."""
    return rows[:, np.isfinite(monitor.scaler.scale)]
