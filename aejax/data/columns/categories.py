"""Columns of categories, such as a grade or a shift: texts as numbers of levels, and levels as ones and zeros."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from aejax.artefacts.rules import FLAG, TEXT, each, fields, number
from aejax.data.columns.scalers import Values

MOST_LEVELS = 1000
UNSEEN = -1.0
_MOST_SHOWN = 6


def facts_of(values: np.ndarray, levels: Sequence[str]) -> dict[str, Any]:
    """What is noted of a column of categories.

    Args:
        values: (n,) numbers of levels, NaN where missing.
        levels: their texts.

    Returns:
        The levels; ``has_missing``, whether a missing cell is a category of its own; and ``rare``, the share of rows
        that are the only one of their level, which is about the share of new rows whose level is new (Good 1953).

    Example:
        >>> facts_of(np.array([0, 0, 1, np.nan]), ("A", "B"))
        {'levels': ['A', 'B'], 'has_missing': True, 'rare': 0.25}
    """
    counts = np.bincount(values[~np.isnan(values)].astype(int), minlength=len(levels))
    rare = float((counts == 1).sum() / len(values))
    return {"levels": list(levels), "has_missing": bool(np.isnan(values).any()), "rare": rare}


def width(facts: dict[str, Any]) -> int:
    """How many numbers stand for a value."""
    return len(facts["levels"]) + facts["has_missing"]


def encode(values: Values, facts: dict[str, Any]) -> Values:
    """Ones where the level is, zeros elsewhere; NaN throughout where nothing is known.

    Args:
        values: (n,) NumPy or JAX, numbers of levels, NaN where missing, ``UNSEEN`` for another level.
        facts: of the column.

    Returns:
        (n, width).

    Example:
        >>> encode(np.array([1.0, np.nan, UNSEEN]), {"levels": ["A", "B"], "has_missing": False, "rare": 0.0})
        array([[ 0.,  1.],
               [nan, nan],
               [nan, nan]])
    """
    xp = values.__array_namespace__()
    numbers = xp.where(xp.isnan(values), len(facts["levels"]), values)
    is_known = (numbers >= 0) & (numbers < width(facts))
    features: Values = xp.where(is_known[:, None], numbers[:, None] == xp.arange(width(facts)), np.nan)
    return features


def decode(features: Values, facts: dict[str, Any]) -> Values:
    """The level that is most likely, NaN for the missing one and where nothing is known.

    Args:
        features: (n, width), NumPy or JAX.
        facts: of the column.

    Returns:
        (n,) numbers of levels.

    Example:
        >>> decode(np.array([[0.2, 0.5, 0.3], [0.1, 0.2, 0.7]]), {"levels": ["A", "B"], "has_missing": True, "rare": 0})
        array([ 1., nan])
    """
    xp = features.__array_namespace__()
    numbers = xp.argmax(features, axis=1).astype(features.dtype)
    is_known = (numbers < len(facts["levels"])) & ~xp.isnan(features).any(axis=1)
    values: Values = xp.where(is_known, numbers, np.nan)
    return values


def text_of(number: float) -> str:
    """A number as the text of a category.

    Example:
        >>> text_of(1.0), text_of(2.5)
        ('1', '2.5')
    """
    return f"{number:.15g}"


def numbers_of(texts: Sequence[str], values: np.ndarray, levels: Sequence[str]) -> np.ndarray:
    """Numbers of a table's own levels as those of other ones.

    Args:
        texts: the levels of the table.
        values: (n,) their numbers, NaN where missing, ``UNSEEN`` for another level.
        levels: whose numbers are wanted.

    Returns:
        (n,) numbers of the levels, ``UNSEEN`` where there is none.

    Example:
        >>> numbers_of(("B", "C"), np.array([0, 1, np.nan]), ("A", "B"))
        array([ 1., -1., nan])
    """
    known = {level: float(number) for number, level in enumerate(levels)}
    own = np.array([known.get(text, UNSEEN) for text in texts] or [np.nan])
    is_known = values >= 0
    return np.where(is_known, own[np.where(is_known, values, 0).astype(int)], values)


def texts_of(values: np.ndarray, levels: Sequence[str]) -> np.ndarray:
    """The texts of numbers of levels, "" where missing or unseen.

    Example:
        >>> texts_of(np.array([1, np.nan]), ("A", "B")).tolist()
        ['B', '']
    """
    is_known = ~np.isnan(values) & (values >= 0)
    return np.array([*levels, ""], object)[np.where(is_known, values, len(levels)).astype(int)].astype(str)


def describe(facts: dict[str, Any]) -> str:
    """The levels, the first few of many."""
    levels = facts["levels"]
    more = f" and {len(levels) - _MOST_SHOWN} more" if len(levels) > _MOST_SHOWN else ""
    return ", ".join(levels[:_MOST_SHOWN]) + more + (", or missing" if facts["has_missing"] else "")


_FACTS = fields({"levels": each(TEXT, 1), "has_missing": FLAG, "rare": number(0, 1)})


def check(name: str, facts: dict[str, Any]) -> None:
    """Refuses facts that ``facts_of`` would not have noted.

    Raises:
        ValueError: what is wrong.
    """
    _FACTS(name, facts)
    if len(set(facts["levels"])) != len(facts["levels"]):
        raise ValueError(f"{name}.levels: found one twice, expected each once")
