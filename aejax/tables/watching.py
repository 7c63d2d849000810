"""Rows that come one by one: what a run or a monitor makes of each, and what it remembers from one to the next."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from aejax.data.columns.features import Coding, decoded
from aejax.data.columns.scalers import Scaler
from aejax.data.formats.options import ReadOptions
from aejax.data.formats.tables import Table
from aejax.tables.application import judging
from aejax.tables.monitoring import TableMonitor, without_sentinels
from aejax.tables.run import Run
from aejax.tables.survey import rows_of, survey
from aejax.tasks import anomaly
from aejax.tasks.anomaly import AdaptiveState, Chart, Monitor, StreamState
from aejax.tasks.anomaly.adaptive import check_step

Verdict = dict[str, Any]
# Contributions say which columns stand out: more digits say nothing more.
_DIGITS = 6


class Memory(NamedTuple):
    """What a monitor remembers.

    Attributes:
        stream: of its averages and votes, and of limits that adapt.
        recent: (num_lags, c) the rows before the next one, the newest last, in their own units.
    """

    stream: StreamState | AdaptiveState
    recent: np.ndarray


class Watcher(NamedTuple):
    """A run or a monitor that judges rows one by one.

    Attributes:
        columns: c names, in the order of the values of a row.
        has_header: whether the names are the table's own.
        reading: how its table was read.
        usual: (c,), a row in the middle of the rows that it was fitted to.
        begin: () -> what it remembers before the first row; None for a run, to which each row is the first.
        judge: (memory, row) -> (the verdict, what it remembers then). The row is (c,), NaN where missing.
        levels: the texts of columns of categories, whose numbers stand in a row.
    """

    columns: tuple[str, ...]
    has_header: bool
    reading: ReadOptions
    usual: np.ndarray
    begin: Callable[[], Memory | None]
    judge: Callable[[Memory | None, np.ndarray], tuple[Verdict, Memory | None]]
    levels: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def watcher_of(
    thing: Run | TableMonitor, false_alarm_rate: float | None = None, adaptive: float | None = None
) -> Watcher:
    """What judges rows one by one as ``detect`` or ``watch`` judges them together.

    Args:
        thing: a Run or a TableMonitor.
        false_alarm_rate: of a run, the share of normal rows that may be flagged; that of its config by default.
        adaptive: of a monitor, the step by which limits follow a drift, as in ``anomaly.watch_adaptive``; None for
            limits that stay.

    Returns:
        The Watcher.

    Raises:
        ValueError: a rate for a monitor, whose limits are set, a step for a run, or one out of range.

    Example:
        >>> from aejax.tables import fit_monitor, watch
        >>> values = np.random.default_rng(0).standard_normal((300, 2))
        >>> normal = Table(("flow", "level"), values, True, ())
        >>> monitor = fit_monitor(jax.random.key(0), normal, num_epochs=1, false_alarm_rate=0.05)
        >>> watcher = watcher_of(monitor)
        >>> verdict, memory = watcher.judge(watcher.begin(), np.array([0.0, 9.0]))
        >>> verdict["alarm"], verdict["top_sensor"]
        (False, 'level')
        >>> bool(verdict["score"] == watch(monitor, normal._replace(values=np.array([[0.0, 9.0]]))).chart.excess[0])
        True
    """
    if isinstance(thing, Run):
        if adaptive is not None:
            raise ValueError(f"adaptive: found {adaptive} for a run, expected none: only limits of a monitor adapt")
        return _of_run(thing, thing.config.false_alarm_rate if false_alarm_rate is None else false_alarm_rate)
    if false_alarm_rate is not None:
        raise ValueError(
            f"false_alarm_rate: found {false_alarm_rate}, but the limits of a monitor are set; leave it out, or set "
            "them anew by aejax.tasks.anomaly.recalibrate"
        )
    return _of_monitor(thing, adaptive)


def _of_run(run: Run, rate: float) -> Watcher:
    columns = run.source.columns
    levels = run.levels

    def judge(memory: Memory | None, row: np.ndarray) -> tuple[Verdict, Memory | None]:
        table = Table(columns, row[None], run.source.has_header, (), categories=levels)
        rows = rows_of(run, table)
        if not rows.is_known.all():
            return no_verdict("a condition is missing"), memory
        found, contribution = judging(run, survey(run, table), _say_nothing, rate)(rows)
        verdict = {
            "score": _number(found["score"][0]),
            "p_value": _number(found["p_value"][0]),
            "alarm": bool(found["is_anomaly"][0]),
            "top_sensor": str(found["top_sensor"][0]),
            "reason": str(found["reason"][0]),
            "contributions": _contributions(run.columns, contribution[0]),
        }
        return verdict, memory

    middle = dict(zip(run.columns, _middle(run.coding), strict=True))
    middle |= dict(zip(run.config.condition_columns, _middle(run.cond_coding), strict=True))
    usual = np.array([middle[name] for name in columns])
    return Watcher(columns, run.source.has_header, run.config.reading, usual, lambda: None, judge, levels)


def _middle(coding: Coding) -> np.ndarray:
    return decoded(coding, np.zeros((1, len(coding.scaler.mean))))[0]


def _of_monitor(monitor: TableMonitor, step: float | None) -> Watcher:
    inner, columns = monitor.monitor, monitor.columns
    scaler: Scaler = inner.scaler

    if step is not None:
        check_step(step)

    def begin() -> Memory:
        stream = anomaly.start(inner) if step is None else anomaly.start_adaptive(inner)
        return Memory(stream, np.zeros((inner.num_lags, len(columns))))

    def judge(memory: Memory | None, row: np.ndarray) -> tuple[Verdict, Memory]:
        assert memory is not None
        rows = without_sentinels(row[None], scaler.mean, scaler.scale, columns, "new", _say_nothing)
        before = memory.stream
        is_first = int((before.stream if isinstance(before, AdaptiveState) else before).num_rows) == 0
        past = np.repeat(rows, inner.num_lags, axis=0) if is_first else memory.recent
        chart, stream = _charted(inner, rows, before, step)
        together = np.concatenate([past, rows])
        contribution = anomaly.contributions(inner, together)[-1]
        is_seen = bool(np.isfinite(chart.combined[0]))
        verdict = {
            "score": _number(chart.excess[0]),
            "p_value": _number(chart.p_value[0]),
            "alarm": bool(chart.is_alarm[0]),
            "above": bool(chart.is_above[0]),
            "t2": _number(chart.t2[0]),
            "spe": _number(chart.spe[0]),
            "top_sensor": columns[int(contribution.argmax())] if is_seen else "",
            "contributions": _contributions(columns, contribution),
        }
        if isinstance(before, AdaptiveState):
            verdict["rate"] = float(before.rate)
        return verdict, Memory(stream, together[1:])

    return Watcher(columns, monitor.has_header, monitor.reading, scaler.mean, begin, judge)


def _charted(
    monitor: Monitor, rows: np.ndarray, state: StreamState | AdaptiveState, step: float | None
) -> tuple[Chart, StreamState | AdaptiveState]:
    if isinstance(state, AdaptiveState):
        assert step is not None
        return anomaly.watch_adaptive(monitor, rows, state, step)
    return anomaly.watch(monitor, rows, state)


def packed(memory: Memory | None) -> list[list[float | None]]:
    """What is remembered, as lists of numbers.

    Args:
        memory: from ``begin`` or ``judge``.

    Returns:
        The numbers of each array, None where one is missing.
    """
    arrays = [np.asarray(leaf) for leaf in jax.tree.leaves(memory)]
    return [[None if number != number else number for number in array.ravel().tolist()] for array in arrays]


def unpacked(watcher: Watcher, lists: list[list[float | None]]) -> Memory | None:
    """What was packed, equal to the bit.

    Args:
        watcher: whose memory it is.
        lists: from ``packed``.

    Returns:
        The memory.

    Raises:
        ValueError, TypeError: what no such watcher remembers.
    """
    leaves, structure = jax.tree.flatten(watcher.begin())
    arrays = [
        np.array([np.nan if number is None else number for number in numbers], leaf.dtype).reshape(leaf.shape)
        for numbers, leaf in zip(lists, leaves, strict=True)
    ]
    memory: Memory | None = jax.tree.unflatten(structure, arrays)
    return memory


def _say_nothing(text: str) -> None:
    del text  # a verdict names what is missing


def no_verdict(reason: str = "") -> Verdict:
    """The verdict on a row that cannot be judged.

    Args:
        reason: why.

    Returns:
        The Verdict.
    """
    return {"score": None, "p_value": None, "alarm": False, "top_sensor": "", "reason": reason, "contributions": {}}


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _contributions(columns: tuple[str, ...], values: np.ndarray) -> dict[str, float]:
    return {name: float(f"{value:.{_DIGITS}g}") for name, value in zip(columns, values, strict=True)}
