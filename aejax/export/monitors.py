"""A process monitor as one step: a raw row and a state in, a verdict and the next state out."""

import hashlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from aejax.artefacts import storage
from aejax.artefacts.writing import atomic_path
from aejax.base import Array
from aejax.data.columns.scalers import scale
from aejax.data.formats.libraries import library
from aejax.export.folder import MANIFEST
from aejax.export.stablehlo import PLATFORMS
from aejax.export.verdicts import num_below
from aejax.tables.monitoring import TableMonitor
from aejax.tasks.anomaly import start, watch
from aejax.tasks.anomaly.monitor import Monitor, excess
from aejax.tasks.anomaly.statistics import row_statistics
from aejax.tasks.anomaly.stream import StreamState, advance, window_of

FILE = "step.stablehlo"
OUTPUTS = ("t2", "spe", "combined", "excess", "p_value", "is_above", "is_alarm")
# Beyond this a difference is no rounding.
_LARGEST = 1e-4
_NUM_TRIED, _SHARE_MISSING = 60, 0.05


def export_monitor(monitor: TableMonitor, folder: Path) -> float:
    """Writes the step of a monitor as StableHLO, with what its state begins with.

    It is run on made rows, some with gaps, before it takes its name: what is written is what was measured.

    Args:
        monitor: the TableMonitor.
        folder: made if it is not there; an earlier step in it is replaced.

    Returns:
        The largest difference to ``watch``: of statistics relative to them, of p-values and verdicts as they are.

    Raises:
        ImportError: the extra ``stablehlo`` is not installed.
        ValueError: a step that gives something else than aejax.

    The page docs/export.md has an example.
    """
    library("flatbuffers", "StableHLO", "stablehlo")  # with which JAX writes and reads the file
    state = start(monitor.monitor)
    row = jax.ShapeDtypeStruct((len(monitor.columns),), np.float64)
    with jax.enable_x64(True), atomic_path(folder / FILE) as path:
        exported = export.export(jax.jit(_step(monitor.monitor)), platforms=PLATFORMS)(row, *map(_shape, state))
        path.write_bytes(exported.serialize())
        difference = _checked(monitor.monitor, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    storage.write_json(folder / MANIFEST, _manifest(monitor, state, digest, difference))
    return difference


def _step(monitor: Monitor) -> Any:
    normal = np.sort(excess(monitor.held_out, monitor.limit))
    normal = normal[~np.isnan(normal)].astype(np.float32)

    def step(row: Array, past: Array, average: Array, above: Array, num_rows: Array) -> tuple[Array, ...]:
        state = StreamState(past, average, above, num_rows)
        scaled = scale(monitor.scaler, row[None]).astype(jnp.float32)[0]
        window = window_of(state, scaled)
        flat, seen = jnp.nan_to_num(window).reshape(-1), ~jnp.isnan(window).reshape(-1)
        values = row_statistics(monitor.model, monitor.variables, monitor.whitening, flat, seen, None)
        limit = jax.tree.map(np.float32, monitor.limit)
        after, (found, is_above, is_alarm) = advance(
            state, window, values, jnp.float32(monitor.smoothing), limit, monitor.alarm_rule
        )
        farthest = jnp.maximum(found[1] / limit.spe, found[2] / limit.combined)
        as_high = len(normal) - num_below(normal, farthest[None])[0]
        p_value = jnp.where(jnp.isnan(farthest), jnp.nan, (1 + as_high) / (1 + len(normal)))
        return (*found, farthest, p_value, is_above, is_alarm, *after)

    return step


def _shape(array: Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def _checked(monitor: Monitor, path: Path) -> float:
    """How far the written step is from ``watch`` on made rows; refuses one that gives something else."""
    rng = np.random.default_rng(0)
    width = np.where(np.isfinite(monitor.scaler.scale), monitor.scaler.scale, 0)
    rows = monitor.scaler.mean + rng.standard_normal((_NUM_TRIED, len(width))) * width
    rows[rng.random(rows.shape) < _SHARE_MISSING] = np.nan
    rows[_NUM_TRIED // 2] = np.nan
    step = export.deserialize(bytearray(path.read_bytes()))
    state: tuple[Any, ...] = tuple(map(np.asarray, start(monitor)))
    found = []
    for row in rows:
        results = [np.asarray(result) for result in step.call(row, *state)]
        found.append([float(result) for result in results[: len(OUTPUTS)]])
        state = tuple(results[len(OUTPUTS) :])
    with jax.enable_x64(False):
        chart, _ = watch(monitor, rows)
    got, want = np.array(found), np.array([getattr(chart, name) for name in OUTPUTS], float).T
    if (np.isnan(got) != np.isnan(want)).any():
        raise ValueError("step: the exported step has no verdict on other rows than aejax; it is not kept")
    error = np.abs(np.nan_to_num(got) - np.nan_to_num(want)) / np.maximum(np.abs(np.nan_to_num(want)), 1)
    # A p-value may jump by a rank, and a verdict at its limit may fall to either side, by rounding.
    largest = float(error[:, : OUTPUTS.index("p_value")].max())
    num_other = int((got[:, -2:] != want[:, -2:]).sum())
    if largest > _LARGEST or num_other > 1:
        raise ValueError(
            f"step: the exported step differs from aejax by up to {largest:.3g}, and in {num_other} verdicts of "
            f"{len(rows)} rows; it is not kept; report the fault"
        )
    return largest


def _manifest(monitor: TableMonitor, state: StreamState, digest: str, difference: float) -> dict[str, Any]:
    begin = {name: np.asarray(value) for name, value in state._asdict().items()}
    return {
        "format": "stablehlo",
        "task": "step of a process monitor",
        "file": FILE,
        "sha256": digest,
        "row": {"type": "float64", "shape": [len(monitor.columns)], "columns": list(monitor.columns), "missing": "NaN"},
        "state": [
            {"name": name, "type": str(value.dtype), "shape": list(value.shape), "begins_with": value.tolist()}
            for name, value in begin.items()
        ],
        "outputs": [*OUTPUTS, *begin],
        "false_alarm_rate": monitor.monitor.rate.asked,
        "largest_difference": difference,
        "versions": storage.environment()["versions"],
    }
