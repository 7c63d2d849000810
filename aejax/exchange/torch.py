"""Weights from PyTorch and back: state dicts in safetensors files, layer by layer."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from aejax.artefacts.storage import write_arrays
from aejax.base import Array, ArrayLike, PyTree, Variables

Names = Mapping[str, str | Sequence[str]]

# Parts whose convolutions double the grid: PyTorch keeps the weights of a transposed one as (in, out, ...).
_UPSAMPLING_PARTS = ("decoder", "generator")
_BATCH_NORM = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}


class _Pair(NamedTuple):
    """One array of variables and the PyTorch tensors, one or more stacked along their first axis, that it is made of.

    Attributes:
        path: into the variables.
        tensors: names.
        axes: the transposition that turns PyTorch's layout into ours; None for none.
    """

    path: tuple[str, ...]
    tensors: tuple[str, ...]
    axes: tuple[int, ...] | None


def from_state_dict(state_dict: Mapping[str, ArrayLike], template: Variables, names: Names | None = None) -> Variables:
    """Variables with the weights of a PyTorch module.

    Layers are paired in order: the first Linear or Conv of ``encoder.`` with the first layer of our encoder, the first
    BatchNorm with the first, and so on, modules sorted by name with numbers as numbers. Linear and Conv weights are
    transposed; a Linear behind a flattened Conv carries over as it is, since our convolutional networks flatten
    channels first too. PyTorch's running variance is the unbiased one and is taken as it is, so inference agrees; in
    further training here it is the biased one that is averaged.

    Args:
        state_dict: name -> array, such as a NumPy copy of ``module.state_dict()``.
        template: variables of the model, from ``model.init``; what has no counterpart, such as a likelihood's scale,
            stays as it is there.
        names: where the module names things otherwise: a part, ``{"encoder": "net.enc"}``, or one layer of it,
            ``{"encoder.layer_2": ["fc_mu", "fc_log_var"]}``; several are stacked, as a VAE's two heads are here. Where
            networks are composed the parts are the inner ones: ``{"encoder.dense": "net.head"}``.

    Returns:
        The variables, for ``model.encode``, ``fit(..., variables=...)`` and all else.

    Raises:
        ValueError: layers that cannot be paired, shapes that differ, or tensors that are left over; the message names
            them.

    Example:
        >>> import jax, aejax
        >>> model = aejax.models.autoencoder((5,), 2, hidden_dims=(8,), shortcut=False)
        >>> variables = model.init(jax.random.key(0), aejax.Batch(jnp.zeros((1, 5))))
        >>> torch_like = to_state_dict(variables)
        >>> sorted(torch_like)[:2], torch_like["encoder.layer_0.weight"].shape
        (['decoder.layer_0.bias', 'decoder.layer_0.weight'], (8, 5))
        >>> again = from_state_dict(torch_like, variables)
    """
    arrays = {name: np.asarray(array) for name, array in state_dict.items()}
    variables = _copied(template)
    pairs = _pairs(arrays, template, names or {})
    used = {name for pair in pairs for name in pair.tensors}
    left = [name for name in arrays if name not in used and not name.endswith("num_batches_tracked")]
    if left:
        raise ValueError(
            f"state_dict: found {', '.join(left)}, which no layer of the model takes; say by names= which part or "
            "layer each belongs to, or leave them out"
        )
    for pair in pairs:
        missing = [name for name in pair.tensors if name not in arrays]
        if missing:
            raise ValueError(f"state_dict: found no {', '.join(missing)}, expected it for {'/'.join(pair.path)}")
        tensors = [arrays[name] for name in pair.tensors]
        joined = tensors[0] if len(tensors) == 1 else np.concatenate(tensors)
        array = joined if pair.axes is None else joined.transpose(pair.axes)
        expected = _at(template, pair.path).shape
        if array.shape != expected:
            raise ValueError(
                f"state_dict: {' + '.join(pair.tensors)}: found shape {array.shape} (in the layout here), expected "
                f"{expected} for {'/'.join(pair.path)}"
            )
        _put(variables, pair.path, jnp.asarray(array, jnp.float32))
    return variables


def to_state_dict(
    variables: Variables, like: Mapping[str, ArrayLike] | None = None, names: Names | None = None
) -> dict[str, np.ndarray]:
    """The weights of variables as a PyTorch state dict.

    Args:
        variables: of a model.
        like: a state dict whose names to use, paired as in ``from_state_dict``; without it layers are called
            ``encoder.layer_0``, ``encoder.norm_0``, ...
        names: as in ``from_state_dict``.

    Returns:
        name -> array. BatchNorm's ``num_batches_tracked`` is that of ``like``, or 0.

    Raises:
        ValueError: as in ``from_state_dict``.

    Example:
        >>> import jax, aejax
        >>> model = aejax.models.convolutional_autoencoder((8, 8), 2, hidden_dims=(4,))
        >>> variables = model.init(jax.random.key(0), aejax.Batch(jnp.zeros((1, 8, 8))))
        >>> to_state_dict(variables)["encoder.layer_0.weight"].shape
        (4, 1, 3, 3)
    """
    given = {name: np.asarray(array) for name, array in (like or {}).items()}
    pairs = _pairs(given, variables, names or {}) if like is not None else _own_pairs(variables)
    state_dict: dict[str, np.ndarray] = {}
    for pair in pairs:
        array = np.asarray(_at(variables, pair.path))
        array = array if pair.axes is None else array.transpose(np.argsort(pair.axes))
        sizes = [given[name].shape[0] for name in pair.tensors[:-1]]
        parts = np.split(array, np.cumsum(sizes)) if sizes else [array]
        # copies, since PyTorch writes to the arrays that it is given
        state_dict |= {name: np.array(part, order="C") for name, part in zip(pair.tensors, parts, strict=True)}
    tracked = {name: array for name, array in given.items() if name.endswith("num_batches_tracked")}
    if like is None:
        norms = [name.removesuffix("running_mean") for name in state_dict if name.endswith("running_mean")]
        tracked = {f"{name}num_batches_tracked": np.zeros((), np.int64) for name in norms}
    return state_dict | tracked


def load_state_dict(path: str | Path, template: Variables, names: Names | None = None) -> Variables:
    """``from_state_dict`` of a safetensors file, as PyTorch's users write by ``safetensors.torch.save_file``.

    Args:
        path: of the file.
        template: variables of the model.
        names: as in ``from_state_dict``.

    Returns:
        The variables.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a safetensors file, or as in ``from_state_dict``.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not a file; write it by safetensors.torch.save_file(module.state_dict(), path)"
        )
    try:
        state_dict = safetensors.numpy.load(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}; a pickled .pt file is not read") from error
    return from_state_dict(state_dict, template, names)


def save_state_dict(
    path: str | Path, variables: Variables, like: Mapping[str, ArrayLike] | None = None, names: Names | None = None
) -> None:
    """Writes ``to_state_dict`` as a safetensors file, atomically.

    Args:
        path: of the file.
        variables: of a model.
        like: as in ``to_state_dict``.
        names: as in ``from_state_dict``.
    """
    write_arrays(path, to_state_dict(variables, like, names))


def _own_pairs(variables: Variables) -> list[_Pair]:
    """Pairs with the names that our layers have here."""
    pairs = []
    for part, entries in _parts(variables["params"]):
        for name, entry in entries.items():
            tensor = ".".join((*part, name))
            if name.startswith("norm_"):
                pairs += _norm_pairs(part, name, tensor)
            elif isinstance(entry, Mapping):
                pairs += _layer_pairs(part, name, (tensor,), entry)
            else:
                pairs.append(_alone(part, name))
    return pairs


def _pairs(arrays: Mapping[str, np.ndarray], template: Variables, names: Names) -> list[_Pair]:
    """Pairs with the names of a given state dict."""
    pairs = []
    for path, entries in _parts(template["params"]):
        # a likelihood's scale, a code's thresholds: taken if they are there under our own names
        alone = [_alone(path, name) for name, entry in entries.items() if not isinstance(entry, Mapping)]
        pairs += [pair for pair in alone if pair.tensors[0] in arrays]
        used = {pair.tensors[0] for pair in alone}
        part = ".".join(path)
        ours = sorted(entries, key=_natural)
        linear = [name for name in ours if name.startswith("layer_")]
        norms = [name for name in ours if name.startswith("norm_")]
        if not linear:
            continue
        explicit = {name: _as_tuple(names[f"{part}.{name}"]) for name in ours if f"{part}.{name}" in names}
        taken = {module for modules in explicit.values() for module in modules}
        prefix = _as_tuple(names.get(part, part))[0]
        modules = sorted({name.rpartition(".")[0] for name in arrays if name not in used}, key=_natural)
        modules = [name for name in modules if name not in taken and (name == prefix or name.startswith(f"{prefix}."))]
        their_norms = [name for name in modules if f"{name}.running_mean" in arrays]
        their_linear = [name for name in modules if name not in their_norms]
        for mine, theirs in ((linear, their_linear), (norms, their_norms)):
            open_ = [name for name in mine if name not in explicit]
            if len(open_) != len(theirs):
                raise ValueError(
                    f"state_dict: {part}: found {len(theirs)} layers ({', '.join(theirs) or 'none'}), expected "
                    f"{len(open_)} ({', '.join(open_) or 'none'}); say by names= which is which"
                )
            explicit |= {name: (module,) for name, module in zip(open_, theirs, strict=True)}
        for name in linear:
            pairs += _layer_pairs(path, name, explicit[name], entries[name])
        for name in norms:
            pairs += _norm_pairs(path, name, explicit[name][0])
    return pairs


def _parts(
    params: Mapping[str, PyTree], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[str, PyTree]]]:
    """What holds layers or arrays, by its path: ("encoder",), or ("encoder", "dense") where networks are composed."""
    for name, entries in params.items():
        inner = [entry for entry in entries.values() if isinstance(entry, Mapping)]
        if any(isinstance(value, Mapping) for entry in inner for value in entry.values()):
            yield from _parts(entries, (*path, name))
        else:
            yield (*path, name), entries


def _alone(part: tuple[str, ...], name: str) -> _Pair:
    return _Pair(("params", *part, name), (".".join((*part, name)),), None)


def _layer_pairs(
    part: tuple[str, ...], layer: str, modules: Sequence[str], arrays: Mapping[str, PyTree]
) -> list[_Pair]:
    num_axes = arrays["kernel"].ndim
    if num_axes == 2:
        axes: tuple[int, ...] = (1, 0)
    elif part[0] in _UPSAMPLING_PARTS:
        axes = (*range(2, num_axes), 0, 1)
    else:
        axes = (*range(2, num_axes), 1, 0)
    return [
        _Pair(("params", *part, layer, "kernel"), tuple(f"{module}.weight" for module in modules), axes),
        _Pair(("params", *part, layer, "bias"), tuple(f"{module}.bias" for module in modules), None),
    ]


def _norm_pairs(part: tuple[str, ...], layer: str, module: str) -> list[_Pair]:
    return [
        _Pair((collection, *part, layer, name), (f"{module}.{theirs}",), None)
        for theirs, (collection, name) in _BATCH_NORM.items()
    ]


def _natural(name: str) -> list[Any]:
    """A key that sorts layer_10 behind layer_9."""
    return [int(piece) if piece.isdigit() else piece for piece in re.split(r"(\d+)", name)]


def _as_tuple(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _copied(tree: PyTree) -> PyTree:
    return {name: _copied(value) for name, value in tree.items()} if isinstance(tree, Mapping) else tree


def _at(tree: PyTree, path: Sequence[str]) -> PyTree:
    for name in path:
        tree = tree[name]
    return tree


def _put(tree: PyTree, path: Sequence[str], value: Array) -> None:
    _at(tree, path[:-1])[path[-1]] = value
