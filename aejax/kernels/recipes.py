"""What factories make is remembered: equal arguments give the very same object, which can be pickled.

A Model is a tuple of functions, and a compiled program belongs to the functions that it was traced from. So a factory
that is called twice must not make two models, nor an optimizer that is written as a lambda in a loop two programs.
"""

from __future__ import annotations

import collections
import copy
import copyreg
import functools
import importlib
import inspect
import itertools
import pickle
import threading
import types
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, ParamSpec, TypeVar

from aejax.base import Adversary, Algorithm, Model, Objective
from aejax.kernels.equality import TracedError, has_a_name, key_of, package_of, plain

_P = ParamSpec("_P")
_T = TypeVar("_T")

_MOST = 256  # objects that one factory remembers
_MARK = "_aejax_recipes"
# The library's own factories by name: what a stored description of a Model may call.
FACTORIES: dict[str, Callable[..., Any]] = {}
_LOCK = threading.RLock()
_NUMBERS = itertools.count()


def remembered(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Lets a factory of pure functions remember what it made, and how.

    Equal arguments give the very same object, as long as it is among the newest 256 that the factory made. Lists are
    turned into tuples, and arrays of one number into that number. A function counts as equal to an earlier one with
    the same code, defaults, and values around it (in its closure, and of the globals that it names), and a named tuple
    of functions, such as an Optax transformation, likewise; the earlier one is then used. Where it refers to something
    that may change unseen, an array of NumPy or an object with attributes, only the same function is equal to itself.
    Nothing is remembered where an argument is being traced.

    A named tuple of functions that was made so can be copied and pickled: it is made again from its arguments.

    Args:
        function: a factory, of a module's top level.

    Returns:
        The factory.

    Example:
        >>> @remembered
        ... def scaled_by(factors):
        ...     return lambda x: [factor * x for factor in factors]
        >>> scaled_by([1, 2]) is scaled_by(factors=(1, 2))
        True
    """
    signature = inspect.signature(function)
    made: collections.OrderedDict[Hashable, tuple[Any, _Recipe]] = collections.OrderedDict()

    @functools.wraps(function)
    def make(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{function.__name__}() {error}") from None
        bound.apply_defaults()
        try:
            arguments = tuple(map(plain, bound.args)), {name: plain(value) for name, value in bound.kwargs.items()}
            key = key_of(arguments)
        except TracedError:
            return function(*args, **kwargs)
        with _LOCK:
            found = made.get(key)
            # What the earlier arguments refer to may have changed since.
            if found is None or key_of(found[1].arguments) != key:
                recipe = _Recipe(function, arguments)
                found = made[key] = function(*arguments[0], **arguments[1]), recipe
                recipe.note(found[0])
            made.move_to_end(key)
            if len(made) > _MOST:
                made.popitem(last=False)
        return found[0]

    if package_of(function) == "aejax":
        FACTORIES[function.__name__] = make
    return make


class Origin(NamedTuple):
    """How a named tuple of functions was made.

    Attributes:
        factory: what made it.
        args: its positional arguments.
        kwargs: its arguments by name.
        replaced: fields that have been replaced since, by name.
    """

    factory: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    replaced: dict[str, Any]


def origin(value: Any) -> Origin | None:
    """How a Model, a Likelihood or another such tuple was made.

    Args:
        value: of any kind.

    Returns:
        The Origin; None for what no factory under ``remembered`` has made.

    Example:
        >>> from aejax.models import vae
        >>> origin(vae((5,), 2)).args
        ((5,), 2)
    """
    found = _found(value) if isinstance(value, tuple) and hasattr(value, "_fields") else []
    if not found:
        return None
    recipe = _outermost(found, value)
    return Origin(recipe.factory, *recipe.arguments, _replaced(recipe.made, value))


class _Recipe:
    """How an object was made. Unpickled it is that object, made again or remembered."""

    def __init__(self, factory: Any, arguments: tuple[tuple[Any, ...], dict[str, Any]]):
        self.factory, self.arguments, self.number = factory, arguments, next(_NUMBERS)
        self.made: Any = None

    def note(self, made: Any) -> None:
        """Writes the recipe on one of the functions that were made: the two live as long as each other."""
        self.made = made
        is_tuple = isinstance(made, tuple) and hasattr(made, "_fields")
        functions = [field for field in (made if is_tuple else (made,)) if isinstance(field, types.FunctionType)]
        if is_tuple:
            copyreg.pickle(type(made), _reduced)
        new = [function for function in functions if not has_a_name(function)]
        for function in sorted(new, key=lambda function: hasattr(function, _MARK))[:1]:
            setattr(function, _MARK, (*getattr(function, _MARK, ()), self))

    def __deepcopy__(self, memo: Any) -> _Recipe:
        return self

    def __reduce__(self) -> Any:
        if not has_a_name(self.factory):
            raise _no_recipe(self.factory.__qualname__, self.factory)
        args, kwargs = self.arguments
        words = {name: _Portable(name, value) for name, value in kwargs.items()}
        numbered = [_Portable(f"argument {index} of {self.factory.__name__}", v) for index, v in enumerate(args)]
        return _made_again, (self.factory.__module__, self.factory.__qualname__, numbered, words)


class _Portable:
    """A value on its way into a pickle. Unpickled it is the value."""

    def __init__(self, name: str, value: Any):
        self.name, self.value = name, value

    def __deepcopy__(self, memo: Any) -> _Portable:
        return _Portable(self.name, copy.deepcopy(self.value, memo))

    def __reduce__(self) -> Any:
        value = self.value
        if isinstance(value, types.FunctionType):
            if has_a_name(value):
                return _itself, (value,)
            for recipe in getattr(value, _MARK, ()):
                if recipe.made is value:
                    return _itself, (recipe,)
            raise _no_recipe(self.name, value)
        if isinstance(value, tuple) and hasattr(value, "_fields") and type(value) not in copyreg.dispatch_table:
            return _together, (type(value), *_fields(value))
        if type(value) in (list, tuple):
            return type(value), ([_Portable(self.name, item) for item in value],)
        return _itself, (value,)


def _no_recipe(name: str, function: Any) -> pickle.PicklingError:
    return pickle.PicklingError(
        f"{name}: found the function {function.__module__}.{function.__qualname__}, which no module holds by name, "
        "expected one that can be found or made again; write it at a module's top level, or make it in a factory "
        "there under aejax.kernels.recipes.remembered"
    )


def _reduced(value: Any) -> Any:
    """What ``pickle`` and ``copy`` make a named tuple of functions from."""
    found = _found(value)
    if not found:
        return _together, (type(value), *_fields(value))
    recipe = _outermost(found, value)
    return _with, (recipe, {name: _Portable(name, field) for name, field in _replaced(recipe.made, value).items()})


def _found(value: Any) -> list[_Recipe]:
    """The recipes of a named tuple of functions, some of which may have been replaced since."""
    return [
        recipe
        for field in value
        if isinstance(field, types.FunctionType)
        for recipe in getattr(field, _MARK, ())
        if type(recipe.made) is type(value)
    ]


def _outermost(found: list[_Recipe], value: Any) -> _Recipe:
    # A factory may have replaced some of the functions that another one made, or hand on what that one made: then it
    # is the outer one, begun first, whose arguments can be written down.
    return min(found, key=lambda recipe: (len(_replaced(recipe.made, value)), recipe.number))


def _fields(value: Any) -> list[_Portable]:
    return [_Portable(f"{type(value).__name__}.{name}", field) for name, field in value._asdict().items()]


def _replaced(made: Any, value: Any) -> dict[str, Any]:
    return {name: new for name, old, new in zip(made._fields, made, value, strict=True) if new is not old}


def _itself(value: Any) -> Any:
    return value


def _together(kind: Any, *fields: Any) -> Any:
    return kind(*map(_unwrapped, fields))


def _with(recipe: Any, replaced: dict[str, Any]) -> Any:
    made = recipe.made if isinstance(recipe, _Recipe) else recipe
    return made._replace(**{name: _unwrapped(value) for name, value in replaced.items()}) if replaced else made


def _unwrapped(value: Any) -> Any:
    """A copy hands over what a pickle would have unwrapped."""
    return value.value if isinstance(value, _Portable) else value


def _made_again(module: str, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    return functools.reduce(getattr, name.split("."), importlib.import_module(module))(*args, **kwargs)  # type: ignore[operator]


for _kind in (Adversary, Algorithm, Model, Objective):
    copyreg.pickle(_kind, _reduced)
