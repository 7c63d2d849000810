"""A linear map beside a network."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from aejax.base import Array, Variables
from aejax.kernels.recipes import remembered
from aejax.nets.dense import mlp
from aejax.nets.network import Network, join, select

# At zero the layers would have no gradient in the first step, and Adam no derivative there.
_FIRST_SHARE = 1e-4


@remembered
def with_shortcut(network: Network, output_shape: Sequence[int]) -> Network:
    """A linear map plus the network, whose share is a learned factor that begins near zero (Bachlechner et al. 2021).

    Training begins from a linear model, and what the rows cannot teach the network costs little. The map begins as
    cosines over its input, orthonormal and the same for every key.

    Args:
        network: the Network.
        output_shape: the event shape of its output.

    Returns:
        The Network, with the parts ``linear`` and ``layers``.

    Example:
        >>> network = with_shortcut(mlp((8,), (2,)), (2,))
        >>> variables = network.init(jax.random.key(0), jnp.zeros((1, 5)))
        >>> sorted(variables["params"]), network.apply(variables, jnp.zeros((3, 5)))[0].shape
        (['layers', 'linear'], (3, 2))
    """
    linear = mlp((), output_shape)

    def init(key: Array, x: Array, cond: Array | None = None) -> Variables:
        linear_key, layers_key = jax.random.split(key)
        collections = join(linear=linear.init(linear_key, x, cond), layers=network.init(layers_key, x, cond))
        params = collections["params"]["linear"]
        # Drawing numbers that are soon replaced would take longer to compile than all else.
        params["layer_0"]["kernel"] = _cosines(params["layer_0"]["kernel"].shape)
        params["share"] = jnp.full((), _FIRST_SHARE, jnp.float32)
        return collections

    def apply(
        collections: Variables, x: Array, cond: Array | None = None, key: Array | None = None, train: bool = False
    ) -> tuple[Array, Variables]:
        straight, _ = linear.apply(select(collections, "linear"), x, cond)
        bent, updated = network.apply(select(collections, "layers"), x, cond, key, train)
        return straight + collections["params"]["linear"]["share"] * bent, join(layers=updated)

    return Network(init, apply)


def _cosines(shape: Sequence[int]) -> Array:
    """The first cosines of the discrete transform of type II, orthonormal along the longer axis."""
    length, number = max(shape), min(shape)
    place, frequency = jnp.arange(length, dtype=jnp.float32) + 0.5, jnp.arange(number, dtype=jnp.float32)
    waves = jnp.cos(jnp.pi / length * place[:, None] * frequency[None, :]) * math.sqrt(2 / length)
    waves = waves * jnp.where(frequency[None, :] == 0, math.sqrt(0.5), 1.0)
    return waves if shape[0] == length else waves.T
