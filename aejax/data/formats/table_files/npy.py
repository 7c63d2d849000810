"""NumPy's arrays: an NPY file holds one without names, an NPZ file several, and names of columns among them."""

import io
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from aejax.artefacts import sizes
from aejax.data.formats.options import ReadOptions
from aejax.data.formats.table_files.groups import npy_groups
from aejax.data.formats.table_files.registry import Column, Content, Parts, TableFormat, register


def _read_npy(data: bytes, options: ReadOptions) -> Content:
    del options  # numbers are numbers
    sizes.header(io.BytesIO(data), len(data))
    return _columns(_array(partial(np.load, io.BytesIO(data), allow_pickle=False)), None)


def _read_npz(data: bytes, options: ReadOptions) -> Content:
    del options
    try:
        arrays = np.load(io.BytesIO(data), allow_pickle=False)
    except zipfile.BadZipFile as error:
        raise ValueError(f"found a damaged NPZ file: {error}") from None
    with arrays:
        shapes = {name: shape for name, (shape, _) in sizes.headers(arrays.zip, len(data)).items()}
        names = [name for name in arrays.files if name != "columns"]
        chosen = [name for name in ("x", "X", "data") if name in names][:1]
        if not chosen:
            chosen = [name for name in names if len(shapes.get(name, ())) == 2] if len(names) > 1 else names
            if len(chosen) != 1:
                listed = ", ".join(f"{name} {shapes.get(name, '')}" for name in names) or "none"
                raise ValueError(
                    f"found the arrays {listed}; expected one of two dimensions, or one named x, X or data"
                )
        columns = None
        if "columns" in arrays.files:
            columns = [name.decode() if isinstance(name, bytes) else str(name) for name in arrays["columns"]]
        return _columns(_array(partial(arrays.get, chosen[0])), columns)


def _array(read: Callable[[], np.ndarray]) -> np.ndarray:
    try:
        array = read()
    except ValueError as error:
        raise ValueError(
            f"cannot read the array ({error}); save it as numbers: np.save(path, x.astype(float))"
        ) from None
    if array.dtype.kind not in "biuf" or array.ndim not in (1, 2):
        raise ValueError(f"found an array {array.shape} of {array.dtype}, expected numbers of shape (rows, columns)")
    return array


def _columns(array: np.ndarray, names: Sequence[str] | None) -> Content:
    values = array.reshape(len(array), -1).astype(np.float64, copy=False) if array.size else array.reshape(0, 1)
    if names is not None and len(names) != values.shape[1]:
        raise ValueError(f"columns: found {len(names)} names, expected {values.shape[1]} as in the array {array.shape}")
    columns = [Column(*pair) for pair in zip(names or [""] * values.shape[1], values.T, strict=True)]
    return Content(columns, names is not None)


def _parts(path: Path, options: ReadOptions, size: int) -> Parts | None:
    del options
    with path.open("rb") as file:
        shape, dtype, is_by_columns = sizes.layout(file, path.stat().st_size)
        begin = file.tell()
    if dtype.kind not in "biuf" or len(shape) not in (1, 2) or (is_by_columns and len(shape) == 2):
        return None
    num_columns = math.prod(shape[1:])
    if not num_columns:
        return None

    def contents() -> Iterator[Content]:
        num_rows = max(1, size // (8 * num_columns))
        # Read, not mapped: pages of a map count as memory of the process.
        with path.open("rb") as file:
            file.seek(begin)
            for first in range(0, shape[0], num_rows):
                count = min(num_rows, shape[0] - first) * num_columns
                read = np.fromfile(file, dtype, count)
                if len(read) < count:
                    raise ValueError(f"found {first * num_columns + len(read)} numbers, expected {math.prod(shape)}")
                yield _columns(read.reshape(-1, num_columns), None)

    return Parts(8 * math.prod(shape), contents)


def _write_npy(file: BinaryIO, columns: Mapping[str, np.ndarray]) -> None:
    np.save(file, _numbers(columns), allow_pickle=False)


def _write_npz(file: BinaryIO, columns: Mapping[str, np.ndarray]) -> None:
    np.savez(file, x=_numbers(columns), columns=np.array(list(columns)))


def _numbers(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    for name, column in columns.items():
        if column.dtype.kind not in "biuf":
            raise ValueError(
                f"column {name!r}: found {column.dtype}, expected numbers; write .csv or .parquet for text"
            )
    return np.column_stack(list(columns.values()))


register(TableFormat("NPY", (".npy",), (b"\x93NUMPY",), _read_npy, _write_npy, parts=_parts, groups=npy_groups))
register(TableFormat("NPZ", (".npz",), (b"PK\x03\x04",), _read_npz, _write_npz, members=".npy"))
