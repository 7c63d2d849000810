"""A process monitor: what it consists of, and its limits."""

import math
from typing import NamedTuple

import numpy as np

from aejax.base import Model, Variables
from aejax.data.columns.scalers import Scaler
from aejax.tasks.anomaly.limits import (
    ObtainedRate,
    block_length,
    block_threshold,
    check_rate,
    num_blocks,
    obtained_rate,
    threshold,
)
from aejax.tasks.anomaly.statistics import Statistics, Whitening


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


def excess(found: Statistics, limit: Statistics) -> np.ndarray:
    """How many times its limit SPE or the combined statistic is, whichever is more: an alarm where this is above 1.

    Args:
        found: smoothed statistics, each (n,).
        limit: of each, scalars.

    Returns:
        (n,).
    """
    return np.maximum(found.spe / limit.spe, found.combined / limit.combined)


def set_limits(held_out: Statistics, rate: float, limits: str) -> tuple[Statistics, ObtainedRate]:
    """The limits that held-out normal rows give.

    Args:
        held_out: their smoothed statistics, each (m,).
        rate: the share of normal rows that may be above.
        limits: "rows" or "blocks", as in ``fit_monitor``.

    Returns:
        The limit of each statistic, scalars, and the rate that they give.

    Raises:
        ValueError: a rate that is too low for so few rows, or no row with an observed value.
    """
    length = max(map(block_length, held_out))
    num_seen = int(np.isfinite(held_out.combined).sum())
    check_limits(rate, limits, num_seen, num_blocks(held_out.combined, length))

    def limit_of(score: np.ndarray) -> np.ndarray:
        return np.asarray(block_threshold(score, length, rate) if limits == "blocks" else threshold(score, rate))

    alone = Statistics(*map(limit_of, held_out))
    farthest = excess(held_out, alone)
    common = limit_of(farthest)
    raised = {name: np.asarray(common * getattr(alone, name)) for name in ("spe", "combined")}
    return alone._replace(**raised), obtained_rate(farthest, length, rate, limits)


def check_limits(rate: float, limits: str, num_rows: int, num_blocks: float = math.inf) -> None:
    """Refuses a rate that is too low for so few normal rows, and a way of setting limits that does not exist."""
    if limits not in ("rows", "blocks"):
        raise ValueError(f'limits: found {limits!r}, expected "rows" or "blocks"')
    check_rate(rate)
    is_few_blocks = limits == "blocks" and num_blocks < num_rows
    found, unit = (num_blocks, "blocks") if is_few_blocks else (num_rows, "rows")
    if rate * (found + 1) < 1 - 1e-9:
        raise ValueError(
            f"false_alarm_rate: found {rate}, but {found} {unit} of held-out normal operation are too few for a rate "
            f"that low; ask for at least {1 / (found + 1):.2g}, or give more rows"
            + (', or limits="rows"' if is_few_blocks else "")
        )
