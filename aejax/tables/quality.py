"""How near reconstructions and new rows are to a table, column by column, whatever the kind of the column."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aejax.data.columns.categories import UNSEEN
from aejax.data.columns.features import summed, widths
from aejax.data.columns.kinds import CATEGORY, Column
from aejax.data.moments import Moments, merged, moments

_MOST_EDGES = 1 << 17  # between which numbers of a column are counted


class Residuals(NamedTuple):
    """What reconstructions leave of rows: sums, which are added up over blocks of rows.

    Attributes:
        of: the Moments of the f features of the rows.
        left: (f,) sum of the squared differences from their reconstruction.
    """

    of: Moments
    left: np.ndarray


def residuals(features: np.ndarray, reconstruction: np.ndarray) -> Residuals:
    """The Residuals of some rows.

    Args:
        features: (n, f) of rows, NaN where missing.
        reconstruction: (n, f).

    Returns:
        The Residuals.
    """
    features = np.asarray(features, float)
    seen = ~np.isnan(features)
    return Residuals(moments(features), np.sum(np.square(features - reconstruction), axis=0, where=seen))


def added(parts: Sequence[Residuals]) -> Residuals:
    """The Residuals of all rows.

    Args:
        parts: of blocks of rows, at least one.

    Returns:
        The Residuals.
    """
    return Residuals(merged([part.of for part in parts]), np.sum([part.left for part in parts], axis=0))


def explained_variance(columns: Sequence[Column], found: Residuals) -> np.ndarray:
    """The share of the variance of each column that a reconstruction explains, that of all its features together.

    Args:
        columns: c Columns.
        found: of the rows.

    Returns:
        (c,), at most 1; NaN for a column that does not vary.

    Example:
        >>> grade = Column("category", {"levels": ["A", "B"], "has_missing": False, "rare": 0.0})
        >>> features = np.array([[0.0, 1.0, 0.0], [2.0, 0.0, 1.0]])
        >>> found = residuals(features, np.array([[0.0, 0.5, 0.5], [2.0, 0.5, 0.5]]))
        >>> explained_variance([Column("number", {}), grade], found)
        array([1., 0.])
    """
    count = found.of.observed
    largest = np.where(count > 0, np.maximum(np.abs(found.of.least), np.abs(found.of.most)), 0.0)
    # What a column of one repeated number "varies" by is rounding.
    varies = found.of.squares > 1e-20 * count * np.square(largest)
    by_feature = np.where(varies, 1 - found.left / np.where(varies, found.of.squares, 1), np.nan)
    is_wide = widths(columns) > 1
    if not is_wide.any():
        return by_feature
    total = found.of.squares / np.maximum(count, 1) * varies
    of_column = summed(columns, total)
    together = summed(columns, np.nan_to_num(by_feature) * total) / np.where(of_column > 0, of_column, np.nan)
    first = np.cumsum(widths(columns)) - widths(columns)
    return np.where(is_wide, together, by_feature[first])


class Distances:
    """How far two samples of rows are apart: the total variation distance of categories, of all else that of KS.

    Both come block by block. Of numbers it is counted how many lie between edges, which are the numbers of the first
    block. So the distance of KS is exact where there is one block of at most 65,536 rows of each. Of more rows the one
    that is found is too small by at most what lies between two edges: about 1e-5.

    Args:
        columns: c Columns.

    Example:
        >>> grade = Column("category", {"levels": ["A", "B"], "has_missing": False, "rare": 0.0})
        >>> distances = Distances([grade])
        >>> distances.add(np.array([[0.0], [1.0]]), np.array([[0.0], [0.0]]))
        >>> distances.found()
        array([0.5])
    """

    def __init__(self, columns: Sequence[Column]):
        self._columns = columns
        self._edges: list[np.ndarray] = []
        self._counts: list[np.ndarray] = []

    def add(self, first: np.ndarray, second: np.ndarray) -> None:
        """Counts a block of each sample.

        Args:
            first: (n, c), NaN where missing.
            second: (m, c), likewise.
        """
        pairs = [
            tuple(_known(column, rows[:, place]) for rows in (first, second))
            for place, column in enumerate(self._columns)
        ]
        if not self._edges:
            self._edges = [_edges(column, pair) for column, pair in zip(self._columns, pairs, strict=True)]
            self._counts = [np.zeros((2, len(edges) + 1), np.int64) for edges in self._edges]
        for edges, counts, pair in zip(self._edges, self._counts, pairs, strict=True):
            for count, values in zip(counts, pair, strict=True):
                count += np.bincount(np.searchsorted(edges, values), minlength=len(count))

    def found(self) -> np.ndarray:
        """The distances so far.

        Returns:
            (c,) in [0, 1]; NaN for a column without a value.
        """
        return np.array(list(map(_distance, self._columns, self._counts)))


def _distance(column: Column, counts: np.ndarray) -> float:
    """Of the counts of two samples, (2, edges + 1)."""
    totals = counts.sum(axis=1, keepdims=True)
    if not totals.all():
        return np.nan
    if column.kind == CATEGORY:
        first, second = counts / totals
        return float(np.abs(first - second).sum() / 2)
    first, second = np.cumsum(counts, axis=1) / totals
    return float(np.abs(first - second).max())


def _edges(column: Column, pair: tuple[np.ndarray, ...]) -> np.ndarray:
    """(e,) in rising order; a value belongs to the first that is not below it."""
    if column.kind == CATEGORY:
        return np.arange(len(column.facts["levels"]), dtype=float)
    values = np.unique(np.concatenate(pair))
    return values[:: math.ceil(len(values) / _MOST_EDGES) or 1]


def _known(column: Column, values: np.ndarray) -> np.ndarray:
    """Values that are not missing; of categories the numbers of their levels."""
    values = _categories(column, values) if column.kind == CATEGORY else values
    return values[~np.isnan(values)]


def _categories(column: Column, values: np.ndarray) -> np.ndarray:
    """Numbers of levels, one more for a missing cell that is a category, NaN where nothing is known."""
    if column.facts["has_missing"]:
        values = np.where(np.isnan(values), len(column.facts["levels"]), values)
    return np.where(values == UNSEEN, np.nan, values)
