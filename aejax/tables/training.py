"""Training a model on a table, and its run folder."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from aejax import metrics, tasks
from aejax.artefacts import codecs
from aejax.base import Adversary, Batch, Model, Variables
from aejax.data.columns.scalers import Scaler, check_scaled, constant_columns, fit_scaler, scale, unscale
from aejax.data.columns.sentinels import find_sentinels
from aejax.data.formats.tables import Table
from aejax.tables import config as configs
from aejax.tables import run as runs
from aejax.tables.columns import Notice, check_columns, chosen_names, has_conditions, scaled_batch, select
from aejax.tables.config import TrainConfig
from aejax.tables.run import HeldOut, Record, Run, Source
from aejax.tasks.reduction import suggest_latent_dim
from aejax.training import DivergenceError, Progress, checkpoint, fit, pretrain
from aejax.training.optimizers import Optimizer, adam
from aejax.training.plans import steps_for

_FEWEST_ROWS = 10
_HELD_OUT_SHOWN = 1000


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
    if num_train < 1:
        raise ValueError(
            f"found {num_rows} rows, of which {num_validation} validate and {num_calibration} calibrate, expected some "
            "left to train on; lower validation_fraction or calibration_fraction"
        )
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
    progress: bool | Callable[[Progress], None] = False,
    notice: Notice = lambda text: None,  # noqa: ARG005
) -> Run:
    """Trains a model on a table and writes the run folder.

    Args:
        table: from ``aejax.data.formats.tables.read_table``.
        config: the TrainConfig.
        folder: the run folder. It holds the config and checkpoints during training, the run and its record after it.
        path: where the table is from, for the config.
        sha256: of the table's file.
        checkpoint_seconds: the time between two checkpoints.
        resume: from the folder's newest checkpoint.
        progress: as in ``aejax.fit``.
        notice: takes what a user should know, a line each.

    Returns:
        The Run.

    Raises:
        ValueError: bad options or data, or a folder that holds something else; the message names the option or the
            column.
        DivergenceError: as in ``aejax.fit``; the run with the last good variables is still written, marked as diverged,
            but for the first epoch, after which there are none.
        Interrupted: as in ``aejax.fit``.
    """
    configs.check(config)
    codecs.check_folder(folder, Run)
    source = Source(path, sha256, table.columns, table.has_header)
    columns = check_columns(table, config)
    split_key, fit_key, score_key = jax.random.split(jax.random.key(config.seed), 3)
    pretrain_key = jax.random.fold_in(fit_key, 0)
    x, cond = select(table.values, source, config)
    is_known = has_conditions(cond, config, notice)
    x, cond = x[is_known], cond[is_known]
    split = split_rows(split_key, len(x), config)
    scaler = fit_scaler(x[split.train], columns=columns, scaling=configs.scaling(config))
    cond_scaler = fit_scaler(cond[split.train], columns=config.condition_columns)
    check_training_rows(x[split.train], columns, notice)
    check_scaled(scaler, x, configs.scaling(config), columns)
    batch = scaled_batch(x, cond, scaler, cond_scaler)
    train_batch, validation, calibration_rows = (_rows(batch, rows) for rows in split)
    adversarial = configs.is_adversarial(config.model)
    latent_dim = 2 * len(columns) if adversarial else _suggested_latent_dim(x[split.train])
    config = configs.resolve(config, len(split.train), latent_dim)
    smallest_rate = 1 / (len(split.calibration) + 1)
    if config.false_alarm_rate < smallest_rate:
        notice(
            f"{len(split.calibration)} calibration rows are too few for a false alarm rate of "
            f"{config.false_alarm_rate:g}: detect will flag nothing below a rate of {smallest_rate:.3g}"
        )
    model = configs.build_model(config, len(columns))
    assert config.num_epochs is not None  # resolved above
    # What the model has to say against these columns it says before anything is written.
    jax.eval_shape(model.init, fit_key, runs.empty_row(config, source))
    if not resume and (Path(folder) / "checkpoints").is_dir():
        raise ValueError(f"folder: {folder} holds the checkpoints of a run; resume it, or choose another folder")
    runs.save_config(folder, config, source)
    start = _pretrained(pretrain_key, model, train_batch, config)
    diverged = None
    num_steps = config.num_epochs * steps_for(len(split.train), min(config.batch_size, len(split.train)))
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
        if error.epoch == 1:  # nothing has been learned that a run could hold
            runs.discard(folder)
            raise
        diverged, fitted = error, error.fitted
    calibration = tasks.calibrate(score_key, model, fitted.variables, calibration_rows)
    held_out = _held_out(
        model, fitted.variables, scaler, calibration_rows, x[split.calibration], cond[split.calibration]
    )
    run = Run(
        config,
        source,
        model,
        fitted.variables,
        scaler,
        cond_scaler,
        calibration,
        str(diverged) if diverged else None,
    )
    codecs.save(runs.record_folder(folder), Record(fitted.history, held_out))
    codecs.save(folder, run)
    if diverged:
        raise diverged
    # The run is complete, and its checkpoints are only weight.
    checkpoint.remove(Path(folder) / "checkpoints")
    return run


def _suggested_latent_dim(x: np.ndarray) -> int:
    """By the principal components of standardised rows, however the model has them."""
    return suggest_latent_dim(scale(fit_scaler(x), x).astype(np.float32))


def check_training_rows(x: np.ndarray, columns: tuple[str, ...], notice: Notice) -> None:
    """Says what is odd in the training rows, and refuses those in which nothing varies."""
    is_constant = constant_columns(x)
    if is_constant.all():
        raise ValueError(
            f"found the same value in all training rows of each column ({', '.join(columns)}), expected at least one "
            "column that varies: there is nothing to learn"
        )
    for name in chosen_names(is_constant, columns):
        notice(f"column {name!r} is constant in the training rows; it is kept, but a model learns nothing from it")
    for index, value, count in find_sentinels(x):
        notice(
            f"column {columns[index]!r}: {count} training rows hold {value:g}, far from all other values; if it "
            "marks a missing value, empty these cells"
        )


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


def _rows(batch: Batch, rows: np.ndarray) -> Batch:
    return jax.tree.map(lambda field: field[rows], batch)
