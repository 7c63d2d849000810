"""Training: the engine, and what drives it."""

from aejax.training.ensembles import ensemble, member, sweep
from aejax.training.fitting import DivergenceError, DivergenceWarning, Interrupted, fit
from aejax.training.pretraining import pretrain
from aejax.training.progress import ProgressBar, Report

__all__ = [
    "DivergenceError",
    "DivergenceWarning",
    "Interrupted",
    "ProgressBar",
    "Report",
    "ensemble",
    "fit",
    "member",
    "pretrain",
    "sweep",
]
