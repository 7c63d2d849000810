"""MiniSEED, as seismometers record, by obspy.

A channel with gaps is a trace for each piece without one; channels of text (LOG) are passed over. What is written keeps
network, station, location, channel, times, rate and quality, and channels of text as they are; its samples are 32-bit
floats, 64-bit where they were.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aejax.data.formats.libraries import library
from aejax.data.formats.trace_files.registry import (
    Recording,
    TraceFormat,
    beginning,
    check_lengths,
    register,
)

# A sequence number, the kind of the record or the quality of its data, a space.
_RECORD = re.compile(rb"[\d \0]{6}[VASTDRQM][ \0]")


def _begins(first: bytes) -> bool:
    return _RECORD.match(first) is not None


def _read(path: Path) -> Recording:
    of_numbers = _of_numbers(_read_stream(path), path)
    return Recording(
        [np.asarray(trace.data) for trace in of_numbers],
        [float(trace.stats.sampling_rate) for trace in of_numbers],
        [trace.id for trace in of_numbers],
    )


def _write(path: Path, source: Path, traces: Sequence[np.ndarray]) -> None:
    stream = _read_stream(source)
    of_numbers = _of_numbers(stream, source)
    check_lengths(traces, [len(trace) for trace in of_numbers], source)
    for old, new in zip(of_numbers, traces, strict=True):
        is_double = old.data.dtype == np.float64
        old.data = np.asarray(new, np.float64 if is_double else np.float32)
        old.stats.mseed.pop("encoding", None)  # of the samples as they were
    stream.write(str(path), format="MSEED")


def _of_numbers(stream: Any, path: Path) -> list[Any]:
    """The traces of a stream that are no text, as those of LOG channels are."""
    of_numbers = [trace for trace in stream if np.issubdtype(trace.data.dtype, np.number)]
    if not of_numbers:
        raise ValueError(f"{path}: found {', '.join(trace.id for trace in stream)}, text alone; expected numbers")
    return of_numbers


def _read_stream(path: Path) -> Any:
    obspy = library("obspy", "miniSEED", "seismic")
    try:
        return obspy.read(str(path), format="MSEED")
    except (TypeError, ValueError, obspy.core.util.obspy_types.ObsPyException) as error:
        if _begins(beginning(path)):
            raise ValueError(f"{path}: found a damaged miniSEED file ({error}), expected a whole one") from error
        raise ValueError(
            f"{path} is not miniSEED, as its name says: found no record of that format at its beginning; give the "
            "file that was meant, or the name that its format has"
        ) from error


register(TraceFormat("miniSEED", (".mseed", ".miniseed", ".ms"), _begins, _read, _write))
