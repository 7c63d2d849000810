"""Arguments that functions hand on to another one: written down once, and seen by whoever looks at any of them."""

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def options_of(other: Callable[..., Any]) -> Callable[[Function], Function]:
    """Spells out the ``**options`` of a function: they are the arguments by name that another one has a default for.

    ``inspect.signature`` and ``help`` of the function show them, as if they were written there; arguments of its own
    come first. In its docstring the line that begins with ``options:`` gives way to what the other one says of them.

    Args:
        other: what the function hands its ``**options`` to.

    Returns:
        A decorator. It returns the very same function.

    Example:
        >>> def line(*, color="black", width=1.0):
        ...     '''Draws.
        ...
        ...     Args:
        ...         color: a name.
        ...         width: in points.
        ...     '''
        >>> @options_of(line)
        ... def arrow(*, head=2.0, **options):
        ...     '''Draws with a head.
        ...
        ...     Args:
        ...         head: its length.
        ...         options: as in ``line``.
        ...     '''
        >>> inspect.signature(arrow)
        <Signature (*, head=2.0, color='black', width=1.0)>
        >>> print(arrow.__doc__.splitlines()[-1])
            width: in points.
    """

    def spell_out(function: Function) -> Function:
        *own, _ = inspect.signature(function).parameters.values()
        names = {parameter.name for parameter in own}
        added = [
            parameter
            for parameter in inspect.signature(other).parameters.values()
            if parameter.kind is parameter.KEYWORD_ONLY
            and parameter.default is not parameter.empty
            and parameter.name not in names
        ]
        function.__signature__ = inspect.signature(function).replace(parameters=[*own, *added])  # type: ignore[attr-defined]
        told = _arguments(inspect.getdoc(other) or "")
        lines = "\n".join(told[parameter.name] for parameter in added if parameter.name in told)
        function.__doc__ = re.sub(_entry("options"), lambda _: lines, inspect.getdoc(function) or "", flags=re.M)
        return function

    return spell_out


def _arguments(documentation: str) -> dict[str, str]:
    """What a docstring says of each argument."""
    section = re.search(r"^Args:\n((?: .*\n?)*)", documentation, re.M)
    entries = re.finditer(_entry(r"(\w+)"), section[1] if section else "", re.M)
    return {entry[1]: entry[0] for entry in entries}


def _entry(name: str) -> str:
    return rf"^    {name}: .*(?:\n        .*)*"
