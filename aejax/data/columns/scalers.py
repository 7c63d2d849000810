"""Standardisation of columns, fitted on training rows and undone exactly."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from aejax.base import Array, ArrayLike

Values = TypeVar("Values", np.ndarray, Array)


class Scaler(NamedTuple):
    """An affine map of each column.

    Attributes:
        mean: (c,) float64, in the units of the column.
        scale: (c,) float64, positive, in the same units.
    """

    mean: np.ndarray
    scale: np.ndarray


def fit_scaler(x: ArrayLike, columns: Sequence[str] | None = None) -> Scaler:
    """Fits the map to mean 0 and standard deviation 1 (that of the rows: divided by n, not n - 1).

    Statistics are float64, over the values that are observed. A constant column has nothing to divide by but
    rounding: its scale is 1.

    Args:
        x: (n, c), NaN where missing. Training rows only.
        columns: c names for an error.

    Returns:
        The scaler.

    Raises:
        ValueError: ``x`` is not (n, c), has no rows, or a column has no or an infinite value.

    Example:
        >>> fit_scaler(np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0]]))
        Scaler(mean=array([2., 5.]), scale=array([1., 1.]))
    """
    values = _checked(x)
    seen = ~np.isnan(values)
    for wrong, found in ((~seen.any(axis=0), "no value at all"), (np.isinf(values).any(axis=0), "an infinite value")):
        if wrong.any():
            i = int(np.argmax(wrong))
            name = i if columns is None else repr(columns[i])
            raise ValueError(f"column {name}: found {found}, expected finite numbers; leave the column out")
    # Relative to a value of the column, so that the sums of a large constant are exact.
    origin = np.min(values, axis=0, initial=np.inf, where=seen)
    mean = origin + np.sum(values - origin, axis=0, where=seen) / seen.sum(axis=0)
    deviation = _deviation(values, mean)
    return Scaler(mean, np.where(deviation <= _rounding(x), 1.0, deviation))


def constant_columns(scaler: Scaler, x: ArrayLike) -> np.ndarray:
    """Tells which columns do not vary, apart from rounding.

    Args:
        scaler: fitted to ``x``.
        x: (n, c), NaN where missing.

    Returns:
        (c,) bool: the standard deviation is at most four roundings of the largest value, in the precision of ``x``.

    Raises:
        ValueError: ``x`` is not (n, c), or has no rows.

    Example:
        >>> x = np.array([[1.0, 0.3], [3.0, 0.1 + 0.2]])
        >>> constant_columns(fit_scaler(x), x)
        array([False,  True])
    """
    return _deviation(_checked(x), scaler.mean) <= _rounding(x)


def scale(scaler: Scaler, x: Values) -> Values:
    """Applies the map, (x - mean) / scale.

    Args:
        scaler: of c columns.
        x: (..., c), NumPy or JAX; NaN stays NaN.

    Returns:
        (..., c), float64 for NumPy; JAX's own precision for a JAX array.

    Example:
        >>> scale(Scaler(np.array([1.0]), np.array([2.0])), np.array([[5.0]]))
        array([[2.]])
    """
    return (x - scaler.mean) / scaler.scale


def unscale(scaler: Scaler, x: Values) -> Values:
    """Undoes `scale`, x * scale + mean.

    Args:
        scaler: of c columns.
        x: (..., c), NumPy or JAX; NaN stays NaN.

    Returns:
        (..., c), in the columns' own units.

    Example:
        >>> unscale(Scaler(np.array([1.0]), np.array([2.0])), np.array([[2.0]]))
        array([[5.]])
    """
    return x * scaler.scale + scaler.mean


def _checked(x: ArrayLike) -> np.ndarray:
    values = np.asarray(x, np.float64)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"x: found shape {values.shape}, expected (rows, columns) and at least one row")
    return values


def _deviation(values: np.ndarray, mean: np.ndarray) -> np.ndarray:
    seen = ~np.isnan(values)
    return np.sqrt(np.sum(np.square(values - mean), axis=0, where=seen) / np.maximum(seen.sum(axis=0), 1))


def _rounding(x: ArrayLike) -> np.ndarray:
    """(c,), four roundings of the largest value; float32 readings of one value differ by float32's."""
    given = np.asarray(x)
    precision = np.finfo(np.float32 if given.dtype == np.float32 else np.float64).eps
    return 4 * precision * np.max(np.abs(given), axis=0, initial=0, where=~np.isnan(given))
