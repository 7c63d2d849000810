"""Process monitoring: scores, limits that hold, control charts, and which sensors stand out."""

from aejax.tasks.monitoring.blocks import ObtainedRate, block_length, block_threshold, obtained_rate
from aejax.tasks.monitoring.charts import Chart, ewma, votes
from aejax.tasks.monitoring.conformal import Calibration, Detection, calibrate, detect, p_values, score, threshold
from aejax.tasks.monitoring.contributions import contributions
from aejax.tasks.monitoring.monitor import Monitor, StreamState, fit_monitor, recalibrate, start, watch
from aejax.tasks.monitoring.statistics import (
    Statistics,
    Whitening,
    fit_whitening,
    shrunk_covariance,
    statistics,
    whitened,
)

__all__ = [
    "Calibration",
    "Chart",
    "Detection",
    "Monitor",
    "ObtainedRate",
    "Statistics",
    "StreamState",
    "Whitening",
    "block_length",
    "block_threshold",
    "calibrate",
    "contributions",
    "detect",
    "ewma",
    "fit_monitor",
    "fit_whitening",
    "obtained_rate",
    "p_values",
    "recalibrate",
    "score",
    "shrunk_covariance",
    "start",
    "statistics",
    "threshold",
    "votes",
    "watch",
    "whitened",
]
