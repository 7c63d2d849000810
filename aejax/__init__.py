"""Compressed and generative representations of scientific and industrial data, as pure functions in JAX."""

from aejax import losses, metrics, models, nets
from aejax.algorithms import adam, minimise
from aejax.base import Algorithm, Aux, Batch, Fitted, Latent, Model, TrainState, as_batch
from aejax.runs import Run, load_run, save_run
from aejax.tasks import Calibration, Detection, calibrate, detect, encode, generate, p_values, reconstruct, threshold
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
    "Calibration",
    "Detection",
    "DivergenceError",
    "DivergenceWarning",
    "Fitted",
    "Interrupted",
    "Latent",
    "Model",
    "ProgressBar",
    "Report",
    "Run",
    "TrainState",
    "adam",
    "as_batch",
    "calibrate",
    "detect",
    "encode",
    "ensemble",
    "fit",
    "generate",
    "load_run",
    "losses",
    "metrics",
    "minimise",
    "models",
    "nets",
    "p_values",
    "reconstruct",
    "save_run",
    "sweep",
    "threshold",
]
