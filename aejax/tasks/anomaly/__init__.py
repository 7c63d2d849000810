"""Process monitoring: scores, limits that hold, control charts, and which sensors stand out."""

import aejax.tasks.anomaly.stored  # noqa: F401, makes them known to aejax.save
from aejax.tasks.anomaly.charts import Chart, ewma, votes
from aejax.tasks.anomaly.contributions import contributions
from aejax.tasks.anomaly.detection import Calibration, Detection, calibrate, detect, score
from aejax.tasks.anomaly.evaluation import evaluate_detector, evaluate_monitor
from aejax.tasks.anomaly.fitting import fit_monitor, linear_autoencoder, recalibrate
from aejax.tasks.anomaly.limits import (
    ObtainedRate,
    block_length,
    block_threshold,
    obtained_rate,
    p_values,
    threshold,
)
from aejax.tasks.anomaly.monitor import Monitor
from aejax.tasks.anomaly.novelty import (
    Detector,
    Judgement,
    Reference,
    calibrate_detector,
    fit_detector,
    fit_reference,
    judge,
    nearest_score,
    novelty_score,
)
from aejax.tasks.anomaly.statistics import Statistics, Whitening, fit_whitening, shrunk_covariance, statistics, whitened
from aejax.tasks.anomaly.stream import StreamState, start, watch

__all__ = [
    "Calibration",
    "Chart",
    "Detection",
    "Detector",
    "Judgement",
    "Monitor",
    "ObtainedRate",
    "Reference",
    "Statistics",
    "StreamState",
    "Whitening",
    "block_length",
    "block_threshold",
    "calibrate",
    "calibrate_detector",
    "contributions",
    "detect",
    "evaluate_detector",
    "evaluate_monitor",
    "ewma",
    "fit_detector",
    "fit_monitor",
    "fit_reference",
    "fit_whitening",
    "judge",
    "linear_autoencoder",
    "nearest_score",
    "novelty_score",
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
