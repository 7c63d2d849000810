"""Networks. Linen lives here and nowhere else: what leaves this file is a pair of pure functions."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.errors
import flax.linen as nn
import jax.numpy as jnp

from aejax.base import Array, Variables

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": nn.relu,
    "silu": nn.silu,
    "gelu": nn.gelu,
    "tanh": nn.tanh,
    "sigmoid": nn.sigmoid,
    "identity": lambda x: x,
}


class Network(NamedTuple):
    """A network as pure functions.

    Attributes:
        init: (key, x, cond=None) -> collections.
        apply: (collections, x, cond=None, key=None, train=False) -> (output, collections without ``params``).
            With ``train=True`` Dropout draws from ``key`` and BatchNorm uses and updates the batch's statistics.
    """

    init: Callable[..., Variables]
    apply: Callable[..., tuple[Array, Variables]]


class _MLP(nn.Module):
    hidden_dims: tuple[int, ...]
    output_shape: tuple[int, ...]
    activation: str
    dropout_rate: float
    batch_norm: bool

    @nn.compact
    def __call__(self, x: Array, cond: Array | None, train: bool) -> Array:
        h = x.reshape(x.shape[0], -1)
        if cond is not None:
            h = jnp.concatenate([h, cond], axis=-1)
        for width in self.hidden_dims:
            h = nn.Dense(width)(h)
            if self.batch_norm:
                h = nn.BatchNorm(use_running_average=not train)(h)
            h = ACTIVATIONS[self.activation](h)
            if self.dropout_rate > 0:
                h = nn.Dropout(self.dropout_rate, deterministic=not train)(h)
        size = 1
        for dim in self.output_shape:
            size *= dim
        return nn.Dense(size)(h).reshape(x.shape[0], *self.output_shape)


def mlp(
    hidden_dims: Sequence[int],
    output_shape: Sequence[int],
    *,
    activation: str = "tanh",
    dropout_rate: float = 0.0,
    batch_norm: bool = False,
) -> Network:
    """A dense network: its input flattened, conditions appended, (Dense, BatchNorm, activation, Dropout) each layer.

    Args:
        hidden_dims: widths of the hidden layers; none makes an affine map.
        output_shape: the event shape of its output, which has no activation.
        activation: one of ``ACTIVATIONS``.
        dropout_rate: share of hidden units silenced in training, in [0, 1).
        batch_norm: whether each hidden layer is normalised; without it there is no ``batch_stats`` collection.

    Returns:
        The Network.

    Raises:
        ValueError: a width, the rate or the activation is not as above.

    Example:
        >>> import jax
        >>> network = mlp((8,), (2,))
        >>> variables = network.init(jax.random.key(0), jnp.zeros((1, 5)))
        >>> network.apply(variables, jnp.zeros((3, 5)))[0].shape
        (3, 2)
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation: found {activation!r}, expected one of {', '.join(ACTIVATIONS)}")
    if not 0 <= dropout_rate < 1:
        raise ValueError(f"dropout_rate: found {dropout_rate}, expected a number in [0, 1)")
    for name, dims in (("hidden_dims", hidden_dims), ("output_shape", output_shape)):
        if any(dim < 1 for dim in dims):
            raise ValueError(f"{name}: found {tuple(dims)}, expected positive whole numbers")
    return as_network(_MLP(tuple(hidden_dims), tuple(output_shape), activation, dropout_rate, batch_norm))


def as_network(module: nn.Module) -> Network:
    """Makes pure functions of a linen module whose ``__call__`` takes (x, cond, train).

    Args:
        module: the linen module. Its collections other than ``params`` are returned updated when training.

    Returns:
        The Network.

    Example:
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
