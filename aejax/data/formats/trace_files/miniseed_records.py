"""What the records of miniSEED say beside samples: flags of activity, clock and data, and the quality of timing.

obspy writes records of its own, without these. Here they are copied from the records of the same channel and time.
"""

import functools
import io
import itertools
import operator
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from aejax.data.formats.libraries import library

# Bytes of the fixed header that hold flags: of activity, of input, output and clock, of data quality.
_FLAGS = slice(36, 39)
_FIRST_BLOCKETTE, _TIMING_BLOCKETTE = 46, 1001


class Record(NamedTuple):
    """A record: where it is in its file, of when it is, what it says."""

    begin: int
    start: float
    end: float
    flags: bytes
    timing_quality: int | None
    byteorder: str


def records_of(path: Path) -> dict[str, list[Record]]:
    """The records of a file by channel, in order of time."""
    found: dict[str, list[Record]] = defaultdict(list)
    for channel, record in _each_record(path.read_bytes()):
        found[channel].append(record)
    for records in found.values():
        records.sort(key=lambda one: one.start)
    return found


def copy_flags(path: Path, source: dict[str, list[Record]]) -> None:
    """Copies flags and the quality of timing into a miniSEED file.

    Args:
        path: the file, with the times of the source.
        source: the records that were read. Where a record of ``path`` spans several of them, each flag that one of them
            has is set, and the timing is as good as the worst of theirs.
    """
    content = memoryview(bytearray(path.read_bytes()))
    for channel, records in records_of(path).items():
        earlier, first = source.get(channel, []), 0
        for record in records:
            while first < len(earlier) and earlier[first].end < record.start:
                first += 1
            _copy(content[record.begin :], record, list(_until(earlier, first, record.end)))
    path.write_bytes(content)


def _until(records: list[Record], first: int, end: float) -> Iterator[Record]:
    return itertools.takewhile(lambda one: one.start <= end, itertools.islice(records, first, None))


def _copy(header: memoryview, record: Record, spanned: list[Record]) -> None:
    if not spanned:
        return
    header[_FLAGS] = bytes(
        functools.reduce(operator.or_, column) for column in zip(*(one.flags for one in spanned), strict=True)
    )
    qualities = [one.timing_quality for one in spanned if one.timing_quality is not None]
    at = _timing_blockette(header, record.byteorder)
    if qualities and at:
        header[at + 4] = min(qualities)


def _timing_blockette(header: memoryview, byteorder: Any) -> int:
    """Where the blockette 1001 of a record begins; 0 where it has none."""
    at = int.from_bytes(header[_FIRST_BLOCKETTE : _FIRST_BLOCKETTE + 2], byteorder)
    while at and int.from_bytes(header[at : at + 2], byteorder) != _TIMING_BLOCKETTE:
        at = int.from_bytes(header[at + 2 : at + 4], byteorder)
    return at


def _each_record(content: bytes) -> Iterator[tuple[str, Record]]:
    util = library("obspy.io.mseed.util", "miniSEED", "seismic")
    begin, file = 0, io.BytesIO(content)
    while begin + 48 <= len(content):
        try:
            info = util.get_record_information(file, offset=begin)
        except (ValueError, TypeError):  # no record: obspy passes over such pieces too
            return
        flags = bytes([info["activity_flags"], info["io_and_clock_flags"], info["data_quality_flags"]])
        yield (
            ".".join(info[name] for name in ("network", "station", "location", "channel")),
            Record(
                begin,
                float(info["starttime"].timestamp),
                float(info["endtime"].timestamp),
                flags,
                info.get("timing_quality"),
                "big" if info["byteorder"] == ">" else "little",
            ),
        )
        begin += info["record_length"]
