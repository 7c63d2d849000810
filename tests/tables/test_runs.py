"""The run folder: a round trip, and refusal of a folder that does not fit."""

import json
import shutil

import chex
import numpy as np
import pytest
import safetensors.numpy

from aejax import tables
from aejax.data.formats.tables import Table
from aejax.tables import run as runs
from aejax.tables.config import TrainConfig

COLUMNS = ("a", "b", "c", "d", "e", "f")


@pytest.fixture(scope="module")
def made(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one"
    table = Table(COLUMNS, rows.astype(float), True, ())
    run = tables.train(table, TrainConfig(num_epochs=2, condition_columns=("f",), hidden_dims=(8,)), folder)
    return run, folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made[1], tmp_path / "copy")


def test_a_run_comes_back_as_it_was(made):
    run, folder = made
    back = runs.load_run(folder)
    assert back.config == run.config
    assert back.source == run.source
    assert back.model is run.model
    for name in ("variables", "scaler", "cond_scaler", "calibration", "history", "held_out"):
        chex.assert_trees_all_equal(getattr(back, name), getattr(run, name))


def change_tensors(path, change):
    tensors = safetensors.numpy.load(path.read_bytes())
    change(tensors)
    path.write_bytes(safetensors.numpy.save(tensors))


KERNEL = "params/encoder/layer_0/kernel"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(KERNEL), f"{KERNEL} is missing"),
        (lambda t: t.__setitem__("params/extra", np.zeros(1)), "params/extra is not of this model"),
        (lambda t: t.__setitem__(KERNEL, t[KERNEL][:-1].copy()), r"found float32\[5, 8\], expected float32\[6, 8\]"),
        (lambda t: t.__setitem__(KERNEL, t[KERNEL].astype(np.float16)), r"found float16\[6, 8\], expected float32"),
    ],
)
def test_variables_that_do_not_fit_are_refused(folder, change, message):
    change_tensors(folder / "variables.safetensors", change)
    with pytest.raises(ValueError, match=message):
        runs.load_run(folder)


@pytest.mark.parametrize("name", ["variables.safetensors", "calibration.safetensors", "scaler.json", "history.jsonl"])
def test_a_damaged_file_is_named(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2] + b"\x00{")
    with pytest.raises(ValueError, match=name):
        runs.load_run(folder)


@pytest.mark.parametrize("name", ["variables.safetensors", "calibration.safetensors", "scaler.json", "config.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        runs.load_run(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["train"].__setitem__("hidden_dims", [9]), "expected float32"),
        (lambda c: c["train"].__setitem__("model", "perceptron"), "model: found 'perceptron'"),
        (lambda c: c["train"].__setitem__("latnt_dim", 3), "did you mean 'latent_dim'"),
        (lambda c: c["train"].__setitem__("num_epochs", "many"), "num_epochs: found 'many'"),
        (lambda c: c["data"].__setitem__("columns", ["a", "b", "c", "d", "x", "f"]), "scaler.json"),
        (lambda c: c.__setitem__("format", 99), "format 99"),
        (lambda c: c.pop("data"), "data"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(folder, change, message):
    content = json.loads((folder / "config.json").read_text())
    change(content)
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        runs.load_run(folder)


def test_nothing_is_half_written(folder, made, monkeypatch):
    """A failure while writing leaves the file that was there, and no other."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(self, content):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.write_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        runs.save_run(folder, made[0])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_nothing_that_is_read_is_unpickled():
    """Recipes say how a user's own pickle of a model is made; files are read without."""
    from pathlib import Path

    import aejax

    sources = {path.name: path.read_text() for path in Path(aejax.__file__).parent.rglob("*.py")}
    assert [name for name, text in sources.items() if "import pickle" in text] == ["recipes.py"]
    for text in sources.values():
        assert "allow_pickle=True" not in text
        assert "pickle.load" not in text
        assert "Unpickler" not in text
