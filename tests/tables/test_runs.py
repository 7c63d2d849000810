"""The run folder: a round trip, training again in place, and whether it is finished."""

import dataclasses
import json
import math

import chex
import numpy as np
import pytest

import aejax
from aejax import tables
from aejax.data.columns import categories, kinds
from aejax.data.columns.kinds import Column
from aejax.data.formats.tables import Table
from aejax.tables import Run, stored
from aejax.tables import run as runs
from aejax.tables.config import TrainConfig
from tests.artefacts.examples import EXAMPLES

COLUMNS = ("a", "b", "c", "d", "e", "f")
CONFIG = TrainConfig(num_epochs=2, condition_columns=("f",), hidden_dims=())


@pytest.fixture
def table(rows):
    return Table(COLUMNS, rows[:80].astype(float), True, ())


@pytest.mark.parametrize("name", list(kinds.KINDS))
def test_facts_of_a_column_are_checked_by_its_kind(name):
    rng = np.random.default_rng(0)
    rows = {
        "constant": np.full(500, 2.5),
        "few values": np.repeat([0.0, 1.0], 250),
        "angle": rng.uniform(0, 360, 500),
        "whole number": rng.poisson(3, 500),
        "number": rng.normal(size=500),
    }
    told = {
        "category": lambda: Column("category", categories.facts_of(np.array([0.0, 1.0, np.nan]), ("A", "B"))),
        "levels": lambda: kinds.ranked(Column("number", {}), rows["few values"]),
        "ranks": lambda: kinds.ranked(Column("number", {}), rows["number"]),
    }
    column = told[name]() if name in told else kinds.recognise(rows[name][:, None])[0]
    assert column.kind == name
    facts = json.loads(json.dumps(column.facts))
    stored._column("columns[0]", {"kind": name, "facts": facts})
    for fact, value in facts.items():
        wrong = facts | {fact: [math.nan, *value[1:]] if isinstance(value, list) else math.nan}
        with pytest.raises(ValueError, match=rf"columns\[0\]\.facts\.{fact}"):
            stored._column("columns[0]", {"kind": name, "facts": wrong})
    with pytest.raises(ValueError, match=r"columns\[0\]\.kind: found 'colour', expected one of constant"):
        stored._column("columns[0]", {"kind": "colour", "facts": facts})


def test_levels_rise_and_have_a_cut_between_each_two():
    for facts in ({"values": [1.0, 0.0], "cuts": [0.5]}, {"values": [0.0, 1.0, 2.0], "cuts": [0.5]}):
        with pytest.raises(ValueError, match=r"columns\[0\]\.facts: found .* expected rising values and a cut"):
            stored._column("columns[0]", {"kind": "few values", "facts": facts})


def test_a_run_comes_back_as_it_was(table, tmp_path):
    run = tables.train(table, CONFIG, tmp_path)
    back = aejax.load(tmp_path, Run)
    assert back.config == run.config
    assert back.source == run.source
    assert back.model is run.model
    for name in ("variables", "scaler", "cond_scaler", "calibration"):
        chex.assert_trees_all_equal(getattr(back, name), getattr(run, name))
    record = aejax.load(tables.record_folder(tmp_path))
    assert len(record.history["loss"]) == 2
    assert record.held_out.x.shape == (16, 5)


def test_a_folder_is_finished_once_the_run_of_its_config_is_there(table, tmp_path):
    """The older run stays whole while another is trained in its place, and is not taken for the new one."""
    assert runs.finished(tmp_path) is None
    run = tables.train(table, CONFIG, tmp_path)
    assert runs.finished(tmp_path).config == run.config
    runs.save_config(tmp_path, dataclasses.replace(run.config, latent_dim=3), run.source)
    assert runs.finished(tmp_path) is None
    assert aejax.load(tmp_path).config == run.config
    other = tables.train(table, dataclasses.replace(CONFIG, latent_dim=3), tmp_path)
    assert aejax.load(tmp_path).config == other.config
    assert len(list(tmp_path.glob("arrays-*"))) == 1
    (tmp_path / "config.json").unlink()
    assert runs.finished(tmp_path).config == other.config


def test_a_folder_with_something_else_in_it_is_refused_before_training(table, tmp_path):
    aejax.save(tmp_path, EXAMPLES["monitor"]())
    with pytest.raises(ValueError, match="holds a monitor, expected none or a run"):
        tables.train(table, CONFIG, tmp_path)
    assert not (tmp_path / "config.json").exists()


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
