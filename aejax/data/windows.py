"""Lagged windows: rows in time made into rows that hold their own past."""

from typing import TypeVar

import jax.numpy as jnp
import numpy as np

from aejax.base import Array

Rows = TypeVar("Rows", np.ndarray, Array)


def lagged(x: Rows, num_lags: int) -> Rows:
    """Puts beside each row the rows before it, so that a static model sees dynamics (Ku, Storer & Georgakis 1995).

    Args:
        x: (n, c) rows in time, equally spaced, NumPy or JAX; NaN where missing.
        num_lags: how many earlier rows a window holds; 0 for none.

    Returns:
        (n - num_lags, (num_lags + 1) * c), NumPy for NumPy: the row itself, then the one before, and so on. Window i
        ends in row i + num_lags, so the rows of ``x`` that have a whole past are ``x[num_lags:]``.

    Raises:
        ValueError: ``x`` is not (n, c), ``num_lags`` is negative, or there are no more rows than lags.

    Example:
        >>> lagged(np.array([[1.0], [2.0], [3.0]]), 1)
        array([[2., 1.],
               [3., 2.]])
    """
    if np.ndim(x) != 2:
        raise ValueError(f"x: found shape {np.shape(x)}, expected (rows, columns)")
    if num_lags < 0:
        raise ValueError(f"num_lags: found {num_lags}, expected 0 or more")
    num_windows = len(x) - num_lags
    if num_windows < 1:
        raise ValueError(f"x: found {len(x)} rows, expected more than num_lags={num_lags}")
    parts = [x[num_lags - lag : num_lags - lag + num_windows] for lag in range(num_lags + 1)]
    return np.concatenate(parts, axis=1) if isinstance(x, np.ndarray) else jnp.concatenate(parts, axis=1)


def by_lag(windows: Rows, num_lags: int) -> Rows:
    """Takes windows apart again.

    Args:
        windows: (..., (num_lags + 1) * c), as from ``lagged``, or any numbers in that order.
        num_lags: as there.

    Returns:
        (..., num_lags + 1, c): the row itself first.

    Raises:
        ValueError: the last axis is not a multiple of num_lags + 1.

    Example:
        >>> by_lag(lagged(np.array([[1.0], [2.0], [3.0]]), 1), 1)[:, :, 0]
        array([[2., 1.],
               [3., 2.]])
    """
    width = np.shape(windows)[-1]
    if width % (num_lags + 1):
        raise ValueError(f"windows: found {width} columns, expected a multiple of num_lags + 1 = {num_lags + 1}")
    return windows.reshape(*np.shape(windows)[:-1], num_lags + 1, width // (num_lags + 1))
