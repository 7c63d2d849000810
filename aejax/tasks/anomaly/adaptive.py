"""Limits that follow a process that drifts: adaptive conformal inference (Gibbs & Candès 2021)."""

from typing import NamedTuple

import numpy as np

from aejax.data.batches import RowsLike
from aejax.tasks.anomaly.charts import Chart
from aejax.tasks.anomaly.monitor import Monitor
from aejax.tasks.anomaly.stream import StreamState, start, watch


class AdaptiveState(NamedTuple):
    """What adaptive limits must remember between two rows.

    Attributes:
        stream: of the averages.
        rate: scalar, the rate at which the next row is judged; it may leave [0, 1] by one step.
        above: (n,) bool, whether the last n rows were above the limit, the newest first.
    """

    stream: StreamState
    rate: np.ndarray
    above: np.ndarray


def watch_adaptive(
    monitor: Monitor, x: RowsLike, state: AdaptiveState | None = None, step: float = 0.001
) -> tuple[Chart, AdaptiveState]:
    """Judges new rows as ``watch`` does, by limits that rise after rows above them and fall after rows below.

    A row is above where its p-value is at most a_t, which begins at the rate a that the monitor was fitted for; then
    a_{t+1} = a_t + step * (a - [row t was above]). Whatever the rows are, of T rows a share is above that differs from
    a by at most (max(a, 1 - a) + step) / (T * step) (Gibbs & Candès 2021, proposition 4.1).

    So this is for a process that drifts, and no default: a fault that lasts raises the limits too. However large it is,
    about a / step of its rows in sequence are above, 10 with the defaults; then it counts as normal, and a share a of
    its rows is. For a new state that is there at once, ``rebase_monitor``.

    Args:
        monitor: the Monitor.
        x: as in ``watch``.
        state: from the call before; None at the beginning.
        step: how fast the limits follow, in (0, 1]. A larger one follows faster, and loses faults sooner.

    Returns:
        (Chart, AdaptiveState): ``is_above`` and ``is_alarm`` by the limits that adapt, the rest as from ``watch``; and
        what to hand to the next call.

    Raises:
        ValueError: rows with other columns than in training, or a step out of range.

    Example:
        >>> import jax
        >>> from aejax.tasks.anomaly import fit_monitor
        >>> rows = np.random.default_rng(0).standard_normal((2300, 4))
        >>> monitor = fit_monitor(jax.random.key(0), rows[:300], num_epochs=2, false_alarm_rate=0.05)
        >>> drifting = rows[300:] + np.linspace(0, 2, 2000)[:, None]
        >>> fixed, adaptive = watch(monitor, drifting)[0], watch_adaptive(monitor, drifting, step=0.005)[0]
        >>> bool(fixed.is_above.mean() > 0.4), bool(abs(adaptive.is_above.mean() - 0.05) < 0.955 / (2000 * 0.005))
        (True, True)
    """
    check_step(step)
    state = start_adaptive(monitor) if state is None else state
    chart, stream = watch(monitor, x, state.stream)
    is_above, is_alarm, rate, above = adapted(chart.p_value, monitor, float(state.rate), state.above, step)
    return chart._replace(is_above=is_above, is_alarm=is_alarm), AdaptiveState(stream, rate, above)


def start_adaptive(monitor: Monitor) -> AdaptiveState:
    """The state before the first row.

    Args:
        monitor: the Monitor.

    Returns:
        The AdaptiveState.
    """
    return AdaptiveState(start(monitor), np.asarray(monitor.rate.asked), np.zeros(monitor.alarm_rule[1], bool))


def adapted(
    p_value: np.ndarray, monitor: Monitor, rate: float, above: np.ndarray, step: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Which rows are above limits that adapt, and which are alarms.

    Args:
        p_value: (n,) in (0, 1], NaN for a row that is not judged: it moves no limit and has no vote.
        monitor: whose rate is asked for, and whose alarm rule holds.
        rate: of the first row.
        above: the votes before it.
        step: as in ``watch_adaptive``.

    Returns:
        (n,) and (n,) bool, then the rate and the votes after the last row.
    """
    is_above, is_alarm = np.zeros((2, len(p_value)), bool)
    for row in np.flatnonzero(~np.isnan(p_value)):
        is_above[row] = p_value[row] <= rate
        rate += step * (monitor.rate.asked - is_above[row])
        above = np.concatenate([is_above[row : row + 1], above[:-1]])
        is_alarm[row] = above.sum() >= monitor.alarm_rule[0]
    return is_above, is_alarm, np.asarray(rate), above


def check_step(step: float) -> None:
    """Refuses a step outside (0, 1]."""
    if not 0 < step <= 1:
        raise ValueError(f"step: found {step}, expected a number in (0, 1], such as 0.001")
