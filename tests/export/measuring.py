"""How far exported graphs are from aejax: ``python -m tests.export.measuring onnx`` prints a table of all models."""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from aejax import models, tables
from aejax.data.formats.tables import Table
from aejax.export.folder import FORMATS
from aejax.export.graphs import graph, tasks_of
from aejax.tables import Run
from aejax.tables.config import TrainConfig

COLUMNS = ("flow", "pressure", "leak", "T1", "T2", "load", "valve")
# In the units of a plant: an offset of many spreads, tiny values, a column that never changes.
_OFFSETS, _SPREADS = [0, 101_325, 1e-2, 310, 5, 1, 60], [1, 10, 1e-3, 5, 2, 1, 0]
SIZES = (1, 7, 1000)
_NUM_WITH_GAPS = 40


def plant_rows(seed: int, num_rows: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    factors, weights = rng.normal(size=(num_rows, 2)), np.random.default_rng(9).normal(size=(2, 7))
    return _OFFSETS + (factors @ weights + 0.1 * rng.normal(size=(num_rows, 7))) * _SPREADS


def new_rows(num_rows: int) -> np.ndarray:
    """Rows with gaps, one of which nothing is observed, one in which a constant has changed, and one far away."""
    x = plant_rows(1, num_rows)
    some = min(_NUM_WITH_GAPS, num_rows)
    x[:some][np.random.default_rng(2).random((some, 7)) < 0.15] = np.nan
    if num_rows > 5:
        x[3], x[4], x[5] = np.nan, plant_rows(3, 1), plant_rows(4, 1)
        x[4, 6], x[5, 1] = 61, 102_000
    return x


def trained(model: str, folder: Path, x: np.ndarray | None = None, **options) -> Run:
    """A run of two epochs on plant rows, or on others."""
    conditions = ("load",) if model.startswith("conditional") else ()
    config = {"num_epochs": 2, "latent_dim": 2, "hidden_dims": (8,), "false_alarm_rate": 0.05}
    config |= {"condition_columns": conditions, **options}
    table = Table(COLUMNS, plant_rows(0, 400) if x is None else x, True, ())
    return tables.train(table, TrainConfig(model=model, **config), folder)


def expected(run: Run, task: str, x: np.ndarray) -> list[np.ndarray]:
    columns = getattr(tables, task)(run, Table(run.source.columns, x, True, ()))
    if task == "detect":
        return [columns[name] for name in ("score", "p_value", "is_anomaly")]
    return [np.column_stack(list(columns.values()))]


def differences(run: Run, task: str, format: str, x: np.ndarray, folder: Path, sizes=SIZES) -> list[float]:
    """The largest relative difference of each output, over all sizes; of alarms how many differ."""
    path = folder / f"{task}.{format}"
    FORMATS[format].write(graph(run, task), x.shape[1], path)
    wanted = expected(run, task, x)
    largest = [0.0] * len(wanted)
    for size in sizes:
        for index, (got, want) in enumerate(zip(FORMATS[format].run(path, x[:size]), wanted, strict=True)):
            np.testing.assert_array_equal(np.isnan(got), np.isnan(want[:size]))
            largest[index] = max(largest[index], _relative(task, run, got, want[:size], want))
    return largest


def _relative(task: str, run: Run, got: np.ndarray, want: np.ndarray, all_rows: np.ndarray) -> float:
    if got.dtype == bool:
        return float((got != want).sum())
    units = np.maximum(np.abs(want), np.nanmedian(np.abs(all_rows), axis=0))
    if task == "reconstruct":  # of the scaled value: 101,325 Pa would hide an error of 1 Pa
        spread = np.array([dict(zip(run.columns, run.scaler.scale, strict=True)).get(name, 1) for name in COLUMNS])
        units = np.maximum(spread, np.abs(want - np.nanmean(all_rows, axis=0)))
    return float(np.nanmax(np.abs(got - want) / np.where(units > 0, units, 1), initial=0))


def main(formats: list[str], names: list[str]) -> None:
    cells = [f"{name}, {what}" for name in formats for what in ("difference", "p-value, alarms")]
    print("| model | task | " + " | ".join(cells) + " |\n" + "| --- " * (2 + len(cells)) + "|")
    x = new_rows(max(SIZES))
    for name in names or sorted(models.MODELS):
        folder = Path(tempfile.mkdtemp())
        run = trained(name, folder / "run")
        for task in tasks_of(run):
            cells = []
            for format in formats:
                begin = time.perf_counter()
                first, *others = differences(run, task, format, x, folder)
                print(f"{name} {task} {format}: {time.perf_counter() - begin:.1f} s", file=sys.stderr)
                cells += [f"{first:.1e}", ", ".join(f"{other:.1g}" for other in others)]
            print(f"| `{name}` | {task} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1].split(","), sys.argv[2:])
