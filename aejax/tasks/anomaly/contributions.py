"""Which sensors an alarm is about."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Array, Model, Variables
from aejax.data.batches import RowsLike
from aejax.data.windows import by_lag
from aejax.tasks.anomaly.monitor import Monitor
from aejax.tasks.anomaly.patterns import by_number_missing
from aejax.tasks.anomaly.rows_in_time import as_rows, row_windows
from aejax.tasks.anomaly.statistics import Whitening, freed_row, rescaled, white_row

_BLOCK = 64


def contributions(monitor: Monitor, x: RowsLike) -> np.ndarray:
    r"""By how much the mean of T² and SPE, in units of their limits, would fall if a sensor were free to read anything.

    That mean is a squared length |f(x)|² (Yue & Qin 2001), to which what is above its limit adds most. Freeing the
    readings of one sensor in the window, to first order, takes away f' J (J' J)⁻¹ J' f with the Jacobian J of f by
    these readings: reconstruction-based contributions of several directions (Alcala & Qin 2009), exact where the model
    is linear. A large residual of a sensor that only follows the faulty one contributes less here than in a bar plot of
    squared residuals.

    Args:
        monitor: the Monitor.
        x: (n, c) rows in time, as for ``watch``; the rows before the ones of interest must be among them.

    Returns:
        (n, c), at least 0, before smoothing; 0 for a sensor of which nothing is observed in the row, and in a column
        that takes no part since it stood still in training. Those of a row with gaps are divided by the share of the
        mean that is normal for rows with these gaps.

    Raises:
        ValueError: rows with other columns than in training.
    """
    rows, cond = as_rows(x, len(monitor.scaler.mean), monitor.num_conditions)
    windows = row_windows(monitor.scaler, rows, monitor.num_lags)
    in_limits = rescaled(monitor.whitening, float(monitor.limit.t2), float(monitor.limit.spe))
    found = np.zeros((len(windows), rows.shape[1]), np.float32)
    for numbers, most_missing in by_number_missing(~np.isnan(windows)):
        for begin in range(0, len(numbers), _BLOCK):
            block = numbers[begin : begin + _BLOCK]
            filled_up = np.resize(block, _BLOCK)
            piece, piece_cond = (None if array is None else array[filled_up] for array in (windows, cond))
            arguments = monitor.variables, in_limits
            values = _contributions(monitor.model, monitor.num_lags, most_missing, arguments, piece, piece_cond)
            found[block] = np.asarray(values)[: len(block)]
    # A model may use such a column as a second bias: freeing it would lessen the statistic, but says nothing.
    takes_part = np.isfinite(monitor.scaler.scale) & ~np.isnan(rows)
    return np.where(takes_part, found, 0)


@functools.partial(jax.jit, static_argnames=("model", "num_lags", "most_missing"))
def _contributions(
    model: Model,
    num_lags: int,
    most_missing: int,
    arguments: tuple[Variables, Whitening],
    windows: Array,
    cond: Array | None,
) -> Array:
    variables, whitening = arguments

    def of_row(inputs: tuple[Array, Array | None]) -> Array:
        window, row_cond = inputs
        seen = ~jnp.isnan(window)
        values = jnp.where(seen, window, 0)

        def vector_of(values: Array) -> Array:
            return white_row(model, variables, whitening, values, row_cond)

        def whole() -> tuple[Array, Array, Array]:
            return vector_of(values), jax.jacfwd(vector_of)(values), jnp.ones((), values.dtype)

        def with_gaps() -> tuple[Array, Array, Array]:
            found = freed_row(vector_of, whitening, values, seen, most_missing)
            if whitening.moment is None:
                return found.vector, found.jacobian, jnp.ones((), values.dtype)
            normal = jnp.maximum(jnp.trace(found.moment), jnp.finfo(values.dtype).tiny)
            return found.vector, found.jacobian, jnp.trace(whitening.moment) / normal

        vector, jacobian, scale = jax.lax.cond(jnp.all(seen), whole, with_gaps)
        jacobian = by_lag(jacobian, num_lags)  # (d + D, lags + 1, c)
        gradient = jnp.einsum("flc,f->cl", jacobian, vector)
        curvature = jnp.einsum("flc,fmc->clm", jacobian, jacobian)
        # A reading that is missing or that nothing depends on has neither; a small ridge keeps it solvable.
        ridge = 1e-6 * jnp.maximum(jnp.trace(curvature, axis1=1, axis2=2), 1e-12)
        curvature += ridge[:, None, None] * jnp.eye(num_lags + 1, dtype=ridge.dtype)[None]
        fall = jnp.einsum("cl,cl->c", gradient, jnp.linalg.solve(curvature, gradient[..., None])[..., 0])
        return jnp.where(jnp.any(seen[: len(fall)]), scale * fall, 0)

    return jax.lax.map(of_row, (windows, cond))
