"""``aejax verify``: whether what is kept in a folder is what was written."""

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from aejax.cli.commands.command import Command


@dataclasses.dataclass(frozen=True)
class VerifyCommand:
    """Compare all that aejax has kept in a folder, and below it, with the SHA-256 noted when it was written."""

    folder: Positional[Annotated[Path, arg(metavar="FOLDER")]]
    """A run folder, or any folder above some."""


def run(command: VerifyCommand) -> int:
    """Prints a line for each thing that is found.

    Args:
        command: the options.

    Returns:
        The exit code: 0 where all is whole, 1 where something is damaged.

    Raises:
        FileNotFoundError: nothing that was saved is there.
    """
    with contextlib.suppress(ImportError):  # without scikit-learn nobody saved an estimator here
        import aejax.estimators  # noqa: F401, makes its kinds known
    lines = [line for folder, names in _folders(command.folder) for line in _findings(folder, names)]
    if not lines:
        raise FileNotFoundError(f"{command.folder} holds nothing that aejax saved")
    for _, line in lines:
        print(line)
    return 0 if all(is_whole for is_whole, _ in lines) else 1


def _folders(top: Path) -> list[tuple[Path, set[str]]]:
    if not top.is_dir():
        raise FileNotFoundError(f"{top}: there is no such folder")
    return sorted((Path(folder), {*names, *folders}) for folder, folders, names in os.walk(top))


def _findings(folder: Path, names: set[str]) -> list[tuple[bool, str]]:
    """For each thing in a folder whether it is whole, and a sentence."""
    from aejax.artefacts import codecs, manifest
    from aejax.training import checkpoint

    found = []
    try:
        found.append((True, f"{folder}: a {codecs.verify(folder)}, whole"))
    except FileNotFoundError as error:
        if manifest.MANIFEST in names:
            found.append((False, str(error)))
        elif "checkpoints" in names:
            found.append((True, f"{folder}: a training that has not ended"))
        elif any(map(manifest.is_part, names)):
            found.append((False, f"{folder} holds arrays, but no {manifest.MANIFEST} that says what they are"))
    except (ValueError, OSError) as error:
        found.append((False, str(error)))
    if checkpoint.are_in(folder):
        try:
            steps = ", ".join(map(str, checkpoint.verify(folder))) or "none noted"
            found.append((True, f"{folder}: checkpoints, whole: {steps}"))
        except ValueError as error:
            found.append((False, str(error)))
    return found


COMMANDS = {"verify": Command(VerifyCommand, run)}
