"""Tables of Apache Arrow, which Parquet and Feather files hold, from and to columns."""

import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from aejax.data.formats.table_files.registry import Column


def library(name: str) -> tuple[ModuleType, ModuleType]:
    """Pyarrow, and the part of it that reads a format, imported where they are needed.

    Args:
        name: of the part, ``"parquet"`` or ``"feather"``.

    Returns:
        Both modules.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
    """
    try:
        import pyarrow

        return pyarrow, importlib.import_module(f"pyarrow.{name}")
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f'{name.capitalize()} needs pyarrow: pip install "aejax[parquet]"') from None


def read_columns(name: str, data: bytes) -> list[Column]:
    """The columns of a file: numbers and booleans, null is missing; dates are a clock; anything else is a problem.

    Args:
        name: of the part of pyarrow that reads it.
        data: the whole file.

    Returns:
        The columns.

    Raises:
        ValueError: the file is damaged.
        ModuleNotFoundError: pyarrow is not installed.
    """
    arrow, part = library(name)
    try:
        table = part.read_table(arrow.BufferReader(data))
    except (ValueError, OSError) as error:
        raise ValueError(f"found a damaged {name.capitalize()} file ({error}), expected a whole one") from error
    columns = []
    for name, cells in zip(table.column_names, table.columns, strict=True):
        missing = np.full(len(cells), np.nan)
        kind = cells.type
        if arrow.types.is_temporal(kind):
            columns.append(Column(name, missing, is_clock=True, cells=np.array(cells.to_pylist(), object)))
        elif any(is_kind(kind) for is_kind in (arrow.types.is_boolean, *_arrow_numbers(arrow))):
            # A count above 2^53 loses its last digits: that is what float64 holds.
            numbers = cells.cast(arrow.float64(), safe=False)
            columns.append(Column(name, np.array(numbers.to_numpy(), np.float64)))
        else:
            row = next((i for i, cell in enumerate(cells) if cell.is_valid), 0)
            found = repr(cells[row].as_py()) if len(cells) else f"no value of type {kind}"
            columns.append(Column(name, missing, problem=f"found {found} in row {row + 1}, expected a number"))
    return columns


def table_of(columns: Mapping[str, np.ndarray]) -> Any:
    """A table of pyarrow; NaN becomes null.

    Args:
        columns: (n,) by name.

    Returns:
        The table.
    """
    import pyarrow as arrow

    return arrow.table({name: arrow.array(values, from_pandas=True) for name, values in columns.items()})


def _arrow_numbers(arrow: ModuleType) -> tuple[Callable[[object], bool], ...]:
    return arrow.types.is_integer, arrow.types.is_floating, arrow.types.is_decimal, arrow.types.is_null
