"""Anomalies by a model's score, with a false alarm rate that holds."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from aejax.base import Adversary, Array, Batch, Model, Variables, required
from aejax.data.batches import RowsLike
from aejax.losses import observed
from aejax.models.gaps import filled
from aejax.tasks.anomaly.gap_counts import Patterns, count_patterns, is_compared
from aejax.tasks.anomaly.limits import check_rate, is_rare, p_values
from aejax.tasks.anomaly.patterns import SIMILAR_GAPS, by_pattern, kept, unless_known
from aejax.tasks.rows import over_rows

# Below this share of a training standard deviation a residual is rounding, not a sensor's noise.
_SMALLEST_RESIDUAL = 1e-3


class Calibration(NamedTuple):
    """What normal rows that the model was not trained on look like to it.

    Attributes:
        score: (m,) their scores.
        residual_scale: (*event), the root mean square of their residuals, element by element.
        rows: the rows themselves, at most 2000, NaN where missing: rows with gaps are compared with these, of which the
            same is hidden. None in what earlier versions saved.
    """

    score: np.ndarray
    residual_scale: np.ndarray
    rows: Batch | None = None


class Detection(NamedTuple):
    """A verdict on each row.

    Attributes:
        score: (n,), higher is more anomalous; NaN for a row of which nothing is observed.
        p_value: (n,), the share of normal rows that score as high; NaN likewise.
        is_anomaly: (n,) bool, p_value at most the false alarm rate.
        contribution: (n, *event), squared residual in units of its mean square on calibration rows; 0 where missing,
            and for an Adversary, which reconstructs nothing.
        compared_with: (n,) text, the normal rows that the row is compared with. "same gaps": those of which the same is
            missing, so that the false alarm rate holds for rows with these gaps. "similar gaps": the rate holds over
            all such rows together; there are more patterns of gaps than are treated one by one, or too few normal rows
            that hold what these rows hold. "other gaps": the rate does not hold, since the Calibration has no rows;
            calibrate again.
    """

    score: np.ndarray
    p_value: np.ndarray
    is_anomaly: np.ndarray
    contribution: np.ndarray
    compared_with: np.ndarray


def score(key: Array, model: Model | Adversary, variables: Variables, x: RowsLike) -> np.ndarray:
    """The anomaly score of each row, in the units of the model: see its factory.

    Args:
        key: PRNG key, for models whose score is drawn.
        model: a fitted Model or Adversary.
        variables: its variables.
        x: (n, *event), NaN where missing, or a Batch.

    Returns:
        (n,), higher is more anomalous; NaN for a row of which nothing is observed.

    Raises:
        ValueError: rows that do not fit the model.

    Example:
        >>> import jax
        >>> from aejax.models import autoencoder
        >>> model = autoencoder((5,), 2, hidden_dims=(8,))
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 5))))
        >>> score(jax.random.key(1), model, variables, np.ones((3, 5))).shape
        (3,)
    """
    return over_rows(score_batch, model, (key, variables), x)


def calibrate(key: Array, model: Model | Adversary, variables: Variables, x: RowsLike) -> Calibration:
    """Scores normal rows that the model was not trained on.

    The source texts take the threshold from the training rows, whose errors are smaller than those of new rows: the
    alarm rate is then above the one asked for. Rows held out have no such bias.

    Args:
        key: PRNG key, for models whose score is drawn.
        model: a fitted Model or Adversary.
        variables: its variables.
        x: (m, *event) normal rows, used neither to train nor to stop training, or a Batch.

    Returns:
        The Calibration. Rows without any observed value are left out.

    Raises:
        ValueError: rows that do not fit the model, or none with an observed value.
    """
    score, residual, observed_elements = over_rows(_score_and_residual, model, (key, variables), x)
    seen = ~np.isnan(score)
    if not seen.any():
        raise ValueError("x: found no calibration row with an observed value, expected at least one")
    return Calibration(score[seen], _residual_scale(residual, observed_elements), kept(x))


def detect(
    key: Array,
    model: Model | Adversary,
    variables: Variables,
    x: RowsLike,
    calibration: Calibration,
    false_alarm_rate: float = 0.01,
) -> Detection:
    """Scores rows, compares them with normal ones and says which elements stand out.

    Args:
        key: PRNG key, for models whose score is drawn.
        model: a fitted Model or Adversary.
        variables: its variables.
        x: (n, *event), NaN where missing, or a Batch.
        calibration: from ``calibrate``.
        false_alarm_rate: the share of normal rows that may be flagged, in (0, 1).

    Returns:
        The Detection.

    Raises:
        ValueError: rows that do not fit the model, or a rate out of range.
    """
    measured = over_rows(_score_and_residual, model, (key, variables), x)
    patterns = count_patterns(measured[2], calibration.rows)
    return _verdict(measured, refer(key, model, variables, patterns, calibration, false_alarm_rate), 0)


class GapGroup(NamedTuple):
    """What some of the rows with gaps are compared with.

    Attributes:
        score: (k,) of normal rows of which what the rows miss is hidden.
        residual_scale: (*event), as in the Calibration.
        gaps: what these normal rows are, as in ``Detection.compared_with``.
    """

    score: np.ndarray
    residual_scale: np.ndarray
    gaps: str


class References(NamedTuple):
    """What rows are compared with, all those of a table or of a file.

    Attributes:
        calibration: the Calibration.
        false_alarm_rate: the share of normal rows that may be flagged.
        groups: what rows of which normal rows are the same are compared with, group by group.
        which: (m,) int16, the group of each row that has one, see ``gap_counts.is_compared``.
    """

    calibration: Calibration
    false_alarm_rate: float
    groups: tuple[GapGroup, ...]
    which: np.ndarray

    @property
    def num_similar(self) -> int:
        """How many rows are compared with normal rows of similar gaps."""
        return sum(int((self.which == i).sum()) for i, group in enumerate(self.groups) if group.gaps == SIMILAR_GAPS)


def refer(
    key: Array,
    model: Model | Adversary,
    variables: Variables,
    patterns: Patterns,
    calibration: Calibration,
    false_alarm_rate: float = 0.01,
) -> References:
    """What rows are compared with: it follows from the patterns of gaps of all of them.

    Args:
        key: as in ``detect``.
        model: as in ``detect``.
        variables: as in ``detect``.
        patterns: of all rows, from ``gap_counts``.
        calibration: from ``calibrate``.
        false_alarm_rate: as in ``detect``.

    Returns:
        The References.

    Raises:
        ValueError: a rate out of range.
    """
    check_rate(false_alarm_rate)
    groups: list[GapGroup] = []
    which = np.zeros(len(patterns.which), np.int16)
    if len(which) and calibration.rows is not None:
        for rows, normal, gaps in by_pattern(patterns.patterns, patterns.which, calibration.rows, false_alarm_rate):
            score, residual, seen = over_rows(_score_and_residual, model, (key, variables), normal)
            which[rows] = len(groups)
            groups.append(GapGroup(score, _residual_scale(residual, seen), gaps))
    return References(calibration, false_alarm_rate, tuple(groups), which)


def detect_block(
    key: Array, model: Model | Adversary, variables: Variables, x: RowsLike, references: References, begin: int
) -> Detection:
    """What ``detect`` finds in some of many rows, to the bit if a block begins where ``over_rows`` begins one.

    Args:
        key: as in ``detect``.
        model: as in ``detect``.
        variables: as in ``detect``.
        x: some rows, as in ``detect``.
        references: of all rows.
        begin: how many of the rows before have a group in ``references.which``.

    Returns:
        The Detection of these rows.

    Raises:
        ValueError: as in ``detect``.
    """
    return _verdict(over_rows(_score_and_residual, model, (key, variables), x), references, begin)


def _verdict(measured: tuple[np.ndarray, np.ndarray, np.ndarray], references: References, begin: int) -> Detection:
    """The Detection of rows by their scores, their residuals and what is observed of them."""
    score, residual, seen = measured
    calibration = references.calibration
    p_value = p_values(calibration.score, score)
    contribution = np.where(seen, np.square(residual / calibration.residual_scale), 0)
    compared_with = unless_known(seen, calibration.rows)
    compared = np.flatnonzero(is_compared(seen, calibration.rows))
    which = references.which[begin : begin + len(compared)]
    for number in np.unique(which).tolist():
        group, rows = references.groups[number], compared[which == number]
        p_value[rows] = p_values(group.score, score[rows])
        contribution[rows] = np.where(seen[rows], np.square(residual[rows] / group.residual_scale), 0)
        compared_with[rows] = group.gaps
    is_anomaly = is_rare(p_value, references.false_alarm_rate)
    return Detection(score, p_value, is_anomaly, contribution, compared_with)


def _residual_scale(residual: np.ndarray, seen: np.ndarray) -> np.ndarray:
    mean_square = np.sum(np.square(residual), axis=0, where=seen) / np.maximum(seen.sum(axis=0), 1)
    return np.maximum(np.sqrt(mean_square), _SMALLEST_RESIDUAL)


def score_batch(model: Model | Adversary, arguments: tuple[Array, Variables], batch: Batch) -> Array:
    """``score`` of one Batch, inside a program.

    Args:
        model: as in ``score``.
        arguments: key and variables.
        batch: the Batch.

    Returns:
        (n,).
    """
    key, variables = arguments
    if isinstance(model, Model) and model.encode is not None and model.decode is not None:
        batch = filled(model, variables, batch)
    return required(model.score, "score")(key, variables, batch)


def _score_and_residual(
    model: Model | Adversary, arguments: tuple[Array, Variables], batch: Batch
) -> tuple[Array, Array, Array]:
    key, variables = arguments
    mask = observed(batch)
    seen = jnp.ones(batch.x.shape, bool) if mask is None else jnp.broadcast_to(mask, batch.x.shape)
    if isinstance(model, Adversary):
        return model.score(key, variables, batch), jnp.zeros_like(batch.x), seen
    batch = filled(model, variables, batch)
    code = required(model.encode, "encode")(variables, batch.x, batch.cond).mean
    reconstruction = required(model.decode, "decode")(variables, code, batch.cond)
    return required(model.score, "score")(key, variables, batch), batch.x - reconstruction, seen
