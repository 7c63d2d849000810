"""Pictures of process monitoring show what they are given."""

import numpy as np
import pytest

from aejax import plots
from aejax.plots.monitoring import control_chart


def test_a_control_chart_marks_rows_above_the_limit():
    values = np.array([1.0, 2.0, np.nan, 5.0, 9.0])
    panels = control_chart({"T²": values, "SPE": values}, {"T²": 4.0, "SPE": 100.0}, is_alarm=values > 8, fault_row=3)
    marked = [panel.lines[1].get_xdata().tolist() for panel in panels]
    assert marked == [[3, 4], []]
    assert [panel.get_ylabel() for panel in panels] == ["T²", "SPE"]
    panels[0].figure.savefig("/dev/null", format="png")


def test_a_statistic_without_limit_is_named():
    with pytest.raises(ValueError, match="found none for SPE"):
        control_chart({"SPE": np.ones(3)}, {})


def test_bars_are_the_largest_contributions_with_the_largest_on_top():
    contribution = np.array([[1.0, 5.0, 0.0, 3.0], [1.0, 7.0, 0.0, 3.0]])
    axes = plots.contribution_bars(contribution, list("abcd"), normal=np.ones(4), num_bars=3)
    assert [bar.get_width() for bar in axes.patches] == [1, 3, 6]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "d", "b"]
