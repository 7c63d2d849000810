"""Using a run on a table: codes, clean rows, anomalies, new rows, and how good they are."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from aejax import metrics, tasks
from aejax.base import Array, Batch, Model
from aejax.data.columns.scalers import check_scaled, scale, unscale
from aejax.data.formats.tables import Table, select_columns
from aejax.tables import config as configs
from aejax.tables.columns import Notice, has_conditions, scaled_batch, select
from aejax.tables.gaps import say_gaps
from aejax.tables.run import Run
from aejax.tasks.anomaly import Detection

# Standard deviations from the mean beyond which a condition is pointed out.
_FAR = 3.0


def encode(run: Run, table: Table, notice: Notice = lambda text: None) -> dict[str, np.ndarray]:  # noqa: ARG005
    """The code of each row.

    Args:
        run: the Run.
        table: rows with the run's columns. Of a row without its conditions the result is missing.
        notice: takes what a user should know.

    Returns:
        Columns ``z1``, ``z2``, ...

    Raises:
        ValueError: columns that differ from the training columns.
    """
    batch, is_known = _prepare(run, table, notice)
    codes = tasks.encode(run.model, run.variables, batch).mean
    return _in_place({f"z{index + 1}": code for index, code in enumerate(codes.T)}, is_known)


def reconstruct(run: Run, table: Table, notice: Notice = lambda text: None) -> dict[str, np.ndarray]:  # noqa: ARG005
    """Each row after the bottleneck, in the units of the table: denoised, and with missing values filled in.

    Args:
        run: the Run.
        table: rows with the run's columns. Of a row without its conditions the result is missing.
        notice: takes what a user should know.

    Returns:
        The training columns in their order; conditions as they were given.

    Raises:
        ValueError: columns that differ from the training columns.
    """
    batch, is_known = _prepare(run, table, notice)
    clean = unscale(run.scaler, tasks.reconstruct(run.model, run.variables, batch).astype(float))
    cond = None if batch.cond is None else unscale(run.cond_scaler, batch.cond)
    return _in_place(_as_table(run, clean, cond), is_known)


def detect(
    run: Run,
    table: Table,
    false_alarm_rate: float | None = None,
    notice: Notice = lambda text: None,  # noqa: ARG005
) -> dict[str, np.ndarray]:
    """Scores each row against the run's held-out normal rows.

    Args:
        run: the Run.
        table: rows with the run's columns. Of a row without its conditions the result is missing.
        false_alarm_rate: share of normal rows that may be flagged; the config's by default.
        notice: takes what a user should know.

    Returns:
        Columns ``score``, ``p_value``, ``is_anomaly`` and ``top_sensor``, the column that contributed most; empty for a
        GAN, which has no residual.

    Raises:
        ValueError: columns that differ from the training columns, or a rate out of range.
    """
    batch, is_known = _prepare(run, table, notice)
    found = _found(run, batch, run.config.false_alarm_rate if false_alarm_rate is None else false_alarm_rate)
    say_gaps(np.asarray(batch.x), run.columns, found.compared_with, notice)
    top = np.array(run.columns)[np.argmax(found.contribution, axis=1)]
    has_residual = found.contribution.any(axis=1)
    columns = {
        "score": found.score,
        "p_value": found.p_value,
        "is_anomaly": found.is_anomaly,
        "top_sensor": np.where(has_residual, top, ""),
    }
    return _in_place(columns, is_known)


def generate(
    run: Run,
    num_samples: int,
    conditions: Mapping[str, float] | None = None,
    seed: int = 0,
    notice: Notice = lambda text: None,  # noqa: ARG005
) -> dict[str, np.ndarray]:
    """New rows in the units of the table.

    Args:
        run: the Run, of a model that defines a distribution.
        num_samples: how many rows.
        conditions: a value for each condition column of the run.
        seed: of the draw.
        notice: takes what a user should know, such as a condition far from those of the training rows.

    Returns:
        The training columns in their order; conditions as they were given.

    Raises:
        ValueError: a model without a distribution, a condition that is missing or unknown, or a bad number.
    """
    conditions = conditions or {}
    expected = run.config.condition_columns
    if set(conditions) != set(expected):
        raise ValueError(
            f"condition: found {sorted(conditions) or 'none'}, expected a value for each of {list(expected) or 'none'}"
            + (f", such as --condition {expected[0]}=1.0" if expected else "; this run has no condition columns")
        )
    given = np.array([[conditions[name] for name in expected]], float)
    if not np.isfinite(given).all():
        raise ValueError(f"condition: found {dict(conditions)}, expected finite numbers")
    _say_divergence(run, notice)
    scaled = scale(run.cond_scaler, given)[0]
    for index, name in enumerate(expected):
        distance = abs(float(scaled[index]))
        if distance > _FAR:
            notice(
                f"condition {name}: {conditions[name]:g} is {distance:.1f} standard deviations from the mean of the "
                "training rows; rows drawn there are an extrapolation"
            )
    key = jax.random.key(seed)
    drawn = tasks.generate(key, run.model, run.variables, num_samples, scaled if expected else None)
    rows = unscale(run.scaler, np.asarray(drawn, float))
    return _as_table(run, rows, np.broadcast_to(given, (num_samples, len(expected))) if expected else None)


def evaluate(run: Run, table: Table, notice: Notice = lambda text: None) -> dict[str, Any]:  # noqa: ARG005
    """How well the model represents rows.

    Args:
        run: the Run.
        table: rows with the run's columns.
        notice: takes what a user should know.

    Returns:
        ``num_rows``; ``mean_score``; ``flagged``, the share of rows that detection flags at ``false_alarm_rate``. Of a
        model that reconstructs: ``mse`` per observed element of scaled columns: in units of the training variance,
        or of the range or of counts, as the likelihood scales them; ``explained_variance``,
        its mean over the columns that vary; ``explained_variance_by_column``. Of one that generates: ``ks_distance`` of
        as many new rows, at the same conditions, to those of the table, its mean over columns;
        ``ks_distance_by_column``.

    Raises:
        ValueError: columns that differ from the training columns.
    """
    batch, _ = _prepare(run, table, notice)
    found = _found(run, batch, run.config.false_alarm_rate)
    result: dict[str, Any] = {
        "num_rows": len(batch.x),
        "mean_score": float(np.nanmean(found.score)),
        "flagged": float(found.is_anomaly.mean()),
        "false_alarm_rate": run.config.false_alarm_rate,
    }
    if isinstance(run.model, Model):
        reconstruction = tasks.reconstruct(run.model, run.variables, batch)
        result["mse"] = float(np.nanmean(np.square(batch.x - reconstruction)))
        result |= _by_column(run, "explained_variance", metrics.explained_variance(batch.x, reconstruction))
    if run.model.sample is not None:
        key = jax.random.key(run.config.seed)
        drawn = np.asarray(tasks.generate(key, run.model, run.variables, len(batch.x), batch.cond))
        result |= _by_column(run, "ks_distance", metrics.ks_distance(drawn, batch.x))
    return result


def _found(run: Run, batch: Batch, false_alarm_rate: float) -> Detection:
    key = jax.random.key(run.config.seed)
    return tasks.detect(key, run.model, run.variables, batch, run.calibration, false_alarm_rate)


def _by_column(run: Run, name: str, values: np.ndarray) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    by_column = {
        column: float(value) if np.isfinite(value) else None for column, value in zip(run.columns, values, strict=True)
    }
    return {name: float(finite.mean()) if finite.size else None, f"{name}_by_column": by_column}


def _prepare(run: Run, table: Table, notice: Notice) -> tuple[Batch, np.ndarray]:
    """The scaled rows whose conditions are known, and which rows of the table these are."""
    selected = select_columns(table, run.source.columns, run.source.has_header)
    unused = (*selected.extra, *(name for name in table.left_out if name not in table.labels))
    if unused:
        notice(f"columns that the run does not use are ignored: {', '.join(unused)}")
    _say_divergence(run, notice)
    x, cond = select(selected.values, run.source, run.config)
    check_scaled(run.scaler, x, configs.scaling(run.config), run.columns)
    is_known = has_conditions(cond, run.config, notice)
    return scaled_batch(x[is_known], cond[is_known], run.scaler, run.cond_scaler), is_known


def _say_divergence(run: Run, notice: Notice) -> None:
    if run.diverged:
        notice(f"the run's training diverged, and its results are those of an early stage: {run.diverged}")


def _in_place(columns: dict[str, np.ndarray], is_known: np.ndarray) -> dict[str, np.ndarray]:
    """Results at the places of their rows; missing, or False, for rows without conditions."""
    return {name: _spread(values, is_known) for name, values in columns.items()} if not is_known.all() else columns


def _spread(values: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    missing = np.nan if values.dtype.kind == "f" else values.dtype.type()
    whole = np.full(len(is_known), missing, values.dtype)
    whole[is_known] = values
    return whole


def _as_table(run: Run, x: np.ndarray, cond: np.ndarray | Array | None) -> dict[str, np.ndarray]:
    by_name = dict(zip(run.columns, x.T, strict=True))
    if cond is not None:
        by_name |= dict(zip(run.config.condition_columns, np.asarray(cond).T, strict=True))
    return {name: by_name[name] for name in run.source.columns}
