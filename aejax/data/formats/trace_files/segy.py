"""SEG-Y, as seismic surveys are kept, by segyio.

What is written is a copy of the file whose samples alone are changed, in their own format; whole numbers are rounded.
Where they cannot hold the samples, these become IEEE floats (format 5), and the headers say so.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from aejax.data.formats.libraries import library
from aejax.data.formats.trace_files.registry import (
    Recording,
    TraceFormat,
    beginning,
    check_lengths,
    held_as,
    register,
)

_TEXT, _TRACE_HEADER = 3600, 240
# Where the headers hold whole numbers of 16 bits, counted from 0.
_INTERVAL, _NUM_SAMPLES, _CODE, _REVISION, _NUM_TEXTS = 3216, 3220, 3224, 3500, 3504
_TRACE_NUM_SAMPLES, _TRACE_INTERVAL = 114, 116
# Codes of sample formats that are read, and the bytes of a sample.
_WIDTHS = {1: 4, 2: 4, 3: 2, 5: 4, 6: 8, 8: 1, 10: 4, 11: 2, 16: 1}
_OTHER_CODES = {4: "fixed point with gain", 7: "24 bits", 9: "64 bits", 12: "64 bits", 15: "24 bits"}
_IEEE = 5
# Intervals that differ by less are one, rounded to microseconds.
_SAME_INTERVAL = 1e-3


class _Layout(NamedTuple):
    """What the headers say, and what the size of the file agrees with."""

    endian: Literal["big", "little"]
    code: int
    begin: int
    num_samples: int
    num_traces: int
    intervals: tuple[int, np.ndarray]

    def traces(self, code: int) -> np.dtype:
        """A trace as it lies in the file, with samples of a format."""
        order = ">" if self.endian == "big" else "<"
        middle = _TRACE_HEADER - _TRACE_INTERVAL - 2
        head = [("head", f"V{_TRACE_NUM_SAMPLES}"), ("num_samples", f"{order}u2"), ("interval", f"{order}u2")]
        samples = f"{order}f4" if code == _IEEE else f"V{_WIDTHS[code]}"
        return np.dtype([*head, ("tail", f"V{middle}"), ("samples", samples, (self.num_samples,))])


def _read(path: Path) -> Recording:
    layout = _layout(path)
    with _open(path, layout) as file:
        traces = list(file.trace.raw[:])
    rate, problem = _sampling_rate(layout, path)
    return Recording(traces, [rate] * len(traces), [str(index) for index in range(len(traces))], problem)


def _write(path: Path, source: Path, traces: Sequence[np.ndarray]) -> str:
    layout = _layout(source)
    check_lengths(traces, [layout.num_samples] * layout.num_traces, source)
    with _open(source, layout) as file:
        dtype = np.dtype(file.dtype)
    held = held_as(dtype, traces)
    if held is None:
        floats = held_as(np.float32, traces)
        if floats is None:
            raise ValueError(f"{source}: SEG-Y has no samples that hold the result; convert the file to miniSEED first")
        _write_floats(path, source, layout, floats)
        return f"samples are 32-bit floats, format {_IEEE} instead of {layout.code}, which cannot hold the result"
    shutil.copyfile(source, path)
    with _open(path, layout, "r+") as file:
        for index, new in enumerate(held):
            file.trace[index] = new
    return ""


def _write_floats(path: Path, source: Path, layout: _Layout, traces: list[np.ndarray]) -> None:
    """The file with other samples: all headers stay, but for the code of the format."""
    old = np.memmap(source, layout.traces(layout.code), "r", layout.begin, (layout.num_traces,))
    new = np.empty(layout.num_traces, layout.traces(_IEEE))
    for name in ("head", "num_samples", "interval", "tail"):
        new[name] = old[name]
    new["samples"] = traces
    head = bytearray(source.open("rb").read(layout.begin))
    head[_CODE : _CODE + 2] = _IEEE.to_bytes(2, layout.endian)
    with path.open("wb") as file:
        file.write(head)
        file.write(new.tobytes())


def _open(path: Path, layout: _Layout, mode: str = "r") -> Any:
    segyio = library("segyio", "SEG-Y", "seismic")
    try:
        return segyio.open(str(path), mode, ignore_geometry=True, endian=layout.endian)
    except (RuntimeError, ValueError, OSError) as error:
        raise ValueError(f"{path} is not SEG-Y, or is damaged: {error}") from error


def _layout(path: Path) -> _Layout:
    """The headers, checked: nothing of them is left to be guessed."""
    first = beginning(path)
    endian = _endian(first)
    if endian is None or len(first) < _TEXT:
        code = int.from_bytes(first[_CODE : _CODE + 2], "big")
        raise ValueError(
            f"{path} is not SEG-Y, or is damaged: found sample format {code} in {len(first)} bytes of headers, "
            f"expected one of {', '.join(map(str, _WIDTHS))}"
        )

    def number(at: int) -> int:
        return int.from_bytes(first[at : at + 2], endian)

    code, num_samples, num_texts = number(_CODE), number(_NUM_SAMPLES), number(_NUM_TEXTS)
    if code not in _WIDTHS:
        raise ValueError(
            f"{path}: sample format: found code {code} ({_OTHER_CODES.get(code, 'not in use')}), expected one of "
            f"{', '.join(map(str, _WIDTHS))}; convert the file to format {_IEEE}, IEEE floats, or correct the code"
        )
    if number(_REVISION) == 0:
        num_texts = 0
    elif num_texts > 100:
        raise ValueError(f"{path}: found a variable number of text headers, expected a number; write it into the file")
    layout = _Layout(endian, code, _TEXT + 3200 * num_texts, num_samples, 0, (number(_INTERVAL), np.zeros(0)))
    in_file = path.stat().st_size - layout.begin
    each = layout.traces(code)
    headers = (
        np.memmap(path, each, "r", layout.begin, (in_file // each.itemsize,)) if in_file >= each.itemsize else None
    )
    if (
        headers is None
        or num_samples == 0
        or in_file % each.itemsize
        or not np.isin(headers["num_samples"], (0, num_samples)).all()
    ):
        raise ValueError(f"{path}: {_lengths_found(path, layout)}")
    return layout._replace(num_traces=len(headers), intervals=(layout.intervals[0], np.array(headers["interval"])))


def _lengths_found(path: Path, layout: _Layout) -> str:
    """Of a file whose traces are not as long as its binary header says."""
    found: dict[int, None] = {}
    size, at = path.stat().st_size, layout.begin
    with path.open("rb") as file:
        while at + _TRACE_HEADER <= size:
            file.seek(at + _TRACE_NUM_SAMPLES)
            num_samples = int.from_bytes(file.read(2), layout.endian) or layout.num_samples
            found[num_samples] = None
            at += _TRACE_HEADER + num_samples * _WIDTHS[layout.code]
    lengths = ", ".join(map(str, list(found)[:4])) + (", ..." if len(found) > 4 else "")
    if at != size:
        return (
            f"found {size - layout.begin} bytes of traces, which are no whole number of traces of {layout.num_samples} "
            f"samples (binary header) or of {lengths or 0} (trace headers); the file is cut off, or a header is wrong"
        )
    return (
        f"found traces of {lengths} samples by their headers, and {layout.num_samples} in the binary header, expected "
        "one length; write traces of each length to a file of their own, or correct the header"
    )


def _sampling_rate(layout: _Layout, path: Path) -> tuple[float | None, str]:
    """The rate that all headers agree on, or why there is none. Intervals are unsigned, up to 65,535 microseconds."""
    overall, of_traces = layout.intervals
    found = {int(one) for one in np.unique(of_traces) if one} | ({overall} if overall else set())
    if not found:
        return None, f"{path}: found no sampling interval in its headers; give --sampling-rate, in samples a second"
    if max(found) > (1 + _SAME_INTERVAL) * min(found):
        others = ", ".join(f"{one} us" for one in sorted(found - {overall})[:3])
        return None, (
            f"{path}: sampling interval: found {overall} us in the binary header and {others} in trace headers, "
            f"expected one; say which is right, --sampling-rate {1e6 / (overall or min(found)):g} or "
            f"{1e6 / min(found - {overall}):g}"
        )
    return 1e6 / (overall or min(found)), ""


def _endian(begin: bytes) -> Literal["big", "little"] | None:
    """The order of bytes in a SEG-Y file, by the code of its sample format (1 to 16); None where it has none."""
    orders: tuple[Literal["big", "little"], ...] = ("big", "little")
    return next((order for order in orders if 1 <= int.from_bytes(begin[_CODE : _CODE + 2], order) <= 16), None)


# By the code of its samples many a file might be SEG-Y: the formats with a mark of their own are asked before it.
register(TraceFormat("SEG-Y", (".sgy", ".segy"), lambda first: _endian(first) is not None, _read, _write))
