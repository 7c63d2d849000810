"""Tables of Apache Arrow, which Parquet and Feather files and frames of other libraries are, from and to columns."""

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from aejax.artefacts import sizes
from aejax.data.formats.options import ReadOptions
from aejax.data.formats.table_files.registry import Column, Content
from aejax.data.formats.text.cells import Rules, columns_of_text
from aejax.data.formats.text.marks import WORDS, Marks
from aejax.data.formats.text.sums import without_computed
from aejax.data.formats.text.totals import without_labelled

# A column that seldom changes takes next to nothing in such a file.
_MOST_TIMES = 1000


def read_arrow(name: str, data: bytes, options: ReadOptions) -> Content:
    """What a file of Arrow's holds.

    Args:
        name: of the part of pyarrow that reads it, ``"parquet"`` or ``"feather"``.
        data: the whole file.
        options: how text in it is read.

    Returns:
        The Content.

    Raises:
        ValueError: the file is damaged.
    """
    import pyarrow as arrow

    part = importlib.import_module(f"pyarrow.{name}")
    try:
        if name == "parquet":
            _check_rows(arrow.BufferReader(data), len(data))
        table = part.read_table(arrow.BufferReader(data))
    except sizes.TooLargeError:
        raise
    except (ValueError, OSError) as error:
        raise ValueError(f"found a damaged {name.capitalize()} file ({error}), expected a whole one") from error
    sizes.check_packed(8 * table.num_rows * table.num_columns, len(data), _MOST_TIMES)
    return content_of(table, options)


def _check_rows(file: Any, packed: int) -> None:
    """Refuses a Parquet file by the sizes in its footer."""
    from pyarrow import parquet

    found = parquet.read_metadata(file)
    size = sum(found.row_group(index).total_byte_size for index in range(found.num_row_groups))
    sizes.check_packed(max(8 * found.num_rows * found.num_columns, size), packed, _MOST_TIMES)


def content_of(table: Any, options: ReadOptions) -> Content:
    """The columns of a table: numbers and booleans, null is missing; dates are a clock; text is read as in CSV.

    Args:
        table: of pyarrow.
        options: how text in it is read.

    Returns:
        The Content.

    Example:
        >>> import pyarrow as arrow
        >>> content = content_of(arrow.table({"T": [1, None], "p": ["1.5", "2"]}), ReadOptions())
        >>> [column.values.tolist() for column in content.columns]
        [[1.0, nan], [1.5, 2.0]]
    """
    import pyarrow as arrow

    cells, labelled = without_labelled([_plain(column) for column in table.columns], options)
    texts = [j for j, column in enumerate(cells) if arrow.types.is_string(column.type)]
    rules = Rules(Marks(options.decimal, options.thousands, options.usual_decimal), options.missing)
    read = columns_of_text([table.column_names[j] for j in texts], [cells[j] for j in texts], rules)
    found = dict(zip(texts, read.columns, strict=True))
    columns = [
        found[j] if j in found else _column(name, column)
        for j, (name, column) in enumerate(zip(table.column_names, cells, strict=True))
    ]
    indices = (table.schema.pandas_metadata or {}).get("index_columns", [])
    columns = [column._replace(is_index=column.name in indices) for column in columns]
    columns, computed = without_computed(columns, options)
    dialect = {"decimal mark": WORDS[read.decimal]} if read.decimal else {}
    return Content(columns, True, dialect, (*read.notes, *labelled, *computed))


def table_of(columns: Mapping[str, np.ndarray]) -> Any:
    """A table of pyarrow; NaN becomes null.

    Args:
        columns: (n,) by name.

    Returns:
        The table.
    """
    import pyarrow as arrow

    return arrow.table({name: arrow.array(values, from_pandas=True) for name, values in columns.items()})


def _plain(column: Any) -> Any:
    """A column of categories as its values, and text of any kind as strings."""
    import pyarrow as arrow

    if arrow.types.is_dictionary(column.type):
        parts = [
            arrow.DictionaryArray.from_arrays(part.indices, _plain(part.dictionary)).dictionary_decode()
            for part in column.chunks
        ]
        column = arrow.chunked_array(parts) if parts else column.cast(column.type.value_type)
    if arrow.types.is_large_string(column.type) or arrow.types.is_string_view(column.type):
        column = column.cast(arrow.string())
    return column


def _column(name: str, cells: Any) -> Column:
    import pyarrow as arrow

    missing = np.full(len(cells), np.nan)
    kinds = arrow.types
    if kinds.is_temporal(cells.type):
        return Column(name, missing, is_clock=True, cells=np.array(cells.to_pylist(), object))
    are_numbers = (kinds.is_boolean, kinds.is_integer, kinds.is_floating, kinds.is_decimal, kinds.is_null)
    if any(is_kind(cells.type) for is_kind in are_numbers):
        # A count above 2^53 loses its last digits: that is what float64 holds.
        return Column(name, np.array(cells.cast(arrow.float64(), safe=False).to_numpy(), np.float64))
    row = next((i for i, cell in enumerate(cells) if cell.is_valid), 0)
    found = repr(cells[row].as_py()) if len(cells) else f"no value of type {cells.type}"
    return Column(name, missing, problem=f"found {found} in row {row + 1}, expected a number")
