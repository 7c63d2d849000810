"""What the commands print: lines for a reader, or JSON for a program."""

import json
from collections.abc import Iterable, Mapping
from typing import Any


def say(found: Mapping[str, Any], lines: Iterable[str], as_json: bool) -> None:
    """Prints a result to standard output.

    Args:
        found: the result as JSON holds it; a number that is not finite becomes null.
        lines: the same for a reader.
        as_json: which of both.

    Example:
        >>> say({"r2": 0.5}, ["R² 0.5"], as_json=False)
        R² 0.5
        >>> say({"r2": float("nan")}, [], as_json=True)
        {
          "r2": null
        }
    """
    from aejax.artefacts.storage import finite

    print(json.dumps(finite(found), indent=2, allow_nan=False) if as_json else "\n".join(lines))
