"""MiniSEED, as seismometers record, by obspy.

A channel with gaps is a trace for each piece without one; channels of text (LOG) are passed over. What is written keeps
network, station, location, channel, times, rate, the quality of data and of timing, flags, and channels of text as they
are. New samples are 32-bit floats, 64-bit where they were or where the result needs it; a trace that is as it was keeps
its own.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aejax.data.formats.trace_files.miniseed_records import copy_flags, records_of
from aejax.data.formats.trace_files.registry import Recording, TraceFormat, register
from aejax.data.formats.trace_files.streams import of_numbers, read_stream, recording, replace_samples

_NAME = "miniSEED"
# A sequence number, the kind of the record or the quality of its data, a space.
_RECORD = re.compile(rb"[\d \0]{6}[VASTDRQM][ \0]")


def _begins(first: bytes) -> bool:
    return _RECORD.match(first) is not None


def _read(path: Path) -> Recording:
    return recording(of_numbers(read_stream(path, _NAME, "MSEED", _begins), path))


def _write(path: Path, source: Path, traces: Sequence[np.ndarray]) -> str:
    stream = read_stream(source, _NAME, "MSEED", _begins)
    numbers = of_numbers(stream, source)
    changed = replace_samples(numbers, source, traces, _NAME, np.float32, np.float64)
    said = records_of(source)
    for trace in numbers:
        if any(record.timing_quality is not None for record in said.get(trace.id, ())):
            trace.stats.mseed.blkt1001 = type(trace.stats.mseed)(timing_quality=0)  # room for it
    stream.write(str(path), format="MSEED")
    copy_flags(path, said)
    return changed


register(TraceFormat(_NAME, (".mseed", ".miniseed", ".ms"), _begins, _read, _write))
