"""More rows of rare levels: as many as are lacking, like the rows of their level and not like the others."""

import numpy as np
import pytest

from aejax import tables
from aejax.cli.main import main
from aejax.data.formats.tables import as_table
from aejax.tables import augmentation
from aejax.tables.augmentation import wanted_rows
from aejax.tables.config import for_new_rows


def frame(num_rows=400, seed=0):
    """Two sensors whose mean follows the state of a valve; one state in ten is rare."""
    rng = np.random.default_rng(seed)
    is_shut = rng.random(num_rows) < 0.1
    x = rng.normal(size=(num_rows, 2)) + 6 * is_shut[:, None]
    return {"flow": x[:, 0].round(4), "level": (x[:, 1] + x[:, 0]).round(4), "valve": np.where(is_shut, "shut", "open")}


def written(path, columns):
    names = list(columns)
    lines = [",".join(names), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def short(monkeypatch):
    """A shorter training, of the same kind."""
    short = lambda num_rows, **options: for_new_rows(  # noqa: E731
        num_rows, **{"num_epochs": 20, "hidden_dims": (16,), "latent_dim": 4, **options}
    )
    monkeypatch.setattr(augmentation, "for_new_rows", short)


def test_each_level_gets_the_rows_that_it_lacks_and_they_are_of_its_kind(tmp_path, short):
    table = as_table(frame())
    rows = tables.augment(table, "valve", tmp_path / "run", num_steps=300)
    lacking = wanted_rows(table, "valve")
    assert list(lacking) == ["shut"]
    assert list(rows) == list(table.columns)
    assert (rows["valve"] == "shut").all()
    assert (
        len(rows["valve"]) == lacking["shut"] == (frame()["valve"] == "open").sum() - (frame()["valve"] == "shut").sum()
    )
    # Open valves have flows about 0, shut ones about 6: without the level one new row in ten would be above 2.
    assert (rows["flow"] > 2).mean() > 0.7
    again = tables.augment(table, "valve", tmp_path / "again", num_steps=300)
    assert all(np.array_equal(rows[name], again[name]) for name in rows)


def test_levels_can_be_chosen():
    columns = {"T": np.sin(np.arange(60.0)), "grade": ["A"] * 30 + ["B"] * 20 + ["C"] * 10}
    assert wanted_rows(as_table(columns), "grade") == {"B": 10, "C": 20}
    assert wanted_rows(as_table(columns), "grade", ["C"]) == {"C": 20}


@pytest.mark.parametrize(
    ("columns", "target", "levels", "message"),
    [
        ({"T": np.sin(np.arange(20.0))}, "valve", None, "found no column 'valve', expected one of T"),
        (
            {"T": np.sin(np.arange(20.0))},
            "T",
            None,
            "found numbers in T, expected categories; read it with kinds=T=category",
        ),
        ({"g": ["A", "B"] * 10}, "g", None, "all chosen levels of g equally frequent"),
        ({"g": ["A"] * 20 + ["B"] * 10}, "g", ["C"], "levels: found C, expected levels of g: A, B"),
        ({"g": ["A"] * 20 + ["B"] * 10 + ["C"] * 2}, "g", None, "fewer than 5 rows of C"),
        ({"g": ["A"] * 20 + ["B"] * 10 + [None]}, "g", None, "found 1 empty cells in g"),
    ],
)
def test_what_cannot_be_made_even_is_refused(columns, target, levels, message):
    with pytest.raises(ValueError, match=message):
        wanted_rows(as_table(columns), target, levels)


def test_the_command_writes_new_rows_and_says_what_they_give(tmp_path, capsys, short):
    pytest.importorskip("sklearn")
    data, held_out = (written(tmp_path / f"{seed}.csv", frame(300, seed)) for seed in (0, 1))
    out = tmp_path / "new.csv"
    words = ["augment", data, "--target", "valve", "--out", out, "--held-out", held_out, "--flow-steps", 50, "--quiet"]
    words += ["--kinds", "valve=category"]  # which is told already
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "learned from the real rows, on rows held out: 0.9" in printed or ": 1" in printed
    assert "learned from real and new rows: " in printed
    header, *lines = out.read_text().splitlines()
    assert header == "flow,level,valve"
    assert all(line.endswith(",shut") for line in lines)
    assert f"{len(lines)} new rows written to {out}" in printed
    with pytest.raises(SystemExit) as ended:
        main(["augment", str(data), "--target", "flow", "--out", str(tmp_path / "none.csv")])
    assert ended.value.code == 1
    assert not (tmp_path / "none.csv").exists()
