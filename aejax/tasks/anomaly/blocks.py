"""Limits where neighbouring rows resemble each other: whole blocks are exchangeable, not single rows."""

import math
from typing import NamedTuple

import numpy as np

from aejax.tasks.anomaly.conformal import check_rate


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


def block_length(score: np.ndarray) -> int:
    """The length of blocks that are nearly independent: twice the integrated autocorrelation time.

    The time is 1 + 2 * sum of the autocorrelations up to the first below 0.05, as in the analysis of Markov chains
    (Geyer 1992, initial positive sequence).

    Args:
        score: (n,) scores of rows in time.

    Returns:
        At least 1 and at most n / 5, so that there are some blocks.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal(1000)
        >>> block_length(rows), block_length(np.repeat(rows, 10)) > 15
        (2, True)
    """
    values = np.asarray(score, np.float64)
    values = values[np.isfinite(values)]
    deviation = values - values.mean() if len(values) else values
    power = float(deviation @ deviation)
    longest = max(len(values) // 5, 1)
    if power == 0:
        return 1
    time = 1.0
    for lag in range(1, longest):
        correlation = float(deviation[lag:] @ deviation[:-lag]) / power
        if correlation < 0.05:
            break
        time += 2 * correlation
    return min(math.ceil(2 * time), longest)


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
        The limit; infinite where there are fewer than 1 / rate - 1 blocks: so few cannot tell what is that rare.

    Raises:
        ValueError: a length below 1 or a rate outside (0, 1).

    Example:
        >>> block_threshold(np.arange(99.0), 1, 0.05), block_threshold(np.arange(99.0), 10, 0.05)
        (94.0, inf)
    """
    _check(length, false_alarm_rate)
    blocks = _blocks(score, length)
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


def obtained_rate(score: np.ndarray, length: int, false_alarm_rate: float) -> ObtainedRate:
    """The false alarm rate that limits from normal rows really give on other normal rows.

    Each block in turn is judged by the quantile of the others, and the shares above are averaged.

    Args:
        score: (m,) scores of normal rows in time, on which no model was fitted.
        length: rows a block, see ``block_length``; more where there would be above 200 blocks.
        false_alarm_rate: the rate asked for.

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
        others = np.sort(np.concatenate(blocks[:index] + blocks[index + 1 :]))
        rank = math.floor(false_alarm_rate * (len(others) + 1) + 1e-9)
        limit = others[-rank] if rank >= 1 else math.inf
        shares.append(np.mean(block > limit))
    obtained = float(np.average(shares, weights=[len(block) for block in blocks]))
    return ObtainedRate(false_alarm_rate, obtained, float(np.std(shares, ddof=1) / math.sqrt(len(shares))))


def _blocks(score: np.ndarray, length: int) -> list[np.ndarray]:
    """Blocks in time without the rows that have no score; the last may be shorter."""
    score = np.asarray(score, np.float64)
    blocks = [score[begin : begin + length] for begin in range(0, len(score), length)]
    blocks = [block[np.isfinite(block)] for block in blocks]
    blocks = [block for block in blocks if len(block)]
    if not blocks:
        raise ValueError("score: found no finite score, expected at least one normal row with an observed value")
    return blocks


def _check(length: int, false_alarm_rate: float) -> None:
    if length < 1:
        raise ValueError(f"length: found {length}, expected a positive whole number of rows")
    check_rate(false_alarm_rate)
