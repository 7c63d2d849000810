"""Several files of one table as one."""

from collections.abc import Sequence

import numpy as np

from aejax.data.formats.table_files.registry import Column, Content, shown
from aejax.data.formats.texts import texts_of_numbers


def joined(parts: Sequence[tuple[str, Content]]) -> Content:
    """The rows of all files, one after the other; their columns are matched by name.

    Args:
        parts: name and content of each file.

    Returns:
        The Content, with the dialect of the first one.

    Raises:
        ValueError: files whose columns differ; the message names the file and the column.

    Example:
        >>> day = [Content([Column("T", np.array([value]))], True) for value in (1.0, 2.0)]
        >>> joined([("a.csv", day[0]), ("b.csv", day[1])]).columns[0].values
        array([1., 2.])
    """
    first_name, first = parts[0]
    if len(parts) == 1:
        return first
    names = [column.name for column in first.columns]
    for name, content in parts[1:]:
        others = [column.name for column in content.columns]
        if content.has_header != first.has_header or (not first.has_header and len(others) != len(names)):
            raise ValueError(
                f"{name}: found {len(others)} columns{'' if content.has_header else ' without a header'}, expected "
                f"{len(names)}{'' if first.has_header else ' without a header'} as in {first_name}"
            )
        lacking = [column for column in names if column not in others]
        added = [column for column in others if column not in names]
        if lacking or added:
            what = f"no column {shown(lacking)}" if lacking else f"a column {shown(added)} more"
            raise ValueError(
                f"{name}: found {what}, expected the columns of {first_name}: {shown(names)}; '*.csv' in the place "
                "of the folder takes some of its files only"
            )
        if len(set(names)) == len(names) and set(kinds := _kinds(content)) == set(_kinds(first)):
            for column, kind in _kinds(first).items():
                if kinds[column] != kind:
                    raise ValueError(
                        f"{name}: column {column!r}: found {kinds[column]}, expected {kind} as in {first_name}"
                    )
        for column, unit in _units(content).items():
            if _units(first).get(column, unit) != unit:
                raise ValueError(
                    f"{name}: column {column!r}: found the unit {unit!r}, expected {_units(first)[column]!r} as in "
                    f"{first_name}; convert one of them, or read the files apart"
                )
    columns = [_end_to_end([_of(content, j, first) for _, content in parts], parts) for j in range(len(names))]
    several = [f"{name}: {note}" for name, content in parts for note in content.notes if note not in first.notes]
    return first._replace(columns=columns, notes=(*first.notes, *several))


def _kinds(content: Content) -> dict[str, str]:
    """Dates or no dates, of columns that are not empty."""
    return {
        column.name: "dates or times" if column.is_clock else "no dates or times"
        for column in content.columns
        if column.is_clock or column.problem or not np.isnan(column.values).all()
    }


def _units(content: Content) -> dict[str, str]:
    return {column.name: column.unit for column in content.columns if column.unit}


def _of(content: Content, place: int, first: Content) -> Column:
    """The column of a file that is in this place in the first one."""
    names = [column.name for column in content.columns]
    name = first.columns[place].name
    if content.has_header and len(set(names)) == len(names):
        return content.columns[names.index(name)]
    return content.columns[place]


def _end_to_end(columns: list[Column], parts: Sequence[tuple[str, Content]]) -> Column:
    problems = [f"{name}: {column.problem}" for column, (name, _) in zip(columns, parts, strict=True) if column.problem]
    is_clock = any(column.is_clock for column in columns)
    cells = [texts_of_numbers(column.values) if column.cells is None else column.cells for column in columns]
    return columns[0]._replace(
        values=np.concatenate([column.values for column in columns]),
        is_clock=is_clock,
        cells=np.concatenate(cells) if any(column.cells is not None for column in columns) else None,
        problem=problems[0] if problems else None,
        words=tuple(sorted({word for column in columns for word in column.words})),
    )
