"""Pictures of a fitted model: arrays in, Axes out."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from aejax.base import ArrayLike
from aejax.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    central_range,
    chart_panel,
    is_beyond,
    new_figure,
    padded,
    plain_log_ticks,
    tidy,
)


def loss_curves(history: Mapping[str, ArrayLike], best_epoch: int | None = None, ax: Axes | None = None) -> Axes:
    """Training and validation loss by epoch.

    Args:
        history: metrics by name, each (num_epochs,) or (members, num_epochs); ``loss`` and ``val_loss`` are drawn.
        best_epoch: counted from 1, marked if given.
        ax: where to draw; a new figure if None.

    Returns:
        The Axes.

    Raises:
        ValueError: there is no ``loss``.

    Example:
        >>> loss_curves({"loss": np.array([2.0, 1.0])}).get_xlabel()
        'epoch'
    """
    if "loss" not in history:
        raise ValueError(f"history: found {', '.join(history) or 'nothing'}, expected at least loss")
    ax = ax or new_figure().subplots()
    for name, label, colour in (("loss", "training", BLUE), ("val_loss", "validation", ORANGE)):
        if name not in history:
            continue
        members = np.atleast_2d(np.asarray(history[name], float))
        epochs = np.arange(1, members.shape[1] + 1)
        for index, values in enumerate(members):
            # A line through one epoch would not be seen.
            marker = "o" if np.isfinite(values).sum() == 1 else None
            width = 1.5 if len(members) == 1 else 0.6
            ax.plot(epochs, values, color=colour, lw=width, marker=marker, ms=4, label=None if index else label)
    drawn = np.concatenate([np.ravel(history[name]) for name in ("loss", "val_loss") if name in history])
    if np.min(drawn, initial=np.inf, where=np.isfinite(drawn)) > 0:
        ax.set_yscale("log")
        plain_log_ticks(ax.yaxis)
    if best_epoch is not None:
        ax.axvline(best_epoch, color=GREY, lw=1, ls="--", label=f"best, epoch {best_epoch}")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    ax.set(xlabel="epoch", ylabel="loss")
    ax.legend(frameon=False)
    return tidy(ax)


def explained_variance_bars(values: ArrayLike, columns: Sequence[str], ax: Axes | None = None) -> Axes:
    """R^2 of each column as a bar, the best on top.

    Args:
        values: (c,), at most 1; NaN for a column that does not vary, which is left out.
        columns: c names.
        ax: where to draw; a new figure if None.

    Returns:
        The Axes.

    Example:
        >>> len(explained_variance_bars(np.array([0.9, 0.5]), ["a", "b"]).patches)
        2
    """
    values = np.asarray(values, float)
    order = [index for index in np.argsort(values) if not np.isnan(values[index])]
    ax = ax or new_figure(height=1 + 0.25 * max(len(order), 4)).subplots()
    # A value far below 0 would make all others invisible.
    ax.barh(range(len(order)), np.clip(values[order], -0.5, 1), color=BLUE)
    ax.set_yticks(range(len(order)), [columns[index] for index in order], fontsize=8)
    ax.set(xlabel="explained variance, R²", xlim=(min(0, np.clip(np.nanmin(values, initial=0), -0.5, 0)), 1))
    return tidy(ax)


def latent_scatter(
    z: ArrayLike, colour: ArrayLike | None = None, colour_label: str = "", ax: Axes | None = None
) -> Axes:
    """The two dimensions of the codes that vary most, or the only one against the row.

    Args:
        z: (n, d).
        colour: (n,) numbers for the colours, or None.
        colour_label: what they are, with units.
        ax: where to draw; a new figure if None.

    Returns:
        The Axes.

    Example:
        >>> latent_scatter(np.array([[0.0, 0.0, 1.0], [0.1, 9.0, 5.0]])).get_xlabel()
        'z2'
    """
    z = np.asarray(z, float)
    ax = ax or new_figure(height=4.5).subplots()
    given: dict[str, Any] = {"color": BLUE} if colour is None else {"c": np.asarray(colour, float), "cmap": "viridis"}
    if z.shape[1] > 1:
        # A VAE switches dimensions off that it does not need: the first ones may say nothing.
        first, second = np.argsort(-z.var(axis=0), kind="stable")[:2]
        points = ax.scatter(z[:, first], z[:, second], s=8, alpha=0.8, linewidths=0, **given)
        ax.set(xlabel=f"z{first + 1}", ylabel=f"z{second + 1}")
    else:
        points = ax.scatter(np.arange(len(z)), z[:, 0], s=8, alpha=0.8, linewidths=0, **given)
        ax.set(xlabel="row", ylabel="z1")
    if colour is not None:
        ax.figure.colorbar(points, ax=ax, label=colour_label)
    return tidy(ax)


def score_histogram(
    scores: ArrayLike,
    threshold: float,
    other: ArrayLike | None = None,
    other_label: str = "faulty rows",
    ax: Axes | None = None,
) -> Axes:
    """Anomaly scores of normal rows with the threshold, and of other rows beside them.

    The axis is logarithmic where positive scores spread wide. Outliers are cut off and counted in the legend.

    Args:
        scores: (n,) of held-out normal rows.
        threshold: above it a row is called an anomaly; may be infinite.
        other: (m,) scores to compare.
        other_label: what they are.
        ax: where to draw; a new figure if None.

    Returns:
        The Axes.

    Example:
        >>> score_histogram(np.arange(1.0, 9.0), 7.5).get_ylabel()
        'share of rows'
    """
    given = [("normal rows, held out", BLUE, scores), (other_label, RED, other)]
    groups = [
        (label, colour, np.asarray(values, float)[np.isfinite(values)])
        for label, colour, values in given
        if values is not None
    ]
    together = np.concatenate([values for _, _, values in groups])
    ax = ax or new_figure().subplots()
    # Scores that hold the logarithm of a density, such as those of a VAE, may be negative.
    is_wide = min(together.min(), threshold) > 0 and together.max() / together.min() > 50
    forward, back = (np.log, np.exp) if is_wide else (np.asarray, np.asarray)
    ranges = [central_range(forward(values)) for _, _, values in groups]
    limit = [float(forward(threshold))] if math.isfinite(threshold) else []
    low, high = min([*limit, *(low for low, _ in ranges)]), max([*limit, *(high for _, high in ranges)])
    bins = back(np.linspace(*padded(low, high), 51)).tolist()
    for label, colour, values in groups:
        num_beyond = is_beyond(forward(values), low, high).sum()
        counted = f"{label}, {num_beyond} beyond" if num_beyond else label
        ax.hist(values, bins, weights=np.full(len(values), 1 / len(values)), color=colour, alpha=0.6, label=counted)
    if math.isfinite(threshold):
        ax.axvline(threshold, color="black", lw=1, ls="--", label=f"threshold {threshold:.3g}")
    if is_wide:
        ax.set_xscale("log")
        plain_log_ticks(ax.xaxis)
    ax.set(xlabel="anomaly score", ylabel="share of rows")
    ax.legend(edgecolor="none")
    return tidy(ax)


def score_chart(scores: ArrayLike, threshold: float, faulty: ArrayLike | None = None, ax: Axes | None = None) -> Axes:
    """A control chart: the score of each row, the limit, and the rows known to be faulty shaded.

    Args:
        scores: (n,), in the order of time.
        threshold: the limit.
        faulty: (n,) bool, or None.
        ax: where to draw; a new figure if None.

    Returns:
        The Axes.

    Example:
        >>> score_chart(np.arange(4.0), 2.5).get_xlabel()
        'row'
    """
    ax = ax or new_figure().subplots()
    chart_panel(ax, np.asarray(scores, float), threshold, faulty, "fault is in")
    ax.set(xlabel="row", ylabel="anomaly score")
    ax.legend(edgecolor="none", fontsize=8, loc="upper left")
    return ax


def contribution_bars(
    contributions: ArrayLike,
    columns: Sequence[str],
    num_bars: int = 10,
    ax: Axes | None = None,
    *,
    normal: ArrayLike | None = None,
    label: str = "contribution (1 is normal)",
) -> Axes:
    """How much each column contributes to an anomaly, the largest on top.

    Args:
        contributions: (c,) of a row, or (n, c), whose mean over the rows is drawn.
        columns: c names.
        num_bars: the most columns to draw.
        ax: where to draw; a new figure if None.
        normal: (c,) what they contribute in normal operation, marked if given.
        label: what a contribution is, with its unit.

    Returns:
        The Axes.

    Example:
        >>> contribution_bars(np.array([1.0, 9.0]), ["a", "b"]).get_yticklabels()[-1].get_text()
        'b'
    """
    mean = np.atleast_2d(np.asarray(contributions, float)).mean(axis=0)
    order = np.argsort(mean)[-num_bars:]
    ax = ax or new_figure(height=1 + 0.25 * max(len(order), 4)).subplots()
    ax.barh(range(len(order)), mean[order], color=BLUE)
    if normal is not None:
        ax.plot(np.asarray(normal, float)[order], range(len(order)), "|", color=RED, ms=8, mew=2, label="normal rows")
        ax.legend(frameon=False, fontsize=8, loc="lower right")
    ax.set_yticks(range(len(order)), [columns[index] for index in order], fontsize=8)
    ax.set(xlabel=label)
    return tidy(ax)
