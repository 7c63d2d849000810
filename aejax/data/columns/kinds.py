"""Kinds of columns: constants, categories, a few values, whole numbers, angles, numbers in bounds.

Most are recognised by their values. A kind is a value made of functions and a rule. A new one is written like those
below and put into ``KINDS``, before the more general ones.
"""

import sys
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from aejax.artefacts.rules import Rule, each, fields, number, optional
from aejax.base import ArrayLike
from aejax.data.columns import angles, categories, ranks
from aejax.data.columns.scalers import constant_columns

# Differences from a constant below this share of it are the rounding of float32, in which historians keep numbers.
_ROUNDING = 1e-6
# What is left where numbers of order one that are equal are subtracted.
_ROUNDING_OF_ZERO = 1e-15
_MOST_LEVELS = 10
_FEWEST_A_LEVEL = 10
_OFTEN = 0.005
# A column within so many standard deviations of zero that never passes it is bounded by zero.
_NEAR_ZERO = 6.0
CATEGORY = "category"
_ROUND_BOUNDS = (1.0, 100.0)
_EXPECTED_BEYOND = 5.0
_PILE = 0.01


class Column(NamedTuple):
    """What is known of a column.

    Attributes:
        kind: the name of one of ``KINDS``.
        facts: what that kind has noted, as JSON.
    """

    kind: str
    facts: dict[str, Any]


class Kind(NamedTuple):
    """A kind of columns.

    Attributes:
        name: in plain words.
        recognise: (n,) observed values of training rows -> its facts as JSON, or None where they are of another kind.
        keep: ((n,) values that a model has drawn, facts) -> the nearest ones that the column can have.
        describe: facts -> what to say beside a column's name.
        check: refuses facts, read from a file, that it would not have noted.
        width: facts -> how many numbers, its features, stand for a value before a model.
        encode: ((n,) values, NaN where missing, facts) -> (n, width) features; of NumPy or JAX.
        decode: ((n, width) features, facts) -> (n,) values; of NumPy or JAX.
        is_one_of: whether the features are ones and zeros, of which one is 1.
    """

    name: str
    recognise: Callable[[np.ndarray], dict[str, Any] | None]
    keep: Callable[[np.ndarray, dict[str, Any]], np.ndarray]
    describe: Callable[[dict[str, Any]], str]
    check: Rule
    width: Callable[[dict[str, Any]], int] = lambda facts: 1  # noqa: ARG005
    encode: Callable[[Any, dict[str, Any]], Any] = lambda values, facts: values[:, None]  # noqa: ARG005
    decode: Callable[[Any, dict[str, Any]], Any] = lambda features, facts: features[:, 0]  # noqa: ARG005
    is_one_of: bool = False


def recognise(x: ArrayLike) -> tuple[Column, ...]:
    """The kind of each column.

    Args:
        x: (n, c) training rows, NaN where missing; each column has a value.

    Returns:
        c Columns.

    Example:
        >>> x = np.column_stack([np.arange(100) % 2, np.linspace(-1, 1, 100)])
        >>> [column.kind for column in recognise(x)]
        ['few values', 'number']
    """
    return tuple(column_of(column[~np.isnan(column)]) for column in np.asarray(x, float).T)


def column_of(values: np.ndarray, told: str | None = None) -> Column:
    """What is known of one column.

    Args:
        values: (n,) observed values of training rows, at least one.
        told: its kind; found by the values if None.

    Returns:
        The Column.

    Raises:
        ValueError: values that are not of the kind that was told.

    Example:
        >>> values = np.repeat([0.0, 1.0], 50)
        >>> column_of(values).kind, column_of(values, "whole number").kind
        ('few values', 'whole number')
    """
    for kind in KINDS.values() if told is None else [KINDS[told]]:
        facts = kind.recognise(values)
        if facts is not None:
            return Column(kind.name, facts)
    assert told is not None  # the last kind takes every column
    raise ValueError(f"found values that are not of the kind {told!r}, expected such; leave the kind to be found")


def ranked(column: Column, values: np.ndarray) -> Column:
    """A column of numbers given by its levels where it has few, and by ranks where it has many.

    Args:
        column: from ``recognise``; any but numbers is given as it is.
        values: (n,) observed values of training rows.

    Returns:
        The Column.

    Example:
        >>> values = np.repeat([0.0, 0.0, 40.0, 7298.0], 25)
        >>> ranked(Column("number", {}), values)
        Column(kind='levels', facts={'values': [0.0, 40.0, 7298.0]})
    """
    if column.kind not in ("number", "whole number", "few values"):
        return column
    levels = ranks.levels_of(values)
    return Column("ranks", ranks.knots_of(values)) if levels is None else Column("levels", levels)


def keep(columns: Sequence[Column], x: ArrayLike) -> np.ndarray:
    """Drawn values as the columns can have them: whole, within bounds, one of the few values.

    Args:
        columns: from ``recognise``.
        x: (n, c) in the units of the columns.

    Returns:
        (n, c).

    Example:
        >>> x = np.column_stack([np.arange(100) % 2, np.linspace(-1, 1, 100)])
        >>> keep(recognise(x), [[0.7, 0.25]])
        array([[1.  , 0.25]])
    """
    rows = np.asarray(x, float)
    kept = [KINDS[column.kind].keep(rows[:, i], column.facts) for i, column in enumerate(columns)]
    return np.column_stack(kept) if kept else rows


def describe(columns: Sequence[Column], names: Sequence[str]) -> str:
    """One line that names the columns which are more than numbers; empty where there are none.

    Args:
        columns: from ``recognise``.
        names: their names.

    Returns:
        The line.

    Example:
        >>> describe([Column("few values", {"values": [0, 1]}), Column("number", {})], ["pump", "flow"])
        'few values: pump (0, 1)'
    """
    said = []
    for kind in KINDS.values():
        of_kind = [
            f"{name} ({text})"
            for name, column in zip(names, columns, strict=True)
            if column.kind == kind.name and (text := kind.describe(column.facts))
        ]
        said += [f"{kind.name}: {', '.join(of_kind)}"] if of_kind else []
    return "; ".join(said)


def constants(columns: Sequence[Column]) -> np.ndarray:
    """(c,) what a constant column always is, NaN for the others.

    Example:
        >>> constants([Column("constant", {"value": 60.0}), Column("number", {})])
        array([60., nan])
    """
    return np.array([column.facts["value"] if column.kind == "constant" else np.nan for column in columns], float)


def has_changed(constant: ArrayLike, x: ArrayLike) -> np.ndarray:
    """Which values of constant columns are others, apart from rounding.

    Args:
        constant: (c,) from ``constants``.
        x: (n, c), NaN where missing.

    Returns:
        (n, c) bool; False where a value is missing, or the column is no constant one.

    Example:
        >>> has_changed([3e6, 1e-4, np.nan], [[2999999.7, 2e-4, 5.0]])
        array([[False,  True, False]])
    """
    constant, x = np.asarray(constant, float), np.asarray(x, float)
    return np.abs(x - constant) > rounding_of(constant)


def rounding_of(constant: np.ndarray) -> np.ndarray:
    """How far from a constant a value is still that constant.

    Args:
        constant: (c,) from ``constants``.

    Returns:
        (c,), NaN for a column that is no constant one.

    Example:
        >>> rounding_of(np.array([60.0, 0.0, np.nan]))
        array([6.e-05, 1.e-15,    nan])
    """
    return np.where(constant == 0, _ROUNDING_OF_ZERO, _ROUNDING * np.abs(constant))


def is_angle(values: ArrayLike) -> bool:
    """Whether the values of a column are angles, which begin again after a whole turn.

    Args:
        values: (n,) that are observed, at least one.

    Returns:
        Whether they are.

    Example:
        >>> is_angle((350 + 40 * np.sin(np.arange(500))) % 360), is_angle(np.linspace(0, 300, 500))
        (True, False)
    """
    return column_of(np.asarray(values, float)).kind == "angle"


def is_flag(values: ArrayLike) -> np.ndarray:
    """Which values are those of a flag or a label: 0, 1 or -1.

    Example:
        >>> is_flag([0.0, 1.0, 0.3])
        array([ True,  True, False])
    """
    return np.isin(np.asarray(values, float), (-1.0, 0.0, 1.0))


def _constant(values: np.ndarray) -> dict[str, Any] | None:
    return {"value": float(np.median(values))} if constant_columns(values[:, None])[0] else None


def _set(values: np.ndarray, facts: dict[str, Any]) -> np.ndarray:
    return np.full(len(values), facts["value"])


def _few_values(values: np.ndarray) -> dict[str, Any] | None:
    levels, counts = np.unique(values, return_counts=True)
    if not 2 <= len(levels) <= _MOST_LEVELS or len(values) < _FEWEST_A_LEVEL * len(levels):
        return None
    # More than two are levels where each comes often and they are no run of whole numbers, which are counts.
    is_run = _is_whole(levels) and (np.diff(levels) == 1).all()
    if len(levels) > 2 and (is_run or counts.min() < _OFTEN * len(values)):
        return None
    return {"values": levels.tolist(), "cuts": _cuts(values, levels, counts)}


def _cuts(values: np.ndarray, levels: np.ndarray, counts: np.ndarray) -> list[float]:
    """Where to cut draws that are nearly normal, so that each level comes as often as in the rows.

    A cut stays in the middle half between two levels, so that draws which are near a level become that level.
    """
    below = np.cumsum(counts)[:-1] / len(values)
    quantiles = [NormalDist(float(values.mean()), float(values.std())).inv_cdf(share) for share in below]
    gaps = np.diff(levels)
    return np.clip(quantiles, levels[:-1] + gaps / 4, levels[1:] - gaps / 4).tolist()


def _to_levels(values: np.ndarray, facts: dict[str, Any]) -> np.ndarray:
    return np.asarray(facts["values"], float)[np.searchsorted(facts["cuts"], values)]


def _whole(values: np.ndarray) -> dict[str, Any] | None:
    return _bounds(values) if _is_whole(values) else None


def _to_whole(values: np.ndarray, facts: dict[str, Any]) -> np.ndarray:
    return _within(np.rint(values), facts)


def _bounds(values: np.ndarray) -> dict[str, Any]:
    """The bounds that the values keep, though they come near."""
    lower = _bound(values)
    upper = _bound(-values)
    return {"lower": lower, "upper": None if upper is None else 0.0 - upper}


def _bound(values: np.ndarray) -> float | None:
    """The lower one."""
    least, centre, spread = values.min(), values.mean(), values.std()
    ends = np.unique(values)[:2]
    pile = [(values == end).sum() for end in ends]
    if pile[0] >= max(_FEWEST_A_LEVEL, _PILE * len(values)) and pile[0] >= 3 * pile[-1]:
        return float(least)
    if least >= 0 and centre < _NEAR_ZERO * spread:
        return 0.0
    for bound in (-bound for bound in _ROUND_BOUNDS):
        expected = len(values) * NormalDist(float(centre), float(spread) or 1.0).cdf(bound)
        if least >= bound and expected >= _EXPECTED_BEYOND:
            return bound
    return None


def _within(values: np.ndarray, facts: dict[str, Any]) -> np.ndarray:
    return np.clip(values, facts.get("lower"), facts.get("upper"))


def _say_bounds(facts: dict[str, Any]) -> str:
    lower, upper = facts.get("lower"), facts.get("upper")
    if lower is None:
        return "" if upper is None else f"at most {upper:g}"
    return f"at least {lower:g}" if upper is None else f"{lower:g} to {upper:g}"


def _is_whole(values: np.ndarray) -> bool:
    return bool((values % 1 == 0).all())


_NUMBER = number(-sys.float_info.max, sys.float_info.max)
_POSITIVE = number(sys.float_info.min, sys.float_info.max)
_BOUNDS = fields({"*": optional(_NUMBER)})
_LEVELS = fields({"values": each(_NUMBER, 2), "cuts": each(_NUMBER, 1)})


def _check_levels(name: str, facts: dict[str, Any]) -> None:
    _LEVELS(name, facts)
    levels, cuts = facts["values"], facts["cuts"]
    between = zip(levels, cuts, levels[1:], strict=False)
    if len(cuts) != len(levels) - 1 or not all(low < cut < high for low, cut, high in between):
        raise ValueError(f"{name}: found {facts}, expected rising values and a cut between each two")


_ALL = (
    Kind("constant", _constant, _set, lambda facts: f"always {facts['value']:g}", fields({"value": _NUMBER})),
    Kind(
        CATEGORY,
        lambda values: None,  # noqa: ARG005 (it is told by its texts, or by the user)
        lambda values, facts: values,  # noqa: ARG005
        categories.describe,
        categories.check,
        categories.width,
        categories.encode,
        categories.decode,
        is_one_of=True,
    ),
    Kind(
        "levels",
        lambda values: None,  # noqa: ARG005 (for numbers that are to be generated; see ``ranked``)
        lambda values, facts: values,  # noqa: ARG005
        lambda facts: f"{len(facts['values'])} values from {facts['values'][0]:g} to {facts['values'][-1]:g}",
        ranks.check_levels,
        lambda facts: len(facts["values"]),
        ranks.encode_levels,
        ranks.decode_levels,
        is_one_of=True,
    ),
    Kind(
        "ranks",
        lambda values: None,  # noqa: ARG005
        ranks.keep_ranks,
        lambda facts: f"{facts['values'][0]:g} to {facts['values'][-1]:g}",
        ranks.check_knots,
        lambda facts: 1,  # noqa: ARG005
        ranks.encode_ranks,
        ranks.decode_ranks,
    ),
    Kind(
        "few values",
        _few_values,
        _to_levels,
        lambda facts: ", ".join(f"{value:g}" for value in facts["values"]),
        _check_levels,
    ),
    Kind(
        "angle",
        angles.facts_of,
        angles.keep,
        angles.describe,
        angles.check,
        lambda facts: 2,  # noqa: ARG005
        angles.encode,
        angles.decode,
    ),
    Kind("whole number", _whole, _to_whole, lambda facts: _say_bounds(facts) or "without bounds", _BOUNDS),
    Kind("number", _bounds, _within, _say_bounds, _BOUNDS),
)
# By name, the more general ones last.
KINDS = {kind.name: kind for kind in _ALL}
# A column of which nothing is known but that it holds numbers.
PLAIN = Column("number", {})
