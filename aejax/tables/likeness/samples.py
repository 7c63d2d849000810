"""Tables of the same columns as arrays that can be compared: a category has one number in all of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aejax.base import ArrayLike
from aejax.data.columns.categories import numbers_of
from aejax.data.formats.tables import Table, select_columns


class Sample(NamedTuple):
    """Rows to compare.

    Attributes:
        names: of the c columns.
        values: (n, c), categories as numbers of their levels, NaN where missing.
        num_levels: (c,) how many levels a column of categories has, 0 for one of numbers.
    """

    names: tuple[str, ...]
    values: np.ndarray
    num_levels: np.ndarray

    @property
    def is_category(self) -> np.ndarray:
        """(c,) bool, which columns are of categories."""
        return self.num_levels > 0

    def rows(self, chosen: ArrayLike) -> "Sample":
        """Some of the rows, by their numbers."""
        return self._replace(values=self.values[np.asarray(chosen)])


def joined(first: Sample, second: Sample) -> Sample:
    """The rows of both.

    Args:
        first: rows.
        second: others of the same columns, from one call of ``samples_of``.

    Returns:
        The Sample, its rows in this order.
    """
    return first._replace(values=np.concatenate([first.values, second.values]))


def samples_of(tables: Sequence[Table]) -> tuple[Sample, ...]:
    """Tables that can be compared with the first one.

    Args:
        tables: the real one first; all have its columns, in any order.

    Returns:
        The Sample of each.

    Raises:
        ValueError: a table that lacks a column, or in which one is of numbers that is of categories in the first.

    Example:
        >>> from aejax.data.formats.tables import as_table
        >>> real = as_table({"T": [1.0, 2.5] * 5, "grade": ["A", "B"] * 5})
        >>> new = as_table({"T": [2.0, 1.5] * 5, "grade": ["C", "B"] * 5})
        >>> samples_of([real, new])[1].values[0], samples_of([real, new])[1].num_levels
        (array([2., 2.]), array([0, 3]))
    """
    names, selected = tables[0].columns, [select_columns(t, tables[0].columns, tables[0].has_header) for t in tables]
    values = [np.array(each.values) for each in selected]
    num_levels = np.zeros(len(names), int)
    for place, name in enumerate(names):
        texts = [each.categories.get(name) for each in selected]
        if all(own is None for own in texts):
            continue
        if any(own is None for own in texts):
            raise ValueError(
                f"column {name!r}: found numbers in one table and categories in another, expected the same in both; "
                f"say --kinds {name}=category"
            )
        levels = list(dict.fromkeys(level for own in texts if own for level in own))
        num_levels[place] = len(levels)
        for own, rows in zip(texts, values, strict=True):
            rows[:, place] = numbers_of(own or (), rows[:, place], levels)
    return tuple(Sample(names, rows, num_levels) for rows in values)
