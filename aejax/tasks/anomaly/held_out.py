"""Statistics of normal rows by models that were fitted to other rows of the same table."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from aejax.base import Batch, Model, Variables
from aejax.tasks.anomaly.charts import ewma
from aejax.tasks.anomaly.statistics import Statistics, Whitening, rescaled, statistics


class HeldOut(NamedTuple):
    """Statistics of each row by a model of the other blocks of the table (cross-conformal; Vovk 2015).

    Attributes:
        t2: (n,), 1 on average, not smoothed; NaN for a row of which nothing is observed.
        spe: (n,), likewise.
        sizes: their means before they were brought to 1: rows that are not trained on have the larger residuals.
    """

    t2: np.ndarray
    spe: np.ndarray
    sizes: tuple[float, float]

    @property
    def combined(self) -> np.ndarray:
        """(n,), the mean of both."""
        return (self.t2 + self.spe) / 2

    def smoothed(self, smoothing: float) -> Statistics:
        """As a chart shows them."""
        return Statistics(*(ewma(values, smoothing) for values in (self.t2, self.spe, self.combined)))

    def scaled(self, whitening: Whitening) -> Whitening:
        """The Whitening by which new normal rows have statistics of 1 on average."""
        return rescaled(whitening, *self.sizes)


def held_out(
    model: Model,
    windows: Batch,
    rows: np.ndarray,
    num_lags: int,
    learn: Sequence[Callable[[np.ndarray], tuple[Variables, Whitening]]],
) -> HeldOut:
    """Scores each block of a table by what was learned from the others.

    Args:
        model: of windows.
        windows: n of them, of rows in time.
        rows: (n, c) themselves, NaN where missing.
        num_lags: earlier rows in a window. The first windows have no whole past: they are scored, as in a stream, but
            nothing is trained on them.
        learn: for each block of the table, (the numbers of windows of the others) -> what is learned of these.

    Returns:
        The HeldOut.
    """
    whole = np.arange(num_lags, len(rows))
    folds = np.array_split(np.arange(len(rows)), len(learn))
    # No window of the training rows reaches into the block; all folds have as many rows, so that they share a program.
    others = [whole[(whole < fold[0]) | (whole > fold[-1] + num_lags)] for fold in folds]
    num_others = min(map(len, others))
    scores = [
        statistics(model, *learned(other[:num_others]), taken(windows, fold))
        for learned, fold, other in zip(learn, folds, others, strict=True)
    ]
    # As in ``watch``, a row of which nothing is observed has no statistic, whatever its window holds.
    is_empty = np.isnan(rows).all(axis=1)
    t2, spe, _ = (np.where(is_empty, np.nan, np.concatenate(parts)) for parts in zip(*scores, strict=True))
    sizes = float(np.nanmean(t2)), float(np.nanmean(spe))
    t2, spe = (values / size if size > 0 else values for values, size in zip((t2, spe), sizes, strict=True))
    return HeldOut(t2, spe, sizes)


def taken(batch: Batch, rows: np.ndarray) -> Batch:
    """Some rows of a Batch."""
    return jax.tree.map(lambda field: field[rows], batch)


def check_folds(num_folds: int, num_rows: int, num_lags: int) -> None:
    """Refuses blocks that are too short to be scored, or fewer than two."""
    if num_folds < 2 or num_rows // num_folds < num_lags + 2:
        raise ValueError(
            f"num_folds: found {num_folds} for {num_rows} rows and {num_lags} lags, expected at least 2 blocks of "
            f"num_lags + 2 rows or more"
        )
