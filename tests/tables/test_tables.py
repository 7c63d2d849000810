"""Training on a table and using the run: what is odd in the rows is said, what cannot work leaves nothing behind."""

import numpy as np
import pytest

import aejax
from aejax import tables
from aejax.data.formats.tables import Table
from aejax.tables.config import TrainConfig, build_model
from aejax.training import DivergenceError

COLUMNS = ("pressure", "flow", "level", "load")


def table_of(num_rows, seed=0):
    rng = np.random.default_rng(seed)
    load = rng.standard_normal(num_rows)
    values = np.column_stack([load, 2 * load, rng.standard_normal(num_rows), load]) + 0.1 * rng.standard_normal(
        (num_rows, 4)
    )
    return Table(COLUMNS, values, True, ())


def changed(table, rows, column, value):
    values = table.values.copy()
    values[rows, COLUMNS.index(column)] = value
    return table._replace(values=values)


def train(table, folder, **options):
    notes = []
    config = TrainConfig(**{"num_epochs": 1, "hidden_dims": (), **options})
    return tables.train(table, config, folder, notice=notes.append), notes


def test_rows_without_conditions_are_passed_over(tmp_path):
    rows = [3, 50, 51]
    table = changed(table_of(200), rows, "load", np.nan)
    run, notes = train(table, tmp_path / "run", model="conditional_vae", condition_columns=("load",))
    assert any("3 of 200 rows are skipped" in note and "load" in note for note in notes)
    complete, _ = train(
        table._replace(values=np.delete(table.values, rows, axis=0)),
        tmp_path / "complete",
        model="conditional_vae",
        condition_columns=("load",),
    )
    np.testing.assert_array_equal(run.calibration.score, complete.calibration.score)
    for task in (tables.encode, tables.reconstruct, tables.detect):
        whole = task(run, table)
        part = task(run, table._replace(values=np.delete(table.values, rows, axis=0)))
        for name, values in whole.items():
            np.testing.assert_array_equal(np.delete(values, rows), part[name])
            missing = values[rows]
            assert np.isnan(missing).all() if missing.dtype.kind == "f" else not missing.any()
    assert tables.evaluate(run, table)["num_rows"] == 197
    with pytest.raises(ValueError, match="found no row with a value in each"):
        tables.encode(run, changed(table, slice(None), "load", np.nan))


def test_numbers_that_stand_for_a_missing_value_are_pointed_out(tmp_path):
    _, notes = train(changed(table_of(300), slice(0, 60), "flow", -999.0), tmp_path)
    assert any("training rows hold -999" in note and "'flow'" in note for note in notes)
    _, notes = train(changed(table_of(300), slice(0, 60), "flow", 3.0), tmp_path)
    assert not any("training rows hold" in note for note in notes)


def test_a_table_in_which_nothing_varies_is_refused(tmp_path):
    table = table_of(100)
    with pytest.raises(ValueError, match="same value in all training rows"):
        train(table._replace(values=np.ones_like(table.values)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"options": ("beta=abc",)}, "options: beta: found 'abc', expected a number"),
        ({"options": ("beta=true",)}, "options: beta: found 'true', expected a number"),
        ({"options": ("beta=-1",)}, "beta: found -1"),
        ({"options": ("shortcut=nonsense",)}, "options: shortcut: found 'nonsense', expected true or false"),
        ({"options": ("batch_norm=1",)}, "batch_norm: found '1', expected true or false"),
        ({"options": ("num_importance_samples=1.5",)}, "num_importance_samples: found '1.5', expected a whole number"),
        ({"model": "conditional_vae"}, "--condition-columns"),
    ],
)
def test_what_a_model_refuses_leaves_no_folder(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        train(table_of(100), tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_options_are_spelled_as_in_json_or_as_in_python():
    """``False`` was text, and so it was true."""

    def built(*options):
        return build_model(TrainConfig("vae", latent_dim=2, options=options), 5)

    assert built("shortcut=False") is built("shortcut=false") is not built("shortcut=True")
    assert built("shortcut=None") is built("shortcut=null")
    assert built("remat=False", "shortcut=False") is built("shortcut=false")


def test_a_run_that_diverged_later_says_so_wherever_it_is_used(tmp_path):
    table = table_of(500)
    plain = {"hidden_dims": None, "options": ("shortcut=false", "activation=tanh")}  # a linear map diverges at once
    with pytest.raises(DivergenceError) as caught:
        train(table, tmp_path, batch_size=512, learning_rate=4.0, num_epochs=50, **plain)
    assert caught.value.epoch > 1
    run = aejax.load(tmp_path)
    assert run.diverged == str(caught.value)
    notes = []
    assert np.isfinite(tables.encode(run, table, notes.append)["z1"]).all()
    assert any("diverged" in note for note in notes)
    fine, _ = train(table_of(300), tmp_path / "fine")
    assert aejax.load(tmp_path / "fine").diverged is fine.diverged is None


def test_only_training_rows_set_the_scale_and_only_calibration_rows_the_limits(tmp_path):
    """Split by time the parts are known: the first rows train, the last calibrate, each moved to where it is seen."""
    table = table_of(200)
    values = table.values.copy()
    values[140:160] += 100.0  # validation
    values[160:] += 1000.0  # calibration
    run, _ = train(table._replace(values=values), tmp_path, split="time")
    np.testing.assert_allclose(run.scaler.mean, values[:140].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(run.scaler.scale, values[:140].std(axis=0), rtol=1e-6)
    assert len(run.calibration.score) == 40
    scores = tables.detect(run, table._replace(values=values))["score"]
    np.testing.assert_allclose(np.sort(run.calibration.score), np.sort(scores[160:]), rtol=1e-4)


def test_results_keep_the_order_of_the_columns_with_a_condition_among_them(tmp_path):
    run, _ = train(table_of(100), tmp_path, model="conditional_vae", condition_columns=("flow",))
    assert tuple(tables.reconstruct(run, table_of(10))) == COLUMNS
    assert tuple(tables.generate(run, 3, {"flow": 0.0})) == COLUMNS


@pytest.mark.parametrize(
    ("likelihood", "values", "is_possible"),
    [
        ("poisson", lambda rng: rng.poisson([2.0, 9.0, 30.0], (300, 3)), lambda x: (x >= 0) & (x % 1 == 0)),
        ("bernoulli", lambda rng: 5.0 * (rng.random((300, 3)) < 0.4), lambda x: (x == 0) | (x == 5)),
        ("student_t", lambda rng: 100 + rng.standard_t(3, (300, 3)), np.isfinite),
        ("squared_error", lambda rng: 100 + rng.standard_normal((300, 3)), np.isfinite),
    ],
)
def test_each_likelihood_has_the_scaling_that_suits_it(likelihood, values, is_possible, tmp_path):
    """New rows have values that the columns can have, in their own units, and their means."""
    x = values(np.random.default_rng(0)).astype(float)
    config = TrainConfig(likelihood=likelihood, num_epochs=1000, learning_rate=1e-2, hidden_dims=(8,), latent_dim=1)
    run = tables.train(Table(("a", "b", "c"), x, True, ()), config, tmp_path)
    drawn = np.column_stack(list(tables.generate(run, 2000).values()))
    assert is_possible(drawn).all()
    np.testing.assert_allclose(drawn.mean(axis=0), x.mean(axis=0), atol=0.35 * x.std(axis=0).max())
    assert tables.detect(aejax.load(tmp_path), Table(("a", "b", "c"), x, True, ()))["score"].shape == (300,)


def test_a_likelihood_that_cannot_be_is_refused(tmp_path):
    table = Table(("a", "b"), np.random.default_rng(0).standard_normal((50, 2)), True, ())
    with pytest.raises(ValueError, match="column 'a': found a value that is no count"):
        tables.train(table, TrainConfig(likelihood="poisson"), tmp_path / "run")
    with pytest.raises(ValueError, match="likelihood: found 'beta', expected one of"):
        tables.train(table, TrainConfig(likelihood="beta"), tmp_path / "run")
    with pytest.raises(ValueError, match="likelihood: found 'gaussian' for gan, which takes none"):
        tables.train(table, TrainConfig("gan", likelihood="gaussian"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_rows_that_a_likelihood_cannot_have_are_refused_by_column(tmp_path):
    """Scored by a likelihood that cannot have them, they would count as the most normal rows of all."""
    rng = np.random.default_rng(0)
    two, counts = 5.0 * (rng.random((200, 2)) < 0.4), rng.poisson(4.0, (200, 2)).astype(float)
    options = {"num_epochs": 2, "hidden_dims": (4,), "latent_dim": 1}
    run = tables.train(
        Table(("a", "b"), two, True, ()), TrainConfig(likelihood="bernoulli", **options), tmp_path / "two"
    )
    with pytest.raises(ValueError, match=r"column 'b': found 50, expected 0 to 5 as in the training rows"):
        tables.detect(run, Table(("a", "b"), np.array([[0.0, 50.0]]), True, ()))
    counts[150, 0] = -1.0
    for split in ("random", "time"):  # whatever part the row is in
        config = TrainConfig(likelihood="poisson", split=split, **options)
        with pytest.raises(ValueError, match="column 'a': found a value that is no count"):
            tables.train(Table(("a", "b"), counts, True, ()), config, tmp_path / split)


def test_an_interrupted_run_is_not_written_over(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="holds the checkpoints of a run; resume it"):
        tables.train(table_of(60), TrainConfig(num_epochs=1), tmp_path)
    assert (tmp_path / "config.json").read_text() == "{}"


def test_bad_averages_and_conditions_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ema_decay: found 1.5, expected a number in \[0, 1\)"):
        tables.train(table_of(60), TrainConfig(ema_decay=1.5), tmp_path / "a")
    config = TrainConfig("conditional_vae", condition_columns=("load",), num_epochs=1, hidden_dims=())
    run = tables.train(table_of(60), config, tmp_path / "b")
    with pytest.raises(ValueError, match=r"condition: found .*=nan, expected a finite number"):
        tables.generate(run, 3, {"load": float("nan")})


@pytest.mark.slow
def test_clean_rows_lose_nothing_to_the_search_for_gross_errors(tmp_path):
    """Not one cell of several clean tables is left out: the run is the same to the bit."""
    for seed in range(3):
        table = table_of(300, seed)
        values = [np.exp(table.values), table.values][seed % 2]
        folders = tmp_path / f"{seed}-left-out", tmp_path / f"{seed}-kept"
        searched, kept = (
            train(table._replace(values=values), folder, gross_errors=choice)[0]
            for folder, choice in zip(folders, ("leave_out", "keep"), strict=True)
        )
        np.testing.assert_array_equal(searched.calibration.score, kept.calibration.score)
        np.testing.assert_array_equal(searched.scaler.scale, kept.scaler.scale)


def test_gross_errors_leave_scale_and_limit_as_they_are_wherever_they_lie(tmp_path):
    clean = table_of(300)
    rows = [3, 50, 215, 218, 250, 290]  # in all three parts of a split by time
    spiked, notes = train(changed(clean, rows, "flow", 1e7), tmp_path / "spiked", split="time")
    assert spiked.profile.num_gross.tolist() == [0, 6, 0, 0]
    assert any("'flow': 6 value(s) outside" in note for note in notes)
    assert len(spiked.calibration.score) == 58
    plain, _ = train(clean, tmp_path / "plain", split="time")
    np.testing.assert_allclose(spiked.scaler.scale, plain.scaler.scale, rtol=0.05)
    assert spiked.config.latent_dim == plain.config.latent_dim
    assert spiked.calibration.score.max() < 1e3
    kept, _ = train(changed(clean, rows, "flow", 1e7), tmp_path / "kept", split="time", gross_errors="keep")
    assert kept.scaler.scale[1] > 1e4


def test_spikes_in_new_rows_leave_the_explained_variance_meaningful(tmp_path):
    run, _ = train(table_of(300), tmp_path, num_epochs=60, hidden_dims=None)
    notes = []
    result = tables.evaluate(run, changed(table_of(300, 1), [5], "flow", 1e9), notes.append)
    assert result["explained_variance"] > 0
    assert any("without 1 gross errors" in note for note in notes)
    found = tables.detect(run, changed(table_of(300, 1), [5, 6], "flow", [1e9, 1e300]), 0.05)
    assert found["is_anomaly"][5:7].all()


def test_what_is_known_of_the_columns_is_kept_with_the_run(tmp_path):
    table = changed(changed(table_of(300), slice(None), "level", 60.0), slice(0, 4), "flow", 1e7)
    run, _ = train(table, tmp_path, model="conditional_vae", condition_columns=("load",))
    back = aejax.load(tmp_path)
    assert back.profile.columns == run.profile.columns
    assert [column.kind for column in back.profile.columns] == ["number", "number", "constant"]
    np.testing.assert_array_equal(back.profile.limits.upper, run.profile.limits.upper)
    np.testing.assert_array_equal(back.conditions.rows, run.conditions.rows)
    found, again = tables.detect(run, table), tables.detect(back, table)
    assert found["reason"].tolist() == again["reason"].tolist()
    np.testing.assert_array_equal(tables.reconstruct(back, table)["level"], 60.0)


def test_a_training_that_fails_leaves_no_folder(tmp_path, monkeypatch):
    def fails(*arguments, **options):
        raise MemoryError("no memory is left")

    monkeypatch.setattr("aejax.tables.training.fit", fails)
    with pytest.raises(MemoryError):
        train(table_of(100), tmp_path / "run")
    assert not (tmp_path / "run").exists()
