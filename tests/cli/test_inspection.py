"""``aejax inspect`` prints what is read, and the commands read new files as they were told for the training."""

import json

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
