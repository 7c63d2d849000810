"""Catalogues of events to learn from: records that each hold one event, with noise before it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from aejax.artefacts.storage import open_npz
from aejax.base import ArrayLike
from aejax.data.formats.trace_files.registry import check_axes, is_real


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
            ``signal_to_noise`` where it is absent or not finite, and ``sampling_rate``, 100 where that is absent. With
            ``x`` (n, components, length) the other fields are of records, (n,), or of traces, (n, components).

    Returns:
        The Events, each component a record of its own; arrivals between two samples are rounded.

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
    if "x" not in content or content["x"].ndim not in (2, 3) or content["x"].size == 0:
        found = ", ".join(f"{name} of shape {field.shape}" for name, field in content.items())
        raise ValueError(
            f"{path}: found {found or 'nothing'}, expected x of shape (records, samples) or (records, components, "
            "samples), at least one"
        )
    arrival = content.get("arrival", content.get("itp"))
    group = content.get("group", content.get("station"))
    if group is None and "trace" in content:
        group = np.array(["_".join(str(name).split("_")[:2]) for name in content["trace"]])
    if arrival is None or group is None:
        raise ValueError(
            f"{path}: found {', '.join(content)}, expected also {'arrival' if arrival is None else 'group'} (n,): the "
            "sample at which each event begins, and the station that recorded it"
        )
    check_axes(content["x"], f"{path}: x")
    x = content["x"].reshape(-1, content["x"].shape[-1])
    given = {"arrival": arrival, "group": group}
    given |= {name: field for name, field in content.items() if name in ("scale", "snr_db")}
    fields: dict[str, np.ndarray] = {}
    for name, field in given.items():
        fields[name] = _of_traces(field, content["x"].shape[:-1], f"{path}: {name}")
    arrival, group = fields["arrival"], fields["group"]
    sampling_rate = _sampling_rate(content.get("sampling_rate", np.array(100.0)), path)
    arrival = _in_samples(arrival, x.shape[1], sampling_rate, path)
    x = x.astype(np.result_type(x.dtype, np.float32))  # of 32-bit counts in double precision: offsets may be large
    if "scale" in fields:
        x = x / 32767 * fields["scale"][:, None]
    dead = _constant_or_not_finite(x)
    if len(dead):
        raise ValueError(
            f"{path}: x: record {dead[0]} (counted from 0) of {group[dead[0]]} is constant or not finite ({len(dead)} "
            "such records); leave dead channels and gaps out"
        )
    snr_db = np.asarray(fields.get("snr_db", np.full(len(x), np.nan)), float).copy()
    unknown = ~np.isfinite(snr_db)
    snr_db[unknown] = signal_to_noise(x[unknown], arrival[unknown], sampling_rate)
    return Events(x, arrival, group, snr_db, sampling_rate)


def _of_traces(field: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    """A field of each trace, where it may be of each record of several components."""
    field = np.asarray(field)
    if field.shape not in (shape, shape[:1]):
        raise ValueError(f"{name}: found shape {field.shape}, expected {shape[:1]} as x has records")
    return np.broadcast_to(field.reshape(field.shape + (1,) * (len(shape) - field.ndim)), shape).ravel()


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


def noise_before(events: Events, guard: float = 0.5) -> list[np.ndarray]:
    """What each record holds before its event.

    Args:
        events: the Events.
        guard: seconds before the arrival that are left out, since an arrival may be picked late.

    Returns:
        An array for each record, each of its own length: empty where the event begins at once.

    Example:
        >>> x = np.random.default_rng(0).standard_normal((2, 500))
        >>> events = Events(x, np.array([300, 200]), np.array(["A", "B"]), np.zeros(2), 100.0)
        >>> [len(noise) for noise in noise_before(events)]
        [250, 150]
    """
    ends = np.maximum(events.arrival - round(guard * events.sampling_rate), 0)
    return [trace[:end] for trace, end in zip(events.x, ends, strict=True)]
