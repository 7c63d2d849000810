"""A monitor at work: rows are judged as they come, one by one, in blocks or all at once."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Array, Batch, Model, Variables
from aejax.data.batches import RowsLike
from aejax.data.columns.scalers import scale
from aejax.data.windows import lagged
from aejax.tasks.anomaly.charts import Chart
from aejax.tasks.anomaly.gaps import sizes_of
from aejax.tasks.anomaly.limits import p_values
from aejax.tasks.anomaly.monitor import Monitor, excess
from aejax.tasks.anomaly.rows_in_time import as_rows
from aejax.tasks.anomaly.statistics import Statistics, Whitening, statistics, whitened

# Rows are scanned in pieces of these lengths, filled up where that at most doubles the work, so that few programs are
# compiled. A scan of one row would be compiled into another program, with other roundings.
_PIECES = (2, 16, 128, 1024, 8192)


class StreamState(NamedTuple):
    """What a stream must remember between two rows.

    Attributes:
        past: (num_lags, c) scaled rows, the newest first.
        average: (3,) the moving averages.
        above: (n,) bool, whether the last n rows were above the limit, the newest first.
        num_rows: int32 scalar, rows seen.
    """

    past: Array
    average: Array
    above: Array
    num_rows: Array


def watch(monitor: Monitor, x: RowsLike, state: StreamState | None = None) -> tuple[Chart, StreamState]:
    """Judges new rows, all at once or as they come.

    Row by row, block by block or the whole series gives the same numbers to the last bit.

    Args:
        monitor: the Monitor.
        x: (n, c) rows in time, in the units of the training rows, NaN where missing; or a Batch with conditions.
        state: from the call before; None at the beginning, where the plant is taken to have stood at the first row.

    Returns:
        (Chart, StreamState): the verdicts, and what to hand to the next call.

    Raises:
        ValueError: rows with other columns than in training.
    """
    rows, cond = as_rows(x, len(monitor.scaler.mean), monitor.num_conditions)
    scaled = scale(monitor.scaler, rows).astype(np.float32)
    state = start(monitor) if state is None else state
    given = _of_windows_with_gaps(monitor, state, scaled, cond)
    parts = []
    begin = 0
    while begin < len(rows):
        size = _piece(len(rows) - begin)
        length = min(len(rows) - begin, size)
        is_row = np.arange(size) < length
        piece, piece_cond, piece_given = (
            None if array is None else np.resize(array[begin : begin + length], (size, *array.shape[1:]))
            for array in (scaled, cond, given)
        )
        arguments = (monitor.variables, monitor.whitening, monitor.smoothing, monitor.limit)
        arrays = jax.device_put((arguments, state, piece, piece_cond, piece_given, is_row))
        result, state = _scan(monitor.model, monitor.alarm_rule, *arrays)
        parts.append([np.asarray(array)[:length] for array in result])
        begin += length
    averages, is_above, is_alarm = (np.concatenate(part) for part in zip(*parts, strict=True))
    found = Statistics(*averages.T)
    farthest = excess(found, monitor.limit)
    p_value = p_values(excess(monitor.held_out, monitor.limit), farthest)
    return Chart(*found, farthest, p_value, is_above, is_alarm), state


def start(monitor: Monitor) -> StreamState:
    """The state before the first row.

    Args:
        monitor: the Monitor.

    Returns:
        The StreamState: the averages stand at 1, that of normal rows.
    """
    num_columns = len(monitor.scaler.mean)
    return StreamState(
        jnp.zeros((monitor.num_lags, num_columns), jnp.float32),
        jnp.ones(3, jnp.float32),
        jnp.zeros(monitor.alarm_rule[1], bool),
        jnp.zeros((), jnp.int32),
    )


@functools.partial(jax.jit, static_argnames=("model", "alarm_rule"))
def _scan(
    model: Model,
    alarm_rule: tuple[int, int],
    arguments: tuple[Variables, Whitening, float, Statistics],
    state: StreamState,
    rows: Array,
    cond: Array | None,
    given: Array,
    is_row: Array,
) -> tuple[tuple[Array, Array, Array], StreamState]:
    variables, whitening, smoothing, limit = arguments

    def step(
        state: StreamState, inputs: tuple[Array, Array | None, Array, Array]
    ) -> tuple[StreamState, tuple[Array, Array, Array]]:
        row, row_cond, given, is_row = inputs
        window = window_of(state, row)
        batch = Batch(jnp.nan_to_num(window).reshape(1, -1), cond=None if row_cond is None else row_cond[None])
        values = jnp.where(jnp.isnan(given), sizes_of(*whitened(model, variables, whitening, batch)), given)
        after, result = advance(state, window, values, smoothing, limit, alarm_rule)
        return jax.tree.map(lambda new, old: jnp.where(is_row, new, old), after, state), result

    state, result = jax.lax.scan(step, state, (rows, cond, given, is_row))
    return result, state


def window_of(state: StreamState, row: Array) -> Array:
    """(num_lags + 1, c): a scaled row and those before it, the newest first; at the first row the plant stood."""
    past = jnp.where(state.num_rows == 0, jnp.broadcast_to(row[None], state.past.shape), state.past)
    return jnp.concatenate([row[None], past])


def advance(
    state: StreamState,
    window: Array,
    values: Array,
    smoothing: float | Array,
    limit: Statistics,
    alarm_rule: tuple[int, int],
) -> tuple[StreamState, tuple[Array, Array, Array]]:
    """One row's part in averages and votes.

    Args:
        state: the StreamState before it.
        window: (num_lags + 1, c), from ``window_of``.
        values: (3,) the statistics of the window.
        smoothing: weight of the row in the averages.
        limit: of each statistic.
        alarm_rule: as the Monitor's.

    Returns:
        The StreamState after it, and (averages, is_above, is_alarm).
    """
    is_seen = ~jnp.all(jnp.isnan(window[0]))
    average = jnp.where(is_seen, (1 - smoothing) * state.average + smoothing * values, state.average)
    is_above = is_seen & ((average[1] > limit.spe) | (average[2] > limit.combined))
    # A row of which nothing is observed has no vote.
    above = jnp.where(is_seen, jnp.concatenate([is_above[None], state.above[:-1]]), state.above)
    is_alarm = is_seen & (jnp.sum(above) >= alarm_rule[0])
    after = StreamState(window[:-1], average, above, state.num_rows + 1)
    return after, (jnp.where(is_seen, average, jnp.nan), is_above, is_alarm)


def _of_windows_with_gaps(
    monitor: Monitor, state: StreamState, scaled: np.ndarray, cond: np.ndarray | None
) -> np.ndarray:
    """(n, 3) statistics of the rows in whose window something is missing; NaN for all others.

    They follow from the rows alone, not from the averages, and take far longer than those of a whole window.
    """
    given = np.full((len(scaled), 3), np.nan, np.float32)
    past = np.asarray(state.past)[::-1]
    if np.asarray(state.num_rows) == 0:
        past = np.broadcast_to(scaled[:1], past.shape)
    if not (np.isnan(scaled).any() or np.isnan(past).any()):
        return given
    windows = lagged(np.concatenate([past, scaled]), monitor.num_lags)
    numbers = np.flatnonzero(np.isnan(windows).any(axis=1) & ~np.isnan(scaled).all(axis=1))
    if len(numbers):
        # One row alone would be compiled into another program, with other roundings.
        chosen = np.resize(numbers, max(len(numbers), 2))
        batch = Batch(windows[chosen], cond=None if cond is None else cond[chosen])  # type: ignore[arg-type]
        found = statistics(monitor.model, monitor.variables, monitor.whitening, batch)
        given[numbers] = np.stack(found, axis=1)[: len(numbers)]
    return given


def _piece(num_rows: int) -> int:
    """The length of the next piece of so many rows."""
    filled = [piece for piece in _PIECES if num_rows <= piece <= 2 * num_rows]
    return filled[0] if filled else max(piece for piece in _PIECES if piece <= num_rows)
