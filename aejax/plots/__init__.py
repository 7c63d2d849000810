"""Pictures: arrays in, Axes out. Those of a task are in a module of its name."""

from aejax.plots.columns import parity, reconstructions, samples_against_data
from aejax.plots.fits import (
    contribution_bars,
    explained_variance_bars,
    latent_scatter,
    loss_curves,
    score_chart,
    score_histogram,
)

__all__ = [
    "contribution_bars",
    "explained_variance_bars",
    "latent_scatter",
    "loss_curves",
    "parity",
    "reconstructions",
    "samples_against_data",
    "score_chart",
    "score_histogram",
]
