"""The chart of a page: each row is in it, what stands out is named, and nothing in a name becomes markup."""

import json
import re

import numpy as np
import pytest

from aejax.reports import charts
from aejax.reports.charts import control_chart

NAMES = ["level", "</script><script>alert(1)</script>", "flow"]


def data_of(chart):
    (content,) = re.findall(r'<script type="application/json">(.*?)</script>', chart)
    return json.loads(content)


@pytest.fixture
def chart():
    excess = np.array([0.5, 2.0, np.nan, 10.0])
    contribution = np.array([[0.1, 0.0, 0.2], [0.0, 3.0, 1.0], [np.nan] * 3, [5.0, 0.0, -1.0]])
    return control_chart(excess, excess > 1, ["12:00", "<i>", "12:02", "12:03"], contribution, NAMES)


def test_each_row_is_in_it_with_what_stands_out(chart):
    data = data_of(chart)
    assert data["label"] == ["12:00", "<i>", "12:02", "12:03"]
    assert data["excess"] == [0.5, 2.0, None, 10.0]
    assert data["alarm"] == [1, 3]
    assert data["top"] == [[[2, 0.2], [0, 0.1]], [[1, 3.0], [2, 1.0]], [], [[0, 5.0]]]
    assert data["height"][3] == pytest.approx(1)
    assert data["low"] < min(data["height"]) + 1e-9
    assert data["high"] > 1


def test_names_are_data_and_never_markup(chart):
    assert data_of(chart)["columns"] == NAMES
    assert "alert(1)" in chart
    assert "<script>alert" not in chart
    assert "<i>" not in chart
    assert chart.count("</script>") == 2


def test_the_picture_stands_without_a_script(chart):
    (path,) = re.findall(r'<path d="M([^"]*)"', chart)
    points = [tuple(map(float, point.split())) for point in path.split("L")]
    assert [x for x, _ in points] == pytest.approx([0, 333.3, 666.7, 1000])
    (limit,) = re.findall(r'y1="([\d.]+)" y2="\1" stroke="#D55E00"', chart)
    assert points[0][1] > float(limit) > points[1][1] > points[3][1], "higher is nearer to the top"
    assert chart.count("<rect") == 2


def test_of_many_rows_the_largest_of_each_part_is_drawn(monkeypatch):
    monkeypatch.setattr(charts, "_MOST_POINTS", 10)
    excess = np.full(95, 0.5)
    excess[[17, 94]] = 3.0
    excess[40] = np.nan
    chart = control_chart(excess, excess > 1, list(map(str, range(95))), np.ones((95, 1)), ["level"])
    data = data_of(chart)
    assert len(data["excess"]) == 10
    assert [label for label, value in zip(data["label"], data["excess"], strict=True) if value == 3.0] == ["17", "94"]
    assert "the largest of 10 rows" in chart
    # An alarm that lies beside the largest row of its part is shaded all the same.
    alarms = np.zeros(95, bool)
    alarms[15] = True
    assert data_of(control_chart(excess, alarms, list(map(str, range(95))), np.ones((95, 1)), ["level"]))["alarm"] == [
        1
    ]


def test_parts_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="found 2 rows, 1 alarms, 2 labels and 2 contributions"):
        control_chart(np.ones(2), np.ones(1, bool), ["1", "2"], np.ones((2, 1)), ["level"])
