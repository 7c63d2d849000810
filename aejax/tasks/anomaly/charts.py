"""Control charts: smoothing, alarm rules, and statistics beside their limits."""

from typing import NamedTuple

import numpy as np

from aejax.base import ArrayLike


class Chart(NamedTuple):
    """What a control chart shows for each row.

    Attributes:
        t2: (n,), smoothed Hotelling T² of the code; 1 on average over normal rows. NaN where nothing is observed.
        spe: (n,), smoothed SPE of the residual, likewise.
        combined: (n,), smoothed mean of both.
        excess: (n,), how many times its limit SPE or the combined statistic is, whichever is more: the one statistic
            that is alarmed on.
        p_value: (n,), the share of held-out normal rows whose excess is as high.
        is_above: (n,) bool, the excess is above 1.
        is_alarm: (n,) bool, enough of the last rows were above: this is the alarm.
    """

    t2: np.ndarray
    spe: np.ndarray
    combined: np.ndarray
    excess: np.ndarray
    p_value: np.ndarray
    is_above: np.ndarray
    is_alarm: np.ndarray


def ewma(values: ArrayLike, smoothing: float, initial: ArrayLike = 1.0) -> np.ndarray:
    """The exponentially weighted moving average, s_t = (1 - a) s_{t-1} + a v_t (Roberts 1959).

    A small shift that lasts adds up while noise averages out; a mean delay of (1 - a) / a rows is the price.

    Args:
        values: (n, ...) in time. Where a value is missing (NaN) the average is missing, and continues after it.
        smoothing: a in (0, 1]; 1 for none.
        initial: s before the first row.

    Returns:
        (n, ...) float64.

    Raises:
        ValueError: ``smoothing`` is out of range.

    Example:
        >>> ewma([3.0, float("nan"), 2.0], 0.5).tolist()
        [2.0, nan, 2.0]
    """
    check_smoothing(smoothing)
    values = np.asarray(values, np.float64)
    average = np.broadcast_to(np.asarray(initial, np.float64), values.shape[1:])
    averages = np.empty_like(values)
    for index, value in enumerate(values):
        seen = np.isfinite(value)
        average = np.where(seen, (1 - smoothing) * average + smoothing * value, average)
        averages[index] = np.where(seen, average, np.nan)
    return averages


def votes(is_above: ArrayLike, rule: tuple[int, int]) -> np.ndarray:
    """The k-of-n alarm rule against chatter: an alarm where at least k of the last n rows are above.

    Args:
        is_above: (rows,) bool, in time.
        rule: (k, n), 1 <= k <= n; (1, 1) is no rule.

    Returns:
        (rows,) bool. Each depends on the rows up to it only; with k rows above in sequence the alarm comes k - 1 rows
        late.

    Raises:
        ValueError: another rule.

    Example:
        >>> votes([True, False, True, False, False], (2, 3)).tolist()
        [False, False, True, False, False]
    """
    check_rule(rule)
    enough, window = rule
    above = np.concatenate([np.zeros(window, int), np.cumsum(np.asarray(is_above, int))])
    return above[window:] - above[:-window] >= enough


def check_smoothing(smoothing: float) -> None:
    """Refuses a weight outside (0, 1]."""
    if not 0 < smoothing <= 1:
        raise ValueError(f"smoothing: found {smoothing}, expected a number in (0, 1], 1 for none")


def check_rule(rule: tuple[int, int]) -> None:
    """Refuses a rule that is not (k, n) with 1 <= k <= n."""
    if len(rule) != 2 or not 1 <= rule[0] <= rule[1]:
        raise ValueError(f"alarm_rule: found {rule}, expected (k, n) with 1 <= k <= n, such as (2, 3)")
