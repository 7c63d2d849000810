"""Lines that arrive one by one, as rows: CSV or JSON, with gaps named, and late, repeated and stray ones told."""

import csv
import datetime
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from aejax.data.columns.categories import UNSEEN, text_of
from aejax.data.formats.clocks import is_time
from aejax.data.formats.contents import nearest
from aejax.data.formats.options import ReadOptions
from aejax.data.formats.text.dialect import find_dialect, split_cells
from aejax.data.formats.text.marks import WORDS as MARK_WORDS
from aejax.data.formats.text.words import BOOLEANS, is_date, is_missing

# A row is late if it comes after so many times the usual step; that is known from so many steps.
_LATE = 1.5
_FEWEST_STEPS, _MOST_STEPS = 3, 9
_MOST_LINES_ABOVE = 20


class Layout(NamedTuple):
    """How the lines of a stream are written.

    Attributes:
        names: of the cells of a line of CSV; None for JSON, whose lines name their values.
        separator: between the cells.
        decimal: decimal mark of numbers in text.
        time: name of the column that is the time; None without one.
    """

    names: tuple[str, ...] | None
    separator: str
    decimal: str
    time: str | None


class Arrival(NamedTuple):
    """A row that has arrived.

    Attributes:
        values: (c,), NaN where missing.
        time: as it is written; None without one.
        missing: names of the columns without a value.
        problem: what could not be read, a sentence; "" for nothing.
    """

    values: np.ndarray
    time: str | None
    missing: tuple[str, ...]
    problem: str


class Times(NamedTuple):
    """The times of the rows before.

    Attributes:
        last: of the newest row, in seconds; None before the first one.
        steps: between the newest rows, in seconds.
    """

    last: float | None = None
    steps: tuple[float, ...] = ()


def find_layout(
    lines: Sequence[str], columns: tuple[str, ...], has_header: bool, options: ReadOptions
) -> tuple[Layout, int] | None:
    r"""How a stream is written, by its first lines.

    Args:
        lines: its first lines.
        columns: that are wanted.
        has_header: whether the stream names them.
        options: what is known of it.

    Returns:
        The Layout, and how many of the lines are no rows; None while more lines are needed.

    Raises:
        ValueError: none of the columns is there.

    Example:
        >>> find_layout(["time;T1\n", "2024-03-01 12:00;1,5\n"], ("T1",), True, ReadOptions())
        (Layout(names=('time', 'T1'), separator=';', decimal=',', time='time'), 1)
        >>> find_layout(['{"T1": 1.5}\n'], ("T1",), True, ReadOptions())
        (Layout(names=None, separator=',', decimal='.', time=None), 0)
    """
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        return None
    if first.lstrip().startswith("{"):
        cells = _object(first)
        _check_names(tuple(cells), columns)
        return Layout(None, ",", ".", _time_column(cells, columns, options)), 0
    found = find_dialect("".join(lines).encode(), options)
    if found.first >= len(lines) and len(lines) < _MOST_LINES_ABOVE:
        return None
    names = found.names or tuple(columns if not has_header else ())
    _check_names(names, columns)
    row = dict(zip(names, found.rows[-1], strict=False)) if found.rows else {}
    layout = Layout(names, found.separator, found.marks.decimal or ".", _time_column(row, columns, options))
    return layout, min(found.first, len(lines))


def read(
    line: str,
    layout: Layout,
    columns: tuple[str, ...],
    missing: tuple[str, ...] = (),
    levels: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> Arrival | None:
    r"""The row of a line.

    Args:
        line: of the stream.
        layout: how it is written.
        columns: c names.
        missing: words for a missing value, beside those that always are.
        levels: the texts of columns of categories, whose numbers are the values.

    Returns:
        The Arrival; None for an empty line.

    Raises:
        ValueError: a line that cannot be read at all.

    Example:
        >>> layout = Layout(("time", "T1", "p1"), ";", ",", "time")
        >>> read("12:00;1,5;\n", layout, ("p1", "T1"))
        Arrival(values=array([nan, 1.5]), time='12:00', missing=('p1',), problem='')
    """
    if not line.strip():
        return None
    cells = _object(line) if layout.names is None else _cells(line, layout)
    words = tuple(word.strip().lower() for word in missing)
    values, problems = np.full(len(columns), np.nan), []
    for index, name in enumerate(columns):
        try:
            cell = cells.get(name)
            values[index] = (
                _level(cell, levels[name], words) if name in levels else _number(cell, layout.decimal, words)
            )
        except ValueError as error:
            problems.append(f"{name}: {error}")
    gaps = tuple(name for name, value in zip(columns, values, strict=True) if math.isnan(value))
    time = cells.get(layout.time) if layout.time else None
    return Arrival(values, None if time is None else str(time), gaps, "; ".join(problems))


def is_header(line: str, layout: Layout, columns: tuple[str, ...]) -> bool:
    r"""Whether a line of CSV names the columns, as where a log is begun anew.

    Args:
        line: of the stream.
        layout: how the lines before it were written.
        columns: that are wanted.

    Returns:
        Whether one of its cells is the name of a column.

    Example:
        >>> layout = Layout(("time", "T1"), ",", ".", "time")
        >>> is_header("T1,time\n", layout, ("T1",)), is_header("12:00,1.5\n", layout, ("T1",))
        (True, False)
    """
    return layout.names is not None and not set(_split(line, layout.separator)).isdisjoint(columns)


def placed(times: Times, time: str | None) -> tuple[str, str, Times]:
    """Where a row stands in time.

    Args:
        times: of the rows before.
        time: of the row, a number or ISO 8601.

    Returns:
        ``"ok"``, ``"late"``, ``"repeated"`` or ``"out of order"``, the reason in words, and the Times after it. Nothing
        is said of a row without a time that can be read.

    Example:
        >>> times = Times(240.0, (60.0, 60.0, 60.0, 60.0))
        >>> placed(times, "480")[:2]
        ('late', '240 s after the row before, usually 60 s')
        >>> placed(times, "240")[0], placed(times, "180")[0]
        ('repeated', 'out of order')
    """
    seconds = _seconds(time)
    if seconds is None or times.last is None:
        return "ok", "", times if seconds is None else times._replace(last=seconds)
    step = seconds - times.last
    if step == 0:
        return "repeated", "a row of this time has come before", times
    if step < 0:
        return "out of order", f"{-step:g} s before the row before", times
    usual = statistics.median(times.steps) if len(times.steps) >= _FEWEST_STEPS else math.inf
    after = Times(seconds, (*times.steps, step)[-_MOST_STEPS:])
    if step > _LATE * usual:
        return "late", f"{step:g} s after the row before, usually {usual:g} s", after
    return "ok", "", after


def _check_names(names: tuple[str, ...], columns: tuple[str, ...]) -> None:
    if not set(names) & set(columns):
        raise ValueError(
            f"found the columns {', '.join(names) or 'without names'}, expected {', '.join(columns)}"
            f"{nearest(columns[0], names)}; the first line of CSV names them, each line of JSON does"
        )


def _time_column(cells: Mapping[str, Any], columns: tuple[str, ...], options: ReadOptions) -> str | None:
    """The column that was named as the time, or the first of the others that looks like one."""
    if options.time_column in cells:
        return options.time_column
    others = [name for name in cells if name not in columns]
    return next((name for name in others if is_date(str(cells[name])) or is_time(name)), None)


def _object(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"found {type(found).__name__}, expected an object of values by name")
    return found


def _cells(line: str, layout: Layout) -> dict[str, Any]:
    assert layout.names is not None
    cells = _split(line, layout.separator)
    if len(cells) == len(layout.names) + 1 and not cells[-1]:
        cells.pop()  # a separator ends the line
    if len(cells) != len(layout.names):
        raise ValueError(f"found {len(cells)} cells, expected {len(layout.names)} as in the header")
    return dict(zip(layout.names, cells, strict=True))


def _split(line: str, separator: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(split_cells([line.rstrip("\r\n") + "\n"], separator), [])]
    except csv.Error:
        return [line]


def _level(cell: Any, levels: tuple[str, ...], missing: tuple[str, ...]) -> float:
    text = "" if cell is None else text_of(cell) if isinstance(cell, int | float) else str(cell).strip()
    if is_missing(text) or text.lower() in missing:
        return math.nan
    return float(levels.index(text)) if text in levels else UNSEEN


def _number(cell: Any, decimal: str, missing: tuple[str, ...]) -> float:
    if cell is None:
        return math.nan
    if isinstance(cell, str):
        return _number_in(cell.strip(), decimal, missing)
    if not isinstance(cell, int | float):
        raise ValueError(f"found {type(cell).__name__}, expected a number")
    return _finite(float(cell), cell)


def _number_in(text: str, decimal: str, missing: tuple[str, ...]) -> float:
    word = text.lower()
    if is_missing(text) or word in missing:
        return math.nan
    if word in BOOLEANS:
        return BOOLEANS[word]
    plain = text.replace(",", ".") if decimal == "," and "." not in text else text
    try:
        if "_" in plain:  # float would read 1_000
            raise ValueError
        return _finite(float(plain), text)
    except ValueError:
        raise ValueError(f"found {text[:40]!r}, expected a number with a decimal {MARK_WORDS[decimal]}") from None


def _finite(value: float, shown: Any) -> float:
    if math.isinf(value):
        raise ValueError(f"found {shown}, expected a finite number")
    return value


def _seconds(time: str | None) -> float | None:
    """A number, or the seconds of a date; one without a zone is taken for UTC."""
    if time is None:
        return None
    try:
        return float(time)
    except ValueError:
        pass
    try:
        moment = datetime.datetime.fromisoformat(time.strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
