"""Pictures of an inversion: sections side by side, apparent velocities, calibration. Arrays in, Axes out."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from aejax.base import ArrayLike
from aejax.plots.style import BLUE, GREY, RED, new_figure, tidy


def posterior_sections(
    truth: ArrayLike,
    mean: ArrayLike,
    spread: ArrayLike,
    draws: ArrayLike,
    cell: float = 1.0,
    label: str = "x",
    figure: Figure | SubFigure | None = None,
) -> np.ndarray:
    """Truth, posterior mean, posterior spread and some draws of vertical sections, side by side.

    Args:
        truth: (rows, columns), or (sections, rows, columns) for one row of panels each.
        mean: likewise.
        spread: likewise, the standard deviation, in a colour scale of its own.
        draws: (draws, rows, columns), or (sections, draws, rows, columns); those in the colours of the truth.
        cell: side of a cell, in m.
        label: what is drawn, with its unit.
        figure: where to draw; a new one if None.

    Returns:
        (sections, 3 + draws) Axes.

    Example:
        >>> field = np.eye(4)
        >>> posterior_sections(field, field, field, field[None]).shape
        (1, 4)
    """
    truth, mean, spread = (np.asarray(part, float) for part in (truth, mean, spread))
    draws = np.asarray(draws, float)
    if truth.ndim == 2:
        truth, mean, spread, draws = truth[None], mean[None], spread[None], draws[None]
    rows, columns = truth.shape[1:]
    num_panels = 3 + draws.shape[1]
    width = min(1.6, 8.5 / num_panels)
    figure = figure or new_figure(len(truth) * (width * rows / columns + 0.25) + 0.6, num_panels * width + 1.8)
    axes = figure.subplots(len(truth), num_panels, sharex=True, sharey=True, squeeze=False)
    extent = (0.0, columns * cell, rows * cell, 0.0)
    scale = {"vmin": truth.min(), "vmax": truth.max(), "cmap": "viridis", "extent": extent}
    spread_scale = {"vmin": 0.0, "vmax": spread.max(), "cmap": "magma", "extent": extent}
    for section, line in enumerate(axes):
        shared = line[0].imshow(truth[section], **scale)
        line[1].imshow(mean[section], **scale)
        own = line[2].imshow(spread[section], **spread_scale)
        for ax, draw in zip(line[3:], draws[section], strict=True):
            ax.imshow(draw, **scale)
        line[0].set_ylabel("depth, m")
    names = ["truth", "posterior mean", "posterior spread", *(f"draw {i + 1}" for i in range(draws.shape[1]))]
    for ax, name in zip(axes[0], names, strict=True):
        ax.set_title(name, fontsize=9)
    for ax in axes[-1]:
        ax.set_xlabel("m")
    figure.colorbar(shared, ax=axes, label=label, shrink=0.8, aspect=30)
    figure.colorbar(own, ax=axes, label=f"spread, {label}", shrink=0.8, aspect=30)
    return axes


def apparent_velocities(
    sources: ArrayLike,
    receivers: ArrayLike,
    times: ArrayLike,
    velocities: tuple[float, float],
    ax: Axes | None = None,
) -> Axes:
    """Distance over time of each ray by its angle; red where no ground of the two velocities gives it, noise apart.

    Args:
        sources: (n, 2) depth and distance in m.
        receivers: (n, 2), likewise.
        times: (n,) in ns.
        velocities: between which the ground's lie, in m/ns.
        ax: where to draw; a new figure if None.

    Returns:
        The Axes.

    Example:
        >>> ax = apparent_velocities([[1, 0], [2, 0]], [[1, 3], [3, 3]], [43.0, 60.0], (0.06, 0.08))
        >>> ax.collections[0].get_offsets().data.round(3)
        array([[ 0.   ,  0.07 ],
               [18.435,  0.053]])
    """
    ax = ax or new_figure(3.2, 4).subplots()
    down, across = (np.asarray(receivers, float) - np.asarray(sources, float)).T
    found = np.hypot(down, across) / np.asarray(times, float)
    slow, fast = sorted(velocities)
    is_possible = (slow <= found) & (found <= fast)
    ax.scatter(np.degrees(np.arctan2(down, np.abs(across))), found, s=8, c=np.where(is_possible, BLUE, RED))
    for velocity in (slow, fast):
        ax.axhline(velocity, color=GREY, lw=1)
    ax.set(xlabel="angle downwards, degrees", ylabel="distance over time, m/ns")
    return tidy(ax)


def calibration_curve(levels: ArrayLike, coverage: ArrayLike, label: str | None = None, ax: Axes | None = None) -> Axes:
    """How often intervals hold the truth beside how often they should: on the diagonal where they are right.

    Args:
        levels: (n,), of the intervals, in (0, 1).
        coverage: (n,), shares found.
        label: of the curve.
        ax: where to draw; a new figure if None.

    Returns:
        The Axes.

    Example:
        >>> calibration_curve([0.5, 0.9], [0.45, 0.92]).get_xlabel()
        'level of the interval'
    """
    ax = ax or new_figure(4, 4).subplots()
    if not ax.lines:
        ax.plot([0, 1], [0, 1], color="#777777", lw=1)
    ax.plot(levels, coverage, "o-", ms=3, label=label)
    ax.set(
        xlabel="level of the interval", ylabel="share that holds the truth", xlim=(0, 1), ylim=(0, 1), aspect="equal"
    )
    tidy(ax)
    if label:
        ax.legend(frameon=False, fontsize=8)
    return ax
