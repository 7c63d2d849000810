"""Scores, p-values and alarms in a graph, gaps included: it holds the normal rows that a row is compared with."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Array, Batch
from aejax.data.columns import kinds
from aejax.data.columns.kinds import CATEGORY
from aejax.tables.run import Run
from aejax.tasks.anomaly import detection
from aejax.tasks.anomaly.limits import ROUNDING_OF_RATES
from aejax.tasks.anomaly.patterns import observed

Compared = tuple[Array, Array, Array]


def compare(run: Run) -> Callable[[Batch], Compared]:
    """What scores a run's model gives to rows, and how many normal rows score as high.

    A row with gaps is compared with the normal rows that hold all that it holds, of which the same is hidden, as
    ``aejax detect`` does where these are enough for the rate. They are scored anew for each such row.

    Args:
        run: the Run.

    Returns:
        A function of a Batch with a mask to (n,) scores, (n,) numbers of normal rows that score as high, and (n,)
        numbers of normal rows that the row is compared with.

    Raises:
        ValueError: a run of an earlier version, which kept no normal rows.
    """
    normal = run.calibration.rows
    if normal is None:
        raise ValueError("run: found no calibration rows, which an earlier aejax did not keep; train it again")
    of_whole = _scores_of_whole_rows(run, normal)

    def compared(batch: Batch) -> Compared:
        score, seen = _score(run, batch), batch.mask
        assert seen is not None
        num_as_high = len(of_whole) - num_below(of_whole, score)
        has_gaps = ~jnp.all(seen, axis=1) & jnp.any(seen, axis=1)

        def of_row(row: tuple[Array, ...]) -> tuple[Array, Array]:
            has_gaps, seen, score, num_as_high = row
            whole = (num_as_high, jnp.int32(len(of_whole)))
            return jax.lax.cond(has_gaps, lambda: _compare_hidden(run, normal, seen, score), lambda: whole)

        return score, *jax.lax.map(of_row, (has_gaps, seen, score, num_as_high))

    return compared


def is_rare(p_value: Array, false_alarm_rate: float) -> Array:
    """(n,) which rows are anomalies; False where the p-value is NaN."""
    return p_value <= false_alarm_rate + ROUNDING_OF_RATES


def has_changed(run: Run, x: Array) -> Array:
    """Where a constant column is not what it always was, and no flag or label; and where a category is new.

    Args:
        run: the Run.
        x: (n, c) the modelled columns, in their units.

    Returns:
        (n,) bool.
    """
    constant = kinds.constants(run.profile.columns)
    is_other = jnp.abs(x - np.nan_to_num(constant)) > np.nan_to_num(kinds.rounding_of(constant), nan=np.inf)
    is_mark = kinds.is_flag(constant) & ((x == 0) | (jnp.abs(x) == 1))
    return jnp.any((is_other & ~is_mark) | _is_new_category(run, x), axis=1)


def _is_new_category(run: Run, x: Array) -> Array:
    """(n, c), where new categories are as rare in normal rows as the rate asks."""
    num_levels = np.array(
        [
            len(column.facts["levels"])
            if column.kind == CATEGORY and column.facts["rare"] <= run.config.false_alarm_rate
            else np.inf
            for column in run.profile.columns
        ]
    )
    return np.isfinite(num_levels) & ((x < 0) | (x >= num_levels))


def _score(run: Run, batch: Batch) -> Array:
    # The key is that of ``aejax detect``, for models whose score is drawn.
    return detection.score_batch(run.model, (jax.random.key(run.config.seed), run.variables), batch)


def _scores_of_whole_rows(run: Run, normal: Batch) -> np.ndarray:
    """In order, of the normal rows that have no gaps."""
    is_whole = observed(normal).all(axis=1)
    score = run.calibration.score
    if not is_whole.all():
        key, whole = jax.random.key(run.config.seed), jax.tree.map(lambda field: field[is_whole], normal)
        score = detection.score(key, run.model, run.variables, whole) if is_whole.any() else score[:0]
    return np.sort(score[~np.isnan(score)]).astype(np.float32)


def num_below(in_order: np.ndarray, score: Array) -> Array:
    """How many numbers are below each score: ``jnp.searchsorted`` compares in a way that ONNX has not.

    Args:
        in_order: (m,) the numbers, the smallest first.
        score: (n,).

    Returns:
        (n,) whole numbers.
    """
    size = 1 << len(in_order).bit_length()
    padded = jnp.asarray(np.append(in_order, np.full(size - len(in_order), np.inf, np.float32)))
    count = jnp.zeros(score.shape, jnp.int32)
    while size := size // 2:
        pivot = padded.at[count + (size - 1)].get(mode="promise_in_bounds")
        count = jnp.where(pivot < score, count + size, count)
    return count


def _compare_hidden(run: Run, normal: Batch, seen: Array, score: Array) -> tuple[Array, Array]:
    """How many normal rows that hold all that a row holds score as high, the same being hidden, and how many they are.

    Args:
        run: the Run.
        normal: the normal rows.
        seen: (c,) what the row holds.
        score: of the row.

    Returns:
        Two whole numbers.
    """
    normal_seen = observed(normal)
    mask = seen & normal_seen
    hidden = Batch(jnp.where(mask, np.nan_to_num(normal.x), np.float32(0)), cond=normal.cond, mask=mask)
    holds_all = jnp.all(~seen | normal_seen, axis=1)
    is_as_high = holds_all & (_score(run, hidden) >= score)
    return jnp.sum(is_as_high, dtype=jnp.int32), jnp.sum(holds_all, dtype=jnp.int32)
