"""Reading and writing take memory by the size of the table, and the digest is that of the bytes that were read."""

import gzip
import hashlib
import io
import tracemalloc

import numpy as np
import pytest

from aejax.data.formats.table_files.csv import csv_blocks
from aejax.data.formats.tables import read_table, write_table


def test_the_digest_is_that_of_the_files_as_they_lie_there(tmp_path):
    parts = [gzip.compress(b"a,b\n1,2\n"), b"a,b\n3,4\n"]
    for index, part in enumerate(parts):
        (tmp_path / f"part_{index}.csv").write_bytes(part)
    assert read_table(tmp_path).reading.sha256 == hashlib.sha256(b"".join(parts)).hexdigest()
    assert read_table(io.BytesIO(parts[0])).reading.sha256 == hashlib.sha256(parts[0]).hexdigest()


@pytest.mark.parametrize("num_columns", [2, 400])
def test_rows_are_written_block_by_block(num_columns, tmp_path):
    taken = []
    for num_cells in (300_000, 600_000):
        rows = np.random.default_rng(0).normal(size=(num_cells // num_columns, num_columns))
        columns = {f"T{i}": column for i, column in enumerate(rows.T)}
        tracemalloc.start()
        write_table(tmp_path / "t.csv", columns)
        taken.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        np.testing.assert_array_equal(read_table(tmp_path / "t.csv").values, rows)
        assert (tmp_path / "t.csv").read_text() == "".join(csv_blocks(columns))
    assert taken[1] < 1.2 * taken[0]


@pytest.mark.parametrize("num_rows", [2, (1 << 16) - 1, 1 << 16, (1 << 16) + 1])
def test_an_empty_last_row_is_kept(num_rows, tmp_path):
    values = np.ones(num_rows)
    values[-1] = np.nan
    write_table(tmp_path / "t.csv", {"a": values, "b": values})
    np.testing.assert_array_equal(read_table(tmp_path / "t.csv").values[:, 0], values)


@pytest.mark.parametrize("mark", ["T [\u00b0C]", "T"])
def test_a_text_is_not_copied_again_and_again(mark, tmp_path):
    rows = np.random.default_rng(0).normal(size=(30_000, 8))
    header = ",".join([mark, *(f"c{i}" for i in range(7))])
    np.savetxt(tmp_path / "t.csv", rows, "%.17g", ",", header=header, comments="", encoding="utf-8")
    size = (tmp_path / "t.csv").stat().st_size
    tracemalloc.start()  # of Python and NumPy; what pyarrow takes is not counted
    table = read_table(tmp_path / "t.csv")
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(table.values, rows)
    assert taken < size + 2.5 * rows.nbytes
