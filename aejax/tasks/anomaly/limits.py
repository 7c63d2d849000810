"""Limits on scores, from held-out scores of normal rows: one row at a time, or whole blocks of rows in time."""

import math
from typing import NamedTuple

import numpy as np

from aejax.base import ArrayLike

# That of 0.05 * 100, say.
ROUNDING_OF_RATES = 1e-12


class ObtainedRate(NamedTuple):
    """A false alarm rate as measured, beside the one asked for.

    Attributes:
        asked: the rate that the limits were set for.
        obtained: the share of held-out normal rows above the limits that the other blocks give.
        standard_error: of ``obtained``, from block to block.
    """

    asked: float
    obtained: float
    standard_error: float


def threshold(normal: ArrayLike, false_alarm_rate: float) -> float:
    """The score above which a row is an anomaly: the split conformal quantile.

    Args:
        normal: (m,) scores of normal rows that were not trained on; NaN, the score of a row without any observed
            value, is left out.
        false_alarm_rate: the share of normal rows that may be above.

    Returns:
        The threshold; infinite where there are fewer than 1 / rate - 1 scores: that is too few for so rare an event.

    Raises:
        ValueError: a rate outside (0, 1), or scores that are not (m,).

    Example:
        >>> threshold(np.arange(99.0), 0.05)
        94.0
    """
    check_rate(false_alarm_rate)
    scores = _ordered(normal)
    # p <= rate for the scores that fewer than rank normal rows reach; the small term is for 0.05 * 100 < 5.
    rank = math.floor(false_alarm_rate * (len(scores) + 1) + 1e-9)
    return float(scores[-rank]) if rank >= 1 else math.inf


def p_values(normal: ArrayLike, score: ArrayLike) -> np.ndarray:
    """Split conformal p-values (Vovk, Gammerman & Shafer 2005; Bates et al. 2023, eq. 2).

    p = (1 + #{normal scores >= score}) / (m + 1). If a row is exchangeable with the m normal rows, then
    P(p <= rate) <= rate, whatever the model. Rows in time are exchangeable only as far as the process is stationary.

    Args:
        normal: (m,) scores of normal rows that were not trained on; NaN is left out.
        score: (n,).

    Returns:
        (n,) in (0, 1]; NaN where the score is NaN.

    Raises:
        ValueError: normal scores that are not (m,).

    Example:
        >>> p_values(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.5, 9.0]))
        array([1.  , 0.5 , 0.25])
    """
    scores, score = _ordered(normal), np.asarray(score, np.float64)
    as_high = len(scores) - np.searchsorted(scores, score, side="left")
    return np.where(np.isnan(score), np.nan, (1 + as_high) / (len(scores) + 1))


def is_rare(p_value: ArrayLike, false_alarm_rate: float) -> np.ndarray:
    """Which rows are anomalies at a false alarm rate: those above ``threshold``.

    Args:
        p_value: (n,), from ``p_values``.
        false_alarm_rate: the share of normal rows that may be flagged.

    Returns:
        (n,) bool; False where the p-value is NaN.

    Raises:
        ValueError: a rate outside (0, 1).

    Example:
        >>> is_rare([0.01, 0.05, 0.06, np.nan], 0.05)
        array([ True,  True, False, False])
    """
    check_rate(false_alarm_rate)
    return np.nan_to_num(np.asarray(p_value, np.float64), nan=1.0) <= false_alarm_rate + ROUNDING_OF_RATES


def tail_threshold(normal: ArrayLike, num_stretches: float, false_alarm_rate: float) -> float:
    """A limit where rows hold few independent stretches: a prediction interval of the logarithm of the score.

    Logarithms of T² and SPE are nearly normal. Of as many independent ones as there are stretches the next one is above
    mean + t * deviation * sqrt(1 + 1 / stretches) at the rate, t being the quantile of Student's distribution: the
    fewer they are, the less mean and deviation are known, and the higher is the limit (Hahn 1969).

    Args:
        normal: (m,) scores of normal rows in time, on which no model was trained; those that are not positive are left
            out, and so is NaN.
        num_stretches: how many independent stretches they hold, see ``num_stretches``.
        false_alarm_rate: the share of normal rows that may be above, on average over such tables.

    Returns:
        The limit; infinite where there are no 2 stretches.

    Raises:
        ValueError: a rate outside (0, 1), or scores that are not (m,).

    Example:
        >>> scores = np.exp(np.random.default_rng(0).standard_normal(400))
        >>> [round(tail_threshold(scores, stretches, 0.01)) for stretches in (400, 10, 4)]
        [10, 21, 329]
    """
    from scipy import special

    check_rate(false_alarm_rate)
    scores = _ordered(normal)
    scores = np.log(scores[scores > 0])
    if num_stretches < 2 or not len(scores):
        return math.inf
    deviation = scores.std() * math.sqrt(num_stretches / (num_stretches - 1))
    quantile = float(special.stdtrit(num_stretches - 1, 1 - false_alarm_rate))
    return math.exp(scores.mean() + quantile * deviation * math.sqrt(1 + 1 / num_stretches))


def limit_on(
    score: ArrayLike, false_alarm_rate: float, limits: str = "rows", length: int = 1, num_stretches: float = math.inf
) -> float:
    """The limit on a score, in one of the three ways.

    Args:
        score: (m,) scores of normal rows in time.
        false_alarm_rate: the share of normal rows that may be above.
        limits: "rows" for ``threshold``; "blocks" for ``block_threshold``; "auto" for that of rows where there are
            1 / rate - 1 independent stretches, else for the higher one of that and ``tail_threshold``.
        length: rows a block.
        num_stretches: how many independent stretches the rows hold.

    Returns:
        The limit.

    Raises:
        ValueError: as these do.
    """
    if limits == "blocks":
        return block_threshold(np.asarray(score), length, false_alarm_rate)
    by_rows = threshold(score, false_alarm_rate)
    if limits == "rows" or is_many(num_stretches, false_alarm_rate):
        return by_rows
    return max(by_rows, tail_threshold(score, num_stretches, false_alarm_rate))


def is_many(num_stretches: float, false_alarm_rate: float) -> bool:
    """Whether independent stretches are enough for a rate, each taken as one row: 1 / rate - 1."""
    return false_alarm_rate * (num_stretches + 1) >= 1 - 1e-9


def block_threshold(score: np.ndarray, length: int, false_alarm_rate: float) -> float:
    """The smallest limit that is safe for a row of a new block, blocks being exchangeable.

    Split conformal with blocks in the place of rows (Dunn, Wasserman & Ramdas 2023, pooled CDFs, with one more block
    that is above any limit): the smallest t with (1 + sum over B blocks of the share above t) / (B + 1) <= rate. With
    blocks of one row it is ``threshold``; longer blocks are fewer, and the limit rises.

    Args:
        score: (m,) scores of normal rows in time.
        length: rows a block, see ``block_length``.
        false_alarm_rate: the share of normal rows that may be above, on average.

    Returns:
        The limit; infinite where there are fewer than 1 / rate - 1 blocks: that is too few for so rare an event.

    Raises:
        ValueError: a length below 1 or a rate outside (0, 1).

    Example:
        >>> block_threshold(np.arange(99.0), 1, 0.05), block_threshold(np.arange(99.0), 10, 0.05)
        (94.0, inf)
    """
    _check(length, false_alarm_rate)
    return _block_limit(_blocks(score, length), false_alarm_rate)


def num_blocks(score: np.ndarray, length: int) -> int:
    """How many blocks of rows in time have a score.

    Args:
        score: (m,), NaN where a row has none.
        length: rows a block.

    Returns:
        The number.

    Raises:
        ValueError: no row has a score.
    """
    return len(_blocks(score, length))


def _block_limit(blocks: list[np.ndarray], false_alarm_rate: float) -> float:
    allowed = false_alarm_rate * (len(blocks) + 1) - 1 + 1e-9
    if allowed < 0:
        return math.inf
    # Going down through all scores, each of them adds its part of a block to the share above.
    values = np.concatenate(blocks)
    weight = np.concatenate([np.full(len(block), 1 / len(block)) for block in blocks])
    order = np.argsort(-values, kind="stable")
    ordered, above = values[order], np.concatenate([[0.0], np.cumsum(weight[order])])
    first = np.searchsorted(-ordered, -ordered, side="left")  # ties: what is equal to the limit is not above it
    return float(ordered[np.flatnonzero(above[first] <= allowed)[-1]])


def obtained_rate(
    score: np.ndarray, length: int, false_alarm_rate: float, limits: str = "rows", num_stretches: float = math.inf
) -> ObtainedRate:
    """The false alarm rate that limits from normal rows really give on other normal rows.

    Each block in turn is judged by the limit that the others give, and the shares above are averaged.

    Args:
        score: (m,) scores of normal rows in time, on which no model was fitted.
        length: rows a block, see ``block_length``; more where there would be above 200 blocks.
        false_alarm_rate: the rate asked for.
        limits: as in ``limit_on``.
        num_stretches: as there, of all rows.

    Returns:
        The ObtainedRate.

    Raises:
        ValueError: a length below 1, a rate outside (0, 1), or fewer than 2 blocks.

    Example:
        >>> found = obtained_rate(np.random.default_rng(0).standard_normal(4000), 5, 0.05)
        >>> round(found.obtained, 2)
        0.05
    """
    _check(length, false_alarm_rate)
    blocks = _blocks(score, max(length, math.ceil(len(score) / 200)))
    if len(blocks) < 2:
        raise ValueError(f"score: found {len(blocks)} block of {length} rows, expected at least 2; give more rows")
    shares = []
    for index, block in enumerate(blocks):
        others = blocks[:index] + blocks[index + 1 :]
        if limits == "blocks":
            limit = _block_limit(others, false_alarm_rate)
        else:
            left = num_stretches * len(others) / len(blocks)
            limit = limit_on(np.concatenate(others), false_alarm_rate, limits, num_stretches=left)
        shares.append(np.mean(block > limit))
    obtained = float(np.average(shares, weights=[len(block) for block in blocks]))
    return ObtainedRate(false_alarm_rate, obtained, float(np.std(shares, ddof=1) / math.sqrt(len(shares))))


def _blocks(score: np.ndarray, length: int) -> list[np.ndarray]:
    """Blocks in time without the rows that have no score; the last may be shorter."""
    score = np.asarray(score, np.float64)
    blocks = [score[begin : begin + length] for begin in range(0, len(score), length)]
    blocks = [block[~np.isnan(block)] for block in blocks]
    blocks = [block for block in blocks if len(block)]
    if not blocks:
        raise ValueError("score: found no score, expected at least one normal row with an observed value")
    return blocks


def check_rate(false_alarm_rate: float) -> None:
    """Refuses a rate outside (0, 1)."""
    if not 0 < false_alarm_rate < 1:
        raise ValueError(f"false_alarm_rate: found {false_alarm_rate}, expected a number in (0, 1), such as 0.01")


def _ordered(normal: ArrayLike) -> np.ndarray:
    """The scores that are there, in rising order."""
    if isinstance(normal, tuple) and hasattr(normal, "_fields"):
        raise ValueError(f"normal: found a {type(normal).__name__}, expected (m,) scores; give its scores")
    scores = np.asarray(normal, np.float64)
    if scores.ndim != 1:
        raise ValueError(f"normal: found shape {scores.shape}, expected (m,) scores")
    return np.sort(scores[~np.isnan(scores)])


def _check(length: int, false_alarm_rate: float) -> None:
    if length < 1:
        raise ValueError(f"length: found {length}, expected a positive whole number of rows")
    check_rate(false_alarm_rate)
