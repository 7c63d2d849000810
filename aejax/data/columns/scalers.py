"""Scaling of columns, fitted on training rows and undone exactly."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from aejax.base import Array, ArrayLike
from aejax.losses.likelihoods import Scaling

Values = TypeVar("Values", np.ndarray, Array)
_ROUNDING_OF_ENDS = 1e-6


class Scaler(NamedTuple):
    """An affine map of each column.

    Attributes:
        mean: (c,) float64, what becomes 0, in the units of the column.
        scale: (c,) float64, positive, in the same units.
    """

    mean: np.ndarray
    scale: np.ndarray


def fit_scaler(x: ArrayLike, columns: Sequence[str] | None = None, scaling: Scaling = "standardised") -> Scaler:
    """Fits the map that suits a likelihood (``aejax.losses.Likelihood.scaling``).

    - ``"standardised"``: to mean 0 and standard deviation 1 (that of the rows: divided by n, not n - 1).
    - ``"unit_interval"``: the smallest value to 0 and the largest to 1.
    - ``"counts"``: no map, once it is sure that the values are counts.

    Statistics are float64, over the values that are observed. A constant column has nothing to divide by but
    rounding: its scale is its value, whatever the unit, and 1 where that is zero.

    Args:
        x: (n, c), NaN where missing. Training rows only.
        columns: c names for an error.
        scaling: as above.

    Returns:
        The scaler.

    Raises:
        ValueError: ``x`` is not (n, c), has no rows, a column has no or an infinite value, one of counts has a value
            that is none, or an unknown scaling.

    Example:
        >>> x = np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0]])
        >>> fit_scaler(x)
        Scaler(mean=array([2., 5.]), scale=array([1., 5.]))
        >>> fit_scaler(x, scaling="unit_interval")
        Scaler(mean=array([1., 5.]), scale=array([2., 5.]))
    """
    if scaling not in _SCALINGS:
        raise ValueError(f"scaling: found {scaling!r}, expected one of {', '.join(_SCALINGS)}")
    values = _checked(x)
    _refuse(np.isnan(values).all(axis=0), columns, "no value at all, expected finite numbers; leave the column out")
    _refuse(np.isinf(values).any(axis=0), columns, "an infinite value, expected finite numbers; leave the column out")
    mean, spread = _SCALINGS[scaling](values, columns)
    return Scaler(mean, np.where(spread <= _rounding(x), np.where(mean == 0, 1.0, np.abs(mean)), spread))


def _standardised(values: np.ndarray, columns: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    del columns
    seen = ~np.isnan(values)
    # Relative to a value of the column, so that the sums of a large constant are exact.
    origin = np.min(values, axis=0, initial=np.inf, where=seen)
    mean = origin + np.sum(values - origin, axis=0, where=seen) / seen.sum(axis=0)
    return mean, _deviation(values, mean)


def _unit_interval(values: np.ndarray, columns: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    del columns
    lowest = np.nanmin(values, axis=0)
    return lowest, np.nanmax(values, axis=0) - lowest


def _counts(values: np.ndarray, columns: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    is_count = np.isnan(values) | ((values >= 0) & (values % 1 == 0))
    _refuse(
        ~is_count.all(axis=0),
        columns,
        "a value that is no count, expected whole numbers of at least 0; leave the column out, or take another "
        "likelihood",
    )
    return np.zeros(values.shape[1]), np.ones(values.shape[1])


_SCALINGS: dict[str, Callable[[np.ndarray, Sequence[str] | None], tuple[np.ndarray, np.ndarray]]] = {
    "standardised": _standardised,
    "unit_interval": _unit_interval,
    "counts": _counts,
}


def _refuse(is_wrong: np.ndarray, columns: Sequence[str] | None, found: str) -> None:
    if is_wrong.any():
        i = int(np.argmax(is_wrong))
        raise ValueError(f"column {i if columns is None else repr(columns[i])}: found {found}")


def check_scaled(scaler: Scaler, x: ArrayLike, scaling: str, columns: Sequence[str]) -> None:
    """Refuses rows that a likelihood cannot have: no counts, or values outside of the two ends of training.

    Args:
        scaler: of training rows.
        x: (n, c), training rows or others, in their own units, NaN where missing.
        scaling: how the scaler was fitted, one of ``fit_scaler``'s.
        columns: c names for the error.

    Raises:
        ValueError: such a value; the message names its column.

    Example:
        >>> x = np.array([[0.0, 5.0], [1.0, 7.0]])
        >>> scaler = fit_scaler(x, scaling="unit_interval")
        >>> check_scaled(scaler, np.array([[0.0, 9.0]]), "unit_interval", ["a", "b"])
        Traceback (most recent call last):
        ValueError: column 'b': found 9, expected 5 to 7 as in the training rows; leave the row out, or take another ...
    """
    values = np.asarray(x, float)
    if scaling == "counts":
        _counts(values, columns)
    if scaling == "unit_interval":
        with np.errstate(invalid="ignore"):
            scaled = scale(scaler, values)
            is_outside = is_beyond_ends(scaled)
        for row, column in np.argwhere(is_outside)[:1]:
            least, most = scaler.mean[column], scaler.mean[column] + scaler.scale[column]
            raise ValueError(
                f"column {columns[column]!r}: found {values[row, column]:g}, expected {least:g} to {most:g} as in the "
                "training rows; leave the row out, or take another likelihood"
            )


def is_beyond_ends(scaled: Values) -> Values:
    """Which values of rows scaled to the unit interval are out of the two ends of training, apart from rounding.

    Args:
        scaled: (n, c), NumPy or JAX.

    Returns:
        (n, c) bool; False where missing.

    Example:
        >>> is_beyond_ends(np.array([-0.1, 0.0, 1.0 + 1e-9, np.nan]))
        array([ True, False, False, False])
    """
    return (scaled < -_ROUNDING_OF_ENDS) | (scaled > 1 + _ROUNDING_OF_ENDS)


def constant_columns(x: ArrayLike) -> np.ndarray:
    """Tells which columns do not vary, apart from rounding.

    Args:
        x: (n, c), NaN where missing; each column has a value.

    Returns:
        (c,) bool: the standard deviation is at most four roundings of the largest value, in the precision of ``x``.

    Raises:
        ValueError: ``x`` is not (n, c), or has no rows.

    Example:
        >>> x = np.array([[1.0, 0.3], [3.0, 0.1 + 0.2]])
        >>> constant_columns(x)
        array([False,  True])
    """
    values = _checked(x)
    return _standardised(values, None)[1] <= _rounding(x)


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


def scaled_rows(scaler: Scaler, x: ArrayLike) -> np.ndarray:
    """New rows as a model sees them, once it is sure that they have the columns of training.

    Args:
        scaler: of c columns.
        x: (n, c) rows in their own units, NaN where missing.

    Returns:
        (n, c) float32, scaled in float64 before.

    Raises:
        ValueError: rows with other columns.

    Example:
        >>> scaled_rows(Scaler(np.array([1.0]), np.array([2.0])), [[5.0]])
        array([[2.]], dtype=float32)
    """
    rows = np.asarray(x, np.float64)
    num_columns = len(scaler.mean)
    if rows.ndim != 2 or rows.shape[1] != num_columns:
        raise ValueError(f"x: found shape {rows.shape}, expected (rows, {num_columns}) as in training")
    return scale(scaler, rows).astype(np.float32)


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
