"""The models by name: what the command line offers and what the laws in the tests run over."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from aejax.base import Adversary, Model

MODELS: dict[str, Callable[..., Model | Adversary]] = {}

Factory = TypeVar("Factory", bound=Callable[..., Model | Adversary])


def factory(function: Factory) -> Factory:
    """Registers a factory of models under its name and remembers what it made.

    A Model or an Adversary is a tuple of functions, and a compiled program belongs to the functions it was traced from.
    Equal arguments therefore give the very same one: building it a second time compiles nothing.

    Args:
        function: a factory whose arguments are hashable once lists are turned into tuples.

    Returns:
        The factory.
    """
    cached = functools.cache(function)

    @functools.wraps(function)
    def build(*args: Any, **kwargs: Any) -> Any:
        return cached(*map(_hashable, args), **{name: _hashable(value) for name, value in kwargs.items()})

    MODELS[function.__name__] = build
    return build  # type: ignore[return-value]


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
