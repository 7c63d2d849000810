"""Rows at the end that are sums, means or the like, whatever calls them so, and tables that have none."""

import io

import numpy as np
import pytest

from aejax.data.formats.options import ReadOptions
from aejax.data.formats.tables import as_table, read_table, write_table

VALUES = np.round(np.random.default_rng(0).gamma(2, 10, (40, 3)), 2)


def read(text, **options):
    return read_table(io.BytesIO(text.encode()), ReadOptions(**options))


def lines(values, first=None, separator=",", digits=2):
    cells = [[f"{value:.{digits}f}" for value in row] for row in values]
    return [separator.join(([first(i)] if first else []) + row) for i, row in enumerate(cells)]


def station(i):
    return f"S{i}"


def number(i):
    return f"{7919 * i % 1000}"


LABELS = ["Total", "Sum", "Summe", "Mean", "Average", "TOTAL", "Grand total:", "Mittelwert", "Ø", "Total (40)"]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("first", [station, number], ids=["text", "ids"])
def test_a_row_that_is_called_a_total_is_left_out_and_said(label, first):
    text = "\n".join(["name,T1,T2,p1", *lines(VALUES, first), f"{label},1,2,3", ""])
    table = read_table(io.BytesIO(text.encode()), drop_columns=["name"])
    np.testing.assert_array_equal(table.values, VALUES)
    assert f"1 row at the end that is called {label!r}: left out; --keep-totals keeps it" in table.reading.notes


@pytest.mark.parametrize(
    "end",
    [
        ["Sum,1,2,3", "Mean,1,2,3"],
        ["Min,1,2,3", "Mean,1,2,3", "Max,1,2,3", "Std,1,2,3"],
        [",,,", "Total,1,2,3"],
        ["Total,1,2,3", ",,,"],
        ["Total,1,2,3", "", ""],
        ["Total,,,5"],
        ["Total,5"],
        ["Total,1,2,3", "End of file"],
    ],
)
@pytest.mark.parametrize("first", [station, number], ids=["text", "ids"])
def test_several_rows_gaps_and_remarks_at_the_end(end, first):
    text = "\n".join(["name,T1,T2,p1", *lines(VALUES, first), *end, ""])
    if first is station and end[-1] == "End of file":
        return  # a line of text below a column of text may be a row that was cut
    np.testing.assert_array_equal(read_table(io.BytesIO(text.encode()), drop_columns=["name"]).values, VALUES)


def test_the_label_may_stand_in_any_column_that_is_filled():
    body = [f"{row},{station(i)}" for i, row in enumerate(lines(VALUES))]
    text = "\n".join(["T1,T2,p1,name", *body, "1,2,3,Total", ""])
    np.testing.assert_array_equal(read_table(io.BytesIO(text.encode()), drop_columns=["name"]).values, VALUES)


def test_the_label_may_stand_in_a_sensor():
    text = "\n".join(["T1,T2,p1", *lines(VALUES), "Mean,2,3", ""])
    np.testing.assert_array_equal(read(text).values, VALUES)


@pytest.mark.parametrize(
    "name",
    [
        lambda i: ["Total", "Dissolved"][i % 2],
        lambda i: ["mean", "max", "min"][i % 3],
        lambda i: "max" if i == 39 else ["low", "high"][i % 2],
        lambda i: "mean" if i > 25 else "max",
        lambda i: "Total Energies" if i == 39 else f"S{i}",
    ],
)
def test_a_category_of_such_a_name_is_none(name):
    text = "\n".join(["name,T1,T2,p1", *lines(VALUES, name), ""])
    assert len(read_table(io.BytesIO(text.encode()), drop_columns=["name"]).values) == 40


def test_a_remark_is_none():
    body = [f"{row},{'max' if i == 39 else ''}" for i, row in enumerate(lines(VALUES))]
    text = "\n".join(["T1,T2,p1,remark", *body, ""])
    assert len(read_table(io.BytesIO(text.encode()), drop_columns=["remark"]).values) == 40


SUMMARIES = {"sum": lambda x: x.sum(axis=0), "mean": lambda x: x.mean(axis=0)}


@pytest.mark.parametrize("digits", [0, 2, 6])
@pytest.mark.parametrize("summary", SUMMARIES.values(), ids=SUMMARIES)
@pytest.mark.parametrize("num_rows", [12, 300, 3000])
def test_a_last_row_without_a_label_is_known_by_its_values(digits, summary, num_rows):
    exact = np.random.default_rng(1).normal([300, 50, 4, 1000], [8, 5, 1, 90], (num_rows, 4))
    if digits == 0 and summary is SUMMARIES["mean"]:
        return  # whole numbers hold too little
    table = read("\n".join(["a,b,c,d", *lines([*exact, summary(exact)], digits=digits), ""]))
    np.testing.assert_array_equal(table.values, np.round(exact, digits))
    assert any("the sum or the mean of the rows above" in note for note in table.reading.notes)
    kept = read("\n".join(["a,b,c,d", *lines([*exact, summary(exact)], digits=digits), ""]), keep_totals=True)
    assert len(kept.values) == num_rows + 1


def test_sums_beside_means_gaps_constants_and_switches():
    rng = np.random.default_rng(2)
    x = np.column_stack(
        [rng.normal(300, 8, 200), rng.gamma(2, 5, 200), np.full(200, 60.0), rng.choice([0.0, 1.0], 200)]
    )
    x[5, 0] = np.nan
    last = [np.nanmean(x[:, 0]), x[:, 1].sum(), 60.0, x[:, 3].mean()]
    gaps = [np.nan, x[:, 1].sum(), np.nan, np.nan]
    for row in (last, gaps):
        assert len(as_table(dict(zip("abcd", np.vstack([x, row]).T, strict=True))).values) == 200


def test_every_format_and_every_file_of_a_folder(tmp_path):
    x = np.random.default_rng(3).normal(50, 5, (60, 3))
    for day in (1, 2):
        columns = dict(zip("abc", np.vstack([x, x.sum(axis=0), x.mean(axis=0)]).T, strict=True))
        write_table(tmp_path / f"csv/day_{day}.csv", columns)
        write_table(tmp_path / f"parquet/day_{day}.parquet", columns)
    for folder in ("csv", "parquet"):
        np.testing.assert_array_equal(read_table(tmp_path / folder).values, np.vstack([x, x]))


def ordinary(rng):
    """Tables of the kinds that there are, small ones and large ones."""
    n, c = int(rng.integers(6, 60)), int(rng.integers(1, 7))
    wave = np.sin(np.arange(n) / rng.uniform(0.5, 20))[:, None] * rng.normal(size=c)
    yield "whole", rng.integers(0, rng.integers(2, 200), (n, c)).astype(float)
    yield "counts", rng.poisson(rng.uniform(0.02, 4), (n, c)).astype(float)
    yield "constant", np.broadcast_to(rng.integers(0, 3, c).astype(float), (n, c)).copy()
    yield "zeros", np.zeros((n, c))
    yield "normal", np.round(rng.normal(rng.uniform(-5, 500), rng.uniform(0.1, 9), (n, c)), int(rng.integers(0, 4)))
    yield "one factor", np.round(rng.normal(size=(n, 1)) * np.arange(1, c + 1), 1)
    yield "slow", np.round(20 + wave, int(rng.integers(0, 3)))
    yield "heavy", np.round(np.exp(rng.normal(0, 3, (n, c))), 1)
    yield "steps", np.repeat(rng.integers(0, 5, (n // 5 + 1, c)), 5, axis=0)[:n].astype(float)
    yield "design", np.vstack([rng.choice([20.5, 30.5], (n, c)), np.full((1, c), 25.5)])
    yield "series", np.cumsum(rng.integers(0, 3, (n, c)), axis=0).astype(float)
    yield "doubled", np.outer(2.0 ** np.arange(min(n, 30)), np.arange(1, c + 1))


@pytest.mark.parametrize("seed", range(40))
def test_ordinary_tables_keep_all_rows(seed):
    for kind, values in ordinary(np.random.default_rng(seed)):
        columns = {f"s{j}": column for j, column in enumerate(values.T)}
        keep = ReadOptions(keep_columns=tuple(columns))
        assert len(as_table(columns, keep).values) == len(values), kind
