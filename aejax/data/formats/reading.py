"""What was read of a table, as fields and as sentences."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from aejax.data.columns.angles import of_angle
from aejax.data.columns.kinds import CATEGORY, is_angle

if TYPE_CHECKING:
    from aejax.data.formats.tables import Table


class Reading(NamedTuple):
    """How a table was read.

    Attributes:
        files: names of the files, "" for one without.
        format: of the files.
        dialect: encoding, separator, header and decimal mark of a text, by name; empty for other formats.
        units: of columns, by name, where the file says them.
        left_out: why a column is not among the values, by name.
        notes: what was decided or ignored, a sentence each.
        sha256: of the bytes of the files, one after the other; "" for a frame.
    """

    files: tuple[str, ...] = ()
    format: str = ""
    dialect: Mapping[str, str] = MappingProxyType({})
    units: Mapping[str, str] = MappingProxyType({})
    left_out: Mapping[str, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()
    sha256: str = ""

    def sentences(self) -> list[str]:
        """What a user should know, a line each.

        Example:
            >>> Reading(("t.csv",), "CSV", {"separator": "comma"}, left_out={"time": "dates or times"}).sentences()
            ['read as CSV: separator comma', 'left out: time (dates or times)']
        """
        how = ", ".join(f"{name} {value}" for name, value in self.dialect.items())
        several = f"{len(self.files)} files " if len(self.files) > 1 else ""
        lines = [f"read {several}as {self.format}" + (f": {how}" if how else "")] if self.format else []
        by_reason: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            by_reason.setdefault(reason, []).append(name)
        lines += [f"left out: {', '.join(names)} ({reason})" for reason, names in by_reason.items()]
        return [*lines, *self.notes]


def column_summary(values: np.ndarray, levels: Sequence[str] | None = None) -> dict[str, Any]:
    """What a column of numbers or categories holds.

    Args:
        values: (n,), NaN where missing.
        levels: of a column of categories.

    Returns:
        ``kind`` (number, whole number, 0 or 1, angle, constant, category, empty), ``lowest``, ``highest``, ``missing``
        (share of rows); of a category ``levels``, the texts with how many rows each has, the most frequent first.

    Example:
        >>> column_summary(np.array([1.0, 3.0, np.nan, 2.0]))
        {'kind': 'whole number', 'lowest': 1.0, 'highest': 3.0, 'missing': 0.25}
    """
    seen = values[~np.isnan(values)]
    missing = 1 - len(seen) / len(values)
    if levels is not None:
        counts = np.bincount(seen.astype(int), minlength=len(levels))
        in_order = np.argsort(-counts, kind="stable")
        by_level = {levels[index]: int(counts[index]) for index in in_order}
        return {"kind": CATEGORY, "lowest": None, "highest": None, "missing": missing, "levels": by_level}
    if not len(seen):
        return {"kind": "empty", "lowest": None, "highest": None, "missing": missing}
    lowest, highest = float(seen.min()), float(seen.max())
    kind = "number"
    if lowest == highest:
        kind = "constant"
    elif is_angle(seen):
        kind = "angle"
    elif (seen % 1 == 0).all():
        kind = "0 or 1" if set(np.unique(seen)) == {0.0, 1.0} else "whole number"
    return {"kind": kind, "lowest": lowest, "highest": highest, "missing": missing}


def described(table: "Table") -> dict[str, Any]:
    """What was read of a table, as JSON holds it.

    Args:
        table: from ``read_table`` or ``as_table``.

    Returns:
        ``num_rows``, ``has_header``, ``files``, ``format``, ``dialect``, ``columns`` (with name, unit and what
        ``column_summary`` says), ``left_out`` (reasons by name), ``sentences``.
    """
    reading = table.reading
    columns = [
        {"name": name, "unit": reading.units.get(name), **column_summary(values, table.categories.get(name))}
        for name, values in zip(table.columns, table.values.T, strict=True)
    ]
    return {
        "num_rows": len(table.values),
        "has_header": table.has_header,
        "files": list(reading.files),
        "format": reading.format,
        "dialect": dict(reading.dialect),
        "columns": columns,
        "left_out": dict(reading.left_out),
        "sentences": [*reading.sentences(), *(of_angle(each["name"]) for each in columns if each["kind"] == "angle")],
    }
