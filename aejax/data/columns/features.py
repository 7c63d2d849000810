"""Rows as a model is given them: numbers scaled, angles as sine and cosine, categories as ones and zeros."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aejax.base import ArrayLike
from aejax.data.columns.kinds import KINDS, Column
from aejax.data.columns.scalers import Scaler, Values, check_scaled, fit_scaler, scale, unscale
from aejax.losses.likelihoods import Likelihood, Scaling
from aejax.losses.products import categorical, product

# What is farther from the middle is cut off there: its square would not be float32 any more.
FARTHEST = 1e15
_BLOCK = 1 << 16


class Coding(NamedTuple):
    """From the columns of rows to what a model is given, and back.

    Attributes:
        columns: c Columns.
        scaler: of their f features.
    """

    columns: tuple[Column, ...]
    scaler: Scaler


def coded(coding: Coding, x: np.ndarray) -> np.ndarray:
    """Rows as a model is given them.

    Args:
        coding: the Coding.
        x: (n, c) in the units of the columns, NaN where missing.

    Returns:
        (n, f) float32, scaled, NaN where missing.

    Example:
        >>> coded(Coding((Column("number", {}),), Scaler(np.array([1.0]), np.array([2.0]))), np.array([[5.0]]))
        array([[2.]], dtype=float32)
    """
    features = np.empty((len(x), len(coding.scaler.mean)), np.float32)
    for begin in range(0, len(x), _BLOCK):  # of float64 only a part at a time
        block = slice(begin, begin + _BLOCK)
        features[block] = np.clip(scale(coding.scaler, encode(coding.columns, x[block])), -FARTHEST, FARTHEST)
    return features


def decoded(coding: Coding, features: ArrayLike) -> np.ndarray:
    """What a model gives back as rows; of a category the level that is most likely.

    Args:
        coding: the Coding.
        features: (n, f), scaled.

    Returns:
        (n, c) in the units of the columns.

    Example:
        >>> decoded(Coding((Column("number", {}),), Scaler(np.array([1.0]), np.array([2.0]))), np.array([[2.0]]))
        array([[5.]])
    """
    return decode(coding.columns, unscale(coding.scaler, np.asarray(features, float)))


def widths(columns: Sequence[Column]) -> np.ndarray:
    """(c,) how many features each column has.

    Example:
        >>> widths([Column("number", {}), Column("angle", {"low": 0.0, "period": 360.0, "whole": False})])
        array([1, 2])
    """
    return np.array([KINDS[column.kind].width(column.facts) for column in columns], int)


def encode(columns: Sequence[Column], x: Values) -> Values:
    """The features of rows.

    Args:
        columns: c Columns.
        x: (n, c), NumPy or JAX, in the units of the columns, NaN where missing.

    Returns:
        (n, f), the features of one column beside those of the one before; NaN where missing.

    Example:
        >>> angle = Column("angle", {"low": 0.0, "period": 360.0, "whole": False})
        >>> encode([Column("number", {}), angle], np.array([[7.0, 90.0]])).round(9)
        array([[7., 1., 0.]])
    """
    if _are_plain(columns):
        return x
    features = [KINDS[column.kind].encode(x[:, place], column.facts) for place, column in enumerate(columns)]
    together: Values = x.__array_namespace__().concatenate(features, axis=1)
    return together


def decode(columns: Sequence[Column], features: Values) -> Values:
    """The rows of features; of a category the level that is most likely.

    Args:
        columns: c Columns.
        features: (n, f), NumPy or JAX.

    Returns:
        (n, c) in the units of the columns.

    Example:
        >>> category = Column("category", {"levels": ["A", "B"], "has_missing": False, "rare": 0.0})
        >>> decode([Column("number", {}), category], np.array([[7.0, 0.3, 0.7]]))
        array([[7., 1.]])
    """
    if _are_plain(columns):
        return features
    parts = zip(columns, _cut(columns, features), strict=True)
    values = [KINDS[column.kind].decode(part, column.facts) for column, part in parts]
    rows: Values = features.__array_namespace__().stack(values, axis=-1)
    return rows


def summed(columns: Sequence[Column], values: np.ndarray) -> np.ndarray:
    """Sums over the features of each column.

    Args:
        columns: c Columns.
        values: (n, f) or (f,).

    Returns:
        (n, c) or (c,).

    Example:
        >>> angle = Column("angle", {"low": 0.0, "period": 360.0, "whole": False})
        >>> summed([Column("number", {}), angle], np.array([1.0, 2.0, 3.0]))
        array([1., 5.])
    """
    if _are_plain(columns):
        return values
    return np.stack([part.sum(axis=-1) for part in _cut(columns, values)], axis=-1)


def spread(columns: Sequence[Column], values: np.ndarray) -> np.ndarray:
    """What belongs to a column, beside each of its features: (..., c) to (..., f).

    Example:
        >>> angle = Column("angle", {"low": 0.0, "period": 360.0, "whole": False})
        >>> spread([Column("number", {}), angle], np.array([1.0, 2.0]))
        array([1., 2., 2.])
    """
    return values if _are_plain(columns) else np.repeat(values, widths(columns), axis=-1)


def scaler_of(columns: Sequence[Column], features: np.ndarray, names: Sequence[str], scaling: Scaling) -> Scaler:
    """The scaler of features: those of categories stay ones and zeros.

    Args:
        columns: c Columns.
        features: (n, f) of training rows.
        names: of the columns.
        scaling: as in ``fit_scaler``.

    Returns:
        The Scaler of f features.

    Raises:
        ValueError: as ``fit_scaler``.

    Example:
        >>> category = Column("category", {"levels": ["A", "B"], "has_missing": False, "rare": 0.0})
        >>> features = np.array([[1.0, 0, 1], [3.0, 1, 0]])
        >>> scaler_of([Column("number", {}), category], features, ["T", "grade"], "standardised")
        Scaler(mean=array([2., 0., 0.]), scale=array([1., 1., 1.]))
    """
    return with_ones_kept(columns, fit_scaler(features, names_of_features(columns, names), scaling))


def with_ones_kept(columns: Sequence[Column], scaler: Scaler) -> Scaler:
    """A scaler of features that leaves ones and zeros as they are.

    Args:
        columns: c Columns.
        scaler: of f features.

    Returns:
        The Scaler.
    """
    is_scaled = _is_scaled(columns)
    return Scaler(np.where(is_scaled, scaler.mean, 0.0), np.where(is_scaled, scaler.scale, 1.0))


def names_of_features(columns: Sequence[Column], names: Sequence[str]) -> list[str]:
    """The name of the column that each feature belongs to.

    Example:
        >>> angle = Column("angle", {"low": 0.0, "period": 360.0, "whole": False})
        >>> names_of_features([Column("number", {}), angle], ["T", "wind"])
        ['T', 'wind', 'wind']
    """
    return [str(name) for name in spread(columns, np.asarray(names, object))]


def check_features(
    columns: Sequence[Column], scaler: Scaler, features: np.ndarray, names: Sequence[str], scaling: Scaling
) -> None:
    """``check_scaled`` of the features that are scaled: see there.

    Raises:
        ValueError: as ``check_scaled``.
    """
    if scaling == "standardised":
        return  # any number will do, and the columns below are a copy
    is_scaled = _is_scaled(columns)
    own = Scaler(scaler.mean[is_scaled], scaler.scale[is_scaled])
    of_scaled = [name for name, is_in in zip(names_of_features(columns, names), is_scaled, strict=True) if is_in]
    check_scaled(own, features[:, is_scaled], scaling, of_scaled)


def pooled(columns: Sequence[Column], scale: np.ndarray) -> np.ndarray:
    """Scales of residuals, of which the features of one column share one: their root mean square.

    So the contribution of a column that is a sum over its features is 1 on average, whatever its kind.

    Args:
        columns: c Columns.
        scale: (f,).

    Returns:
        (f,), times the root of the number of features.

    Example:
        >>> angle = Column("angle", {"low": 0.0, "period": 360.0, "whole": False})
        >>> pooled([Column("number", {}), angle], np.array([2.0, 3.0, 4.0]))
        array([2., 5., 5.])
    """
    if _are_plain(columns):
        return scale
    return np.sqrt(spread(columns, summed(columns, np.square(scale)))).astype(scale.dtype)


def observed(columns: Sequence[Column], x: np.ndarray) -> np.ndarray:
    """(n, c) bool: what is known of rows. A cell that is missing is known where that is a category of its own.

    Example:
        >>> category = Column("category", {"levels": ["A"], "has_missing": True, "rare": 0.0})
        >>> observed([Column("number", {}), category], np.array([[np.nan, np.nan]]))
        array([[False,  True]])
    """
    return ~np.isnan(x) | np.array([bool(column.facts.get("has_missing")) for column in columns], bool)


def has_categories(columns: Sequence[Column]) -> bool:
    """Whether one of the columns is one of several, as a category is."""
    return any(KINDS[column.kind].is_one_of for column in columns)


def likelihood_of(columns: Sequence[Column], base: Likelihood) -> Likelihood:
    """The likelihood of features: of a category that of its levels, of all else the one that is given.

    Args:
        columns: c Columns.
        base: of the features that are no categories.

    Returns:
        The Likelihood of f features.

    Raises:
        ValueError: a base that takes more than one output an element, where there are categories.
    """
    parts: list[tuple[Likelihood, int]] = []
    for column, width in zip(columns, widths(columns).tolist(), strict=True):
        if KINDS[column.kind].is_one_of:
            parts.append((categorical(), width))
        elif parts and parts[-1][0] is base:
            parts[-1] = (base, parts[-1][1] + width)
        else:
            parts.append((base, width))
    return product(tuple(parts)) if has_categories(columns) else base


def _are_plain(columns: Sequence[Column]) -> bool:
    """Whether each column is its own feature."""
    return all(KINDS[column.kind].encode is _PLAIN for column in columns)


_PLAIN = KINDS["number"].encode


def _cut(columns: Sequence[Column], values: Values) -> list[Values]:
    ends = np.cumsum(widths(columns))
    return [values[..., end - width : end] for end, width in zip(ends, widths(columns), strict=True)]


def _is_scaled(columns: Sequence[Column]) -> np.ndarray:
    return spread(columns, np.array([not KINDS[column.kind].is_one_of for column in columns], bool))
