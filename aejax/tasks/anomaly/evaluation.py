"""How well monitors and detectors tell normal rows from anomalies, measured on rows that they were not fitted to."""

import numpy as np

from aejax import metrics
from aejax.base import ArrayLike
from aejax.data.batches import RowsLike
from aejax.tasks.anomaly.monitor import Monitor
from aejax.tasks.anomaly.novelty import Detector, judge
from aejax.tasks.anomaly.stream import watch


def evaluate_monitor(monitor: Monitor, x: RowsLike, is_anomaly: ArrayLike | None = None) -> dict[str, float]:
    """Measures a monitor on rows in time that it was not fitted to.

    Args:
        monitor: the Monitor.
        x: (n, c) rows in time, as for ``watch``.
        is_anomaly: (n,) bool, which rows are anomalies; None where all of them are normal.

    Returns:
        As ``evaluate_detector``; a row is flagged where it is above the limit, whatever the alarm rule makes of it.

    Raises:
        ValueError: rows with other columns than in training, or labels that do not fit them.
    """
    chart, _ = watch(monitor, x)
    return _measured(chart.excess, chart.is_above, is_anomaly, monitor.rate.asked)


def evaluate_detector(
    detector: Detector, x: ArrayLike, is_anomaly: ArrayLike | None = None, false_alarm_rate: float = 0.01
) -> dict[str, float]:
    """Measures a detector on rows that it was neither trained nor calibrated on.

    Args:
        detector: from ``calibrate_detector``.
        x: (n, c) rows in their own units, NaN where missing.
        is_anomaly: (n,) bool, which rows are anomalies; None where all of them are normal.
        false_alarm_rate: the share of normal rows that may be flagged.

    Returns:
        ``num_rows``, those with a score; ``asked``, the false alarm rate asked for; ``false_alarm_rate``, the share of
        the normal rows that is flagged. With labels also ``detection_rate``, the share of the anomalies that is
        flagged, and ``auroc``. What there are no rows for is NaN.

    Raises:
        ValueError: as ``judge``, or labels that do not fit the rows.

    Example:
        >>> import jax
        >>> from aejax.tasks.anomaly import calibrate_detector, fit_detector
        >>> x = np.random.default_rng(0).standard_normal((400, 3))
        >>> detector = calibrate_detector(fit_detector(jax.random.key(0), x[:100], num_steps=50), x[100:300])
        >>> new, is_anomaly = np.concatenate([x[300:], x[300:] + 9]), np.arange(200) >= 100
        >>> found = evaluate_detector(detector, new, is_anomaly, 0.05)
        >>> found["asked"], found["false_alarm_rate"] < 0.15, found["detection_rate"] > 0.9
        (0.05, True, True)
    """
    found = judge(detector, x, false_alarm_rate)
    return _measured(found.score, found.is_anomaly, is_anomaly, false_alarm_rate)


def _measured(
    score: np.ndarray, is_flagged: np.ndarray, is_anomaly: ArrayLike | None, asked: float
) -> dict[str, float]:
    labels = np.zeros(len(score), bool) if is_anomaly is None else np.asarray(is_anomaly)
    if labels.shape != score.shape or not np.isin(labels, (0, 1)).all():
        raise ValueError(f"is_anomaly: found shape {labels.shape}, expected ({len(score)},) true or false, a row each")
    seen = ~np.isnan(score)
    score, is_flagged, labels = score[seen], is_flagged[seen], labels[seen].astype(bool)
    measured = {"num_rows": float(len(score)), "asked": asked, "false_alarm_rate": _share(is_flagged[~labels])}
    if is_anomaly is not None:
        both = labels.any() and not labels.all()
        measured["detection_rate"] = _share(is_flagged[labels])
        measured["auroc"] = metrics.auroc(score, labels) if both else float("nan")
    return measured


def _share(flags: np.ndarray) -> float:
    return float(flags.mean()) if len(flags) else float("nan")
