"""Limits that adapt: their guarantee on any sequence, and a stream that may be cut anywhere."""

import json

import jax
import numpy as np
import pytest

from aejax import tables
from aejax.data.formats.tables import Table
from aejax.tables.watching import packed, unpacked, watcher_of
from aejax.tasks import anomaly
from aejax.tasks.anomaly.adaptive import adapted
from benchmarks.monitor_limits import drawn, fitted

RATE = 0.01


@pytest.fixture(scope="module")
def plant():
    rows, new = drawn("AR(1)", 1, 1000, 90)
    return fitted(rows, 0, "auto"), new[:4000]


def all_above(rate, turn, rng):
    return 1e-4


def contrary(rate, turn, rng):
    """Above whenever it can be, then never, in long turns."""
    return max(min(rate, 1.0), 1e-4) if turn // 500 % 2 else 1.0


def just_above(rate, turn, rng):
    """An adversary that knows the rate and stays a hair on the other side of it."""
    return min(max(rate, 1e-4), 1.0)


def normal(rate, turn, rng):
    return rng.uniform()


@pytest.mark.parametrize("step", [0.001, 0.02, 0.3])
@pytest.mark.parametrize("play", [all_above, contrary, just_above, normal])
def test_on_any_sequence_the_share_above_is_the_rate_within_the_bound(plant, play, step):
    """Gibbs & Candès 2021, proposition 4.1."""
    monitor, rng = plant[0], np.random.default_rng(0)
    rate, above, errors = RATE, np.zeros(3, bool), []
    for turn in range(3000):
        is_above, _, found, above = adapted(np.array([play(rate, turn, rng)]), monitor, rate, above, step)
        rate = float(found)
        errors.append(is_above[0])
        bound = (max(RATE, 1 - RATE) + step) / ((turn + 1) * step)
        assert abs(np.mean(errors) - RATE) <= bound + 1e-9
    # With limits that stay nothing bounds it.
    assert play is not all_above or np.mean(errors) < 0.5


def test_a_drift_gives_the_rate_asked_for_and_a_long_fault_becomes_normal(plant):
    monitor, new = plant
    drifting = new + np.linspace(0, 3, len(new))[:, None]
    assert anomaly.watch(monitor, drifting)[0].is_above.mean() > 0.3
    chart, _ = anomaly.watch_adaptive(monitor, drifting)
    assert chart.is_above.mean() < 0.02
    faulty = new.copy()
    faulty[2000:, 3] += 10
    above = anomaly.watch_adaptive(monitor, faulty)[0].is_above[2005:]
    assert above[:5].all()
    assert above[100:].mean() < 0.05


def test_a_stream_of_blocks_equals_the_whole_series(plant):
    monitor, new = plant
    x = new[:300] + np.linspace(0, 3, 300)[:, None]
    x[40] = np.nan
    whole, end = anomaly.watch_adaptive(monitor, x)
    state, parts = None, []
    for block in np.split(x, [1, 2, 90, 200]):
        chart, state = anomaly.watch_adaptive(monitor, block, state)
        parts.append(chart)
    for name, expected in zip(whole._fields, whole, strict=True):
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), expected, name)
    jax.tree.map(np.testing.assert_array_equal, state, end)
    votes = anomaly.votes(np.delete(whole.is_above, 40), monitor.alarm_rule)
    np.testing.assert_array_equal(np.delete(whole.is_alarm, 40), votes)
    assert not whole.is_above[40]


def test_a_row_that_is_not_judged_has_no_vote_and_moves_no_limit(plant):
    monitor, none = plant[0]._replace(alarm_rule=(2, 3)), np.zeros(3, bool)
    gaps = adapted(np.array([1e-4, np.nan, np.nan, 1e-4]), monitor, RATE, none, 0.001)
    whole = adapted(np.array([1e-4, 1e-4]), monitor, RATE, none, 0.001)
    assert gaps[1].tolist() == [False, False, False, True]
    assert float(gaps[2]) == float(whole[2])


def test_a_watcher_remembers_the_rate_over_a_restart(plant):
    monitor, new = plant
    rows = new[:30] + 2.0
    table = tables.table_monitor(monitor, Table(tuple(f"s{index}" for index in range(12)), new[:500], True, ()))
    watcher = watcher_of(table, adaptive=0.001)
    memory, verdicts = watcher.begin(), []
    for row in rows:
        verdict, memory = watcher.judge(memory, row)
        memory = unpacked(watcher, json.loads(json.dumps(packed(memory))))
        verdicts.append(verdict)
    chart, state = anomaly.watch_adaptive(monitor, rows, step=0.001)
    np.testing.assert_array_equal([verdict["above"] for verdict in verdicts], chart.is_above)
    np.testing.assert_array_equal([verdict["alarm"] for verdict in verdicts], chart.is_alarm)
    assert float(memory.stream.rate) == float(state.rate) < RATE
    assert verdicts[0]["rate"] == RATE


def test_a_bad_step_is_named(plant):
    monitor, new = plant
    with pytest.raises(ValueError, match=r"step: found 0\.0, expected a number in \(0, 1\]"):
        anomaly.watch_adaptive(monitor, new[:5], step=0.0)
