"""Whether the gain that a denoiser prints is true: printed and real gain, over catalogues as they come.

python -m benchmarks.denoised_catalogues [--rounds N] [--kinds NAME ...] [--out FOLDER]

Five catalogues are made of the earthquakes in AEJAX_DATA: as they are; one record in ten begins 0.9 s before its event;
all events at 4 to 9 s; at 50 samples a second; three components to a record. A denoiser is trained on each.
The printed gain is what ``fit_to_catalogue`` measured on stations held out. The real gain is measured here, by code of
its own: events and unbroken noise of the same stations, from the uncut records.
"""

import argparse
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from aejax.artefacts.storage import write_json
from aejax.data.formats.events import Events, read_events, signal_to_noise
from aejax.data.resampling import resample
from aejax.tasks.denoising import CatalogueFit, denoise, fit_to_catalogue
from benchmarks.measuring import environment

FOLDER = Path(__file__).parent / "results"
GUARD = 0.5  # seconds before an arrival that may hold the event
NUM_PAIRS = 4000
CLEAN_DB, SNR_DB = 20.0, (-5.0, 10.0)


def early(events: Events) -> Events:
    """Every tenth record begins 0.9 s before its event; its end is continued by its reflection."""
    x, arrival = events.x.copy(), events.arrival.copy()
    for row in range(0, len(x), 10):
        lost = arrival[row] - 90
        x[row] = np.pad(x[row, lost:], (0, lost), mode="reflect")
        arrival[row] = 90
    return events._replace(x=x, arrival=arrival)


def short(events: Events) -> Events:
    """Each event lies at 4 to 9 s."""
    arrival = np.random.default_rng(0).integers(400, 900, len(events.x))
    length = events.x.shape[1] - int((events.arrival - arrival).max())
    begins = events.arrival - arrival
    x = np.stack([trace[begin : begin + length] for trace, begin in zip(events.x, begins, strict=True)])
    return measured_anew(events._replace(x=x, arrival=arrival))


def slower(events: Events) -> Events:
    """At 50 samples a second."""
    x = resample(events.x, events.sampling_rate, 50.0).astype(np.float32)
    return measured_anew(Events(x, events.arrival // 2, events.group, events.snr_db, 50.0))


def measured_anew(events: Events) -> Events:
    """With the ratios of the records as they are now, as a catalogue without them has."""
    return events._replace(snr_db=signal_to_noise(events.x, events.arrival, events.sampling_rate))


KINDS: dict[str, Callable[[Events], Events]] = {
    "base": lambda events: events,
    "early picks": early,
    "short noise": short,
    "other rate": slower,
    "three components": lambda events: events,
}


def catalogue(path: Path, kind: str, folder: Path) -> Path:
    """Writes a catalogue of a kind, to be read as a user's is."""
    events, written = KINDS[kind](read_events(path)), folder / f"{kind}.npz"
    x, of_records = events.x, {"arrival": events.arrival, "group": events.group, "snr_db": events.snr_db}
    if kind == "three components":
        x = x.reshape(-1, 3, x.shape[1])
        of_records = {name: field[::3] for name, field in of_records.items()} | {"snr_db": events.snr_db.reshape(-1, 3)}
    np.savez(written, x=x, sampling_rate=events.sampling_rate, **of_records)
    return written


def real_gain(fitted: CatalogueFit, uncut: Events, num_samples: int) -> float:
    """The mean gain on mixtures of uncut records of the stations held out; noise is of one piece."""
    rng = np.random.default_rng(1)
    held_out = np.isin(uncut.group, fitted.held_out)
    clean_rows = np.flatnonzero(held_out & (uncut.snr_db >= CLEAN_DB))
    noise_rows = np.flatnonzero(held_out & (uncut.arrival - GUARD * uncut.sampling_rate >= num_samples))
    clean, noisy = np.zeros((2, NUM_PAIRS, num_samples))
    for index in range(NUM_PAIRS):
        event = rng.choice(clean_rows)
        noise = rng.choice(noise_rows[uncut.group[noise_rows] != uncut.group[event]])
        latest = uncut.arrival[noise] - round(GUARD * uncut.sampling_rate) - num_samples
        begin = rng.integers(0, latest + 1)
        added = uncut.x[noise, begin : begin + num_samples].astype(float)
        begin = uncut.arrival[event] - round(num_samples * rng.uniform(0.05, 0.5))
        begin = np.clip(begin, 0, uncut.x.shape[1] - num_samples)
        signal = uncut.x[event, begin : begin + num_samples].astype(float)
        added, signal = added - added.mean(), signal - signal.mean()
        ratio = 10 ** (rng.uniform(*SNR_DB) / 20)
        clean[index] = ratio * signal * np.linalg.norm(added) / np.linalg.norm(signal)
        noisy[index] = clean[index] + added
    before, after = (np.sum(np.square(x - clean), axis=1) for x in (noisy, denoise(fitted.denoiser, noisy)))
    return float(np.mean(10 * np.log10(before / after)))


def measured(path: Path, kind: str, num_rounds: int, folder: Path) -> dict[str, Any]:
    """Trains on a catalogue of a kind; the printed gain, and the real one."""
    events = read_events(catalogue(path, kind, folder))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = fit_to_catalogue(jax.random.key(0), events, num_rounds=num_rounds)
    uncut = read_events(path)
    uncut = slower(uncut) if kind == "other rate" else uncut
    longest = int(uncut.arrival.min() - GUARD * uncut.sampling_rate) // 64 * 64
    length = min(int(fitted.measured["samples of a record"]), longest)
    return {
        "kind": kind,
        "printed": fitted.measured,
        "warnings": [str(one.message) for one in caught],
        "real": {"mean gain, dB": real_gain(fitted, uncut, length), "samples of a record": length},
    }


def main() -> None:
    """Runs the command line."""
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=96, help="of training")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    path = Path(os.environ.get("AEJAX_DATA", "../shared/data")) / "seismic" / "ncedc_traces.npz"
    where, results = environment(), []
    with tempfile.TemporaryDirectory() as folder:
        for kind in arguments.kinds:
            results.append(measured(path, kind, arguments.rounds, Path(folder)))
            print(results[-1], flush=True)
            name = f"denoised-catalogues-{where['backend']}-{where['date']}.json"
            write_json(arguments.out / name, {"environment": where, "rounds": arguments.rounds, "results": results})


if __name__ == "__main__":
    main()
