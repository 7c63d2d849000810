"""Tasks: what a person does with a fitted model."""

from aejax.tasks.generation import generate
from aejax.tasks.monitoring import Calibration, Detection, calibrate, detect, p_values, threshold
from aejax.tasks.reduction import encode, reconstruct

__all__ = [
    "Calibration",
    "Detection",
    "calibrate",
    "detect",
    "encode",
    "generate",
    "p_values",
    "reconstruct",
    "threshold",
]
