"""How monitors and detectors are saved, and how monitors of earlier versions are read."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from aejax.artefacts import codecs, storage
from aejax.artefacts.codecs import Codec, Stored
from aejax.artefacts.rules import (
    FINITE,
    POSITIVE,
    POSITIVE_OR_INFINITE,
    each,
    fields,
    number,
    numbers,
    optional,
    whole,
)
from aejax.base import Array, Batch, Model
from aejax.data.columns.scalers import Scaler
from aejax.tasks.anomaly.detection import Calibration
from aejax.tasks.anomaly.fitting import linear_autoencoder
from aejax.tasks.anomaly.limits import ObtainedRate
from aejax.tasks.anomaly.monitor import Monitor
from aejax.tasks.anomaly.novelty import Detector, Reference
from aejax.tasks.anomaly.statistics import Statistics, Whitening

# What the version before called its file, and wrote into it.
_EARLIER_FILE, _EARLIER_FORMAT = "monitor.safetensors", "2"
_MOST_CONDITIONS = 64

MONITOR_SETTINGS = {
    "num_lags": whole(0, 100_000),
    "smoothing": number(0, 1),
    "alarm_rule": each(whole(1, 1_000_000), 2, 2),
    "rate": fields({name: number(0, 1) for name in ObtainedRate._fields}),
    "num_conditions": optional(whole(0, 100_000)),
    "num_stretches": optional(number(0, 1e12)),
    "left_out": each(whole(0, 10**12), 2, 2),
}
# numbers that must be there: limits of nothing would call everything normal.
_SCORES = numbers(nan=True, infinite=True, least=1)
MONITOR_ARRAYS = {
    "variables/*": FINITE,
    "scaler/mean": FINITE,
    "scaler/scale": POSITIVE_OR_INFINITE,  # infinite where a column was constant, which is then ignored
    "whitening/*": FINITE,
    "held_out/*": _SCORES,
    "limit/*": numbers(low=0, infinite=True, least=1),
}
MONITOR_SHAPES = {
    "scaler/*": "c",
    "whitening/code_mean": "d",
    "whitening/code": "dd",
    "whitening/residual_mean": "D",
    "whitening/residual": "DD",
    "held_out/*": "n",
    "limit/*": "",
}
DETECTOR_SETTINGS = {"num_members": whole(1, 10_000)}
DETECTOR_SHAPES = {
    "scaler/*": "c",
    "references/*/code": "md",
    "references/*/residual": "mD",
    "references/*_spacing": "m",
    "held_out": "n",
}
DETECTOR_ARRAYS = {
    "variables/*": FINITE,
    "references/*_spacing": numbers(low=0, least=1),
    "references/*": numbers(least=1),
    "scaler/mean": FINITE,
    "scaler/scale": POSITIVE,
    "held_out": numbers(nan=True),  # none before calibrate_detector
    "held_out_rows": numbers(nan=True),
}


def pack_monitor(monitor: Monitor) -> Stored:
    """Takes a monitor apart.

    Args:
        monitor: the Monitor.

    Returns:
        Its settings, arrays and Model.
    """
    arrays = ("variables", "scaler", "whitening", "held_out", "limit")
    settings = {
        "num_lags": monitor.num_lags,
        "smoothing": monitor.smoothing,
        "alarm_rule": list(monitor.alarm_rule),
        "rate": monitor.rate._asdict(),
        "num_conditions": monitor.num_conditions,
        "num_stretches": monitor.num_stretches,
        "left_out": list(monitor.left_out),
    }
    return Stored(settings, {name: getattr(monitor, name) for name in arrays}, monitor.model)


def unpack_monitor(stored: Stored) -> Monitor:
    """Puts a monitor together.

    Args:
        stored: from ``pack_monitor``.

    Returns:
        The Monitor, equal to the bit.

    Raises:
        ValueError, KeyError, TypeError: parts that are absent or do not fit each other.
    """
    settings, arrays = stored.settings, stored.arrays
    model = codecs.stored_model(stored)
    scaler = Scaler(**arrays["scaler"])
    num_lags, num_conditions = settings["num_lags"], settings["num_conditions"]
    window = jnp.zeros((1, (num_lags + 1) * len(scaler.mean)), jnp.float32)
    if num_conditions is None:
        num_conditions = _num_conditions(stored, model, window)
    return Monitor(
        model,
        codecs.fitted_variables(stored, model, _row(window, num_conditions)),
        scaler,
        jax.device_put(Whitening(**arrays["whitening"])),
        num_lags,
        settings["smoothing"],
        tuple(settings["alarm_rule"]),
        Statistics(**arrays["held_out"]),
        Statistics(**arrays["limit"]),
        ObtainedRate(**settings["rate"]),
        num_conditions,
        settings.get("num_stretches"),
        tuple(settings.get("left_out", (0, 0))),
    )


def _row(window: Array, num_conditions: int) -> Batch:
    return Batch(window, cond=jnp.zeros((1, num_conditions), jnp.float32) if num_conditions else None)


def _num_conditions(stored: Stored, model: Model, window: Array) -> int:
    """The fewest conditions with which the model has the variables that are stored: earlier files do not say it."""
    for num_conditions in range(_MOST_CONDITIONS + 1):
        with contextlib.suppress(ValueError, TypeError):
            codecs.fitted_variables(stored, model, _row(window, num_conditions))
            return num_conditions
    return 0


def earlier_monitor(path: Path) -> tuple[Stored, dict[str, Any]] | None:
    """Reads the file of a monitor of the version before.

    Args:
        path: the file, or a folder with ``monitor.safetensors``.

    Returns:
        The Stored and the notes that were kept with it, or None where there is no such file. Which Model it was is not
        in it, unless it was a linear autoencoder.

    Raises:
        ValueError: a file of another kind, or a damaged one.
    """
    path = path / _EARLIER_FILE if path.is_dir() else path
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
        flat = safetensors.numpy.load(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if metadata.get("aejax_monitor") != _EARLIER_FORMAT:
        raise ValueError(f"{path}: found another kind of file, expected that of a monitor; fit it again")
    settings = json.loads(metadata["settings"])
    notes, latent_dim = settings.pop("notes"), settings.pop("latent_dim")
    arrays = storage.unflatten(flat)
    num_inputs = (settings["num_lags"] + 1) * len(arrays["scaler"]["mean"])
    is_linear = {name for name in flat if name.startswith("variables/")} == {
        f"variables/params/{part}/layer_0/{kind}" for part in ("encoder", "decoder") for kind in ("kernel", "bias")
    }
    model = linear_autoencoder((num_inputs,), latent_dim) if is_linear else None
    return Stored(settings | {"num_conditions": 0 if is_linear else None}, arrays, model), notes


def _earlier(path: Path) -> Stored | None:
    found = earlier_monitor(path)
    return None if found is None else found[0]


def pack_detector(detector: Detector) -> Stored:
    """Takes a detector apart, as ``pack_monitor`` does a monitor."""
    names = ("variables", "references", "scaler", "held_out", "held_out_rows")
    arrays = {name: getattr(detector, name) for name in names if getattr(detector, name) is not None}
    return Stored({"num_members": len(detector.variables)}, arrays, detector.model)


def unpack_detector(stored: Stored) -> Detector:
    """Puts a detector together, as ``unpack_monitor`` does a monitor."""
    model, arrays = codecs.stored_model(stored), stored.arrays
    scaler = Scaler(**arrays["scaler"])
    batch = Batch(jnp.zeros((1, len(scaler.mean)), jnp.float32))
    members = [str(index) for index in range(stored.settings["num_members"])]
    by_member = stored._replace(arrays=arrays["variables"])
    return Detector(
        model,
        tuple(codecs.fitted_variables(by_member, model, batch, member) for member in members),
        tuple(Reference(**arrays["references"][member]) for member in members),
        scaler,
        np.asarray(arrays["held_out"]),
        arrays.get("held_out_rows"),
    )


def unpack_calibration(arrays: Mapping[str, Any]) -> Calibration:
    """Puts a calibration together.

    Args:
        arrays: its arrays by name; those of earlier versions have no rows.

    Returns:
        The Calibration.

    Raises:
        TypeError: arrays that it does not have, or lacks.
    """
    rows = arrays.get("rows")
    return Calibration(**{**arrays, "rows": None if rows is None else Batch(**rows)})


# Version 1 of a monitor had no moment; version 1 of a detector no rows, version 2 no spacing of its references.
codecs.register(
    Codec(
        "monitor",
        Monitor,
        2,
        pack_monitor,
        unpack_monitor,
        {1: lambda stored: stored},
        _earlier,
        MONITOR_SETTINGS,
        MONITOR_ARRAYS,
        MONITOR_SHAPES,
    )
)
codecs.register(
    Codec(
        "detector",
        Detector,
        3,
        pack_detector,
        unpack_detector,
        {1: lambda stored: stored, 2: lambda stored: stored},
        settings=DETECTOR_SETTINGS,
        arrays=DETECTOR_ARRAYS,
        shapes=DETECTOR_SHAPES,
    )
)
