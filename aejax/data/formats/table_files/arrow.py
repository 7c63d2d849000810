"""Tables of Apache Arrow, which Parquet and Feather files and frames of other libraries are, from and to columns."""

import importlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aejax.artefacts import sizes
from aejax.data.formats.arrow_numbers import as_float64
from aejax.data.formats.options import ReadOptions, categories_told
from aejax.data.formats.table_files.registry import Column, Content, Parts, WholeError
from aejax.data.formats.text.cells import Rules, columns_of_text
from aejax.data.formats.text.marks import WORDS, Marks
from aejax.data.formats.text.sums import without_computed
from aejax.data.formats.text.totals import without_labelled

# A column that seldom changes takes next to nothing in such a file.
_MOST_TIMES = 1000
_BUFFER = 1 << 20


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


def parts_of_arrow(name: str, path: Path, options: ReadOptions, size: int) -> Parts | None:
    """A file of Arrow's, some rows at a time.

    Args:
        name: as in ``read_arrow``.
        path: the file.
        options: as in ``read_arrow``.
        size: bytes of a part, about.

    Returns:
        The Parts; None for a file of the first version of Feather, or one that is damaged.
    """
    import pyarrow as arrow

    try:
        num_rows, schema = (_parquet_layout if name == "parquet" else _feather_layout)(path)
    except (ValueError, OSError):
        return None
    num_columns = max(1, len(schema))
    size_of_all = 8 * num_rows * num_columns
    sizes.check_packed(size_of_all, path.stat().st_size, _MOST_TIMES)
    batches = _parquet_batches if name == "parquet" else _feather_batches

    def contents() -> Iterator[Content]:
        for batch in batches(path, max(1, size // (8 * num_columns))):
            table = arrow.Table.from_batches([batch], schema)
            content = content_of(table, options)
            for column, cells in zip(content.columns, table.columns, strict=True):
                if arrow.types.is_string(_plain(cells).type) and not column.is_clock and not column.problem:
                    raise WholeError(f"column {column.name!r}: found numbers as text, whose marks all rows decide")
            yield content

    return Parts(size_of_all, contents, not options.keep_totals)


def _parquet_layout(path: Path) -> tuple[int, Any]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        return file.metadata.num_rows, file.schema_arrow


def _parquet_batches(path: Path, num_rows: int) -> Iterator[Any]:
    import pyarrow as arrow
    from pyarrow import parquet

    # Without a buffer of its own a reader holds the whole of a row group, which may be the whole of the file.
    with parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
        yield from file.iter_batches(num_rows)
    arrow.default_memory_pool().release_unused()  # which would be held beside the next file's otherwise


def _feather_layout(path: Path) -> tuple[int, Any]:
    import pyarrow as arrow

    with arrow.OSFile(str(path)) as opened:
        file = arrow.ipc.open_file(opened)
        first = file.get_batch(0).num_rows if file.num_record_batches else 0
        return first * file.num_record_batches, file.schema


def _feather_batches(path: Path, num_rows: int) -> Iterator[Any]:
    import pyarrow as arrow

    with arrow.OSFile(str(path)) as opened:
        file = arrow.ipc.open_file(opened)
        for index in range(file.num_record_batches):
            batch = file.get_batch(index)
            for begin in range(0, batch.num_rows, num_rows):
                yield batch.slice(begin, num_rows)


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
    marks = Marks(options.decimal, options.thousands, options.usual_decimal)
    rules = Rules(marks, options.missing, categories=categories_told(options))
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


def whole_groups(blocks: Iterable[Mapping[str, np.ndarray]], num_rows: int) -> Iterator[Any]:
    """Rows that come block by block, as tables of pyarrow of so many rows each.

    Args:
        blocks: columns of some rows, (n,) by name, the same in each block.
        num_rows: of each table but the last.

    Yields:
        The tables; what is null in the rows before is of the type that it has below.

    Example:
        >>> [len(table) for table in whole_groups([{"a": np.zeros(3)}, {"a": np.zeros(4)}], 5)]
        [5, 2]
    """
    import pyarrow as arrow

    held: list[Any] = []
    for block in blocks:
        held.append(table_of(block))
        while sum(map(len, held)) >= num_rows:
            whole = arrow.concat_tables(held, promote_options="default")
            yield whole.slice(0, num_rows).combine_chunks()
            held = [whole.slice(num_rows)]
    if held and (len(held[0]) or len(held) > 1):
        yield arrow.concat_tables(held, promote_options="default").combine_chunks()


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
        return Column(name, as_float64(cells))
    row = next((i for i, cell in enumerate(cells) if cell.is_valid), 0)
    found = repr(cells[row].as_py()) if len(cells) else f"no value of type {cells.type}"
    return Column(name, missing, problem=f"found {found} in row {row + 1}, expected a number")
