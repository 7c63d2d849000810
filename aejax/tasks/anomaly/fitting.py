"""Fitting a process monitor to normal rows in time; its limits come from such rows that no model was trained on."""

import warnings
from collections.abc import Callable

import jax
import numpy as np

from aejax.base import Array, Batch, Model, Variables
from aejax.data.batches import RowsLike
from aejax.data.columns.scalers import constant_columns, fit_scaler
from aejax.models import autoencoder
from aejax.tasks.anomaly.charts import check_rule, check_smoothing, ewma
from aejax.tasks.anomaly.limits import block_length
from aejax.tasks.anomaly.monitor import Monitor, check_limits, set_limits
from aejax.tasks.anomaly.rows_in_time import as_rows, row_windows
from aejax.tasks.anomaly.statistics import Statistics, Whitening, fit_whitening, rescaled, statistics
from aejax.tasks.anomaly.stream import watch
from aejax.tasks.reduction import check_encodes, suggest_latent_dim
from aejax.training import Progress, fit

# With fewer stretches of independent rows than this the limits of simulated slow processes gave up to 40 times the
# false alarms asked for, on average 13 times; with 15 to 50 of them at most 4 times.
_FEWEST_STRETCHES = 10


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
    limits: str = "rows",
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
    trained on the others (cross-conformal; Vovk 2015), and the monitor's own model is trained on all rows.

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
        limits: "rows" for the conformal quantile of the held-out rows, or "blocks" for ``block_threshold``, which also
            holds for rows that resemble their neighbours but needs some 1 / rate blocks.
        num_folds: blocks of the table, at least 2.
        num_epochs: passes over the rows.
        batch_size: windows a step.
        learning_rate: Adam's, falling to zero.
        progress: as in ``fit``, for each of the num_folds + 1 models.

    Returns:
        The Monitor.

    Warns:
        UserWarning: a column is so slow that the rows hold few independent states of the process. No way of setting
            limits makes up for states that were not seen: on other normal rows alarms may then be many times as
            frequent as asked for and as ``rate`` says.

    Raises:
        ValueError: bad options, too few rows, rows that never change, or a model without an encoder.

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
    rows, cond = as_rows(x)
    smallest_fold = len(rows) // max(num_folds, 1)
    if num_folds < 2 or smallest_fold < num_lags + 2:
        raise ValueError(
            f"num_folds: found {num_folds} for {len(rows)} rows and {num_lags} lags, expected at least 2 blocks of "
            f"num_lags + 2 rows or more"
        )
    check_limits(false_alarm_rate, limits, len(rows))
    scaler = fit_scaler(rows)
    is_constant = constant_columns(rows)
    if is_constant.all():
        raise ValueError(
            f"x: found {rows.shape[1]} columns, none of which changes in {len(rows)} rows, expected at least one that "
            "does; give rows of the running process"
        )
    _warn_of_slow_columns(rows[:, ~is_constant])
    # Nothing says how far a column may move that stood still: divided by infinity, it takes no part.
    scaler = scaler._replace(scale=np.where(is_constant, np.inf, scaler.scale))
    lagged = row_windows(scaler, rows, num_lags)
    windows = Batch(lagged, cond=cond)  # type: ignore[arg-type]
    # The first rows have no whole past: they are scored, as in a stream, but nothing is trained on them.
    whole = np.arange(num_lags, len(rows))
    if latent_dim is None:
        latent_dim = suggest_latent_dim(lagged[whole])
    size = windows.x.shape[1]
    if factory is linear_autoencoder and latent_dim >= size:
        raise ValueError(
            f"latent_dim: found {latent_dim} for windows of {size} numbers (columns times num_lags + 1), expected "
            "fewer: nothing but rounding noise would be left for SPE"
        )
    model = factory((size,), latent_dim)
    check_encodes(model)

    def train(key: Array, chosen: np.ndarray) -> tuple[Variables, Whitening]:
        batch = _take(windows, chosen)
        fitted = fit(
            key,
            model,
            batch,
            validation=0,
            num_epochs=num_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            progress=progress,
        )
        return fitted.variables, fit_whitening(model, fitted.variables, batch)

    own_key, *fold_keys = jax.random.split(key, num_folds + 1)
    folds = np.array_split(np.arange(len(rows)), num_folds)
    # No window of the training rows reaches into the block; all folds have as many rows, so that they share a program.
    others = [whole[(whole < fold[0]) | (whole > fold[-1] + num_lags)] for fold in folds]
    num_others = min(map(len, others))
    scores = []
    for fold_key, fold, other in zip(fold_keys, folds, others, strict=True):
        scores.append(statistics(model, *train(fold_key, other[:num_others]), _take(windows, fold)))
    t2, spe, _ = (np.concatenate(parts) for parts in zip(*scores, strict=True))
    # As in ``watch``, a row of which nothing is observed has no statistic, whatever its window holds.
    is_empty = np.isnan(rows).all(axis=1)
    t2, spe = (np.where(is_empty, np.nan, values) for values in (t2, spe))
    # Rows that are not trained on have the larger residuals: 1 is to be the mean of new normal rows.
    sizes = [np.nanmean(t2), np.nanmean(spe)]
    t2, spe = (values / size if size > 0 else values for values, size in zip((t2, spe), sizes, strict=True))
    held_out = Statistics(*(ewma(values, smoothing) for values in (t2, spe, (t2 + spe) / 2)))
    limit, rate = set_limits(held_out, false_alarm_rate, limits)
    variables, whitening = train(own_key, whole)
    whitening = rescaled(whitening, *sizes)
    num_conditions = 0 if cond is None else cond.shape[1]
    return Monitor(
        model, variables, scaler, whitening, num_lags, smoothing, alarm_rule, held_out, limit, rate, num_conditions
    )


def recalibrate(
    monitor: Monitor, x: RowsLike | None = None, *, false_alarm_rate: float | None = None, limits: str = "rows"
) -> Monitor:
    """Sets the limits anew, without training.

    Args:
        monitor: the Monitor.
        x: (m, c) normal rows in time that it was not trained on, such as those of another run of the plant; None
            for the held-out rows that it has.
        false_alarm_rate: the share of normal rows that may be above; the one it has if None.
        limits: "rows" or "blocks", as in ``fit_monitor``.

    Returns:
        The Monitor with these limits.

    Raises:
        ValueError: rows with other columns, a rate out of range, or no row with an observed value.
    """
    rate = monitor.rate.asked if false_alarm_rate is None else false_alarm_rate
    held_out = monitor.held_out
    if x is not None:
        chart, _ = watch(monitor, x)
        held_out = Statistics(chart.t2, chart.spe, chart.combined)
    limit, obtained = set_limits(held_out, rate, limits)
    return monitor._replace(held_out=held_out, limit=limit, rate=obtained)


def _take(batch: Batch, rows: np.ndarray) -> Batch:
    return jax.tree.map(lambda field: field[rows], batch)


def _warn_of_slow_columns(rows: np.ndarray) -> None:
    stretches = len(rows) / max(block_length(column) for column in rows.T)
    if stretches < _FEWEST_STRETCHES:
        warnings.warn(
            f"x: the {len(rows)} rows hold only about {stretches:.0f} independent stretches of the slowest column, so "
            "that other normal operation may give many times the false alarms asked for; give normal rows over a "
            "longer time, or recalibrate the limits with those of another run",
            stacklevel=3,
        )
