"""Convolutional networks in 1, 2 and 3 dimensions."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from aejax.base import Array
from aejax.kernels import conv
from aejax.kernels.recipes import remembered
from aejax.nets.layers import after_layer, check_sizes, with_conditions
from aejax.nets.network import Network, as_network


class _Convolution(nn.Module):
    """One layer of ``conv``: down without ``spatial``, up onto it with."""

    channels: int
    spatial: tuple[int, ...] | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (conv.WIDTH,) * (x.ndim - 2) + (x.shape[-1], self.channels)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.channels,), jnp.float32)
        return (
            conv.downsample(x, kernel, bias) if self.spatial is None else conv.upsample(x, kernel, bias, self.spatial)
        )


class _ConvolutionalEncoder(nn.Module):
    spatial: tuple[int, ...]
    hidden_dims: tuple[int, ...]
    output_size: int
    activation: str
    dropout_rate: float
    batch_norm: bool

    @nn.compact
    def __call__(self, x: Array, cond: Array | None, train: bool) -> Array:
        h = x.reshape(x.shape[0], *self.spatial, -1)
        for index, channels in enumerate(self.hidden_dims):
            h = _Convolution(channels, name=f"layer_{index}")(h)
            h = after_layer(self, h, index, train)
        # Channels first, as PyTorch flattens, so that the weights of the dense layer carry over as they are.
        h = with_conditions(jnp.moveaxis(h, -1, 1).reshape(x.shape[0], -1), cond)
        return nn.Dense(self.output_size, name=f"layer_{len(self.hidden_dims)}")(h)


class _ConvolutionalDecoder(nn.Module):
    spatial: tuple[int, ...]
    output_shape: tuple[int, ...]
    hidden_dims: tuple[int, ...]
    activation: str
    dropout_rate: float
    batch_norm: bool

    @nn.compact
    def __call__(self, z: Array, cond: Array | None, train: bool) -> Array:
        sizes = [self.spatial]
        for _ in self.hidden_dims:
            sizes.append(tuple(conv.halved(size) for size in sizes[-1]))
        smallest, *larger = sizes[::-1]
        first, *others = self.hidden_dims
        h = nn.Dense(first * math.prod(smallest), name="layer_0")(with_conditions(z, cond))
        h = jnp.moveaxis(h.reshape(z.shape[0], first, *smallest), 1, -1)
        h = after_layer(self, h, 0, train)
        for index, (channels, spatial) in enumerate(zip(others, larger, strict=False), start=1):
            h = _Convolution(channels, spatial, name=f"layer_{index}")(h)
            h = after_layer(self, h, index, train)
        num_channels = math.prod(self.output_shape) // math.prod(self.spatial)
        h = _Convolution(num_channels, self.spatial, name=f"layer_{len(self.hidden_dims)}")(h)
        return h.reshape(z.shape[0], *self.output_shape)


@remembered
def convolutional_encoder(
    spatial: Sequence[int],
    hidden_dims: Sequence[int],
    output_size: int,
    *,
    activation: str = "relu",
    dropout_rate: float = 0.0,
    batch_norm: bool = True,
) -> Network:
    """Convolutions of width 3 and stride 2 (BatchNorm, activation, Dropout behind each), then a dense layer.

    Args:
        spatial: sizes of the spatial axes, any number of them; what is left of an event are its channels, last.
        hidden_dims: channels of the layers, each of which halves the grid, rounding up.
        output_size: size of the output. Conditions enter with the input of the dense layer.
        activation: one of ``ACTIVATIONS``.
        dropout_rate: share of activations silenced in training, in [0, 1).
        batch_norm: whether each layer is normalised.

    Returns:
        The Network, (n, *spatial) or (n, *spatial, channels) -> (n, output_size).

    Raises:
        ValueError: a size, the rate or the activation is not as above.

    Example:
        >>> import jax
        >>> network = convolutional_encoder((28, 28), (8, 16), 10)
        >>> variables = network.init(jax.random.key(0), jnp.zeros((1, 28, 28)))
        >>> variables["params"]["layer_1"]["kernel"].shape, variables["params"]["layer_2"]["kernel"].shape
        ((3, 3, 8, 16), (784, 10))
    """
    check_sizes(activation, dropout_rate, spatial=spatial, hidden_dims=hidden_dims, output_size=(output_size,))
    return as_network(
        _ConvolutionalEncoder(tuple(spatial), tuple(hidden_dims), output_size, activation, dropout_rate, batch_norm)
    )


@remembered
def convolutional_decoder(
    spatial: Sequence[int],
    output_shape: Sequence[int],
    hidden_dims: Sequence[int],
    *,
    activation: str = "relu",
    dropout_rate: float = 0.0,
    batch_norm: bool = True,
) -> Network:
    """A dense layer, then transposed convolutions that double the grid up to exactly the size asked for.

    Args:
        spatial: sizes of the output's spatial axes, even or odd.
        output_shape: the event shape of the output, which starts with ``spatial``; what is left are channels.
        hidden_dims: channels before each doubling, at least one.
        activation: one of ``ACTIVATIONS``; the output has none.
        dropout_rate: share of activations silenced in training, in [0, 1).
        batch_norm: whether each hidden layer is normalised.

    Returns:
        The Network, (n, d) -> (n, *output_shape).

    Raises:
        ValueError: a size, the rate or the activation is not as above.

    Example:
        >>> import jax
        >>> network = convolutional_decoder((7, 5), (7, 5), (8, 4))
        >>> variables = network.init(jax.random.key(0), jnp.zeros((1, 2)))
        >>> network.apply(variables, jnp.zeros((3, 2)))[0].shape
        (3, 7, 5)
    """
    check_sizes(activation, dropout_rate, spatial=spatial, hidden_dims=hidden_dims, output_shape=output_shape)
    if not hidden_dims:
        raise ValueError("hidden_dims: found none, expected the channels of at least one layer, e.g. (32, 64)")
    return as_network(
        _ConvolutionalDecoder(
            tuple(spatial), tuple(output_shape), tuple(hidden_dims), activation, dropout_rate, batch_norm
        )
    )
