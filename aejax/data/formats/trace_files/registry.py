"""What a format of traces is, the formats that there are, and what they share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aejax.data.gaps import between, find_gaps


class Recording(NamedTuple):
    """The traces of a file.

    Attributes:
        traces: arrays, one for each trace, which may differ in length.
        sampling_rates: of each, in samples a second; None where it is not known, as in NPY, which does not say.
        names: of each.
        rate_problem: why a file whose format has rates gives none; empty where it does.
    """

    traces: list[np.ndarray]
    sampling_rates: list[float | None]
    names: list[str]
    rate_problem: str = ""


class TraceFormat(NamedTuple):
    """A format of traces.

    Attributes:
        name: what people call it.
        endings: of the names of its files, lower case with the dot.
        begins: (first bytes) -> whether they are those of such a file, for files with other names.
        read: (path) -> Recording. Raises ValueError for a file that is not of the format, or damaged.
        write: (path, source, traces) -> what had to be changed, empty where nothing was. Writes the traces in the place
            of those of the source, with its headers, in its own type of samples where that holds them (``held_as``);
            ``check_lengths`` refuses those that do not fit.
    """

    name: str
    endings: tuple[str, ...]
    begins: Callable[[bytes], bool]
    read: Callable[[Path], Recording]
    write: Callable[[Path, Path, Sequence[np.ndarray]], str]


TRACE_FORMATS: list[TraceFormat] = []

# The energy that rounding may have, of that of the trace.
_ROUNDING = 1e-4
# Traces of fewer samples are shorter than any window: they are channels.
_FEWEST = 64


def register(trace_format: TraceFormat) -> None:
    """Makes a format known to ``read_traces`` and ``write_traces``."""
    TRACE_FORMATS.append(trace_format)


def by_ending() -> dict[str, TraceFormat]:
    """The formats by the endings of their files.

    Example:
        >>> by_ending()[".sgy"].name
        'SEG-Y'
    """
    return {ending: one for one in TRACE_FORMATS for ending in one.endings}


def format_that_begins(first: bytes) -> TraceFormat | None:
    """The format whose files begin like this one, asked in the order of names; None where there is none."""
    return next((one for one in TRACE_FORMATS if one.begins(first)), None)


def beginning(path: Path) -> bytes:
    """As much as the headers of a SEG-Y file take."""
    with path.open("rb") as file:
        return file.read(3600)


def check_lengths(traces: Sequence[np.ndarray], expected: list[int], source: Path) -> None:
    """Refuses traces that are not as many and as long as those of a file.

    Args:
        traces: what is to be written.
        expected: the lengths in the file.
        source: the file.

    Raises:
        ValueError: they differ.
    """
    if [len(trace) for trace in traces] != expected:
        raise ValueError(f"traces: found {len(traces)} traces, expected {len(expected)} of the lengths in {source}")


def held_as(dtype: np.dtype | type, traces: Sequence[np.ndarray]) -> list[np.ndarray] | None:
    """Traces as numbers of a type, if it holds them: within its range, and 40 dB above their rounding.

    Args:
        dtype: the type; whole numbers are rounded to.
        traces: arrays; gaps do not count for how large the rounding may be, but have to stay.

    Returns:
        The traces, or None where one does not fit.

    Example:
        >>> counts = [np.array([-900.2, 31.0, 4.1, 250.9])]
        >>> held_as(np.int16, counts)[0].tolist(), held_as(np.uint16, counts), held_as(np.int8, counts)
        ([-900, 31, 4, 251], None, None)
    """
    dtype = np.dtype(dtype)
    is_whole = np.issubdtype(dtype, np.integer)
    limits = np.iinfo(dtype) if is_whole else np.finfo(dtype)
    held = []
    for trace in traces:
        exact = np.asarray(trace, np.float64)
        rounded = np.rint(exact) if is_whole else exact
        finite = rounded[np.isfinite(rounded)]
        if is_whole and len(finite) < len(exact):
            return None
        if len(finite) and not limits.min <= finite.min() <= finite.max() <= limits.max:
            return None
        new = rounded.astype(dtype)
        error = np.where(np.isfinite(exact), new.astype(np.float64) - exact, 0)
        signal = np.concatenate([exact[begin:end] for begin, end in between(find_gaps(exact), len(exact))] or [exact])
        if np.sum(error**2) > _ROUNDING * np.sum((signal - signal.mean()) ** 2):
            return None
        held.append(new)
    return held


def is_real(array: np.ndarray) -> bool:
    """Whether an array holds real numbers."""
    return np.issubdtype(array.dtype, np.number) and not np.iscomplexobj(array)


def check_axes(array: np.ndarray, name: str) -> None:
    """Refuses (samples, channels) where (channels, samples) is expected.

    Args:
        array: (..., traces, samples).
        name: of the array, for the message.

    Raises:
        ValueError: more traces than samples, and few samples or such as jump from one to the next while traces do not.
    """
    if array.ndim < 2 or array.shape[-2] <= array.shape[-1]:
        return
    num_traces, num_samples = array.shape[-2:]
    if num_samples < _FEWEST or _roughness(array, -1) > 2 * _roughness(array, -2):
        raise ValueError(
            f"{name}: found shape {array.shape}, {num_traces} traces of {num_samples} samples, which looks like "
            "(samples, channels), expected the samples on the last axis; turn it round, array.swapaxes(-1, -2)"
        )


def _roughness(array: np.ndarray, axis: int) -> float:
    """How much neighbours along an axis differ, of how much all do: 2 for white noise."""
    part = np.asarray(array[..., :2000, :2000], float)
    part = part[np.isfinite(part).all(axis=-1)] if part.ndim < 3 else part
    spread = part.var()
    return float(np.mean(np.square(np.diff(part, axis=axis))) / spread) if spread > 0 else 0.0
