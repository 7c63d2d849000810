"""Rows at the end of a table that are the sums or the means of those above them, whatever calls them so."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from aejax.data.formats.options import ReadOptions
from aejax.data.formats.table_files.registry import Column
from aejax.data.formats.text.totals import sentence

_MOST_COMPUTED = 4
_FEWEST_ABOVE = 5
# So unlikely is it that the columns of an ordinary row are sums or means of those above.
_CHANCE = 1e-5
_FEW_VALUES = 10  # the middle between few settings is a setting
_NUM_LOOKED_AT = 50
_NUM_DISTINCT_SOUGHT = 1_000
_FLOAT32, _FLOAT64 = 1e-6, 1e-12  # rounding of a sum


class _Sum(NamedTuple):
    """Of the values of a column that are not missing."""

    total: float
    num_values: int


class _Match(NamedTuple):
    """How near a value is to the sum or the mean of those above it.

    Attributes:
        is_sum: whether it is the sum.
        chance: that an ordinary value is as near; 1 where it is neither.
        is_alike: (n,) bool, which values above are as near.
        standardised: (n,) the values above, 0 where missing.
    """

    is_sum: bool
    chance: float
    is_alike: np.ndarray
    standardised: np.ndarray


def without_computed(columns: list[Column], options: ReadOptions) -> tuple[list[Column], list[str]]:
    """Columns without the last rows that hold the sums or means of the rows above, in most columns.

    Args:
        columns: of numbers, dates and text.
        options: which may say to keep them.

    Returns:
        The columns, and what was left out, a sentence or none.

    Example:
        >>> x = np.random.default_rng(0).normal(50, 5, (20, 2))
        >>> columns = [Column(name, np.append(values, values.sum())) for name, values in zip("ab", x.T)]
        >>> [len(column.values) for column in without_computed(columns, ReadOptions())[0]]
        [20, 20]
    """
    num_rows = len(columns[0].values) if columns else 0
    if options.keep_totals:
        return columns, []
    num_computed = _num_computed([column.values for column in columns])
    if not num_computed:
        return columns, []
    end = num_rows - num_computed
    kept = [
        column._replace(values=column.values[:end], cells=None if column.cells is None else column.cells[:end])
        for column in columns
    ]
    return kept, [sentence(num_computed, "the sum or the mean of the rows above in most columns")]


class Above(NamedTuple):
    """What is known of the values of a column that are not held any more.

    Attributes:
        total: their sum.
        num_values: how many are not missing.
        distinct: some of them that differ, a dozen at most.
    """

    total: float = 0.0
    num_values: int = 0
    distinct: tuple[float, ...] = ()

    def and_below(self, values: np.ndarray) -> "Above":
        """The same with the values that follow."""
        of_values = _sum(values)
        distinct = self.distinct
        if len(distinct) <= _FEW_VALUES:
            shown = values[:_NUM_DISTINCT_SOUGHT]
            found = np.unique(np.append(shown[~np.isnan(shown)], distinct))[: _FEW_VALUES + 1]
            distinct = tuple(found.tolist())
        return Above(self.total + of_values.total, self.num_values + of_values.num_values, distinct)


def may_end_in_sums(last: Sequence[np.ndarray], above: Sequence[Above]) -> bool:
    """Whether ``without_computed`` might leave out last rows, where most of a table is known by its sums only.

    It may say so of a table from which nothing would be left out.

    Args:
        last: the values of the last rows by column, some of those above the ones in question among them.
        above: of each column what stood above these.

    Returns:
        Whether.

    Example:
        >>> x = np.random.default_rng(0).normal(50, 5, (20, 2))
        >>> above = [Above().and_below(values[:10]) for values in x.T]
        >>> ended = [np.append(values[10:], values.sum()) for values in x.T]
        >>> may_end_in_sums(ended, above), may_end_in_sums(list(x[10:].T), above)
        (True, False)
    """
    num_rows = len(last[0]) if last else 0
    begin = max(1, num_rows - _MOST_COMPUTED)
    known = [one.and_below(values[:begin]) for values, one in zip(last, above, strict=True)]
    for row in range(begin, num_rows):
        are_near = [_may_be_sum(values[: row + 1], one) for values, one in zip(last, known, strict=True)]
        telling = [is_near for is_near in are_near if is_near is not None]
        if 2 * sum(telling) > len(telling):
            return True
        known = [one.and_below(values[row : row + 1]) for values, one in zip(last, known, strict=True)]
    return False


def _may_be_sum(values: np.ndarray, above: Above) -> bool | None:
    """Whether the last value is near the sum or the mean of all above it; None where that tells nothing."""
    value = float(values[-1])
    near = _near(values[:-1], value, _Sum(above.total, above.num_values))
    is_setting = len(above.distinct) <= _FEW_VALUES and value in above.distinct
    if near is None or is_setting:
        return None
    return near[1] <= 1.01 * near[2]  # sums are rounded in another order


def _num_computed(columns: Sequence[np.ndarray]) -> int:
    """How many rows at the end begin with one that is computed from those above it."""
    num_rows = len(columns[0]) if columns else 0
    begin = max(num_rows - _MOST_COMPUTED, _FEWEST_ABOVE) - 1
    sums, was_sum = [_sum(values[:begin]) for values in columns], False
    for row in range(begin, num_rows):
        matches = [_match(values[:row], float(values[row]), sum_) for values, sum_ in zip(columns, sums, strict=True)]
        telling = [match for match in matches if match is not None]
        met = [match for match in telling if match.chance < 1]
        if 2 * len(met) > len(telling) and not was_sum and row > begin and _are_no_chance(met):
            return num_rows - row
        # Where each row doubles the last one, all are sums.
        was_sum = 2 * sum(match.is_sum for match in met) > len(telling)
        sums = [_with(sum_, float(values[row])) for values, sum_ in zip(columns, sums, strict=True)]
    return 0


def _sum(values: np.ndarray) -> _Sum:
    with np.errstate(over="ignore", invalid="ignore"):  # infinite values are refused elsewhere
        total = values.sum()
        if not np.isnan(total):
            return _Sum(float(total), len(values))
        return _Sum(float(np.nansum(values)), int(np.count_nonzero(~np.isnan(values))))


def _with(before: _Sum, value: float) -> _Sum:
    return before if np.isnan(value) else _Sum(before.total + value, before.num_values + 1)


def _are_no_chance(met: Sequence[_Match]) -> bool:
    """Whether it is no chance that so many columns match: no row above comes as near in as many."""
    mean = float(np.mean(np.log([match.chance for match in met])))
    if mean * _num_independent([match.standardised for match in met]) > math.log(_CHANCE):
        return False
    return bool(np.sum([match.is_alike for match in met], axis=0).max() < len(met))


def _num_independent(columns: Sequence[np.ndarray]) -> float:
    """How many independent columns vary as much together as these do."""
    rows = np.column_stack(columns)
    correlation = rows.T @ rows / len(rows)
    np.fill_diagonal(correlation, 1)  # of constant columns too
    return len(columns) ** 2 / float(np.sum(np.square(correlation)))


def _match(above: np.ndarray, value: float, of_above: _Sum) -> _Match | None:
    """How a value compares with the sum and the mean of those above it; None where that tells nothing."""
    near = _near(above, value, of_above)
    if near is None:
        return None
    target, nearness, room = near
    if nearness > room:
        return _Match(False, 1.0, np.zeros(0, bool), np.zeros(0))
    unit = _unit(value)
    seen = above[~np.isnan(above)]
    least, most = seen.min(), seen.max()
    if least <= value <= most and len(np.unique(seen)) <= _FEW_VALUES:
        return None
    spread = seen.std()
    nearness = max(nearness, 0.5 * unit, _FLOAT64 * abs(target))
    chance = 2 * nearness / max(spread, least - value, value - most)
    if not least <= value <= most:
        chance /= len(seen) + 1  # the farthest of all rows
    standardised = np.nan_to_num((above - seen.mean()) / (spread or 1.0))
    return _Match(target == of_above.total, min(chance, 1.0), np.abs(above - value) <= room, standardised)


def _near(above: np.ndarray, value: float, of_above: _Sum) -> tuple[float, float, float] | None:
    """The sum or mean of the values above, how far a value is from it and how far it may be; None without values."""
    if not np.isfinite([value, of_above.total]).all() or not of_above.num_values:
        return None
    root = math.sqrt(of_above.num_values)
    shown = _last(above)
    unit, unit_above = _unit(value), min(map(_unit, shown)) if shown else 1.0
    # What is shown is rounded, what was added up was not.
    total = (of_above.total, unit_above * root)
    mean = (of_above.total / of_above.num_values, unit_above / root)
    found = [
        (target, abs(value - target), 0.5 * unit + rounding + _FLOAT32 * abs(target))
        for target, rounding in (total, mean)
    ]
    return next((near for near in found if near[1] <= near[2]), found[1])


def _last(values: np.ndarray) -> list[float]:
    shown = values[-_NUM_LOOKED_AT:]
    shown = shown[~np.isnan(shown)]
    return shown.tolist() or values[~np.isnan(values)][-1:].tolist()


def _unit(value: float) -> float:
    """Of the last digit that a number is written with; 1 for a whole one."""
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    assert isinstance(exponent, int)  # a finite number
    return min(10.0**exponent, 1.0)
