"""Runs on tables with categories and angles: every model, and everything that is done with a run."""

import dataclasses
import functools
import inspect
import json

import jax
import numpy as np
import pytest

import aejax
from aejax import losses, tables
from aejax.artefacts import codecs
from aejax.data.columns.features import widths
from aejax.data.formats.tables import as_table, write_table
from aejax.models import MODELS
from aejax.reports.run import write_report
from aejax.tables import Run, stored
from aejax.tables import config as configs
from aejax.tables import run as runs
from aejax.tables.config import TrainConfig
from aejax.tables.watching import watcher_of

CENTRES = {"A": 60.0, "B": 80.0, "C": 100.0}
COLUMNS = ("temp", "grade", "press", "shift", "wind", "flow")
CONFIG = TrainConfig(num_epochs=40, latent_dim=4, hidden_dims=(32,), learning_rate=3e-3)
QUICK = dataclasses.replace(CONFIG, num_epochs=1, hidden_dims=())


# The scale that the conditional VAE predicts is a second output of its decoder: beside categories it has one a column.
TAKE_LIKELIHOODS = [
    name
    for name, factory in sorted(MODELS.items())
    if "likelihood" in inspect.signature(factory).parameters and name != "conditional_vae"
]


def frame_of(num_rows, seed, columns=COLUMNS):
    """The grade sets the temperature, the wind the flow; no shift is noted in a tenth of the rows."""
    rng = np.random.default_rng(seed)
    grade = rng.choice(list(CENTRES), num_rows, p=[0.5, 0.3, 0.2])
    wind = rng.uniform(0, 360, num_rows)
    temp = np.array([CENTRES[name] for name in grade]) + 2 * rng.normal(size=num_rows)
    frame = {
        "temp": temp,
        "grade": grade,
        "press": temp / 10 + 0.2 * rng.normal(size=num_rows),
        "shift": rng.choice(["day", "night", ""], num_rows, p=[0.5, 0.4, 0.1]),
        "wind": wind,
        "flow": 5 * np.cos(np.radians(wind)) + 0.3 * rng.normal(size=num_rows),
    }
    return {name: frame[name] for name in columns}


def table_of(frame, run=None):
    options = {} if run is None else {"options": run.config.reading, "columns": run.source.columns}
    return as_table(frame, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tables.train(table_of(frame_of(2000, 0)), CONFIG, tmp_path_factory.mktemp("mixed") / "run")


@pytest.fixture(scope="module")
def new():
    return frame_of(1000, 1)


def test_the_kinds_are_recognised_and_kept(run):
    assert [column.kind for column in run.profile.columns][1:5:2] == ["category"] * 2
    assert run.profile.columns[4].kind == "angle"
    assert run.config.reading.kinds == ("grade=category", "shift=category")
    assert len(run.scaler.mean) == widths(run.profile.columns).sum() == 3 + 3 + 3 + 2


def test_reconstructions_have_categories(run, new):
    found = tables.reconstruct(run, table_of(new, run))
    assert list(found) == list(COLUMNS)
    assert (found["grade"] == new["grade"]).mean() > 0.98
    assert set(found["shift"]) <= {"day", "night", ""}
    turn = np.abs((found["wind"] - new["wind"] + 180) % 360 - 180)
    assert np.median(turn) < 30
    assert np.corrcoef(found["temp"], new["temp"])[0, 1] > 0.98


def test_false_alarms_are_as_asked_for_and_what_does_not_fit_is_found(run, new):
    found = tables.detect(run, table_of(new, run), 0.05)
    assert 0.02 < found["is_anomaly"].mean() < 0.09
    wrong = {name: np.array(values) for name, values in new.items()}
    hot = new["temp"] > 90
    wrong["grade"] = np.where(hot, "A", wrong["grade"])
    found = tables.detect(run, table_of(wrong, run), 0.05)
    assert found["is_anomaly"][hot].mean() > 0.9
    assert (found["top_sensor"][hot] == "grade").mean() > 0.8


def test_a_new_category_is_an_alarm_of_its_own_kind(run, new):
    notes = []
    odd = {name: np.array(values) for name, values in new.items()}
    odd["grade"][:5] = "D"
    found = tables.detect(run, table_of(odd, run), notice=notes.append)
    assert found["is_anomaly"][:5].all()
    assert set(found["top_sensor"][:5]) == {"grade"}
    what = "grade is of a category not seen in training"
    assert all(what in reason for reason in found["reason"][:5])
    assert what not in "".join(found["reason"][5:])
    assert f"5 rows: {what}" in notes
    rare = run.profile.columns[1]._replace(facts=run.profile.columns[1].facts | {"rare": 0.02})
    columns = (run.profile.columns[0], rare, *run.profile.columns[2:])
    often = run._replace(profile=run.profile._replace(columns=columns))
    found = tables.detect(often, table_of(odd, run))
    assert not found["is_anomaly"][:5].all()
    assert "as happens in normal rows" in found["reason"][0]


def test_new_rows_have_the_categories_of_the_table(run):
    rows = tables.generate(run, 4000)
    normal = frame_of(4000, 2)
    for name, room in (("grade", 0.08), ("shift", 0.08)):
        levels = np.unique(normal[name])
        assert set(rows[name]) <= set(levels)
        shares = [np.array([(of[name] == level).mean() for level in levels]) for of in (rows, normal)]
        assert np.abs(shares[0] - shares[1]).sum() / 2 < room
    assert ((rows["wind"] >= 0) & (rows["wind"] < 360)).all()
    codes = tables.generate(run, 200, codes=tables.fit_codes(run, table_of(frame_of(2000, 0)), "mixture"))
    assert set(codes["grade"]) <= set(CENTRES)


def test_figures_are_those_of_each_kind(run, new):
    found = tables.evaluate(run, table_of(new, run))
    assert found["explained_variance_by_column"]["grade"] > 0.9
    assert 0 <= found["ks_distance_by_column"]["grade"] < 0.15
    assert set(found["explained_variance_by_column"]) == set(COLUMNS)


def test_a_run_comes_back_and_its_page_is_drawn(run, new, tmp_path):
    codecs.save(tmp_path, run)
    back = aejax.load(tmp_path, Run)
    np.testing.assert_array_equal(
        tables.detect(back, table_of(new, run))["score"], tables.detect(run, table_of(new, run))["score"]
    )


def test_the_page_tells_of_categories(tmp_path):
    folder = tmp_path / "run"
    run = tables.train(table_of(frame_of(120, 0)), QUICK, folder)
    write_report(tmp_path / "report.html", run, aejax.load(runs.record_folder(folder), runs.Record))
    page = (tmp_path / "report.html").read_text()
    assert "not be drawn" not in page
    assert "<td>grade</td><td>A</td>" in page


def test_rows_that_come_one_by_one_get_the_same_verdict(run, new):
    watcher = watcher_of(run)
    found = tables.detect(run, table_of({name: values[:3] for name, values in new.items()}, run))
    levels = run.levels
    for row in range(3):
        values = [
            (float(levels[name].index(new[name][row])) if new[name][row] else np.nan)
            if name in levels
            else new[name][row]
            for name in COLUMNS
        ]
        verdict, _ = watcher.judge(None, np.array(values, float))
        assert verdict["score"] == pytest.approx(found["score"][row], rel=1e-6)
        assert verdict["top_sensor"] == found["top_sensor"][row]


def test_a_condition_may_be_a_category(tmp_path):
    frame = frame_of(1500, 0, ("temp", "press", "grade"))
    config = TrainConfig(
        "conditional_vae",
        latent_dim=1,
        num_epochs=40,
        hidden_dims=(32,),
        condition_columns=("grade",),
        learning_rate=3e-3,
    )
    run = tables.train(table_of(frame), config, tmp_path / "run")
    for grade, centre in CENTRES.items():
        rows = tables.generate(run, 500, {"grade": grade})
        assert abs(rows["temp"].mean() - centre) < 4
        assert set(rows["grade"]) == {grade}
    with pytest.raises(ValueError, match=r"condition: found grade=D, expected one of 'A', 'B', 'C'"):
        tables.generate(run, 5, {"grade": "D"})
    notes = []
    odd = {name: np.array(values) for name, values in frame_of(50, 1, ("temp", "press", "grade")).items()}
    odd["grade"][:2], odd["grade"][2:4] = "D", ""
    found = tables.detect(run, table_of(odd, run), notice=notes.append)
    assert "a category not seen in training" in found["reason"][0]
    assert np.isnan(found["score"][2:4]).all()
    assert any("2 of 48 rows have a condition grade of a category not seen in training" in note for note in notes)
    again = tables.reconstruct(run, table_of({name: values[4:] for name, values in odd.items()}, run))
    np.testing.assert_array_equal(again["grade"], odd["grade"][4:])


def _layers(name):
    """As few as the model may have: compiling them takes the time."""
    return (4,) if "convolutional" in name or name == "deep_autoencoder" else ()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_takes_a_table_with_categories(name, tmp_path):
    frame = frame_of(120, 0)
    config = TrainConfig(name, latent_dim=2, num_epochs=1, hidden_dims=_layers(name))
    if name.startswith("conditional"):
        config = dataclasses.replace(config, condition_columns=("shift",))
    run = tables.train(table_of(frame), config, tmp_path / "run")
    back = aejax.load(tmp_path / "run", Run)
    assert back.model is run.model
    found = tables.detect(back, table_of(frame, run))
    assert np.isfinite(found["score"]).sum() >= 100
    if run.model.sample is not None:
        rows = tables.generate(run, 10, {"shift": "day"} if name.startswith("conditional") else None)
        assert set(rows["grade"]) <= set(CENTRES)


@pytest.mark.parametrize("name", TAKE_LIKELIHOODS)
def test_the_likelihood_of_numbers_is_the_models_own(name):
    """A table of numbers and categories has for its numbers what a table of numbers has."""
    own = configs._OWN_LIKELIHOODS.get(name, losses.squared_error)()
    shape, options = (8,), {"hidden_dims": _layers(name)}
    told = MODELS[name](shape, 2, likelihood=own, **options)
    batch = aejax.Batch(jax.random.normal(jax.random.key(1), (5, 8)))
    model, key = MODELS[name](shape, 2, **options), jax.random.key(0)
    variables = model.init(key, batch)
    assert jax.tree.structure(variables) == jax.tree.structure(told.init(key, batch))
    assert float(model.loss(key, variables, batch, model.hparams)[0]) == float(
        told.loss(key, variables, batch, told.hparams)[0]
    )


def test_only_categories_is_a_table_too(tmp_path):
    rng = np.random.default_rng(0)
    first = rng.choice(["a", "b", "c"], 400)
    frame = {"first": first, "second": np.char.add(first, "x"), "third": rng.choice(["u", "v"], 400)}
    run = tables.train(as_table(frame), CONFIG, tmp_path / "run")
    found = tables.reconstruct(run, table_of(frame, run))
    assert (found["first"] == first).mean() > 0.95
    write_report(tmp_path / "report.html", run, aejax.load(runs.record_folder(tmp_path / "run"), runs.Record))
    assert "not be drawn" not in (tmp_path / "report.html").read_text()


def test_one_row_of_a_category_is_enough(tmp_path):
    frame = {name: np.array(values) for name, values in frame_of(200, 0).items()}
    frame["grade"][7] = "Z"
    run = tables.train(as_table(frame), QUICK, tmp_path / "run")
    facts = run.profile.columns[1].facts
    assert facts["levels"] == ["A", "B", "C", "Z"]
    assert facts["rare"] == 1 / 200
    assert np.isfinite(tables.detect(run, table_of(frame, run))["score"]).all()


def test_an_angle_of_the_version_before_stays_one_number():
    facts = {"low": 0.0, "period": 360.0, "whole": False}
    settings = {"columns": [{"kind": "angle", "facts": facts}], "conditions": []}
    upgraded = stored._with_plain_angles(codecs.Stored(json.loads(json.dumps(settings)), {}))
    assert upgraded.settings["columns"] == [{"kind": "number", "facts": {"lower": 0.0, "upper": 360.0}}]


def test_counts_leave_an_angle_as_it_is(tmp_path):
    rng = np.random.default_rng(0)
    frame = {"wind": rng.integers(0, 360, 500), "count": rng.poisson(3, 500), "grade": rng.choice(["a", "b"], 500)}
    config = TrainConfig(likelihood="poisson", latent_dim=1, num_epochs=1, hidden_dims=())
    run = tables.train(as_table(frame), config, tmp_path / "run")
    assert run.profile.columns[0].kind == "number"
    assert set(tables.generate(run, 50)["grade"]) <= {"a", "b"}


def test_ranked_numbers_keep_piles_and_tails(tmp_path):
    rng = np.random.default_rng(0)
    gain = np.where(rng.random(1500) < 0.8, 0.0, np.exp(rng.normal(8, 1, 1500)))
    frame = {"gain": gain, "hours": rng.choice([20.0, 38.5, 40.0], 1500, p=[0.2, 0.3, 0.5])}
    frame["grade"] = np.where(gain > 0, "A", rng.choice(["B", "C"], 1500))
    config = dataclasses.replace(CONFIG, numbers="ranked", options=("beta=0.2",))
    run = tables.train(as_table(frame), config, tmp_path / "run")
    assert [column.kind for column in run.profile.columns] == ["ranks", "levels", "category"]
    assert run.profile.num_gross.sum() == 0
    rows = tables.generate(run, 2000, codes=tables.fit_codes(run, as_table(frame), "mixture"))
    assert set(rows["hours"]) <= {20.0, 38.5, 40.0}
    assert abs((rows["gain"] < 100).mean() - 0.8) < 0.1
    assert ((rows["gain"] > 100) == (rows["grade"] == "A")).mean() > 0.9
    back = aejax.load(tmp_path / "run", Run)
    assert back.profile.columns == run.profile.columns
    assert np.isfinite(tables.detect(back, table_of(frame, run))["score"]).all()


def test_ranks_are_for_likelihoods_of_measurements():
    with pytest.raises(ValueError, match="numbers: found 'ranked' with the likelihood poisson"):
        configs.check(TrainConfig(numbers="ranked", likelihood="poisson"))


@pytest.mark.parametrize("takes", ["run", "monitor"])
def test_text_where_numbers_were_is_no_number(takes, tmp_path):
    """The numbers of levels are none of the column's."""
    rng = np.random.default_rng(0)
    frame = {"temp": rng.normal(size=300), "mode": rng.normal(size=300)}
    new = {"temp": rng.normal(size=40), "mode": rng.choice(["on", "off"], 40), "note": ["a", "b"] * 20}
    if takes == "run":
        run = tables.train(as_table(frame), dataclasses.replace(QUICK, latent_dim=1), tmp_path)
        judge = functools.partial(tables.detect, run)
    else:
        monitor = tables.fit_monitor(jax.random.key(0), as_table(frame), num_epochs=1, false_alarm_rate=0.05)
        judge = functools.partial(tables.watch, monitor)
    with pytest.raises(ValueError, match=r"column 'mode': found categories \('off', 'on'\), expected numbers"):
        judge(as_table(new))


def test_a_run_of_a_file_knows_its_table_again(tmp_path):
    rows = {name: values.astype(str) for name, values in frame_of(120, 0).items()}
    write_table(tmp_path / "t.csv", rows)
    table = tables.read_table(tmp_path / "t.csv")
    run = tables.train(table, QUICK, tmp_path / "run")
    assert run.source.sha256 == table.reading.sha256 != ""
    assert set(tables.generate(run, 5, codes=tables.fit_codes(run, table, "mixture"))) == set(COLUMNS)
