"""Process monitoring: scores, limits that hold, control charts, and which sensors stand out."""

from aejax.tasks.anomaly.blocks import ObtainedRate, block_length, block_threshold, obtained_rate
from aejax.tasks.anomaly.charts import Chart, ewma, votes
from aejax.tasks.anomaly.conformal import Calibration, Detection, calibrate, detect, p_values, score, threshold
from aejax.tasks.anomaly.contributions import contributions
from aejax.tasks.anomaly.monitor import Monitor, StreamState, fit_monitor, linear_autoencoder, recalibrate, start, watch
from aejax.tasks.anomaly.novelty import Detector, Reference, fit_detector, fit_reference, nearest_score, novelty_score
from aejax.tasks.anomaly.statistics import Statistics, Whitening, fit_whitening, shrunk_covariance, statistics, whitened
from aejax.tasks.anomaly.stored import load_monitor, read_settings, save_monitor

__all__ = [
    "Calibration",
    "Chart",
    "Detection",
    "Detector",
    "Monitor",
    "ObtainedRate",
    "Reference",
    "Statistics",
    "StreamState",
    "Whitening",
    "block_length",
    "block_threshold",
    "calibrate",
    "contributions",
    "detect",
    "ewma",
    "fit_detector",
    "fit_monitor",
    "fit_reference",
    "fit_whitening",
    "linear_autoencoder",
    "load_monitor",
    "nearest_score",
    "novelty_score",
    "obtained_rate",
    "p_values",
    "read_settings",
    "recalibrate",
    "save_monitor",
    "score",
    "shrunk_covariance",
    "start",
    "statistics",
    "threshold",
    "votes",
    "watch",
    "whitened",
]
