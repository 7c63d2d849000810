"""Pictures of maps of intensity over momentum and energy transfer: arrays in, Axes out."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from aejax.base import ArrayLike
from aejax.plots.style import new_figure


def maps_side_by_side(
    maps: ArrayLike,
    momentum: ArrayLike,
    energy: ArrayLike,
    *,
    titles: Sequence[str] | None = None,
    axes: np.ndarray | Sequence[Axes] | None = None,
) -> np.ndarray:
    """Rows of maps, each row on one colour scale, so that differences within a row show.

    Colour goes with the square root of intensity, on which weak bands are seen beside strong ones; its bar is marked in
    intensity.

    Args:
        maps: (rows, columns, q, e), or (columns, q, e) for one row; NaN where a pixel is missing.
        momentum: (q,) in 1/Å.
        energy: (e,) in meV.
        titles: rows * columns, or one for each column.
        axes: (rows, columns) Axes to draw on; a new figure if None.

    Returns:
        (rows, columns) Axes.

    Raises:
        ValueError: shapes that do not fit.

    Example:
        >>> drawn = maps_side_by_side(np.ones((2, 3, 4)), np.arange(3), np.arange(4), titles=["given", "code of 20"])
        >>> drawn.shape, drawn[0, 1].get_title()
        ((1, 2), 'code of 20')
    """
    maps = np.asarray(maps, float)
    maps = maps[None] if maps.ndim == 3 else maps
    momentum, energy = np.asarray(momentum, float), np.asarray(energy, float)
    if maps.ndim != 4 or maps.shape[2:] != (momentum.size, energy.size):
        raise ValueError(
            f"maps: found shape {maps.shape}, expected (rows, columns, {momentum.size}, {energy.size}) from the axes"
        )
    num_rows, num_columns = maps.shape[:2]
    titles = list(titles or [])
    if len(titles) not in (0, num_columns, num_rows * num_columns):
        raise ValueError(f"titles: found {len(titles)}, expected {num_columns} or {num_rows * num_columns}")
    if axes is None:
        figure = new_figure(2.5 * num_rows, 3.0 * num_columns + 0.8)
        axes = figure.subplots(num_rows, num_columns, sharex=True, sharey=True, squeeze=False)
    axes = np.asarray(axes, object).reshape(num_rows, num_columns)
    for row in range(num_rows):
        limit = max(float(np.nanmax(maps[row], initial=0)), 1e-30)
        for column in range(num_columns):
            ax: Axes = axes[row, column]
            image = ax.pcolormesh(
                momentum,
                energy,
                np.sqrt(np.maximum(maps[row, column], 0)).T,
                vmin=0,
                vmax=np.sqrt(limit),
                shading="nearest",
                rasterized=True,
            )
            ax.set_facecolor("lightgrey")  # what is not observed
            index = row * num_columns + column
            if titles and (row == 0 or len(titles) > num_columns):
                ax.set_title(titles[index], fontsize=9)
            if row == num_rows - 1:
                ax.set_xlabel("Q (1/Å)")
            if column == 0:
                ax.set_ylabel("E (meV)")
        marks = np.array([0, 0.1, 0.4, 1.0]) * limit
        bar = axes[row, 0].figure.colorbar(image, ax=list(axes[row]), ticks=np.sqrt(marks))
        bar.ax.set_yticklabels([f"{mark:.2g}" for mark in marks])
        bar.set_label("intensity", fontsize=8)
    return axes
