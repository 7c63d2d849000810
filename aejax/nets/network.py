"""What a network is: a pair of pure functions, made of a linen module; several of them, one behind the other."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.errors
import flax.linen as nn
import jax

from aejax.base import Array, Variables


class Network(NamedTuple):
    """A network as pure functions.

    Attributes:
        init: (key, x, cond=None) -> collections.
        apply: (collections, x, cond=None, key=None, train=False) -> (output, collections without ``params``).
            With ``train=True`` Dropout draws from ``key`` and BatchNorm uses and updates the batch's statistics.
    """

    init: Callable[..., Variables]
    apply: Callable[..., tuple[Array, Variables]]


def as_network(module: nn.Module) -> Network:
    """Makes pure functions of a linen module whose ``__call__`` takes (x, cond, train).

    Args:
        module: the linen module. Its collections other than ``params`` are returned updated when training.

    Returns:
        The Network.

    Example:
        >>> import jax.numpy as jnp
        >>> class Identity(nn.Module):
        ...     def __call__(self, x, cond, train):
        ...         return x
        >>> as_network(Identity()).apply({}, jnp.ones((1, 1)))[0]
        Array([[1.]], dtype=float32)
    """

    def init(key: Array, x: Array, cond: Array | None = None) -> Variables:
        return dict(module.init(key, x, cond, False))

    def apply(
        collections: Variables,
        x: Array,
        cond: Array | None = None,
        key: Array | None = None,
        train: bool = False,
    ) -> tuple[Array, Variables]:
        names = [name for name in collections if name != "params"]
        rngs = None if key is None else {"dropout": key}
        try:
            if train and names:
                output, updated = module.apply(collections, x, cond, True, rngs=rngs, mutable=names)
                return output, dict(updated)
            output = module.apply(collections, x, cond, train, rngs=rngs)
        except flax.errors.ScopeParamShapeError as error:
            conditions = "none" if cond is None else f"{cond.shape[-1]} condition(s)"
            raise ValueError(
                f"the input (event shape {x.shape[1:]}, {conditions}) does not fit the variables; give the same "
                f"number of variables and conditions as in training ({error})"
            ) from error
        return output, {name: collections[name] for name in names}

    return Network(init, apply)


def compose(**parts: Network) -> Network:
    """Networks one behind the other; conditions enter the first.

    Args:
        **parts: the Networks by name, in order; their collections get these names.

    Returns:
        The Network.

    Example:
        >>> import jax.numpy as jnp
        >>> from aejax.nets import mlp, resize
        >>> network = compose(code=mlp((8,), (3, 3)), picture=resize((3, 3), (5, 5)))
        >>> variables = network.init(jax.random.key(0), jnp.zeros((1, 2)))
        >>> network.apply(variables, jnp.zeros((4, 2)))[0].shape
        (4, 5, 5)
    """
    first = next(iter(parts))

    def init(key: Array, x: Array, cond: Array | None = None) -> Variables:
        collections = {}
        for index, (name, part) in enumerate(parts.items()):
            given = cond if name == first else None
            collections[name] = part.init(jax.random.fold_in(key, index), x, given)
            x, _ = part.apply(collections[name], x, given)
        return join(**collections)

    def apply(
        collections: Variables, x: Array, cond: Array | None = None, key: Array | None = None, train: bool = False
    ) -> tuple[Array, Variables]:
        updated = {}
        for index, (name, part) in enumerate(parts.items()):
            own_key = None if key is None else jax.random.fold_in(key, index)
            x, updated[name] = part.apply(select(collections, name), x, cond if name == first else None, own_key, train)
        return x, join(**updated)

    return Network(init, apply)


def select(variables: Variables, part: str) -> Variables:
    """The collections of one part of a model, such as its encoder.

    Example:
        >>> select({"params": {"encoder": 1, "decoder": 2}, "batch_stats": {"decoder": 3}}, "encoder")
        {'params': 1}
    """
    return {name: parts[part] for name, parts in variables.items() if part in parts}


def join(**parts: Variables) -> Variables:
    """The inverse of ``select`` over all parts: collections of parts to parts of collections.

    Example:
        >>> join(encoder={"params": 1}, decoder={"params": 2, "batch_stats": 3})
        {'params': {'encoder': 1, 'decoder': 2}, 'batch_stats': {'decoder': 3}}
    """
    joined: dict[str, dict[str, Any]] = {}
    for part, collections in parts.items():
        for name, values in collections.items():
            joined.setdefault(name, {})[part] = values
    return joined
