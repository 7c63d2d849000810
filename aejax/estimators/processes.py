"""Rows of a process in time, beside normal operation."""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from aejax.estimators.rows import fitting_rows, key_of, new_rows
from aejax.tasks.anomaly import Chart, Monitor, contributions, fit_monitor, watch

# Minus the excess above which a row is above its limit.
OFFSET = -1.0


class ProcessMonitor(OutlierMixin, BaseEstimator):
    """Watches a process by T² of the code and SPE of the residual: ``aejax.tasks.anomaly.fit_monitor``.

    As it stands each row is judged by itself, in any order. With ``num_lags``, ``smoothing`` below 1 or an
    ``alarm_rule`` of several rows it has a memory: rows must then be in the order of time, each call begins anew, and
    searches must not shuffle them. Slow processes ask for such a memory: (2, 0.2, (2, 3)) suited the Tennessee Eastman
    process. No row of ``fit`` is left out, a start-up neither.

    Args:
        false_alarm_rate: the share of normal rows that may be above the limit.
        latent_dim: size of the code; as many numbers as hold 90 % of the variance if None.
        num_lags: earlier rows that are judged together with each row.
        smoothing: weight of the newest row in the moving averages; 1 for none.
        alarm_rule: (k, n), an alarm where k of the last n rows are above the limit.
        limits: "rows", which takes rows as independent, "auto" or "blocks", as in ``fit_monitor``. For a process in
            time give "auto": it widens limits where few rows are independent, and refuses tables that hold too few.
        num_folds: blocks of the rows, each of which is judged by a model of the others.
        num_epochs: passes over the rows.
        batch_size: rows a step.
        learning_rate: Adam's.
        random_state: a whole number for the same result each time.

    Attributes:
        monitor_: the Monitor.
        offset_: what ``score_samples`` of a normal row is above: -1.
        n_features_in_: columns of ``fit``.
        feature_names_in_: their names, where it had any.

    Example:
        >>> x = np.random.default_rng(0).standard_normal((300, 3))
        >>> monitor = ProcessMonitor(num_epochs=2, random_state=0).fit(x)
        >>> monitor.predict([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]])
        array([ 1, -1])
    """

    def __init__(
        self,
        *,
        false_alarm_rate: float = 0.1,
        latent_dim: int | None = None,
        num_lags: int = 0,
        smoothing: float = 1.0,
        alarm_rule: tuple[int, int] = (1, 1),
        limits: str = "rows",
        num_folds: int = 5,
        num_epochs: int = 200,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        random_state: Any = None,
    ):
        self.false_alarm_rate = false_alarm_rate
        self.latent_dim = latent_dim
        self.num_lags = num_lags
        self.smoothing = smoothing
        self.alarm_rule = alarm_rule
        self.limits = limits
        self.num_folds = num_folds
        self.num_epochs = num_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Learns normal operation.

        Args:
            X: (n, c) rows of normal operation in their own units, in the order of time; NaN where missing.
            y: ignored.

        Returns:
            The estimator.

        Raises:
            ValueError, TypeError: rows or parameters that do not fit.
        """
        options = self.get_params(deep=False)
        key = key_of(options.pop("random_state"))
        self.monitor_: Monitor = fit_monitor(key, fitting_rows(self, X), keep_transients=True, **options)
        self.offset_ = OFFSET
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Minus how many times its limit a row's statistic is.

        Args:
            X: (n, c) rows, in the order of time; NaN where missing.

        Returns:
            (n,), higher is more normal; NaN for a row of which nothing is observed.
        """
        return -self.chart(X).excess.astype(np.float64)

    def decision_function(self, X: Any) -> np.ndarray:
        """``score_samples`` plus 1: below 0 where a row is above its limit.

        Args:
            X: (n, c) rows, in the order of time; NaN where missing.

        Returns:
            (n,).
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """-1 where there is an alarm, 1 elsewhere.

        Args:
            X: (n, c) rows, in the order of time; NaN where missing.

        Returns:
            (n,) whole numbers.
        """
        return np.where(self.chart(X).is_alarm, -1, 1)

    def chart(self, X: Any) -> Chart:
        """The control chart: both statistics, p-values, limits passed and alarms.

        Args:
            X: (n, c) rows, in the order of time; NaN where missing.

        Returns:
            The Chart.
        """
        check_is_fitted(self)
        return watch(self.monitor_, new_rows(self, X))[0]

    def contributions(self, X: Any) -> np.ndarray:
        """What each column contributes to the statistics, as ``aejax.tasks.anomaly.contributions``.

        Args:
            X: (n, c) rows, in the order of time; NaN where missing.

        Returns:
            (n, c), at least 0.
        """
        check_is_fitted(self)
        return contributions(self.monitor_, new_rows(self, X))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
