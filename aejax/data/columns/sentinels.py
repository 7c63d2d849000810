"""Numbers that mark something else, such as -999 for a missing value."""

import numpy as np

from aejax.base import ArrayLike

_FEWEST = 3
_FEWEST_OTHERS = 5  # fewer are switches and classes
_FARTHEST = 10.0


def find_sentinels(x: ArrayLike) -> list[tuple[int, float, int]]:
    """The smallest or largest value of a column, if it repeats and lies far from all others.

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
        for which, others in ((0, values[1:]), (-1, values[:-1])):
            if len(others) < _FEWEST_OTHERS or counts[which] < _FEWEST:
                continue
            distance = np.abs(others - values[which]).min()
            if distance > _FARTHEST * (others[-1] - others[0]):
                found.append((index, float(values[which]), int(counts[which])))
    return found
