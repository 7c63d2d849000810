"""Which of our arguments a user's function takes, and in which places."""

import inspect
from collections.abc import Callable, Sequence

from aejax.base import PyTree

# Names of the argument that switches between training and inference, and what they are in training.
_MODES = {"train": True, "training": True, "is_training": True, "deterministic": False, "use_running_average": False}


def arguments_of(
    function: Callable[..., object],
    owner: str,
    leading: Sequence[str] = ("x",),
    known: Sequence[str] = ("cond", "train"),
) -> Callable[..., tuple[list[PyTree], dict[str, PyTree]]]:
    """Reads a signature once, so that the function can be called with what it takes.

    Args:
        function: (*leading, ...); the rest of its arguments have names that we know, or defaults.
        owner: what to call it in an error.
        leading: the arguments that come first, whatever the function calls them.
        known: the others that it may take, of ``cond``, ``train`` and ``key``. ``train`` may be spelled ``training``,
            ``is_training``, or be its negation, ``deterministic`` or ``use_running_average``.

    Returns:
        (*leading, cond=None, train=False, key=None) -> (positional arguments, keyword arguments), which raises a
        ValueError where there are conditions and the function takes none.

    Raises:
        ValueError: an argument is missing, or one is required that we do not know.

    Example:
        >>> arrange = arguments_of(lambda x, *, deterministic: x, "network")
        >>> arrange(1.0, train=True)
        ([1.0], {'deterministic': False})
        >>> arguments_of(lambda x, graph: x, "network")
        Traceback (most recent call last):
        ValueError: network: found the required argument graph, expected x, cond and train only; ...
    """
    parameters = list(inspect.signature(function).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    keyword_only = [p for p in parameters if p.kind == p.KEYWORD_ONLY]
    if len(positional) < len(leading) and not any(p.kind == p.VAR_POSITIONAL for p in parameters):
        raise ValueError(
            f"{owner}: found the arguments ({', '.join(map(str, parameters))}), expected {' and '.join(leading)} first"
        )
    positional = positional[len(leading) :]
    names = {*known, *(_MODES if "train" in known else ())}
    unknown = [p.name for p in positional + keyword_only if p.default is p.empty and p.name not in names]
    if unknown:
        expected = [*leading, *known]
        raise ValueError(
            f"{owner}: found the required argument {' and '.join(unknown)}, expected {', '.join(expected[:-1])} and "
            f"{expected[-1]} only; give it a default, or a name of these"
        )

    def arrange(*first: PyTree, **values: PyTree) -> tuple[list[PyTree], dict[str, PyTree]]:
        if values.get("cond") is not None and not any(p.name == "cond" for p in positional + keyword_only):
            raise ValueError(
                f"cond: found conditions of shape {values['cond'].shape}, expected None since {owner} takes none; give "
                "it an argument cond, or leave the conditions out"
            )

        def value(parameter: inspect.Parameter) -> PyTree:
            if parameter.name in names and parameter.name in _MODES:
                return bool(values.get("train")) == _MODES[parameter.name]
            found = values.get(parameter.name) if parameter.name in names else None
            return parameter.default if found is None and parameter.default is not parameter.empty else found

        # By position where that is possible: transformations of modules count their static arguments.
        return [*first, *map(value, positional)], {p.name: value(p) for p in keyword_only}

    return arrange
