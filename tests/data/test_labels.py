"""Timestamps and row numbers are kept beside the values, so that results can be put back to their rows."""

import io

import numpy as np
import pytest

from aejax.data.formats.tables import read_table, write_table


def test_timestamps_and_row_numbers_are_kept_as_they_stand():
    table = read_table(io.BytesIO(b",when,note of day,a\n0,2024-01-01 00:00,1,2.5\n1,,2,3.5\n"))
    assert table.columns == ("note of day", "a")
    assert list(table.labels) == list(table.left_out) == ["column_1", "when"]
    np.testing.assert_array_equal(table.labels["column_1"], [0, 1])
    assert table.labels["when"].tolist() == ["2024-01-01 00:00", ""]


def test_gaps_longer_than_a_block_of_lines():
    times = ["2024-01-01"] + [""] * 8_000 + ["2024-01-02"]
    for cells in (times, times[1:], times[:-1]):
        text = "when,a\n" + "".join(f"{cell},{row * row % 7}.5\n" for row, cell in enumerate(cells))
        table = read_table(io.BytesIO(text.encode()))
        assert table.labels["when"].tolist() == cells


def test_text_is_no_label():
    table = read_table(io.BytesIO(b"when,who,a\n2024-01-01,Ann,1\n2024-01-02,Bob,2\n"), columns=("a",))
    assert table.left_out == ("when", "who")
    assert list(table.labels) == ["when"]


def test_dates_of_parquet_come_back(tmp_path):
    pytest.importorskip("pyarrow")
    when = np.array(["2024-01-01T00:00", "2024-01-01T00:01"], "datetime64[us]")
    write_table(tmp_path / "a.parquet", {"when": when, "a": np.array([1.0, 2.0])})
    table = read_table(tmp_path / "a.parquet")
    write_table(tmp_path / "b.parquet", {**table.labels, "b": np.array([3.0, 4.0])})
    np.testing.assert_array_equal(read_table(tmp_path / "b.parquet").labels["when"], table.labels["when"])
    write_table(tmp_path / "b.csv", {**table.labels, "b": np.array([3.0, 4.0])})
    assert read_table(tmp_path / "b.csv").labels["when"].tolist() == ["2024-01-01 00:00:00", "2024-01-01 00:01:00"]
