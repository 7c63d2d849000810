"""Limits of a monitor from few independent rows: how many there are, and a tail that makes up for it."""

import jax
import numpy as np
import pytest

from aejax.tasks import anomaly
from aejax.tasks.anomaly.limits import is_many, limit_on
from benchmarks.monitor_limits import drawn, fitted, states


def slow(time, num_rows, seed):
    return states("AR(1)", time, num_rows, np.random.default_rng(seed))[:, 0]


@pytest.mark.parametrize(("time", "num_rows"), [(1, 1000), (10, 1000), (30, 1000), (10, 400)])
def test_the_correlation_time_of_an_ar_process_is_the_known_one(time, num_rows):
    """(1 + phi) / (1 - phi): where the rows hold 20 such times it is up to a quarter too long, and not too short."""
    phi = np.exp(-1 / time)
    found = [anomaly.correlation_time(slow(time, num_rows, seed)) for seed in range(300)]
    assert 0.95 < np.mean(found) * (1 - phi) / (1 + phi) < 1.25


def test_the_slowest_column_counts():
    fast = np.random.default_rng(0).standard_normal(1000)
    assert anomaly.num_stretches(fast, slow(30, 1000, 1)) == anomaly.num_stretches(slow(30, 1000, 1))
    assert anomaly.num_stretches(np.arange(400.0)) < 3
    assert anomaly.num_stretches(np.full(400, 7.0)) == 400


@pytest.mark.parametrize("stretches", [4, 10, 40])
def test_a_tail_holds_on_average_whatever_the_number_of_rows(stretches):
    """Exactly, for lognormal scores of which each independent one is seen ten times."""
    rng = np.random.default_rng(0)
    limits = [
        anomaly.tail_threshold(np.repeat(np.exp(rng.standard_normal(stretches)), 10), stretches, 0.01)
        for _ in range(4000)
    ]
    new = np.exp(rng.standard_normal(200_000))
    rates = 1 - np.searchsorted(np.sort(new), limits) / len(new)
    assert rates.mean() == pytest.approx(0.01, abs=4 * rates.std() / np.sqrt(len(rates)) + 5e-4)


def test_limits_follow_the_rows_where_independent_stretches_are_many():
    score = np.random.default_rng(0).uniform(size=500)  # no tail: a fitted one would lie above all scores
    assert is_many(99, 0.01)
    assert not is_many(98, 0.01)
    assert limit_on(score, 0.01, "auto", num_stretches=99) == anomaly.threshold(score, 0.01)
    assert limit_on(score, 0.01, "auto", num_stretches=20) > 1
    assert limit_on(score, 0.01, "rows", num_stretches=20) == anomaly.threshold(score, 0.01)
    assert anomaly.tail_threshold(score, 1.5, 0.01) == np.inf
    assert anomaly.tail_threshold(np.zeros(9), 5, 0.01) == np.inf


@pytest.mark.slow
@pytest.mark.filterwarnings(r"ignore:x. the \d+ rows hold only")
def test_false_alarms_of_slow_processes_are_at_most_twice_those_asked():
    """Rows that forget within 30, of which 400 hold seven independent stretches: limits of rows give four times."""
    rates = []
    for seed in range(20, 28):
        rows, new = drawn("AR(1)", 30, 400, seed)
        monitor = fitted(rows, seed, "rows")
        of_rows = anomaly.watch(monitor, new)[0].is_above.mean()
        if monitor.num_stretches < 3:  # refused
            continue
        monitor = anomaly.recalibrate(monitor)
        rates.append((of_rows, anomaly.watch(monitor, new)[0].is_above.mean()))
    of_rows, obtained = np.mean(rates, axis=0)
    assert len(rates) >= 3
    assert obtained <= 0.02
    assert of_rows > 0.02


def test_too_few_stretches_are_refused_in_one_sentence(key):
    ramp = np.random.default_rng(0).standard_normal((300, 3))
    ramp[:, 1] += np.arange(300) / 20
    expected = (
        r"x: the 300 rows hold only about 1\.\d independent stretches \(column 1, counted from 0, is the slowest\)"
    )
    options = {"num_epochs": 1, "false_alarm_rate": 0.05, "num_folds": 2}
    with pytest.raises(ValueError, match=expected + ", expected at least 3"):
        anomaly.fit_monitor(key, ramp, **options)
    with pytest.warns(UserWarning, match=expected + ", so that other normal operation may give many times"):
        by_rows = anomaly.fit_monitor(key, ramp, limits="rows", **options)
    with pytest.raises(ValueError, match="expected at least 3"):
        anomaly.recalibrate(by_rows)


def test_long_independent_tables_have_the_limits_of_their_rows():
    x = np.random.default_rng(0).standard_normal((3000, 3))
    monitor = anomaly.fit_monitor(jax.random.key(0), x, num_epochs=1, num_lags=0, smoothing=1.0, alarm_rule=(1, 1))
    by_rows = anomaly.recalibrate(monitor, limits="rows")
    assert monitor.num_stretches > 1000
    jax.tree.map(np.testing.assert_array_equal, monitor.limit, by_rows.limit)
