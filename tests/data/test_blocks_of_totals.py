"""Totals at the end of a file, and the usual decimal mark, are those of the whole where it is read in parts."""

import numpy as np
import pytest

from aejax.data.formats import blocks
from aejax.data.formats.options import ReadOptions
from aejax.data.formats.tables import read_table, write_table
from aejax.data.formats.text import parts as text_parts

COLUMNS = ("a", "b", "c")


@pytest.fixture(autouse=True)
def _small_heads(monkeypatch):
    monkeypatch.setattr(blocks, "_HEAD", 1 << 12)
    monkeypatch.setattr(text_parts, "_HEAD", 1 << 12)


def rows(seed=0, num_rows=2000):
    return np.random.default_rng(seed).normal(50, 5, (num_rows, 3)).round(2)


def written(path, x):
    write_table(path, dict(zip(COLUMNS, x.T, strict=True)))
    return path


def in_parts(path, options=ReadOptions()):
    return blocks.read_blocks(path, options, COLUMNS, size=5000)


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".feather"])
@pytest.mark.parametrize("last", ["sum", "mean", "sum and mean", "mean and an empty row"])
def test_rows_that_are_computed_from_those_above_are_left_to_the_whole(tmp_path, ending, last):
    x = rows()
    below = {"sum": x.sum(0), "mean": x.mean(0).round(2), "an empty row": np.full(3, np.nan)}
    path = written(tmp_path / f"t{ending}", np.vstack([x, *[below[name] for name in last.split(" and ")]]))
    assert in_parts(path) is None
    assert len(read_table(path).values) == 2000
    assert in_parts(path, ReadOptions(keep_totals=True)) is not None


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".feather"])
def test_ordinary_tables_are_read_in_parts(tmp_path, ending):
    found = [in_parts(written(tmp_path / f"{seed}{ending}", rows(seed))) for seed in range(20)]
    assert all(one is not None for one in found)


def test_an_array_has_no_totals(tmp_path):
    x = rows()
    np.save(tmp_path / "t.npy", np.vstack([x, x.sum(0)]))
    columns = ("column_1", "column_2", "column_3")
    found = blocks.read_blocks(tmp_path / "t.npy", ReadOptions(), columns, size=5000)
    assert sum(len(table.values) for table in found.tables()) == len(read_table(tmp_path / "t.npy").values) == 2001


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_rows_that_a_word_calls_totals_are_left_to_the_whole(tmp_path, ending):
    x = rows()
    named = {"tag": np.array([f"run {row}" for row in range(len(x))] + ["Total"], object)}
    columns = dict(zip(COLUMNS, np.vstack([x, x.max(0) + 1]).T, strict=True))
    write_table(tmp_path / f"t{ending}", named | columns)
    assert in_parts(tmp_path / f"t{ending}") is None
    assert len(read_table(tmp_path / f"t{ending}", columns=COLUMNS).values) == 2000


@pytest.mark.parametrize(("shown", "value"), [("1.282", 1282.0), ("2.5", 2.5)])
def test_a_mark_that_is_first_seen_far_down_is_that_of_all_rows(tmp_path, shown, value):
    """Where the training had a comma, 1.282 is 1282 as long as no cell shows that it is not."""
    lines = ["a;b;c", *["1.282;2.282;3.282"] * 1500, f"{shown};2.282;3.282"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    options = ReadOptions(usual_decimal=",")
    whole = read_table(tmp_path / "t.csv", options, COLUMNS).values
    assert whole[-1, 0] == value
    assert whole[0, 0] == (1282.0 if shown == "1.282" else 1.282)
    # Digits that a mark groups by three are said column by column, so such a file is read whole too.
    assert in_parts(tmp_path / "t.csv", options) is None


@pytest.mark.parametrize("last", ["1.282;2.282;3.282", "1.5;2.282;3.282"])
def test_a_mark_that_no_cell_shows_is_guessed_once(tmp_path, last):
    (tmp_path / "t.csv").write_text("\n".join(["a;b;c", *["1.282;2.282;3.282"] * 1500, last]))
    found, whole = in_parts(tmp_path / "t.csv"), read_table(tmp_path / "t.csv")
    np.testing.assert_array_equal(np.concatenate([table.values for table in found.tables()]), whole.values)
    assert found.empty.reading.notes == whole.reading.notes
    assert "is taken for the decimal mark" in whole.reading.notes[0]


def test_a_comma_far_down_is_that_of_all_rows(tmp_path):
    (tmp_path / "t.csv").write_text("\n".join(["a;b;c", *["1.282;2.282;3.282"] * 1500, "1,5;2.282;3.282"]))
    assert in_parts(tmp_path / "t.csv") is None
    assert read_table(tmp_path / "t.csv").values[0, 0] == 1282
