"""The decimal mark that a training table showed holds for new ones that show none, and for no others."""

import io

import numpy as np
import pytest

from aejax.data.formats.options import ReadOptions, with_found
from aejax.data.formats.tables import as_table, read_table

WORDS = {".": "point", ",": "comma"}


def read(text, usual=None, **options):
    return read_table(io.BytesIO(text.encode()), ReadOptions(usual_decimal=usual, **options))


@pytest.mark.parametrize(
    ("cells", "usual", "right"),
    [
        ("1.282", "comma", 1282),
        ("1.282", "point", 1.282),
        ("1.282", None, 1.282),
        ("1,282", "comma", 1.282),
        ("1,282", "point", 1282),
        ("-12.282", "comma", -12282),
        ("1 282", "comma", 1282),
        ("1'282", "point", 1282),
        ("930", "comma", 930),
        # What the cells show decides.
        ("1.28", "comma", 1.28),
        ("0.282", "comma", 0.282),
        ("1,28", "point", 1.28),
        ("1.282,5", "point", 1282.5),
        ("1,282.5", "comma", 1282.5),
        ("1.282.100", "point", 1282100),
    ],
)
@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_file_that_shows_no_decimal_mark_follows_the_usual_one(cells, usual, right, separator):
    rows = "".join(f"{cells}{separator}{i}\n" for i in range(5))
    table = read(f"flow{separator}count\n{rows}", usual)
    assert (table.values[:, 0] == right).all()


def test_that_the_usual_one_is_taken_is_said():
    (note, grouped) = read("a;b\n1.282;3\n1.304;4\n", "comma").reading.notes
    assert note == (
        "a comma is taken for the decimal mark as in the training table, for '1.282' may have either; --decimal point "
        "for a point"
    )
    assert grouped == "column 'a': a point groups digits by three: '1.282' is read as 1282"


def test_that_the_cells_show_another_one_is_said():
    (note,) = read("a;b\n1.282;34.89\n1.304;4\n", "comma").reading.notes
    assert note == "the decimal mark is a point, as the cells show, and not a comma as in the training table"
    assert read("a;b\n1,282;34,89\n", "comma").reading.notes == ()


@pytest.mark.parametrize(("late", "right"), [("34.89", [1.282, 34.89]), ("34,89", [1282, 34.89])])
def test_what_shows_far_down_decides_too(late, right):
    table = read("a;b\n" + "930;1\n" * 5_000 + f"1.282;{late}\n", "comma")
    assert table.values[-1].tolist() == right
    assert table.reading.dialect["decimal mark"] == WORDS[late[2]]


def test_commas_between_the_cells_are_none_in_them():
    table = read("a,b\n1.282,3\n1.304,4\n", "comma")
    assert table.values[0].tolist() == [1.282, 3]
    assert table.reading.notes[0].startswith("a point is taken for the decimal mark, as in '1.282'; ")


def test_a_single_column_has_nothing_between_its_cells():
    assert read("a\n1.282\n1.304\n", "comma").values[:, 0].tolist() == [1282, 1304]


def test_an_option_is_above_the_usual_mark():
    assert read("a;b\n1.282;3\n", "comma", decimal="point").values[0, 0] == 1.282
    assert read("a;b\n1.282;3\n", "point", thousands="point").values[0, 0] == 1282
    assert read("a;b\n1.282;3\n", "comma", decimal="point").reading.notes == ()


def test_text_in_frames_and_files_of_arrow():
    table = as_table({"a": ["1.282,5", "3"]})
    found = with_found(ReadOptions(), table.reading.dialect)
    assert found.usual_decimal == "comma"
    assert as_table({"a": ["1.282", "3"]}, found).values[0, 0] == 1282


def test_numbers_of_spreadsheets_have_a_point_of_their_own(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("openpyxl")
    pytest.importorskip("python_calamine")
    path = tmp_path / "t.xlsx"
    pandas.DataFrame({"a": [1.282, 1.304], "b": [3, 4]}).to_excel(path, index=False)
    np.testing.assert_array_equal(read_table(path, ReadOptions(usual_decimal="comma")).values[:, 0], [1.282, 1.304])


def test_a_bad_mark_is_refused():
    with pytest.raises(ValueError, match="usual_decimal: found ';', expected one of point, comma, or the mark itself"):
        read("a;b\n1;2\n", ";")
