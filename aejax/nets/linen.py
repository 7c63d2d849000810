"""Pure functions made of a linen module."""

import re
import zlib
from collections.abc import Callable

import flax.errors
import flax.linen as nn
import jax

from aejax.base import Array, PyTree, Variables
from aejax.nets.signature import arguments_of

_ABSENT = (flax.errors.ScopeCollectionNotFound, flax.errors.ScopeVariableNotFoundError)


def linen_functions(module: nn.Module) -> tuple[Callable[..., Variables], Callable[..., tuple[Array, Variables]]]:
    """The functions of a ``Network``, see ``as_network``.

    Args:
        module: the linen module.

    Returns:
        init and apply.

    Raises:
        ValueError: it cannot be called, or a required argument of its ``__call__`` is not known.

    Example:
        >>> import jax.numpy as jnp
        >>> init, apply = linen_functions(nn.Dense(2))
        >>> apply(init(jax.random.key(0), jnp.ones((1, 3))), jnp.ones((5, 3)))[0].shape
        (5, 2)
    """
    name = type(module).__name__
    if not callable(module):
        raise ValueError(f"{name}: found no __call__, expected a module that can be called with x")
    arrange = arguments_of(module.__call__, f"{name}.__call__")

    def init(key: Array, x: Array, cond: Array | None = None) -> Variables:
        arguments, options = arrange(x, cond=cond, train=False)
        collections = dict(module.init(key, *arguments, **options))

        def is_variable(collection: str) -> bool:
            """Whether the module cannot do without a collection. What it only sows it can do without."""
            others = {other: values for other, values in collections.items() if other != collection}
            try:
                for train in (False, True):
                    jax.eval_shape(lambda train=train: call(others, key, arrange(x, cond=cond, train=train), train)[0])
            except _ABSENT:
                return True
            return False

        return {name: values for name, values in collections.items() if name == "params" or is_variable(name)}

    def apply(
        collections: Variables,
        x: Array,
        cond: Array | None = None,
        key: Array | None = None,
        train: bool = False,
    ) -> tuple[Array, Variables]:
        state = {collection: values for collection, values in collections.items() if collection != "params"}
        try:
            output, updated = call(collections, key, arrange(x, cond=cond, train=train), train)
        except flax.errors.ScopeParamShapeError as error:
            conditions = "none" if cond is None else f"{cond.shape[-1]} condition(s)"
            raise ValueError(
                f"the input (event shape {x.shape[1:]}, {conditions}) does not fit the variables; give the same "
                f"number of variables and conditions as in training ({error})"
            ) from error
        if not train:
            return output, state
        found: object = jax.tree.structure(updated)
        if found != jax.tree.structure(state):
            raise ValueError(
                f"{name}: found values sown into {' or '.join(state)}, expected variables there only; sow into another "
                'collection, such as "intermediates"'
            )
        return output, updated

    def call(
        collections: Variables, key: Array | None, call: tuple[list[PyTree], dict[str, PyTree]], train: bool
    ) -> tuple[Array, Variables]:
        """The output, and the collections that may change. Tried again where the module turns out to want more."""
        arguments, options = call
        may_change = [collection for collection in collections if collection != "params"]
        streams = ["dropout"]
        mutable = may_change if train else []
        while True:
            rngs = None if key is None else {stream: _stream_key(key, stream) for stream in streams}
            try:
                output, updated = module.apply(collections, *arguments, **options, rngs=rngs, mutable=mutable)
                return output, dict(updated)
            except flax.errors.InvalidRngError as error:
                wanted = re.search('PRNG for "(.+)"', str(error))
                if wanted and key is None:
                    raise ValueError(
                        f'key: found None, expected a key: {name} draws from the stream "{wanted[1]}"'
                        + ("" if train else "; let it draw in training only")
                    ) from error
                if not wanted or wanted[1] in streams:
                    raise
                streams.append(wanted[1])
            except flax.errors.ModifyScopeVariableError:
                # A module that writes its variables in inference too: it may, and nobody keeps what it wrote.
                if mutable == may_change:
                    raise
                mutable = may_change

    return init, apply


def _stream_key(key: Array, stream: str) -> Array:
    # A stream's key depends on its name alone, not on which others there are.
    return key if stream == "dropout" else jax.random.fold_in(key, zlib.crc32(stream.encode()))
