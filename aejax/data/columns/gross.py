"""Gross errors: single values so far out that no tail of the column reaches them."""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from aejax.base import ArrayLike

# At most this share of a column are gross errors. What is more frequent is a state of the plant.
_MOST = 0.02
# In other rows, fewer than those of training, chance adds to it.
_MOST_ELSEWHERE = 0.05
# The tail is drawn through the column's 2 % and 10 % points. One clean column in a thousand reaches beyond its end.
_SHOULDER = 0.1
_CHANCE = 1e-3
# A column with a short tail, such as a uniform one, still has room for values not seen yet.
_ROOM = 3.0
_FEWEST_ROWS = 20


class Limits(NamedTuple):
    """Beyond what a value is a gross error.

    Attributes:
        lower: (c,) in the units of the columns; -inf where no limit can be drawn.
        upper: (c,), inf likewise.
    """

    lower: np.ndarray
    upper: np.ndarray


def fit_limits(x: ArrayLike) -> Limits:
    """The limits of each column, from rows of which up to 2 % may be gross errors.

    On each side of the median, distances are taken to have a log-normal tail: the logarithm of the distance rises with
    the normal quantile as it does between the 10 % and the 2 % point. The limit is where that tail comes in one of a
    thousand such columns, and at least three times the distance of the 2 % point. Normal columns have it near eleven
    standard deviations; log-normal ones have it further out than any of their values.

    Args:
        x: (n, c) training rows, NaN where missing.

    Returns:
        The Limits. A column of under 20 values has none, nor has one of which nine tenths are the same value.

    Example:
        >>> x = np.random.default_rng(0).normal(300, 8, (500, 1))
        >>> x[7] = 3e8
        >>> limits = fit_limits(x)
        >>> bool(360 < limits.upper[0] < 450)
        True
    """
    sides = np.array([_limits(column[~np.isnan(column)]) for column in np.asarray(x, float).T]).reshape(-1, 2)
    return Limits(sides[:, 0], sides[:, 1])


def gross_errors(limits: Limits, x: ArrayLike) -> np.ndarray:
    """Which values are gross errors: those beyond the limits, where they are rare.

    Args:
        limits: from ``fit_limits``.
        x: (n, c), NaN where missing.

    Returns:
        (n, c) bool. A column of which more than 5 % (and more than two values) lie beyond has none: it has changed.

    Example:
        >>> limits = Limits(np.array([0.0]), np.array([9.0]))
        >>> gross_errors(limits, [[5.0], [1e6], [4.0]])[:, 0]
        array([False,  True, False])
        >>> gross_errors(limits, [[5e6], [1e6], [4e6]]).any()
        np.False_
    """
    is_beyond = beyond(limits, x)
    return is_beyond & are_rare(is_beyond.sum(axis=0), len(is_beyond))


def beyond(limits: Limits, x: ArrayLike) -> np.ndarray:
    """Which values lie beyond the limits, however many they are.

    Args:
        limits: from ``fit_limits``.
        x: (n, c), NaN where missing.

    Returns:
        (n, c) bool.
    """
    values = np.asarray(x, float)
    return (values < limits.lower) | (values > limits.upper)


def are_rare(num_beyond: np.ndarray, num_rows: int) -> np.ndarray:
    """In which columns what lies beyond the limits is so rare that it counts as gross errors: see ``gross_errors``.

    Args:
        num_beyond: (c,) values beyond the limits.
        num_rows: of the table.

    Returns:
        (c,) bool.

    Example:
        >>> are_rare(np.array([2, 3, 5, 6]), 100)
        array([ True,  True,  True, False])
    """
    return num_beyond <= max(2, _MOST_ELSEWHERE * num_rows)


def no_limits(num_columns: int) -> Limits:
    """Limits that nothing is beyond.

    Example:
        >>> no_limits(1)
        Limits(lower=array([-inf]), upper=array([inf]))
    """
    return Limits(np.full(num_columns, -np.inf), np.full(num_columns, np.inf))


def _limits(values: np.ndarray) -> tuple[float, float]:
    if len(values) < _FEWEST_ROWS:
        return -math.inf, math.inf
    centre = float(np.median(values))
    below, above = _reach(centre - values), _reach(values - centre)
    # A side on which nothing lies, below many zeros say, is given the reach of the other one.
    below, above = below or above, above or below
    return (centre - below, centre + above) if below and above else (-math.inf, math.inf)


def _reach(distances: np.ndarray) -> float | None:
    """How far the tail of one side reaches; None where nothing varies there."""
    num_rows = len(distances)
    outer, inner = _rank(num_rows), math.ceil(_SHOULDER * num_rows) + 1
    ordered = np.sort(distances)[::-1]
    far, near = float(ordered[outer - 1]), float(ordered[inner - 1])
    if near <= 0:
        return None
    z_far, z_near, z_end = (-NormalDist().inv_cdf(part / num_rows) for part in (outer, inner, _CHANCE))
    slope = math.log(far / near) / (z_far - z_near) if inner > outer else 0.0
    return far * max(_ROOM, math.exp(slope * (z_end - z_far)))


def _rank(num_rows: int) -> int:
    """The largest value that is surely none of the gross errors."""
    return math.ceil(_MOST * num_rows) + 1
