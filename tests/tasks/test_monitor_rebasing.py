"""A new state of a process is accepted without training."""

import jax
import numpy as np
import pytest

import aejax
from aejax import tables
from aejax.data.formats.tables import Table
from aejax.tasks import anomaly
from benchmarks.monitor_limits import drawn, fitted

SHIFT = np.linspace(-4, 4, 12)


@pytest.fixture(scope="module")
def plant():
    rows, new = drawn("AR(1)", 3, 1000, 80)
    return fitted(rows, 0, "auto"), new


@pytest.fixture(scope="module")
def rebased(plant):
    monitor, new = plant
    return anomaly.rebase_monitor(monitor, new[:1500] + SHIFT)


def test_after_a_shift_the_old_monitor_alarms_for_ever_and_the_rebased_one_as_often_as_asked(plant, rebased):
    monitor, new = plant
    moved = new[1500:] + SHIFT
    assert anomaly.watch(monitor, moved)[0].is_alarm[20:].all()
    assert 0 < anomaly.watch(rebased, moved)[0].is_above.mean() < 0.02
    assert 0 < rebased.rate.obtained < 0.03
    # The old state is the anomaly now.
    assert anomaly.watch(rebased, new[1500:3000])[0].is_alarm[20:].all()


def test_a_fault_in_the_new_state_is_found_and_named(plant, rebased):
    _, new = plant
    faulty = new[1500:2500] + SHIFT
    faulty[500:, 7] += 3
    chart, _ = anomaly.watch(rebased, faulty)
    assert chart.is_alarm[510:].mean() > 0.95
    assert chart.is_alarm[:500].mean() < 0.03
    assert (anomaly.contributions(rebased, faulty)[510:].argmax(axis=1) == 7).mean() > 0.9


def test_nothing_is_trained(plant, rebased):
    monitor, _ = plant
    assert rebased.model is monitor.model
    jax.tree.map(np.testing.assert_array_equal, rebased.variables, monitor.variables)
    np.testing.assert_array_equal(rebased.scaler.scale, monitor.scaler.scale)


def test_rows_that_do_not_fit_are_named(plant):
    monitor, new = plant
    with pytest.raises(ValueError, match="x: found 11 columns, expected 12"):
        anomaly.rebase_monitor(monitor, new[:500, 1:])
    with pytest.raises(ValueError, match="num_folds: found 5 for 15 rows"):
        anomaly.rebase_monitor(monitor, new[:15])
    with pytest.raises(ValueError, match=r"false_alarm_rate: found 0\.01, but 50 rows"):
        anomaly.rebase_monitor(monitor, new[:50])


def test_a_table_is_rebased_by_its_names(plant, tmp_path):
    monitor, new = plant
    names = tuple(f"s{index}" for index in range(12))
    watched = tables.table_monitor(monitor, Table(names, new[:500], True, ()))
    turned = Table(names[::-1], (new[:1500] + SHIFT)[:, ::-1], True, ())
    found = tables.rebase_monitor(watched, turned)
    aejax.save(tmp_path, found)
    again = aejax.load(tmp_path)
    assert again.columns == names
    assert again.monitor.num_stretches == found.monitor.num_stretches > 50
    np.testing.assert_allclose(again.monitor.limit.spe, anomaly.rebase_monitor(monitor, new[:1500] + SHIFT).limit.spe)
    assert tables.watch(again, turned).chart.is_above.mean() < 0.02
