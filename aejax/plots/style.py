"""What all pictures share. Figures are made without pyplot, so that no backend and no global state is touched."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, LogLocator, NullFormatter

from aejax.base import ArrayLike

# Okabe & Ito (2008): told apart with any kind of colour vision.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#777777"


def new_figure(height: float = 3.2, width: float = 8.0, *, is_laid_out: bool = True) -> Figure:
    """An empty figure, sizes in inches; unless told otherwise, what stands in it decides on its margins."""
    return Figure(figsize=(width, height), layout="constrained" if is_laid_out else None)


def tidy(ax: Axes) -> Axes:
    """Takes away the lines at the top and on the right."""
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def central_range(values: np.ndarray) -> tuple[float, float]:
    """Where values lie but for outliers: their middle 99 % and half as much on each side, at most the whole range."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.quantile(finite, [0.005, 0.995])
    # A column that hardly ever leaves one value is shown by the rows where it does.
    margin = (high - low) / 2 or np.inf
    return float(max(finite.min(), low - margin)), float(min(finite.max(), high + margin))


def is_beyond(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Which values a picture from ``low`` to ``high`` leaves out."""
    return (values < low) | (values > high)


def padded(low: float, high: float) -> tuple[float, float]:
    """The limits of an axis on which ``low`` and ``high`` stand a little inside, and apart where they are equal."""
    pad = 0.04 * (high - low) or 0.05 * max(abs(low), 1.0)
    return low - pad, high + pad


def plain_log_ticks(axis: Axis) -> None:
    """Labels a logarithmic axis with plain numbers, as 20 and 50, where matplotlib would write 2 × 10¹."""
    low, high = axis.get_view_interval()
    # Within one decade a logarithmic locator may find one tick or none.
    within_decades = LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,))
    axis.set_major_locator(AutoLocator() if high < 10 * low else within_decades)
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def chart_panel(ax: Axes, values: np.ndarray, limit: float, shaded: ArrayLike | None, shaded_label: str) -> None:
    """Values over the rows against their limit, some rows shaded, on an axis that shows small alarms beside large ones.

    It is logarithmic; where values are negative, only beyond the limit, and linear below it.
    """
    rows = np.arange(len(values))
    above = values > limit
    if shaded is not None:
        ax.fill_between(
            rows, 0, 1, where=np.asarray(shaded, bool), transform=ax.get_xaxis_transform(), color=ORANGE, alpha=0.2,
            lw=0, label=shaded_label,
        )  # fmt: skip
    ax.plot(rows, values, color=BLUE, lw=1)
    ax.plot(rows[above], values[above], ".", color=RED, ms=3, label="above the limit")
    if np.isfinite(limit):
        ax.axhline(limit, color=GREY, lw=1, ls="--", label="limit")
    ax.set_xlim(0, max(len(values) - 1, 1))
    known = values[np.isfinite(values)]
    if np.min(known, initial=np.inf) > 0:
        ax.set_yscale("log")
        plain_log_ticks(ax.yaxis)
    elif known.any():
        linear = np.abs(known[known <= limit]).max(initial=0) or np.abs(known).max()
        ax.set_yscale("symlog", linthresh=linear)
        ax.set_ylim(bottom=known.min() - linear / 4)
        ax.yaxis.set_major_formatter("{x:g}")
    tidy(ax)
