"""What the numbers and settings of an artefact may be: each kind says it beside its codec, and loading checks it."""

import fnmatch
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

# (name, value); raises ValueError.
Rule: TypeAlias = Callable[[str, Any], None]

_SMALLEST = math.ulp(0.0)


def numbers(
    low: float = -math.inf, high: float = math.inf, *, nan: bool = False, infinite: bool = False, least: int = 0
) -> Rule:
    """The numbers that an array may hold.

    Args:
        low: the lowest.
        high: the highest.
        nan: whether some may be missing.
        infinite: whether some may be infinite.
        least: how many there are at least, without the missing ones.

    Returns:
        The Rule.

    Example:
        >>> numbers(low=0)("residual_scale", np.array([[1.0, -2.0]]))
        Traceback (most recent call last):
        ValueError: residual_scale: found -2.0 at [0, 1], expected numbers of at least 0
    """

    def check(name: str, value: Any) -> None:
        array = np.asarray(value)
        if array.dtype.kind in "cOSU":
            raise ValueError(f"{name}: found {array.dtype}, expected {_in_words(low, high)}")
        if array.dtype.kind not in "biuf":
            array = array.astype(np.float32)  # bfloat16 and its like, which NumPy cannot compare
        is_missing = np.isnan(array)
        is_wrong = (array < low) | (array > high) | (np.isinf(array) & (not infinite)) | (is_missing & (not nan))
        if is_wrong.any():
            place = tuple(map(int, np.argwhere(is_wrong)[0]))
            raise ValueError(f"{name}: found {array[place]} at {list(place)}, expected {_in_words(low, high)}")
        count = array.size - int(is_missing.sum())
        if count < least:
            raise ValueError(f"{name}: found {count} numbers, expected at least {least}")

    return check


def _in_words(low: float, high: float) -> str:
    if low == _SMALLEST:
        return "positive numbers"
    bounds = [f"of at least {low:g}"] * (low > -math.inf) + [f"of at most {high:g}"] * (high < math.inf)
    return f"numbers {' and '.join(bounds)}" if bounds else "finite numbers"


FINITE = numbers()
POSITIVE = numbers(low=_SMALLEST)
POSITIVE_OR_INFINITE = numbers(low=_SMALLEST, infinite=True)
NOT_NEGATIVE = numbers(low=0.0)
ANY = numbers(nan=True, infinite=True)


def whole(low: int, high: int) -> Rule:
    """A whole number between two bounds.

    Args:
        low: the lowest.
        high: the highest.

    Returns:
        The Rule.

    Example:
        >>> whole(1, 9)("num_lags", 10)
        Traceback (most recent call last):
        ValueError: num_lags: found 10, expected a whole number from 1 to 9
    """

    def check(name: str, value: Any) -> None:
        if type(value) is not int or not low <= value <= high:
            raise _refused(name, value, f"a whole number from {low} to {high}")

    return check


def number(low: float, high: float) -> Rule:
    """A number between two bounds, which belong to it.

    Args:
        low: the lowest.
        high: the highest.

    Returns:
        The Rule.
    """

    def check(name: str, value: Any) -> None:
        if type(value) not in (int, float) or not low <= value <= high:
            raise _refused(name, value, f"a number from {low:g} to {high:g}")

    return check


def of_type(kind: type, expected: str) -> Rule:
    """A value of a type of JSON.

    Args:
        kind: the type.
        expected: the same in words.

    Returns:
        The Rule.
    """

    def check(name: str, value: Any) -> None:
        if type(value) is not kind:
            raise _refused(name, value, expected)

    return check


TEXT = of_type(str, "text")
FLAG = of_type(bool, "true or false")


def optional(rule: Rule) -> Rule:
    """None, or what a rule allows.

    Args:
        rule: the Rule.

    Returns:
        The Rule.
    """
    return lambda name, value: None if value is None else rule(name, value)


def each(rule: Rule, least: int = 0, most: int | None = None) -> Rule:
    """A list of what a rule allows.

    Args:
        rule: of an element.
        least: the fewest elements.
        most: the most; any number if None.

    Returns:
        The Rule.
    """

    def check(name: str, value: Any) -> None:
        if type(value) is not list or len(value) < least or (most is not None and len(value) > most):
            raise _refused(name, value, f"a list of {least}{'' if most == least else ' or more'} elements")
        for index, element in enumerate(value):
            rule(f"{name}[{index}]", element)

    return check


def fields(rules: Mapping[str, Rule]) -> Rule:
    """An object with a rule for each of its fields.

    Args:
        rules: by name; ``*`` for any other name.

    Returns:
        The Rule.
    """

    def check(name: str, value: Any) -> None:
        if type(value) is not dict:
            raise _refused(name, value, "an object of fields")
        for key in rules:
            if key != "*" and key not in value:
                raise ValueError(f"{name}: it has no {key!r}")
        for key, element in value.items():
            if rule := rule_of(rules, key):
                rule(f"{name}.{key}", element)

    return check


def check_all(rules: Mapping[str, Rule], found: Mapping[str, Any]) -> None:
    """Checks values by name.

    Args:
        rules: by name, or by a pattern such as ``variables/*``; the first that fits holds.
        found: the values.

    Raises:
        ValueError: a value that its rule does not allow.

    Example:
        >>> check_all({"scaler/scale": POSITIVE, "*": FINITE}, {"scaler/scale": np.array([1.0, -2.0])})
        Traceback (most recent call last):
        ValueError: scaler/scale: found -2.0 at [1], expected positive numbers
    """
    for name, value in found.items():
        if rule := rule_of(rules, name):
            rule(name, value)


def check_shapes(shapes: Mapping[str, str], found: Mapping[str, np.ndarray]) -> None:
    """Checks that arrays fit each other.

    Args:
        shapes: a letter for each axis, by name or pattern; axes of the same letter are equally long.
        found: the arrays.

    Raises:
        ValueError: an array of another rank, or of another length than those before it.

    Example:
        >>> check_shapes({"scale": "c", "rows": "nc"}, {"scale": np.ones(3), "rows": np.ones((9, 2))})
        Traceback (most recent call last):
        ValueError: rows: found shape (9, 2), expected (n, 3)
    """
    lengths: dict[str, int] = {}
    for pattern, letters in shapes.items():
        for name in fnmatch.filter(found, pattern):
            shape = found[name].shape
            expected = [lengths.get(letter, letter) for letter in letters]
            is_same = [
                isinstance(wanted, str) or wanted == length for wanted, length in zip(expected, shape, strict=False)
            ]
            if len(shape) != len(letters) or not all(is_same):
                raise ValueError(f"{name}: found shape {shape}, expected ({', '.join(map(str, expected))})")
            lengths.update(zip(letters, shape, strict=True))


def rule_of(rules: Mapping[str, Rule], name: str) -> Rule | None:
    """The rule for a name.

    Args:
        rules: by name or pattern.
        name: of a value.

    Returns:
        The first Rule that fits, or None.
    """
    return next((rule for pattern, rule in rules.items() if fnmatch.fnmatchcase(name, pattern)), None)


def _refused(name: str, value: Any, expected: str) -> ValueError:
    found = repr(value)
    return ValueError(f"{name}: found {found if len(found) <= 60 else found[:57] + '...'}, expected {expected}")
