"""A start-up among the normal rows is found and left out; rows of a stationary process are not."""

import jax
import numpy as np
import pytest

from aejax.tasks import anomaly
from aejax.tasks.anomaly.transients import transients
from benchmarks.monitor_limits import drawn, states

OPTIONS = {"latent_dim": 6, "num_epochs": 20, "learning_rate": 1e-2}


def started_up(rows, size, time, seed=0):
    """First-order settling along a random direction, so many standard deviations away at first."""
    direction = np.random.default_rng(seed).standard_normal(rows.shape[1]) * rows.std(axis=0)
    return rows + size * np.exp(-np.arange(len(rows)) / time)[:, None] * direction


def settling():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((400, 3))
    return np.square(rows).mean(axis=1) + 50 * np.exp(-np.arange(400) / 20), rows


@pytest.mark.filterwarnings(r"ignore:x. the \d+ rows hold only")
@pytest.mark.parametrize(("size", "time"), [pytest.param(3, 20, marks=pytest.mark.slow), (10, 50)])
def test_a_start_up_is_left_out_and_said(key, size, time):
    rows, new = drawn("AR(1)", 3, 1000, 70)
    x = started_up(rows, size, time)
    with pytest.warns(UserWarning, match=r"x: the first \d+ of 1000 rows stand out from the others, as a start-up"):
        monitor = anomaly.fit_monitor(key, x, **OPTIONS)
    begin, end = monitor.left_out
    # It ends where the settling is lost in the noise.
    assert time < begin < 5 * time
    assert end == 0
    assert len(monitor.held_out.combined) == 1000 - begin
    kept = anomaly.fit_monitor(key, x, keep_transients=True, **OPTIONS)
    assert kept.left_out == (0, 0)
    # The start-up set the limits: no false alarm, and a fault that was not found.
    faulty = new[:3000].copy()
    faulty[:, 4] += 2.5
    assert anomaly.watch(kept, new)[0].is_above.mean() < 0.001
    assert anomaly.watch(monitor, new)[0].is_above.mean() < 0.03
    found, lost = (anomaly.watch(one, faulty)[0].is_alarm.mean() for one in (monitor, kept))
    assert found > lost + 0.3


def test_rows_at_the_end_are_found_likewise():
    score, rows = settling()
    begin, end = transients(score, rows)
    assert 60 < begin < 150
    assert end == 0
    assert transients(score[::-1], rows[::-1]) == (0, begin)


@pytest.mark.parametrize("process", ["AR(1)", "AR(2)", "drifting"])
def test_clean_rows_are_left_out_in_few_tables(process):
    """Of 80 tables of each process at most 5 lose rows; scores are those of a perfect model."""
    cut = 0
    for seed in range(80):
        rng = np.random.default_rng(seed)
        rows = states(process, (1, 3, 10, 30)[seed % 4], 800, rng)
        score = np.square(rows).mean(axis=1) + np.square(rng.standard_normal((800, 10))).mean(axis=1)
        cut += any(transients(score, rows))
    assert cut <= 5


def test_rows_without_a_score_are_counted_where_they_lie():
    score, rows = settling()
    gaps = np.insert(score, 0, [np.nan] * 7), np.insert(rows, 0, np.full((7, 3), np.nan), axis=0)
    assert transients(*gaps)[0] == transients(score, rows)[0] + 7
    assert transients(np.full(400, 2.0), rows) == (0, 0)


def test_what_is_left_out_has_no_part(key):
    rows, _ = drawn("AR(1)", 1, 1000, 72)
    x = started_up(rows, 20, 20)
    with pytest.warns(UserWarning, match="the first"):
        monitor = anomaly.fit_monitor(key, x, **OPTIONS)
    again = anomaly.fit_monitor(key, x[monitor.left_out[0] :], keep_transients=True, **OPTIONS)
    jax.tree.map(np.testing.assert_array_equal, monitor.limit, again.limit)
    np.testing.assert_array_equal(monitor.scaler.mean, again.scaler.mean)
