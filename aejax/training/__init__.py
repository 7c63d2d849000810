"""Training: the engine, and what drives it."""

from aejax.training.driver import DivergenceError, DivergenceWarning, Interrupted
from aejax.training.ensembles import ensemble, member, sweep
from aejax.training.fitting import FitOptions, fit, train
from aejax.training.meshes import mesh
from aejax.training.pretraining import pretrain
from aejax.training.processes import ProcessLostError
from aejax.training.progress import Progress, ProgressBar
from aejax.training.sources import drawn, rows, stream

__all__ = [
    "DivergenceError",
    "DivergenceWarning",
    "FitOptions",
    "Interrupted",
    "ProcessLostError",
    "Progress",
    "ProgressBar",
    "drawn",
    "ensemble",
    "fit",
    "member",
    "mesh",
    "pretrain",
    "rows",
    "stream",
    "sweep",
    "train",
]
