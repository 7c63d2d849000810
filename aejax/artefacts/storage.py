"""What is read and written: arrays as safetensors, all else as JSON."""

import contextlib
import json
import math
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import safetensors.numpy

from aejax.artefacts import sizes
from aejax.artefacts.outside import explained, shortened
from aejax.artefacts.writing import atomic_path
from aejax.base import PyTree

Parsed = TypeVar("Parsed")


def check_no_input(out: str | os.PathLike[str], *inputs: str | os.PathLike[str]) -> None:
    """Refuses to write a result over what it is made of.

    Args:
        out: the file to write.
        inputs: the files that are read.

    Raises:
        ValueError: one of them is ``out``.
    """
    for path in map(Path, inputs):
        if path.exists() and Path(out).exists() and Path(out).samefile(path):
            raise ValueError(f"--out: found {out}, which is the file that is read; choose another name")


def finite(value: Any) -> Any:
    """What JSON can hold: numbers that are not finite become None, arrays and numbers of NumPy lists and plain ones.

    Args:
        value: objects by name, lists, arrays, numbers, text.

    Returns:
        The same as dictionaries, lists, numbers, text and None.

    Example:
        >>> finite({"r2": np.float32(0.5), "p": (np.nan, 1)})
        {'r2': 0.5, 'p': [None, 1]}
    """
    if isinstance(value, Mapping):
        return {str(name): finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    if hasattr(value, "tolist"):
        return finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: str | Path, content: object) -> None:
    """Writes a JSON file."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n")


def read_json(path: str | Path) -> Any:
    """Reads a JSON file.

    Raises:
        FileNotFoundError, ValueError: as for ``read``.
    """
    return read(path, json.loads)


def write_arrays(path: str | Path, arrays: Mapping[str, PyTree]) -> None:
    """Writes arrays by name as safetensors; names of nested trees are joined by slashes."""
    with atomic_path(path) as partial:
        partial.write_bytes(safetensors.numpy.save(as_numpy(arrays)))


def as_numpy(arrays: Mapping[str, PyTree]) -> dict[str, np.ndarray]:
    """A tree of arrays as a dictionary of NumPy arrays, as safetensors takes them.

    Raises:
        ValueError: something else than an array of numbers.
    """
    flat = {name: np.asarray(array, order="C") for name, array in flatten(arrays).items()}
    for name, array in flat.items():
        if array.dtype.kind in "OUS":
            what = type(array.item() if array.ndim == 0 else array.flat[0]).__name__
            raise ValueError(f"{name}: found a {what}, expected an array of numbers")
    return flat


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Reads arrays by name.

    Raises:
        FileNotFoundError, ValueError: as for ``read``.
    """
    return read(path, safetensors.numpy.load)


def write_history(path: str | Path, history: Mapping[str, np.ndarray]) -> None:
    """Writes the metrics of a fit, an epoch a line; values that are not finite become null, since JSON has none."""
    num_epochs = len(next(iter(history.values())))

    def line(epoch: int) -> str:
        values = {name: float(series[epoch]) for name, series in history.items()}
        return json.dumps({"epoch": epoch + 1} | finite(values))

    with atomic_path(path) as partial:
        partial.write_text("".join(line(epoch) + "\n" for epoch in range(num_epochs)))


def read_history(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the metrics of a fit.

    Raises:
        FileNotFoundError, ValueError: as for ``read``.
    """

    def parse(content: bytes) -> dict[str, np.ndarray]:
        records = [json.loads(line) for line in content.decode().splitlines()]
        if not records or not all(isinstance(record, dict) for record in records):
            raise ValueError("expected an object of metrics in each line, one for each epoch")
        names = [name for name in records[0] if name != "epoch"]
        return {name: np.array([record[name] for record in records], np.float32) for name in names}

    return read(path, parse)


def write_npz(path: str | Path, **arrays: Any) -> None:
    """Writes arrays of any shape as a compressed NPZ file, which NumPy reads."""
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


@contextlib.contextmanager
def open_npz(path: str | Path, expected: str) -> Iterator[np.lib.npyio.NpzFile]:
    """Opens an NPZ file from outside; reading its arrays inside the block may fail as well.

    Args:
        path: the file.
        expected: the names of the arrays that it is to hold, for the error.

    Yields:
        NumPy's NpzFile, which refuses pickled objects.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another or a damaged file, or arrays of objects.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            sizes.headers(file.zip, path.stat().st_size)
            yield file
    except MemoryError:
        raise
    except sizes.TooLargeError as error:
        raise ValueError(f"{path}: {error}") from error
    except Exception as error:  # of NumPy, or of the ZIP file that it is
        raise ValueError(
            f"{path}: found no NPZ file of arrays of numbers or text, expected one with {expected}, as numpy.savez "
            "writes it"
        ) from error


def write_figure(path: str | Path, figure: Any) -> None:
    """Writes a Matplotlib figure as PNG."""
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png", dpi=120)


def read(path: str | Path, parse: Callable[[bytes], Parsed]) -> Parsed:
    """Reads a file.

    Args:
        path: the file.
        parse: makes a value of its bytes.

    Returns:
        The value.

    Raises:
        FileNotFoundError: no such file.
        ValueError: ``parse`` cannot read it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path.parent} has no {path.name}: the folder is not complete; restore it, or make it anew"
        )
    try:
        return parse(path.read_bytes())
    except MemoryError:
        raise
    except Exception as error:  # of whatever library
        raise ValueError(shortened(f"{path} cannot be read: {explained(error)}")) from error


def environment() -> dict[str, object]:
    """Versions and device: what bit-identical results depend on beside the config."""
    import flax
    import jaxlib
    import optax

    import aejax

    versions = {module.__name__: module.__version__ for module in (aejax, jax, jaxlib, flax, optax, np)}
    devices = jax.devices()
    return {
        "versions": versions,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "backend": jax.default_backend(),
        "device": devices[0].device_kind,
        "num_devices": len(devices),
        "x64": jax.dtypes.canonicalize_dtype(np.float64) == np.float64,
    }


def flatten(tree: PyTree) -> dict[str, PyTree]:
    """A tree as one dictionary: names joined by slashes, places in a list as numbers.

    Raises:
        ValueError: two arrays would have the same name.

    Example:
        >>> flatten({"params": {"decoder": {"kernel": 1}, "scales": [2, 3]}})
        {'params/decoder/kernel': 1, 'params/scales/0': 2, 'params/scales/1': 3}
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    flat = {name_of(path): leaf for path, leaf in leaves}
    if len(flat) < len(leaves):
        raise ValueError("found two arrays of one name, expected names without slashes; rename one")
    return flat


def name_of(path: tuple[Any, ...]) -> str:
    """The name that ``flatten`` gives to what stands at a path of JAX."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def unflatten(flat: Mapping[str, PyTree]) -> dict[str, PyTree]:
    """The inverse of ``flatten`` for nested dictionaries; a list becomes a dictionary with numbers as names.

    Example:
        >>> unflatten({"params/decoder/kernel": 1})
        {'params': {'decoder': {'kernel': 1}}}
    """
    tree: dict[str, PyTree] = {}
    for path, value in flat.items():
        *parents, name = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = value
    return tree


def check_same(what: object, stored: Mapping[str, np.ndarray], expected: Mapping[str, PyTree]) -> None:
    """Refuses arrays whose names, shapes or types are not those of a model.

    Args:
        what: a name or a path, for the error.
        stored: arrays by flat name.
        expected: arrays, or shapes and types, by flat name.

    Raises:
        ValueError: they differ; the message says in what.
    """

    def describe(array: jax.ShapeDtypeStruct | jax.Array | np.ndarray) -> str:
        return f"{np.dtype(array.dtype).name}{list(array.shape)}"

    differences = [f"{name} is missing" for name in expected if name not in stored]
    differences += [f"{name} is not of this model" for name in stored if name not in expected]
    differences += [
        f"{name}: found {describe(stored[name])}, expected {describe(expected[name])}"
        for name in expected
        if name in stored and describe(stored[name]) != describe(expected[name])
    ]
    if differences:
        raise ValueError(f"{what} does not fit the model: {'; '.join(differences)}")
