"""Networks. Linen lives here and nowhere else: what leaves this file is a pair of pure functions."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from aejax import conv
from aejax.base import Array, Variables

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": nn.relu,
    "leaky_relu": lambda x: nn.leaky_relu(x, 0.2),
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


# Layers are called layer_0, layer_1, ... and the normalisation behind layer i norm_i: that is the order in which
# ``interop`` pairs them with the layers of a PyTorch module.
def _after_layer(module: Any, h: Array, index: int, train: bool) -> Array:
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


class _MLP(nn.Module):
    hidden_dims: tuple[int, ...]
    output_shape: tuple[int, ...]
    activation: str
    output_activation: str
    dropout_rate: float
    batch_norm: bool

    @nn.compact
    def __call__(self, x: Array, cond: Array | None, train: bool) -> Array:
        h = _with_conditions(x.reshape(x.shape[0], -1), cond)
        for index, width in enumerate(self.hidden_dims):
            h = nn.Dense(width, name=f"layer_{index}")(h)
            h = _after_layer(self, h, index, train)
        h = nn.Dense(math.prod(self.output_shape), name=f"layer_{len(self.hidden_dims)}")(h)
        return ACTIVATIONS[self.output_activation](h).reshape(x.shape[0], *self.output_shape)


class _Convolution(nn.Module):
    """One layer of ``conv``: down without ``spatial``, up onto it with."""

    channels: int
    spatial: tuple[int, ...] | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (conv.WIDTH,) * (x.ndim - 2) + (x.shape[-1], self.channels)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.channels,))
        y = conv.downsample(x, kernel) if self.spatial is None else conv.upsample(x, kernel, self.spatial)
        return y + bias


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
            h = _after_layer(self, h, index, train)
        # Channels first, as PyTorch flattens, so that the weights of the dense layer carry over as they are.
        h = _with_conditions(jnp.moveaxis(h, -1, 1).reshape(x.shape[0], -1), cond)
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
        h = nn.Dense(first * math.prod(smallest), name="layer_0")(_with_conditions(z, cond))
        h = jnp.moveaxis(h.reshape(z.shape[0], first, *smallest), 1, -1)
        h = _after_layer(self, h, 0, train)
        for index, (channels, spatial) in enumerate(zip(others, larger, strict=False), start=1):
            h = _Convolution(channels, spatial, name=f"layer_{index}")(h)
            h = _after_layer(self, h, index, train)
        num_channels = math.prod(self.output_shape) // math.prod(self.spatial)
        h = _Convolution(num_channels, self.spatial, name=f"layer_{len(self.hidden_dims)}")(h)
        return h.reshape(z.shape[0], *self.output_shape)


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


def _with_conditions(h: Array, cond: Array | None) -> Array:
    return h if cond is None else jnp.concatenate([h, cond], axis=-1)


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
        >>> network = mlp((8,), (2,))
        >>> variables = network.init(jax.random.key(0), jnp.zeros((1, 5)))
        >>> network.apply(variables, jnp.zeros((3, 5)))[0].shape
        (3, 2)
    """
    _check(activation, dropout_rate, hidden_dims=hidden_dims, output_shape=output_shape)
    _check(output_activation, dropout_rate)
    return as_network(
        _MLP(tuple(hidden_dims), tuple(output_shape), activation, output_activation, dropout_rate, batch_norm)
    )


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
    _check(activation, dropout_rate, spatial=spatial, hidden_dims=hidden_dims, output_size=(output_size,))
    return as_network(
        _ConvolutionalEncoder(tuple(spatial), tuple(hidden_dims), output_size, activation, dropout_rate, batch_norm)
    )


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
    _check(activation, dropout_rate, spatial=spatial, hidden_dims=hidden_dims, output_shape=output_shape)
    if not hidden_dims:
        raise ValueError("hidden_dims: found none, expected the channels of at least one layer, e.g. (32, 64)")
    return as_network(
        _ConvolutionalDecoder(
            tuple(spatial), tuple(output_shape), tuple(hidden_dims), activation, dropout_rate, batch_norm
        )
    )


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
    _check(activation, dropout_rate, hidden_dim=(hidden_dim,), output_dim=(output_dim,), dilations=dilations)
    return as_network(_DilatedConvolutions(hidden_dim, output_dim, tuple(dilations), activation, dropout_rate))


def resize(spatial: Sequence[int], resized: Sequence[int]) -> Network:
    """Linear interpolation onto a finer grid, its transpose onto a coarser one: a layer without parameters.

    The corner points of both grids coincide. Onto a coarser grid each value is a mean of those around it, weighted by a
    tent; the other way round values between grid points lie on straight lines, so that an edge, where a field of
    logits crosses zero, can fall anywhere between them.

    Args:
        spatial: sizes of the input's spatial axes, each at least 2.
        resized: those of the output, all at least as large or all at most as large.

    Returns:
        The Network, (n, *spatial) -> (n, *resized).

    Raises:
        ValueError: sizes that are not as above.

    Example:
        >>> up = resize((3,), (5,))
        >>> up.apply({}, jnp.array([[0.0, 2.0, 0.0]]))[0]
        Array([[0., 1., 2., 1., 0.]], dtype=float32)
    """
    pairs = list(zip(spatial, resized, strict=False))
    is_finer = all(b >= a for a, b in pairs)
    if len(spatial) != len(resized) or min(*spatial, *resized) < 2 or not (is_finer or all(b <= a for a, b in pairs)):
        raise ValueError(
            f"resized: found {tuple(resized)} from {tuple(spatial)}, expected as many axes, all finer or all coarser"
        )
    if is_finer:
        weights = [_interpolation(a, b) for a, b in pairs]
    else:
        weights = [_interpolation(b, a).T for a, b in pairs]
        weights = [weight / weight.sum(axis=1, keepdims=True) for weight in weights]
    # The axis that changes the size of what follows least goes first in both directions.
    order = range(len(pairs)) if is_finer else range(len(pairs))[::-1]

    def apply(
        collections: Variables, x: Array, cond: Array | None = None, key: Array | None = None, train: bool = False
    ) -> tuple[Array, Variables]:
        del collections, cond, key, train
        for axis in order:
            x = jnp.moveaxis(jnp.tensordot(x, weights[axis], ((axis + 1,), (1,))), -1, axis + 1)
        return x, {}

    return Network(lambda *_: {}, apply)


def compose(**parts: Network) -> Network:
    """Networks one behind the other; conditions enter the first.

    Args:
        **parts: the Networks by name, in order; their collections get these names.

    Returns:
        The Network.

    Example:
        >>> import jax
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


def _interpolation(num_coarse: int, num_fine: int) -> np.ndarray:
    """(num_fine, num_coarse) weights of linear interpolation between grids whose ends coincide."""
    position = np.linspace(0, num_coarse - 1, num_fine)
    return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(num_coarse))).astype(np.float32)


def _check(activation: str, dropout_rate: float, **sizes: Sequence[int]) -> None:
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation: found {activation!r}, expected one of {', '.join(ACTIVATIONS)}")
    if not 0 <= dropout_rate < 1:
        raise ValueError(f"dropout_rate: found {dropout_rate}, expected a number in [0, 1)")
    for name, dims in sizes.items():
        if any(dim < 1 for dim in dims):
            raise ValueError(f"{name}: found {tuple(dims)}, expected positive whole numbers")


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
