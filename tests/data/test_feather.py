"""Feather files beside those that pyarrow and pandas write; the laws of all formats are in test_files.py."""

import io

import numpy as np
import pyarrow
import pyarrow.feather
import pytest

from aejax.data.formats.tables import read_table, write_table


def written(columns, **options):
    file = io.BytesIO()
    pyarrow.feather.write_feather(pyarrow.table(columns), file, **options)
    return file.getvalue()


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_what_pyarrow_writes_is_read(compression):
    when = np.array(["2024-01-01", "2024-01-02"], "datetime64[ms]")
    columns = {"when": when, "count": pyarrow.array([3, None]), "T": np.array([1.5, np.nan], np.float32)}
    table = read_table(io.BytesIO(written(columns, compression=compression)))
    assert (table.columns, table.left_out, table.has_header) == (("count", "T"), ("when",), True)
    np.testing.assert_array_equal(table.values, [[3, 1.5], [np.nan, np.nan]])


def test_pandas_reads_what_is_written(tmp_path):
    pandas = pytest.importorskip("pandas")
    write_table(tmp_path / "t.feather", {"T": np.array([0.1, np.nan]), "grade": np.array(["A", "ü"])})
    frame = pandas.read_feather(tmp_path / "t.feather")
    assert frame["grade"].tolist() == ["A", "ü"]
    np.testing.assert_array_equal(frame["T"], [0.1, np.nan])


def test_text_is_named():
    with pytest.raises(ValueError, match="column 'b': found 'x' in row 2, expected a number"):
        read_table(io.BytesIO(written({"a": [1, 2], "b": [None, "x"]})))


def test_a_damaged_file_is_refused():
    with pytest.raises(ValueError, match=r"found a damaged Feather file .*, expected a whole one"):
        read_table(io.BytesIO(written({"a": [1.0, 2.0]})[:60]))
