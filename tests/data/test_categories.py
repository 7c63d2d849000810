"""Columns of text as categories: which are, what a table holds of them, and what a model is given."""

import io
import json

import jax.numpy as jnp
import numpy as np
import pytest

from aejax.data.columns import categories
from aejax.data.columns.conditions import find_unknown, fit_conditions
from aejax.data.columns.features import Coding, coded, decode, decoded, encode, pooled, summed, widths
from aejax.data.columns.kinds import Column
from aejax.data.columns.scalers import Scaler
from aejax.data.formats.options import ReadOptions
from aejax.data.formats.reading import described
from aejax.data.formats.tables import as_table, check_numbers, read_table, select_columns
from aejax.tables.columns import with_known_levels
from tests.real_data import FOLDER, present

GRADE = Column("category", {"levels": ["A", "B", "C"], "has_missing": False, "rare": 0.0})
SHIFT = Column("category", {"levels": ["day", "night"], "has_missing": True, "rare": 0.0})
WIND = Column("angle", {"low": 0.0, "period": 360.0, "whole": False})
NUMBER = Column("number", {})
COLUMNS = (NUMBER, GRADE, WIND, SHIFT)
ROWS = np.array([[1.5, 2.0, 350.0, 0.0], [-3.0, 0.0, 10.0, np.nan], [0.0, 1.0, 180.0, 1.0]])


def read(*columns, names=("T", "grade"), **options):
    lines = [",".join(names), *(",".join(map(str, cells)) for cells in zip(*columns, strict=True))]
    return read_table(io.BytesIO("\n".join(lines).encode()), ReadOptions(**options))


NUMBERS = [f"{value:.2f}" for value in np.random.default_rng(0).normal(size=60)]


def test_text_that_comes_again_is_a_category():
    table = read(NUMBERS, ["B", "A", "C"] * 20)
    assert table.columns == ("T", "grade")
    assert table.categories == {"grade": ("A", "B", "C")}
    np.testing.assert_array_equal(table.values[:4, 1], [1, 0, 2, 1])
    (found,) = [column for column in described(table)["columns"] if column["name"] == "grade"]
    assert found["kind"] == "category"
    assert found["levels"] == {"A": 20, "B": 20, "C": 20}


@pytest.mark.parametrize("cells", [["316L", "304L", "Duplex"], ["R1", "R2", "R3"], ["1st", "2nd", "3rd"]])
def test_names_with_digits_are_categories(cells):
    assert set(read(NUMBERS, cells * 20).categories["grade"]) == set(cells)


def test_missing_cells_of_text_are_missing():
    table = read(NUMBERS, ["B", "", "?", "A", "out", "NA"] * 10, missing=("out",))
    assert table.categories == {"grade": ("A", "B")}
    np.testing.assert_array_equal(np.isnan(table.values[:6, 1]), [False, True, True, False, True, True])


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([f"remark {i}" for i in range(60)], "found 'remark 0' in row 1"),  # each comes once
        ([*NUMBERS[:40], *["Bad"] * 20], "found 'Bad' in row 41 .*--missing Bad"),  # numbers with a historian's word
        (["Bad"] * 60, "found 'Bad' in row 1 .*--missing Bad"),
        ([*NUMBERS[:31], *["x"] * 29], "found 'x' in row 32"),
        (["12 bar", "13 bar", "14.5 bar"] * 20, "found '12 bar' in row 1"),
    ],
)
def test_other_text_is_refused_as_before(cells, message):
    with pytest.raises(ValueError, match=f"column 'grade': {message}.*--kinds grade=category"):
        read(NUMBERS, cells)


def test_what_is_told_to_be_a_category_is_one():
    codes = ["1", "2", "10"] * 20
    assert read(NUMBERS, codes).categories == {}
    table = read(NUMBERS, codes, kinds=("grade=category",))
    assert table.categories == {"grade": ("1", "10", "2")}
    np.testing.assert_array_equal(table.values[:3, 1], [0, 2, 1])
    remarks = [f"remark {i}" for i in range(60)]
    assert len(read(NUMBERS, remarks, kinds=("grade=category",)).categories["grade"]) == 60


def test_codes_are_the_cells_as_they_are_written():
    """Of a recipe 01 the nought belongs to its name, in a batch that has no other text too."""
    told = ("grade=category",)
    train = read(NUMBERS, ["01", "02", "A1"] * 20, kinds=told)
    assert train.categories == {"grade": ("01", "02", "A1")}
    assert read(NUMBERS, ["01", "02", "1.0"] * 20, kinds=told).categories == {"grade": ("01", "02", "1.0")}
    assert read(NUMBERS, ["2024-01-01", "2024-01-02"] * 30, kinds=told).categories == {
        "grade": ("2024-01-01", "2024-01-02")
    }
    frame = as_table({"T": [0.5, 1.5], "grade": ["01", "1"]}, ReadOptions(kinds=told))
    assert frame.categories == {"grade": ("01", "1")}


@pytest.mark.parametrize("kind", ["number", "whole number"])
def test_text_that_is_told_to_be_numbers_is_none(kind):
    with pytest.raises(ValueError, match=r"column 'grade': found 'A' in row 1"):
        read(NUMBERS, ["A", "B"] * 30, kinds=(f"grade={kind}",))


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (("grade",), "kinds: found 'grade', expected NAME=KIND"),
        (("grade=colour",), "kinds: found 'grade=colour', expected NAME=KIND with a kind of category"),
        (("grade=category", "grade=number"), "kinds: found 'category' and 'number' for column 'grade'"),
        (("shade=category",), "kinds: found 'shade'.*expected some of 'T', 'grade'"),
    ],
)
def test_a_kind_that_cannot_be_is_named(kinds, message):
    with pytest.raises(ValueError, match=message):
        read(NUMBERS, ["A", "B"] * 30, kinds=kinds)


def test_too_many_categories_get_one_sentence():
    cells = [f"batch {i}" for i in range(categories.MOST_LEVELS + 1)]
    numbers = np.random.default_rng(0).normal(size=len(cells))
    with pytest.raises(
        ValueError, match=r"column 'grade': found 1001 categories, expected at most 1000; .*--drop-columns"
    ):
        read(numbers, cells, kinds=("grade=category",))


def test_a_text_that_is_always_the_same_is_left_out_and_said():
    table = read(NUMBERS, ["plant 4"] * 60)
    assert (table.columns, table.left_out) == (("T",), ("grade",))
    assert "left out: grade (always 'plant 4')" in table.reading.sentences()


def test_dates_and_ids_are_no_categories():
    names = ("T", "time", "id")
    table = read(NUMBERS, [f"2024-03-{1 + i // 24:02} {i % 24:02}:00" for i in range(60)], range(60), names=names)
    assert table.columns == ("T",)


def test_frames_keep_their_categories():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"T": np.arange(30) % 7 + 0.5, "grade": pandas.Categorical(["x", "y", "z"] * 10)})
    assert as_table(frame).categories == {"grade": ("x", "y", "z")}


def test_files_of_a_folder_share_their_categories(tmp_path):
    for day, cells in (("1", ["1", "2"] * 15), ("2", ["2", "2A"] * 15)):
        lines = [f"{number},{cell}" for number, cell in zip(NUMBERS, cells, strict=False)]
        (tmp_path / f"{day}.csv").write_text("T,grade\n" + "\n".join(lines))
    with pytest.raises(ValueError, match=r"2\.csv: found '2A' in row 2"):
        read_table(tmp_path)  # most are numbers
    table = read_table(tmp_path, ReadOptions(kinds=("grade=category",)))
    assert table.categories == {"grade": ("1", "2", "2A")}
    np.testing.assert_array_equal(table.values[[0, 1, 30, 31], 1], [0, 1, 1, 2])


def test_new_rows_have_the_numbers_of_the_training_rows():
    table = read(NUMBERS, ["C", "B", "Q"] * 20)
    values = with_known_levels(select_columns(table, ("T", "grade"), True), ("T", "grade"), (NUMBER, GRADE))
    np.testing.assert_array_equal(values[:3, 1], [2, 1, categories.UNSEEN])
    # Categories that were numbers in the file of training, and a table made by hand.
    numbers = Column("category", {"levels": ["1", "2"], "has_missing": False, "rare": 0.0})
    plain = as_table({"T": [0.5, 1.5, 2.5], "grade": [2.0, 1.0, 3.0]})
    values = with_known_levels(select_columns(plain, ("T", "grade"), True), ("T", "grade"), (NUMBER, numbers))
    np.testing.assert_array_equal(values[:, 1], [1, 0, categories.UNSEEN])


def test_categories_are_matched_by_place_where_names_are_missing():
    lines = "\n".join(f"{number},{cell}" for number, cell in zip(NUMBERS, ["b", "a"] * 30, strict=True))
    table = read_table(io.BytesIO(lines.encode()))
    assert select_columns(table, ("T", "grade"), True).categories == {"grade": ("a", "b")}


def test_who_takes_numbers_alone_says_so():
    with pytest.raises(ValueError, match=r"column 'grade': found categories \('A', 'B'\).*--drop-columns grade"):
        check_numbers(read(NUMBERS, ["A", "B"] * 30), "a monitor")


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_features_come_back_as_the_rows(array):
    features = encode(COLUMNS, array(ROWS))
    assert features.shape == (3, widths(COLUMNS).sum()) == (3, 1 + 3 + 2 + 3)
    np.testing.assert_allclose(features[0], [1.5, 0, 0, 1, -np.sin(np.pi / 18), np.cos(np.pi / 18), 1, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(features[1, 6:], [0, 0, 1])  # missing is a category of its own
    np.testing.assert_allclose(decode(COLUMNS, features), ROWS, atol=1e-4)


def test_what_is_missing_or_new_is_missing_to_a_model():
    rows = np.array([[np.nan, np.nan, np.nan, np.nan], [0.0, categories.UNSEEN, 0.0, categories.UNSEEN]])
    is_missing = np.isnan(encode(COLUMNS, rows))
    np.testing.assert_array_equal(is_missing[0], [1, 1, 1, 1, 1, 1, 0, 0, 0])
    np.testing.assert_array_equal(is_missing[1], [0, 1, 1, 1, 0, 0, 1, 1, 1])


def test_columns_of_numbers_are_given_as_they_are():
    rows, scaler = ROWS[:, [0, 2]], Scaler(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    coding = Coding((NUMBER, Column("whole number", {})), scaler)
    assert encode(coding.columns, rows) is rows
    np.testing.assert_array_equal(coded(coding, rows), ((rows - scaler.mean) / scaler.scale).astype(np.float32))
    np.testing.assert_allclose(decoded(coding, coded(coding, rows)), rows, rtol=1e-6, atol=1e-6)


def test_a_contribution_of_a_column_is_one_on_average():
    rng = np.random.default_rng(0)
    residual = rng.normal(size=(4000, 9)) * rng.uniform(0.1, 2, 9)
    scale = np.sqrt(np.mean(np.square(residual), axis=0))
    contribution = summed(COLUMNS, np.square(residual / pooled(COLUMNS, scale)))
    np.testing.assert_allclose(contribution.mean(axis=0), 1.0, rtol=1e-6)


def test_a_new_category_of_a_condition_is_told():
    rows = np.column_stack([np.arange(50) % 3, np.linspace(0, 1, 50)])
    conditions = fit_conditions(rows, (GRADE, NUMBER))
    found = find_unknown(conditions, np.array([[categories.UNSEEN, 0.5], [2.0, 0.5]]), ("grade", "load"))
    assert [(rows.tolist(), what) for rows, what in found] == [
        ([True, False], "grade of a category not seen in training")
    ]


def test_the_share_of_new_categories_is_told_by_those_that_come_once():
    """Good (1953): the chance that the next value is new is about the share of values that came once."""
    rng = np.random.default_rng(0)
    chances = 1.0 / np.arange(1, 400)
    chances /= chances.sum()
    drawn, new = (rng.choice(len(chances), 3000, p=chances) for _ in range(2))
    levels, numbers = np.unique(drawn, return_inverse=True)
    rare = categories.facts_of(numbers.astype(float), tuple(map(str, levels)))["rare"]
    assert abs(rare - (~np.isin(new, levels)).mean()) < 0.006
    assert rare > 0.005


def test_facts_are_json():
    assert json.loads(json.dumps(categories.facts_of(np.array([0.0, 1.0]), ("A", "B")))) == {
        "levels": ["A", "B"],
        "has_missing": False,
        "rare": 1.0,
    }


def test_adult_is_read_as_it_is():
    table = read_table(present(FOLDER / "tabular" / "adult.data.gz"))
    assert len(table.values) == 32561
    assert len(table.columns) == 15
    assert {len(levels) for levels in table.categories.values()} == {2, 5, 6, 7, 8, 14, 16, 41}
