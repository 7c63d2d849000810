"""What scikit-learn hands in, as the library takes it: rows, keys, and results that belong to one row alone."""

import numbers
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from aejax.base import Array, PyTree

# Rows that are computed at once. One size only: a program of another size rounds otherwise.
_BLOCK = 256


def fitting_rows(estimator: Any, rows: Any, least: int = 2) -> np.ndarray:
    """The rows of ``fit``; the estimator notes their columns.

    Args:
        estimator: of scikit-learn.
        rows: (n, c) numbers, an array or a frame, NaN where missing.
        least: rows.

    Returns:
        (n, c) float64 or float32.

    Raises:
        ValueError, TypeError: no such rows, fewer than two columns, or an infinite value.
    """
    return _validated(estimator, rows, reset=True, ensure_min_samples=least, ensure_min_features=2)


def new_rows(estimator: Any, rows: Any) -> np.ndarray:
    """Rows with the columns of ``fit``, as ``fitting_rows``."""
    return _validated(estimator, rows, reset=False)


def _validated(estimator: Any, rows: Any, **options: Any) -> np.ndarray:
    return validate_data(estimator, rows, dtype=[np.float64, np.float32], ensure_all_finite="allow-nan", **options)


def key_of(random_state: Any) -> Array:
    """The key that a ``random_state`` stands for.

    Args:
        random_state: a whole number, a RandomState, or None for one that is drawn.

    Returns:
        A PRNG key; that of the number itself where it is one.

    Raises:
        ValueError: anything else.

    Example:
        >>> bool(key_of(3) == jax.random.key(3))
        True
    """
    state = check_random_state(random_state)
    is_seed = isinstance(random_state, numbers.Integral)
    return jax.random.key(int(random_state) if is_seed else state.randint(np.iinfo(np.int32).max))


def row_by_row(function: Callable[[np.ndarray], PyTree], rows: np.ndarray) -> PyTree:
    """Applies a function so that what it makes of a row is the same, to the bit, whatever stands beside it.

    All blocks are of one size, and so of one program; rows with gaps have another one, and blocks of their own.

    Args:
        function: (m, c) rows -> pytree of (m, ...) arrays.
        rows: (n, c), NaN where missing.

    Returns:
        The pytree, n rows each.

    Raises:
        ValueError: a number beyond those of float32; the message names its place in ``rows``.

    Example:
        >>> row_by_row(lambda block: block.sum(axis=1), np.arange(6.0).reshape(3, 2))
        array([1., 5., 9.])
    """
    _refuse_beyond_float32(rows)
    has_gap = np.isnan(rows).any(axis=1)
    blocks = [
        chosen[begin : begin + _BLOCK]
        for chosen in (np.flatnonzero(~has_gap), np.flatnonzero(has_gap))
        for begin in range(0, len(chosen), _BLOCK)
    ]
    parts = [function(rows[np.resize(block, _BLOCK)]) for block in blocks]
    place = np.argsort(np.concatenate(blocks))
    sizes = [len(block) for block in blocks]

    def joined(*leaves: Any) -> np.ndarray:
        return np.concatenate([np.asarray(leaf)[:size] for leaf, size in zip(leaves, sizes, strict=True)])[place]

    return jax.tree.map(joined, *parts)


def _refuse_beyond_float32(rows: np.ndarray) -> None:
    largest = np.finfo(np.float32).max
    with np.errstate(invalid="ignore"):
        is_beyond = np.abs(rows) > largest
    for row, column in np.argwhere(is_beyond)[:1]:
        raise ValueError(
            f"X: row {row}, column {column} is beyond {largest:.2g}, the largest of float32, in standard deviations; "
            "write NaN where a value is missing"
        )
