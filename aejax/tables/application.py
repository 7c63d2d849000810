"""Using a run on a table: codes, clean rows, anomalies, new rows, and how good they are."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax import metrics, tasks
from aejax.base import Array, ArrayLike, Batch, Model
from aejax.data.columns import kinds
from aejax.data.columns.conditions import find_unknown
from aejax.data.columns.gross import gross_errors
from aejax.data.columns.scalers import check_scaled, scale, unscale
from aejax.data.formats.tables import Table, select_columns
from aejax.tables import config as configs
from aejax.tables.columns import Notice, has_conditions, say_rate, scaled_batch, select
from aejax.tables.gaps import say_gaps
from aejax.tables.profiles import changes, pinned
from aejax.tables.run import Run
from aejax.tasks.anomaly import Detection


class _Prepared(NamedTuple):
    """New rows as the model takes them.

    Attributes:
        batch: the m rows whose conditions are known, scaled; NaN where missing.
        x: (m, c) the same in the units of the table, as they were given.
        is_known: (n,) bool, which rows of the table these are.
        unknown: of conditions unlike those of training, (m,) bool and what to say.
    """

    batch: Batch
    x: np.ndarray
    is_known: np.ndarray
    unknown: list[tuple[np.ndarray, str]]


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
    batch, _, is_known, _ = _prepare(run, table, notice)
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
    batch, _, is_known, _ = _prepare(run, table, notice)
    clean = unscale(run.scaler, tasks.reconstruct(run.model, run.variables, batch).astype(float))
    constant = kinds.constants(run.profile.columns)
    clean = np.where(np.isnan(constant), clean, constant)
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
        Columns ``score``, ``p_value``, ``is_anomaly``; ``top_sensor``, the column that contributed most, empty for a
        GAN, which has no residual; and ``reason``, what decided or what to know of the row, empty for most. A row is
        an anomaly by its score, or where a column that was constant in training has changed.

    Raises:
        ValueError: columns that differ from the training columns, or a rate out of range.
    """
    prepared = _prepare(run, table, notice)
    rate = run.config.false_alarm_rate if false_alarm_rate is None else false_alarm_rate
    found = _found(run, prepared.batch, rate)
    say_gaps(np.asarray(prepared.batch.x), run.columns, found.compared_with, notice)
    say_rate(rate, len(run.calibration.score), notice)
    _say_new_levels(run, prepared.x, notice)
    top = np.array(run.columns, object)[np.argmax(found.contribution, axis=1)]
    top[~found.contribution.any(axis=1)] = ""
    is_anomaly = found.is_anomaly.copy()
    reasons = [(found.is_anomaly, "score")]
    for rows, what, is_alarm in changes(run.profile, prepared.x, run.columns):
        reasons.append((rows, what))
        notice(f"{rows.sum()} rows: {what}")
        if is_alarm:
            top[rows & ~is_anomaly] = what.partition(" was always ")[0]
            is_anomaly |= rows
    columns = {
        "score": found.score,
        "p_value": found.p_value,
        "is_anomaly": is_anomaly,
        "top_sensor": top.astype(str),
        "reason": _joined(len(top), reasons + prepared.unknown),
    }
    return _in_place(columns, prepared.is_known)


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
    for _, what in find_unknown(run.conditions, given, expected):
        notice(f"condition {what}: {_listed(conditions, expected)}; rows drawn there are an extrapolation")
    scaled = scale(run.cond_scaler, given)[0] if expected else None
    rows = draw_rows(run, jax.random.key(seed), num_samples, scaled)
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
    prepared = _prepare(run, table, notice)
    found = _found(run, prepared.batch, run.config.false_alarm_rate)
    is_gross = gross_errors(run.profile.limits, prepared.x)
    if is_gross.any():
        notice(f"all figures but the share flagged are without {is_gross.sum()} gross errors")
    batch = prepared.batch._replace(x=jnp.where(is_gross, np.float32(np.nan), prepared.batch.x))
    result: dict[str, Any] = {
        "num_rows": len(batch.x),
        "mean_score": float(np.nanmean(found.score[~is_gross.any(axis=1)])),
        "flagged": float(found.is_anomaly.mean()),
        "false_alarm_rate": run.config.false_alarm_rate,
    }
    if isinstance(run.model, Model):
        reconstruction = tasks.reconstruct(run.model, run.variables, batch)
        result["mse"] = float(np.nanmean(np.square(batch.x - reconstruction)))
        result |= _by_column(run, "explained_variance", metrics.explained_variance(batch.x, reconstruction))
    if run.model.sample is not None:
        drawn = scale(run.scaler, draw_rows(run, jax.random.key(run.config.seed), len(batch.x), batch.cond))
        result |= _by_column(run, "ks_distance", metrics.ks_distance(drawn, batch.x))
    return result


def draw_rows(run: Run, key: jax.Array, num_samples: int, cond: ArrayLike | None) -> np.ndarray:
    """New rows in the units of the table, each column of its kind.

    Args:
        run: the Run, of a model that defines a distribution.
        key: PRNG key.
        num_samples: how many rows.
        cond: (k,) or (num_samples, k) scaled conditions, None for none.

    Returns:
        (num_samples, c).
    """
    drawn = np.asarray(tasks.generate(key, run.model, run.variables, num_samples, cond), float)
    return kinds.keep(run.profile.columns, unscale(run.scaler, drawn))


def _found(run: Run, batch: Batch, false_alarm_rate: float) -> Detection:
    key = jax.random.key(run.config.seed)
    found = tasks.detect(key, run.model, run.variables, batch, run.calibration, false_alarm_rate)
    # What a model makes of a constant column says nothing of the row.
    is_constant = ~np.isnan(kinds.constants(run.profile.columns))
    return found._replace(contribution=np.where(is_constant, 0, found.contribution))


def _by_column(run: Run, name: str, values: np.ndarray) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    by_column = {
        column: float(value) if np.isfinite(value) else None for column, value in zip(run.columns, values, strict=True)
    }
    return {name: float(finite.mean()) if finite.size else None, f"{name}_by_column": by_column}


def _prepare(run: Run, table: Table, notice: Notice) -> _Prepared:
    selected = select_columns(table, run.source.columns, run.source.has_header)
    if selected.note:
        notice(selected.note)
    unused = (*selected.extra, *(name for name in table.left_out if name not in table.labels))
    if unused:
        notice(f"columns that the run does not use are ignored: {', '.join(unused)}")
    _say_divergence(run, notice)
    x, cond = select(selected.values, run.source, run.config)
    constant = pinned(run.profile, x)
    check_scaled(run.scaler, constant, configs.scaling(run.config), run.columns)
    is_known = has_conditions(cond, run.config, notice)
    known = slice(None) if is_known.all() else is_known  # a mask would copy all
    batch = scaled_batch(constant[known], cond[known], run.scaler, run.cond_scaler)
    unknown = find_unknown(run.conditions, cond[known], run.config.condition_columns)
    for rows, what in unknown:
        notice(f"{rows.sum()} of {len(rows)} rows have a condition {what}; their results are extrapolations")
    return _Prepared(batch, x[known], is_known, unknown)


def _say_new_levels(run: Run, x: np.ndarray, notice: Notice) -> None:
    for name, column, values in zip(run.columns, run.profile.columns, x.T, strict=True):
        if column.kind == "few values":
            is_new = ~np.isnan(values) & ~np.isin(values, column.facts["values"])
            if is_new.any():
                known = ", ".join(f"{level:g}" for level in column.facts["values"])
                new = ", ".join(f"{level:g}" for level in np.unique(values[is_new])[:3])
                notice(f"column {name!r}: {is_new.sum()} rows hold {new}, not seen in training ({known})")


def _joined(num_rows: int, reasons: list[tuple[np.ndarray, str]]) -> np.ndarray:
    """(n,) text, the reasons of each row."""
    joined = np.full(num_rows, "", object)
    for rows, what in reasons:
        joined[rows] = [f"{before}; {what}" if before else what for before in joined[rows]]
    return joined.astype(str)


def _listed(conditions: Mapping[str, float], names: tuple[str, ...]) -> str:
    return ", ".join(f"{name}={conditions[name]:g}" for name in names)


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
