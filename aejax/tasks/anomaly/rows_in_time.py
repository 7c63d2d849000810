"""Rows of a process in time, and the windows that a monitor sees of them."""

import jax
import numpy as np

from aejax.data.batches import RowsLike, as_arrays, as_batch
from aejax.data.columns.scalers import Scaler, scale
from aejax.data.windows import lagged


def as_rows(
    x: RowsLike, num_columns: int | None = None, num_conditions: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows of a table or a Batch.

    Args:
        x: (n, c) rows, or a Batch with a mask or conditions.
        num_columns: that of the training rows; any if None.
        num_conditions: likewise.

    Returns:
        (n, c) float64, NaN where missing, and (n, k) conditions or None.

    Raises:
        ValueError: bad rows, another number of columns or conditions, or a Batch with a target or weights.
    """
    batch = jax.device_get(as_arrays(x))
    if batch.target is not None or batch.weight is not None:
        raise ValueError("x: found a Batch with a target or weights, expected rows, mask and conditions only")
    rows = np.asarray(batch.x, np.float64)
    if rows.ndim != 2:
        raise ValueError(f"x: found shape {rows.shape}, expected (rows, columns)")
    as_batch(batch)  # raises the error that names what is wrong
    if batch.mask is not None:
        mask = np.asarray(batch.mask, bool)
        rows = np.where(mask if mask.ndim == 2 else mask[:, None], rows, np.nan)
    if num_columns not in (None, rows.shape[1]):
        raise ValueError(f"x: found {rows.shape[1]} columns, expected {num_columns} as in training")
    cond = None if batch.cond is None else np.asarray(batch.cond, np.float32)
    found = 0 if cond is None else cond.shape[1]
    if num_conditions not in (None, found):
        raise ValueError(f"x: found {found} conditions, expected {num_conditions} as in training")
    return rows, cond


def row_windows(scaler: Scaler, rows: np.ndarray, num_lags: int) -> np.ndarray:
    """A window for each row; those of the first rows begin with copies of the first, as a stream does.

    Args:
        scaler: of the columns.
        rows: (n, c), in their own units.
        num_lags: earlier rows in a window.

    Returns:
        (n, (num_lags + 1) * c) float32, scaled.
    """
    scaled = scale(scaler, rows).astype(np.float32)
    return lagged(np.concatenate([np.repeat(scaled[:1], num_lags, axis=0), scaled]), num_lags)
