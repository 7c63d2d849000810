"""A run folder: config, variables, scalers, calibration and history as JSON and safetensors; no pickle anywhere."""

import dataclasses
import json
import math
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from aejax import config as configs
from aejax.base import Adversary, Batch, Model, Variables
from aejax.config import TrainConfig
from aejax.data.scalers import Scaler
from aejax.tasks.monitoring import Calibration

_FORMAT = 1


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

    @property
    def columns(self) -> tuple[str, ...]:
        """The modelled columns."""
        return modelled_columns(self.config, self.source)


def modelled_columns(config: TrainConfig, source: Source) -> tuple[str, ...]:
    """The columns of a table that are not conditions."""
    return tuple(name for name in source.columns if name not in config.condition_columns)


def save_config(folder: str | Path, config: TrainConfig, source: Source) -> None:
    """Writes ``config.json``, from which training gives the same bits again.

    Args:
        folder: the run folder, made if it is not there.
        config: the resolved TrainConfig.
        source: the table.
    """
    content = {
        "format": _FORMAT,
        "train": dataclasses.asdict(config),
        "data": source._asdict(),
        "environment": environment(),
    }
    _write(Path(folder) / "config.json", (json.dumps(content, indent=2) + "\n").encode())


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
    return config, source


def save_run(folder: str | Path, run: Run) -> None:
    """Writes a run, each file to one side and then renamed, the variables last: with them the run is complete.

    Args:
        folder: the run folder, made if it is not there.
        run: the Run.
    """
    folder = Path(folder)
    save_config(folder, run.config, run.source)
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
    _write(folder / "scaler.json", (json.dumps(scalers, indent=2) + "\n").encode())
    _write(folder / "history.jsonl", _history_lines(run.history).encode())
    _write(folder / "calibration.safetensors", _tensors(run.calibration._asdict()))
    _write(folder / "held_out.safetensors", _tensors(run.held_out._asdict()))
    _write(folder / "variables.safetensors", _tensors(flatten(run.variables)))


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
    config, source = load_config(folder)
    if not (folder / "variables.safetensors").is_file():
        raise FileNotFoundError(
            f"{folder} has no variables.safetensors: its training has not finished; go on with "
            f"aejax train --resume {folder}"
        )
    model = configs.build_model(config, len(modelled_columns(config, source)))
    num_columns, num_conditions = len(modelled_columns(config, source)), len(config.condition_columns)
    scalers = _read(folder / "scaler.json", lambda content: json.loads(content))
    calibration = _read(folder / "calibration.safetensors", lambda content: Calibration(**_untensors(content)))
    held_out = _read(folder / "held_out.safetensors", lambda content: HeldOut(**_untensors(content)))
    stored = _read(folder / "variables.safetensors", _untensors)
    expected = expected_variables(model, num_columns, num_conditions)
    _check_same(folder / "variables.safetensors", stored, flatten(expected))
    run = Run(
        config=config,
        source=source,
        model=model,
        variables=unflatten({name: jnp.asarray(array) for name, array in stored.items()}),
        scaler=_scaler(folder, scalers, "columns", modelled_columns(config, source)),
        cond_scaler=_scaler(folder, scalers, "conditions", config.condition_columns),
        calibration=calibration,
        history=_read(folder / "history.jsonl", _parse_history),
        held_out=held_out,
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


def environment() -> dict[str, Any]:
    """Versions and device: what bit-identical results depend on beside the config."""
    import flax
    import jaxlib
    import optax

    import aejax

    versions = {module.__name__: module.__version__ for module in (aejax, jax, jaxlib, flax, optax, np)}
    devices = jax.devices()
    return {
        "versions": versions,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "backend": jax.default_backend(),
        "device": devices[0].device_kind,
        "num_devices": len(devices),
    }


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, names joined by slashes.

    Example:
        >>> flatten({"params": {"decoder": {"kernel": 1}}})
        {'params/decoder/kernel': 1}
    """
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= flatten(value, f"{prefix}{name}/") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of ``flatten``.

    Example:
        >>> unflatten({"params/decoder/kernel": 1})
        {'params': {'decoder': {'kernel': 1}}}
    """
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, name = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = value
    return tree


def _check_same(path: Path, stored: Mapping[str, np.ndarray], expected: Mapping[str, Any]) -> None:
    def describe(array: Any) -> str:
        return f"{np.dtype(array.dtype).name}{list(array.shape)}"

    differences = [f"{name} is missing" for name in expected if name not in stored]
    differences += [f"{name} is not of this model" for name in stored if name not in expected]
    differences += [
        f"{name}: found {describe(stored[name])}, expected {describe(expected[name])}"
        for name in expected
        if name in stored and describe(stored[name]) != describe(expected[name])
    ]
    if differences:
        raise ValueError(f"{path} does not fit the model of config.json: {'; '.join(differences)}")


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


def _read(path: Path, parse: Callable[[bytes], Any]) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} has no {path.name}: it is not a complete run folder; train it again")
    try:
        return parse(path.read_bytes())
    except (ValueError, TypeError, KeyError, safetensors.SafetensorError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _tensors(arrays: Mapping[str, Any]) -> bytes:
    return safetensors.numpy.save({name: np.asarray(array, order="C") for name, array in arrays.items()})


def _untensors(content: bytes) -> dict[str, np.ndarray]:
    return safetensors.numpy.load(content)


def _history_lines(history: Mapping[str, np.ndarray]) -> str:
    num_epochs = len(next(iter(history.values())))

    def line(epoch: int) -> str:
        values = {name: float(series[epoch]) for name, series in history.items()}
        # JSON has no word for what is not finite
        return json.dumps({"epoch": epoch + 1} | {k: v if math.isfinite(v) else None for k, v in values.items()})

    return "".join(line(epoch) + "\n" for epoch in range(num_epochs))


def _parse_history(content: bytes) -> dict[str, np.ndarray]:
    records = [json.loads(line) for line in content.decode().splitlines()]
    names = [name for name in records[0] if name != "epoch"] if records else []
    return {name: np.array([record[name] for record in records], np.float32) for name in names}
