"""Whether an exported graph gives what aejax gives: measured on the calibration rows of the run."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from aejax.data.columns.features import Coding, decoded, encode, widths
from aejax.data.columns.kinds import CATEGORY, Column
from aejax.data.formats.tables import Table
from aejax.export.graphs import Graph
from aejax.tables import application
from aejax.tables.run import Run
from aejax.tasks.anomaly.patterns import SAME_GAPS, comparisons

# Beyond this a difference is no rounding. A quantised code may jump by rounding, in a row or two.
_LARGEST, _SHARE_BEYOND = 1e-5, 0.01
_NUM_WITH_GAPS = 8  # among the rows that are tried; each is compared with all calibration rows


class Difference(NamedTuple):
    """How far an output of a graph is from that of aejax.

    Attributes:
        task: ``"encode"``, ``"reconstruct"`` or ``"detect"``.
        output: its name.
        largest: the largest difference: of codes and scores in units of their root mean square, of reconstructions in
            those of the column's scale, of p-values as it is, of alarms the share of rows that differ.
        num_rows: on how many rows it was compared.
    """

    task: str
    output: str
    largest: float
    num_rows: int


def check(run: Run, task: str, graph: Graph, function: Callable[[np.ndarray], list[np.ndarray]]) -> list[Difference]:
    """Runs an exported graph on the calibration rows of its run, some with a gap.

    Args:
        run: the Run.
        task: of the graph.
        graph: that was exported.
        function: raw rows -> the outputs, by what was exported.

    Returns:
        The Difference of each output. P-values and alarms are compared on rows alone of which enough calibration rows
        hold the same: those that aejax gives to others depend on the other rows of the table.

    Raises:
        ValueError: the graph gives something else, or the run has no calibration rows.
    """
    rows = _rows(run)
    found = []
    for output, got, want in zip(graph.outputs, function(rows), _wanted(run, task, rows), strict=True):
        error = _errors(run, task, output, got, want)
        if output in ("p_value", "is_anomaly"):
            # A score that is a normal row's own, but for rounding, may fall to either side of it.
            error = error[~_is_pooled(run, rows)]
        else:
            _refuse_others(task, output, error)
        largest = error.sum() / max(1, len(error)) if output == "is_anomaly" else error.max(initial=0)
        found.append(Difference(task, output, float(largest), len(error)))
    return found


def _is_pooled(run: Run, rows: np.ndarray) -> np.ndarray:
    """(n,) which rows aejax compares with normal rows of similar gaps, which depend on the other rows of the table."""
    x = rows[:, [run.source.columns.index(name) for name in run.columns]]
    is_pooled = np.zeros(len(rows), bool)
    for each in comparisons(
        ~np.isnan(encode(run.profile.columns, x)), run.calibration.rows, run.config.false_alarm_rate
    ):
        is_pooled[each.rows] = each.gaps != SAME_GAPS
    return is_pooled


def _rows(run: Run) -> np.ndarray:
    normal = run.calibration.rows
    if normal is None:
        raise ValueError("run: found no calibration rows, which an earlier aejax did not keep; train it again")
    x = decoded(run.coding, normal.x)
    for row in range(min(_NUM_WITH_GAPS, len(x))):
        x[row, row % x.shape[1]] = np.nan
    by_name = dict(zip(run.columns, x.T, strict=True))
    if normal.cond is not None:
        cond = decoded(run.cond_coding, normal.cond)
        by_name |= dict(zip(run.config.condition_columns, cond.T, strict=True))
    return np.column_stack([by_name[name] for name in run.source.columns])


def _wanted(run: Run, task: str, rows: np.ndarray) -> list[np.ndarray]:
    table = Table(run.source.columns, rows, run.source.has_header, (), categories=run.levels)
    if task == "detect":
        columns = application.detect(run, table)
        return [columns[name] for name in ("score", "p_value", "is_anomaly")]
    function = application.encode if task == "encode" else application.reconstruct
    found = dict(function(run, table))
    for name in run.levels.keys() & found.keys():
        found[name] = np.array([run.levels[name].index(text) if text else np.nan for text in found[name].tolist()])
    return [np.column_stack(list(found.values()))]


def _errors(run: Run, task: str, output: str, got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """(n,) the largest difference in each row; infinite where one of both is missing."""
    if got.shape != want.shape:
        raise ValueError(f"{task}: the exported {output} has shape {got.shape}, expected {want.shape}; it is not kept")
    is_missing = np.isnan(got) | np.isnan(want)
    error = np.abs(np.where(is_missing, 0, got.astype(float)) - np.where(is_missing, 0, want.astype(float)))
    error = np.where(np.isnan(got) != np.isnan(want), np.inf, error / _units(run, output, want))
    return error.reshape(len(error), -1).max(axis=1)


def _units(run: Run, output: str, want: np.ndarray) -> np.ndarray:
    if output == "reconstruction":
        scales = dict(zip(run.columns, _scales(run.coding), strict=True))
        scales |= dict(zip(run.config.condition_columns, _scales(run.cond_coding), strict=True))
        return np.array([scales[name] for name in run.source.columns])
    if output in ("p_value", "is_anomaly"):
        return np.ones(())
    size = np.sqrt(np.nanmean(np.square(want), axis=0))
    return np.where(size > 0, size, 1)


def _scales(coding: Coding) -> np.ndarray:
    """(c,) of each column; of a category a level, of an angle the turn, of ranks and levels the range of the values."""
    size = widths(coding.columns)
    first = coding.scaler.scale[np.cumsum(size) - size]
    return np.array([_scale(column, scale) for column, scale in zip(coding.columns, first.tolist(), strict=True)])


def _scale(column: Column, scale: float) -> float:
    if column.kind in ("ranks", "levels"):
        return float(np.ptp(column.facts["values"])) or 1.0
    return 1.0 if column.kind == CATEGORY else column.facts.get("period", scale)


def _refuse_others(task: str, output: str, error: np.ndarray) -> None:
    num_beyond = int((error > _LARGEST).sum())
    if num_beyond > max(1, _SHARE_BEYOND * len(error)):
        raise ValueError(
            f"{task}: the exported {output} differs from that of aejax by more than {_LARGEST:g} in {num_beyond} of "
            f"{len(error)} calibration rows, by up to {error.max():.3g}; it is not kept; export it in another format, "
            "and report the fault"
        )
