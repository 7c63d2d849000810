"""One place that turns what a user hands in into a Batch."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from aejax.base import Array, Batch


def as_batch(data: Any) -> Batch:
    """Turns rows into a Batch of float32 arrays whose missing values are masked and filled with zero.

    Args:
        data: (n, *event) array-like, NaN where a value is missing, or a Batch whose ``x`` is such an array.

    Returns:
        The Batch. ``mask`` is None where nothing is missing, so that complete data pay nothing for it.

    Raises:
        ValueError: there are no rows, a value is infinite, or a field's shape is not as ``Batch`` says.

    Example:
        >>> as_batch([[1.0, float("nan")]]).mask
        Array([[ True, False]], dtype=bool)
    """
    batch = data if isinstance(data, Batch) else Batch(data)
    x = np.asarray(batch.x, np.float32)
    if x.ndim < 2:
        raise ValueError(f"x: found shape {x.shape}, expected (rows, *event), e.g. (1000, 15)")
    if x.shape[0] == 0:
        raise ValueError(f"x: found no rows (shape {x.shape}), expected at least one")
    for name, field in zip(Batch._fields, batch, strict=True):
        if field is None:
            continue
        shape = np.shape(field)
        if not shape or shape[0] != x.shape[0]:
            raise ValueError(f"{name}: found {shape[0] if shape else 'no'} rows, expected {x.shape[0]} as in x")
        if name == "cond" and len(shape) != 2:
            raise ValueError(
                f"cond: found shape {shape}, expected (rows, conditions); give one condition as cond[:, None]"
            )
        if name != "cond" and shape != x.shape and not (name == "mask" and len(shape) == 1):
            rows_only = " or (rows,)" if name == "mask" else ""
            raise ValueError(f"{name}: found shape {shape}, expected {x.shape} as in x{rows_only}")
        if name != "mask" and np.isinf(field).any():
            raise ValueError(
                f"{name}: found an infinite value, expected finite numbers; write NaN where a value is missing"
            )
    if batch.cond is not None and np.isnan(batch.cond).any():
        raise ValueError("cond: found a missing value (NaN); a condition must be known, leave these rows out")
    if batch.weight is not None and not (np.asarray(batch.weight) >= 0).all():
        raise ValueError("weight: found a negative or missing value, expected numbers of at least 0")
    missing = np.isnan(x)
    if batch.target is not None:
        missing |= np.isnan(batch.target)
    mask = None if batch.mask is None else np.asarray(batch.mask, bool)
    if missing.any():
        given = True if mask is None else mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))
        mask = ~missing & given
        x = np.where(missing, np.float32(0), x)

    def device(array: Any, dtype: Any = jnp.float32) -> Array | None:
        return None if array is None else jnp.asarray(array, dtype)

    target = None if batch.target is None else np.nan_to_num(np.asarray(batch.target, np.float32), nan=0.0)
    rows = jnp.asarray(x, jnp.float32)
    return Batch(rows, device(target), device(batch.cond), device(mask, bool), device(batch.weight))
