"""NumPy's arrays: (length,) or (n, length), without a sampling rate."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aejax.artefacts import sizes
from aejax.data.formats.trace_files.registry import Recording, TraceFormat, check_lengths, is_real, register


def _read(path: Path) -> Recording:
    traces = list(np.atleast_2d(_read_array(path)))
    return Recording(traces, [None] * len(traces), [str(index) for index in range(len(traces))])


def _write(path: Path, source: Path, traces: Sequence[np.ndarray]) -> None:
    array = _read_array(source)
    check_lengths(traces, [array.shape[-1]] * len(np.atleast_2d(array)), source)
    with path.open("wb") as opened:  # by its name NumPy would add an ending
        np.save(opened, np.stack(traces).reshape(array.shape))


def _read_array(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            sizes.header(file, path.stat().st_size)
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: found no array of numbers, expected an NPY file, as numpy.save writes it") from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path}: found an NPZ file, expected an NPY file, as numpy.save writes it")
    if array.ndim not in (1, 2) or array.size == 0 or not is_real(array):
        raise ValueError(
            f"{path}: found {array.dtype} of shape {array.shape}, expected real numbers, (n, samples) or (samples,), "
            "at least one"
        )
    return array


register(TraceFormat("NPY", (".npy",), lambda first: first.startswith(b"\x93NUMPY"), _read, _write))
