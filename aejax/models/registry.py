"""The models by name: what the command line offers and what the laws in the tests run over."""

import functools
import inspect
import itertools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np

from aejax.base import Adversary, Model

MODELS: dict[str, Callable[..., Model | Adversary]] = {}

Factory = TypeVar("Factory", bound=Callable[..., Model | Adversary])


def factory(function: Factory) -> Factory:
    """Registers a factory of models under its name and remembers what it made.

    A Model or an Adversary is a tuple of functions, and a compiled program belongs to the functions it was traced from.
    Equal arguments therefore give the very same one: building it a second time compiles nothing.

    Args:
        function: a factory whose arguments are hashable once lists are turned into tuples and arrays of one number into
            that number.

    Returns:
        The factory. It raises a ValueError for an argument that is an array of several numbers.
    """
    cached = functools.cache(function)
    names = tuple(inspect.signature(function).parameters)

    @functools.wraps(function)
    def build(*args: Any, **kwargs: Any) -> Any:
        # More positional arguments than the factory has are left for it to refuse.
        positional = [_hashable(*pair) for pair in itertools.zip_longest(names[: len(args)], args)]
        return cached(*positional, **{name: _hashable(name, value) for name, value in kwargs.items()})

    MODELS[function.__name__] = build
    return build  # type: ignore[return-value]


def _hashable(name: str, value: Any) -> Any:
    if not isinstance(value, jax.Array | np.ndarray):
        return tuple(value) if isinstance(value, list) else value
    if value.ndim:
        raise ValueError(
            f"{name}: found an array of shape {value.shape}, expected a number or a tuple of numbers; several values "
            "of a hyperparameter are trained by aejax.sweep(..., over={{{name!r}: [...]}})"
        )
    return value.item()
