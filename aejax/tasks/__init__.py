"""Tasks: what a person does with a fitted model."""

from aejax.tasks.comparison import two_sample_auroc
from aejax.tasks.features import Sensitivity, dead_units, log_likelihood, name_units, sensitivity
from aejax.tasks.generation import generate, interpolate, traverse
from aejax.tasks.mixture import Mixture, fit_mixture, mixture_log_density, sample_mixture
from aejax.tasks.monitoring import Calibration, Detection, calibrate, detect, p_values, score, threshold
from aejax.tasks.reduction import encode, reconstruct

__all__ = [
    "Calibration",
    "Detection",
    "Mixture",
    "Sensitivity",
    "calibrate",
    "dead_units",
    "detect",
    "encode",
    "fit_mixture",
    "generate",
    "interpolate",
    "log_likelihood",
    "mixture_log_density",
    "name_units",
    "p_values",
    "reconstruct",
    "sample_mixture",
    "score",
    "sensitivity",
    "threshold",
    "traverse",
    "two_sample_auroc",
]
