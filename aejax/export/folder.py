"""The folder of an export: a file a task, and ``export.json``, which says what goes in and what comes out."""

import contextlib
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aejax.artefacts import storage
from aejax.artefacts.writing import atomic_path
from aejax.export import onnx, stablehlo
from aejax.export.checking import Difference, check
from aejax.export.graphs import TASKS, Graph, graph, tasks_of
from aejax.tables.run import Run
from aejax.tasks.anomaly.limits import check_rate

MANIFEST = "export.json"


class Format(NamedTuple):
    """A format of graphs.

    Attributes:
        write: (graph, number of columns, path) writes a file.
        run: (path, rows) -> what the file makes of them.
    """

    write: Callable[[Graph, int, Path], None]
    run: Callable[[Path, np.ndarray], list[np.ndarray]]


# By name, which is the ending of the files as well.
FORMATS = {"onnx": Format(onnx.write, onnx.run), "stablehlo": Format(stablehlo.write, stablehlo.run)}


def check_format(format: str) -> None:
    """Refuses a format that is none of ``FORMATS``.

    Args:
        format: its name.

    Raises:
        ValueError: it is another.
    """
    if format not in FORMATS:
        raise ValueError(f"format: found {format!r}, expected one of {', '.join(FORMATS)}")


def export_run(
    run: Run, folder: Path, format: str, tasks: Sequence[str] = (), false_alarm_rate: float | None = None
) -> list[Difference]:
    """Writes graphs of a run that take raw rows, and need no aejax.

    Each is run on the calibration rows before it takes its name: what is written is what was measured. All files are
    written, or none.

    Args:
        run: the Run.
        folder: made if it is not there; an earlier export of the same format is replaced.
        format: one of ``FORMATS``.
        tasks: some of ``"encode"``, ``"reconstruct"`` and ``"detect"``; all that the model can do by default.
        false_alarm_rate: of the alarms; the config's by default.

    Returns:
        The Difference of each output.

    Raises:
        ValueError: an unknown format or task, a task that the model cannot do, a run without calibration rows, a rate
            out of range, or a graph that gives other results than aejax.
        ImportError: the extra of the format is not installed.

    The page docs/export.md has an example.
    """
    check_format(format)
    if false_alarm_rate is not None:
        check_rate(false_alarm_rate)
        run = run._replace(config=dataclasses.replace(run.config, false_alarm_rate=false_alarm_rate))
    graphs = {task: graph(run, task) for task in dict.fromkeys(tasks or tasks_of(run))}
    found: list[Difference] = []
    entries: dict[str, dict[str, Any]] = {}
    with contextlib.ExitStack() as files:
        for task, made in graphs.items():
            path = files.enter_context(atomic_path(_file(folder, task, format)))
            FORMATS[format].write(made, len(run.source.columns), path)
            differences = check(run, task, made, functools.partial(FORMATS[format].run, path))
            entries[task] = _entry(made, path, _file(folder, task, format).name, differences)
            found += differences
    for task in TASKS.keys() - graphs.keys():
        _file(folder, task, format).unlink(missing_ok=True)
    storage.write_json(folder / MANIFEST, _manifest(run, format, entries))
    return found


def _file(folder: Path, task: str, format: str) -> Path:
    return folder / f"{task}.{format}"


def _entry(made: Graph, path: Path, name: str, differences: Sequence[Difference]) -> dict[str, Any]:
    outputs = [
        {
            "name": output,
            "type": "bool" if output == "is_anomaly" else "float64",
            "shape": ["rows", len(columns)] if columns else ["rows"],
            "columns": list(columns),
            "largest_difference": difference.largest,
            "compared_rows": difference.num_rows,
        }
        for output, columns, difference in zip(made.outputs, made.columns, differences, strict=True)
    ]
    return {"file": name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "outputs": outputs}


def _manifest(run: Run, format: str, entries: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "format": format,
        "model": run.config.model,
        "false_alarm_rate": run.config.false_alarm_rate,
        "input": {
            "name": "rows",
            "type": "float64",
            "shape": ["rows", len(run.source.columns)],
            "columns": list(run.source.columns),
            "conditions": list(run.config.condition_columns),
            "missing": "NaN",
            "categories": {name: list(levels) for name, levels in run.levels.items()},
        },
        "tasks": entries,
        "trained_on": {"path": run.source.path, "sha256": run.source.sha256},
        "versions": storage.environment()["versions"],
    }
