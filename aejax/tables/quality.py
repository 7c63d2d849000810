"""How near reconstructions and new rows are to a table, column by column, whatever the kind of the column."""

from collections.abc import Sequence

import numpy as np

from aejax import metrics
from aejax.data.columns.categories import UNSEEN
from aejax.data.columns.features import summed, widths
from aejax.data.columns.kinds import CATEGORY, Column


def explained_variance(columns: Sequence[Column], features: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """The share of the variance of each column that a reconstruction explains, that of all its features together.

    Args:
        columns: c Columns.
        features: (n, f) of rows, NaN where missing.
        reconstruction: (n, f).

    Returns:
        (c,), at most 1; NaN for a column that does not vary.

    Example:
        >>> grade = Column("category", {"levels": ["A", "B"], "has_missing": False, "rare": 0.0})
        >>> features = np.array([[0.0, 1.0, 0.0], [2.0, 0.0, 1.0]])
        >>> explained_variance([Column("number", {}), grade], features, np.array([[0.0, 0.5, 0.5], [2.0, 0.5, 0.5]]))
        array([1., 0.])
    """
    by_feature = metrics.explained_variance(features, reconstruction)
    is_wide = widths(columns) > 1
    if not is_wide.any():
        return by_feature
    total = np.nan_to_num(np.nanvar(features, axis=0)) * ~np.isnan(by_feature)
    of_column = summed(columns, total)
    together = summed(columns, np.nan_to_num(by_feature) * total) / np.where(of_column > 0, of_column, np.nan)
    first = np.cumsum(widths(columns)) - widths(columns)
    return np.where(is_wide, together, by_feature[first])


def distances(columns: Sequence[Column], first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How far two samples of rows are apart: the total variation distance of categories, of all else that of KS.

    Args:
        columns: c Columns.
        first: (n, c), NaN where missing.
        second: (m, c), likewise.

    Returns:
        (c,) in [0, 1]; NaN for a column without a value.

    Example:
        >>> grade = Column("category", {"levels": ["A", "B"], "has_missing": False, "rare": 0.0})
        >>> distances([grade], np.array([[0.0], [1.0]]), np.array([[0.0], [0.0]]))
        array([0.5])
    """
    found = metrics.ks_distance(first, second)
    for place, column in enumerate(columns):
        if column.kind == CATEGORY:
            found[place] = metrics.total_variation(*(_categories(column, rows[:, place]) for rows in (first, second)))
    return found


def _categories(column: Column, values: np.ndarray) -> np.ndarray:
    """Numbers of levels, one more for a missing cell that is a category, NaN where nothing is known."""
    if column.facts["has_missing"]:
        values = np.where(np.isnan(values), len(column.facts["levels"]), values)
    return np.where(values == UNSEEN, np.nan, values)
