"""A monitor that watches for long: blocks, gaps and restarts give the verdicts of one piece, in the same memory."""

import random
import tempfile
from pathlib import Path

import jax
import numpy as np

import aejax
from aejax.tasks import anomaly
from aejax.tasks.anomaly.stream import StreamState
from tests.campaigns.figures import Figures
from tests.campaigns.fuzz import _status

_NUM_COLUMNS = 4
_CHUNK = 100_000
_MOST_GROWTH = 2e8  # bytes, of which compiled programs take most


def soak(num_rows):
    """Watches so many rows in one piece, and again in blocks; an attempt is a chunk of them."""
    figures, generator = Figures("soak"), random.Random(0)
    with tempfile.TemporaryDirectory() as top:
        folder, normal = Path(top) / "monitor", _chunk(0, 2000)
        aejax.save(folder, anomaly.fit_monitor(jax.random.key(0), normal, num_lags=2, num_epochs=5))
        lengths = [min(_CHUNK, num_rows - begin) for begin in range(0, num_rows, _CHUNK)]
        monitor, state, at_once = aejax.load(folder), None, None
        taken = []
        for number, length in enumerate(lengths, 1):
            rows = _chunk(number, length)
            wanted, at_once = anomaly.watch(monitor, rows, at_once)
            found = []
            begin = 0
            while begin < length:
                size = min(generator.choice([1, 2, 7, 60, 1000, 5000]), length - begin)
                if generator.random() < 0.02:  # the process ends, and another one goes on
                    monitor, state = aejax.load(folder), _kept(state, Path(top) / "state.npz")
                chart, state = anomaly.watch(monitor, rows[begin : begin + size], state)
                found.append(chart)
                begin += size
            taken.append(_status("VmRSS"))
            _compare(figures, number, wanted, found)
        settled = taken[len(taken) // 4]
        if taken[-1] - settled > _MOST_GROWTH:
            figures.fault(f"memory grew from {settled / 1e6:.0f} to {taken[-1] / 1e6:.0f} MB")
        figures.name = f"soak of {num_rows} rows, memory {settled / 1e6:.0f} MB and then {taken[-1] / 1e6:.0f} MB"
    return figures


def _compare(figures, number, wanted, found):
    for name, expected in wanted._asdict().items():
        got = np.concatenate([getattr(chart, name) for chart in found])
        if not np.array_equal(got, expected, equal_nan=expected.dtype.kind == "f"):
            figures.fault(f"chunk {number}: {name} differs in {int((got != expected).sum())} rows")
            return
    figures.add("chunks with the same verdicts")


def _kept(state, path):
    if state is None:
        return None
    np.savez(path, **state._asdict())
    with np.load(path) as file:
        return StreamState(*(jax.numpy.asarray(file[name]) for name in StreamState._fields))


def _chunk(number, length):
    """Rows of two factors; every hundredth has a gap, some are empty, and a sensor drifts now and then."""
    rng = np.random.default_rng(number)
    weights = np.random.default_rng(0).normal(size=(2, _NUM_COLUMNS))
    rows = rng.normal(size=(length, 2)) @ weights + 0.1 * rng.normal(size=(length, _NUM_COLUMNS))
    if number:
        rows[rng.random(length) < 0.01, rng.integers(_NUM_COLUMNS)] = np.nan
        rows[rng.random(length) < 0.001] = np.nan
        begin = int(rng.integers(length))
        rows[begin : begin + 500, 1] += 2.0
    return rows
