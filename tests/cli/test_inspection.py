"""``aejax inspect`` prints what is read, and the commands read new files as they were told for the training."""

import json

import numpy as np
import pytest

from aejax.cli import main as cli

TABLE = "# Plant 4\n# stamp,T,p,meter\n# -,degC,bar,kWh\n" + "".join(
    f"2024-01-01 {i // 60:02d}:{i % 60:02d},{20 + i * i % 7}.5,{'Bad' if i == 60 else i % 3},{1000 + 2 * i}\n"
    for i in range(120)
)


def run(capsys, *words):
    with pytest.raises(SystemExit) as caught:
        cli.main([str(word) for word in words])
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(TABLE)
    return path


def test_what_is_read_is_printed(table, capsys):
    code, out, _ = run(capsys, "inspect", table, "--missing", "Bad")
    assert code == 0
    assert "120 rows, 2 columns to model" in out
    assert "left out: meter (it only rises, as a clock or a counter does)" in out
    assert [line.split() for line in out.splitlines() if line.startswith("p ")] == [
        ["p", "bar", "whole", "number", "0", "2", "0.8%"]
    ]


def test_the_same_as_json(table, capsys):
    _, out, _ = run(capsys, "inspect", table, "--missing", "Bad", "--json")
    found = json.loads(out)
    assert (found["num_rows"], found["dialect"]["header"], len(found["sha256"])) == (120, "line 2", 64)
    assert found["columns"][1] == {
        "name": "p", "unit": "bar", "kind": "whole number", "lowest": 0, "highest": 2, "missing": 1 - 119 / 120
    }  # fmt: skip
    assert list(found["left_out"]) == ["stamp", "meter"]


def test_words_are_offered_and_a_run_remembers_them(table, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["train", table, "--out", out, "--model", "autoencoder", "--num-epochs", 1, "--quiet"]
    code, _, error = run(capsys, *words)
    assert code == 1
    assert "column 'p': found 'Bad' in row 61 (line 64)" in error
    assert "--missing Bad " in error
    assert not out.exists()
    assert run(capsys, *words, "--missing", "Bad")[0] == 0
    code, _, error = run(capsys, "detect", out, table, "--out", tmp_path / "scores.csv")
    assert code == 0, error
    rows = (tmp_path / "scores.csv").read_text().splitlines()
    assert rows[0].startswith("stamp,meter,score")
    assert len(rows) == 121


def test_matching_by_position_is_announced(table, tmp_path, capsys):
    out = tmp_path / "run"
    run(
        capsys, "train", table, "--out", out, "--missing", "Bad", "--model", "autoencoder", "--num-epochs", 1, "--quiet"
    )
    new = tmp_path / "new.csv"
    new.write_text("".join(f"{20 + i}.5,{i % 3}\n" for i in range(20)))
    code, _, error = run(capsys, "detect", out, new, "--out", tmp_path / "scores.csv")
    assert code == 0, error
    assert "note: columns are matched by their position, not by name: the new table has no header" in error


def german(path, rows, decimals):
    def cell(value):
        return f"{value:,.{decimals}f}".translate(str.maketrans(",.", ".,"))

    path.write_text("\n".join(["flow;level", *(";".join(map(cell, row)) for row in rows), ""]))
    return path


@pytest.mark.parametrize("command", ["detect", "monitor"])
def test_new_files_have_the_decimal_mark_of_the_training_table(command, tmp_path, capsys):
    rows = np.random.default_rng(0).normal([1300, 2000], [20, 30], (600, 2))
    normal = german(tmp_path / "normal.csv", rows, 2)
    undecided, decided = (german(tmp_path / f"new_{d}.csv", rows[:20].round(), d) for d in (0, 1))
    earlier = tmp_path / "run"
    first = {
        "detect": ["train", normal, "--out", earlier, "--model", "autoencoder", "--num-epochs", 2],
        "monitor": ["monitor", normal, decided, "--out", earlier, "--num-epochs", 2, "--false-alarm-rate", 0.05],
    }
    assert run(capsys, *first[command], "--quiet")[0] == 0
    results = []
    for new in (undecided, decided):
        out = tmp_path / f"of_{new.name}"
        file = out / "rows.csv" if command == "monitor" else out
        code, _, error = run(capsys, command, earlier, new, "--out", out)
        assert code == 0, error
        results.append(file.read_text())
        assert ("note: a comma is taken for the decimal mark as in the training table" in error) == (new == undecided)
    assert results[0] == results[1]
    pointed = tmp_path / "pointed.csv"
    pointed.write_text(decided.read_text().translate(str.maketrans(",.", ".,")))
    code, _, error = run(capsys, command, earlier, pointed, "--out", out)
    assert code == 0
    assert "note: the decimal mark is a point, as the cells show, and not a comma as in the training table" in error
    assert file.read_text() == results[1]
