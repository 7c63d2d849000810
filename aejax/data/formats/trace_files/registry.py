"""What a format of traces is, the formats that there are, and what they share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Recording(NamedTuple):
    """The traces of a file.

    Attributes:
        traces: arrays, one for each trace, which may differ in length.
        sampling_rates: of each, in samples a second; None for NPY, which does not say.
        names: of each.
    """

    traces: list[np.ndarray]
    sampling_rates: list[float | None]
    names: list[str]


class TraceFormat(NamedTuple):
    """A format of traces.

    Attributes:
        name: what people call it.
        endings: of the names of its files, lower case with the dot.
        begins: (first bytes) -> whether they are those of such a file, for files with other names.
        read: (path) -> Recording. Raises ValueError for a file that is not of the format, or damaged.
        write: (path, source, traces) -> None. Writes the traces in the place of those of the source, with its headers;
            ``check_lengths`` refuses those that do not fit.
    """

    name: str
    endings: tuple[str, ...]
    begins: Callable[[bytes], bool]
    read: Callable[[Path], Recording]
    write: Callable[[Path, Path, Sequence[np.ndarray]], None]


TRACE_FORMATS: list[TraceFormat] = []


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


def is_real(array: np.ndarray) -> bool:
    """Whether an array holds real numbers."""
    return np.issubdtype(array.dtype, np.number) and not np.iscomplexobj(array)
