"""What a network is: a pair of pure functions, made of a module or of others; several, one behind the other."""

import inspect
import sys
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax

from aejax.base import Array, PyTree, Variables
from aejax.kernels.recipes import remembered
from aejax.nets.linen import linen_functions
from aejax.nets.signature import arguments_of


class Network(NamedTuple):
    """A network as pure functions.

    Attributes:
        init: (key, x, cond=None) -> collections.
        apply: (collections, x, cond=None, key=None, train=False) -> (output, collections without ``params``).
            With ``train=True`` Dropout draws from ``key`` and BatchNorm uses and updates the batch's statistics.
    """

    init: Callable[..., Variables]
    apply: Callable[..., tuple[Array, Variables]]


@remembered
def as_network(network: nn.Module | Network | tuple[Callable[..., PyTree], Callable[..., Array]] | Callable) -> Network:
    """Makes pure functions of a network of another kind.

    A module's ``__call__`` takes (x), (x, cond), (x, train) or (x, cond, train), by position or by keyword; ``train``
    may be spelled ``training``, ``is_training``, ``deterministic`` or ``use_running_average`` (the last two are its
    negation). Other arguments need defaults, which they keep. Each random stream gets a key of its own, which follows
    from the one key and the stream's name (of an nnx module: its place). What the module sows is dropped. Collections
    other than ``params`` are updated in training only.

    Args:
        network: one of

            - a linen module;
            - a function of ``nnx.Rngs`` that makes an nnx module: ``init`` draws new values by its key;
            - an nnx module: ``init`` returns the values that it has, whatever the key, so that all members of an
              ensemble begin alike. It is in training or not as ``train`` says (``module.train()``, ``module.eval()``);
            - a pair of functions, init (key, x) -> params and apply (params, x) -> output. Params are any pytree; each
              may take ``cond`` too, and apply ``train`` and ``key``;
            - a Network, which is returned as it is.

    Returns:
        The Network.

    Raises:
        ValueError: something else, or a function with a required argument that is not as above.

    Example:
        >>> import jax.numpy as jnp
        >>> network = as_network(nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(2)]))
        >>> network.apply(network.init(jax.random.key(0), jnp.ones((1, 3))), jnp.ones((5, 3)))[0].shape
        (5, 2)
        >>> half = as_network((lambda key, x: (), lambda params, x: x / 2))
        >>> half.apply({"params": ()}, jnp.ones((1, 1)))[0]
        Array([[0.5]], dtype=float32)
    """
    if isinstance(network, Network):
        return network
    if isinstance(network, nn.Module):
        return Network(*linen_functions(network))
    if isinstance(network, tuple) and len(network) == 2 and all(map(callable, network)):
        return _of_functions(*network)
    if isinstance(network, type) and issubclass(network, nn.Module):
        raise ValueError(
            f"network: found the class {network.__name__}, expected a module; give {network.__name__}(...)"
        )
    if callable(network) or _is_nnx(network):
        from aejax.nets.nnx import nnx_functions

        return Network(*nnx_functions(network))
    raise ValueError(
        f"network: found {type(network).__name__}, expected a linen module, an nnx module or a function that makes "
        "one, or a pair of functions (init, apply)"
    )


def _is_nnx(network: object) -> bool:
    # Whoever has such a module has imported nnx.
    return "flax.nnx" in sys.modules and isinstance(network, sys.modules["flax.nnx"].Module)


def _of_functions(init_params: Callable[..., PyTree], apply_params: Callable[..., Array]) -> Network:
    """A Network of init (key, x) -> params and apply (params, x) -> output."""
    arrange_init = arguments_of(init_params, "init", ("key", "x"), ("cond",))
    arrange_apply = arguments_of(apply_params, "apply", ("params", "x"), ("cond", "train", "key"))
    takes_conditions = "cond" in inspect.signature(init_params).parameters

    def init(key: Array, x: Array, cond: Array | None = None) -> Variables:
        arrange_apply((), x, cond=cond)
        # An init that ignores the conditions is right for an apply that uses them.
        arguments, options = arrange_init(key, x, cond=cond if takes_conditions else None)
        return {"params": init_params(*arguments, **options)}

    def apply(
        collections: Variables, x: Array, cond: Array | None = None, key: Array | None = None, train: bool = False
    ) -> tuple[Array, Variables]:
        arguments, options = arrange_apply(collections["params"], x, cond=cond, train=train, key=key)
        return apply_params(*arguments, **options), {}

    return Network(init, apply)


@remembered
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
    joined: dict[str, Variables] = {}
    for part, collections in parts.items():
        for name, values in collections.items():
            joined.setdefault(name, {})[part] = values
    return joined
