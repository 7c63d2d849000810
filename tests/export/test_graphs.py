"""A run's graph gives what aejax gives: of raw rows in their units, with gaps, constants and conditions."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aejax import tables, tasks
from aejax.base import Batch
from aejax.data.columns.scalers import scaled_rows
from aejax.export import verdicts
from aejax.export.folder import export_run
from aejax.export.graphs import graph, tasks_of
from aejax.tables.config import TrainConfig
from aejax.tables.survey import rows_of
from tests.export.measuring import COLUMNS, differences, expected, new_rows, plant_rows, trained
from tests.tables.test_mixed import frame_of, table_of

ROUNDING = 1e-6


def run_whole(run, task, x):
    with jax.enable_x64(True):
        return [np.asarray(output) for output in jax.jit(graph(run, task).whole)(x)]


def test_a_verdict_is_that_of_detect_gaps_and_changed_constants_included(plant_run):
    x = new_rows(60)
    score, p_value, is_anomaly = run_whole(plant_run, "detect", x)
    wanted = expected(plant_run, "detect", x)
    np.testing.assert_allclose(score, wanted[0], rtol=ROUNDING)
    np.testing.assert_allclose(p_value, wanted[1], rtol=1e-12)
    np.testing.assert_array_equal(is_anomaly, wanted[2])
    assert np.isnan(score[3])
    assert not is_anomaly[3]  # nothing of it is observed
    assert is_anomaly[4]  # its constant has changed
    assert is_anomaly[5]
    assert 0 < is_anomaly.mean() < 0.5


def test_reconstructions_and_codes_are_in_the_units_of_the_table(plant_run):
    x = new_rows(60)
    (clean,) = run_whole(plant_run, "reconstruct", x)
    np.testing.assert_allclose(clean, expected(plant_run, "reconstruct", x)[0], rtol=ROUNDING)
    np.testing.assert_array_equal(clean[:, COLUMNS.index("valve")], 60)
    (code,) = run_whole(plant_run, "encode", x)
    np.testing.assert_allclose(code, expected(plant_run, "encode", x)[0], atol=ROUNDING)


def test_rows_without_their_conditions_have_no_result(tmp_path):
    run = trained("conditional_vae", tmp_path, num_epochs=1)
    x = new_rows(30)
    x[6:, COLUMNS.index("load")] = np.linspace(0, 2, 24)
    x[8, COLUMNS.index("load")] = np.nan
    for task in ("encode", "reconstruct", "detect"):
        for got, want in zip(run_whole(run, task, x), expected(run, task, x), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=ROUNDING)
    assert np.isnan(run_whole(run, "encode", x)[0][8]).all()


@pytest.fixture(scope="module")
def mixed_run(tmp_path_factory):
    config = TrainConfig("vae", latent_dim=2, num_epochs=3, hidden_dims=(16,), false_alarm_rate=0.05)
    return tables.train(table_of(frame_of(400, 0)), config, tmp_path_factory.mktemp("mixed"))


def test_categories_and_angles_are_in_the_graph(mixed_run):
    """A category goes in and comes out as the number of its level, -1 for one that training never saw."""
    frame = {name: np.array(values) for name, values in frame_of(60, 1).items()}
    frame["grade"][:2], frame["temp"][2], frame["wind"][3] = "D", np.nan, np.nan
    table = table_of(frame, mixed_run)
    rows = rows_of(mixed_run, table).x
    assert rows[0, 1] == -1
    for got, want in zip(
        run_whole(mixed_run, "detect", rows), list(tables.detect(mixed_run, table).values())[:3], strict=True
    ):
        np.testing.assert_allclose(got.astype(float), want.astype(float), rtol=1e-5)
    (clean,) = run_whole(mixed_run, "reconstruct", rows)
    wanted = tables.reconstruct(mixed_run, table)
    for place, name in enumerate(mixed_run.columns):
        if levels := mixed_run.levels.get(name):
            assert [levels[int(number)] if number == number else "" for number in clean[:, place]] == list(wanted[name])
        else:
            np.testing.assert_allclose(clean[:, place], wanted[name], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["stablehlo", "onnx"])
def test_files_of_tables_with_categories(mixed_run, format, request, tmp_path):
    request.getfixturevalue(f"{format}_extra")
    found = export_run(mixed_run, tmp_path, format)
    # A score that equals a normal row's but for rounding may fall to either side of it.
    assert all(each.largest < (0.02 if each.output == "p_value" else 1e-5) for each in found)
    about = json.loads((tmp_path / "export.json").read_text())
    assert about["input"]["categories"] == {"grade": ["A", "B", "C"], "shift": ["day", "night"]}


def test_rows_that_the_likelihood_cannot_have_have_no_result(tmp_path):
    """``aejax detect`` refuses such a table; a graph cannot."""
    plant = plant_rows(0, 400)
    within = np.clip(plant, *np.quantile(plant, [0.2, 0.8], axis=0))
    run = trained("autoencoder", tmp_path, within, num_epochs=1, likelihood="bernoulli")
    x = within[:3].copy()
    x[1, 0] = plant[:, 0].max()
    score, p_value, is_anomaly = run_whole(run, "detect", x)
    assert np.isnan(score).tolist() == np.isnan(p_value).tolist() == [False, True, False]
    assert not is_anomaly[1]


def test_normal_rows_with_gaps_are_compared_with_what_they_hold(plant_run):
    """The p-value by hand: of the normal rows that hold what it holds, those that score as high, the same hidden."""
    normal = plant_run.calibration.rows
    x = np.array(normal.x)
    x[::3, 0] = np.nan
    run = plant_run._replace(calibration=plant_run.calibration._replace(rows=Batch(x)))
    rows = new_rows(60)[40:]
    rows[:5, 1] = np.nan
    key = jax.random.key(run.config.seed)
    constant = np.array(COLUMNS) == "valve"
    scaled = scaled_rows(run.scaler, np.where(constant, 60, rows))
    score = tasks.anomaly.score(key, run.model, run.variables, scaled)
    found = run_whole(run, "detect", rows)[1]
    for row in range(8):
        seen = ~np.isnan(scaled[row])
        holding = x[~np.isnan(x[:, seen]).any(axis=1)]
        of_normal = tasks.anomaly.score(key, run.model, run.variables, np.where(seen, holding, np.nan))
        assert found[row] == pytest.approx((1 + (of_normal >= score[row]).sum()) / (1 + len(holding)))


def test_normal_scores_are_counted_as_searchsorted_does():
    rng = np.random.default_rng(0)
    for size in (0, 1, 2, 7, 8, 100):
        in_order = np.sort(rng.integers(0, 9, size)).astype(np.float32)
        score = np.array([*range(-1, 10), 3.5, np.inf], np.float32)
        found = verdicts.num_below(in_order, jnp.asarray(score))
        np.testing.assert_array_equal(found, np.searchsorted(in_order, score))


@pytest.mark.parametrize("rate", [0.05, 4 / 81])
def test_alarms_keep_to_the_rate(plant_run, rate):
    """There are 80 normal rows: a p-value can be the second rate, and rounding must not decide."""
    run = plant_run._replace(config=dataclasses.replace(plant_run.config, false_alarm_rate=rate))
    x = new_rows(1000)[40:]
    _, p_value, is_anomaly = run_whole(run, "detect", x)
    np.testing.assert_array_equal(is_anomaly, p_value <= rate + 1e-12)
    np.testing.assert_array_equal(is_anomaly, expected(run, "detect", x)[2])


@pytest.mark.slow
@pytest.mark.parametrize("format", ["stablehlo", "onnx"])
def test_every_model_gives_the_same_in_a_file(member, request, format, tmp_path):
    request.getfixturevalue(f"{format}_extra")
    name = request.node.callspec.params["member"]
    run = trained(name, tmp_path / "run")
    for task in tasks_of(run):
        first, *others = differences(run, task, format, new_rows(1000), tmp_path)
        assert first < 1e-5, task
        if others:
            p_value, num_alarms = others
            # A score that rounds to the other side of a normal row's is one row further.
            assert p_value < 2 / (1 + len(run.calibration.score)) / 0.05
            assert num_alarms <= 1
