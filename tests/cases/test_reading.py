"""Each file of the cases is read as it was meant, or refused in a sentence with the remedy."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest

from aejax.data.formats.options import ReadOptions
from aejax.data.formats.tables import read_table, select_columns

SENSORS = ("T_feed", "T_out", "P_top", "F_steam", "L_drum", "V_pos")
DATES = "dates or times"


class Case(NamedTuple):
    """A file, and what is read of it: name of columns, number of rows, the first cells, reasons, a sentence."""

    file: str
    rows: int
    first: list[float]
    columns: tuple[str, ...] = SENSORS
    left_out: Mapping[str, str] = MappingProxyType({"time": DATES})
    says: str = ""
    options: Mapping[str, Any] = MappingProxyType({})
    drop: tuple[str, ...] = ()


WORDS = ("Bad", "Bad Input", "I/O Timeout", "No Data", "Pt Created", "Scan Off")
HOURS = tuple(f"{hour:02d}:00" for hour in range(24))
WAVES = tuple(str(wave) for wave in range(1100, 1148, 2))
RISES = "only rises"
PORTAL = {"Date and time": DATES}
PARTS = {"No": RISES, "year": "named as a part", "month": "", "day": "", "hour": "wraps"}

CASES = [
    Case("00-base/train.csv", 2000, [311.8579, 355.8851, 4.2312]),
    Case("00-base/new.csv", 2000, [313.0717, 359.7041]),
    Case("01-label-column/normal.csv", 1500, [312.0844], (*SENSORS, "anomaly", "changepoint"), {"datetime": DATES}),
    Case("02-hash-header/train.csv", 1500, [302.9968, 350.5691], SENSORS, PORTAL, "the header is line 10"),
    Case("02-hash-header/new_reordered.csv", 500, [24.3755, 69.3713], SENSORS[::-1], PORTAL, "the header is line 10"),
    Case("02-hash-header/new_reordered_plain.csv", 500, [24.3755, 69.3713], SENSORS[::-1], PORTAL),
    Case("02-hash-header/hash_tag.csv", 800, [296.8284], ("#1 Fan amps", "#2 Fan amps", *SENSORS[2:]), {}),
    Case("03-hour-only-date/train.csv", 1500, [300.9390], (*SENSORS, "ATT_FLAG"), {"DATETIME": DATES}),
    Case("04-preamble-line/logger.csv", 1500, [302.1085], says="lines 1 to 3 above the rows"),
    Case(
        "04-preamble-line/one_cell.csv",
        1500,
        [302.1085, 348.0794],
        left_out={"Timestamp": DATES},
        says="line 1 above the rows: left out, such as 'P1 and P2 data'",
        drop=("Normal/Attack",),
    ),
    Case("05-pi-text/train.csv", 1500, [308.8453], left_out={"Timestamp": DATES}, options={"missing": WORDS}),
    Case("05-pi-text/qnan.csv", 1500, [308.8453], left_out={"Timestamp": DATES}, options={"missing": ("1.#QNAN",)}),
    Case(
        "06-id-column/train.csv",
        1500,
        [3, 0, 309.7308],
        ("asset_id", "status_type_id", *SENSORS),
        {"time_stamp": DATES, "id": RISES},
        "--keep-columns id",
    ),
    Case(
        "06-id-column/train.csv",
        1500,
        [3, 0, 0],
        ("asset_id", "id", "status_type_id", *SENSORS),
        {"time_stamp": DATES},
        options={"keep_columns": ("id",)},
    ),
    Case("07-german/comma.csv", 1500, [316.71, 357.21, 4.39, 1282.96], left_out={"Zeit": DATES}),
    Case("07-german/plain.csv", 1500, [316.71, 357.21, 4.39, 1282.96], left_out={"Zeit": DATES}),
    Case(
        "07-german/thousands.csv",
        1500,
        [316.71, 357.21, 4.39, 1282.96],
        left_out={"Zeit": DATES},
        says="'1.282,96' is read as 1282.96",
    ),
    *(
        Case(f"08-thousands/{name}.csv", 1500, [298.52, 345.43, 3.519, 930], says="'1,041' is read as 1041")
        for name in ("comma_quoted", "semicolon", "tab")
    ),
    Case("09-sep-line/train.csv", 1500, [305.3015], says="line 1 says that ';'"),
    Case("09-sep-line/train_comma.csv", 1500, [305.3015], says="line 1 says that ','"),
    Case("09-sep-line/train_quoted.csv", 1500, [305.3015], says="line 1 says that ';'"),
    Case("10-units-row/train.csv", 1500, [319.8811], says="line 2 holds units"),
    Case("10-units-row/units_dash.csv", 1500, [319.8811], says="line 2 holds units"),
    Case("11-duplicates/quality.csv", 1500, [307.5664, 351.4286], drop=("Quality",)),
    Case("13-number-clocks/desc_a.csv", 1500, [306.9838], left_out={"timestamp": "only falls"}),
    Case("13-number-clocks/unixtime_a.csv", 1500, [306.9838], left_out={"unix_time": RISES}),
    Case("13-number-clocks/unixtime_b.csv", 500, [307.3888], left_out={"unix_time": RISES}),
    Case("13-number-clocks/ymdh_a.csv", 1500, [306.9838], left_out=PARTS),
    Case("13-number-clocks/ymdh_b.csv", 500, [307.3888], left_out=PARTS),
    Case("14-empty-rows/train.csv", 1500, [312.9841], says="1500 rows of nothing but separators at the end"),
    Case("14-empty-rows/ctrlz.csv", 1500, [312.9841], says="a Ctrl-Z at the end"),
    Case("15-bom-trailing/train.csv", 1500, [298.5110, 344.2481]),
    Case("16-utf16/latin.csv", 1500, [315.5791], tuple(f"{name} [°C]" for name in SENSORS), says="Windows-1252"),
    Case("16-utf16/train.txt", 1500, [315.5791], tuple(f"{name} [°C]" for name in SENSORS), says="UTF-16"),
    Case("16-utf16/train_nobom.txt", 1500, [315.5791], says="UTF-16"),
    Case("17-headers/load_profile.csv", 400, [2.566, 2.522], HOURS, {"date": DATES}, "--header-row 0"),
    Case("17-headers/wavelengths.csv", 400, [2.566, 2.522], WAVES, {}, "--header-row 0"),
    Case("17-headers/wavelengths_text.csv", 400, [2.566], tuple(f"w{wave}" for wave in WAVES), {}),
    Case(
        "17-headers/wavelengths.csv",
        401,
        [1100, 1102],
        tuple(f"column_{i}" for i in range(1, 25)),
        {},
        "no header",
        {"header_row": 0},
    ),
    Case(
        "17-headers/noheader_label.csv",
        800,
        [293.7276, 340.7428],
        tuple(f"column_{i}" for i in range(1, 7)),
        {},
        "no header was found",
        drop=("column_7",),
    ),
    Case("21-all-missing/train.csv", 1500, [317.0450, 362.1741, 4.5927, 986.3324, np.nan, 31.4071]),
    Case("21-all-missing/late_sensor.csv", 1500, [317.0450, 362.1741, 4.5927, 986.3324, np.nan, 31.4071]),
    Case("23-tiny/n9.csv", 9, [301.8461]),
    Case("23-tiny/n12.csv", 12, [300.7745]),
    Case("23-tiny/n30.csv", 30, [299.0855]),
    Case("24-scales/bytes.npz", 2000, [], tuple(f"T{i}" for i in range(1, 7)), {}),
    Case("24-scales/train.npz", 2000, [], SENSORS, {}),
    Case("34-angle-counter/train_counter.csv", 3000, [305.0817], left_out={"time": DATES, "energy_total_kWh": RISES}),
    Case("34-angle-counter/new_counter.csv", 1000, [303.4215], left_out={"time": DATES, "energy_total_kWh": RISES}),
    Case("35-compressed/train.csv.gz", 2000, [311.8579, 355.8851, 4.2312]),
    Case("35-compressed/train.zip", 2000, [311.8579, 355.8851, 4.2312]),
    Case("39-parquet/a.parquet", 2000, [0.1257302210933933, 1], ("a", "b", "c", "st"), {"__index_level_0__": DATES}),
    Case(
        "39-parquet/b.parquet",
        2000,
        [0.1257302210933933, 1, 0.6404226504432821, 1, 1, 0],
        ("a", "b", "c", "st", "catn", "bad"),
        {"__index_level_0__": DATES},
        options={"missing": ("Bad",), "keep_columns": ("bad",)},
        drop=("cat",),
    ),
    Case(
        "39-parquet/c.parquet", 2000, [0.1257302210933933], ("a", "b", "c"), {"__index_level_0__": "numbers the rows"}
    ),
    Case("39-parquet/d.parquet", 2000, [0.1257302210933933], ("a", "b", "c"), {"row_id": "only falls"}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file} {dict(case.options) or ''}")
def test_what_is_read(cases, case):
    table = read_table(cases / "tables" / case.file, ReadOptions(**case.options), drop_columns=case.drop)
    assert table.columns == case.columns
    assert table.values.shape == (case.rows, len(case.columns))
    np.testing.assert_array_equal(table.values[0, : len(case.first)], case.first)
    assert list(table.reading.left_out) == list(case.left_out)
    for name, reason in case.left_out.items():
        assert reason in table.reading.left_out[name]
        assert len(table.labels[name]) == case.rows
    assert case.says in "\n".join(table.reading.sentences())


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (
            "05-pi-text/train.csv",
            r"found 'Bad' in row 44 \(line 45\).*--missing Bad 'Bad Input' 'I/O Timeout' 'No Data' ",
        ),
        ("05-pi-text/qnan.csv", r"column 'V_pos': found '1\.#QNAN' in row 1 .*--missing '1\.#QNAN'"),
        ("11-duplicates/quality.csv", r"'Quality': found in places .*--drop-columns Quality .*--rename-duplicates"),
        ("38-truncated/train.csv", "line 1501: found 4 fields, expected 7"),
        ("38-truncated/nul_end.csv", "line 1502: found bytes of 0 up to the end"),
    ],
)
def test_what_is_refused(cases, file, message):
    with pytest.raises(ValueError, match=message):
        read_table(cases / "tables" / file)


def test_text_in_parquet_is_named_by_the_word_and_categories_are_read(cases):
    path = cases / "tables/39-parquet/b.parquet"
    with pytest.raises(ValueError, match=r"column 'bad': found 'Bad' in row \d+, .*--missing Bad "):
        read_table(path)
    assert read_table(path, drop_columns=["bad"]).categories == {"cat": ("run", "stop")}


def test_a_label_that_is_always_the_same_is_left_out(cases):
    table = read_table(cases / "tables/17-headers/noheader_label.csv")
    assert table.reading.left_out == {"column_7": "always 'normal'"}
    assert table.values.shape == (800, 6)


@pytest.mark.parametrize("name", ["comma_quoted", "semicolon", "tab"])
def test_thousands_are_the_truth(cases, name):
    table = read_table(cases / f"tables/08-thousands/{name}.csv")
    truth = np.load(cases / "tables/08-thousands/truth.npy")
    np.testing.assert_allclose(table.values, truth, atol=0.51)  # written with few digits
    np.testing.assert_array_equal(table.values[:, 3], np.round(truth[:, 3]))


def test_german_numbers_are_the_same_in_all_three(cases):
    plain, comma, thousands = (
        read_table(cases / f"tables/07-german/{name}.csv").values for name in ("plain", "comma", "thousands")
    )
    np.testing.assert_array_equal(plain, comma)
    np.testing.assert_array_equal(plain, thousands)


def test_missing_words_are_missing_and_nothing_else_is(cases):
    read = read_table(cases / "tables/05-pi-text/train.csv", ReadOptions(missing=WORDS)).values
    clean = read_table(cases / "tables/05-pi-text/train_clean.csv").values
    assert np.isnan(read).sum() == 72
    np.testing.assert_array_equal(read[~np.isnan(read)], clean[~np.isnan(read)])


def test_new_tables_are_matched_by_name(cases):
    train = read_table(cases / "tables/02-hash-header/train.csv")
    for name in ("new_reordered.csv", "new_reordered_plain.csv"):
        new = read_table(cases / "tables/02-hash-header" / name, columns=train.columns)
        found = select_columns(new, train.columns, train.has_header)
        assert found.note == ""
        np.testing.assert_array_equal(found.values[0, ::-1][:2], [24.3755, 69.3713])


def test_columns_of_training_are_kept_in_new_tables(cases):
    path = cases / "tables/13-number-clocks/ymdh_b.csv"
    columns = ("hour", *SENSORS)
    table = read_table(path, columns=columns)
    assert table.columns == columns
    assert table.left_out == ("No", "year", "month", "day")


def test_units_are_kept(cases):
    units = read_table(cases / "tables/10-units-row/train.csv").reading.units
    assert units == dict(zip(SENSORS, ("degC", "degC", "barg", "kg/h", "%", "%"), strict=True))


def test_quality_columns_can_be_numbered(cases):
    options = ReadOptions(rename_duplicates=True)
    names = ("Quality", *(f"Quality_{i}" for i in range(2, 7)))
    for columns in (None, SENSORS):
        table = read_table(cases / "tables/11-duplicates/quality.csv", options, columns)
        assert table.columns == SENSORS
        assert table.left_out == ("time", *names)


def test_options_are_values():
    assert dataclasses.replace(ReadOptions(), missing=WORDS) == ReadOptions(missing=WORDS)
