"""The main job on a table of named columns, in its own units: train, encode, reconstruct, detect, generate."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from aejax import config as configs
from aejax import metrics, runs, tasks
from aejax.algorithms import Optimizer, adam
from aejax.base import Adversary, Batch, Model, Variables
from aejax.config import TrainConfig
from aejax.data.files import Table, select_columns
from aejax.data.scalers import Scaler, constant_columns, fit_scaler, scale, unscale
from aejax.runs import HeldOut, Run, Source
from aejax.tasks.reduction import suggest_latent_dim
from aejax.training import DivergenceError, Report, fit, pretrain
from aejax.training.engine import steps_per_epoch

_FEWEST_ROWS = 10
_HELD_OUT_SHOWN = 1000

Notice = Callable[[str], None]


class Split(NamedTuple):
    """Row numbers of a table.

    Attributes:
        train: what the model and the scaler are fitted to.
        validation: what chooses the best epoch.
        calibration: what nothing is fitted to.
    """

    train: np.ndarray
    validation: np.ndarray
    calibration: np.ndarray


def split_rows(key: jax.Array, num_rows: int, config: TrainConfig) -> Split:
    """Splits rows at random, or in the order of time: the first ones train, the last ones calibrate.

    Args:
        key: PRNG key.
        num_rows: the number of rows.
        config: its fractions and its ``split``.

    Returns:
        The Split; no part is empty.

    Raises:
        ValueError: too few rows.

    Example:
        >>> [len(part) for part in split_rows(jax.random.key(0), 100, TrainConfig())]
        [70, 10, 20]
    """
    if num_rows < _FEWEST_ROWS:
        raise ValueError(
            f"found {num_rows} row(s), expected at least {_FEWEST_ROWS}: rows to train, to stop training and to "
            "calibrate detection are held apart"
        )
    num_validation = max(1, round(config.validation_fraction * num_rows))
    num_calibration = max(1, round(config.calibration_fraction * num_rows))
    rows = np.arange(num_rows)
    if config.split == "random":
        rows = np.asarray(jax.random.permutation(key, num_rows))
    num_train = num_rows - num_validation - num_calibration
    return Split(*(np.sort(part) for part in np.split(rows, [num_train, num_train + num_validation])))


def train(
    table: Table,
    config: TrainConfig,
    folder: str | Path,
    *,
    path: str = "-",
    sha256: str = "",
    checkpoint_seconds: float = 30.0,
    resume: bool = False,
    progress: bool | Callable[[Report], None] = False,
    notice: Notice = lambda text: None,  # noqa: ARG005
) -> Run:
    """Trains a model on a table and writes the run folder.

    Args:
        table: from ``aejax.data.files.read_table``.
        config: the TrainConfig.
        folder: the run folder. It holds the config and checkpoints while training goes on.
        path: where the table is from, for the config.
        sha256: of the table's file.
        checkpoint_seconds: the time between two checkpoints.
        resume: go on from the folder's newest checkpoint.
        progress: as in ``aejax.fit``.
        notice: takes what a user should know, a line each.

    Returns:
        The Run.

    Raises:
        ValueError: bad options or data; the message names the option or the column.
        DivergenceError: as in ``aejax.fit``; the run with the last good variables is written all the same.
        Interrupted: as in ``aejax.fit``.
    """
    configs.check(config)
    source = Source(path, sha256, table.columns, table.has_header)
    columns = _check_columns(table, config)
    split_key, fit_key, score_key = jax.random.split(jax.random.key(config.seed), 3)
    pretrain_key = jax.random.fold_in(fit_key, 0)
    split = split_rows(split_key, len(table.values), config)
    x, cond = _select(table.values, source, config)
    scaler = fit_scaler(x[split.train], columns=columns)
    cond_scaler = fit_scaler(cond[split.train], columns=config.condition_columns)
    for name in _names(constant_columns(scaler, x[split.train]), columns):
        notice(f"column {name!r} is constant in the training rows; it is kept, but tells a model nothing")
    batch = _batch(x, cond, scaler, cond_scaler)
    train_batch, validation, calibration_rows = (_rows(batch, rows) for rows in split)
    adversarial = configs.is_adversarial(config.model)
    latent_dim = 2 * len(columns) if adversarial else suggest_latent_dim(train_batch.x)
    config = configs.resolve(config, len(split.train), latent_dim)
    smallest_rate = 1 / (len(split.calibration) + 1)
    if config.false_alarm_rate < smallest_rate:
        notice(
            f"{len(split.calibration)} calibration rows are too few for a false alarm rate of "
            f"{config.false_alarm_rate:g}: detect will flag nothing below a rate of {smallest_rate:.3g}"
        )
    model = configs.build_model(config, len(columns))
    assert config.num_epochs is not None  # resolved above
    runs.save_config(folder, config, source)
    start = _pretrained(pretrain_key, model, train_batch, config)
    diverged = None
    num_steps = config.num_epochs * steps_per_epoch(len(split.train), min(config.batch_size, len(split.train)))
    try:
        fitted = fit(
            fit_key,
            model,
            train_batch,
            validation=validation,
            num_epochs=config.num_epochs,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            optimizer=_optimizer(config, model, num_steps),
            ema_decay=config.ema_decay,
            variables=start,
            patience=config.patience,
            checkpoint_dir=Path(folder) / "checkpoints",
            checkpoint_seconds=checkpoint_seconds,
            resume=resume,
            progress=progress,
        )
    except DivergenceError as error:
        diverged, fitted = error, error.fitted
    calibration = tasks.calibrate(score_key, model, fitted.variables, calibration_rows)
    held_out = _held_out(
        model, fitted.variables, scaler, calibration_rows, x[split.calibration], cond[split.calibration]
    )
    run = Run(config, source, model, fitted.variables, scaler, cond_scaler, calibration, fitted.history, held_out)
    runs.save_run(folder, run)
    if diverged:
        raise diverged
    # With the variables written the run is complete, and its checkpoints are only weight.
    shutil.rmtree(Path(folder) / "checkpoints", ignore_errors=True)
    return run


def _optimizer(config: TrainConfig, model: Model | Adversary, num_steps: int) -> Optimizer:
    return adam(
        config.schedule,
        num_steps,
        clip_norm=config.clip_norm,
        weight_decay=config.weight_decay,
        # two players' gradients turn: a long memory of them would not
        b1=0.5 if isinstance(model, Adversary) else 0.9,
    )


def _pretrained(key: jax.Array, model: Model | Adversary, batch: Batch, config: TrainConfig) -> Variables | None:
    if not config.pretrain_epochs:
        return None
    assert isinstance(model, Model)  # the config was checked: it is the deep autoencoder
    return pretrain(key, model, batch, num_epochs=config.pretrain_epochs)


def _held_out(
    model: Model | Adversary, variables: Variables, scaler: Scaler, batch: Batch, x: np.ndarray, cond: np.ndarray
) -> HeldOut:
    """What the report shows of held-out rows: scaled ones in ``batch``, the same in the units of the table."""
    if isinstance(model, Adversary):
        nothing = np.full(x.shape, np.nan)
        reconstruction, code = nothing, np.zeros((len(x), 0), np.float32)
        explained_variance = nothing[0]
    else:
        reconstruction = unscale(scaler, tasks.reconstruct(model, variables, batch).astype(float))
        code = np.asarray(tasks.encode(model, variables, batch).mean)
        explained_variance = metrics.explained_variance(x, reconstruction)
    shown = slice(_HELD_OUT_SHOWN)
    return HeldOut(x[shown], cond[shown], reconstruction[shown], code[shown], explained_variance)


def encode(run: Run, table: Table, notice: Notice = lambda text: None) -> dict[str, np.ndarray]:  # noqa: ARG005
    """The code of each row.

    Args:
        run: the Run.
        table: rows with the run's columns.
        notice: takes what a user should know.

    Returns:
        Columns ``z1``, ``z2``, ...

    Raises:
        ValueError: columns that differ from the training columns.
    """
    codes = tasks.encode(run.model, run.variables, _prepare(run, table, notice)).mean
    return {f"z{index + 1}": code for index, code in enumerate(codes.T)}


def reconstruct(run: Run, table: Table, notice: Notice = lambda text: None) -> dict[str, np.ndarray]:  # noqa: ARG005
    """Each row after the bottleneck, in the units of the table: denoised, and with missing values filled in.

    Args:
        run: the Run.
        table: rows with the run's columns.
        notice: takes what a user should know.

    Returns:
        The training columns in their order; conditions as they were given.

    Raises:
        ValueError: columns that differ from the training columns.
    """
    batch = _prepare(run, table, notice)
    clean = unscale(run.scaler, tasks.reconstruct(run.model, run.variables, batch).astype(float))
    return _as_table(run, clean, None if batch.cond is None else unscale(run.cond_scaler, batch.cond))


def detect(
    run: Run,
    table: Table,
    false_alarm_rate: float | None = None,
    notice: Notice = lambda text: None,  # noqa: ARG005
) -> dict[str, np.ndarray]:
    """Scores each row against the run's held-out normal rows.

    Args:
        run: the Run.
        table: rows with the run's columns.
        false_alarm_rate: share of normal rows that may be flagged; the config's by default.
        notice: takes what a user should know.

    Returns:
        Columns ``score``, ``p_value``, ``is_anomaly`` and ``top_sensor``, the column that contributed most; empty for a
        GAN, which has no residual.

    Raises:
        ValueError: columns that differ from the training columns, or a rate out of range.
    """
    rate = run.config.false_alarm_rate if false_alarm_rate is None else false_alarm_rate
    key = jax.random.key(run.config.seed)
    batch = _prepare(run, table, notice)
    found = tasks.detect(key, run.model, run.variables, batch, run.calibration, rate)
    top = np.array(run.columns)[np.argmax(found.contribution, axis=1)]
    has_residual = found.contribution.any(axis=1)
    return {
        "score": found.score,
        "p_value": found.p_value,
        "is_anomaly": found.is_anomaly,
        "top_sensor": np.where(has_residual, top, ""),
    }


def generate(
    run: Run, num_samples: int, conditions: Mapping[str, float] | None = None, seed: int = 0
) -> dict[str, np.ndarray]:
    """New rows in the units of the table.

    Args:
        run: the Run, of a model that defines a distribution.
        num_samples: how many rows.
        conditions: a value for each condition column of the run.
        seed: of the draw.

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
    given = np.array([[conditions[name] for name in expected]])
    scaled = scale(run.cond_scaler, given)[0] if expected else None
    key = jax.random.key(seed)
    drawn = tasks.generate(key, run.model, run.variables, num_samples, scaled)
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
        model that reconstructs: ``mse`` per observed element in units of the training variance; ``explained_variance``,
        its mean over the columns that vary; ``explained_variance_by_column``. Of one that generates: ``ks_distance`` of
        as many new rows, at the same conditions, to those of the table, its mean over columns;
        ``ks_distance_by_column``.

    Raises:
        ValueError: columns that differ from the training columns.
    """
    batch = _prepare(run, table, notice)
    found = detect(run, table)
    result: dict[str, Any] = {
        "num_rows": len(table.values),
        "mean_score": float(np.nanmean(found["score"])),
        "flagged": float(found["is_anomaly"].mean()),
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


def _by_column(run: Run, name: str, values: np.ndarray) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    by_column = {
        column: float(value) if np.isfinite(value) else None for column, value in zip(run.columns, values, strict=True)
    }
    return {name: float(finite.mean()) if finite.size else None, f"{name}_by_column": by_column}


def _check_columns(table: Table, config: TrainConfig) -> tuple[str, ...]:
    """The modelled columns, once it is sure that the named ones are there and that all hold values."""
    for name in config.condition_columns:
        if name not in table.columns:
            raise ValueError(f"condition_columns: found no column {name!r}, expected one of {', '.join(table.columns)}")
    columns = tuple(name for name in table.columns if name not in config.condition_columns)
    if len(columns) < 2:
        raise ValueError(
            f"found {len(columns)} column(s) to model ({', '.join(columns) or 'none'}), expected at least two"
        )
    empty = _names(np.isnan(table.values).all(axis=0), table.columns)
    if empty:
        raise ValueError(
            f"column {', '.join(map(repr, empty))} holds no value at all; leave it out with --drop-columns "
            + " ".join(empty)
        )
    return columns


def _select(values: np.ndarray, source: Source, config: TrainConfig) -> tuple[np.ndarray, np.ndarray]:
    """Splits the values of a table, in the order of the source's columns, into modelled ones and conditions."""
    is_condition = np.array([name in config.condition_columns for name in source.columns], bool)
    order = [source.columns.index(name) for name in config.condition_columns]
    cond = values[:, order]
    missing = np.argwhere(np.isnan(cond))
    if len(missing):
        row, column = missing[0]
        raise ValueError(
            f"condition column {config.condition_columns[column]!r} has no value in row {row + 1}; a condition must "
            "be known: leave such rows out"
        )
    return values[:, ~is_condition], cond


def _batch(x: np.ndarray, cond: np.ndarray, scaler: Scaler, cond_scaler: Scaler) -> Batch:
    """Scaled float32 rows; NaN where missing."""
    scaled = scale(scaler, x).astype(np.float32)
    return Batch(scaled, cond=scale(cond_scaler, cond).astype(np.float32) if cond.shape[1] else None)


def _prepare(run: Run, table: Table, notice: Notice) -> Batch:
    selected = select_columns(table, run.source.columns, run.source.has_header)
    unused = (*selected.extra, *table.left_out)
    if unused:
        notice(f"columns that the run does not use are ignored: {', '.join(unused)}")
    return _batch(*_select(selected.values, run.source, run.config), run.scaler, run.cond_scaler)


def _rows(batch: Batch, rows: np.ndarray) -> Batch:
    return Batch(*(None if field is None else field[rows] for field in batch))


def _as_table(run: Run, x: np.ndarray, cond: Any) -> dict[str, np.ndarray]:
    by_name = dict(zip(run.columns, x.T, strict=True))
    if cond is not None:
        by_name |= dict(zip(run.config.condition_columns, np.asarray(cond).T, strict=True))
    return {name: by_name[name] for name in run.source.columns}


def _names(chosen: np.ndarray, names: tuple[str, ...]) -> list[str]:
    return [name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen]
