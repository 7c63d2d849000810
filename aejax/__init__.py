"""Compressed and generative representations of scientific and industrial data, as pure functions in JAX."""

from aejax import losses, models, nets
from aejax.algorithms import adam, minimise
from aejax.base import Algorithm, Aux, Batch, Fitted, Latent, Model, TrainState, as_batch
from aejax.training import (
    DivergenceError,
    DivergenceWarning,
    Interrupted,
    ProgressBar,
    Report,
    ensemble,
    fit,
    sweep,
)

__version__ = "0.1.0"

__all__ = [
    "Algorithm",
    "Aux",
    "Batch",
    "DivergenceError",
    "DivergenceWarning",
    "Fitted",
    "Interrupted",
    "Latent",
    "Model",
    "ProgressBar",
    "Report",
    "TrainState",
    "adam",
    "as_batch",
    "ensemble",
    "fit",
    "losses",
    "minimise",
    "models",
    "nets",
    "sweep",
]
