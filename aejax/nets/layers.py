"""What hidden layers of all kinds share: activations, normalisation, Dropout, conditions, checks of sizes."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp

from aejax.base import Array

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": nn.relu,
    "leaky_relu": lambda x: nn.leaky_relu(x, 0.2),
    "silu": nn.silu,
    "gelu": nn.gelu,
    "tanh": nn.tanh,
    "sigmoid": nn.sigmoid,
    "identity": lambda x: x,
}


# Layers are called layer_0, layer_1, ... and the normalisation behind layer i norm_i: that is the order in which
# ``exchange`` pairs them with the layers of a PyTorch module.
def after_layer(module: nn.Module, h: Array, index: int, train: bool) -> Array:
    """BatchNorm, activation and Dropout behind hidden layer ``index`` of a module that is being traced."""
    if module.batch_norm:
        # PyTorch's momentum of 0.1 is 0.9 here; the running variance is the biased one. The "fast" variance, a mean of
        # squares less a squared mean, loses digits of the gradient: 1e-4 where PyTorch agrees to 1e-5 otherwise.
        h = nn.BatchNorm(
            use_running_average=not train, momentum=0.9, epsilon=1e-5, use_fast_variance=False, name=f"norm_{index}"
        )(h)
    h = ACTIVATIONS[module.activation](h)
    if module.dropout_rate > 0:
        h = nn.Dropout(module.dropout_rate, deterministic=not train)(h)
    return h


def with_conditions(h: Array, cond: Array | None) -> Array:
    """Puts the conditions behind the features of each row."""
    return h if cond is None else jnp.concatenate([h, cond], axis=-1)


def check_sizes(activation: str, dropout_rate: float, **sizes: Sequence[int]) -> None:
    """Refuses an unknown activation, a rate outside [0, 1), and sizes that are not positive."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation: found {activation!r}, expected one of {', '.join(ACTIVATIONS)}")
    if not 0 <= dropout_rate < 1:
        raise ValueError(f"dropout_rate: found {dropout_rate}, expected a number in [0, 1)")
    for name, dims in sizes.items():
        if any(dim < 1 for dim in dims):
            raise ValueError(f"{name}: found {tuple(dims)}, expected positive whole numbers")
