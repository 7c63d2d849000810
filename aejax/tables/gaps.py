"""What is missing in a table, in words."""

from typing import NamedTuple

import numpy as np

from aejax.tables.profiles import Notice

_MOST_NAMED = 5


class Gaps(NamedTuple):
    """What of a table is not observed.

    Attributes:
        num_rows: of the table.
        num_with_gaps: rows of which something is missing, but not all.
        num_empty: rows of which nothing is observed.
        by_column: in how many of the rows with gaps each column is missing, of those that ever are.
    """

    num_rows: int
    num_with_gaps: int
    num_empty: int
    by_column: dict[str, int]


def find_gaps(x: np.ndarray, columns: tuple[str, ...]) -> Gaps:
    """Counts what is missing.

    Args:
        x: (n, c), NaN where missing.
        columns: c names.

    Returns:
        The Gaps.

    Example:
        >>> find_gaps(np.array([[1.0, np.nan], [np.nan, np.nan], [1.0, 2.0]]), ("flow", "level"))
        Gaps(num_rows=3, num_with_gaps=1, num_empty=1, by_column={'level': 1})
    """
    is_missing = np.isnan(x)
    is_empty = is_missing.all(axis=1)
    counts = is_missing[~is_empty].sum(axis=0)
    by_column = {name: int(count) for name, count in zip(columns, counts, strict=True) if count}
    has_gaps = is_missing.any(axis=1) & ~is_empty
    return Gaps(len(x), int(has_gaps.sum()), int(is_empty.sum()), by_column)


def describe(gaps: Gaps) -> str:
    """One line for a summary; empty where nothing is missing.

    Args:
        gaps: from ``find_gaps``.

    Returns:
        The line.

    Example:
        >>> describe(Gaps(300, 20, 1, {"level": 20, "flow": 3}))
        'rows with gaps: 20 of 300 (level 20, flow 3); empty rows, without a verdict: 1'
        >>> describe(Gaps(300, 0, 0, {}))
        ''
    """
    parts = []
    if gaps.num_with_gaps:
        in_order = sorted(gaps.by_column.items(), key=lambda item: -item[1])
        named = [f"{name} {count}" for name, count in in_order[:_MOST_NAMED]]
        named += [f"{len(in_order) - _MOST_NAMED} more columns"] if len(in_order) > _MOST_NAMED else []
        parts.append(f"rows with gaps: {gaps.num_with_gaps} of {gaps.num_rows} ({', '.join(named)})")
    if gaps.num_empty:
        parts.append(f"empty rows, without a verdict: {gaps.num_empty}")
    return "; ".join(parts)


def say_gaps(gaps: Gaps, num_similar: int, num_other: int, notice: Notice) -> None:
    """Says which rows and columns have gaps, and for which of them the false alarm rate does not hold by itself.

    Args:
        gaps: of all rows.
        num_similar: rows that are compared with normal rows of similar gaps, see ``Detection.compared_with``.
        num_other: those that are compared with normal rows of other gaps.
        notice: takes a line.
    """
    if line := describe(gaps):
        notice(line)
    for count, consequence in (
        (
            num_similar,
            "are of so many patterns, or miss so much less than the calibration rows, that the false alarm rate holds "
            "over all of them together and not for each pattern",
        ),
        (
            num_other,
            "have gaps, for which the run's alarm limit does not hold: an earlier version wrote it; train it again",
        ),
    ):
        if count:
            notice(f"{count} rows {consequence}")
