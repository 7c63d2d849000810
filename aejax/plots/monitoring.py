"""Pictures of process monitoring: arrays in, Axes out."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from aejax.base import ArrayLike
from aejax.plots.style import chart_panel, new_figure


def control_chart(
    statistics: Mapping[str, ArrayLike],
    limits: Mapping[str, float],
    is_alarm: ArrayLike | None = None,
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
    figure = figure or new_figure(height=0.8 + 1.6 * len(statistics))
    panels = np.atleast_1d(figure.subplots(len(statistics), 1, sharex=True))
    for ax, (name, values) in zip(panels, statistics.items(), strict=True):
        chart_panel(ax, np.asarray(values, float), limits[name], is_alarm, "alarm")
        if fault_row is not None:
            ax.axvline(fault_row, color="black", lw=1, ls=":", label="fault begins")
        ax.set_ylabel(name)
    panels[0].legend(frameon=False, fontsize=8, ncols=4, loc="lower right", bbox_to_anchor=(1, 1))
    panels[-1].set_xlabel("row")
    return panels
