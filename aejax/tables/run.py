"""A run folder: config, variables, scalers, calibration and history as JSON and safetensors; no pickle anywhere."""

import contextlib
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from aejax.artefacts import storage
from aejax.base import Adversary, Batch, Model, Variables
from aejax.data.columns.scalers import Scaler
from aejax.tables import config as configs
from aejax.tables.config import TrainConfig
from aejax.tasks.anomaly import Calibration

_FORMAT = 1

Fields = TypeVar("Fields")


class Source(NamedTuple):
    """The table that a run was trained on.

    Attributes:
        path: of the file, ``-`` for standard input.
        sha256: of its bytes.
        columns: all columns used, in their order in the table.
        has_header: whether they have names of their own.
    """

    path: str
    sha256: str
    columns: tuple[str, ...]
    has_header: bool


class HeldOut(NamedTuple):
    """Some of the rows that nothing was fitted to, for the report; in the units of the table.

    Attributes:
        x: (n, c), NaN where missing.
        cond: (n, k), conditions.
        reconstruction: (n, c); NaN for an Adversary, which reconstructs nothing.
        code: (n, d); (n, 0) for an Adversary.
        explained_variance: (c,), over all held-out rows; NaN for an Adversary.
    """

    x: np.ndarray
    cond: np.ndarray
    reconstruction: np.ndarray
    code: np.ndarray
    explained_variance: np.ndarray


class Run(NamedTuple):
    """A trained model with all that is needed to use it on a table.

    Attributes:
        config: the resolved TrainConfig.
        source: the table that it was trained on.
        model: the Model or Adversary.
        variables: its variables, the best on validation.
        scaler: of the modelled columns.
        cond_scaler: of the condition columns.
        calibration: of detection.
        history: metrics by name, (num_epochs_run,).
        held_out: rows for the report.
        diverged: what stopped the training, where its loss was not finite any more; None where all went well.
    """

    config: TrainConfig
    source: Source
    model: Model | Adversary
    variables: Variables
    scaler: Scaler
    cond_scaler: Scaler
    calibration: Calibration
    history: dict[str, np.ndarray]
    held_out: HeldOut
    diverged: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The modelled columns."""
        return modelled_columns(self.config, self.source)


def modelled_columns(config: TrainConfig, source: Source) -> tuple[str, ...]:
    """The columns of a table that are not conditions."""
    return tuple(name for name in source.columns if name not in config.condition_columns)


def save_config(folder: str | Path, config: TrainConfig, source: Source, diverged: str | None = None) -> None:
    """Writes ``config.json``, from which training gives the same bits again.

    Args:
        folder: the run folder, made if it is not there.
        config: the resolved TrainConfig.
        source: the table.
        diverged: what stopped the training before its end, if anything did.
    """
    content = {
        "format": _FORMAT,
        "train": dataclasses.asdict(config),
        "data": source._asdict(),
        "environment": storage.environment(),
        "diverged": diverged,
    }
    storage.write_json(Path(folder) / "config.json", content)


def discard(folder: str | Path) -> None:
    """Removes what a run has written that will never be complete, and its folder, where nothing else is in it.

    Args:
        folder: the run folder.
    """
    folder = Path(folder)
    (folder / "config.json").unlink(missing_ok=True)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def load_config(folder: str | Path) -> tuple[TrainConfig, Source]:
    """Reads ``config.json``.

    Args:
        folder: the run folder.

    Returns:
        The TrainConfig and the Source.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not the config of a run; the message says what is wrong.
    """
    return _read_config(folder)[:2]


def _read_config(folder: str | Path) -> tuple[TrainConfig, Source, str | None]:
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a run folder: it has no config.json; train one with aejax train")
    try:
        content = json.loads(path.read_text())
        if content["format"] != _FORMAT:
            raise ValueError(f"found format {content['format']}, expected {_FORMAT}; use the aejax that wrote it")
        data = content["data"]
        source = Source(data["path"], data["sha256"], tuple(data["columns"]), data["has_header"])
        config = configs.from_dict(content["train"])
        configs.check(config)
    except (KeyError, TypeError, ValueError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} is not the config of a run: {what}") from error
    return config, source, content.get("diverged")


def save_run(folder: str | Path, run: Run) -> None:
    """Writes a run, each file to one side and then renamed, the variables last: with them the run is complete.

    Args:
        folder: the run folder, made if it is not there.
        run: the Run.
    """
    folder = Path(folder)
    save_config(folder, run.config, run.source, run.diverged)
    scalers = {
        name: {
            "columns": list(columns),
            "mean": np.asarray(scaler.mean, float).tolist(),
            "scale": np.asarray(scaler.scale, float).tolist(),
        }
        for name, scaler, columns in (
            ("columns", run.scaler, run.columns),
            ("conditions", run.cond_scaler, run.config.condition_columns),
        )
    }
    storage.write_json(folder / "scaler.json", scalers)
    storage.write_history(folder / "history.jsonl", run.history)
    storage.write_arrays(folder / "calibration.safetensors", run.calibration._asdict())
    storage.write_arrays(folder / "held_out.safetensors", run.held_out._asdict())
    storage.write_arrays(folder / "variables.safetensors", run.variables)


def load_run(folder: str | Path) -> Run:
    """Reads a run and checks that its parts fit each other.

    Args:
        folder: the run folder.

    Returns:
        The Run.

    Raises:
        FileNotFoundError: no run folder, or one whose training has not finished.
        ValueError: a file that cannot be read, or variables whose names, shapes or types are not those of the model;
            the message says what differs.
    """
    folder = Path(folder)
    config, source, diverged = _read_config(folder)
    if not (folder / "variables.safetensors").is_file():
        raise FileNotFoundError(
            f"{folder} has no variables.safetensors: its training has not finished; go on with "
            f"aejax train --resume {folder}"
        )
    model = configs.build_model(config, len(modelled_columns(config, source)))
    num_columns, num_conditions = len(modelled_columns(config, source)), len(config.condition_columns)
    scalers = storage.read_json(folder / "scaler.json")
    calibration = _read_fields(folder / "calibration.safetensors", Calibration)
    held_out = _read_fields(folder / "held_out.safetensors", HeldOut)
    expected = expected_variables(model, num_columns, num_conditions)
    run = Run(
        config=config,
        source=source,
        model=model,
        variables=storage.read_variables(folder / "variables.safetensors", expected),
        scaler=_scaler(folder, scalers, "columns", modelled_columns(config, source)),
        cond_scaler=_scaler(folder, scalers, "conditions", config.condition_columns),
        calibration=calibration,
        history=storage.read_history(folder / "history.jsonl"),
        held_out=held_out,
        diverged=diverged,
    )
    if calibration.residual_scale.shape != (num_columns,) or calibration.score.ndim != 1:
        raise ValueError(
            f"{folder / 'calibration.safetensors'} does not fit: found residual_scale of shape "
            f"{calibration.residual_scale.shape}, expected ({num_columns},)"
        )
    return run


def expected_variables(model: Model | Adversary, num_columns: int, num_conditions: int) -> Variables:
    """The shapes and types of a model's variables, without computing them."""
    cond = jnp.zeros((1, num_conditions)) if num_conditions else None
    return jax.eval_shape(model.init, jax.random.key(0), Batch(jnp.zeros((1, num_columns)), cond=cond))


def _read_fields(path: Path, kind: type[Fields]) -> Fields:
    return storage.read(path, lambda content: kind(**safetensors.numpy.load(content)))


def _scaler(folder: Path, scalers: Any, part: str, columns: tuple[str, ...]) -> Scaler:
    path = folder / "scaler.json"
    try:
        found, mean, scale = (scalers[part][name] for name in ("columns", "mean", "scale"))
        scaler = Scaler(np.asarray(mean, float), np.asarray(scale, float))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {part}: found no lists columns, mean and scale") from error
    if tuple(found) != columns or not scaler.mean.shape == scaler.scale.shape == (len(columns),):
        raise ValueError(f"{path}: {part}: found {found}, expected mean and scale of {list(columns)} as in config.json")
    return scaler
