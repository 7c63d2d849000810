"""Training a model on a table, and its run folder."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from aejax import tasks
from aejax.artefacts import codecs
from aejax.base import Adversary, Batch, Model, Variables
from aejax.data.columns.features import decode, encode, pooled, scaler_of
from aejax.data.columns.scalers import scale, unscale
from aejax.data.formats.options import with_categories, with_found
from aejax.data.formats.tables import Table
from aejax.tables import config as configs
from aejax.tables import quality
from aejax.tables import run as runs
from aejax.tables.columns import Notice, say_rate
from aejax.tables.config import TrainConfig
from aejax.tables.large import LargeTable, prepared_large
from aejax.tables.preparation import Prepared, prepared, run_keys
from aejax.tables.run import HeldOut, Record, Run, Source
from aejax.tasks.reduction import suggest_latent_dim
from aejax.training import DivergenceError, Interrupted, Progress, checkpoint, fit, pretrain
from aejax.training.optimizers import Optimizer, adam
from aejax.training.plans import steps_for

_HELD_OUT_SHOWN = 1000


def train(
    table: Table | LargeTable,
    config: TrainConfig,
    folder: str | Path,
    *,
    path: str = "-",
    sha256: str | None = None,
    checkpoint_seconds: float = 30.0,
    resume: bool = False,
    progress: bool | Callable[[Progress], None] = False,
    mesh: Mesh | None = None,
    notice: Notice = lambda text: None,  # noqa: ARG005
) -> Run:
    """Trains a model on a table and writes the run folder.

    Args:
        table: from ``aejax.data.formats.tables.read_table``, or from ``aejax.tables.large.read_large``.
        config: the TrainConfig.
        folder: the run folder. It holds the config and checkpoints during training, the run and its record after it.
        path: where the table is from, for the config.
        sha256: of the table's file; the one that ``table.reading`` has by default.
        checkpoint_seconds: the time between two checkpoints.
        resume: from the folder's newest checkpoint.
        progress: as in ``aejax.fit``.
        mesh: as in ``aejax.fit``.
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
    # New tables are read alike: what this one has shown is told.
    reading = with_found(with_categories(config.reading, table.categories), table.reading.dialect)
    config = dataclasses.replace(config, reading=reading)
    codecs.check_folder(folder, Run)
    source = Source(path, table.reading.sha256 if sha256 is None else sha256, table.columns, table.has_header)
    split_key, fit_key, score_key = run_keys(config)
    pretrain_key = jax.random.fold_in(fit_key, 0)
    if isinstance(table, LargeTable):
        ready, stored = prepared_large(split_key, table, source, config, notice)
    else:
        ready, stored = prepared(split_key, table, source, config, notice), None
    split = ready.split
    num_train = len(split.train) if stored is None else stored.num_rows
    train_batch, validation, calibration_rows = (_rows(ready.batch, rows) for rows in split)
    adversarial = configs.is_adversarial(config.model)
    num_features = len(ready.scaler.mean)
    latent_dim = 2 * num_features if adversarial else _suggested_latent_dim(ready)
    config = configs.resolve(config, num_train, latent_dim)
    say_rate(config.false_alarm_rate, len(split.calibration), notice)
    model = configs.build_model(config, num_features, ready.profile.columns)
    assert config.num_epochs is not None  # resolved above
    # What the model has to say against these columns it says before anything is written.
    jax.eval_shape(model.init, fit_key, runs.empty_row(ready.scaler, ready.cond_scaler))
    if not resume and (Path(folder) / "checkpoints").is_dir():
        raise ValueError(f"folder: {folder} holds the checkpoints of a run; resume it, or choose another folder")
    runs.save_config(folder, config, source)
    num_steps = config.num_epochs * steps_for(num_train, min(config.batch_size, num_train))
    with contextlib.nullcontext() if resume else _nothing_left(folder):
        start = _pretrained(pretrain_key, model, train_batch, config)
        diverged = None
        try:
            fitted = fit(
                fit_key,
                model,
                train_batch if stored is None else stored.source(fit_key, config.batch_size),
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
                mesh=mesh,
            )
        except DivergenceError as error:
            if error.epoch == 1:  # nothing has been learned that a run could hold
                runs.discard(folder)
                raise
            diverged, fitted = error, error.fitted
        calibration = tasks.calibrate(score_key, model, fitted.variables, calibration_rows)
        scale_of_columns = pooled(ready.profile.columns, calibration.residual_scale)
        calibration = calibration._replace(residual_scale=scale_of_columns)
        held_out = _held_out(model, fitted.variables, ready, calibration_rows)
    run = Run(
        config,
        source,
        model,
        fitted.variables,
        ready.scaler,
        ready.cond_scaler,
        calibration,
        ready.profile,
        ready.conditions,
        str(diverged) if diverged else None,
    )
    codecs.save(runs.record_folder(folder), Record(fitted.history, held_out))
    codecs.save(folder, run)
    if diverged:
        raise diverged
    # The run is complete, and its checkpoints are only weight.
    checkpoint.remove(Path(folder) / "checkpoints")
    return run


@contextlib.contextmanager
def _nothing_left(folder: str | Path) -> Iterator[None]:
    """Leaves no folder behind where training fails before its first checkpoint; after that it can be resumed."""
    try:
        yield
    except Interrupted:
        raise
    except Exception:
        if not checkpoint.exist(Path(folder) / "checkpoints"):
            runs.discard(folder)
        raise


def _suggested_latent_dim(ready: Prepared) -> int:
    """By the principal components of standardised rows, however the model has them."""
    features = encode(ready.profile.columns, ready.x[ready.split.train])
    scaler = scaler_of(ready.profile.columns, features, ready.columns, "standardised")
    return suggest_latent_dim(scale(scaler, features).astype(np.float32))


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


def _held_out(model: Model | Adversary, variables: Variables, ready: Prepared, batch: Batch) -> HeldOut:
    """What the report shows of calibration rows: scaled ones in ``batch``, the same in the units of the table."""
    x, cond = ready.x[ready.split.calibration], ready.cond[ready.split.calibration]
    if isinstance(model, Adversary):
        nothing = np.full(x.shape, np.nan)
        reconstruction, code = nothing, np.zeros((len(x), 0), np.float32)
        explained_variance = nothing[0]
    else:
        columns = ready.profile.columns
        features = unscale(ready.scaler, tasks.reconstruct(model, variables, batch).astype(float))
        reconstruction = decode(columns, features)
        code = np.asarray(tasks.encode(model, variables, batch).mean)
        explained_variance = quality.explained_variance(columns, quality.residuals(encode(columns, x), features))
    shown = slice(_HELD_OUT_SHOWN)
    return HeldOut(x[shown], cond[shown], reconstruction[shown], code[shown], explained_variance)


def _rows(batch: Batch, rows: np.ndarray) -> Batch:
    return jax.tree.map(lambda field: field[rows], batch)
