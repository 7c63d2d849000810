"""What obspy reads: the formats of single instruments and of networks share this."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aejax.data.formats.libraries import library
from aejax.data.formats.trace_files.registry import Recording, TraceFormat, beginning, check_lengths, held_as


def stream_format(
    name: str, obspy_name: str, endings: tuple[str, ...], begins: Callable[[bytes], bool], *types: type
) -> TraceFormat:
    """A format that obspy reads and writes.

    Args:
        name: what people call it.
        obspy_name: what obspy calls it.
        endings: of its files.
        begins: as in ``TraceFormat``.
        *types: of samples that can be written; the first that holds them is.

    Returns:
        The TraceFormat.
    """

    def read(path: Path) -> Recording:
        return recording(of_numbers(read_stream(path, name, obspy_name, begins), path))

    def write(path: Path, source: Path, traces: Sequence[np.ndarray]) -> str:
        stream = read_stream(source, name, obspy_name, begins)
        changed = replace_samples(of_numbers(stream, source), source, traces, name, *types)
        stream.write(str(path), format=obspy_name)
        return changed

    return TraceFormat(name, endings, begins, read, write)


def recording(of_numbers: list[Any]) -> Recording:
    """The traces of a stream as they are handed on."""
    return Recording(
        [np.asarray(trace.data) for trace in of_numbers],
        [float(trace.stats.sampling_rate) for trace in of_numbers],
        [trace.id for trace in of_numbers],
    )


def replace_samples(of_numbers: list[Any], source: Path, traces: Sequence[np.ndarray], name: str, *types: type) -> str:
    """Puts new samples into a stream, of the first type that holds them; says what has changed.

    A trace that is as it was keeps its type, and one in double precision keeps that where the format has it.
    """
    check_lengths(traces, [len(trace) for trace in of_numbers], source)
    changed: dict[str, None] = {}
    for old, new in zip(of_numbers, traces, strict=True):
        if np.array_equal(old.data, new, equal_nan=np.issubdtype(old.data.dtype, np.floating)):
            continue
        is_double = old.data.dtype.type is np.float64 and np.float64 in types
        candidates = (np.float64,) if is_double else types
        held = next(filter(None, (held_as(dtype, [new]) for dtype in candidates)), None)
        if held is None:
            known = ", ".join(np.dtype(dtype).name for dtype in types)
            raise ValueError(
                f"{source}: {name} has {known} samples alone, which cannot hold the result of trace {old.id}; convert "
                "the file to miniSEED first"
            )
        if old.data.dtype.type is not held[0].dtype.type:
            changed[f"{held[0].dtype} instead of {old.data.dtype.name}"] = None
        old.data = held[0]
        old.stats.get("mseed", {}).pop("encoding", None)  # of the samples as they were
    return f"samples are {', '.join(changed)}" if changed else ""


def of_numbers(stream: Any, path: Path) -> list[Any]:
    """The traces of a stream that are no text, as those of LOG channels are."""
    found = [trace for trace in stream if np.issubdtype(trace.data.dtype, np.number)]
    if not found:
        raise ValueError(f"{path}: found {', '.join(trace.id for trace in stream)}, text alone; expected numbers")
    return found


def read_stream(path: Path, name: str, obspy_name: str, begins: Callable[[bytes], bool]) -> Any:
    """Reads a file by obspy, whose many kinds of errors become one."""
    obspy = library("obspy", name, "seismic")
    try:
        return obspy.read(str(path), format=obspy_name)
    except Exception as error:  # each reader of obspy has errors of its own, some of which are bare Exceptions
        if begins(beginning(path)):
            raise ValueError(f"{path}: found a damaged {name} file ({error}), expected a whole one") from error
        raise ValueError(
            f"{path} is not {name}, as its name says: found no such record at its beginning; give the file that was "
            "meant, or the name that its format has"
        ) from error
