"""Records of seismometers and other sensors: catalogues of events to learn from, and files of traces."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aejax.artefacts.outside import reading
from aejax.artefacts.storage import open_npz
from aejax.artefacts.writing import atomic_path
from aejax.base import ArrayLike
from aejax.data.formats.trace_files.registry import (
    Recording,
    TraceFormat,
    beginning,
    by_ending,
    format_that_begins,
    is_real,
)


class Events(NamedTuple):
    """Records that each hold one event, with noise before it.

    Attributes:
        x: (n, length), in any unit.
        arrival: (n,), the sample at which the event begins.
        group: (n,), where it was recorded: the station, or the machine.
        snr_db: (n,), the signal-to-noise ratio of the record.
        sampling_rate: in samples a second.
    """

    x: np.ndarray
    arrival: np.ndarray
    group: np.ndarray
    snr_db: np.ndarray
    sampling_rate: float


def read_events(path: str | Path) -> Events:
    """Reads a catalogue of events from an NPZ file.

    Args:
        path: a file with ``x`` (n, length), its ``arrival`` (n,) in samples (or ``itp``), and ``group`` (n,), names of
            stations (or ``station``, or ``trace``, names such as NETWORK_STATION_TIME). It may have ``scale`` (n,), by
            which int16 numbers are to be multiplied and divided by 32,767, ``snr_db`` (n,), measured by
            ``signal_to_noise`` where it is absent, and ``sampling_rate``, 100 where that is absent.

    Returns:
        The Events; arrivals between two samples are rounded.

    Raises:
        OSError: the file cannot be read.
        ValueError: a field is absent, not of numbers or of another length, an event begins outside of its record, the
            arrivals look like seconds, or a record is constant or not finite; the message names the file, the field,
            and the record by its row in the file.
    """
    path = Path(path)
    with open_npz(path, "x, arrival and group") as file:
        content = {name: file[name] for name in file.files}
    for name in ("x", "arrival", "itp", "scale", "snr_db", "sampling_rate"):
        if name in content and not is_real(content[name]):
            raise ValueError(f"{path}: {name}: found {content[name].dtype}, expected real numbers; convert it")
    if "x" not in content or content["x"].ndim != 2 or content["x"].size == 0:
        found = ", ".join(f"{name} of shape {field.shape}" for name, field in content.items())
        raise ValueError(f"{path}: found {found or 'nothing'}, expected x of shape (records, samples), at least one")
    arrival = content.get("arrival", content.get("itp"))
    group = content.get("group", content.get("station"))
    if group is None and "trace" in content:
        group = np.array(["_".join(str(name).split("_")[:2]) for name in content["trace"]])
    if arrival is None or group is None:
        raise ValueError(
            f"{path}: found {', '.join(content)}, expected also {'arrival' if arrival is None else 'group'} (n,): the "
            "sample at which each event begins, and the station that recorded it"
        )
    x = content["x"]
    fields = {name: content.get(name) for name in ("scale", "snr_db")} | {"arrival": arrival, "group": group}
    for name, field in fields.items():
        if field is not None and np.shape(field) != (len(x),):
            raise ValueError(f"{path}: {name}: found shape {np.shape(field)}, expected ({len(x)},) as x has records")
    sampling_rate = _sampling_rate(content.get("sampling_rate", np.array(100.0)), path)
    arrival = _in_samples(arrival, x.shape[1], sampling_rate, path)
    x = x.astype(np.float32)
    if "scale" in content:
        x = x / 32767 * content["scale"][:, None]
    dead = _constant_or_not_finite(x)
    if len(dead):
        raise ValueError(
            f"{path}: x: record {dead[0]} (counted from 0) of {group[dead[0]]} is constant or not finite ({len(dead)} "
            "such records); leave dead channels and gaps out"
        )
    snr_db = content.get("snr_db")
    if snr_db is None:
        snr_db = signal_to_noise(x, arrival, sampling_rate)
    return Events(x, arrival, np.asarray(group), np.asarray(snr_db, float), sampling_rate)


def _sampling_rate(field: np.ndarray, path: Path) -> float:
    rate = float(field.item()) if field.size == 1 else np.nan
    if not (np.isfinite(rate) and rate > 0):
        raise ValueError(
            f"{path}: sampling_rate: found {field.item() if field.size == 1 else f'shape {field.shape}'}, expected one "
            "positive number, the samples a second of all records"
        )
    return rate


def _in_samples(arrival: np.ndarray, length: int, sampling_rate: float, path: Path) -> np.ndarray:
    """Arrivals as whole samples; those that can only be seconds are refused."""
    rounded = np.rint(arrival)
    is_inside = (rounded >= 1) & (rounded < length)
    if not is_inside.all():
        record = int(np.argmin(is_inside))
        raise ValueError(
            f"{path}: arrival: found {arrival[record]} in record {record} (counted from 0), expected a sample within "
            f"the record, 1 to {length - 1}; leave such records out"
        )
    # A picker may give a sample and its fraction, but not all of them within the first hundredth of the records.
    if (rounded != arrival).any() and sampling_rate > 1 and arrival.max() < length / sampling_rate:
        raise ValueError(
            f"{path}: arrival: found {arrival.min():g} to {arrival.max():g}, not whole and within the "
            f"{length / sampling_rate:g} seconds of the records, expected samples; multiply seconds by "
            f"{sampling_rate:g}, or round what are samples"
        )
    return rounded.astype(int)


def _constant_or_not_finite(x: np.ndarray) -> np.ndarray:
    """The rows that hold nothing to learn from."""
    lowest, highest = x.min(axis=1), x.max(axis=1)  # NaN where there is one
    return np.flatnonzero(~(np.isfinite(lowest) & np.isfinite(highest) & (highest > lowest)))


def signal_to_noise(x: ArrayLike, arrival: ArrayLike, sampling_rate: float) -> np.ndarray:
    """The mean square in the 10 s after the arrival over that before it, where the mean is taken from both.

    Args:
        x: (n, length).
        arrival: (n,), in samples.
        sampling_rate: in samples a second.

    Returns:
        (n,), in dB.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.standard_normal((1, 4000)) * np.where(np.arange(4000) < 2000, 0.1, 1)
        >>> bool(abs(signal_to_noise(x, [2000], 100)[0] - 20) < 0.5)
        True
    """
    ratios = []
    for trace, first in zip(np.asarray(x, float), np.asarray(arrival, int), strict=True):
        before, after = trace[:first], trace[first : first + int(10 * sampling_rate)]
        offset = before.mean() if first else 0.0
        noise, signal = np.mean((before - offset) ** 2), np.mean((after - offset) ** 2)
        ratios.append(10 * np.log10(max(signal, 1e-300) / max(noise, 1e-300)))
    return np.array(ratios)


def noise_before(events: Events, guard: float = 0.5) -> np.ndarray:
    """What each record holds before its event, cut to one length.

    Args:
        events: the Events.
        guard: seconds before the arrival that are left out, since an arrival may be picked late.

    Returns:
        (n, length), as long as the shortest noise is.

    Raises:
        ValueError: an event begins too early for 16 samples of noise, or nothing varies before it; the message gives
            its row.

    Example:
        >>> x = np.random.default_rng(0).standard_normal((2, 500))
        >>> events = Events(x, np.array([300, 200]), np.array(["A", "B"]), np.zeros(2), 100.0)
        >>> noise_before(events).shape
        (2, 150)
    """
    ends = events.arrival - round(guard * events.sampling_rate)
    length = int(ends.min())
    if length < 16:
        record = int(ends.argmin())
        raise ValueError(
            f"arrival: record {record} (counted from 0) of {events.group[record]} has {max(length, 0)} samples of "
            f"noise before its event at sample {events.arrival[record]}, expected at least 16; leave such records out, "
            "or give arrivals in samples if these are seconds"
        )
    noise = np.stack([trace[end - length : end] for trace, end in zip(events.x, ends, strict=True)])
    dead = _constant_or_not_finite(noise)
    if len(dead):
        raise ValueError(
            f"x: record {dead[0]} (counted from 0) of {events.group[dead[0]]} is constant or not finite in the "
            f"{length} samples before its event ({len(dead)} such records); leave them out"
        )
    return noise


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


def write_traces(path: str | Path, source: str | Path, traces: Sequence[np.ndarray]) -> None:
    """Replaces the traces of a file: same format, same headers.

    Args:
        path: the file to write; it is whole or not there.
        source: the file that was read.
        traces: as many and as long as those read.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: another format than the source, or traces that do not fit it.
        ImportError: the extra ``seismic`` is not installed.
    """
    path, source = Path(path), Path(source)
    found = _format(source)
    if by_ending().get(path.suffix.lower(), found) is not found:
        raise ValueError(f"{path}: expected a name that ends like {source.name}, since the format stays the same")
    with atomic_path(path) as partial:
        found.write(partial, source, traces)


def _format(path: Path) -> TraceFormat:
    found = by_ending().get(path.suffix.lower()) or format_that_begins(beginning(path))
    if found is None:
        raise ValueError(
            f"{path}: found the ending {path.suffix or 'none'!r} and no known content, expected one of "
            f"{', '.join(by_ending())}"
        )
    return found
