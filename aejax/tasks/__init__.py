"""Tasks: what you do with a fitted model. Each application is a module.

``aejax.tasks.anomaly`` watches a process, ``denoising`` cleans signals, ``surrogate`` compresses and predicts
spectra, ``inversion`` finds models of the ground behind measurements, ``imputation`` fills the gaps of tables.
"""

from aejax.tasks import anomaly, denoising, imputation, inversion, surrogate
from aejax.tasks.anomaly import Calibration, Detection, calibrate, detect, p_values, score, threshold
from aejax.tasks.comparison import two_sample_auroc
from aejax.tasks.features import Sensitivity, dead_units, log_likelihood, name_units, sensitivity
from aejax.tasks.flow import Flow, evaluate_flow, fit_flow, flow_log_density, sample_flow
from aejax.tasks.generation import generate, interpolate, traverse
from aejax.tasks.mixture import Mixture, evaluate_mixture, fit_mixture, mixture_log_density, sample_mixture
from aejax.tasks.reduction import encode, reconstruct

__all__ = [
    "Calibration",
    "Detection",
    "Flow",
    "Mixture",
    "Sensitivity",
    "anomaly",
    "calibrate",
    "dead_units",
    "denoising",
    "detect",
    "encode",
    "evaluate_flow",
    "evaluate_mixture",
    "fit_flow",
    "fit_mixture",
    "flow_log_density",
    "generate",
    "imputation",
    "interpolate",
    "inversion",
    "log_likelihood",
    "mixture_log_density",
    "name_units",
    "p_values",
    "reconstruct",
    "sample_flow",
    "sample_mixture",
    "score",
    "sensitivity",
    "surrogate",
    "threshold",
    "traverse",
    "two_sample_auroc",
]
