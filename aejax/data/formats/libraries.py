"""Libraries that a format needs and the core does not."""

import importlib
from types import ModuleType


def library(name: str, kind: str, extra: str) -> ModuleType:
    """A library, imported where it is needed.

    Args:
        name: of the module.
        kind: the format that needs it.
        extra: of this package, that installs it.

    Returns:
        The module.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f'{kind} needs {name}: install the extra that has it, pip install "aejax[{extra}]"'
        ) from error
