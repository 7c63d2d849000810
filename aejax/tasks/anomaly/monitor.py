"""A process monitor: what it consists of, and its limits."""

import math
import warnings
from typing import NamedTuple

import numpy as np

from aejax.base import Model, Variables
from aejax.data.columns.scalers import Scaler
from aejax.tasks.anomaly.correlation import length_of, num_stretches
from aejax.tasks.anomaly.limits import ObtainedRate, check_rate, limit_on, num_blocks, obtained_rate
from aejax.tasks.anomaly.statistics import Statistics, Whitening

WAYS = ("auto", "rows", "blocks")
# Over the grid of ``benchmarks.monitor_limits`` limits hold on average with 3 stretches; with 2 they are endless.
FEWEST_STRETCHES = 3
# Each block is judged by what the other four fifths of the rows taught: so many of the stretches count. Chosen with
# seeds 0 to 9 of that grid in view, where without it two of 39 cells were at 2.1 and 2.3 times the rate.
_LEARNED = 0.8
# With fewer they vary so much from table to table that a user should know.
FEW_STRETCHES = 10


class Monitor(NamedTuple):
    """All that is needed to judge new rows.

    Attributes:
        model: of flattened windows of scaled rows.
        variables: its variables.
        scaler: of the columns.
        whitening: of normal codes and residuals.
        num_lags: earlier rows in a window.
        smoothing: weight of the newest row in the moving averages.
        alarm_rule: (k, n), an alarm where k of the last n rows are above the limit.
        held_out: statistics of the normal rows that set the limits, smoothed, each (m,).
        limit: of each statistic, scalars. A row is above where SPE or the combined statistic is; these two limits are
            raised together until both give no more false alarms than asked for. The limit of T² alone is for the chart
            only.
        rate: the false alarm rate asked for, and the one obtained on held-out normal rows.
        num_conditions: that its model is given beside each row.
        num_stretches: how many independent stretches the normal rows hold that set the limits; None in what earlier
            versions saved.
        left_out: how many rows at the beginning and at the end of the normal rows were left out, since they stood out
            as a start-up does.
    """

    model: Model
    variables: Variables
    scaler: Scaler
    whitening: Whitening
    num_lags: int
    smoothing: float
    alarm_rule: tuple[int, int]
    held_out: Statistics
    limit: Statistics
    rate: ObtainedRate
    num_conditions: int = 0
    num_stretches: float | None = None
    left_out: tuple[int, int] = (0, 0)


def excess(found: Statistics, limit: Statistics) -> np.ndarray:
    """How many times its limit SPE or the combined statistic is, whichever is more: an alarm where this is above 1.

    Args:
        found: smoothed statistics, each (n,).
        limit: of each, scalars.

    Returns:
        (n,).
    """
    return np.maximum(found.spe / limit.spe, found.combined / limit.combined)


def set_limits(held_out: Statistics, rate: float, limits: str, num_stretches: float) -> tuple[Statistics, ObtainedRate]:
    """The limits that held-out normal rows give.

    Args:
        held_out: their smoothed statistics, each (m,).
        rate: the share of normal rows that may be above.
        limits: "auto", "rows" or "blocks", as in ``fit_monitor``.
        num_stretches: how many independent stretches the rows hold.

    Returns:
        The limit of each statistic, scalars, and the rate that they give.

    Raises:
        ValueError: a rate that is too low for so few rows, or no row with an observed value.
    """
    num_seen = int(np.isfinite(held_out.combined).sum())
    length = length_of(num_seen, num_stretches)
    check_limits(rate, limits, num_seen, num_blocks(held_out.combined, length))

    learned = _LEARNED * num_stretches

    def limit_of(score: np.ndarray) -> np.ndarray:
        return np.asarray(limit_on(score, rate, limits, length, learned))

    alone = Statistics(*map(limit_of, held_out))
    farthest = excess(held_out, alone)
    common = limit_of(farthest)
    raised = {name: np.asarray(common * getattr(alone, name)) for name in ("spe", "combined")}
    return alone._replace(**raised), obtained_rate(farthest, length, rate, limits, learned)


def check_limits(rate: float, limits: str, num_rows: int, num_blocks: float = math.inf) -> None:
    """Refuses a rate that is too low for so few normal rows, and a way of setting limits that does not exist."""
    if limits not in WAYS:
        raise ValueError(f"limits: found {limits!r}, expected {', '.join(WAYS)}")
    check_rate(rate)
    is_few_blocks = limits == "blocks" and num_blocks < num_rows
    found, unit = (num_blocks, "blocks") if is_few_blocks else (num_rows, "rows")
    if rate * (found + 1) < 1 - 1e-9:
        raise ValueError(
            f"false_alarm_rate: found {rate}, but {found} {unit} of held-out normal operation are too few for a rate "
            f"that low; ask for at least {1 / (found + 1):.2g}, or give more rows"
            + (', or limits="auto"' if is_few_blocks else "")
        )


def stretches_of(held_out: Statistics, rows: np.ndarray, limits: str) -> float:
    """How many independent stretches normal rows hold; refuses limits on too few of them, and warns of few.

    Args:
        held_out: smoothed statistics of the rows, each (m,).
        rows: (m, c) themselves: scores of a short table do not show how slow a state is that they hardly saw.
        limits: "auto", "rows" or "blocks".

    Returns:
        The number.

    Raises:
        ValueError: as ``check_stretches``.

    Warns:
        UserWarning: as ``check_stretches``.
    """
    by_column = [num_stretches(column) for column in rows.T]
    found = min(num_stretches(*held_out), *by_column)
    slowest = f" (column {by_column.index(found)}, counted from 0, is the slowest)" if found in by_column else ""
    check_stretches(found, len(rows), limits, slowest)
    return round(found, 3)


def check_stretches(found: float, num_rows: int, limits: str, slowest: str = "") -> None:
    """Refuses limits on too few independent stretches, and warns of few.

    Args:
        found: how many there are.
        num_rows: in which.
        limits: "auto", which has to know; others are not refused.
        slowest: the column that says so, in words.

    Raises:
        ValueError: fewer than 3.

    Warns:
        UserWarning: fewer than 10.
    """
    hold = f"x: the {num_rows} rows hold only about {found:.1f} independent stretches{slowest}"
    if found < FEWEST_STRETCHES and limits == "auto":
        raise ValueError(
            f"{hold}, expected at least {FEWEST_STRETCHES}, for no limit follows from so few; give normal rows over a "
            'longer time, leave out a column that only rises or falls, or set limits="rows", whose false alarms may '
            "be many times those asked for"
        )
    if found < FEW_STRETCHES:
        consequence = (
            "so that limits are wide and small faults are missed"
            if limits == "auto"
            else "so that other normal operation may give many times the false alarms asked for"
        )
        warnings.warn(
            f"{hold}, {consequence}; give normal rows over a longer time, or recalibrate the limits with those of "
            "another run",
            stacklevel=4,
        )
