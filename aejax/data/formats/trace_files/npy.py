"""NumPy's arrays: (length,), (n, length) or (n, components, length), without a sampling rate."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aejax.artefacts import sizes
from aejax.data.formats.trace_files.registry import (
    Recording,
    TraceFormat,
    check_axes,
    check_lengths,
    held_as,
    is_real,
    register,
)


def _read(path: Path) -> Recording:
    array = _read_array(path)
    traces = list(array.reshape(-1, array.shape[-1]))
    return Recording(traces, [None] * len(traces), [str(index) for index in range(len(traces))])


def _write(path: Path, source: Path, traces: Sequence[np.ndarray]) -> str:
    array = _read_array(source)
    check_lengths(traces, [array.shape[-1]] * (array.size // array.shape[-1]), source)
    is_whole = np.issubdtype(array.dtype, np.integer) or array.dtype == np.float16
    candidates: list[np.dtype] = [np.dtype(np.float32), np.dtype(np.float64)] if is_whole else [array.dtype]
    held = next(filter(None, (held_as(dtype, traces) for dtype in candidates)), list(traces))
    with path.open("wb") as opened:  # by its name NumPy would add an ending
        np.save(opened, np.stack(held).reshape(array.shape))
    return f"samples are {held[0].dtype} instead of {array.dtype}" if held[0].dtype != array.dtype else ""


def _read_array(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            sizes.header(file, path.stat().st_size)
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: found no array of numbers, expected an NPY file, as numpy.save writes it") from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path}: found an NPZ file, expected an NPY file, as numpy.save writes it")
    if array.ndim not in (1, 2, 3) or array.size == 0 or not is_real(array):
        raise ValueError(
            f"{path}: found {array.dtype} of shape {array.shape}, expected real numbers, (samples,), (n, samples) or "
            "(n, components, samples), at least one"
        )
    check_axes(array, str(path))
    return array


register(TraceFormat("NPY", (".npy",), lambda first: first.startswith(b"\x93NUMPY"), _read, _write))
