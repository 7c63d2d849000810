"""Networks along time."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from aejax.base import Array
from aejax.kernels.recipes import remembered
from aejax.nets.layers import ACTIVATIONS, check_sizes
from aejax.nets.network import Network, as_network


class _DilatedConvolutions(nn.Module):
    hidden_dim: int
    output_dim: int
    dilations: tuple[int, ...]
    activation: str
    dropout_rate: float

    @nn.compact
    def __call__(self, x: Array, cond: Array | None, train: bool) -> Array:
        if cond is not None:
            x = jnp.concatenate([x, jnp.broadcast_to(cond[:, None], (*x.shape[:2], cond.shape[-1]))], axis=-1)
        h = nn.Dense(self.hidden_dim, name="layer_0")(x)
        for index, dilation in enumerate(self.dilations, start=1):
            u = jnp.pad(nn.LayerNorm(name=f"norm_{index}")(h), ((0, 0), (dilation, dilation), (0, 0)))
            # The three taps side by side: the convolution is one large matrix product.
            u = jnp.concatenate([u[:, tap * dilation :][:, : x.shape[1]] for tap in range(3)], axis=-1)
            u = ACTIVATIONS[self.activation](nn.Dense(self.hidden_dim, name=f"layer_{index}")(u))
            if self.dropout_rate > 0:
                u = nn.Dropout(self.dropout_rate, deterministic=not train)(u)
            h = h + u
        last = len(self.dilations) + 1
        return nn.Dense(self.output_dim, name=f"layer_{last}")(nn.LayerNorm(name=f"norm_{last}")(h))


@remembered
def dilated_convolutions(
    hidden_dim: int,
    output_dim: int,
    *,
    dilations: Sequence[int] = (1, 2, 4, 8, 1, 2),
    activation: str = "gelu",
    dropout_rate: float = 0.0,
) -> Network:
    """A residual network of dilated convolutions along time, whose output at a time sees the times around it.

    h <- h + activation(W [norm(h[t - d]), norm(h[t]), norm(h[t + d])] + b) for each dilation d, silence (zero) before
    and after. A layer is one matrix product, which is what a CPU is fast at (after Bai, Kolter & Koltun 2018, without
    their causality; layer normalisation before each layer).

    Args:
        hidden_dim: channels of the hidden layers.
        output_dim: numbers at each time of the output.
        dilations: one layer for each; their sum is how many times the output sees to either side.
        activation: of the hidden layers, one of ``ACTIVATIONS``.
        dropout_rate: share of hidden units silenced in training, in [0, 1).

    Returns:
        The Network, (n, times, features) -> (n, times, output_dim); conditions are appended at each time.

    Raises:
        ValueError: a size, a dilation, the rate or the activation is not as above.

    Example:
        >>> import jax
        >>> network = dilated_convolutions(16, 2, dilations=(1, 2))
        >>> variables = network.init(jax.random.key(0), jnp.zeros((1, 9, 5)))
        >>> network.apply(variables, jnp.zeros((3, 20, 5)))[0].shape
        (3, 20, 2)
    """
    check_sizes(activation, dropout_rate, hidden_dim=(hidden_dim,), output_dim=(output_dim,), dilations=dilations)
    return as_network(_DilatedConvolutions(hidden_dim, output_dim, tuple(dilations), activation, dropout_rate))
