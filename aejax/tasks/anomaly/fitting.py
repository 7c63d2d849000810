"""Fitting a process monitor to normal rows in time; its limits come from such rows that no model was trained on."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from aejax.base import Array, Batch, Model, Variables
from aejax.data.batches import RowsLike
from aejax.data.columns.scalers import Scaler, constant_columns, fit_scaler
from aejax.models import autoencoder
from aejax.tasks.anomaly.charts import check_rule, check_smoothing
from aejax.tasks.anomaly.held_out import check_folds, held_out, taken
from aejax.tasks.anomaly.monitor import Monitor, check_limits, set_limits, stretches_of
from aejax.tasks.anomaly.rows_in_time import as_rows, row_windows
from aejax.tasks.anomaly.statistics import Whitening, fit_whitening
from aejax.tasks.anomaly.transients import transients
from aejax.tasks.reduction import check_encodes, suggest_latent_dim
from aejax.training import Progress, fit


def linear_autoencoder(event_shape: tuple[int, ...], latent_dim: int) -> Model:
    """An autoencoder without hidden layers, whose optimum is the principal subspace.

    Args:
        event_shape: shape of one example.
        latent_dim: size of the code.

    Returns:
        The Model.

    Example:
        >>> linear_autoencoder((5,), 2) is linear_autoencoder((5,), 2)
        True
    """
    return autoencoder(event_shape, latent_dim, hidden_dims=())


def fit_monitor(
    key: Array,
    x: RowsLike,
    *,
    factory: Callable[[tuple[int, ...], int], Model] = linear_autoencoder,
    latent_dim: int | None = None,
    num_lags: int = 2,
    smoothing: float = 0.2,
    alarm_rule: tuple[int, int] = (2, 3),
    false_alarm_rate: float = 0.01,
    limits: str = "auto",
    keep_transients: bool = False,
    num_folds: int = 5,
    num_epochs: int = 200,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    progress: bool | Callable[[Progress], None] = False,
) -> Monitor:
    """Learns normal operation of a process from rows in time.

    Rows are standardised and put beside the rows before them; a model of these windows gives T² of its code and SPE of
    its residual, both whitened by shrunk covariances and smoothed by moving averages. Alarms come from SPE and the
    mean of both, whichever is further above its limit. (The mean alone loses a doubled SPE where T² varies
    tenfold, as it does where the states of a process are slow; T² alone gives false alarms there.) The limits come
    from normal rows that the scoring model has not seen: each of ``num_folds`` blocks of the table is scored by a model
    trained on the others (cross-conformal; Vovk 2015), and the monitor's own model is trained on all rows. First or
    last rows that stand out from the others, as a start-up does, are left out of all this: they would set the limits.

    The defaults were chosen on the Tennessee Eastman process, on its normal rows and the mean over its faults.

    Args:
        key: PRNG key.
        x: (n, c) rows of normal operation in time, equally spaced, in their own units; NaN where missing. A column
            that never changes takes no part: nothing says how far it may move, so that neither rounding noise nor a
            true change of it in new rows makes an alarm. Its ``scaler.scale`` is infinite. Or a Batch with
            conditions, scaled, for a conditional model.
        factory: (event_shape, latent_dim) -> Model, such as ``aejax.models.vae``; a linear autoencoder by default,
            which needs the fewest rows.
        latent_dim: size of the code; by default the number of principal components with 90 % of the windows' variance.
        num_lags: earlier rows in a window; 0 for a process without dynamics.
        smoothing: weight of the newest row in the moving average of the statistics, 1 for none. A smaller one finds
            smaller shifts, later.
        alarm_rule: (k, n), an alarm where k of the last n rows are above the limit.
        false_alarm_rate: the share of normal rows that may be above the limit.
        limits: "auto" for the conformal quantile of the held-out rows where they hold 1 / rate - 1 independent
            stretches or more, and with fewer for ``tail_threshold`` where that is higher; "rows" for the quantile
            whatever they hold; "blocks" for ``block_threshold``, which takes nothing but whole blocks to be
            exchangeable and needs some 1 / rate of them.
        keep_transients: keep first and last rows that stand out.
        num_folds: blocks of the table, at least 2.
        num_epochs: passes over the rows.
        batch_size: windows a step.
        learning_rate: Adam's, falling to zero.
        progress: as in ``fit``, for each of the num_folds + 1 models.

    Returns:
        The Monitor.

    Warns:
        UserWarning: first or last rows were left out, or a column is so slow that the rows hold fewer than 10
            independent stretches of the process. No way of setting limits makes up for states that were not seen.

    Raises:
        ValueError: bad options, too few rows, rows that never change, a model without an encoder, or fewer than 3
            independent stretches where ``limits`` is "auto".

    Example:
        >>> x = np.random.default_rng(0).standard_normal((300, 4))
        >>> monitor = fit_monitor(jax.random.key(0), x, num_epochs=2, false_alarm_rate=0.05)
        >>> from aejax.tasks.anomaly import watch
        >>> chart, state = watch(monitor, x[:10] + [0, 0, 9, 0])
        >>> bool(chart.is_alarm[-1])
        True
    """
    check_smoothing(smoothing)
    check_rule(alarm_rule)
    if num_lags < 0:
        raise ValueError(f"num_lags: found {num_lags}, expected at least 0")
    options = {
        "num_epochs": num_epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "progress": progress,
    }
    rows, cond = as_rows(x)
    begin, end = 0, len(rows)
    while True:
        kept, kept_cond = rows[begin:end], None if cond is None else cond[begin:end]
        check_folds(num_folds, len(kept), num_lags)
        check_limits(false_alarm_rate, limits, len(kept))
        scaler, windows, model = _prepared(kept, kept_cond, factory, latent_dim, num_lags)
        own, *keys = (_Training(model, windows, key, options) for key in jax.random.split(key, num_folds + 1))
        scores = held_out(model, windows, kept, num_lags, [training.fit for training in keys])
        more = (0, 0) if keep_transients else transients(scores.combined, kept)
        if not any(more):
            break
        begin, end = begin + more[0], end - more[1]
    left_out = begin, len(rows) - end
    _warn_of_transients(left_out, len(rows))
    smoothed = scores.smoothed(smoothing)
    num_stretches = stretches_of(smoothed, kept[:, np.isfinite(scaler.scale)], limits)
    limit, rate = set_limits(smoothed, false_alarm_rate, limits, num_stretches)
    variables, whitening = own.fit(np.arange(num_lags, len(kept)))
    return Monitor(
        model,
        variables,
        scaler,
        scores.scaled(whitening),
        num_lags,
        smoothing,
        alarm_rule,
        smoothed,
        limit,
        rate,
        0 if cond is None else cond.shape[1],
        num_stretches,
        left_out,
    )


class _Training(NamedTuple):
    """What is trained on some windows of a table."""

    model: Model
    windows: Batch
    key: Array
    options: dict[str, Any]

    def fit(self, chosen: np.ndarray) -> tuple[Variables, Whitening]:
        batch = taken(self.windows, chosen)
        variables = fit(self.key, self.model, batch, validation=0, **self.options).variables
        return variables, fit_whitening(self.model, variables, batch)


def _prepared(
    rows: np.ndarray,
    cond: np.ndarray | None,
    factory: Callable[[tuple[int, ...], int], Model],
    latent_dim: int | None,
    num_lags: int,
) -> tuple[Scaler, Batch, Model]:
    """The scaler of rows, their windows, and a model of these."""
    scaler = fit_scaler(rows)
    is_constant = constant_columns(rows)
    if is_constant.all():
        raise ValueError(
            f"x: found {rows.shape[1]} columns, none of which changes in {len(rows)} rows, expected at least one that "
            "does; give rows of the running process"
        )
    # Nothing says how far a column may move that stood still: divided by infinity, it takes no part.
    scaler = scaler._replace(scale=np.where(is_constant, np.inf, scaler.scale))
    lagged = row_windows(scaler, rows, num_lags)
    if latent_dim is None:
        latent_dim = suggest_latent_dim(lagged[num_lags:])
    size = lagged.shape[1]
    if factory is linear_autoencoder and latent_dim >= size:
        raise ValueError(
            f"latent_dim: found {latent_dim} for windows of {size} numbers (columns times num_lags + 1), expected "
            "fewer: nothing but rounding noise would be left for SPE"
        )
    model = factory((size,), latent_dim)
    check_encodes(model)
    return scaler, Batch(lagged, cond=cond), model  # type: ignore[arg-type]


def _warn_of_transients(left_out: tuple[int, int], num_rows: int) -> None:
    if any(left_out):
        which = " and ".join(
            f"{name} {number}" for name, number in zip(("first", "last"), left_out, strict=True) if number
        )
        warnings.warn(
            f"x: the {which} of {num_rows} rows stand out from the others, as a start-up or a shutdown does; they are "
            "left out of the model and its limits. If they are normal operation, set keep_transients",
            stacklevel=3,
        )
