"""Dense networks."""

import math
from collections.abc import Sequence

import flax.linen as nn

from aejax.base import Array
from aejax.kernels.recipes import remembered
from aejax.nets.layers import ACTIVATIONS, after_layer, check_sizes, with_conditions
from aejax.nets.network import Network, as_network


class _MLP(nn.Module):
    hidden_dims: tuple[int, ...]
    output_shape: tuple[int, ...]
    activation: str
    output_activation: str
    dropout_rate: float
    batch_norm: bool

    @nn.compact
    def __call__(self, x: Array, cond: Array | None, train: bool) -> Array:
        h = with_conditions(x.reshape(x.shape[0], -1), cond)
        for index, width in enumerate(self.hidden_dims):
            h = nn.Dense(width, name=f"layer_{index}")(h)
            h = after_layer(self, h, index, train)
        h = nn.Dense(math.prod(self.output_shape), name=f"layer_{len(self.hidden_dims)}")(h)
        return ACTIVATIONS[self.output_activation](h).reshape(x.shape[0], *self.output_shape)


@remembered
def mlp(
    hidden_dims: Sequence[int],
    output_shape: Sequence[int],
    *,
    activation: str = "tanh",
    output_activation: str = "identity",
    dropout_rate: float = 0.0,
    batch_norm: bool = False,
) -> Network:
    """A dense network: its input flattened, conditions appended, (Dense, BatchNorm, activation, Dropout) each layer.

    Args:
        hidden_dims: widths of the hidden layers; none makes an affine map.
        output_shape: the event shape of its output.
        activation: of the hidden layers, one of ``ACTIVATIONS``.
        output_activation: of the output, likewise; none by default.
        dropout_rate: share of hidden units silenced in training, in [0, 1).
        batch_norm: whether each hidden layer is normalised; without it there is no ``batch_stats`` collection.

    Returns:
        The Network.

    Raises:
        ValueError: a width, the rate or the activation is not as above.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> network = mlp((8,), (2,))
        >>> variables = network.init(jax.random.key(0), jnp.zeros((1, 5)))
        >>> network.apply(variables, jnp.zeros((3, 5)))[0].shape
        (3, 2)
    """
    check_sizes(activation, dropout_rate, hidden_dims=hidden_dims, output_shape=output_shape)
    check_sizes(output_activation, dropout_rate)
    return as_network(
        _MLP(tuple(hidden_dims), tuple(output_shape), activation, output_activation, dropout_rate, batch_norm)
    )
