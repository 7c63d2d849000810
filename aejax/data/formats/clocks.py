"""Columns that tell the time, count or number rows and do not measure, by how they behave."""

import math
import re
from collections.abc import Mapping

import numpy as np

_CLOCK_NAMES = {"time", "timestamp", "date", "datetime", "date_time", "epoch"}
_PART_NAMES = {
    "year": (1900, 2200),
    "month": (1, 12),
    "day": (0, 366),
    "hour": (0, 24),
    "minute": (0, 60),
    "second": (0, 60),
    "weekday": (0, 7),
    "week": (0, 53),
    "jahr": (1900, 2200),
    "monat": (1, 12),
    "tag": (0, 366),
    "stunde": (0, 24),
    "sekunde": (0, 60),
}
_SYNONYMS = {
    "yr": "year", "yyyy": "year", "mon": "month", "dd": "day", "hh": "hour", "hr": "hour", "min": "minute",
    "sec": "second", "ss": "second", "dayofweek": "weekday", "day_of_week": "weekday", "dow": "weekday",
    "dayofyear": "day", "day_of_year": "day", "doy": "day", "dayofmonth": "day", "day_of_month": "day",
}  # fmt: skip
_UNIX_SECONDS = (6e8, 2.2e9)  # 1989 to 2039
_FEWEST_RISES = 100  # a short ramp of a process rises as long; noise turns back before
_FEWEST_ROWS = 10
_NUM_LOOKED_AT = 1_000
_CHANCE = 1e-4
_FEWEST_BETWEEN_RESETS = 100
_DIGITS = 9  # of steps that are equal but for rounding
_FEWEST_STEPS_BACK = 10  # of a reset; noise goes back by less
_DAY = re.compile(r"(?:19|20|21)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_TIME_OF_DAY = re.compile(r"(?:[01]\d|2[0-4])(?:[0-5]\d){0,2}")

RISES = "it only rises, as a clock or a counter does"
FALLS = "it only falls, as a clock that runs backwards does"
RESETS = "it rises and begins again, as a counter that is reset does"
WRITTEN = "it holds dates that are written as numbers"
UNIX = "it holds Unix times"
WRAPS = "it wraps as a part of a clock does"
PART = "it changes only where a part of a clock wraps"
NUMBERED = "it numbers the rows"
DISTINCT = "it is another whole number in every row, as an id is"
NAMED = "it is named as a part of a clock, beside others that wrap as one"


def clocks(columns: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Which columns behave as clocks, counters or ids do.

    - Only rising (or only falling): a hundred times at least, since a slow ramp in a short table does that too;
      a column named as a time at any length.
    - Rising but for a few steps far back: a hundred times at least before each of them.
    - Whole numbers in the range of Unix times, in order; in any order in a column named as a time. Dates written as
      numbers, such as 20240301, that do not go to and fro.
    - Wrapping: numbers that rise by one step from the same lowest to the same highest one, held equally long,
      again and again; and columns that change by one exactly where such a column wraps.
    - Whole numbers of which none repeats, where chance would repeat some.

    A measurement has noise and turns back; one of whole numbers repeats itself.

    Args:
        columns: (n,) by name, NaN where missing.

    Returns:
        The reason by name, in the order of the columns; nothing for measurements.

    Example:
        >>> rows = np.arange(300.0)
        >>> clocks({"meter": 5000 + rows * 1.5, "T": np.sin(rows), "hour": rows % 24})
        {'meter': 'it only rises, as a clock or a counter does', 'hour': 'it wraps as a part of a clock does'}
    """
    found = {}
    for name, values in columns.items():
        reason = _reason(name, values)
        if reason:
            found[name] = reason
    for name, reason in _parts(columns, [name for name, reason in found.items() if reason == WRAPS]).items():
        found.setdefault(name, reason)
    return {name: found[name] for name in columns if name in found}


def is_measurement(values: np.ndarray) -> bool:
    """Whether the first values alone show that a column is none of these, whatever follows.

    Args:
        values: the first ones of a column, NaN where missing.

    Returns:
        True only for a thousand values with fractions that turn back, and are not spaced evenly.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=2000)
        >>> is_measurement(noise), is_measurement(noise.round()), is_measurement(np.sort(noise))
        (True, False, False)
    """
    first = values[~np.isnan(values)][:_NUM_LOOKED_AT]
    if len(first) < _NUM_LOOKED_AT or bool((first % 1 == 0).all()) or _order(first):
        return False
    steps = np.diff(first)
    may_be_reset = (steps > 0).sum() >= _FEWEST_BETWEEN_RESETS * (steps < 0).sum()
    is_even = _most_common(_even_steps(first))[1] > len(steps) / 2
    return not may_be_reset and not is_even


def is_row_number(values: np.ndarray) -> bool:
    """Whether a column of an index is one: distinct whole numbers.

    Example:
        >>> is_row_number(np.array([17.0, 3.0])), is_row_number(np.array([1.5, 3.0]))
        (True, False)
    """
    return bool((values % 1 == 0).all()) and len(np.unique(values)) == len(values)


def is_time(name: str) -> bool:
    """Whether a column is named as a time.

    Example:
        >>> is_time("Time [UTC]"), is_time("times")
        (True, False)
    """
    return _without_unit(name).strip().lower() in _CLOCK_NAMES


def _reason(name: str, values: np.ndarray) -> str | None:
    seen = values[~np.isnan(values)]
    is_named = is_time(name)
    if is_named and len(seen) == len(values) and bool((np.diff(values) > 0).all()):
        return RISES
    if len(seen) < _FEWEST_ROWS:
        return None
    order = _order(seen)
    if order and is_named and len(np.unique(seen)) > len(seen) / 2:
        return order
    if order and (np.count_nonzero(np.diff(seen)) >= _FEWEST_RISES):
        return order
    if not order and _is_reset(seen):
        return RESETS
    if not (seen[:_NUM_LOOKED_AT] % 1 == 0).all() or not (seen % 1 == 0).all():
        steps = _even_steps(seen[:_NUM_LOOKED_AT])
        return WRAPS if _most_common(steps)[1] > len(steps) / 2 and _wraps(seen) else None
    if (order or is_named) and _is_unix(seen):
        return UNIX
    if (order or (seen == seen[0]).all()) and _are_written_dates(seen):
        return WRITTEN
    if order and seen[0] in (0, 1) and bool((np.diff(seen) == 1).all()):
        return NUMBERED
    if _wraps(seen):
        return WRAPS
    return DISTINCT if not order and _is_distinct(seen) else None


def _without_unit(name: str) -> str:
    """A name without what stands in brackets at its end."""
    begins = [place for place in map(name.find, "[(") if place >= 0]
    return name[: min(begins)] if begins and name.endswith(("]", ")")) else name


def _order(values: np.ndarray) -> str | None:
    """Whether values only rise or only fall; the first ones decide for almost all measurements."""
    for part in (values[:_NUM_LOOKED_AT], values):
        steps = np.diff(part)
        rises, falls = bool((steps >= 0).all()), bool((steps <= 0).all())
        if not rises and not falls:
            return None
    return None if rises and falls else RISES if rises else FALLS


def _is_unix(values: np.ndarray) -> bool:
    low, high = _UNIX_SECONDS
    return any(low * unit <= values.min() and values.max() <= high * unit for unit in (1, 1e3, 1e6, 1e9))


def _is_reset(values: np.ndarray) -> bool:
    """Whether values only rise, but for single steps far back that come seldom."""
    for part in (values[:_NUM_LOOKED_AT], values):  # the first ones decide for almost all measurements
        steps = np.diff(part)
        rises, falls = steps[steps > 0], steps[steps < 0]
        if len(rises) < _FEWEST_BETWEEN_RESETS * len(falls):
            return False
    return len(falls) > 0 and bool(-falls.max() >= _FEWEST_STEPS_BACK * np.median(rises))


def _are_written_dates(values: np.ndarray) -> bool:
    """Whether whole numbers read as year, month and day, with or without hour, minute and second."""
    for cell in map(str, np.unique(values[:_NUM_LOOKED_AT]).astype(np.int64).tolist()):
        if not _DAY.fullmatch(cell[:8]) or not (len(cell) == 8 or _TIME_OF_DAY.fullmatch(cell[8:])):
            return False
    return True


def _wraps(values: np.ndarray) -> bool:
    """Whether numbers rise in equal steps from one value to another and begin again, regularly."""
    steps = _even_steps(values)
    rises, falls = steps[steps > 0], np.flatnonzero(steps < 0)
    if len(falls) < 2 or len(rises) < 2.5 * len(falls):
        return False
    step, count = _most_common(rises)
    lowest, highest = values.min(), values.max()
    from_top = values[falls] >= highest - max(3 * step, 0.1 * (highest - lowest))
    to_bottom = values[falls + 1] <= lowest + step
    runs = np.diff(np.flatnonzero(steps))
    held, _ = _most_common(runs)
    is_regular = np.mean(np.abs(runs - held) <= 0.15 * held) >= 0.9
    return bool(count >= 0.9 * len(rises) and from_top.mean() > 0.9 and to_bottom.mean() > 0.9 and is_regular)


def _even_steps(values: np.ndarray) -> np.ndarray:
    """Steps that are equal where they differ by rounding only."""
    steps = np.diff(values)
    largest = np.abs(steps).max()
    return np.round(steps / largest, _DIGITS) * largest if largest else steps


def _most_common(values: np.ndarray) -> tuple[float, int]:
    distinct, counts = np.unique(values, return_counts=True)
    return float(distinct[counts.argmax()]), int(counts.max())


def _is_distinct(values: np.ndarray) -> bool:
    """Whether as many draws from the range of these numbers would hardly be all different."""
    span = float(values.max() - values.min()) + 1
    count = len(values)
    if span < count or len(np.unique(values)) < count:
        return False
    with np.errstate(divide="ignore"):
        log_chance = float(np.log1p(-np.arange(count) / span).sum())
    # Neighbours of a slow process are alike, and differ without being names of their rows.
    alike = np.corrcoef(values[:-1], values[1:])[0, 1] > 0.5
    _, steady = _most_common(np.diff(values))
    return log_chance < math.log(_CHANCE) and (not alike or steady > 0.8 * count or span == count)


def _parts(columns: Mapping[str, np.ndarray], wrapping: list[str]) -> dict[str, str]:
    """The other parts of a clock of which some columns are parts: months, years, what the names say."""
    found: dict[str, str] = {}
    if not wrapping:
        return found
    known = list(wrapping)
    for name in (other for _ in range(2) for other in columns):
        values = columns[name]
        if name not in known and not np.isnan(values).any() and any(_is_coarser(values, columns[one]) for one in known):
            known.append(name)
            found[name] = PART
    for name, values in columns.items():
        low, high = _PART_NAMES.get(_SYNONYMS.get(name.strip().lower(), name.strip().lower()), (1, 0))
        with np.errstate(invalid="ignore"):
            is_year = bool((values == values[0]).all()) and values[0] % 1 == 0 and 1900 <= values[0] <= 2100
            is_named = bool(((values >= low) & (values <= high) & (values % 1 == 0)).all())
        if name not in known and (is_named or (is_year and len(known) > 1)):
            found[name] = NAMED
    return found


def _is_coarser(values: np.ndarray, finer: np.ndarray) -> bool:
    """Whether whole numbers change by one, or back to the lowest, and only where a finer part of a clock wraps."""
    steps = np.diff(values)
    changes = np.flatnonzero(steps)
    if not len(changes) or not (values[:_NUM_LOOKED_AT] % 1 == 0).all():
        return False
    falls = np.diff(finer) < 0
    goes_on = (steps[changes] == 1) | (values[changes + 1] == values.min())
    return bool(falls[changes].all() and goes_on.all())
