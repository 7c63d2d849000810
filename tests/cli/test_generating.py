"""``aejax generate --sampler``: what is fitted to the codes of a run, and kept beside it."""

import re
import shutil

import numpy as np
import pytest

import aejax
from aejax import tables
from aejax.data.columns.scalers import scale
from aejax.tasks import flow
from tests.cli.test_cli import COLUMNS, numbers, plant_rows, read_csv, run, write_csv


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    """What is learned does not matter here."""
    monkeypatch.setattr(flow, "_FEWEST_STEPS", 20)
    monkeypatch.setattr(flow, "_NUM_PASSES", 1)
    monkeypatch.setenv("AEJAX_CACHE", "off")


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A folder with a table of 200 rows and the run of an autoencoder."""
    folder = tmp_path_factory.mktemp("generating")
    table = write_csv(folder / "plant.csv", COLUMNS, plant_rows(200))
    assert run("train", table, "--model", "autoencoder", "--out", folder / "run", "--num-epochs", 30, "--quiet") == 0
    return folder


@pytest.fixture
def folder(first, tmp_path):
    """A copy of it, whose config still names the first one's table."""
    shutil.copytree(first, tmp_path / "own")
    return tmp_path / "own"


def kept(folder, sampler):
    return sorted((folder / "run").glob(f"{sampler}-*"))


def generate(folder, name, *words):
    return run("generate", folder / "run", "--num-samples", 500, "--out", folder / name, *words)


@pytest.mark.parametrize("sampler", ["mixture", "flow"])
def test_an_autoencoder_draws_rows_by_what_was_fitted_to_its_codes(folder, sampler, capsys):
    assert generate(folder, "new.csv", "--sampler", sampler) == 0
    assert read_csv(folder / "new.csv")[0] == COLUMNS
    drawn, x = numbers(folder / "new.csv"), plant_rows(200)
    np.testing.assert_array_less(np.abs(drawn.mean(axis=0) - x.mean(axis=0)), 0.3 * x.std(axis=0))
    np.testing.assert_allclose(np.corrcoef(drawn.T), np.corrcoef(x.T), atol=0.2)
    (codes,) = kept(folder, sampler)
    assert "without observation noise" in capsys.readouterr().err
    assert isinstance(aejax.load(codes), {"mixture": aejax.Mixture, "flow": aejax.Flow}[sampler])
    assert run("verify", folder / "run") == 0


def test_a_flow_of_another_length_is_fitted_and_kept_beside_the_first(folder, capsys):
    for steps in (30, 40, 30):
        assert generate(folder, f"{steps}.csv", "--sampler", "flow", "--flow-steps", steps) == 0
    assert [path.name.split("-")[1] for path in kept(folder, "flow")] == ["30", "40"]
    assert (folder / "30.csv").read_bytes() != (folder / "40.csv").read_bytes()
    assert run("verify", folder / "run") == 0
    assert generate(folder, "new.csv", "--sampler", "mixture", "--flow-steps", 30) == 1
    assert "flow_steps: found 30 beside --sampler mixture, expected flow" in capsys.readouterr().err


def test_what_was_kept_needs_no_table_and_draws_the_same_bits(folder, monkeypatch):
    assert generate(folder, "first.csv", "--sampler", "flow") == 0
    monkeypatch.setattr(tables.codes, "fit_codes", None)
    assert generate(folder, "again.csv", "--sampler", "flow") == 0
    assert (folder / "first.csv").read_bytes() == (folder / "again.csv").read_bytes()
    assert generate(folder, "other.csv", "--sampler", "flow", "--seed", 1) == 0
    assert (folder / "first.csv").read_bytes() != (folder / "other.csv").read_bytes()
    shutil.rmtree(kept(folder, "flow")[0])
    monkeypatch.undo()
    monkeypatch.setattr(flow, "_FEWEST_STEPS", 20)
    monkeypatch.setattr(flow, "_NUM_PASSES", 1)
    assert generate(folder, "anew.csv", "--sampler", "flow") == 0
    assert (folder / "first.csv").read_bytes() == (folder / "anew.csv").read_bytes()


def test_a_run_trained_anew_does_not_draw_from_the_codes_of_the_one_before(folder):
    assert generate(folder, "first.csv", "--sampler", "mixture") == 0
    before = aejax.load(folder / "run", aejax.Run)
    aejax.save(folder / "run", before._replace(variables={"params": _shifted(before.variables["params"])}))
    assert generate(folder, "second.csv", "--sampler", "mixture") == 0
    assert len(kept(folder, "mixture")) == 2


def _shifted(tree):
    return {name: _shifted(part) if isinstance(part, dict) else part * 1.01 for name, part in tree.items()}


def test_a_table_that_is_gone_or_another_is_named(folder, capsys):
    run_of = aejax.load(folder / "run", aejax.Run)
    for path, words in (("nowhere.csv", "nowhere.csv.*give their file by --data"), ("-", "standard input.*--data")):
        aejax.save(folder / "run", run_of._replace(source=run_of.source._replace(path=path)))
        assert generate(folder, "new.csv", "--sampler", "mixture") == 1
        assert re.search(words, capsys.readouterr().err.replace("\n", " "))
    other = write_csv(folder / "other.csv", COLUMNS, plant_rows(200, seed=1))
    assert generate(folder, "new.csv", "--sampler", "mixture", "--data", other) == 1
    assert "table: found another one than the run was trained on" in capsys.readouterr().err
    assert not kept(folder, "mixture")
    assert generate(folder, "new.csv", "--sampler", "mixture", "--data", folder / "plant.csv") == 0


def test_codes_are_fitted_to_what_the_run_was_trained_on_and_not_to_calibration_rows(first, monkeypatch):
    found = {}
    monkeypatch.setattr(tables.codes.tasks, "fit_flow", lambda key, model, variables, x, **options: found.update(x=x))
    run_of = aejax.load(first / "run", aejax.Run)
    tables.fit_codes(run_of, tables.read_table(first / "plant.csv"))
    record = aejax.load(first / "run" / "record")
    held_out = scale(run_of.scaler, record.held_out.x).astype(np.float32)
    assert len(found["x"].x) == 160
    assert not set(map(bytes, np.asarray(found["x"].x))) & set(map(bytes, held_out))


@pytest.mark.slow
def test_a_flow_follows_the_conditions_of_a_run_and_a_mixture_says_that_it_does_not(folder, capsys):
    words = ["--num-epochs", 5, "--condition-columns", "speed", "--quiet"]
    assert run("train", folder / "plant.csv", "--model", "vae", "--out", folder / "load", *words) == 0
    given = ["--num-samples", 5, "--condition", "speed=1600", "--out", folder / "new.csv"]
    for sampler, says in (("flow", False), ("mixture", True)):
        assert run("generate", folder / "load", "--sampler", sampler, *given) == 0
        assert ("takes no account of the conditions" in capsys.readouterr().err) == says
        assert (numbers(folder / "new.csv")[:, 4] == 1600).all()


def test_a_gan_has_no_codes_to_draw(first):
    run_of = aejax.load(first / "run", aejax.Run)._replace(model=aejax.models.gan((5,), 2))
    with pytest.raises(ValueError, match="a GAN has no encoder"):
        tables.kept_codes(run_of, first / "run", "flow", lambda: pytest.fail("the table is read"))


def test_rows_are_drawn_and_written_some_at_a_time(first, tmp_path, monkeypatch):
    run_of = aejax.load(first / "run", aejax.Run)
    codes = tables.fit_codes(run_of, tables.read_table(first / "plant.csv"), "mixture")
    whole = tables.generate(run_of, 25, codes=codes)
    monkeypatch.setattr(tables.generation, "ROWS_A_BLOCK", 10)
    blocks = list(tables.generated_blocks(run_of, 25, codes=codes))
    assert [len(block["a"] if "a" in block else next(iter(block.values()))) for block in blocks] == [10, 10, 5]
    parts = tables.generate(run_of, 25, codes=codes)
    for name in whole:
        np.testing.assert_array_equal(parts[name], np.concatenate([block[name] for block in blocks]))
        np.testing.assert_array_equal(parts[name][:10], tables.generate(run_of, 10, codes=codes)[name])
        assert len(set(parts[name])) == 25, "each block has a key of its own"
    assert (
        run("generate", first / "run", "--num-samples", 25, "--sampler", "mixture", "--out", tmp_path / "new.csv") == 0
    )
    assert numbers(tmp_path / "new.csv").shape[0] == 25
    with pytest.raises(ValueError, match="num_samples"):
        tables.generate(run_of, 0, codes=codes)
