"""Networks that keep less for the gradient and compute it anew."""

import jax

from aejax.base import Array, Variables
from aejax.kernels.recipes import remembered
from aejax.nets.network import Network


@remembered
def recomputed(network: Network, remat: bool = True) -> Network:
    """A network whose hidden layers are not kept for the gradient but computed again in the backward pass.

    Of an encoder and a decoder only one is in memory at a time, for a third more arithmetic (Chen et al. 2016,
    "Training deep nets with sublinear memory cost"). Results are the same to rounding.

    Args:
        network: the Network.
        remat: False for the network as it is.

    Returns:
        The Network.

    Example:
        >>> import jax.numpy as jnp
        >>> from aejax.nets import mlp
        >>> network = recomputed(mlp((8,), (2,)))
        >>> variables = network.init(jax.random.key(0), jnp.zeros((1, 5)))
        >>> network.apply(variables, jnp.zeros((3, 5)))[0].shape
        (3, 2)
    """
    if not remat:
        return network
    whole = jax.checkpoint(network.apply, static_argnums=(4,))

    def apply(
        collections: Variables, x: Array, cond: Array | None = None, key: Array | None = None, train: bool = False
    ) -> tuple[Array, Variables]:
        output, updated = whole(collections, x, cond, key, train)
        return output, updated

    return Network(network.init, apply)
