"""Columns of angles, which begin again after a whole turn: their sine and cosine before a model."""

import math
import shlex
import sys
from typing import Any

import numpy as np

from aejax.artefacts.rules import FLAG, fields, number
from aejax.data.columns.scalers import Values

# The least share of the values in the first twentieth of a circle, and in the last. Numbers around zero that happen to
# stay within half a turn have fewer there.
_NEAR_ENDS = 0.01
_CIRCLES = ((0.0, 360.0), (-180.0, 360.0), (0.0, 2 * math.pi), (-math.pi, 2 * math.pi))


def facts_of(values: np.ndarray) -> dict[str, Any] | None:
    """The circle that values fill: they lie near both of its ends often and about as often, and never beyond.

    Args:
        values: (n,) that are observed.

    Returns:
        ``low``, ``period`` and ``whole``, whether all are whole numbers; None of values that are no angles.

    Example:
        >>> facts_of(np.arange(360.0))
        {'low': 0.0, 'period': 360.0, 'whole': True}
    """
    for low, period in _CIRCLES:
        share = (values - low) / period
        near_ends = [(share < 0.05).mean(), (share > 0.95).mean()]
        is_within = share.min() >= 0 and share.max() <= 1 + 1e-9
        is_round = min(near_ends) >= _NEAR_ENDS and max(near_ends) < 4 * min(near_ends)
        if is_within and share.min() < 0.03 and share.max() > 0.97 and is_round:
            return {"low": low, "period": period, "whole": bool((values % 1 == 0).all())}
    return None


def keep(values: np.ndarray, facts: dict[str, Any]) -> np.ndarray:
    """Values on the circle, whole where all training rows had such.

    Example:
        >>> keep(np.array([370.2]), {"low": 0.0, "period": 360.0, "whole": True})
        array([10.])
    """
    rounded = np.rint(values) if facts["whole"] else values
    return facts["low"] + (rounded - facts["low"]) % facts["period"]


def encode(values: Values, facts: dict[str, Any]) -> Values:
    """Sine and cosine.

    Args:
        values: (n,), NumPy or JAX, NaN where missing.
        facts: of the column.

    Returns:
        (n, 2).
    """
    xp = values.__array_namespace__()
    turn = 2 * math.pi * (values - facts["low"]) / facts["period"]
    features: Values = xp.stack([xp.sin(turn), xp.cos(turn)], axis=-1)
    return features


def decode(features: Values, facts: dict[str, Any]) -> Values:
    """The angle whose sine and cosine lie in the direction of two numbers.

    Args:
        features: (n, 2), NumPy or JAX.
        facts: of the column.

    Returns:
        (n,), from ``low`` on and below ``low + period``.
    """
    xp = features.__array_namespace__()
    share = xp.arctan2(features[:, 0], features[:, 1]) / (2 * math.pi)
    values: Values = facts["low"] + facts["period"] * (share - xp.floor(share))  # ONNX has no % of any number of rows
    return values


def describe(facts: dict[str, Any]) -> str:
    """The two ends of the circle."""
    return f"{facts['low']:g} to {facts['low'] + facts['period']:g}, a circle"


def of_angle(name: str) -> str:
    """What to know of a column of angles, a sentence.

    Example:
        >>> of_angle("wind")
        "column 'wind' is taken for an angle: a model is given its sine and its cosine; if it is none, say --kinds ..."
    """
    return (
        f"column {name!r} is taken for an angle: a model is given its sine and its cosine; if it is none, say "
        f"--kinds {shlex.quote(name + '=number')}"
    )


check = fields(
    {
        "low": number(-sys.float_info.max, sys.float_info.max),
        "period": number(sys.float_info.min, sys.float_info.max),
        "whole": FLAG,
    }
)
