"""When two arguments of a factory are equal: functions by their code and by what they refer to."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Hashable, Iterator
from typing import Any

import jax
import numpy as np

# Nobody gives the names in these packages another meaning while a program runs.
_FIXED = frozenset({"aejax", "builtins", "functools", "jax", "jaxlib", "numpy", "optax"})


class TracedError(Exception):
    """An argument is being traced."""


class _UnknownError(Exception):
    """A function refers to something that may change unseen."""


class _Same:
    """Equal to what holds the very same object."""

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def plain(value: Any) -> Any:
    """The value, a list as a tuple, an array of one number as that number."""
    if isinstance(value, jax.core.Tracer):
        raise TracedError
    if isinstance(value, jax.Array | np.ndarray) and value.ndim == 0 and np.issubdtype(value.dtype, np.number):
        return value.item()
    return tuple(value) if isinstance(value, list) else value


def key_of(value: Any) -> Hashable:
    """What is equal for equal values.

    Args:
        value: of any kind.

    Returns:
        Something to look it up by.

    Raises:
        TracedError: a part of it is being traced.

    Example:
        >>> key_of(lambda x: x + 1) == key_of(lambda x: x + 2)
        False
    """
    return _key(value, {})


def _key(value: Any, seen: dict[int, int], inside: bool = False) -> Hashable:
    """What is equal for equal values.

    Args:
        value: of any kind.
        seen: the number of each function met so far, by ``id``.
        inside: whether a function refers to it. Its type then counts, since ``x / 2`` and ``x / 2.0`` may differ, and
            what may change unseen is refused.
    """
    if isinstance(value, jax.core.Tracer):
        raise TracedError
    if isinstance(value, types.FunctionType):
        return _key_of_function(value, seen, inside)
    if isinstance(value, list | tuple):
        return (type(value), *(_key(item, seen, inside) for item in value))
    if isinstance(value, dict):
        return (type(value), *((_key(name, seen, inside), _key(item, seen, inside)) for name, item in value.items()))
    if isinstance(value, functools.partial):
        return (type(value), *(_key(part, seen, inside) for part in (value.func, value.args, value.keywords)))
    if isinstance(value, types.MethodType | types.BuiltinFunctionType):
        return (value.__name__, _key(value.__self__, seen, inside))
    if isinstance(value, bool | int | float | complex | np.number):
        return (type(value), repr(value)) if inside else value
    if value is None or isinstance(value, type | types.ModuleType | jax.Array):
        return _Same(value)
    if type(value).__hash__ not in (None, object.__hash__):
        try:
            hash(value)
        except TypeError:
            pass
        else:
            return (type(value), value)
    if inside and not (callable(value) and package_of(type(value)) in _FIXED):
        raise _UnknownError
    return _Same(value)


def _key_of_function(function: types.FunctionType, seen: dict[int, int], inside: bool) -> Hashable:
    # The functions of this library are remembered where they are made.
    if package_of(function) == "aejax" or (package_of(function) in _FIXED and has_a_name(function)):
        return _Same(function)
    if id(function) in seen:
        return seen[id(function)]
    seen[id(function)] = len(seen)
    try:
        return (
            function.__code__,
            _Same(function.__globals__),
            _key((function.__defaults__, function.__kwdefaults__), seen, True),
            *(_key(cell, seen, True) for cell in _cells(function)),
            *_globals(function, seen),
        )
    except (_UnknownError, RecursionError):
        if inside:
            raise _UnknownError from None
        return _Same(function)


def _cells(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            yield None


def _globals(function: types.FunctionType, seen: dict[int, int]) -> Iterator[Hashable]:
    """The globals that a function names; where one is a module or a class, the numbers and words that it may read."""
    if package_of(function) in _FIXED:
        return
    names = _names(function.__code__)
    for name in names:
        if name not in function.__globals__:
            continue
        value = function.__globals__[name]
        yield name, _key(value, seen, True)
        if isinstance(value, type | types.ModuleType) and package_of(value) not in _FIXED:
            for attribute in names:
                read = vars(value).get(attribute)
                if isinstance(read, bool | int | float | complex | str | bytes | np.number):
                    yield attribute, _key(read, seen, True)


def _names(code: types.CodeType) -> tuple[str, ...]:
    inner = (const for const in code.co_consts if isinstance(const, types.CodeType))
    return tuple(dict.fromkeys([*code.co_names, *(name for part in inner for name in _names(part))]))


def package_of(value: Any) -> str:
    """The package that a module, class or function belongs to."""
    name = value.__name__ if isinstance(value, types.ModuleType) else value.__module__
    return (name or "").partition(".")[0]


def has_a_name(function: types.FunctionType) -> bool:
    """Whether a module holds this function under its name, as pickle asks for."""
    found: Any = sys.modules.get(function.__module__)
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    # A factory's name means the factory that remembers.
    return found is function or getattr(found, "__wrapped__", None) is function
