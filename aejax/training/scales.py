"""A warning where rows look unscaled: networks take numbers near one."""

import functools
import warnings
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Array, Batch

_LARGE = 100.0
# Beside columns near one, a column this small has no say in a loss. Only in tables: the edges of spectra are small too.
_SMALL = 1e-3
_WIDEST_TABLE = 32
# Of fewer elements NumPy has the sizes before a program for them is compiled.
_FEW = 1_000_000


def warn_if_unscaled(batch: Batch) -> None:
    """Warns once, of the column that is furthest from one.

    Images and maps pass, whose tasks know their units, and so do counts: whole numbers may be as large as they are.

    Args:
        batch: all rows, on a device.

    Example:
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     warn_if_unscaled(Batch(jnp.array([[0.5, 300.5], [0.2, 310.0]])))
        >>> str(caught[0].message)[:63]
        'x: column 1 has a root mean square of 305, expected numbers nea'
    """
    for name, field in (("x", batch.x), ("cond", batch.cond)):
        if field is not None and field.ndim == 2 and field.size and not isinstance(field, jax.core.Tracer):
            found = _unscaled(*_measured(field))
            if found:
                warnings.warn(
                    f"{name}: {found}; scale the columns first: aejax.data.columns.scalers.fit_scaler on training "
                    "rows, then scale",
                    UserWarning,
                    stacklevel=4,
                )


def _unscaled(size: np.ndarray, spread: np.ndarray, is_count: np.ndarray) -> str:
    """What is wrong with the columns, empty if nothing is."""
    largest = int(np.argmax(size))
    is_large = size[largest] > _LARGE and not is_count[largest]
    if is_large or 0 < size[largest] < _SMALL:
        return f"column {largest} has a root mean square of {size[largest]:.3g}, expected numbers near 1"
    varying = np.where(spread > 0, spread, np.nan)
    if len(size) > _WIDEST_TABLE or np.isnan(varying).all():
        return ""
    smallest = int(np.nanargmin(varying))
    if varying[smallest] < _SMALL * min(1.0, np.nanmedian(varying)):
        return f"column {smallest} has a standard deviation of {varying[smallest]:.3g}, expected numbers near 1"
    return ""


def _measured(x: Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Root mean square, standard deviation and whether all are counts, of each column."""
    if x.size > _FEW or not x.is_fully_addressable:
        found: tuple[np.ndarray, np.ndarray, np.ndarray] = jax.device_get(_sizes_on_device(x))
        return found
    return _sizes(np.asarray(jax.device_get(x), float), np)


def _sizes(x: Any, xp: ModuleType) -> tuple[Any, Any, Any]:
    is_count = ((x >= 0) & (x == xp.round(x))).all(axis=0)
    return xp.sqrt(xp.square(x).mean(axis=0)), x.std(axis=0), is_count


_sizes_on_device = jax.jit(functools.partial(_sizes, xp=jnp))
