"""What is drawn is read back from the artists."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from aejax import plots

RNG = np.random.default_rng(0)


def test_loss_curves_hold_the_history():
    ax = plots.loss_curves({"loss": np.array([4.0, 2.0]), "val_loss": np.array([5.0, 3.0])}, best_epoch=2)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [4, 2])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), [5, 3])
    assert ax.get_yscale() == "log"
    assert plots.loss_curves({"loss": np.array([1.0, -1.0])}).get_yscale() == "linear"
    assert len(plots.loss_curves({"loss": np.ones((3, 5))}).lines) == 3
    assert plots.loss_curves({"loss": np.array([1.0, np.nan])}).lines[0].get_marker() == "o"
    with pytest.raises(ValueError, match="history: found"):
        plots.loss_curves({"mse": np.ones(2)})


def tick_labels(axis):
    axis.axes.figure.canvas.draw()
    low, high = sorted(axis.get_view_interval())
    both = [(axis.get_majorticklocs(), axis.get_ticklabels()), (axis.get_minorticklocs(), axis.get_minorticklabels())]
    ticks = [tick for places, labels in both for tick in zip(places, labels, strict=True)]
    return [label.get_text() for place, label in ticks if low <= place <= high and label.get_text()]


@pytest.mark.parametrize(
    ("loss", "expected"),
    [([65.0, 15.0], [20, 30, 40, 50, 60]), ([60.0, 1.2], [1, 2, 5, 10, 20, 50]), ([800.0, 0.3], [1, 10, 100, 1000])],
)
def test_losses_and_epochs_are_marked_in_plain_numbers(loss, expected):
    ax = plots.loss_curves({"loss": np.array(loss)})
    assert tick_labels(ax.yaxis) == [str(number) for number in expected]
    assert all(label.isdigit() for label in tick_labels(ax.xaxis))


@pytest.mark.parametrize("num_columns", [1, 2, 10, 60])
def test_any_number_of_columns_with_gaps(num_columns):
    x = RNG.standard_normal((30, num_columns))
    x[::7, 0] = np.nan
    columns = [f"c{i}" for i in range(num_columns)]
    r2 = np.linspace(0, 1, num_columns)
    panels = plots.reconstructions(x, x, columns, r2)
    assert len(panels) == min(num_columns, 6)
    assert panels[0].get_title(loc="left").startswith("c0")
    assert panels[-1].get_xlabel() == "row, in the order of time"
    for grid in (plots.parity(x, x, columns, r2), plots.samples_against_data(x[1:7], x, columns, 1 - r2)):
        assert len(grid) == min(num_columns, 12)
        assert grid[0].get_title().startswith("c0\n")
        grid[0].figure.canvas.draw()
    plots.latent_scatter(np.nan_to_num(x), x[:, 0], "c0").figure.canvas.draw()
    for axes in (panels[0], plots.explained_variance_bars(r2, columns)):
        axes.figure.canvas.draw()


def test_parity_shows_each_measured_value_beside_the_reconstructed_one():
    x = np.array([[1.0], [np.nan], [3.0]])
    (ax,) = plots.parity(x, np.array([[1.5], [2.0], [2.5]]), ["flow"], np.array([0.5]))
    line, points = ax.lines
    np.testing.assert_array_equal(line.get_xdata(), line.get_ydata())
    np.testing.assert_array_equal(points.get_xydata(), [[1, 1.5], [3, 2.5]])
    assert points.get_linestyle() == "None"
    assert ax.get_title() == "flow\nR² 0.500"
    assert ax.get_xlim() == ax.get_ylim()


def test_an_outlier_is_counted_and_does_not_stretch_the_axis():
    x = RNG.standard_normal((500, 1))
    x[[3, 4], 0] = -400, 300
    (over_time,) = plots.reconstructions(x, 0 * x, ["flow"], np.array([0.5]))
    (against,) = plots.parity(x, 0 * x, ["flow"], np.array([0.5]))
    (histogram,) = plots.samples_against_data(x, 0 * x, ["flow"], np.array([0.5]))
    assert over_time.get_title(loc="left") == "flow, R² 0.500, 2 beyond"
    assert against.get_title() == "flow\nR² 0.500, 2 beyond"
    assert histogram.get_title() == "flow\nKS 0.500, 2 beyond"
    for low, high in (over_time.get_ylim(), against.get_xlim(), against.get_ylim(), histogram.get_xlim()):
        assert -8 < low < high < 8


def test_a_column_that_is_constant_or_rarely_not_is_drawn_whole():
    x = np.full((500, 3), 1e5)
    x[7, 1] += 1
    x[:, 2] = np.nan
    panels = plots.parity(x, x, ["constant", "rare", "missing"], np.array([np.nan, 0.0, np.nan]))
    panels[0].figure.canvas.draw()
    assert [ax.get_title() for ax in panels] == ["rare\nR² 0.000", "constant\n", "missing\n"]
    assert panels[0].get_xlim()[1] > 1e5 + 1


@pytest.mark.parametrize("centre", [1.0e5, 101325.0, 123456789.0, 2e-4, 1e-7])
def test_labels_of_ticks_do_not_touch(centre):
    x = centre + centre * 1e-3 * RNG.standard_normal((200, 12))
    columns = [f"c{i}" for i in range(12)]
    for draw in (plots.parity, plots.samples_against_data):
        panels = draw(x, x, columns, np.zeros(12))
        panels[0].figure.canvas.draw()
        boxes = [[label.get_window_extent() for label in ax.get_xticklabels() if label.get_text()] for ax in panels]
        gaps = [right.x0 - left.x1 for row in boxes for left, right in itertools.pairwise(row)]
        assert min(gaps) > 5


def test_the_columns_that_agree_worst_come_first():
    x = RNG.standard_normal((20, 15))
    panels = plots.samples_against_data(x, x, [f"c{i}" for i in range(15)], np.linspace(0, 1, 15))
    assert panels[0].get_title() == "c14\nKS 1.000"
    assert len(panels) == 12


def test_the_dimensions_that_vary_most_are_drawn():
    z = np.stack([np.zeros(20), RNG.standard_normal(20), 5 * RNG.standard_normal(20)], axis=1)
    ax = plots.latent_scatter(z)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("z3", "z2")


def test_the_threshold_stands_where_it_is():
    ax = plots.score_histogram(RNG.gamma(2, size=500), 4.0, other=50 + RNG.gamma(2, size=100))
    assert ax.lines[0].get_xdata()[0] == 4
    assert not plots.score_histogram(RNG.gamma(2, size=50), np.inf).lines
    apart = plots.score_histogram(RNG.gamma(2, size=50), 80.0)
    assert apart.get_xlim()[1] > 80
    chart = plots.score_chart(np.arange(10.0), 6.5, np.arange(10) > 7)
    np.testing.assert_array_equal(chart.lines[1].get_ydata(), [7, 8, 9])


@pytest.mark.parametrize(("shift", "scale", "most"), [(0.5, "log", 60), (-9.0, "linear", 6)])
def test_outliers_do_not_empty_the_histogram(shift, scale, most):
    scores = shift + RNG.gamma(2, size=1000)
    scores[:3] = 1e5
    ax = plots.score_histogram(scores, np.quantile(scores, 0.99))
    assert ax.get_xscale() == scale
    assert ax.get_xlim()[1] < most
    assert "normal rows, held out, 3 beyond" in ax.get_legend_handles_labels()[1]
    assert sum(bar.get_height() for bar in ax.patches) == pytest.approx(0.997)
    ax.figure.canvas.draw()


def test_a_small_alarm_is_seen_beside_a_large_one():
    scores = np.r_[np.linspace(1, 2, 50), 6, np.nan, 1e4]
    for shift, scale in ((0, "log"), (-1.5, "symlog")):
        ax = plots.score_chart(scores + shift, 3.0, scores > 1.5)
        assert ax.get_yscale() == scale
        at = ax.transAxes.inverted().transform(ax.transData.transform([(0, 2 + shift), (0, 6 + shift)]))[:, 1]
        assert 0 < at[0] < at[1] - 0.05 < 0.7
        labels = [text.get_text() for text in ax.get_legend().get_texts()]
        assert sorted(labels) == ["above the limit", "fault is in", "limit"]
    for constant in (0.0, 1.0, -1.0, np.nan):
        plots.score_chart(np.full(5, constant), np.inf).figure.canvas.draw()


def test_bars_are_sorted():
    ax = plots.contribution_bars(np.array([1.0, 9.0, 4.0]), ["a", "b", "c"], num_bars=2)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["c", "b"]
    ax = plots.explained_variance_bars(np.array([0.5, np.nan, -3.0]), ["a", "b", "c"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["c", "a"]


def test_an_axes_of_ones_own_is_used():
    ax = Figure().subplots()
    assert plots.score_chart(np.arange(3.0), 1.0, ax=ax) is ax


def test_pyplot_is_never_imported():
    code = "import sys, aejax.plots; print('matplotlib.pyplot' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
