"""One folder format for all that is kept: ``save(folder, thing)`` and ``load(folder)``; each kind registers a codec.

A folder holds ``artefact.json``, which says what the thing is and has its settings, and one safetensors file with its
arrays. ``artefact.json`` is written last and names the other file by its SHA-256: the folder holds all of the new
thing, all of the one before, or nothing, after a power cut too. No pickle is read or written.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors.numpy

from aejax.artefacts import manifest, storage
from aejax.artefacts.described import Json, check_sizes, describe, made
from aejax.artefacts.locking import locked
from aejax.artefacts.manifest import MANIFEST, SECONDS_TO_WAIT
from aejax.artefacts.outside import explained, reading
from aejax.artefacts.rules import Rule, check_all, check_shapes
from aejax.artefacts.writing import atomic_path
from aejax.base import Adversary, Model, PyTree

# Reading begins again where a writer has replaced the thing meanwhile.
_MOST_READINGS = 100
# Of a model without an array as large as its event, such as one of convolutions alone.
_ANY_SIZE = 1 << 22


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
        settings: what each setting may be, by name.
        arrays: what each array may hold, by its name, such as ``scaler/scale``, or a pattern of names.
        shapes: a letter for each axis of an array, by name or pattern; axes of the same letter are equally long.
    """

    kind: str
    type: type
    version: int
    pack: Callable[[Any], Stored]
    unpack: Callable[[Stored], Any]
    upgrades: Mapping[int, Callable[[Stored], Stored]] = {}
    earlier: Callable[[Path], Stored | None] | None = None
    settings: Mapping[str, Rule] = {}
    arrays: Mapping[str, Rule] = {}
    shapes: Mapping[str, str] = {}


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


def save(folder: str | os.PathLike[str], thing: Any) -> None:
    """Writes a thing to a folder: a run, a monitor, a detector and the like.

    Args:
        folder: made if it is not there. A thing of the same kind in it is replaced; other files in it stay.
        thing: of a registered kind. Its Model is written as the name and the arguments of its factory; one of the
            user's own functions is not written, and has to be given to ``load``.

    Raises:
        TypeError: a thing of no registered kind.
        ValueError: the folder holds a thing of another kind, or numbers of the thing are out of their range.
        OSError: the folder cannot be written, or another process is writing to it.
    """
    folder = Path(folder)
    codec = _codec_of(type(thing))
    check_folder(folder, type(thing))
    stored = codec.pack(thing)
    settings = json.loads(json.dumps(stored.settings, default=_plain))
    flat = storage.as_numpy(stored.arrays)
    _check(codec, settings, flat)
    packed = safetensors.numpy.save(flat)
    digest = hashlib.sha256(packed).hexdigest()
    arrays = f"arrays-{digest[:12]}.safetensors"
    content: dict[str, Json] = {
        "kind": codec.kind,
        "version": codec.version,
        "settings": settings,
        "model": _description(stored.model),
        "files": {arrays: digest},
        "environment": storage.environment(),
    }
    with locked(folder, SECONDS_TO_WAIT):
        before = _files_to_replace(folder, codec)
        with atomic_path(folder / arrays) as partial:
            partial.write_bytes(packed)
        manifest.write(folder, content)
        for path in folder.glob("arrays-*.safetensors"):
            if path.name != arrays and (path.name in before or manifest.is_arrays(path)):
                path.unlink()


def verify(folder: str | os.PathLike[str]) -> str:
    """Reads all that belongs to the thing in a folder, and compares it with what was noted.

    Args:
        folder: that of the thing.

    Returns:
        Its kind.

    Raises:
        FileNotFoundError: the folder holds no such thing, or a file is not there.
        ValueError: something in it is damaged or out of its range; the message says what.
    """
    folder = Path(folder)
    with reading(folder):
        return _verified(folder)


def _verified(folder: Path) -> str:
    if not (folder / MANIFEST).is_file():
        codec, stored = _read_earlier(folder, None)
        codec.unpack(stored)
        return codec.kind
    found = manifest.read(folder)
    if "unknown" in (found.get("model") or {}):  # a user's own: its variables cannot be compared with it
        codec, stored = _content(folder, found)
        _checked(codec, _upgraded(codec, stored, found["version"]))
    else:
        load(folder)
    manifest.check_noted(folder, found)
    return str(found["kind"])


def check_folder(folder: str | os.PathLike[str], kind: type, beside: Iterable[str] = ()) -> None:
    """Refuses a folder that ``save`` would refuse, before the work is done.

    Args:
        folder: where a thing will be saved.
        kind: its type.
        beside: names of files that will be written beside it: they replace those of an earlier thing, and no others.

    Raises:
        ValueError: the folder holds a thing of another kind, or one that cannot be read.
        FileExistsError: files of these names are there, and no earlier thing.
    """
    folder = Path(folder)
    if not _files_to_replace(folder, _codec_of(kind)):
        others = [name for name in beside if (folder / name).exists()]
        if others:
            raise FileExistsError(f"folder: {folder} holds {', '.join(others)} of somebody else's; choose another")


def _files_to_replace(folder: Path, codec: Codec) -> set[str]:
    if not (folder / MANIFEST).is_file():
        return set()
    found = manifest.read(folder)
    if found["kind"] != codec.kind:
        raise ValueError(f"folder: {folder} holds a {found['kind']}, expected none or a {codec.kind}; choose another")
    return {name for name in found["files"] if manifest.is_part(name)}


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
    with reading(folder):
        return _loaded(folder, expected, model)


def _loaded(folder: Path, expected: type | None, model: Model | Adversary | None) -> Any:
    if (folder / MANIFEST).is_file():
        codec, stored = _read(folder, model)
    else:
        codec, stored = _read_earlier(folder, expected)
        stored = stored if model is None else stored._replace(model=model)
    if expected is not None and not issubclass(codec.type, expected):
        raise ValueError(f"{folder} holds a {codec.kind}, expected a {_kind_of(expected)}")
    try:
        return codec.unpack(_checked(codec, stored))
    except MemoryError:
        raise
    except Exception as error:  # of whatever its model or its numbers are made by
        raise ValueError(f"{folder} cannot be read as a {codec.kind}: {explained(error)}") from error


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
    expected = jax.eval_shape(model.init, jax.eval_shape(jax.random.key, 0), batch)
    found = storage.flatten(stored.arrays.get(name, {}))
    storage.check_same(name, found, storage.flatten(expected))
    placed = jax.tree_util.tree_map_with_path(lambda path, _: found[storage.name_of(path)], expected)
    return jax.device_put(placed)  # at once: each shape is compiled for otherwise


def _read(folder: Path, model: Model | Adversary | None) -> tuple[Codec, Stored]:
    """A thing, though it may be replaced while it is read: all of the one, or all of the other."""
    for _ in range(_MOST_READINGS):
        found = manifest.read(folder)
        try:
            return _with_model(folder, found, model)
        except (FileNotFoundError, ValueError):
            if manifest.read(folder) == found:
                raise
    raise ValueError(f"{folder} is written again and again while it is read; wait until that has ended")


def _with_model(folder: Path, found: dict[str, Any], model: Model | Adversary | None) -> tuple[Codec, Stored]:
    codec, stored = _content(folder, found)
    description = found.get("model")
    if model is None and description is not None:
        if "unknown" in description:
            raise ValueError(f"{folder}: {description['unknown']}; give the model to aejax.load(folder, model=...)")
        num_numbers = sum(array.size for array in storage.flatten(stored.arrays).values())
        check_sizes(description, max(_ANY_SIZE, num_numbers))
        model = made(description)
    return codec, _upgraded(codec, stored._replace(model=model), found["version"])


def _content(folder: Path, found: dict[str, Any]) -> tuple[Codec, Stored]:
    """The codec of a thing, and its settings and arrays, unharmed."""
    codec = _CODECS.get(found["kind"])
    if codec is None:
        raise ValueError(f"{folder} holds a {found['kind']!r}, expected one of {', '.join(kinds())}")
    version = found["version"]
    if not 1 <= version <= codec.version:
        raise ValueError(
            f"{folder}: found version {version} of a {codec.kind}, expected at most {codec.version}; use a newer aejax"
        )
    content = manifest.without_digest(folder, found)
    arrays: dict[str, Any] = {}
    for name, digest in content["files"].items():
        packed = storage.read(folder / Path(name).name, bytes)
        if hashlib.sha256(packed).hexdigest() != digest:
            raise manifest.damaged(folder / name)
        arrays |= safetensors.numpy.load(packed)
    return codec, Stored(content["settings"], storage.unflatten(arrays))


def _checked(codec: Codec, stored: Stored) -> Stored:
    """What was read, once all of it is in its range."""
    _check(codec, stored.settings, storage.flatten(stored.arrays))
    return stored


def _check(codec: Codec, settings: Mapping[str, Json], arrays: Mapping[str, Any]) -> None:
    check_all(codec.settings, settings)
    check_all(codec.arrays, arrays)
    check_shapes(codec.shapes, arrays)


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
