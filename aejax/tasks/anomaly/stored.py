"""A monitor as one safetensors file: arrays, and the settings as JSON in its header. No pickle."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from aejax.artefacts.storage import atomic_path, flatten, unflatten
from aejax.base import Batch, Model, PyTree
from aejax.data.columns.scalers import Scaler
from aejax.tasks.anomaly.blocks import ObtainedRate
from aejax.tasks.anomaly.monitor import Monitor
from aejax.tasks.anomaly.statistics import Statistics, Whitening

_FORMAT = "2"


def save_monitor(path: str | os.PathLike[str], monitor: Monitor, notes: Mapping[str, object] | None = None) -> None:
    """Writes a monitor, to one side and then renamed.

    Args:
        path: of the file, such as ``monitor.safetensors``; its folder is made.
        monitor: the Monitor. Its model is code, and is not written.
        notes: what else to keep, JSON, such as the names of the columns.

    Raises:
        OSError: the file cannot be written.
    """
    settings = {
        "num_lags": monitor.num_lags,
        "smoothing": monitor.smoothing,
        "alarm_rule": monitor.alarm_rule,
        "rate": monitor.rate._asdict(),
        "latent_dim": len(monitor.whitening.code_mean),
        "notes": dict(notes or {}),
    }
    content = safetensors.numpy.save(
        {name: np.asarray(array, order="C") for name, array in flatten(_arrays(monitor)).items()},
        {"aejax_monitor": _FORMAT, "settings": json.dumps(settings)},
    )
    with atomic_path(path) as partial:
        partial.write_bytes(content)


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings and notes of a monitor's file; ``latent_dim`` among them says which model to make.

    Args:
        path: of the file.

    Returns:
        ``num_lags``, ``smoothing``, ``alarm_rule``, ``rate``, ``latent_dim`` and ``notes``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not the file of a monitor.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: found no such file, expected a monitor written by save_monitor")
    try:
        with safetensors.safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if metadata.get("aejax_monitor") != _FORMAT:
        raise ValueError(f"{path}: found another kind of file, expected a monitor (format {_FORMAT}); fit it again")
    return dict(json.loads(metadata["settings"]))


def load_monitor(path: str | os.PathLike[str], model: Model, num_conditions: int = 0) -> Monitor:
    """Reads a monitor.

    Args:
        path: of the file.
        model: made as it was for ``fit_monitor``: ``factory((columns of a window,), latent_dim)``.
        num_conditions: of a conditional model.

    Returns:
        The Monitor, equal to the bit.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not the file of a monitor, or that of another model; the message says what differs.
    """
    settings = read_settings(path)
    stored = safetensors.numpy.load_file(path)
    rate = ObtainedRate(**settings["rate"])
    num_lags, alarm_rule = settings["num_lags"], tuple(settings["alarm_rule"])
    num_columns = len(stored["scaler/mean"])
    cond = jnp.zeros((1, num_conditions), jnp.float32) if num_conditions else None
    batch = Batch(jnp.zeros((1, (num_lags + 1) * num_columns), jnp.float32), cond=cond)
    expected = flatten({"variables": jax.eval_shape(model.init, jax.random.key(0), batch)})
    for name, leaf in expected.items():
        found = stored[name].shape if name in stored else "nothing"
        if found != leaf.shape:
            raise ValueError(f"{path}: {name}: found {found}, expected {leaf.shape} for this model")
    variables = unflatten({name: jnp.asarray(stored[name]) for name in expected}).get("variables", {})
    parts: dict[str, Any] = {
        name: kind(*(stored[f"{name}/{field}"] for field in kind._fields))
        for name, kind in (("scaler", Scaler), ("held_out", Statistics), ("limit", Statistics))
    }
    whitening = Whitening(*(jnp.asarray(stored[f"whitening/{field}"]) for field in Whitening._fields))
    return Monitor(
        model,
        variables,
        whitening=whitening,
        num_lags=num_lags,
        smoothing=settings["smoothing"],
        alarm_rule=alarm_rule,
        rate=rate,
        **parts,
    )


def _arrays(monitor: Monitor) -> dict[str, PyTree]:
    parts = {part: getattr(monitor, part)._asdict() for part in ("scaler", "whitening", "held_out", "limit")}
    return {"variables": monitor.variables, **parts}
