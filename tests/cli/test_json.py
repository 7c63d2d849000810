"""Whatever prints numbers prints them as JSON too, and nothing else to standard output."""

import json

import numpy as np
import pytest

from aejax.cli.commands.results import say
from aejax.cli.main import main
from aejax.data.formats.tables import write_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("json")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 1)) + 0.2 * rng.normal(size=(300, 3))
    write_table(folder / "rows.csv", dict(zip("abc", rows.T, strict=True)))
    return folder


def printed(capsys, *words):
    with pytest.raises(SystemExit) as caught:
        main([*map(str, words), "--json"])
    assert caught.value.code == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_and_its_figures(folder, capsys):
    words = ("--num-epochs", 1, "--latent-dim", 1, "--hidden-dims", 4, "--quiet")
    found = printed(capsys, "train", folder / "rows.csv", "--out", folder / "run", *words)
    assert found["figures"]["rows held out"] == 60
    assert found["written"] == str(folder / "run")
    assert printed(capsys, "evaluate", folder / "run", folder / "rows.csv")["num_rows"] == 300


def test_a_table_that_is_inspected(folder, capsys):
    assert printed(capsys, "inspect", folder / "rows.csv")["num_rows"] == 300


def test_a_monitor(folder, capsys):
    words = ("--num-epochs", 1, "--false-alarm-rate", 0.05, "--quiet")
    found = printed(capsys, "monitor", folder / "rows.csv", folder / "rows.csv", "--out", folder / "monitor", *words)
    assert found["num_rows"] == 300
    assert set(found["contributions"]) == {"a", "b", "c"}


def test_cells_that_are_filled(folder, capsys):
    words = ("--num-steps", 20, "--quiet")
    found = printed(capsys, "impute", folder / "rows.csv", "--out", folder / "filled.csv", *words)
    assert found["written"] == [str(folder / "filled.csv")]
    assert all(isinstance(value, float) for value in found["figures"].values())


def test_numbers_of_numpy_and_those_that_are_none(capsys):
    say({"a": np.float32(0.5), "b": (np.arange(2), np.nan), 3: {"c": np.True_}}, [], as_json=True)
    assert json.loads(capsys.readouterr().out) == {"a": 0.5, "b": [[0, 1], None], "3": {"c": True}}
