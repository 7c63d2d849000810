"""``artefact.json``: what a folder holds, with the SHA-256 of each file and of itself; and which files are ours."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aejax.artefacts import storage
from aejax.artefacts.locking import is_leftover, locked

MANIFEST = "artefact.json"
_ARRAYS = re.compile(r"arrays-([0-9a-f]{12})\.safetensors")
# Writing is short, so that one who finds another writing waits for it.
SECONDS_TO_WAIT = 60.0


def read(folder: Path) -> dict[str, Any]:
    """Reads ``artefact.json``; its SHA-256 is not compared.

    Args:
        folder: where it is.

    Returns:
        Its fields.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is not that of an artefact.
    """
    found = storage.read_json(folder / MANIFEST)
    needed = {"kind": str, "version": int, "settings": dict, "files": dict}
    if not isinstance(found, dict) or not all(isinstance(found.get(name), kind) for name, kind in needed.items()):
        raise ValueError(f"{folder / MANIFEST} cannot be read: expected the fields {', '.join(needed)}")
    return found


def without_digest(folder: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    """What ``read`` returned, once its SHA-256 is compared.

    Args:
        folder: where it is.
        found: from ``read``.

    Returns:
        Its fields, but ``sha256``.

    Raises:
        ValueError: it is damaged.
    """
    content = {name: value for name, value in found.items() if name != "sha256"}
    if found.get("sha256") != _digest(content):
        raise damaged(folder / MANIFEST)
    return content


def write(folder: Path, content: Mapping[str, Any]) -> None:
    """Writes ``artefact.json`` with its SHA-256; all that it names is written before.

    Args:
        folder: where to.
        content: its fields.
    """
    storage.write_json(folder / MANIFEST, {**content, "sha256": _digest(content)})


def note_files(folder: str | os.PathLike[str], names: Iterable[str]) -> None:
    """Notes the SHA-256 of other files that belong to the thing in a folder, for ``verify``.

    Args:
        folder: that of the thing.
        names: of the files, relative to it. What was noted before is forgotten.

    Raises:
        FileNotFoundError: one of them, or ``artefact.json``, is not there.
        ValueError: ``artefact.json`` is damaged.
        OSError: the folder cannot be written, or another process is writing to it.
    """
    folder = Path(folder)
    with locked(folder, SECONDS_TO_WAIT):
        content = without_digest(folder, read(folder))
        write(folder, content | {"beside": {name: file_digest(folder / name) for name in names}})


def is_noted(folder: str | os.PathLike[str], name: str) -> bool:
    """Whether a file is what ``note_files`` found.

    Args:
        folder: that of the thing.
        name: of the file.

    Returns:
        False where it has changed, is not there or was not noted.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file() or not (folder / name).is_file():
        return False
    return read(folder).get("beside", {}).get(name) == file_digest(folder / name)


def check_noted(folder: Path, content: Mapping[str, Any]) -> None:
    """Compares the files that were noted.

    Args:
        folder: that of the thing.
        content: from ``without_digest``.

    Raises:
        FileNotFoundError: one is not there.
        ValueError: one has changed.
    """
    for name, digest in content.get("beside", {}).items():
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is not there; restore it from a copy, or make it again")
        if file_digest(folder / name) != digest:
            raise damaged(folder / name)


def is_part(name: str) -> bool:
    """Whether ``save`` writes files of this name.

    Example:
        >>> is_part("artefact.json"), is_part("notes.txt")
        (True, False)
    """
    return name == MANIFEST or _ARRAYS.fullmatch(name) is not None


def is_arrays(path: Path) -> bool:
    """Whether ``save`` wrote a file of arrays: its name is that of its content.

    Args:
        path: the file.
    """
    found = _ARRAYS.fullmatch(path.name)
    return found is not None and path.is_file() and file_digest(path).startswith(found[1])


def is_free(folder: str | os.PathLike[str], *unfinished: str) -> bool:
    """Whether a folder is not there, or holds nothing but what killed writers have left.

    Args:
        folder: the folder.
        unfinished: names of files that such a writer may have finished before the thing itself.
    """
    folder = Path(folder)
    return not folder.exists() or all(
        is_leftover(path.name) or path.name in unfinished or (is_arrays(path) and not (folder / MANIFEST).exists())
        for path in folder.iterdir()
    )


def discard(folder: str | os.PathLike[str]) -> None:
    """Removes the thing in a folder, whether it can be read or not; other files stay.

    Args:
        folder: that of the thing.
    """
    folder = Path(folder)
    (folder / MANIFEST).unlink(missing_ok=True)
    for path in folder.glob("arrays-*.safetensors"):
        if is_part(path.name):
            path.unlink()


def file_digest(path: Path) -> str:
    """The SHA-256 of a file.

    Args:
        path: the file.

    Returns:
        In hexadecimal.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damaged(path: Path) -> ValueError:
    """The error for a file that is not what was noted.

    Args:
        path: the file.

    Returns:
        The error.
    """
    return ValueError(f"{path} is damaged: its SHA-256 is not the one noted; restore it from a copy, or make it again")


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
