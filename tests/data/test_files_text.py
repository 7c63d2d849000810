"""The dialect of a text: neighbours of what people report, each with the value that is right."""

import io
import re

import numpy as np
import pyarrow
import pytest

from aejax.data.formats.options import ReadOptions
from aejax.data.formats.tables import read_table, write_table
from aejax.data.formats.text import cells
from aejax.data.formats.text.words import is_date

VALUES = np.round(np.random.default_rng(0).normal(50, 10, (40, 3)), 2)


def read(content, drop_columns=(), columns=None, **options):
    data = content if isinstance(content, bytes) else content.encode()
    return read_table(io.BytesIO(data), ReadOptions(**options), columns, drop_columns)


def rows(separator=",", decimal=".", time=True, num_columns=3):
    lines = [[f"2024-01-01 00:{i:02d}:00"] * time + [f"{v:.2f}".replace(".", decimal) for v in row[:num_columns]]
             for i, row in enumerate(VALUES)]  # fmt: skip
    return "\n".join(separator.join(line) for line in lines) + "\n"


ABOVE = {
    "savetxt": "# time,T1,T2,p1\n",
    "no space behind the mark": "#time,T1,T2,p1\n",
    "matlab": "% Plant 4\n% time,T1,T2,p1\n",
    "a line below": "# time,T1,T2,p1\n# --------\n",
    "units as comments": "# time,T1,T2,p1\n# -,degC,degC,bar\n",
    "title": "Plant 4\ntime,T1,T2,p1\n",
    "title with separators": "Report, plant 4, 2024\ntime,T1,T2,p1\n",
    "title filled up": "Report of plant 4,,,\n,,,\ntime,T1,T2,p1\n",
    "keys and values": "Device: DL-7\nSerial: 42\n\ntime,T1,T2,p1\n",
    "keys and values as cells": "Device,DL-7\nSerial,42\ntime,T1,T2,p1\n",
    "units": "time,T1,T2,p1\n,degC,degC,bar\n",
    "units in brackets": "time,T1,T2,p1\n[s],[°C],[°C],[bar]\n",
    "units in parentheses": "time,T1,T2,p1\n(UTC),(degC),(degC),(mbar a)\n",
    "descriptions": "time,T1,T2,p1\nStamp,Feed temperature,Product temperature,Head pressure\n",
    "sep line": "sep=,\ntime,T1,T2,p1\n",
    "blank lines": "\n\ntime,T1,T2,p1\n\n",
}


@pytest.mark.parametrize("above", ABOVE.values(), ids=ABOVE)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_names_are_found(above, end):
    table = read((above + rows()).replace("\n", end))
    assert table.columns == ("T1", "T2", "p1")
    assert table.left_out == ("time",)
    np.testing.assert_array_equal(table.values, VALUES)


@pytest.mark.parametrize("above", ["Device;DL-7\nSerial;42\n\n", "Device;DL-7\nSerial;42\n", "sep=;\n", "# Plant 4\n"])
def test_names_of_two_columns_are_found_below_notes_of_two_cells(above):
    table = read(f"{above}Zeit;T1\n{rows(';', ',', num_columns=1)}")
    assert (table.columns, table.left_out) == (("T1",), ("Zeit",))
    np.testing.assert_array_equal(table.values, VALUES[:, :1])


def test_no_header_is_announced_and_its_remedy_keeps_all_rows():
    content = "".join(f"{row[0]},{row[1]},remark {i}\n" for i, row in enumerate(VALUES))
    with pytest.raises(ValueError, match=r"column 'column_3': found 'remark 0' in row 1 .*--drop-columns column_3"):
        read(content)
    table = read(content, drop_columns=["column_3"])
    np.testing.assert_array_equal(table.values, VALUES[:, :2])
    assert any(line.startswith("no header was found") for line in table.reading.sentences())


def test_a_first_row_with_a_historians_word_is_a_row():
    content = "1.5,Bad,2.5\n" + rows(time=False)
    assert read(content, missing=("Bad",)).values.shape == (41, 3)


@pytest.mark.parametrize(
    "names", [["1100", "1102", "1104", "1106"], ["0:00", "6:00", "12:00", "18:00"], ["2024-01-01"] * 4]
)
def test_headers_that_look_like_cells(names):
    names = [f"{name} " if names.count(name) == 1 else f"{name[:-1]}{i}" for i, name in enumerate(names)]
    body = "\n".join(",".join(f"{v:.3f}" for v in [*row, row.sum()]) for row in VALUES)
    table = read(",".join(names) + "\n" + body)
    assert table.columns == tuple(name.strip() for name in names)
    assert len(table.values) == 40


def test_a_first_row_of_numbers_like_the_others_is_data():
    table = read(rows(time=False))
    assert not table.has_header
    np.testing.assert_array_equal(table.values, VALUES)


@pytest.mark.parametrize(
    ("cells", "others", "right"),
    [
        (["1,041", "930"], ["34.89", "1.5"], [1041, 930]),
        (["1.041", "930"], ["34,89", "1,5"], [1041, 930]),
        (["1,041", "930"], ["34,89", "1,5"], [1.041, 930]),
        (["1.041", "930"], ["34.89", "1.5"], [1.041, 930]),
        (["1,041", "930,5"], ["1", "2"], [1.041, 930.5]),
        (["1,041", "0,930"], ["1", "2"], [1.041, 0.93]),
        (["1.234.567", "930"], ["1", "2"], [1234567, 930]),
        (["1,234,567.5", "930"], ["1", "2"], [1234567.5, 930]),
        (["1 234,5", "930"], ["1", "2"], [1234.5, 930]),
        (["1\u202f234,5", "930"], ["1", "2"], [1234.5, 930]),
        (["1'234.5", "930"], ["1", "2"], [1234.5, 930]),
        (["-1.282,96", "+0,5"], ["1", "2"], [-1282.96, 0.5]),
        (["1.041", "2.930"], ["1", "2"], [1.041, 2.93]),
    ],
)
def test_marks_are_decided_by_the_other_cells(cells, others, right):
    content = "a;b\n" + "".join(f"{cell};{other}\n" for cell, other in zip(cells, others, strict=True))
    np.testing.assert_array_equal(read(content).values[:, 0], right)


def test_an_undecidable_column_is_refused_by_name_and_both_remedies_work():
    content = "a;b\n1,041;3\n930;4\n"
    with pytest.raises(ValueError, match=r"column 'a': found '1,041' in row 1 \(line 2\), which is 1041 or 1\.041.*"):
        read(content)
    np.testing.assert_array_equal(read(content, decimal="comma").values[:, 0], [1.041, 930])
    np.testing.assert_array_equal(read(content, thousands="comma").values[:, 0], [1041, 930])


def test_marks_far_down_decide_too():
    content = "a;b\n" + "930;1\n" * 5_000 + "1,041;2.5\n"
    assert read(content).values[-1].tolist() == [1041, 2.5]


@pytest.mark.parametrize("end", [",,\n,,\n", ",,\n\n\n", '"","",""\n', ",,\n\x1a", ",,"])
def test_rows_of_nothing_at_the_end_are_left_out_and_said(end):
    table = read("a,b,c\n1,2,3\n,,\n4,5,6\n" + end)
    np.testing.assert_array_equal(table.values, [[1, 2, 3], [np.nan] * 3, [4, 5, 6]])
    assert re.search(r"\d rows? of nothing but separators at the end", "\n".join(table.reading.notes))


def test_missing_cells_at_the_end_are_written_so_that_they_are_read(tmp_path):
    write_table(tmp_path / "t.csv", {"a": np.array([1, np.nan]), "b": np.array([2, np.nan])})
    np.testing.assert_array_equal(read_table(tmp_path / "t.csv").values, [[1, 2], [np.nan, np.nan]])


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "latin-1", "utf-8-sig"])
def test_encodings_without_a_mark(encoding):
    table = read("Zeit;Außen [°C];p\n01.01.2024;1,5;2\n02.01.2024;2,5;2\n".encode(encoding))
    assert table.columns == ("Außen [°C]", "p")
    assert table.values[:, 0].tolist() == [1.5, 2.5]


@pytest.mark.parametrize("cell", ["01/03/24 00", "1/3/2024 5 PM", "2024-03-01 07", "01-Mär-2024", "3. Mai 2024"])
def test_more_dates(cell):
    assert read(f"when;a\n{cell};1\n{cell};2\n").left_out == ("when",)


def test_words_are_offered_together_and_the_offer_works():
    content = "a,b\n" + "1,2\n" * 20 + "Bad,3\n4,No Data\n"
    with pytest.raises(ValueError, match=r"column 'a': found 'Bad' in row 21 \(line 22\).*--missing Bad 'No Data' "):
        read(content)
    assert np.isnan(read(content, missing=("bad", "No Data")).values).sum() == 2


def test_a_mark_of_dashes_is_offered_too():
    with pytest.raises(ValueError, match=r"found '--' in row 21 .*--missing -- .*--drop-columns a"):
        read("a,b\n" + "1,2\n" * 20 + "--,3\n")


def test_options_decide():
    body = rows()
    assert read("a,b,c,d\ntime,T1,T2,p1\n" + body, header_row=2).columns == ("T1", "T2", "p1")
    assert read("x,y\nx,y\ntime,T1,T2,p1\n" + body, skip_rows=2).columns == ("T1", "T2", "p1")
    assert read("1,2,3\n" + rows(time=False), header_row=0).values[0].tolist() == [1, 2, 3]
    assert read("a|b,c\n1|2\n", separator="bar").columns == ("a", "b,c")
    table = read("run,T1,p\nR-1,1,2\nR-2,3,5\n", time_column="run")
    assert table.labels["run"].tolist() == ["R-1", "R-2"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"header_row": 1}, "header_row: found 2 names in line 1, expected 4"),
        ({"header_row": -1}, "header_row: found -1"),
        ({"separator": "ab"}, "separator: found 'ab', expected one character"),
        ({"decimal": ";"}, "decimal: found ';', expected one of point, comma"),
        ({"decimal": ",", "thousands": ","}, "thousands: found ',', which is the decimal mark too"),
        ({"time_column": "tme"}, r"time_column: found 'tme' \(nearest: 'time'\)"),
        ({"keep_columns": ("T3",)}, "keep_columns: found 'T3'"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        read("x,y\ntime,T1,T2,p1\n" + rows(), **options)


def test_a_list_of_names_is_no_options():
    with pytest.raises(TypeError, match="expected ReadOptions; names to leave out are drop_columns"):
        read_table(io.BytesIO(b"a,b\n1,2\n"), ["a"])


def test_names_that_are_twice():
    content = "time,T,T,T_2,T\n" + "2024-01-01,1,2,3,4\n2024-01-02,5,6,7,8\n"
    with pytest.raises(ValueError, match=r"column 'T': found in places \[2, 3, 5\].*--drop-columns T .*--rename-dup"):
        read(content)
    assert read(content, drop_columns=["T"]).columns == ("T_2",)
    table = read(content, rename_duplicates=True)
    assert table.columns == ("T", "T_3", "T_2", "T_4")
    assert table.values[0].tolist() == [1, 2, 3, 4]


def test_a_header_short_of_a_name_is_refused():
    with pytest.raises(ValueError, match=r"line 1: found 2 fields, expected 3 .* --header-row"):
        read("a,b\nr1,1,2\nr2,2,3\nr3,4,5\n")


FOOTERS = [
    "Total,1991.2,2001.5,1998.1\n",
    "Average,,,\n",
    "End of file\n",
    "\nEOF\n",
    "-----\n(40 rows affected)\n",
    ",,,\nMin,1,2,3\nMax,4,5,6\n\n",
]


@pytest.mark.parametrize("footer", FOOTERS)
@pytest.mark.parametrize("separator", [",", "\t"])
def test_lines_behind_the_rows_are_left_out_and_said(footer, separator):
    content = f"time,T1,T2,p1\n{rows()}{footer}".replace(",", separator)
    table = read(content)
    np.testing.assert_array_equal(table.values, VALUES)
    assert re.search(r"\d lines? at the end: left out, such as", "\n".join(table.reading.notes))


@pytest.mark.parametrize("last", ["2024-0", "2024-01-01 00:40,5", "Bad,1,2", "Jan 2", "Fri"])
def test_a_last_row_that_was_cut_is_no_remark(last):
    with pytest.raises(ValueError, match="line 42: found"):
        read(f"time,T1,T2,p1\n{rows()}{last}")


@pytest.mark.parametrize("below", ["channel,1,2,3\n", "min,0,0,0\nmax,100,100,100\n", "s,1,1,1\n"])
def test_numbers_beside_a_word_in_the_place_of_a_date_are_no_row(below):
    table = read(f"time,T1,T2,p1\n{below}{rows()}")
    assert table.columns == ("T1", "T2", "p1")
    np.testing.assert_array_equal(table.values, VALUES)


def test_numbers_beside_a_word_over_dates_are_names():
    table = read(f"time,31.1,31.2,31.3\n{rows()}")
    assert table.columns == ("31.1", "31.2", "31.3")
    np.testing.assert_array_equal(table.values, VALUES)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_files_put_one_behind_the_other(mark):
    header = f"{mark}time,T1,T2,p1\n"
    table = read(header + rows() + header + rows() + mark + rows())
    assert table.columns == ("T1", "T2", "p1")
    np.testing.assert_array_equal(table.values, np.tile(VALUES, (3, 1)))
    assert "the header stands among the rows once: left out" in table.reading.notes


def test_groups_over_the_names_are_no_names():
    table = read(f",Reactor,,Column\ntime,T1,T2,p1\n{rows()}")
    assert (table.columns, dict(table.reading.units)) == (("T1", "T2", "p1"), {})


@pytest.mark.parametrize("word", ["TRUE", "false"])
def test_a_word_for_true_among_measurements_is_none(word):
    with pytest.raises(ValueError, match=rf"column 'a': found '{word}' in row 2 \(line 3\).*--missing {word} "):
        read(f"a,b\n20.5,1\n{word},2\n21.5,3\n22.5,4\n")
    assert read(f"a,b\n1,1\n{word},2\n0,3\n").values[1, 0] == (word == "TRUE")


@pytest.mark.parametrize("name", ["T1", "T1 [°C]"])
def test_a_single_column_with_a_decimal_comma(name):
    table = read(f"{name}\n" + 10 * "53,46\n36,9\n-4,25\n")
    assert (table.columns, table.values.tolist()) == ((name,), 10 * [[53.46], [36.9], [-4.25]])
    assert "--separator comma if it separates two" in table.reading.notes[0]


def test_a_point_that_may_group_digits_is_said_and_the_remedy_works():
    content = "a;b\n5.346;1\n3.697;2\n"
    assert "a point is taken for the decimal mark, as in '5.346'; --thousands point" in read(content).reading.notes[0]
    assert read(content, thousands="point").values[:, 0].tolist() == [5346, 3697]
    assert not read(content.replace("5.346", "5.34")).reading.notes


@pytest.mark.parametrize(
    ("cells", "right"),
    [
        (("1.0D+05", "-2.5d-01"), (1e5, -0.25)),
        (("1,5D+02", "2,25D0"), (150, 2.25)),
        (("\u221253.46", "1.5"), (-53.46, 1.5)),
    ],
)
def test_numbers_of_fortran_and_of_typesetters(cells, right):
    table = read(f"time;T1\n2024-01-01;{cells[0]}\n2024-01-02;{cells[1]}\n")
    assert table.values[:, 0].tolist() == list(right)


@pytest.mark.parametrize("cell", ["1d05", "0x1F", "12e"])
def test_hexadecimal_digits_are_no_numbers(cell):
    with pytest.raises(ValueError, match="expected a number"):
        read(f"a,b\n{cell},1\n{cell},2\n")


@pytest.mark.parametrize(
    "cell",
    [
        "2024-061", "2024-061T12:00:00", "2024/061/12:00", "Fri Mar 01 00:00:00 2024", "Friday, 1 March 2024 10:00",
        "20240301 0000", "20240301_000000", "2024-03-01_00:00:00", "2024-03-01-00-00-00", "2024-Mar-01",
        "01.03.2024 00.15", "01-Mar-2024 12.00.00.000000 AM", "2024-03-01 00:00:00 Europe/Berlin",
        "2024-03-01 00:00:00 UTC+1",
        "100:00:00",
        "2 days 03:00:00", "2024:03:01 00:00:00",
    ],
)  # fmt: skip
def test_dates_in_other_styles(cell):
    assert read(f"when;a\n{cell};1\n{cell};2\n").left_out == ("when",)


@pytest.mark.parametrize("cell", ["20240301", "1234-567", "12-34", "1.2.3", "10.0.20.5", "2024"])
def test_what_is_no_date(cell):
    assert not is_date(cell)


@pytest.mark.parametrize("first", ["", "0,"])
def test_columns_that_pandas_numbered(first):
    names = [str(i) for i in range(6)]
    values = np.random.default_rng(0).normal(size=(20, 6)).round(3)
    index = [f"{i}," if not first else "" for i in range(20)]
    lines = [i + ",".join(map(str, row)) for i, row in zip(index, values.tolist(), strict=True)]
    table = read((("," if not first else "") + ",".join(names)) + "\n" + "\n".join(lines) + "\n")
    assert table.columns == tuple(names)
    np.testing.assert_array_equal(table.values, values)


def test_utf_32():
    assert read("Zeit;Außen [°C]\n01.01.2024;1,5\n02.01.2024;2,5\n".encode("utf-32")).columns == ("Außen [°C]",)


def test_remedies_for_a_separator_and_a_time_that_are_not_known():
    content = "time^T1\nQ1/24^1.5\nQ2/24^2.5\n"
    with pytest.raises(ValueError, match="name what stands between the cells with --separator"):
        read(content)
    with pytest.raises(ValueError, match="say that it is a time with --time-column time"):
        read(content, separator="^")
    table = read(content, separator="^", time_column="time")
    assert (table.values.tolist(), table.labels["time"].tolist()) == ([[1.5], [2.5]], ["Q1/24", "Q2/24"])


def test_two_columns_that_pandas_numbered_beside_an_index():
    table = read(",0,1\n" + "".join(f"{i},{a},{b}\n" for i, (a, b) in enumerate(VALUES[:, :2].tolist())))
    assert (table.columns, table.left_out) == (("0", "1"), ("column_1",))
    np.testing.assert_array_equal(table.values, VALUES[:, :2])


def test_a_wrong_cell_among_thousands_is_found_in_few_looks(monkeypatch):
    looks, numbers = [], cells._numbers
    monkeypatch.setattr(cells, "_numbers", lambda *arguments: looks.append(arguments) or numbers(*arguments))
    text = [f"{row / 7:.3f}" for row in range(4000)]
    text[3000] = "oops"
    (column,) = cells.columns_of_text(["flow"], [pyarrow.chunked_array([text])], cells.Rules()).columns
    assert column.problem == "found 'oops' in row 3001, expected a number"
    assert column.words == ("oops",)
    assert len(looks) < 100
