import io
import subprocess
import sys

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from aejax.data.formats.table_files.registry import TABLE_FORMATS, writers
from aejax.data.formats.tables import Table, read_table, select_columns, write_table


def read(content, **options):
    return read_table(io.BytesIO(content if isinstance(content, bytes) else content.encode()), **options)


def saved(writer, *args, **kwargs):
    file = io.BytesIO()
    writer(file, *args, **kwargs)
    return file.getvalue()


def check(table, columns, values, left_out=()):
    assert table.columns == tuple(columns)
    assert table.left_out == tuple(left_out)
    assert table.values.dtype == np.float64
    np.testing.assert_array_equal(table.values, values)


# CSV: separators, headers, cells


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " ", "   ", ", "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends(separator, end):
    lines = [separator.join(row) for row in (["a", "b", "c"], ["1", "-2.5", "3e2"], ["4", "5", "6"])]
    check(read(end.join(lines) + end), "abc", [[1, -2.5, 300], [4, 5, 6]])


@pytest.mark.parametrize("separator", [";", "\t", "|", " "])
def test_decimal_comma(separator):
    for header in ("", separator.join("ab") + "\n"):
        table = read(header + f"1,5{separator}-2,25\n3{separator}1,0e3\n")
        np.testing.assert_array_equal(table.values, [[1.5, -2.25], [3, 1000]])


def test_decimal_commas_in_columns_of_spaces_with_gaps():
    check(read("1,5 NA\nNA 2,5\n"), ["column_1", "column_2"], [[1.5, np.nan], [np.nan, 2.5]])
    check(read("1,5 2,5\n"), ["column_1", "column_2"], [[1.5, 2.5]])


def test_a_row_of_tabs_is_a_row():
    check(read("a\tb\n1\t2\n\t\n\n\t\t\n3\t4\n"), "ab", [[1, 2], [np.nan, np.nan], [3, 4]])
    check(read("\t\na\tb\n1\t2\n"), "ab", [[1, 2]])
    check(read("a,b\n\t\n1,2\n"), "ab", [[1, 2]])


def test_quoted_cells_between_spaces():
    check(read('"a" "b"\n"1.5" "NA"\n'), "ab", [[1.5, np.nan]])


def test_a_column_with_commas_and_points_is_not_guessed():
    with pytest.raises(ValueError, match=r"column 'a': found '1,23' in row 1 \(line 2\)"):
        read("a;b\n1,23;1\n1.5;2\n")


def test_no_header():
    table = read("1,2\n3,4\n")
    check(table, ["column_1", "column_2"], [[1, 2], [3, 4]])
    assert not table.has_header
    assert read("a,2\n3,4\n").has_header  # one text is enough: wavelengths beside a name
    check(read("2024-01-01,1\n2024-01-02,2\n"), ["column_2"], [[1], [2]], ["column_1"])


def test_one_column():
    check(read("a b\n1\n2\n"), ["a b"], [[1], [2]])
    check(read("a\n1\n\n2\n"), ["a"], [[1], [2]])
    check(read("1\n2\n"), ["column_1"], [[1], [2]])


def test_quotes_names_and_numbers():
    table = read('"T, in","p ""abs""",F\n"1.5", 2,"3"\n4,"",6\n')
    check(table, ["T, in", 'p "abs"', "F"], [[1.5, 2, 3], [4, np.nan, 6]])
    check(read('"T\n[C]";b\n1;2\n'), ["T [C]", "b"], [[1, 2]])


@pytest.mark.parametrize("word", ["", " ", "NA", "N/A", "NaN", "nan", "null", "None", "-", "?", "#N/A"])
def test_missing(word):
    check(read(f"a,b\n{word},1\n2,{word}\n"), "ab", [[np.nan, 1], [2, np.nan]])


def test_a_column_with_nothing_in_it_stays():
    check(read("a,b,c\n1,,2\n3,,4\n"), "abc", [[1, np.nan, 2], [3, np.nan, 4]])


def test_booleans_are_numbers():
    check(read("a,b\nTRUE,1\nfalse,2\n"), "ab", [[1, 1], [0, 2]])


def test_comments_and_blank_lines():
    check(read("# plant 4\n\na,b\n# shift 2\n1,2\n   \n3,4\n\n"), "ab", [[1, 2], [3, 4]])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(encoding):
    check(read("T [°C];p\n1;2\n".encode(encoding)), ["T [°C]", "p"], [[1, 2]])


@pytest.mark.parametrize("content", ["a;b;\n1;2;\n3;4;\n", "a;b\n1;2;\n3;4;\n", "a;b;\n1;2\n3;4\n", "1;2;\n3;4;\n"])
def test_a_separator_that_ends_the_line(content):
    table = read(content)
    assert len(table.columns) == 2
    np.testing.assert_array_equal(table.values, [[1, 2], [3, 4]])


def test_a_plant_historian_export():
    content = (
        '\ufeffTimestamp;"TI-101 [°C]";"FI-7, total";PI-3;\r\n'
        '2024-03-31 01:59:00+01:00;"20,53";1,0;;\r\n'
        '2024-03-31 03:00:00+02:00;"20,61";NaN;5;\r\n'
    )
    table = read(content)
    check(table, ["TI-101 [°C]", "FI-7, total", "PI-3"], [[20.53, 1, np.nan], [20.61, np.nan, 5]], ["Timestamp"])


# Timestamps and indices


@pytest.mark.parametrize(
    "cell",
    [
        "2024-01-31",
        "2024/1/31 5:07",
        "2024-01-31T05:07:09.123456Z",
        "2024-01-31 05:07:09,123 +0100",
        "2024-01-31T05:07:09+01:00[Europe/Zurich]",
        "31.01.2024 05:07:09",
        "1/31/24 5:07 PM",
        "31-Jan-24 05:07:09.5",
        "Jan 31, 2024 05:07:09 PM",
        "31 January 2024",
        "20240131T050709Z",
        "05:07:09",
        "2024-01-31 05:07 CET",
    ],
)
def test_dates_are_left_out_by_content(cell):
    check(read(f"when;a\n{cell};1\n;2\n"), ["a"], [[1], [2]], ["when"])


@pytest.mark.parametrize("cell", ["1.2.3", "10-20", "1:2", "abc 2024-01-01", "192.168.1.20"])
def test_these_are_text(cell):
    with pytest.raises(ValueError, match="expected a number"):
        read(f"when;a\n{cell};1\n")


@pytest.mark.parametrize("name", ["time", "Timestamp", "Time [s]", "date_time (h)"])
def test_numbers_named_time_are_a_clock_where_they_increase(name):
    check(read(f"{name},a\n0,1\n10,2\n"), ["a"], [[1], [2]], [name])
    for second in ("0", "-1", ""):  # a time in the batch, a repeated one, a gap: a measurement like another
        assert read(f"{name},a\n0,1\n{second},2\n").columns == (name, "a")
    assert read(f"{name} on stream,a\n0,1\n10,2\n").left_out == ()


def test_training_columns_are_kept_and_others_forgiven():
    content = "time,a,grade,b\n0,1,A,inf\n10,2,B,1\n"
    check(read(content, columns=("time", "a"), drop_columns=["gone"]), ["time", "a"], [[0, 1], [10, 2]], ["grade", "b"])
    with pytest.raises(ValueError, match="column 'grade'"):
        read(content, columns=("grade",))


def test_an_index_without_a_name_is_left_out():
    for name in ("", "Unnamed: 0"):
        check(read(f"{name},a\n0,5\n1,6\n"), ["a"], [[5], [6]], [name or "column_1"])
    check(read(",a\n17,5\n3,6\n"), ["a"], [[5], [6]], ["column_1"])  # a shuffled part of a table
    assert read(",a\n1.5,5\n1,6\n").columns == ("column_1", "a")
    assert read(",a\n1,5\n1,6\n").columns == ("column_1", "a")
    assert read("a,,b\n1,2,3\n").columns == ("a", "column_2", "b")


# CSV: errors


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("# nothing\n\n", "the file is empty"),
        ("a,b\n", "found no rows below the header 'a', 'b'"),
        ("a,b\n\n1,2\n3\n", r"line 4: found 1 fields, expected 2 as in line 1"),
        ("a,b\n1,2\n3,4,5\n", r"line 3: found 3 fields, expected 2"),
        ("a,b\n1,2\n1,x\n", r"column 'b': found 'x' in row 2 \(line 3\), expected a number.*--drop-columns b "),
        ("a,my b\n1,x\n", r"--drop-columns 'my b' \(drop_columns=\['my b'\]\)"),
        ("a,b\n1,1_000\n", r"column 'b': found '1_000'"),
        ("t,a\n2024-01-01,1\n5,2\n", r"column 't': found '5' in row 2 \(line 3\), expected a date"),
        ("a,b\n1,2\n3,-inf\n", r"column 'b': found -inf in row 2, expected finite numbers.*--drop-columns b "),
        ("a,b\n1,1e999\n", r"column 'b': found inf in row 1"),
        ("a,b,a\n1,2,3\n", r"column 'a': found in places \[1, 3\], expected once"),
        ("t\n2024-01-01\n", "found no column of numbers, expected at least one; left out: 't'"),
        (b"\x89PNG\0\0", "found binary data, expected one of CSV, .*NPY, NPZ, Parquet"),
        ('a,b\n1,"' + "2" * 200_000 + "\n", "line .*unclosed quote"),
        ('a,"b' + "2" * 200_000 + "\n", "line 1: .*unclosed quote"),
        ("a\n1\n".encode("utf-16")[:-1], "damaged UTF-16"),
    ],
)
def test_errors(content, message):
    with pytest.raises(ValueError, match=message):
        read(content)


def test_dates_and_numbers_far_apart_are_one_error():
    date, number = "2024-01-01,1", "5,1"
    for rows, found in (
        ([date] * 9_000 + [number], r"found '5' in row 9001 \(line 9002\)"),
        ([date] * 9_000 + [number] * 9_000, r"found '5' in row 9001 \(line 9002\)"),
        ([",1"] * 9_000 + [date] * 3_000 + [number] * 9_000, r"found '5' in row 12001 \(line 12002\)"),
    ):
        with pytest.raises(ValueError, match=f"column 't': {found}, expected a date"):
            read("\n".join(["t,a", *rows]))


def test_text_far_down_is_found_where_it_is():
    rows = ["1,2"] * 9_000 + ["1,Bad Input", "1,worse"]
    with pytest.raises(ValueError, match=r"found 'Bad Input' in row 9001 \(line 9002\)"):
        read("\n".join(["a,b", *rows]))


def test_drop_columns():
    content = "a,grade,b\n1,A,2\n"
    check(read(content, drop_columns=["grade"]), "ab", [[1, 2]])
    check(
        read("1,A,2\n2,A,3\n".replace("A", "2024-01-01"), drop_columns=["column_2", "column_3"]),
        ["column_1"],
        [[1], [2]],
    )
    with pytest.raises(ValueError, match=r"found 'Grad' \(nearest: 'grade'\), expected some of 'a', 'grade', 'b'"):
        read(content, drop_columns=["Grad"])


# Sources


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "plant_4.csv"
    path.write_text("a\nx\n")
    with pytest.raises(ValueError, match=r"plant_4\.csv: column 'a'"):
        read_table(path)
    with path.open("rb") as file, pytest.raises(ValueError, match=r"plant_4\.csv: column 'a'"):
        read_table(file)
    with path.open() as file, pytest.raises(ValueError, match="expected a binary one"):
        read_table(file)
    with pytest.raises(FileNotFoundError, match=r"plant4\.csv: there is no such file \(nearest: 'plant_4\.csv'\)"):
        read_table(str(tmp_path / "plant4.csv"))
    with pytest.raises(ValueError, match=r"plant_4\.csv: column 'a'"):
        read_table(tmp_path)
    with pytest.raises(FileNotFoundError, match="found a folder without files"):
        read_table(tmp_path.joinpath("empty").mkdir() or tmp_path / "empty")


@pytest.mark.parametrize("ending", writers())
def test_standard_input(ending, tmp_path, monkeypatch):
    write_table(tmp_path / f"t{ending}", {"a": np.array([1.0, 3.0]), "b": np.array([2.0, np.nan])})
    content = (tmp_path / f"t{ending}").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    np.testing.assert_array_equal(read_table("-").values, [[1, 2], [3, np.nan]])


def test_a_pipe():
    program = (
        "from aejax.data.formats.tables import *; t = read_table('-'); "
        "write_table('-', dict(zip(t.columns, t.values.T)))"
    )
    done = subprocess.run([sys.executable, "-c", program], input=b"a;b\n0,1;\n", capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == ["a,b", "0.1,"]


# NPY, NPZ, Parquet


def test_npy():
    table = read(saved(np.save, np.array([[1, 2], [3, 4]], np.int16)))
    check(table, ["column_1", "column_2"], [[1, 2], [3, 4]])
    assert not table.has_header
    check(read(saved(np.save, np.array([1, 2], np.float32))), ["column_1"], [[1], [2]])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([1, None]), "cannot read the array"),
        (np.array(["a"]), r"found an array \(1,\) of <U1, expected numbers"),
        (np.zeros((2, 2, 2)), r"found an array \(2, 2, 2\) of float64"),
        (np.zeros((2, 2), complex), "of complex128"),
        (np.zeros(()), r"found an array \(\)"),
        (np.zeros((0, 3)), "found no rows"),
        (np.array([[1.0, np.inf]]), "column 'column_2': found inf in row 1"),
    ],
)
def test_npy_errors(array, message):
    with pytest.raises(ValueError, match=message):
        read(saved(np.save, array))


def test_npz():
    x = np.array([[1.0, 2.0]])
    for arrays in ({"x": x, "y": x}, {"X": x, "y": x}, {"data": x, "y": x}, {"any": x}, {"any": x, "label": x[0]}):
        check(read(saved(np.savez, **arrays)), ["column_1", "column_2"], x)
    table = read(saved(np.savez, x=x, columns=np.array(["a", "b"])))
    check(table, "ab", x)
    assert table.has_header
    with pytest.raises(ValueError, match=r"arrays first \(1, 2\), second \(1, 2\); expected one of two dimensions"):
        read(saved(np.savez, first=x, second=x))
    with pytest.raises(ValueError, match="found 1 names, expected 2"):
        read(saved(np.savez, x=x, columns=np.array(["a"])))
    with pytest.raises(ValueError, match="damaged"):
        read(saved(np.savez, x=x)[:60])


def parquet(columns):
    return saved(lambda file: pyarrow.parquet.write_table(pyarrow.table(columns), file))


def test_parquet():
    when = np.array(["2024-01-01", "2024-01-02"], "datetime64[ms]")
    table = read(
        parquet(
            {
                "when": when,
                "count": pyarrow.array([2**60 + 1, None]),
                "on": pyarrow.array([True, None]),
                "T": np.array([1.5, np.nan], np.float32),
                "none": pyarrow.nulls(2),
                "__index_level_0__": [7, 8],
            }
        )
    )
    values = [[2.0**60, 1, 1.5, np.nan], [np.nan] * 4]
    check(table, ["count", "on", "T", "none"], values, ["when", "__index_level_0__"])
    assert table.has_header


def test_parquet_errors():
    text = parquet({"a": [1, 2], "b": [None, "x"]})
    with pytest.raises(ValueError, match="column 'b': found 'x' in row 2, expected a number"):
        read(text)
    check(read(text, drop_columns=["b"]), "a", [[1], [2]])
    with pytest.raises(ValueError, match="found no rows"):
        read(parquet({"a": pyarrow.array([], pyarrow.float64())}))
    with pytest.raises(ValueError, match=r"found a damaged Parquet file .*, expected a whole one"):
        read(text[:60])


# Writing


def test_each_ending_is_of_one_format():
    endings = [ending for one in TABLE_FORMATS for ending in one.endings]
    assert sorted(endings) == sorted(set(endings))


@pytest.mark.parametrize("ending", [*writers(), ".CSV"])
def test_round_trip(ending, tmp_path):
    bits = np.random.default_rng(0).integers(0, 2**64, 3_000, dtype=np.uint64).view(np.float64)
    numbers = np.where(np.isfinite(bits), bits, np.nan)
    table = {"a, b": numbers, "c": np.arange(3_000) ** 2 % 71, "on": np.arange(3_000) % 2 == 0}
    path = tmp_path / "deep" / "er" / f"t{ending}"
    write_table(path, table)
    back = read_table(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert back.columns == (tuple(table) if ending != ".npy" else ("column_1", "column_2", "column_3"))
    np.testing.assert_array_equal(back.values, np.column_stack(list(table.values())))


@pytest.mark.parametrize("table", [{"a": np.array([1, np.nan, 3])}, {"#a": np.arange(2), "b": np.arange(2)}])
def test_round_trip_of_awkward_csv(table, tmp_path):
    write_table(tmp_path / "t.csv", table)
    check(read_table(tmp_path / "t.csv"), table, np.column_stack(list(table.values())))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_text_and_dates_are_written(kind, tmp_path):
    table = {
        "when": np.array(["2024-01-01T00:00:01", "NaT"], "datetime64[s]"),
        "x": np.array([0.1, np.nan], np.float32),
        "grade": np.array(['A, "b"', "ü"]),
        "note": np.array([None, "n"], object),
    }
    write_table(tmp_path / f"t.{kind}", table)
    back = read_table(tmp_path / f"t.{kind}", drop_columns=["grade", "note"])
    assert (back.columns, back.left_out) == (("x",), ("when",))
    np.testing.assert_array_equal(back.values.astype(np.float32)[:, 0], table["x"])
    if kind == "csv":
        text = (tmp_path / "t.csv").read_text(encoding="utf-8")
        assert text == 'when,x,grade,note\n2024-01-01T00:00:01,0.1,"A, ""b""",\n,,ü,n\n'


def test_writing_fails_whole(tmp_path):
    path = tmp_path / "t.npy"
    path.write_bytes(b"as it was")
    with pytest.raises(ValueError, match=r"column 'b': found <U1, expected numbers; write \.csv or \.parquet"):
        write_table(path, {"a": np.zeros(1), "b": np.array(["x"])})
    assert path.read_bytes() == b"as it was"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(
        ValueError, match=r"found the suffix '\.xlsx', expected one of \.csv, .*\.npy, \.npz, \.parquet"
    ):
        write_table(tmp_path / "t.xlsx", {"a": np.zeros(1)})
    for table in ({}, {"a": np.zeros(2), "b": np.zeros(3)}, {"a": np.zeros((2, 2))}):
        with pytest.raises(ValueError, match="expected one or more, each"):
            write_table(tmp_path / "t.csv", table)


# Matching


def test_columns_are_matched_by_name():
    table = Table(("b", "extra", "a"), np.array([[1.0, 2.0, 3.0]]), True, ())
    selected = select_columns(table, ("a", "b"), has_header=True)
    np.testing.assert_array_equal(selected.values, [[3, 1]])
    assert selected.extra == ("extra",)
    with pytest.raises(
        ValueError, match=r"1 of the 2 training columns missing: 'Extra_1' \(nearest: 'extra'\); found 'b'"
    ):
        select_columns(table, ("a", "Extra_1"), has_header=True)
    with pytest.raises(ValueError, match="left out on reading: 'time', give read_table the training columns"):
        select_columns(table._replace(left_out=("time",)), ("a", "time"), has_header=True)


@pytest.mark.parametrize(("new", "trained"), [(False, True), (True, False), (False, False)])
def test_columns_are_matched_by_position_without_a_header(new, trained):
    table = Table(("b", "a"), np.array([[1.0, 2.0]]), new, ())
    np.testing.assert_array_equal(select_columns(table, ("x", "y"), trained).values, [[1, 2]])
    with pytest.raises(ValueError, match="found 2, expected 3 as in training"):
        select_columns(table, ("x", "y", "z"), trained)


def test_a_column_that_was_asked_for_is_not_advised_to_be_left_out():
    with pytest.raises(ValueError, match=r"column 'b': found 'x' in row 1 .*; empty the cell if .* missing value$"):
        read("a,b\n1,x\n", columns=["a", "b"])
