"""Pure functions made of an nnx module. Importing nnx takes a while, so only who hands one in does it."""

import warnings
import zlib
from collections.abc import Callable, Hashable, Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from aejax.base import Array, PyTree, Variables
from aejax.nets.signature import arguments_of


def nnx_functions(
    given: nnx.Module | Callable[[nnx.Rngs], nnx.Module],
) -> tuple[Callable[..., Variables], Callable[..., tuple[Array, Variables]]]:
    """The functions of a ``Network``, see ``as_network``.

    Args:
        given: a module, whose values are what ``init`` returns whatever its key, or a function that makes one of
            ``nnx.Rngs``, which ``init`` calls with those of its key.

    Returns:
        init and apply. The collections are ``params`` (``nnx.Param``), ``batch_stats`` (``nnx.BatchStat``) and
        ``state``, whatever else the module holds.

    Raises:
        ValueError: the function makes no module, it cannot be called, or a required argument of its ``__call__`` is
            not known.

    Example:
        >>> init, apply = nnx_functions(lambda rngs: nnx.Linear(3, 2, rngs=rngs))
        >>> apply(init(jax.random.key(0), jnp.ones((1, 3))), jnp.ones((5, 3)))[0].shape
        (5, 2)
    """
    # A copy, so that what happens to the module later changes nothing here.
    module = nnx.clone(given) if isinstance(given, nnx.Module) else _abstract(given)
    nnx.pop(module, nnx.Intermediate)
    name = type(module).__name__
    if not callable(module):
        raise ValueError(f"{name}: found no __call__, expected a module that can be called with x")
    arrange = arguments_of(module.__call__, f"{name}.__call__")
    graph, state = nnx.split(module)
    leaves = dict(nnx.to_flat_state(state))
    streams = [path for path, leaf in leaves.items() if isinstance(leaf, nnx.RngKey)]

    def init(key: Array, x: Array, cond: Array | None = None) -> Variables:
        arrange(x, cond=cond)
        if isinstance(given, nnx.Module):
            # The module keeps its own arrays, whoever gives these away.
            return jax.tree.map(jnp.array, _collections(leaves))
        return _collections(dict(nnx.to_flat_state(nnx.state(given(nnx.Rngs(key))))))

    def apply(
        collections: Variables,
        x: Array,
        cond: Array | None = None,
        key: Array | None = None,
        train: bool = False,
    ) -> tuple[Array, Variables]:
        arguments, options = arrange(x, cond=cond, train=train)
        filled = [(path, _filled(path, leaf, collections, key)) for path, leaf in leaves.items()]
        merged = nnx.merge(graph, nnx.from_flat_state(filled))
        if train:
            merged.train()
        else:
            merged.eval()
        try:
            with warnings.catch_warnings():
                # Nobody reads here what a module sows, which newer versions warn of.
                warnings.filterwarnings("ignore", message=r"\s*Using 'Module.sow\(\)'", category=DeprecationWarning)
                output = merged(*arguments, **options)
        except TypeError as error:
            if key is not None or not streams or "PRNG key" not in str(error):
                raise
            raise ValueError(
                f"key: found None, expected a key: {name} draws from a stream of its Rngs"
                + ("" if train else "; let it draw in training only")
            ) from error
        updated = collections
        if train:
            after = dict(nnx.to_flat_state(nnx.state(merged)))
            updated = _collections({path: after[path] for path in leaves})
        return output, {collection: values for collection, values in updated.items() if collection != "params"}

    return init, apply


def _abstract(factory: Callable[[nnx.Rngs], nnx.Module]) -> nnx.Module:
    """The module of a factory, shapes in the place of arrays."""
    try:
        module = nnx.eval_shape(lambda: factory(nnx.Rngs(0)))
    except Exception as error:
        raise ValueError(
            f"network: found {factory!r}, expected a module, a pair of functions, or a function of nnx.Rngs that makes "
            f"an nnx module; called with nnx.Rngs it raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(module, nnx.Module):
        raise ValueError(
            f"network: found {factory!r}, which makes {type(module).__name__} of nnx.Rngs, expected an nnx module"
        )
    return module


def _collections(leaves: Mapping[tuple[Hashable, ...], PyTree]) -> Variables:
    """Nested dictionaries of what a module holds, without streams and sown values."""
    collections: Variables = {}
    for path, leaf in leaves.items():
        if isinstance(leaf, nnx.RngState | nnx.Intermediate):
            continue
        *parents, last = _place(path, leaf)
        values = collections
        for parent in parents:
            values = values.setdefault(parent, {})
        values[last] = leaf.get_value() if isinstance(leaf, nnx.Variable) else leaf
    return collections


def _place(path: tuple[Hashable, ...], leaf: object) -> tuple[str, ...]:
    """Where a value stands in the collections; numbers of a list's members as text, like linen's names."""
    names = {nnx.Param: "params", nnx.BatchStat: "batch_stats"}
    collection = next((name for kind, name in names.items() if isinstance(leaf, kind)), "state")
    return (collection, *map(str, path))


def _filled(path: tuple[Hashable, ...], leaf: PyTree, collections: Variables, key: Array | None) -> PyTree:
    """A leaf with its value of the collections; a stream's key follows from its path, and its count begins anew."""
    if isinstance(leaf, nnx.RngKey):
        # Without a key there is something in its place that cannot be drawn from.
        shape = leaf.get_value().shape
        return leaf.replace(jnp.zeros(shape) if key is None else _stream_key(key, path, shape))
    if isinstance(leaf, nnx.RngState):
        return leaf.replace(jnp.zeros(leaf.get_value().shape, leaf.get_value().dtype))
    value: PyTree = collections
    for part in _place(path, leaf):
        value = value[part]
    return leaf.replace(value) if isinstance(leaf, nnx.Variable) else value


def _stream_key(key: Array, path: tuple[Hashable, ...], shape: tuple[int, ...]) -> Array:
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(key)
    key = jax.random.fold_in(key, zlib.crc32("/".join(map(str, path)).encode()))
    return jax.random.split(key, shape) if shape else key
