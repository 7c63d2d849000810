"""Clocks, counters and ids are known by what they do, and measurements are none of these."""

import numpy as np
import pytest

from aejax.data.formats.clocks import clocks

N = 400
ROWS = np.arange(N, dtype=float)
RNG = np.random.default_rng(0)
STAMPS = np.datetime64("2024-03-01T00") + np.arange(N).astype("timedelta64[h]")
DAY = (STAMPS.astype("datetime64[D]") - STAMPS.astype("datetime64[M]")).astype(int) + 1.0

CLOCKS = {
    "unix": 1.7e9 + 60 * ROWS,
    "unix with repeats": 1.7e9 + 60 * (ROWS // 40),
    "milliseconds": 1.7e12 + 1000 * ROWS,
    "backwards": 1.7e9 - 60 * ROWS,
    "elapsed": 0.1 * ROWS,
    "kWh": 1e5 + np.cumsum(RNG.gamma(2, 1, N)),
    "kWh in whole numbers": np.floor(1e5 + np.cumsum(RNG.gamma(2, 0.5, N))),
    "kWh with gaps": np.where(ROWS % 7 == 3, np.nan, 1e5 + np.cumsum(RNG.gamma(2, 1, N))),
    "id": RNG.permutation(N) + 5000.0,
    "id of shuffled rows of a larger table": RNG.permutation(3 * N)[:N] + 5000.0,
    "id of two files": np.concatenate([ROWS[:200] + 5000, ROWS[200:] + 1000]),
    "hour": ROWS % 24,
    "hour from 1": ROWS % 24 + 1,
    "minute in quarters": 15 * (ROWS % 4),
    "heartbeat": ROWS % 100,
    "weekday": ROWS // 24 % 7,
    "hour with fractions": 0.25 * ROWS % 24,
    "hour in tenths": 0.1 * ROWS % 6,
    "seconds that began again": np.where(ROWS < 250, 60 * ROWS, 60 * (ROWS - 250)),
    "kWh of a meter that was changed": np.where(ROWS < 250, 1e5, 0) + np.cumsum(RNG.gamma(2, 1, N)),
    "a clock that was set back by an hour": 60 * ROWS - np.where(ROWS > 200, 3600.0, 0.0),
    "a counter of 16 bits": (60_000 + 97 * ROWS) % 65_536,
    "a date of a day": np.full(N, 20240301.0),
    "dates as numbers": 20240301 + ROWS // 24,
    "a few times as numbers": 202403010000 + np.arange(40.0),
}
SHORT = np.arange(60.0)
MEASUREMENTS: dict[str, np.ndarray] = {
    "noise": RNG.normal(50, 10, N),
    "rising with noise": 20 + 0.1 * ROWS + RNG.normal(0, 1, N),
    "smoothly rising with little noise": 20 + 0.1 * ROWS + RNG.normal(0, 0.1, N),
    "a whole-number sensor": np.round(RNG.normal(900, 40, N)),
    "a wide whole-number sensor": np.round(RNG.normal(50_000, 10_000, N)),
    "a whole-number sensor in a short table": np.round(RNG.normal(5_000, 1_000, 30)),
    "a slow ramp in a short table": 20 + 0.5 * SHORT,
    "a slow ramp of whole numbers": 20 + SHORT,
    "a rising set point": 50 + 5 * (ROWS // 100),
    "a batch in whole degrees": np.concatenate([20 + 4 * SHORT[:20], 99 - 4 * SHORT[:19]]),
    "a set point": np.where(ROWS < 200, 60.0, 65.0),
    "a daily swing": np.round(20 + 5 * np.sin(2 * np.pi * ROWS / 24), 1),
    "a random walk": np.cumsum(RNG.normal(0, 1, N)),
    "a tank": 50 + 10 * ((ROWS / 37) % 1) + RNG.normal(0, 0.2, N),
    "on and off": (ROWS // 10) % 2,
    "phases of a batch": np.repeat(np.tile([1.0, 2, 3, 4], 25), RNG.integers(1, 8, 100))[:N],
    "constant": np.full(N, 60.0),
    "huge": RNG.normal(5e17, 1e16, N),
    "counts": RNG.poisson(3, N).astype(float),
    "a slow rise in whole numbers that turns back once": np.floor(ROWS / 3) - (ROWS == 301),
    "whole numbers of eight digits": np.round(RNG.normal(20_240_000, 30_000, N)),
    "a constant of eight digits": np.full(N, 20_249_900.0),
    "a sawtooth": 50 + 10 * ((ROWS / 37) % 1) ** 1.2,
}


@pytest.mark.parametrize("name", CLOCKS)
def test_it_is_a_clock_or_an_id(name):
    assert list(clocks({"column": CLOCKS[name], "T": MEASUREMENTS["noise"]})) == ["column"]


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_it_is_a_measurement(name):
    assert clocks({"column": MEASUREMENTS[name]}) == {}


def test_parts_of_a_clock_are_known_beside_each_other():
    month = (STAMPS.astype("datetime64[M]") - np.datetime64("2024-01")).astype(int) + 1.0
    parts = {"year": np.full(N, 2024.0), "month": month, "day": DAY, "hour": ROWS % 24}
    assert list(clocks({**parts, "T": MEASUREMENTS["noise"], "set point": np.full(N, 2000.5)})) == list(parts)


def test_a_constant_alone_is_no_year():
    assert clocks({"rated power": np.full(N, 2000.0), "T": MEASUREMENTS["noise"]}) == {}


@pytest.mark.parametrize("name", ["time", "Timestamp", "Time [s]"])
def test_a_column_named_as_a_time_rises_at_any_length(name):
    assert list(clocks({name: np.array([0.0, 10.0])})) == [name]
    assert clocks({name: np.array([0.0, -1.0])}) == {}


def test_unix_times_in_no_order_are_known_by_their_name():
    shuffled = RNG.permutation(1.7e9 + 3600 * ROWS)
    assert list(clocks({"timestamp": shuffled, "p_Pa": shuffled})) == ["timestamp"]
