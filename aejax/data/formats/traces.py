"""Files of traces: records of seismometers and other sensors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aejax.artefacts.outside import reading
from aejax.artefacts.writing import atomic_path
from aejax.data.formats.events import Events, noise_before, read_events, signal_to_noise
from aejax.data.formats.trace_files.registry import (
    Recording,
    TraceFormat,
    beginning,
    by_ending,
    format_that_begins,
)

__all__ = [
    "Events",
    "Recording",
    "check_ending",
    "noise_before",
    "read_events",
    "read_traces",
    "signal_to_noise",
    "write_traces",
]


def read_traces(path: str | Path) -> Recording:
    """Reads a file of traces, of one of the formats in ``aejax.data.formats.trace_files``.

    Args:
        path: the file. Which format it is of, its ending says, or else its first bytes, as in archives, where files
            are called NET.STA.LOC.CHAN.D.2008.001.

    Returns:
        The Recording.

    Raises:
        OSError: the file cannot be read.
        ValueError: a file of none of these formats, or one that is not what its name says.
        ImportError: the extra ``seismic`` is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    with reading(path):
        return _format(path).read(path)


def check_ending(path: str | Path, source: str | Path) -> None:
    """Refuses a name for a result that says another format than that of the file it is made of.

    Args:
        path: the file to write.
        source: the file that is read.

    Raises:
        ValueError: the ending of another format, or a source of none.
    """
    path, source = Path(path), Path(source)
    found, meant = _format(source), by_ending().get(path.suffix.lower())
    if meant not in (None, found):
        raise ValueError(
            f"{path}: found the ending of {meant.name}, expected a name that ends like {source.name}, since the format "
            f"stays {found.name}"
        )


def write_traces(path: str | Path, source: str | Path, traces: Sequence[np.ndarray]) -> str:
    """Replaces the traces of a file: same format, same headers, the same type of samples where that holds them.

    Args:
        path: the file to write; it is whole or not there.
        source: the file that was read.
        traces: as many and as long as those read.

    Returns:
        What of the format had to be changed, such as the type of samples; empty where nothing was.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: another format than the source, traces that do not fit it, or that none of its types holds.
        ImportError: the extra ``seismic`` is not installed.
    """
    path, source = Path(path), Path(source)
    check_ending(path, source)
    with atomic_path(path) as partial:
        return _format(source).write(partial, source, traces)


def _format(path: Path) -> TraceFormat:
    """By its ending, or else its first bytes."""
    found = by_ending().get(path.suffix.lower()) or format_that_begins(beginning(path))
    if found is None:
        raise ValueError(
            f"{path}: found the ending {path.suffix or 'none'!r} and no known content, expected one of "
            f"{', '.join(by_ending())}"
        )
    return found
