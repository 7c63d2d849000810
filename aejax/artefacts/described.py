"""Models, likelihoods and networks as JSON: the name of the factory that made each, and its arguments."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np

from aejax.kernels.recipes import FACTORIES, Origin, origin

Json: TypeAlias = Any  # a value that the module json writes and reads

# Defaults as they are now, and as they were for descriptions that do not name the argument.
_EARLIER = {"shortcut": (None, False), "activation": ("silu", "tanh")}
_EARLIER_OF = {"deep_autoencoder": {"activation": "sigmoid"}}


def describe(value: Any, name: str = "model") -> Json:
    """What ``made`` makes an equal value of.

    Args:
        value: a number, text, None, a sequence of such, or what a factory of the library made of them.
        name: what it is, for the error.

    Returns:
        JSON.

    Raises:
        ValueError: anything else, such as a Model of the user's own functions.

    Example:
        >>> from aejax.models import vae
        >>> describe(vae((5,), 2, beta=0.5))["kwargs"]["beta"]
        0.5
        >>> made(describe(vae((5,), 2))) is vae((5,), 2)
        True
    """
    if isinstance(value, jax.Array | np.ndarray | np.generic) and not np.ndim(value):
        value = np.asarray(value).item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    found = origin(value)
    if found is not None:
        description = {
            "factory": _name(found.factory, name),
            "args": [describe(item, name) for item in found.args],
            "kwargs": {key: describe(item, f"{name}: {key}") for key, item in _all_options(found).items()},
        }
        if found.replaced:
            description["replaced"] = {key: describe(item, f"{name}.{key}") for key, item in found.replaced.items()}
        return description
    if hasattr(value, "_asdict"):
        return {"fields": {key: describe(item, f"{name}.{key}") for key, item in value._asdict().items()}}
    if isinstance(value, list | tuple):
        return [describe(item, name) for item in value]
    raise _no_description(name, value)


def made(description: Json) -> Any:
    """The value that ``describe`` was given, made again or remembered.

    Only the library's own factories are ever called.

    Args:
        description: from ``describe``.

    Returns:
        The value. Sequences come back as tuples.

    Raises:
        ValueError: no description, a factory that is not there, or arguments that it refuses.
    """
    if isinstance(description, list):
        return tuple(map(made, description))
    if not isinstance(description, Mapping):
        return description
    if "float" in description:
        return float(description["float"])
    try:
        args = [made(item) for item in description["args"]]
        kwargs = {key: made(item) for key, item in description["kwargs"].items()}
        factory = _factory(description["factory"])
        value = factory(*args, **earlier_defaults(factory) | kwargs)
        for key, item in description.get("replaced", {}).items():
            value = value._replace(**{key: _like(getattr(value, key), item)})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"found {description!r}, expected a factory of aejax and its arguments: {error}") from error
    return value


def earlier_defaults(factory: Callable[..., Any]) -> dict[str, Any]:
    """What a factory's arguments were by default before those were changed.

    Example:
        >>> from aejax.models import vae
        >>> earlier_defaults(vae)
        {'shortcut': False, 'activation': 'tanh'}
    """
    defaults = {each.name: each.default for each in inspect.signature(factory).parameters.values()}
    found = {name: before for name, (now, before) in _EARLIER.items() if name in defaults and defaults[name] == now}
    return found | _EARLIER_OF.get(factory.__name__, {})


def _all_options(found: Origin) -> dict[str, Any]:
    """The arguments by name, those left at their defaults too: a later version may have others."""
    parameters = inspect.signature(found.factory).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
    return {name: value for name, value in defaults.items() if value is not inspect.Parameter.empty} | found.kwargs


def check_sizes(description: Json, most: int) -> None:
    """Refuses whole numbers that are no sizes of what is there, before memory is taken for them.

    Args:
        description: from ``describe``.
        most: the largest.

    Raises:
        ValueError: a larger one.

    Example:
        >>> check_sizes({"args": [[10**12]]}, 10**6)
        Traceback (most recent call last):
        ValueError: model: found 1000000000000, expected sizes of at most 1000000
    """
    if isinstance(description, Mapping):
        description = list(description.values())
    if isinstance(description, list):
        for part in description:
            check_sizes(part, most)
    elif isinstance(description, int) and abs(description) > most:
        raise ValueError(f"model: found {description}, expected sizes of at most {most}")


def _like(field: Any, description: Json) -> Any:
    """A replaced field: a named tuple, such as hyperparameters, is of the kind that it replaces."""
    if isinstance(description, Mapping) and "fields" in description:
        return type(field)(**{key: made(item) for key, item in description["fields"].items()})
    return made(description)


def _name(factory: Any, name: str) -> str:
    found: str = factory.__name__
    if getattr(FACTORIES.get(found), "__wrapped__", None) is not factory:
        raise _no_description(name, factory)
    return found


def _factory(name: str) -> Any:
    if name not in FACTORIES:
        raise ValueError(f"found no factory {name!r} in this version of aejax; use the aejax that wrote it")
    return FACTORIES[name]


def _no_description(name: str, value: Any) -> ValueError:
    what = getattr(value, "__qualname__", type(value).__qualname__)
    return ValueError(f"{name}: found {what}, expected what a factory of aejax made")
