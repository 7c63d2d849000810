"""What is drawn is read back from the artists."""

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
    assert len(plots.samples_against_data(x[1:7], x, columns)) == min(num_columns, 6)
    plots.latent_scatter(np.nan_to_num(x), x[:, 0], "c0").figure.canvas.draw()
    for axes in (panels[0], plots.explained_variance_bars(r2, columns)):
        axes.figure.canvas.draw()


def test_the_dimensions_that_vary_most_are_drawn():
    z = np.stack([np.zeros(20), RNG.standard_normal(20), 5 * RNG.standard_normal(20)], axis=1)
    ax = plots.latent_scatter(z)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("z3", "z2")


def test_the_threshold_stands_where_it_is():
    ax = plots.score_histogram(RNG.gamma(2, size=500), 4.0, other=50 + RNG.gamma(2, size=100))
    assert ax.lines[0].get_xdata()[0] == 4
    assert not plots.score_histogram(RNG.gamma(2, size=50), np.inf).lines
    chart = plots.score_chart(np.arange(10.0), 6.5, np.arange(10) > 7)
    np.testing.assert_array_equal(chart.lines[1].get_ydata(), [7, 8, 9])


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
