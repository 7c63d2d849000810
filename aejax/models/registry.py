"""The models by name: what the command line offers and what the laws in the tests run over."""

import functools
import inspect
from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np

from aejax.base import Adversary, Model
from aejax.kernels.recipes import remembered

MODELS: dict[str, Callable[..., Model | Adversary]] = {}

Factory = TypeVar("Factory", bound=Callable[..., Model | Adversary])


def factory(function: Factory) -> Factory:
    """Registers a factory of models under its name, and lets it remember what it made (``aejax.kernels.recipes``).

    Args:
        function: a factory.

    Returns:
        The factory. Equal arguments give the very same Model or Adversary, so that building it a second time compiles
        nothing. It raises a ValueError for an argument that is an array of several numbers.
    """
    remembers = remembered(function)
    names = tuple(inspect.signature(function).parameters)

    @functools.wraps(function)
    def build(*args: object, **kwargs: object) -> Model | Adversary:
        # More positional arguments than the factory has are left for it to refuse.
        for name, value in [*zip(names, args, strict=False), *kwargs.items()]:
            _refuse_several(name, value)
        return remembers(*args, **kwargs)

    MODELS[function.__name__] = build
    return build  # type: ignore[return-value]


def _refuse_several(name: str, value: object) -> None:
    if isinstance(value, jax.Array | np.ndarray) and value.ndim:
        raise ValueError(
            f"{name}: found an array of shape {value.shape}, expected a number or a tuple of numbers; several values "
            "of a hyperparameter are trained by aejax.sweep(..., over={{{name!r}: [...]}})"
        )
