"""The deep autoencoder of Hinton & Salakhutdinov, and its start from a stack of Boltzmann machines."""

from collections.abc import Mapping, Sequence
from typing import Literal

from aejax import losses
from aejax.base import Array, Model, Variables
from aejax.models.autoencoder import autoencoder
from aejax.models.registry import factory


@factory
def deep_autoencoder(
    event_shape: Sequence[int],
    latent_dim: int,
    *,
    hidden_dims: Sequence[int] = (256, 128, 64),
    visible: Literal["gaussian", "bernoulli"] = "gaussian",
    activation: str = "gelu",
) -> Model:
    """Many layers and a linear code (Hinton & Salakhutdinov 2006, whose layers are logistic).

    Plain gradient descent from small random weights leaves such a network where it is; the authors begin from a stack
    of restricted Boltzmann machines instead, ``aejax.pretrain``. With Adam, today's initial weights and activations
    the network also trains without it, and ends lower: ``notebooks/09_deep_autoencoder.ipynb`` has both.

    Args:
        event_shape: shape of one example.
        latent_dim: size of the linear code.
        hidden_dims: widths of the encoder's hidden layers; the decoder mirrors them.
        visible: ``"gaussian"`` for standardised data (squared error), ``"bernoulli"`` for data in [0, 1]
            (cross-entropy, which the authors minimise on images).
        activation: name of the hidden activation; ``"sigmoid"`` for logistic layers, which Boltzmann machines need.

    Returns:
        The Model.

    Raises:
        ValueError: a dimension is not positive, or an unknown kind of unit or activation.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from aejax.base import Batch
        >>> model = deep_autoencoder((784,), 6, hidden_dims=(400, 200), visible="bernoulli")
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 784))))
        >>> model.encode(variables, jnp.zeros((2, 784))).mean.shape
        (2, 6)
    """
    if visible not in ("gaussian", "bernoulli"):
        raise ValueError(f'visible: found {visible!r}, expected "gaussian" or "bernoulli"')
    likelihood = losses.bernoulli() if visible == "bernoulli" else losses.squared_error()
    return autoencoder(
        event_shape, latent_dim, hidden_dims=hidden_dims, activation=activation, likelihood=likelihood, shortcut=False
    )


def unroll(machines: Sequence[Mapping[str, Array]], template: Variables) -> Variables:
    """The variables of a dense autoencoder whose layers are a stack of Boltzmann machines, up and down again.

    Args:
        machines: the ``params`` of each RBM, the one on the data first.
        template: variables of the autoencoder, whose layers these are to become.

    Returns:
        Variables like the template; decoder kernels are the encoder's, transposed.

    Raises:
        ValueError: the stack does not fit the autoencoder.

    Example:
        >>> import jax.numpy as jnp
        >>> layer = {"kernel": jnp.ones((4, 2)), "visible_bias": jnp.zeros(4), "hidden_bias": jnp.ones(2)}
        >>> start = {"layer_0": {"kernel": jnp.zeros((4, 2)), "bias": jnp.zeros(2)}}
        >>> back = {"layer_0": {"kernel": jnp.zeros((2, 4)), "bias": jnp.zeros(4)}}
        >>> unroll([layer], {"params": {"encoder": start, "decoder": back}})["params"]["decoder"]["layer_0"]["bias"]
        Array([0., 0., 0., 0.], dtype=float32)
    """
    encoder = {
        f"layer_{index}": {"kernel": machine["kernel"], "bias": machine["hidden_bias"]}
        for index, machine in enumerate(machines)
    }
    decoder = {
        f"layer_{index}": {"kernel": machine["kernel"].T, "bias": machine["visible_bias"]}
        for index, machine in enumerate(reversed(machines))
    }
    params = template["params"]
    for part, layers in (("encoder", encoder), ("decoder", decoder)):
        found = {name: layer["kernel"].shape for name, layer in layers.items()}
        expected = {name: layer["kernel"].shape for name, layer in params[part].items()}
        if found != expected:
            raise ValueError(f"{part}: found kernels {found} in the stack, expected {expected}")
    return {**template, "params": {**params, "encoder": encoder, "decoder": decoder}}
