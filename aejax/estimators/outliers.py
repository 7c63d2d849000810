"""Rows of a table that are unlike the others, with a false alarm rate that holds."""

import warnings
from typing import Any, Self

import jax
import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from aejax.base import Batch
from aejax.data.columns.scalers import scaled_rows
from aejax.estimators.rows import fitting_rows, key_of, new_rows, row_by_row
from aejax.tasks.anomaly import Detector, fit_detector, fit_reference, p_values
from aejax.tasks.anomaly.limits import check_rate
from aejax.tasks.anomaly.novelty import novelty_of_scaled
from aejax.tasks.anomaly.patterns import comparisons, kept

_FEWEST_ROWS = 5
# So many rows are kept to compare with; it bounds time and memory.
_MOST_REFERENCES = 20_000
# By this share a p-value is lowered at most, so that the more novel of two rows with the same one comes first.
_WITHIN_TIES = 1e-6


class OutlierDetector(OutlierMixin, BaseEstimator):
    """Finds rows that are unlike the others: ``aejax.tasks.anomaly.fit_detector`` and the rows to judge by.

    A part of the rows is held out. A row is an outlier if at most ``false_alarm_rate`` of these are as novel. So of new
    rows like those of ``fit`` at most that share is flagged, on average. A row of ``fit`` is not compared with itself.

    Args:
        false_alarm_rate: the share of usual rows that may be flagged; 1 / rate - 1 rows must be held out for it, or
            none is.
        calibration: the share of the rows that is held out.
        num_steps: of training, about.
        batch_size: rows a step.
        learning_rate: Adam's.
        random_state: a whole number for the same result each time.

    Attributes:
        detector_: the Detector, calibrated.
        reference_rows_: (m, c) the rows that others are compared with, standardised.
        offset_: what ``score_samples`` of a usual row is above: the false alarm rate.
        n_features_in_: columns of ``fit``.
        feature_names_in_: their names, where it had any.

    Example:
        >>> x = np.random.default_rng(0).standard_normal((200, 3))
        >>> detector = OutlierDetector(num_steps=50, random_state=0).fit(x)
        >>> detector.predict([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]])
        array([ 1, -1])
    """

    def __init__(
        self,
        *,
        false_alarm_rate: float = 0.1,
        calibration: float = 0.3,
        num_steps: int = 2500,
        batch_size: int = 64,
        learning_rate: float = 2e-3,
        random_state: Any = None,
    ):
        self.false_alarm_rate = false_alarm_rate
        self.calibration = calibration
        self.num_steps = num_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002
        """Learns the rows, most of which are usual ones.

        Args:
            X: (n, c) rows in their own units, NaN where missing; at least 5.
            y: ignored.

        Returns:
            The estimator.

        Raises:
            ValueError, TypeError: rows or parameters that do not fit.
        """
        rows = fitting_rows(self, X, _FEWEST_ROWS)
        check_rate(self.false_alarm_rate)
        if not 0 < self.calibration < 1:
            raise ValueError(f"calibration: found {self.calibration}, expected a share between 0 and 1, such as 0.3")
        fit_key, order_key = jax.random.split(key_of(self.random_state))
        order = np.asarray(jax.random.permutation(order_key, len(rows)))
        num_held_out = min(max(round(self.calibration * len(rows)), 1), len(rows) - 2)
        held_out, learned = rows[order[:num_held_out]], rows[order[num_held_out:]]
        detector = fit_detector(
            fit_key,
            learned,
            num_steps=self.num_steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            max_references=1,  # they are chosen here, where it must be known which they are
        )
        self.reference_rows_ = scaled_rows(detector.scaler, learned)[:_MOST_REFERENCES]
        references = (fit_reference(detector.model, member, self.reference_rows_) for member in detector.variables)
        self.detector_: Detector = detector._replace(references=tuple(references))
        normal = scaled_rows(detector.scaler, held_out)
        rows_to_hide_gaps_in = np.asarray(kept(normal).x)
        self.detector_ = self.detector_._replace(held_out=self._novelty(normal), held_out_rows=rows_to_hide_gaps_in)
        self.offset_ = float(self.false_alarm_rate)
        _warn_if_none_is_flagged(self.false_alarm_rate, num_held_out)
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """How usual each row is: the share of held-out rows that are as novel, its p-value.

        Rows with gaps are compared with held-out rows of which the same is hidden.

        Args:
            X: (n, c) rows, NaN where missing.

        Returns:
            (n,) between 0 and 1, lower is more novel, also, by less than a millionth, among rows of one p-value. NaN
            for a row of which nothing is observed.
        """
        check_is_fitted(self)
        scaled = scaled_rows(self.detector_.scaler, new_rows(self, X))
        novelty, seen = self._novelty(scaled), ~np.isnan(scaled)
        p_value = p_values(self.detector_.held_out, novelty)
        held_out = Batch(self.detector_.held_out_rows)  # type: ignore[arg-type]
        for places, normal, _ in comparisons(seen, held_out, self.false_alarm_rate):
            p_value[places] = p_values(self._novelty(np.asarray(normal.x)), novelty[places])
        return p_value * (1 - _WITHIN_TIES / (1 + np.exp(-novelty)))

    def decision_function(self, X: Any) -> np.ndarray:
        """``score_samples`` less the false alarm rate: below 0 for an outlier.

        Args:
            X: (n, c) rows, NaN where missing.

        Returns:
            (n,).
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """-1 for an outlier, 1 for a usual row or one of which nothing is observed.

        Args:
            X: (n, c) rows, NaN where missing.

        Returns:
            (n,) whole numbers.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _novelty(self, scaled: np.ndarray) -> np.ndarray:
        """As ``novelty_score``, but that a row of ``fit`` is not compared with itself."""
        known = {row.tobytes() for row in self.reference_rows_}

        def of_block(block: np.ndarray) -> np.ndarray:
            own = np.array([row.tobytes() in known for row in block])
            return novelty_of_scaled(self.detector_, block, own=own)

        return np.asarray(row_by_row(of_block, scaled))


def _warn_if_none_is_flagged(rate: float, num_held_out: int) -> None:
    smallest = 1 / (num_held_out + 1)
    if rate < smallest - 1e-12:
        warnings.warn(
            f"false_alarm_rate: found {rate}, but {num_held_out} held-out rows are too few for a rate that low: no row "
            f"is flagged; ask for at least {smallest:.2g}, or give more rows",
            stacklevel=3,
        )
