"""Numbers that mark something else, such as -999 for a missing value."""

import numpy as np

from aejax.base import ArrayLike

# What instruments and archives write for a missing value.
MARKS = (-999.0, -9999.0, -99999.0, -999.25, 999.0, 9999.0, 99999.0)

_FEWEST = 3
_FEWEST_OTHERS = 5  # fewer are switches and classes
_FARTHEST = 10.0
_MOST_OUTSIDE = 10  # marks and spikes


def find_sentinels(x: ArrayLike) -> list[tuple[int, float, int]]:
    """The outermost values of a column that repeat and lie far from all others.

    Far is ten times the range of the other values. A sensor at the end of its scale is not that far away, and a fault
    does not repeat to the last digit.

    Args:
        x: (n, c), NaN where missing.

    Returns:
        Of each such value: its column, the value, how many rows hold it (three at least).

    Example:
        >>> find_sentinels([[20.0], [21.0], [-999.0], [19.5], [-999.0], [20.5], [22.0], [-999.0]])
        [(0, -999.0, 3)]
    """
    found = []
    for index, column in enumerate(np.asarray(x, float).T):
        values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
        low, high = _others(values)
        outside = [*range(low), *range(high, len(values))]
        found += [(index, float(values[i]), int(counts[i])) for i in outside if counts[i] >= _FEWEST]
    return found


def _others(values: np.ndarray) -> tuple[int, int]:
    """Where the values begin and end from which the outer ones lie far away.

    They are taken off one by one, as two marks, or a mark and a spike, hide each other.
    """
    low, high = found = 0, len(values)
    for _ in range(min(_MOST_OUTSIDE, len(values) - _FEWEST_OTHERS)):
        if values[low + 1] - values[low] > values[high - 1] - values[high - 2]:
            low += 1
        else:
            high -= 1
        below = values[low] - values[low - 1] if low else np.inf
        above = values[high] - values[high - 1] if high < len(values) else np.inf
        if min(below, above) > _FARTHEST * (values[high - 1] - values[low]):
            found = low, high
    return found
