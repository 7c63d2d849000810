"""Files that are read in parts are what they are when they are read whole, or are read whole."""

import io

import numpy as np
import pyarrow.parquet
import pytest

from aejax.data.formats import blocks
from aejax.data.formats.options import ReadOptions
from aejax.data.formats.table_files.arrow import table_of
from aejax.data.formats.tables import read_table, write_table
from aejax.data.formats.text import parts as text_parts

NUM_ROWS = 2000


@pytest.fixture(autouse=True)
def _small_heads(monkeypatch):
    monkeypatch.setattr(blocks, "_HEAD", 1 << 12)
    monkeypatch.setattr(text_parts, "_HEAD", 1 << 12)


def text_of(separator=",", decimal=".", before="", units="", end="\n", ending="", digits=2):
    rng = np.random.default_rng(0)
    lines = [before + separator.join(["time", "T1", "p1", "state", "n"])]
    lines += [units] if units else []
    for row in range(NUM_ROWS):
        cells = [f"2024-01-{1 + row // 1440:02d} {row // 60 % 24:02d}:{row % 60:02d}"]
        numbers = [f"{value:.{digits}f}" if rng.random() > 0.02 else "" for value in rng.normal(300, 5, 2)]
        cells += [number.replace(".", decimal) for number in numbers]
        lines.append(separator.join([*cells, ["on", "off"][row // 7 % 2], str(row // 3)]))
    return (end.join(lines) + end + ending).encode("cp1252")


def assert_same(path, columns, options=ReadOptions(), is_in_parts=True, size=5000):
    """The same columns, rows, labels and notes; the parts are no whole."""
    whole = read_table(path, options, columns)
    taken = []
    found = blocks.read_blocks(path, options, columns, note=taken.append, size=size)
    assert (found is not None) == is_in_parts
    if found is None:
        return
    tables = list(found.tables())
    assert len(tables) > 3
    assert found.empty.columns == whole.columns
    assert found.empty.reading._replace(sha256="") == whole.reading._replace(sha256="")
    assert found.empty.has_header == whole.has_header
    np.testing.assert_array_equal(np.concatenate([table.values for table in tables]), whole.values)
    assert list(found.empty.labels) == list(whole.labels)
    for name, cells in whole.labels.items():
        np.testing.assert_array_equal(np.concatenate([table.labels[name] for table in tables]), cells)
    places = [taken[0].columns.index(name) for name in columns]
    expected = whole.values[:, [whole.columns.index(name) for name in columns]]
    np.testing.assert_array_equal(np.concatenate([table.values[:, places] for table in taken]), expected)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"separator": ";", "decimal": ","},
        {"separator": "\t", "digits": 3},
        {"separator": "\t", "digits": 0},
        {"end": "\r\n"},
        {"before": "# plant 4\n"},
        {"before": "Plant 4\nexported;by;us\n", "separator": ";", "decimal": ","},
        {"units": "-,\u00b0C,bar,-,-"},
        {"ending": "Total,300,400,,\n"},
        {"ending": ",,,,\n,,,,\n\n"},
        {"ending": "End of file\n"},
    ],
    ids=str,
)
def test_a_text_of_any_dialect(options, tmp_path):
    (tmp_path / "t.csv").write_bytes(text_of(**options))
    assert_same(tmp_path / "t.csv", ["T1", "p1"])


def changed(row, cell):
    lines = text_of().split(b"\n")
    cells = lines[row].split(b",")
    cells[1] = cell
    lines[row] = b",".join(cells)
    return b"\n".join(lines)


@pytest.mark.parametrize("row", [20, 1000, NUM_ROWS])
@pytest.mark.parametrize("cell", [b"", b"1e3", b'"301.5"', b"NaN", b"+3.5"])
def test_a_cell_that_is_written_otherwise(row, cell, tmp_path):
    (tmp_path / "t.csv").write_bytes(changed(row, cell))
    assert_same(tmp_path / "t.csv", ["T1", "p1"])


@pytest.mark.parametrize("row", [20, 1000])
@pytest.mark.parametrize("cell", [b'"1,301.5"', b"true"])
def test_what_all_rows_decide_is_read_whole(row, cell, tmp_path):
    (tmp_path / "t.csv").write_bytes(changed(row, cell))
    columns = ["p1"] if cell == b"true" else ["T1", "p1"]
    assert_same(tmp_path / "t.csv", columns, is_in_parts=False)


@pytest.mark.parametrize("inside", ["time,T1,p1,state,n\n", "# a remark\n", "\n", ",,,,\n", '"a\nb",1,2,on,3\n'])
def test_lines_between_the_rows(inside, tmp_path):
    lines = text_of().decode("cp1252").splitlines(keepends=True)
    for row in (1000, 1001, 1500):
        lines[row] += inside
    (tmp_path / "t.csv").write_text("".join(lines))
    whole = read_table(tmp_path / "t.csv", columns=["T1", "p1"])
    for size in (4500, 5000, 7000):
        found = blocks.read_blocks(tmp_path / "t.csv", ReadOptions(), ["T1", "p1"], size=size)
        if found is not None:
            tables = list(found.tables())
            np.testing.assert_array_equal(np.concatenate([table.values for table in tables]), whole.values)
            assert found.empty.reading.notes == whole.reading.notes


def test_columns_whose_behaviour_decides(tmp_path):
    """A counter that turns back in its last row is none; an id, an hour and a column of text stand beside."""
    rng = np.random.default_rng(0)
    rows = np.arange(NUM_ROWS)
    columns = {
        "T1": rng.normal(size=NUM_ROWS),
        "counter": np.append(rows[:-1], 3.0),
        "kWh": 5000 + 1.5 * rows,
        "hour": rows // 60 % 24,
        "day": 1 + rows // 1440,
        "other": rng.normal(size=NUM_ROWS),
        "late": np.where(rows < 1900, np.nan, rows),
    }
    for ending in (".csv", ".parquet", ".feather"):
        write_table(tmp_path / f"t{ending}", columns)
        for wanted in (["T1"], ["T1", "hour"], ["T1", "kWh", "other"]):
            assert_same(tmp_path / f"t{ending}", wanted)


def test_numbers_as_text_in_parquet_are_read_whole(tmp_path):
    columns = {"T1": np.arange(NUM_ROWS) / 7, "p1": (np.arange(NUM_ROWS) / 8).astype(str)}
    pyarrow.parquet.write_table(table_of(columns), tmp_path / "t.parquet")
    assert_same(tmp_path / "t.parquet", ["T1", "p1"], is_in_parts=False)


@pytest.mark.parametrize("dtype", [np.float32, np.int16, bool, ">f8"])
def test_arrays_of_any_type(dtype, tmp_path):
    array = np.random.default_rng(0).integers(0, 2, (NUM_ROWS, 3)).astype(dtype)
    np.save(tmp_path / "t.npy", array)
    assert_same(tmp_path / "t.npy", ["column_1", "column_2", "column_3"])
    np.save(tmp_path / "t.npy", np.asfortranarray(array))
    assert_same(tmp_path / "t.npy", ["column_1", "column_2", "column_3"], is_in_parts=False)


def test_files_of_a_folder_with_one_decimal_mark(tmp_path):
    (tmp_path / "a.csv").write_bytes(text_of(";", ","))
    (tmp_path / "b.csv").write_text("time;T1;p1;state;n\n2024-02-01 00:00;1.282;7;on;1\n")
    assert_same(tmp_path, ["T1", "p1"])


@pytest.mark.parametrize("source", ["nothing.csv", "empty.csv", "folder"])
def test_what_is_not_there_is_left_to_read_table(source, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.csv").write_text("")
    assert blocks.read_blocks(tmp_path / source, ReadOptions(), ["T1"]) is None
    assert blocks.read_blocks("-", ReadOptions(), ["T1"]) is None
    assert blocks.read_blocks(io.BytesIO(), ReadOptions(), ["T1"]) is None
