"""Process monitoring: scores, limits that hold, control charts, and which sensors stand out."""

import aejax.tasks.anomaly.stored  # noqa: F401, makes them known to aejax.save
from aejax.tasks.anomaly.adaptive import AdaptiveState, start_adaptive, watch_adaptive
from aejax.tasks.anomaly.charts import Chart, ewma, votes
from aejax.tasks.anomaly.contributions import contributions
from aejax.tasks.anomaly.correlation import block_length, correlation_time, num_stretches
from aejax.tasks.anomaly.detection import Calibration, Detection, calibrate, detect, score
from aejax.tasks.anomaly.evaluation import evaluate_detector, evaluate_monitor
from aejax.tasks.anomaly.fitting import fit_monitor, linear_autoencoder
from aejax.tasks.anomaly.limits import (
    ObtainedRate,
    block_threshold,
    obtained_rate,
    p_values,
    tail_threshold,
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
from aejax.tasks.anomaly.recalibration import rebase_monitor, recalibrate
from aejax.tasks.anomaly.statistics import Statistics, Whitening, fit_whitening, shrunk_covariance, statistics, whitened
from aejax.tasks.anomaly.stream import StreamState, start, watch

__all__ = [
    "AdaptiveState",
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
    "correlation_time",
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
    "num_stretches",
    "obtained_rate",
    "p_values",
    "rebase_monitor",
    "recalibrate",
    "score",
    "shrunk_covariance",
    "start",
    "start_adaptive",
    "statistics",
    "tail_threshold",
    "threshold",
    "votes",
    "watch",
    "watch_adaptive",
    "whitened",
]
