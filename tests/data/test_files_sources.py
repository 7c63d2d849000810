"""Folders, patterns, archives, sheets and frames give the table that their rows give as CSV."""

import datetime
import gzip
import io
import zipfile

import numpy as np
import pandas
import polars
import pytest

from aejax.data.formats.options import ReadOptions
from aejax.data.formats.tables import as_table, read_table, write_table

WHEN = np.arange("2024-01-01", "2024-01-05", dtype="datetime64[D]").astype("datetime64[us]")
COLUMNS = {"when": WHEN, "T": np.array([20.5, np.nan, 19.0, 21.25]), "p": np.array([1.5, 2.5, -3.0, 0.5])}
VALUES = np.column_stack([COLUMNS["T"], COLUMNS["p"]])


def check(table):
    assert (table.columns, table.left_out, table.has_header) == (("T", "p"), ("when",), True)
    np.testing.assert_array_equal(table.values, VALUES)


def part(chosen):
    return {name: values[chosen] for name, values in COLUMNS.items()}


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".feather"])
def test_a_folder_and_a_pattern_are_one_table(ending, tmp_path):
    for i, chosen in ((2, slice(0, 1)), (10, slice(1, 4))):  # part_10 after part_2
        write_table(tmp_path / f"part_{i}{ending}", part(chosen))
    (tmp_path / "_SUCCESS").touch()
    for source in (tmp_path, f"{tmp_path}/part_*{ending}"):
        table = read_table(source)
        check(table)
        assert len(table.labels["when"]) == 4
        assert "read 2 files as" in table.reading.sentences()[0]


def test_files_of_one_table_may_have_their_columns_in_another_order(tmp_path):
    write_table(tmp_path / "a.csv", part(slice(0, 2)))
    write_table(tmp_path / "b.parquet", {name: part(slice(2, 4))[name] for name in ("p", "when", "T")})
    check(read_table(tmp_path))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("when,T,q\n2024-01-01,1,2\n", r"b\.csv: found no column 'p', expected the columns of .*a\.csv"),
        ("when,T,p,q\n2024-01-01,1,2,3\n", r"b\.csv: found a column 'q' more"),
        ("2024-01-01,1,2\n2024-01-02,1,3\n", r"b\.csv: found 3 columns without a header, expected 3"),
        ("when,T,p\n2024-01-01,1,x\n", r"column 'p': .*b\.csv: found 'x' in row 1 \(line 2\), expected a number"),
        ("when,T,p\n1,1,2\n", r"b\.csv: column 'when': found no dates or times, expected dates or times as in"),
    ],
)
def test_a_file_that_differs_is_named(other, message, tmp_path):
    write_table(tmp_path / "a.csv", COLUMNS)
    (tmp_path / "b.csv").write_text(other)
    with pytest.raises(ValueError, match=message):
        read_table(tmp_path)


def csv_bytes(tmp_path):
    write_table(tmp_path / "t.csv", COLUMNS)
    return (tmp_path / "t.csv").read_bytes()


def zipped(files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def test_archives(tmp_path):
    data = csv_bytes(tmp_path)
    write_table(tmp_path / "t.parquet", COLUMNS)
    parquet = (tmp_path / "t.parquet").read_bytes()
    for packed in (
        gzip.compress(data),
        zipped({"deep/t.csv": data}),
        zipped({"t.csv.gz": gzip.compress(data), "__MACOSX/._t": b"?"}),
        gzip.compress(parquet),
        zipped({"t.parquet": parquet}),
    ):
        check(read_table(io.BytesIO(packed)))


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (
            zipped({"a.csv": b"a,b\n1,2\n", "b.csv": b"a,b\n1,2\n"}),
            "found a ZIP file of 'a.csv', 'b.csv'",
        ),
        (gzip.compress(b"a,b\n1,2\n" * 100)[:-9], "found a damaged GZ file"),
        (zipped({"a.csv": b"a,b\n1,2\n"})[:-30], "found a damaged ZIP"),
        (gzip.compress(b"\x89PNG\0\0"), "found binary data, expected one of CSV"),
    ],
    # An archive holds the time at which it was made, which must not be in the test's name: processes share names.
    ids=["several files", "cut gz", "cut zip", "no table"],
)
def test_archives_that_are_refused(packed, message, tmp_path):
    path = tmp_path / "packed.bin"
    path.write_bytes(packed)
    with pytest.raises(ValueError, match=f"packed.bin: {message}"):
        read_table(path)


def sheet(*sheets):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for i, rows in enumerate(sheets):
        page = book.create_sheet(f"S{i}")
        for row in rows:
            page.append(row)
    file = io.BytesIO()
    book.save(file)
    return io.BytesIO(file.getvalue())


def sheet_rows():
    when = [datetime.datetime(2024, 1, day) for day in range(1, 5)]
    return [[time, *(None if np.isnan(v) else float(v) for v in row)] for time, row in zip(when, VALUES, strict=True)]


@pytest.mark.parametrize("above", [[], [["Plant 4"], []]])
def test_a_sheet(above):
    pytest.importorskip("python_calamine")
    table = read_table(sheet([*above, ["when", "T", "p"], *sheet_rows()], []))
    check(table)
    assert table.labels["when"][0] == "2024-01-01"
    units = read_table(sheet([["when", "T", "p"], [None, "degC", "bar"], *sheet_rows()]))
    check(units)
    assert dict(units.reading.units) == {"T": "degC", "p": "bar"}


def test_one_of_several_sheets_is_named():
    pytest.importorskip("python_calamine")
    book = [["note"], ["made on Monday"]], [["when", "T", "p"], *sheet_rows()]
    check(read_table(sheet(*book), ReadOptions(sheet="S1")))


def test_sheets_that_are_refused():
    pytest.importorskip("python_calamine")
    with pytest.raises(ValueError, match=r"found 2 sheets with something in them \(S0, S1\), expected one"):
        read_table(sheet([["a"], [1]], [["a"], [1]]))
    with pytest.raises(ValueError, match=r"sheet: found 'S_1', expected one of S0, S1"):
        read_table(sheet([["a"], [1]], [["a"], [1]]), ReadOptions(sheet="S_1"))
    with pytest.raises(ValueError, match=r"column 'b': found 'Bad' in row 2 .*--missing Bad"):
        read_table(sheet([["a", "b"], [1, 2], [2, "Bad"], [5, 3], [4, 2]]))


PANDAS = pandas.DataFrame(COLUMNS)
FRAMES = {
    "pandas": PANDAS,
    "pandas, index of dates": PANDAS.set_index("when"),
    "polars": polars.DataFrame(COLUMNS),
    "arrays": COLUMNS,
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_frames(frame):
    table = as_table(frame)
    check(table)
    assert len(table.labels["when"]) == 4


def test_what_frames_hold_beside_numbers():
    frame = pandas.DataFrame(
        {
            "grade": pandas.Categorical([1, 2, 1, 2]),
            "on": [True, None, False, True],
            "text": ["1.5", "2", "Bad", "4"],
        }
    )
    with pytest.raises(ValueError, match=r"column 'text': found 'Bad' in row 3, expected a number.*--missing Bad"):
        as_table(frame)
    table = as_table(frame, ReadOptions(missing=("Bad",)))
    np.testing.assert_array_equal(table.values, [[1, 1, 1.5], [2, np.nan, 2], [1, 0, np.nan], [2, 1, 4]])


def test_what_is_no_frame():
    with pytest.raises(TypeError, match="expected a frame of pandas or polars"):
        as_table(3)
    for frame in (pandas.DataFrame({"a": [1 + 2j]}), {"a": [1, 2], "b": [1]}):
        with pytest.raises(ValueError, match=r"frame: found \w+ that is no table of one type a column"):
            as_table(frame)


def test_frames_with_a_name_twice_are_as_files_are():
    frame = PANDAS.drop(columns="when").set_axis(["T1", "T1"], axis=1)
    with pytest.raises(ValueError, match=r"column 'T1': found in places \[1, 2\].*--rename-duplicates"):
        as_table(frame)
    assert as_table(frame, ReadOptions(rename_duplicates=True)).columns == ("T1", "T1_2")


INDICES = {
    "numbers": pandas.Index([1.5, 0.5, 2.5, 0.25]),
    "a name": pandas.Index([1.5, 0.5, 2.5, 0.25], name="depth"),
    "text": pandas.Index(["a", "b", "c", "d"]),
    "two levels": pandas.MultiIndex.from_product([["a", "b"], [0.5, 1.0]]),
}


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_an_index_stands_beside_the_results(index, tmp_path):
    frame = PANDAS.drop(columns="when").set_index(index)
    assert as_table(frame).columns == tuple(PANDAS.drop(columns="when").columns)
    assert len(as_table(frame).labels) == index.nlevels
    frame.to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").columns == as_table(frame).columns


def test_categories_of_polars_are_what_they_stand_for():
    frame = polars.DataFrame(COLUMNS).with_columns(
        grade=polars.Series(["1.5", "2", "1.5", None], dtype=polars.Categorical),
        step=polars.Series(["1", "2", "1", "2"], dtype=polars.Enum(["1", "2"])),
    )
    np.testing.assert_array_equal(as_table(frame).values[:, -2:], [[1.5, 1], [2, 2], [1.5, 1], [np.nan, 2]])


def test_text_of_frames_that_may_be_read_in_two_ways_is_refused():
    frame = {"flow": ["1,041", "930"]}
    with pytest.raises(ValueError, match=r"column 'flow': found '1,041' in row 1, which is 1041 or 1.041"):
        as_table(frame)
    assert as_table(frame, ReadOptions(decimal="comma")).values[0] == 1.041
    assert as_table({**frame, "level": ["34,89", "1,5"]}).values[0].tolist() == [1.041, 34.89]


def test_what_a_folder_shows_of_its_decimal_mark_holds_for_all_its_files(tmp_path):
    (tmp_path / "a.csv").write_text("flow;level\n1.282,96;3,5\n1.041;2,25\n")
    (tmp_path / "b.csv").write_text("flow;level\n1.282;4\n930;5\n")
    (tmp_path / "c.csv").write_text("flow;level\n930;1,125\n930;2,250\n")
    table = read_table(tmp_path)
    assert table.values[:, 0].tolist() == [1282.96, 1041, 1282, 930, 930, 930]
    assert table.values[:, 1].tolist() == [3.5, 2.25, 4, 5, 1.125, 2.25]


def test_files_of_different_units_are_no_table(tmp_path):
    (tmp_path / "a.csv").write_text("time,T1\n,degC\n2024-01-01,20.5\n2024-01-02,20.5\n")
    (tmp_path / "b.csv").write_text("time,T1\n,K\n2024-01-03,293.5\n2024-01-04,293.5\n")
    with pytest.raises(ValueError, match=r"b.csv: column 'T1': found the unit 'K', expected 'degC' as in .*a.csv"):
        read_table(tmp_path)


def test_hidden_files_in_an_archive_are_passed_over(tmp_path):
    (tmp_path / "t.zip").write_bytes(zipped({"a/t.csv": csv_bytes(tmp_path), "a/.DS_Store": b"x", "a/._t.csv": b"x"}))
    check(read_table(tmp_path / "t.zip"))


def test_columns_of_nothing_are_left_out(tmp_path):
    (tmp_path / "t.csv").write_text(",T1,,p1\n,20.5,,1.5\n,21.5,,1.25\n")
    table = read_table(tmp_path / "t.csv")
    assert (table.columns, table.values.tolist()) == (("T1", "p1"), [[20.5, 1.5], [21.5, 1.25]])
    assert table.reading.left_out["column_3"] == "it has neither a name nor a cell"


def test_results_become_frames():
    table = as_table(polars.DataFrame(COLUMNS))
    result = {**table.labels, "score": table.values[:, 1]}
    assert polars.DataFrame(result).columns == ["when", "score"]
    assert list(pandas.DataFrame(result)) == ["when", "score"]
