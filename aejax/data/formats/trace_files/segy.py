"""SEG-Y, as seismic surveys are kept, by segyio.

What is written is a copy of the file whose samples alone are changed, in their own format; whole numbers are rounded.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from aejax.data.formats.libraries import library
from aejax.data.formats.trace_files.registry import (
    Recording,
    TraceFormat,
    beginning,
    check_lengths,
    register,
)


def _read(path: Path) -> Recording:
    with _open(path) as file:
        interval = _interval(file, path)
        traces = list(file.trace.raw[:])
        return Recording(traces, [1e6 / interval] * len(traces), [str(index) for index in range(len(traces))])


def _write(path: Path, source: Path, traces: Sequence[np.ndarray]) -> None:
    shutil.copyfile(source, path)
    with _open(path, "r+") as file:
        check_lengths(traces, [len(file.samples)] * file.tracecount, source)
        for index, new in enumerate(traces):
            file.trace[index] = _as_type(new, file.dtype)


def _open(path: Path, mode: str = "r") -> Any:
    segyio = library("segyio", "SEG-Y", "seismic")
    endian = _endian(beginning(path)) or "big"
    try:
        return segyio.open(str(path), mode, ignore_geometry=True, endian=endian)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path} is not SEG-Y, or is damaged: {error}") from error


def _interval(file: Any, path: Path) -> float:
    """The sampling interval in microseconds, from the binary header or that of the first trace."""
    interval = float(library("segyio", "SEG-Y", "seismic").tools.dt(file, fallback_dt=0.0))
    if interval <= 0:
        raise ValueError(f"{path}: found no sampling interval in its headers, expected one; set it, in microseconds")
    return interval


def _as_type(trace: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return np.clip(np.rint(trace), limits.min, limits.max).astype(dtype)
    return np.asarray(trace, dtype)


def _endian(begin: bytes) -> Literal["big", "little"] | None:
    """The order of bytes in a SEG-Y file, by the code of its sample format (1 to 16); None where it has none."""
    orders: tuple[Literal["big", "little"], ...] = ("big", "little")
    return next((order for order in orders if 1 <= int.from_bytes(begin[3224:3226], order) <= 16), None)


# By the code of its samples many a file might be SEG-Y: the formats with a mark of their own are asked before it.
register(TraceFormat("SEG-Y", (".sgy", ".segy"), lambda first: _endian(first) is not None, _read, _write))
