"""Which columns of a file are modelled, and why the others are not."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from aejax.data.columns.kinds import CATEGORY
from aejax.data.formats import clocks
from aejax.data.formats.contents import nearest
from aejax.data.formats.options import ReadOptions, kinds_told
from aejax.data.formats.table_files.registry import Column, Content, shown
from aejax.data.formats.text.cells import offer
from aejax.data.formats.texts import as_categories

_INDEX_NAMES = {"Unnamed: 0", "__index_level_0__"}
_DATES = "dates or times"
_INDEX = "the index of the frame"
_NOTHING = "it has neither a name nor a cell"
_TEXT = "no numbers, and not needed"
_LONGEST = 40  # of a text that is shown


class Chosen(NamedTuple):
    """The columns of a file.

    Attributes:
        kept: to model.
        reasons: why another one is left out, by name.
        labels: cells of times, counters and row numbers, by name.
        notes: what else a user should know, a sentence each.
    """

    kept: list[Column]
    reasons: dict[str, str]
    labels: Mapping[str, np.ndarray]
    notes: tuple[str, ...]


def modelled(
    content: Content, options: ReadOptions, wanted: Sequence[str] | None = None, drop: Sequence[str] = ()
) -> Chosen:
    """Takes the columns of numbers; times, counters, ids and row numbers stand beside them.

    Args:
        content: of a file.
        options: how it is read.
        wanted: training columns, which are kept whatever they look like; other columns that are no numbers are left
            out.
        drop: names to leave out, however many columns have them.

    Returns:
        The Chosen.

    Raises:
        ValueError: two columns of one name, an option that names no column, a column to model that is no numbers, or
            no rows or columns.
    """
    columns = [column._replace(name=column.name or f"column_{i}") for i, column in enumerate(content.columns, 1)]
    names = [column.name for column in columns]
    _check_names(names, options, wanted, drop)
    columns, renamed = _distinct(columns, options, drop)
    behaviour = _behaviour(columns, content.has_header, options, wanted)
    told = kinds_told(options)
    kept, labels = [], {}
    reasons: dict[str, str] = {}
    for given in columns:
        is_wanted = wanted is not None and given.name in wanted
        column = as_categories(given, options, wanted is not None) or given
        if column.name == options.time_column:
            reasons[column.name] = "named as the time column"
            labels[column.name] = _label(column)
        elif column.is_clock and not is_wanted:
            reasons[column.name] = _DATES
            labels[column.name] = _label(column)
        elif column.name in behaviour:
            reasons[column.name] = behaviour[column.name]
            labels[column.name] = _label(column)
        elif _is_one_text(column) and not is_wanted and column.name not in told:
            reasons[column.name] = f"always {_short(column)}"
        elif (column.problem or _infinity(column)) and wanted and not is_wanted:
            reasons[column.name] = _TEXT
        else:
            kept.append(_checked(column, columns, is_wanted))
    if not kept:
        raise ValueError(f"found no column of numbers, expected at least one; left out: {shown([*reasons, *drop])}")
    if not len(kept[0].values):
        raise ValueError(f"found no rows in the columns {shown(names)}, expected at least one")
    hint = tuple(name for name in behaviour if name in reasons and wanted is None)
    notes = (f"to model one of these all the same: --keep-columns {' '.join(map(shlex.quote, hint))}",) if hint else ()
    return Chosen(kept, reasons, labels, (*renamed, *notes))


def _check_names(names: list[str], options: ReadOptions, wanted: Sequence[str] | None, drop: Sequence[str]) -> None:
    if wanted is not None:  # what was told of the training table need not be in a new one
        return
    told = {"drop_columns": drop, "keep_columns": options.keep_columns, "kinds": tuple(kinds_told(options))}
    told["time_column"] = () if options.time_column is None else (options.time_column,)
    for option, asked in told.items():
        for name in asked:
            if name not in names:
                raise ValueError(f"{option}: found {name!r}{nearest(name, names)}, expected some of {shown(names)}")


def _distinct(columns: list[Column], options: ReadOptions, drop: Sequence[str]) -> tuple[list[Column], list[str]]:
    """The columns that are not dropped, each with a name of its own; and what was renamed."""
    columns = [column for column in columns if column.name not in drop]
    names = [column.name for column in columns]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if not twice:
        return columns, []
    if not options.rename_duplicates:
        places = [i for i, name in enumerate(names, 1) if name == twice[0]]
        raise ValueError(
            f"column {twice[0]!r}: found in places {places}, expected once; leave all of them out with --drop-columns "
            f"{shlex.quote(twice[0])} (drop_columns=[{twice[0]!r}]), or number them with --rename-duplicates "
            "(ReadOptions(rename_duplicates=True))"
        )
    seen: Counter[str] = Counter()
    renamed = []
    for column in columns:
        seen[column.name] += 1
        number, name = seen[column.name], column.name
        while number > 1 and (name == column.name or name in names):
            name, number = f"{column.name}_{number}", number + 1
        names.append(name)
        renamed.append(column._replace(name=name))
    return renamed, [f"columns of one name are numbered from the second on: {shown(twice)}"]


def _behaviour(
    columns: list[Column], has_header: bool, options: ReadOptions, wanted: Sequence[str] | None
) -> dict[str, str]:
    """Which columns of numbers are clocks, counters, ids or row numbers, and why they are taken for one."""
    kept, told = {*options.keep_columns, *(wanted or ())}, kinds_told(options)
    numbers = {
        column.name: column.values
        for column in columns
        if not column.is_clock and not column.problem and len(column.values) and column.name not in told
    }
    found = clocks.clocks({name: values for name, values in numbers.items() if not np.isinf(values).any()})
    nameless = {f"column_{place}" for place in range(1, len(columns) + 1)} if has_header else set()
    for column in columns:
        if column.is_index and not column.is_clock:
            found.setdefault(column.name, _INDEX)
        elif column.name in nameless and _is_empty(column):
            found[column.name] = _NOTHING
    # "column_1" in first place is what a column without a name is called.
    first = columns[0].name if columns and has_header else ""
    for name, values in numbers.items():
        is_index = name in _INDEX_NAMES or (name == first == "column_1")
        if is_index and has_header and clocks.is_row_number(values):
            found[name] = clocks.NUMBERED
    return {name: reason for name, reason in found.items() if name not in kept}


def _label(column: Column) -> np.ndarray:
    return column.values if column.cells is None else column.cells


def _is_one_text(column: Column) -> bool:
    return column.levels is not None and len(column.levels) == 1 and not np.isnan(column.values).any()


def _short(column: Column) -> str:
    (text,) = column.levels or ("",)
    return repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")


def _is_empty(column: Column) -> bool:
    return column.cells is None and bool(np.isnan(column.values).all())


def _infinity(column: Column) -> str | None:
    infinite = np.isinf(column.values)
    if not infinite.any():
        return None
    row = int(np.argmax(infinite))
    return f"found {column.values[row]} in row {row + 1}, expected finite numbers"


def _checked(column: Column, columns: Sequence[Column], is_wanted: bool) -> Column:
    """The column, once it is sure that it is numbers."""
    problem = column.problem or _infinity(column)
    if column.is_clock and not problem:
        problem = "found dates or times, expected numbers as in training"
    if not problem:
        return column
    if "--decimal" in problem:  # it says what to do
        raise ValueError(f"column {column.name!r}: {problem}")
    remedies = []
    if column.words:
        words = tuple(sorted({word for other in columns for word in other.words}))
        stand = "this word stands" if len(words) == 1 else "these words stand"
        remedies.append(f"if {stand} for a missing value, say so with {offer(words)}")
    else:
        remedies.append("empty the cell if it means a missing value")
        if len(columns) == 1:
            remedies.append("name what stands between the cells with --separator (ReadOptions(separator=...))")
        elif clocks.is_time(column.name):
            name = column.name
            remedies.append(f"say that it is a time with --time-column {shlex.quote(name)} (time_column={name!r})")
    if column.cells is not None and not is_wanted and not column.is_clock:
        told = f"{column.name}={CATEGORY}"
        remedies.append(f"if its texts are categories, say so with --kinds {shlex.quote(told)} (kinds=({told!r},))")
    # A column that was asked for cannot be left out.
    if not is_wanted:
        name = column.name
        remedies.append(f"or leave the column out with --drop-columns {shlex.quote(name)} (drop_columns=[{name!r}])")
    raise ValueError(f"column {column.name!r}: {problem}; {', '.join(remedies)}")
