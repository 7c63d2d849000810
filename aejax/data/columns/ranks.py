"""Numbers by their rank among training rows, for columns with heavy tails, several modes and values that pile up."""

import itertools
from statistics import NormalDist
from typing import Any

import numpy as np

from aejax.artefacts.rules import FLAG, each, fields, number
from aejax.data.columns.scalers import Values

# A column of at most so many values, each of which comes so often on average, is given by them.
MOST_LEVELS = 128
_FEWEST_A_LEVEL = 20
_NUM_KNOTS = 512
_LARGEST = 1.7e308


def levels_of(values: np.ndarray) -> dict[str, Any] | None:
    """The values of a column that has few of them, in order; None of any other.

    Args:
        values: (n,) that are observed.

    Example:
        >>> levels_of(np.repeat([0.0, 40.0], 50))
        {'values': [0.0, 40.0]}
    """
    levels = np.unique(values)
    if len(levels) > MOST_LEVELS or len(values) < _FEWEST_A_LEVEL * len(levels):
        return None
    return {"values": levels.tolist()}


def encode_levels(values: Values, facts: dict[str, Any]) -> Values:
    """Ones at the nearest level, zeros elsewhere; NaN where missing.

    Args:
        values: (n,), NumPy or JAX.
        facts: of the column.

    Returns:
        (n, number of levels).

    Example:
        >>> encode_levels(np.array([0.0, 41.0]), {"values": [0.0, 20.0, 40.0]})
        array([[1., 0., 0.],
               [0., 0., 1.]])
    """
    xp, levels = values.__array_namespace__(), np.asarray(facts["values"])
    nearest = (values[:, None] >= (levels[1:] + levels[:-1]) / 2).sum(axis=1)
    features: Values = xp.where(xp.isnan(values)[:, None], np.nan, nearest[:, None] == np.arange(len(levels)))
    return features


def decode_levels(features: Values, facts: dict[str, Any]) -> Values:
    """The level that is most likely; NaN where nothing is known.

    Args:
        features: (n, number of levels), NumPy or JAX.
        facts: of the column.

    Returns:
        (n,) in the units of the column.
    """
    xp = features.__array_namespace__()
    values = xp.asarray(facts["values"])[xp.argmax(features, axis=1)]
    found: Values = xp.where(xp.isnan(features).any(axis=1), np.nan, values)
    return found


def knots_of(values: np.ndarray) -> dict[str, Any]:
    """The distribution of a column as knots.

    Args:
        values: (n,) that are observed.

    Returns:
        ``values``, rising; ``score``, the standard normal quantiles of the middle of their ranks; ``low`` and ``high``,
        those of the first and the last rank of a value that piles up, else ``score`` again; and ``whole``, whether all
        values are whole numbers.

    Example:
        >>> facts = knots_of(np.repeat([0.0, 1.0, 2.0], [50, 1, 1]))
        >>> facts["values"], [round(facts[name][0], 2) for name in ("low", "score", "high")]
        ([0.0, 1.0, 2.0], [-2.59, -0.05, 1.77])
    """
    levels, counts = np.unique(values, return_counts=True)
    upto = np.cumsum(counts) / len(values)
    below = upto - counts / len(values)
    is_pile = counts > max(1, len(values) / _NUM_KNOTS)
    if len(levels) > _NUM_KNOTS:  # those at equal steps of rank, and all where values pile up
        steps = np.searchsorted(upto, np.linspace(0, 1, _NUM_KNOTS)).clip(0, len(levels) - 1)
        kept = np.union1d(np.flatnonzero(is_pile), np.union1d(steps, [0, len(levels) - 1]))
        levels, upto, below, is_pile = levels[kept], upto[kept], below[kept], is_pile[kept]
    middle, least = (below + upto) / 2, 1 / (4 * len(values))
    low, high = np.where(is_pile, below, middle), np.where(is_pile, upto, middle)
    ranks = {"score": middle, "low": low, "high": high}
    scores = {name: _scores(np.clip(shares, least, 1 - least)) for name, shares in ranks.items()}
    return {"values": levels.tolist(), **scores, "whole": bool((values % 1 == 0).all())}


def _scores(shares: np.ndarray) -> list[float]:
    normal = NormalDist()
    return [normal.inv_cdf(share) for share in shares.tolist()]


def encode_ranks(values: Values, facts: dict[str, Any]) -> Values:
    """The standard normal score of each value's rank; beyond the training rows that of the end.

    Args:
        values: (n,), NumPy or JAX, NaN where missing.
        facts: of the column.

    Returns:
        (n, 1).

    Example:
        >>> encode_ranks(np.array([49.5, 1e9]), knots_of(np.arange(100.0))).round(3)
        array([[0.   ],
               [2.576]])
    """
    return _between(values, facts["values"], facts["score"])[:, None]


def decode_ranks(features: Values, facts: dict[str, Any]) -> Values:
    """The value of a score.

    Args:
        features: (n, 1), NumPy or JAX.
        facts: of the column.

    Returns:
        (n,) in the units of the column, within the range of the training rows.

    Example:
        >>> decode_ranks(np.array([[0.0], [9.0]]), knots_of(np.arange(100.0)))
        array([49.5, 99. ])
    """
    ends = [score for both in zip(facts["low"], facts["high"], strict=True) for score in both]
    return _between(features[:, 0], ends, [value for value in facts["values"] for _ in range(2)])


def _between(x: Values, knots: list[float], heights: list[float]) -> Values:
    """Linear between knots, the end's height beyond; ``interp`` searches in a way that ONNX has not."""
    if len(knots) == 1:
        return x * 0 + heights[0]
    xp, known, height = x.__array_namespace__(), np.asarray(knots), np.asarray(heights)
    steps, rise = np.diff(known), np.diff(height)
    slope = np.where(steps > 0, rise / np.where(steps > 0, steps, 1), 0)
    left = (x[:, None] >= known[1:-1]).sum(axis=1)
    begin, end, slope, height = (xp.asarray(array)[left] for array in (known[:-1], known[1:], slope, height[:-1]))
    found: Values = height + slope * (xp.clip(x, begin, end) - begin)
    return found


def keep_ranks(values: np.ndarray, facts: dict[str, Any]) -> np.ndarray:
    """Whole numbers where all training rows had such."""
    return np.rint(values) if facts["whole"] else values


_NUMBER = number(-_LARGEST, _LARGEST)
_LEVELS = fields({"values": each(_NUMBER, 1)})
_KNOTS = fields({**dict.fromkeys(("values", "score", "low", "high"), each(_NUMBER, 1)), "whole": FLAG})


def check_levels(name: str, facts: dict[str, Any]) -> None:
    """Refuses facts that ``levels_of`` would not have noted.

    Raises:
        ValueError: what is wrong.
    """
    _LEVELS(name, facts)
    _check_rising(f"{name}.values", facts["values"])


def check_knots(name: str, facts: dict[str, Any]) -> None:
    """Refuses facts that ``knots_of`` would not have noted.

    Raises:
        ValueError: what is wrong.
    """
    _KNOTS(name, facts)
    for part in ("values", "score"):
        _check_rising(f"{name}.{part}", facts[part])
    for part in ("score", "low", "high"):
        if len(facts[part]) != len(facts["values"]):
            raise ValueError(f"{name}.{part}: found {len(facts[part])}, expected {len(facts['values'])}, one a value")
    for low, score, high in zip(facts["low"], facts["score"], facts["high"], strict=True):
        if not low <= score <= high:
            raise ValueError(f"{name}: found the scores {low}, {score} and {high} of a value, expected them to rise")


def _check_rising(name: str, numbers: list[float]) -> None:
    if any(not low < high for low, high in itertools.pairwise(numbers)):
        raise ValueError(f"{name}: found {str(numbers)[:80]}, expected rising numbers")
