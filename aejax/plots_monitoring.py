"""Pictures of process monitoring: arrays in, Axes out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

# Okabe & Ito (2008), as in ``plots``, which stands beside this file.
_BLUE, _ORANGE, _RED, _GREY = "#0072B2", "#E69F00", "#D55E00", "#777777"


def control_chart(
    statistics: Mapping[str, Any],
    limits: Mapping[str, float],
    is_alarm: Any = None,
    fault_row: int | None = None,
    figure: Figure | None = None,
) -> np.ndarray:
    """Statistics over the rows against their limits, on a logarithmic axis, one panel each.

    Args:
        statistics: each (n,) by name, in the order of the panels; NaN where there is none.
        limits: the limit of each by the same name.
        is_alarm: (n,) bool, rows shaded; none if None.
        fault_row: where a fault is known to begin, marked if given.
        figure: where to draw; a new one if None.

    Returns:
        (panels,) Axes.

    Raises:
        ValueError: a statistic has no limit.

    Example:
        >>> control_chart({"T²": np.arange(1.0, 5.0)}, {"T²": 3.0}).shape
        (1,)
    """
    without = [name for name in statistics if name not in limits]
    if without:
        raise ValueError(f"limits: found none for {', '.join(without)}, expected one for each statistic")
    figure = figure or Figure(figsize=(8, 0.8 + 1.6 * len(statistics)), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(statistics), 1, sharex=True))
    for ax, (name, values) in zip(panels, statistics.items(), strict=True):
        values = np.asarray(values, float)
        rows = np.arange(len(values))
        above = values > limits[name]
        ax.plot(rows, values, color=_BLUE, lw=1)
        ax.plot(rows[above], values[above], ".", color=_RED, ms=3, label="above the limit")
        ax.axhline(limits[name], color=_GREY, lw=1, ls="--", label="limit")
        if fault_row is not None:
            ax.axvline(fault_row, color="black", lw=1, ls=":", label="fault begins")
        if is_alarm is not None:
            ax.fill_between(
                rows, 0, 1, where=np.asarray(is_alarm, bool), transform=ax.get_xaxis_transform(), color=_ORANGE,
                alpha=0.2, lw=0, label="alarm",
            )  # fmt: skip
        ax.set(ylabel=name, yscale="log", xlim=(0, max(len(values) - 1, 1)))
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if np.nanmax(values) < 30 * np.nanmin(values) else (1,)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=8, ncols=4, loc="lower right", bbox_to_anchor=(1, 1))
    panels[-1].set_xlabel("row")
    return panels


def contribution_bars(
    contribution: Any, columns: Sequence[str], normal: Any = None, num_bars: int = 15, ax: Axes | None = None
) -> Axes:
    """What each sensor contributes to a statistic, the largest on top.

    Args:
        contribution: (c,) of a row, or (n, c), whose mean over the rows is drawn.
        columns: c names.
        normal: (c,) what it contributes in normal operation, marked if given.
        num_bars: the most sensors to draw.
        ax: where to draw; a new figure if None.

    Returns:
        The Axes.

    Example:
        >>> len(contribution_bars(np.array([0.5, 3.0]), ["flow", "level"]).patches)
        2
    """
    values = np.atleast_2d(np.asarray(contribution, float)).mean(axis=0)
    order = np.argsort(values)[-num_bars:]
    ax = ax or Figure(figsize=(8, 1 + 0.25 * max(len(order), 4)), layout="constrained").subplots()
    ax.barh(range(len(order)), values[order], color=_BLUE)
    if normal is not None:
        ax.plot(np.asarray(normal, float)[order], range(len(order)), "|", color=_RED, ms=8, mew=2, label="normal rows")
        ax.legend(frameon=False, fontsize=8, loc="lower right")
    ax.set_yticks(range(len(order)), [columns[index] for index in order], fontsize=8)
    ax.set_xlabel("fall of the combined statistic if the sensor were free")
    ax.spines[["top", "right"]].set_visible(False)
    return ax
