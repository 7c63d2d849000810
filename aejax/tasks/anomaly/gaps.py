"""Statistics of rows with gaps: those of the most normal row that has what was observed, on the scale of whole rows."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from aejax.base import Array

_NUM_STEPS = 2  # of Gauss and Newton; a linear model needs one, the second one removes what rounding has left
_RIDGE = 1e-6
# A statistic whose mean over normal rows falls to this share of that of whole rows says nothing of a row.
_SMALLEST_SHARE = 1e-4


class Freed(NamedTuple):
    """A row whose missing elements were free to take the values that make it most normal.

    Attributes:
        vector: (f,), white code and residual of the row.
        jacobian: (f, e), how it answers to the observed elements; 0 for those that are missing.
        moment: (f, f), second moment of the vector over normal rows with the same gaps.
    """

    vector: Array
    jacobian: Array
    moment: Array


def freed(
    function: Callable[[Array], Array], row: Array, seen: Array, moment: Array, most_missing: int | None = None
) -> Freed:
    """Fills the gaps of a row so that the squared length of its white code and residual is least.

    For a linear model of Gaussian rows that length is then the Mahalanobis distance of what was observed (Nelson,
    Taylor & MacGregor 1996 compare it with other ways). The moment follows, since the vector is projected.

    Args:
        function: (e,) -> (f,), a whole row's white code and residual.
        row: (e,), zeros where missing.
        seen: (e,) bool, what is observed.
        moment: (f, f), second moment of the vector over whole normal rows.
        most_missing: how many elements may be missing; all by default. The work grows with it.

    Returns:
        The Freed.

    Example:
        >>> found = freed(lambda x: x - x[::-1], jnp.array([3.0, 0.0]), jnp.array([True, False]), jnp.eye(2))
        >>> bool(jnp.allclose(found.vector, 0, atol=1e-4))
        True
    """
    size = len(row)
    missing = jnp.nonzero(~seen, size=most_missing or size, fill_value=size)[0]
    directions = jax.nn.one_hot(missing, size, dtype=row.dtype)  # of zeros where fewer are missing
    for _ in range(_NUM_STEPS):
        vector, push = jax.linearize(function, row)
        free = jax.vmap(push)(directions)  # (k, f)
        gram = free @ free.T
        ridge = _RIDGE * jnp.maximum(jnp.trace(gram), jnp.finfo(gram.dtype).tiny)
        gram = gram + jnp.diag(jnp.where(missing < size, ridge, 1).astype(gram.dtype))
        row = row - jnp.linalg.solve(gram, free @ vector) @ directions
    weights = jnp.linalg.solve(gram, free)
    observed = jax.vmap(push)(jnp.diag(seen.astype(row.dtype)))  # (e, f)
    answers = (observed - (observed @ weights.T) @ free).T
    return Freed(function(row), answers, _projected(moment, free, weights))


def _projected(moment: Array, free: Array, weights: Array) -> Array:
    """P M P' with P = 1 - F' W, by products with the few rows of F and W."""
    part = weights @ moment
    part = part - 0.5 * (part @ weights.T) @ free
    left = free.T @ part
    return moment - left - left.T


def sizes(vector: Array, code_size: int) -> Array:
    """T², SPE and both together of a white code and residual.

    Args:
        vector: (f,), code and residual.
        code_size: of the code.

    Returns:
        (3,).
    """
    return sizes_of(vector[:code_size], vector[code_size:])


def sizes_of(code: Array, residual: Array) -> Array:
    """(3,), the same of a white code and residual that are apart, each of one row."""
    t2, spe = jnp.sum(jnp.square(code)), jnp.sum(jnp.square(residual))
    return jnp.stack([2 * t2, 2 * spe, t2 + spe])


def as_of_whole_rows(values: Array, moment: Array, whole: Array, code_size: int) -> Array:
    """The statistics of whole rows that are as rare among normal ones as these are among rows with the same gaps.

    Each is taken to be a multiple of chi squared with the mean and variance that the second moment gives for Gaussian
    vectors (Box 1954), whose cube root is nearly Gaussian (Wilson & Hilferty 1931).

    Args:
        values: (3,), from ``sizes``.
        moment: (f, f), over normal rows with the same gaps.
        whole: (f, f), over whole normal rows.
        code_size: of the code.

    Returns:
        (3,). A statistic that says nothing, since too little is observed, has the mean of normal rows.
    """
    (mean, spread), (whole_mean, whole_spread) = (_of_normal_rows(part, code_size) for part in (moment, whole))
    says_nothing = mean < _SMALLEST_SHARE * whole_mean
    share = values * whole_mean / jnp.where(says_nothing, 1, mean)
    deviation = (jnp.cbrt(share) - (1 - spread)) / jnp.sqrt(jnp.where(says_nothing, 1, spread))
    mapped = jnp.maximum(1 - whole_spread + deviation * jnp.sqrt(whole_spread), 0) ** 3
    return jnp.where(says_nothing, 1, mapped)


def _of_normal_rows(moment: Array, code_size: int) -> tuple[Array, Array]:
    """(3,) means of the statistics, and (3,) variances of the cube roots of their ratios to them."""
    code, residual = moment[:code_size, :code_size], moment[code_size:, code_size:]
    mean = jnp.stack([2 * jnp.trace(code), 2 * jnp.trace(residual), jnp.trace(moment)])
    square = jnp.stack([4 * jnp.sum(jnp.square(part)) for part in (code, residual)] + [jnp.sum(jnp.square(moment))])
    return mean, square / (9 * jnp.maximum(jnp.square(mean), jnp.finfo(mean.dtype).tiny)) * 2
