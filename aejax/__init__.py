"""Compressed and generative representations of scientific and industrial data, as pure functions in JAX."""

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aejax.names import *  # noqa: F403

__version__ = "0.1.0"

_ROOMS = frozenset(module.name for module in pkgutil.iter_modules(__path__))  # noqa: F405


def __getattr__(name: str) -> Any:
    """Imports what is asked for, so that a command which needs little of the library does not wait for all of it."""
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name.startswith("__") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    names = importlib.import_module(f"{__name__}.names")
    if not hasattr(names, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = getattr(names, name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__"), *_ROOMS})
