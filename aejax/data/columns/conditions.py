"""Where conditions have been in training, and which new ones are far from all of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aejax.base import ArrayLike
from aejax.data.columns.categories import UNSEEN
from aejax.data.columns.features import encode
from aejax.data.columns.kinds import CATEGORY, Column, recognise
from aejax.data.columns.scalers import fit_scaler, scale

_MOST_ROWS = 2000
# A new row is far if it is this many times as far from the nearest one as nearly all training rows are from theirs.
_TIMES = 3.0
_NEARLY_ALL = 0.99
# In standard deviations: what is closer is the same condition, whatever the rows' own distances.
_SAME = 0.02


class Conditions(NamedTuple):
    """The conditions of training rows.

    Attributes:
        rows: (m, k) some of them, in their own units, with the smallest and the largest of each.
        columns: k Columns, what kind each is.
    """

    rows: np.ndarray
    columns: tuple[Column, ...]


def fit_conditions(cond: ArrayLike, columns: tuple[Column, ...] | None = None) -> Conditions:
    """Keeps the conditions of some training rows, two thousand at most.

    Args:
        cond: (n, k) training rows, without a missing value.
        columns: what kind each is; found by the values if None.

    Returns:
        The Conditions.

    Example:
        >>> fit_conditions(np.array([[1.0], [2.0]])).rows.shape
        (2, 1)
    """
    values = np.asarray(cond, float)
    ends = [values.argmin(axis=0), values.argmax(axis=0)] if values.size else []
    shown = np.linspace(0, len(values) - 1, min(len(values), _MOST_ROWS)).astype(int)
    kept = values[np.unique(np.concatenate([shown, *ends]))]
    return Conditions(kept, recognise(values) if columns is None else columns)


def find_unknown(conditions: Conditions, cond: ArrayLike, names: Sequence[str]) -> list[tuple[np.ndarray, str]]:
    """What is unlike the training rows in new conditions.

    Args:
        conditions: from ``fit_conditions``.
        cond: (n, k) new ones, without a missing value.
        names: of the k columns.

    Returns:
        Pairs of (n,) bool, the rows, and a sentence part on what they have. A row is in one of them at most: a value
        beyond those of training comes first, then one that was never seen of a column with few values, then a row in a
        gap between training rows.

    Example:
        >>> x = np.concatenate([np.linspace(0, 40, 200), np.linspace(280, 320, 200)])[:, None]
        >>> for rows, what in find_unknown(fit_conditions(x), [[20.0], [150.0], [400.0]], ["T"]):
        ...     print(rows, what)
        [False False  True] T outside 0 to 320, the range of training
        [False  True False] T far from any training row
    """
    values = np.asarray(cond, float)
    found: list[tuple[np.ndarray, str]] = []
    is_told = np.zeros(len(values), bool)
    if not values.size or not len(conditions.rows):
        return found
    for index, (column, name) in enumerate(zip(conditions.columns, names, strict=True)):
        for rows, what in _in_column(column, conditions.rows[:, index], values[:, index], name):
            if (rows & ~is_told).any():
                found.append((rows & ~is_told, what))
            is_told |= rows
    is_far = _is_far(conditions, values) & ~is_told
    return [*found, (is_far, f"{', '.join(names)} far from any training row")] if is_far.any() else found


def _in_column(column: Column, known: np.ndarray, new: np.ndarray, name: str) -> list[tuple[np.ndarray, str]]:
    if column.kind == CATEGORY:
        return [(new == UNSEEN, f"{name} of a category not seen in training")]
    least, most = known.min(), known.max()
    room = 1e-6 * max(abs(least), abs(most))  # rounding
    is_outside = (new < least - room) | (new > most + room)
    found = [(is_outside, f"{name} outside {least:g} to {most:g}, the range of training")]
    if column.kind == "few values":
        levels = np.asarray(column.facts["values"])
        is_new = (np.abs(new[:, None] - levels) > room).all(axis=1)
        said = ", ".join(f"{level:g}" for level in levels)
        found.append((is_new & ~is_outside, f"{name} of a value not seen in training ({said})"))
    return found


def _is_far(conditions: Conditions, new: np.ndarray) -> np.ndarray:
    from scipy.spatial import KDTree

    known = encode(conditions.columns, conditions.rows)
    scaler = fit_scaler(known)
    rows = scale(scaler, known)
    tree = KDTree(rows)
    usual = np.quantile(tree.query(rows, k=min(2, len(rows)))[0].reshape(len(rows), -1)[:, -1], _NEARLY_ALL)
    features = scale(scaler, np.nan_to_num(encode(conditions.columns, new)))
    return tree.query(features)[0] > max(_TIMES * usual, _SAME)
