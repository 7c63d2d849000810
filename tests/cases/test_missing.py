"""Tables with gaps: false alarms as asked for, faults found, gaps filled by what was observed."""

import jax
import numpy as np
import pytest

import aejax
from aejax import tables
from aejax.data.columns.scalers import scale
from aejax.data.formats.tables import read_table
from aejax.reports.monitoring import summary
from aejax.tables.config import TrainConfig
from aejax.tasks import anomaly

pytestmark = pytest.mark.slow  # trainings at full size, and statistics over thousands of rows

SENSORS = ("T_feed", "T_out", "P_top", "F_steam", "L_drum", "V_pos")


@pytest.fixture(scope="module")
def folder(cases):
    return cases / "tables" / "25-missing"


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    config = TrainConfig(num_epochs=120)
    return tables.train(read_table(folder / "train.csv"), config, tmp_path_factory.mktemp("missing") / "run")


@pytest.fixture(scope="module")
def new(folder):
    return read_table(folder / "new.csv")


def without(values, pattern):
    """The rows without the sensors of the pattern, or without a share of their cells."""
    rows = values.copy()
    if isinstance(pattern, float):
        rows[np.random.default_rng(0).random(rows.shape) < pattern] = np.nan
    else:
        rows[:, [SENSORS.index(name) for name in pattern]] = np.nan
    return rows


PATTERNS = [("T_out",), ("T_out", "F_steam"), 0.01, 0.05, 0.2]


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_false_alarms_are_as_asked_for(run, new, pattern):
    """The mean of 20 calibrations, since one of 600 rows gives 0.2 to 2 %."""
    whole = scale(run.scaler, new.values)
    gaps, rates, rng = scale(run.scaler, without(new.values, pattern)), [], np.random.default_rng(1)
    for _ in range(20):
        normal, others = np.split(rng.permutation(len(whole)), [1000])
        calibration = aejax.calibrate(jax.random.key(0), run.model, run.variables, whole[normal])
        found = aejax.detect(jax.random.key(0), run.model, run.variables, gaps[others], calibration, 0.01)
        rates.append(found.is_anomaly.mean())
    assert 0.005 < np.mean(rates) < 0.015


@pytest.mark.parametrize("file", ["new.csv", "new_dead_sensor.csv", "new_20pct.csv", "new_empty_rows.csv"])
def test_few_normal_rows_of_a_file_are_flagged(run, folder, file):
    table = read_table(folder / file)
    notes = []
    found = tables.detect(run, table, notice=notes.append)
    assert found["is_anomaly"].mean() < 0.02
    is_empty = np.isnan(table.values).all(axis=1)
    assert np.isnan(found["p_value"][is_empty]).all()
    if file == "new_dead_sensor.csv":
        assert "rows with gaps: 3000 of 3000 (T_out 3000)" in notes
        assert "T_out" not in found["top_sensor"]


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_a_fault_is_found_as_by_the_mahalanobis_distance_of_what_was_observed(run, folder, new, pattern):
    train = read_table(folder / "train.csv").values
    rows = without(new.values, pattern)
    limit = {
        count: np.quantile(linear_score(train, rows)[counted(rows) == count], 0.99) for count in set(counted(rows))
    }
    for index, name in enumerate(SENSORS):
        fault = rows.copy()
        fault[:, index] += 25
        seen = ~np.isnan(fault[:, index])
        limits = np.array([limit[count] for count in counted(rows)])
        if name == "F_steam" or not seen.any():  # whose own noise is twice as large
            continue
        best = (linear_score(train, fault) > limits)[seen].mean()
        found = tables.detect(run, new._replace(values=fault))["is_anomaly"][seen].mean()
        assert found > best - 0.05, name


def counted(rows):
    return (~np.isnan(rows)).sum(axis=1)


def linear_score(train, rows):
    """Of Gaussian rows, each over what is observed of it."""
    mean, covariance = train.mean(axis=0), np.cov(train.T)
    score = np.zeros(len(rows))
    for seen in np.unique(~np.isnan(rows), axis=0):
        of_pattern = (~np.isnan(rows) == seen).all(axis=1)
        part = rows[np.ix_(of_pattern, seen)] - mean[seen]
        score[of_pattern] = np.sum(part @ np.linalg.pinv(covariance[np.ix_(seen, seen)]) * part, axis=1)
    return score


def test_a_dead_sensor_is_rebuilt_as_by_linear_regression(run, folder, new):
    train = read_table(folder / "train.csv").values
    others = np.arange(6) != 1
    design = np.column_stack([train[:, others], np.ones(len(train))])
    weights = np.linalg.lstsq(design, train[:, 1], rcond=None)[0]
    regression = np.column_stack([new.values[:, others], np.ones(len(new.values))]) @ weights
    rebuilt = tables.reconstruct(run, new._replace(values=without(new.values, ("T_out",))))["T_out"]
    of_regression, ours = (
        1 - np.mean((part - new.values[:, 1]) ** 2) / new.values[:, 1].var() for part in (regression, rebuilt)
    )
    assert ours > of_regression - 0.02


@pytest.mark.parametrize("model", ["vae", "autoencoder"])
def test_training_on_gaps_gives_a_model_of_whole_rows(folder, new, model, tmp_path):
    run = tables.train(
        read_table(folder / "train_20pct.csv"), TrainConfig(model=model, num_epochs=60), tmp_path / "run"
    )
    gaps = without(new.values, ("T_out",))
    rebuilt = tables.reconstruct(run, new._replace(values=gaps))["T_out"]
    assert explained(rebuilt, new.values[:, 1]) > 0.94


def explained(rebuilt, truth):
    return 1 - np.mean((rebuilt - truth) ** 2) / truth.var()


@pytest.fixture(scope="module")
def monitor(cases):
    normal = read_table(cases / "tables" / "40-monitor" / "normal.csv")
    return tables.fit_monitor(jax.random.key(0), normal, num_epochs=60)


def test_a_monitor_gives_no_more_alarms_where_something_is_missing(monitor, cases):
    folder = cases / "tables" / "40-monitor"
    whole = tables.watch(monitor, read_table(folder / "new.csv")).chart.is_above.mean()
    for file in ("new_missing.csv", "new_gap.csv"):
        table = read_table(folder / file)
        found = tables.watch(monitor, table)
        assert found.chart.is_above.mean() < whole + 0.01, file
        is_empty = np.isnan(table.values).all(axis=1)
        assert not found.chart.is_alarm[is_empty].any()
        assert np.isnan(found.chart.excess[is_empty]).all()
        assert "rows with gaps" in summary(monitor, found) or "empty rows, without a verdict" in summary(monitor, found)
    new = read_table(folder / "new.csv")
    for dead in (("T_out",), ("T_feed", "F_steam")):
        found = tables.watch(monitor, new._replace(values=without(new.values, dead)))
        assert found.chart.is_above.mean() < whole + 0.015, dead
        assert not set(dead) & set(found.top_sensor)


def test_a_monitor_finds_the_fault_with_gaps_and_without(monitor, cases):
    fault = read_table(cases / "tables" / "40-monitor" / "fault.csv")
    gaps = without(fault.values, 0.2)
    gaps[:, 1] = fault.values[:, 1]
    for values in (fault.values, gaps):
        found = tables.watch(monitor, fault._replace(values=values))
        assert found.chart.is_alarm[1010:].mean() > 0.98
        assert (found.top_sensor[1010:] == "T_out").mean() > 0.95


@pytest.mark.parametrize("normal", ["normal", "normal_sentinel"])
def test_sentinels_are_gaps_and_hide_no_fault(cases, normal):
    folder, notes = cases / "tables" / "41-monitor-gaps", []
    monitor = tables.fit_monitor(jax.random.key(0), read_table(folder / f"{normal}.csv"), notes.append, num_epochs=60)
    assert any("hold -999" in note for note in notes) == (normal == "normal_sentinel")
    notes.clear()
    charts = {
        name: tables.watch(monitor, read_table(folder / f"{name}.csv"), notes.append).chart
        for name in ("new", "new_missing", "new_sentinel", "fault")
    }
    assert any("1 new rows hold -999" in note for note in notes)
    for name in ("new", "new_missing", "new_sentinel"):
        assert charts[name].is_above.mean() < 0.03, name
    assert charts["fault"].is_alarm[5:].mean() > 0.98


def test_a_stuck_sensor_is_pointed_out(cases):
    folder, notes = cases / "tables" / "41-monitor-gaps", []
    monitor = tables.fit_monitor(jax.random.key(0), read_table(folder / "normal.csv"), num_epochs=30)
    tables.watch(monitor, read_table(folder / "new_stuck.csv"), notes.append)
    assert [note for note in notes if note.startswith("s4: stands still at 48.05 from row 200 to 249")]
    notes.clear()
    tables.watch(monitor, read_table(folder / "new.csv"), notes.append)
    assert not notes


def test_the_obtained_rate_says_for_which_rows_it_holds(monitor, cases):
    table = read_table(cases / "tables" / "40-monitor" / "new_missing.csv")
    assert "the rate obtained is that of the normal rows as they are" in summary(monitor, tables.watch(monitor, table))


def test_contributions_name_nothing_that_was_not_observed(monitor, cases):
    table = read_table(cases / "tables" / "40-monitor" / "new_missing.csv")
    contribution = anomaly.contributions(monitor.monitor, table.values)
    assert (contribution[np.isnan(table.values)] == 0).all()
    assert (contribution[~np.isnan(table.values)] >= 0).all()
