"""Pictures of rows with a panel for each column: arrays in, Axes out."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from aejax.base import ArrayLike
from aejax.plots.style import (
    BLUE,
    GREY,
    RED,
    central_range,
    is_beyond,
    new_figure,
    padded,
    tidy,
)


def reconstructions(
    x: ArrayLike,
    reconstruction: ArrayLike,
    columns: Sequence[str],
    explained_variance: ArrayLike,
    num_panels: int = 6,
    figure: Figure | None = None,
) -> np.ndarray:
    """Measured and reconstructed columns over time, the ones hardest to reconstruct first.

    Rows without an order belong in ``parity``: a line through them would show an order that is not there.

    Args:
        x: (n, c), in the order of time, NaN where missing.
        reconstruction: (n, c), same units.
        columns: c names.
        explained_variance: (c,), R^2 of each column, over these rows or more of them; NaN where it does not vary.
        num_panels: the most columns to draw.
        figure: where to draw; a new one if None.

    Returns:
        (panels,) Axes. Outliers are cut off and counted in the titles.

    Example:
        >>> reconstructions(np.eye(3), np.eye(3), ["a", "b", "c"], np.ones(3), num_panels=2).shape
        (2,)
    """
    x, reconstruction = np.asarray(x, float), np.asarray(reconstruction, float)
    r2, order = _hardest_first(explained_variance, num_panels)
    figure = figure or new_figure(height=1 + 1.3 * len(order))
    panels = np.atleast_1d(figure.subplots(len(order), 1, sharex=True))
    for ax, index in zip(panels, order, strict=True):
        measured, made = x[:, index], reconstruction[:, index]
        low, high = central_range(np.concatenate([measured, made]))
        ax.plot(measured, ".", color=GREY, ms=3, label="measured")
        ax.plot(made, color=BLUE, lw=1.2, label="reconstructed")
        ax.set_ylim(padded(low, high))
        facts = _facts("R²", r2[index], is_beyond(measured, low, high))
        ax.set_title(", ".join([columns[index], *facts]), fontsize=9, loc="left")
        tidy(ax)
    panels[0].legend(frameon=False, ncols=2, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1))
    panels[-1].set_xlabel("row, in the order of time")
    return panels


def parity(
    x: ArrayLike,
    reconstruction: ArrayLike,
    columns: Sequence[str],
    explained_variance: ArrayLike,
    num_panels: int = 12,
    figure: Figure | None = None,
) -> np.ndarray:
    """Reconstructed against measured values, the columns hardest to reconstruct first; the line is where they agree.

    Args:
        x: (n, c), NaN where missing.
        reconstruction: (n, c), same units.
        columns: c names.
        explained_variance: (c,), R^2 of each column, over these rows or more of them; NaN where it does not vary.
        num_panels: the most columns to draw.
        figure: where to draw; a new one if None.

    Returns:
        (panels,) Axes. Outliers are cut off and counted in the titles.

    Example:
        >>> parity(np.eye(3), np.eye(3), ["a", "b", "c"], np.ones(3), num_panels=2).shape
        (2,)
    """
    x, reconstruction = np.asarray(x, float), np.asarray(reconstruction, float)
    r2, order = _hardest_first(explained_variance, num_panels)
    panels = _grid(len(order), figure)
    for ax, index in zip(panels, order, strict=True):
        known = np.isfinite(x[:, index])
        measured, made = x[known, index], reconstruction[known, index]
        low, high = central_range(np.concatenate([measured, made]))
        ax.plot([low, high], [low, high], color=GREY, lw=1)
        ax.plot(measured, made, ".", color=BLUE, ms=4, mew=0, alpha=0.5)
        ax.set(xlim=padded(low, high), ylim=padded(low, high))
        facts = _facts("R²", r2[index], is_beyond(measured, low, high) | is_beyond(made, low, high))
        ax.set_title("\n".join([columns[index], ", ".join(facts)]), fontsize=8)
    panels[0].figure.supxlabel("measured", fontsize=10)
    panels[0].figure.supylabel("reconstructed", fontsize=10)
    return panels


def samples_against_data(
    samples: ArrayLike,
    data: ArrayLike,
    columns: Sequence[str],
    distance: ArrayLike,
    num_panels: int = 12,
    figure: Figure | None = None,
) -> np.ndarray:
    """Histograms of generated and measured rows over each other, the columns that agree worst first.

    Args:
        samples: (n, c).
        data: (m, c), NaN where missing, same units.
        columns: c names.
        distance: (c,), the Kolmogorov-Smirnov distance of each column; NaN where it has no value.
        num_panels: the most columns to draw.
        figure: where to draw; a new one if None.

    Returns:
        (panels,) Axes. Outliers are cut off and counted in the titles.

    Example:
        >>> samples_against_data(np.eye(3), np.eye(3), ["a", "b", "c"], np.zeros(3)).shape
        (3,)
    """
    samples, data, distance = (np.asarray(values, float) for values in (samples, data, distance))
    order = np.argsort(-np.nan_to_num(distance), kind="stable")[:num_panels]
    panels = _grid(len(order), figure)
    for ax, index in zip(panels, order, strict=True):
        both = np.concatenate([samples[:, index], data[:, index]])
        low, high = central_range(both)
        bins = np.histogram_bin_edges(both[np.isfinite(both)], 30, (low, high)).tolist()
        ax.hist(data[:, index], bins, density=True, color=GREY, alpha=0.6, label="measured")
        ax.hist(samples[:, index], bins, density=True, histtype="step", color=RED, lw=1.5, label="generated")
        facts = _facts("KS", distance[index], is_beyond(both, low, high))
        ax.set_title("\n".join([columns[index], ", ".join(facts)]), fontsize=8)
        ax.set_yticks([])
    handles, labels = panels[0].get_legend_handles_labels()
    panels[0].figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False, fontsize=8)
    return panels


def _hardest_first(explained_variance: ArrayLike, num_panels: int) -> tuple[np.ndarray, np.ndarray]:
    """(c,) R², and (panels,) the columns where it is lowest."""
    r2 = np.asarray(explained_variance, float)
    return r2, np.argsort(np.nan_to_num(r2, nan=1.0))[:num_panels]


def _facts(measure: str, value: float, beyond: np.ndarray) -> list[str]:
    """What stands beside the name of a column: how good it is, and how many of its values lie outside the picture."""
    goodness = [] if np.isnan(value) else [f"{measure} {value:.3f}"]
    return [*goodness, f"{beyond.sum()} beyond"] if beyond.any() else goodness


def _with_margins(height: float, num_rows: int) -> Figure:
    """A figure with room of fixed sizes around its panels: to measure their labels takes as long as to draw them."""
    figure = new_figure(height, is_laid_out=False)
    width = figure.get_figwidth()
    panel = (height - 1.35 - 0.85 * (num_rows - 1)) / num_rows
    figure.subplots_adjust(
        left=0.75 / width, right=1 - 0.15 / width, bottom=0.55 / height, top=1 - 0.8 / height, wspace=0.3,
        hspace=0.85 / panel,
    )  # fmt: skip
    return figure


def _grid(num_panels: int, figure: Figure | None) -> np.ndarray:
    """(num_panels,) Axes in rows of three, with ticks so few and short that the labels of 100000 do not touch."""
    num_rows = math.ceil(num_panels / 3)
    figure = figure or _with_margins(0.7 + 2.1 * num_rows, num_rows)
    grid = np.ravel(figure.subplots(num_rows, min(num_panels, 3), squeeze=False))
    for ax in grid[num_panels:]:
        ax.remove()
    for ax in grid[:num_panels]:
        ax.locator_params(nbins=3)
        ax.ticklabel_format(scilimits=(-4, 6))
        ax.tick_params(labelsize=8)
        for axis in (ax.xaxis, ax.yaxis):
            axis.get_offset_text().set_fontsize(8)
        tidy(ax)
    return grid[:num_panels]
