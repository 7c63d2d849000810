"""One folder format for all that is kept: ``save(folder, thing)`` and ``load(folder)``; each kind registers a codec.

A folder holds ``artefact.json``, which says what the thing is and has its settings, and one safetensors file with its
arrays. ``artefact.json`` is written last and names the other file by its SHA-256: the folder holds all of the new
thing, all of the one before, or nothing. No pickle is read or written.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors.numpy

from aejax.artefacts import storage
from aejax.artefacts.described import Json, describe, made
from aejax.base import Adversary, Model, PyTree

MANIFEST = "artefact.json"
_ARRAYS = re.compile(r"arrays-[0-9a-f]{12}\.safetensors")


class Stored(NamedTuple):
    """A thing taken apart.

    Attributes:
        settings: numbers and text, as JSON.
        arrays: trees of arrays by name. What is read are nested dictionaries of NumPy arrays, in which a list or a
            tuple has become a dictionary with the names "0", "1", ...
        model: the Model or Adversary, for a kind that has one which its settings do not name.
    """

    settings: dict[str, Json]
    arrays: dict[str, PyTree]
    model: Model | Adversary | None = None


class Codec(NamedTuple):
    """How things of one kind are taken apart and put together.

    Attributes:
        kind: its name in ``artefact.json``.
        type: of the things.
        version: of what ``pack`` writes, from 1.
        pack: thing -> Stored.
        unpack: Stored -> thing; raises ValueError, KeyError or TypeError for what does not fit.
        upgrades: for each earlier version, Stored of that version -> Stored of the next.
        earlier: (path) -> Stored of version 1, or None where there is none: reads a folder or a file written before
            there was ``artefact.json``.
    """

    kind: str
    type: type
    version: int
    pack: Callable[[Any], Stored]
    unpack: Callable[[Stored], Any]
    upgrades: Mapping[int, Callable[[Stored], Stored]] = {}
    earlier: Callable[[Path], Stored | None] | None = None


_CODECS: dict[str, Codec] = {}


def register(codec: Codec) -> None:
    """Makes a kind of things known to ``save`` and ``load``.

    Args:
        codec: its Codec.

    Raises:
        ValueError: its name is taken.
    """
    if codec.kind in _CODECS:
        raise ValueError(f"kind: {codec.kind!r} is registered already; choose another name")
    _CODECS[codec.kind] = codec


def kinds() -> tuple[str, ...]:
    """The names of the registered kinds."""
    return tuple(sorted(_CODECS))


def is_part(name: str) -> bool:
    """Whether ``save`` writes files of this name.

    Example:
        >>> is_part("artefact.json"), is_part("notes.txt")
        (True, False)
    """
    return name == MANIFEST or _ARRAYS.fullmatch(name) is not None


def save(folder: str | os.PathLike[str], thing: Any) -> None:
    """Writes a thing to a folder: a run, a monitor, a detector and the like.

    Args:
        folder: made if it is not there. A thing of the same kind in it is replaced; other files in it stay.
        thing: of a registered kind. Its Model is written as the name and the arguments of its factory; one of the
            user's own functions is not written, and has to be given to ``load``.

    Raises:
        TypeError: a thing of no registered kind.
        ValueError: the folder holds a thing of another kind.
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    codec = _codec_of(type(thing))
    before = _files_to_replace(folder, codec)
    stored = codec.pack(thing)
    settings = json.loads(json.dumps(stored.settings, default=_plain))
    content = safetensors.numpy.save(storage.as_numpy(stored.arrays))
    digest = hashlib.sha256(content).hexdigest()
    arrays = f"arrays-{digest[:12]}.safetensors"
    with storage.atomic_path(folder / arrays) as partial:
        partial.write_bytes(content)
    manifest: dict[str, Json] = {
        "kind": codec.kind,
        "version": codec.version,
        "settings": settings,
        "model": _description(stored.model),
        "files": {arrays: digest},
        "environment": storage.environment(),
    }
    storage.write_json(folder / MANIFEST, manifest | {"sha256": _digest(manifest)})
    for name in before - {arrays}:
        (folder / name).unlink(missing_ok=True)


def check_folder(folder: str | os.PathLike[str], kind: type) -> None:
    """Refuses a folder that ``save`` would refuse, before the work is done.

    Args:
        folder: where a thing will be saved.
        kind: its type.

    Raises:
        ValueError: the folder holds a thing of another kind.
    """
    _files_to_replace(Path(folder), _codec_of(kind))


def _files_to_replace(folder: Path, codec: Codec) -> set[str]:
    if not (folder / MANIFEST).is_file():
        return set()
    found = _manifest(folder)
    if found["kind"] != codec.kind:
        raise ValueError(f"folder: {folder} holds a {found['kind']}, expected none or a {codec.kind}; choose another")
    return {name for name in found["files"] if _ARRAYS.fullmatch(name)}


def _plain(value: Any) -> Json:
    """Numbers of NumPy and JAX as Python's."""
    if isinstance(value, np.generic | np.ndarray | jax.Array) and not np.ndim(value):
        return np.asarray(value).item()
    raise TypeError(f"settings: found {type(value).__name__}, expected numbers, text, lists and dictionaries")


def load(
    folder: str | os.PathLike[str], expected: type | None = None, *, model: Model | Adversary | None = None
) -> Any:
    """Reads what ``save`` wrote, of this version or an earlier one.

    Args:
        folder: the folder.
        expected: the type of the thing; any registered one if None.
        model: the Model, if it is made of your own functions; built as it was for the thing.

    Returns:
        The thing, equal to the last bit.

    Raises:
        FileNotFoundError: the folder holds nothing that was saved.
        ValueError: a thing of another kind, written by a later version, damaged, or with parts that do not fit; the
            message says which.
    """
    folder = Path(folder)
    if (folder / MANIFEST).is_file():
        codec, stored = _read(folder, model)
    else:
        codec, stored = _read_earlier(folder, expected)
        stored = stored if model is None else stored._replace(model=model)
    if expected is not None and not issubclass(codec.type, expected):
        raise ValueError(f"{folder} holds a {codec.kind}, expected a {_kind_of(expected)}")
    try:
        return codec.unpack(stored)
    except (KeyError, TypeError, ValueError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{folder} cannot be read as a {codec.kind}: {what}") from error


def stored_model(stored: Stored) -> Model:
    """The Model of a thing that has one.

    Args:
        stored: what was read.

    Returns:
        The Model.

    Raises:
        ValueError: none was stored or given.
    """
    if not isinstance(stored.model, Model):
        found = type(stored.model).__name__
        raise ValueError(f"model: found {found}, expected a Model; give it to aejax.load(folder, model=...)")
    return stored.model


def fitted_variables(stored: Stored, model: Model | Adversary, batch: Any, name: str = "variables") -> PyTree:
    """The variables of a model, checked: names, shapes and types.

    Args:
        stored: what was read.
        model: the Model or Adversary.
        batch: a Batch of one row, whose shapes count.
        name: of the variables among the arrays.

    Returns:
        The variables, as arrays of JAX.

    Raises:
        ValueError: other names, shapes or types than those of the model.
    """
    expected = jax.eval_shape(model.init, jax.random.key(0), batch)
    found = storage.flatten(stored.arrays.get(name, {}))
    storage.check_same(name, found, storage.flatten(expected))
    return jax.tree_util.tree_map_with_path(lambda path, _: jax.numpy.asarray(found[storage.name_of(path)]), expected)


def _read(folder: Path, model: Model | Adversary | None) -> tuple[Codec, Stored]:
    manifest = _manifest(folder)
    codec = _CODECS.get(manifest["kind"])
    if codec is None:
        raise ValueError(f"{folder} holds a {manifest['kind']!r}, expected one of {', '.join(kinds())}")
    version = manifest["version"]
    if version > codec.version:
        raise ValueError(
            f"{folder}: found version {version} of a {codec.kind}, expected at most {codec.version}; use a newer aejax"
        )
    arrays: dict[str, Any] = {}
    if manifest.pop("sha256", None) != _digest(manifest):
        raise _damaged(folder / MANIFEST)
    for name, digest in manifest["files"].items():
        content = storage.read(folder / Path(name).name, bytes)
        if hashlib.sha256(content).hexdigest() != digest:
            raise _damaged(folder / name)
        arrays |= safetensors.numpy.load(content)
    description = manifest.get("model")
    if model is None and description is not None:
        if "unknown" in description:
            raise ValueError(f"{folder}: {description['unknown']}; give the model to aejax.load(folder, model=...)")
        model = made(description)
    return codec, _upgraded(codec, Stored(manifest["settings"], storage.unflatten(arrays), model), version)


def _manifest(folder: Path) -> dict[str, Any]:
    manifest = storage.read_json(folder / MANIFEST)
    needed = {"kind": str, "version": int, "settings": dict, "files": dict}
    if not isinstance(manifest, dict) or not all(isinstance(manifest.get(k), t) for k, t in needed.items()):
        raise ValueError(f"{folder / MANIFEST} cannot be read: expected the fields {', '.join(needed)}")
    return manifest


def _digest(manifest: Mapping[str, Json]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _damaged(path: Path) -> ValueError:
    return ValueError(f"{path} is damaged: its SHA-256 is not the one noted; restore it from a copy, or make it again")


def _read_earlier(folder: Path, expected: type | None) -> tuple[Codec, Stored]:
    for codec in reversed(_CODECS.values()):  # what is registered from above has more to say
        stored = codec.earlier(folder) if codec.earlier and (expected in (None, codec.type)) else None
        if stored is not None:
            return codec, _upgraded(codec, stored, 1)
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: there is no such folder")
    what = "anything that aejax saved" if expected is None else f"a {_kind_of(expected)}"
    raise FileNotFoundError(f"{folder} does not hold {what}: it has no {MANIFEST}")


def _upgraded(codec: Codec, stored: Stored, version: int) -> Stored:
    for step in range(version, codec.version):
        stored = codec.upgrades[step](stored)
    return stored


def _description(model: Model | Adversary | None) -> Json:
    if model is None:
        return None
    try:
        return describe(model)
    except ValueError as error:
        return {"unknown": str(error)}


def _codec_of(kind: type) -> Codec:
    for codec in _CODECS.values():
        if kind is codec.type:
            return codec
    raise TypeError(f"thing: found {kind.__name__}, expected one of {', '.join(kinds())}")


def _kind_of(expected: type) -> str:
    return next((codec.kind for codec in _CODECS.values() if codec.type is expected), expected.__name__)
