"""A run: a model trained on a table, and what its folder holds while and after it is trained."""

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from aejax.artefacts import codecs, storage
from aejax.artefacts.outside import explained, shortened
from aejax.base import Adversary, Batch, Model, Variables
from aejax.data.columns.conditions import Conditions
from aejax.data.columns.features import Coding
from aejax.data.columns.kinds import CATEGORY, Column
from aejax.data.columns.scalers import Scaler
from aejax.tables import config as configs
from aejax.tables.config import TrainConfig
from aejax.tables.profiles import Profile
from aejax.tasks.anomaly import Calibration
from aejax.training import checkpoint

# The version before wrote the variables here, last of all.
EARLIER_VARIABLES = "variables.safetensors"
_FORMAT = 1


class Source(NamedTuple):
    """The table that a run was trained on.

    Attributes:
        path: of the file, ``-`` for standard input.
        sha256: of its bytes.
        columns: all columns used, in their order in the table.
        has_header: whether the file names them.
    """

    path: str
    sha256: str
    columns: tuple[str, ...]
    has_header: bool


class Run(NamedTuple):
    """A trained model with all that is needed to use it on a table.

    Attributes:
        config: the resolved TrainConfig.
        source: the table that it was trained on.
        model: the Model or Adversary.
        variables: its variables, the best on validation.
        scaler: of the f features of the modelled columns.
        cond_scaler: of the features of the condition columns.
        calibration: of detection.
        profile: what is known of the modelled columns.
        conditions: where the conditions of the training rows were.
        diverged: what stopped the training, where its loss was not finite any more; None where all went well.
    """

    config: TrainConfig
    source: Source
    model: Model | Adversary
    variables: Variables
    scaler: Scaler
    cond_scaler: Scaler
    calibration: Calibration
    profile: Profile
    conditions: Conditions
    diverged: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The modelled columns."""
        return modelled_columns(self.config, self.source)

    @property
    def coding(self) -> Coding:
        """From the modelled columns to what the model is given."""
        return Coding(self.profile.columns, self.scaler)

    @property
    def cond_coding(self) -> Coding:
        """The same of the conditions."""
        return Coding(self.conditions.columns, self.cond_scaler)

    @property
    def column_kinds(self) -> dict[str, Column]:
        """What is known of each column of the source, conditions too."""
        of_conditions = dict(zip(self.config.condition_columns, self.conditions.columns, strict=True))
        known = dict(zip(self.columns, self.profile.columns, strict=True)) | of_conditions
        return {name: known[name] for name in self.source.columns}

    @property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """The texts of columns of categories, as in ``Table.categories``."""
        kinds = self.column_kinds.items()
        return {name: tuple(column.facts["levels"]) for name, column in kinds if column.kind == CATEGORY}


class HeldOut(NamedTuple):
    """Some of the rows that nothing was fitted to, in the units of the table.

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


class Record(NamedTuple):
    """What the report tells of a run; the run is used without it.

    Attributes:
        history: metrics of the training by name, (num_epochs_run,).
        held_out: rows that nothing was fitted to.
    """

    history: dict[str, np.ndarray]
    held_out: HeldOut


def modelled_columns(config: TrainConfig, source: Source) -> tuple[str, ...]:
    """The columns of a table that are not conditions."""
    return tuple(name for name in source.columns if name not in config.condition_columns)


def record_folder(folder: str | Path) -> Path:
    """Where in a run folder the Record is."""
    return Path(folder) / "record"


def save_config(folder: str | Path, config: TrainConfig, source: Source) -> None:
    """Writes ``config.json``, with which training is resumed, or gives the same bits again.

    Args:
        folder: the run folder, made if it is not there.
        config: the resolved TrainConfig.
        source: the table.

    Raises:
        ValueError: a ``config.json`` is there that no training wrote.
    """
    content = {
        "format": _FORMAT,
        "train": dataclasses.asdict(config),
        "data": source._asdict(),
        "environment": storage.environment(),
    }
    if _config_file(folder).exists():
        load_config(folder)  # a file of that name which no training wrote is not replaced
    storage.write_json(_config_file(folder), content)


def discard(folder: str | Path) -> None:
    """Removes what a run has written that will never be complete, and its folder, where nothing else is in it.

    Args:
        folder: the run folder.
    """
    folder = Path(folder)
    _config_file(folder).unlink(missing_ok=True)
    checkpoint.remove(folder / "checkpoints")
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
    path = _config_file(folder)
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a run folder: it has no config.json; train one with aejax train")
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != _FORMAT:
            raise ValueError(f"found format {content['format']}, expected {_FORMAT}; use the aejax that wrote it")
        return configs.from_dict(content["train"]), source_of(content["data"])
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(shortened(f"{path} is not the config of a run: {explained(error)}")) from error


def finished(folder: str | Path) -> Run | None:
    """The run of a folder, where the training that ``config.json`` was written for has come to its end.

    Args:
        folder: the run folder.

    Returns:
        The Run; None where training has to be resumed.

    Raises:
        FileNotFoundError, ValueError: as ``aejax.load``, where there is a run that cannot be read.
    """
    folder = Path(folder)
    if not any((folder / name).is_file() for name in (codecs.MANIFEST, EARLIER_VARIABLES)):
        return None
    run: Run = codecs.load(folder, Run)
    # A config that is not the run's is that of a training which has begun in its place.
    is_own = not _config_file(folder).is_file() or load_config(folder) == (run.config, run.source)
    return run if is_own else None


def source_of(values: Mapping[str, Any]) -> Source:
    """A Source from parsed JSON.

    Args:
        values: its fields by name.

    Returns:
        The Source.

    Raises:
        KeyError: a field is absent.
    """
    return Source(values["path"], values["sha256"], tuple(values["columns"]), values["has_header"])


def empty_row(scaler: Scaler, cond_scaler: Scaler) -> Batch:
    """A row of zeros, with the shapes that the model of a run is made for."""
    num_features, num_conditions = len(scaler.mean), len(cond_scaler.mean)
    cond = np.zeros((1, num_conditions), np.float32) if num_conditions else None
    return jax.device_put(Batch(np.zeros((1, num_features), np.float32), cond=cond))  # type: ignore[arg-type]


def _config_file(folder: str | Path) -> Path:
    return Path(folder) / "config.json"
