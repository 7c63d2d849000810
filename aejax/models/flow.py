"""A generative model of vectors: noise that flows to data along a learned velocity."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp

from aejax import losses, nets
from aejax.base import Array, Aux, Batch, Model, PyTree, Variables
from aejax.kernels.recipes import remembered

State = TypeVar("State")

# Cosines of the time that the network is given beside the time itself.
_NUM_COSINES = 4


@remembered
def velocity_network(num_dims: int, hidden_dims: Sequence[int]) -> nets.Network:
    """The network of ``flow_matching``, which ``velocity`` takes.

    Args:
        num_dims: of a row.
        hidden_dims: widths of the hidden layers.

    Returns:
        The Network. It begins at zero, so that the flow begins as a standard normal.

    Example:
        >>> network = velocity_network(2, (8,))
        >>> variables = network.init(jax.random.key(0), jnp.zeros((1, 2)))
        >>> velocity(network, variables, jnp.ones((1, 2)), jnp.ones(1))
        Array([[1., 1.]], dtype=float32)
    """
    network = nets.mlp(hidden_dims, (num_dims,), activation="silu")
    last = f"layer_{len(hidden_dims)}"

    def init(key: Array, x: Array, cond: Array | None = None) -> Variables:
        variables = network.init(key, x, _with_time(jnp.zeros(x.shape[0], x.dtype), cond))
        params = variables["params"]
        return {**variables, "params": {**params, last: jax.tree.map(jnp.zeros_like, params[last])}}

    return nets.Network(init, network.apply)


def velocity(network: nets.Network, variables: Variables, x: Array, time: Array, cond: Array | None = None) -> Array:
    """Where rows move to, and how fast.

    A row x = (1 - t) noise + t data has the mean square s^2 = t^2 + (1 - t)^2 where the data are standardised. If they
    are standard normal, its velocity is (2 t - 1) / s^2 x. The network is given x / s, and adds 1 / s times its output:
    it learns what is not normal, at one scale at all times (as Karras et al. 2022, section 5, for diffusion).

    Args:
        network: from ``velocity_network``.
        variables: its variables.
        x: (n, d).
        time: (n,), from 0, where rows are noise, to 1, where they are data.
        cond: (n, c), or None.

    Returns:
        (n, d).
    """
    variance = jnp.square(time) + jnp.square(1 - time)
    scale = jnp.sqrt(variance)[:, None]
    output, _ = network.apply(variables, x / scale, _with_time(time, cond))
    return ((2 * time - 1) / variance)[:, None] * x + output / scale


@remembered
def flow_matching(num_dims: int, hidden_dims: Sequence[int] = (128, 128, 128), num_steps: int = 16) -> Model:
    """Flow matching along straight lines (Lipman et al. 2023; rectified flow, Liu, Gong & Liu 2023).

    The loss is E |v(x_t, t) - (x_1 - x_0)|^2, where x_0 is standard normal, x_1 a row, t uniform and
    x_t = (1 - t) x_0 + t x_1. Its optimum is the mean velocity of all lines through x_t. Noise that follows it from
    t = 0 to 1 has the distribution of the rows. The times of a batch are spread evenly, which keeps the loss steady.

    Args:
        num_dims: of a row. Rows are standardised, and none of their elements is missing.
        hidden_dims: widths of the network's hidden layers.
        num_steps: of integration, by the classical Runge-Kutta method of order four.

    Returns:
        The Model: it draws rows, and has their log-density by the change of variables (Chen et al. 2018). It has no
        encoder. Conditions in the batch, if any, are appended to the input of the network.

    Raises:
        ValueError: a size or a number that is not positive.

    Example:
        >>> model = flow_matching(2, hidden_dims=(8,))
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 2))))
        >>> model.sample(jax.random.key(1), variables, 5).shape
        (5, 2)
        >>> zero = Batch(jnp.zeros((1, 2)))
        >>> round(float(model.log_likelihood(jax.random.key(2), variables, zero, 1)[0]), 3)  # still standard normal
        -1.838
    """
    for name, value in (("num_dims", num_dims), ("num_steps", num_steps)):
        if value < 1:
            raise ValueError(f"{name}: found {value}, expected a positive whole number")
    network = velocity_network(num_dims, hidden_dims)

    def init(key: Array, batch: Batch) -> Variables:
        return network.init(key, batch.x[:1], None if batch.cond is None else batch.cond[:1])

    def loss(key: Array, variables: Variables, batch: Batch, hparams: PyTree, train: bool = True) -> tuple[Array, Aux]:
        del hparams, train
        time_key, noise_key = jax.random.split(key)
        num_rows = batch.x.shape[0]
        time = (jnp.arange(num_rows, dtype=batch.x.dtype) + jax.random.uniform(time_key, (), batch.x.dtype)) / num_rows
        noise = jax.random.normal(noise_key, batch.x.shape, batch.x.dtype)
        between = (1 - time)[:, None] * noise + time[:, None] * batch.x
        off = velocity(network, variables, between, time, batch.cond) - (batch.x - noise)
        value = losses.mean_examples(jnp.sum(jnp.square(off), axis=1), batch)
        return value, Aux({"loss": value}, {})

    def moved(variables: Variables, cond: Array | None, time: Array, x: Array) -> Array:
        return velocity(network, variables, x, jnp.full(x.shape[:1], time, x.dtype), cond)

    def sample(
        key: Array, variables: Variables, num_samples: int, cond: Array | None = None, z: Array | None = None
    ) -> Array:
        noise = jax.random.normal(key, (num_samples, num_dims), jnp.float32) if z is None else z
        return _integrated(lambda time, x: moved(variables, cond, time, x), noise, 0.0, 1.0, num_steps)

    def log_likelihood(key: Array, variables: Variables, batch: Batch, num_samples: int) -> Array:
        del key, num_samples  # it is exact, but for the steps of integration

        def with_divergence(time: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
            x, _ = state
            return moved(variables, batch.cond, time, x), _divergence(
                lambda x: moved(variables, batch.cond, time, x), x
            )

        start = (batch.x, jnp.zeros(batch.x.shape[:1], batch.x.dtype))
        noise, change = _integrated(with_divergence, start, 1.0, 0.0, num_steps)
        return change - 0.5 * jnp.sum(jnp.square(noise) + math.log(2 * math.pi), axis=1)

    return Model(init, loss, sample=sample, log_likelihood=log_likelihood)


def _with_time(time: Array, cond: Array | None) -> Array:
    """(n, f): the time as numbers near one, before the conditions."""
    waves = [jnp.cos(math.pi * number * time) for number in range(1, _NUM_COSINES + 1)]
    features = jnp.stack([2 * time - 1, *waves], axis=1)
    return features if cond is None else jnp.concatenate([features, cond], axis=1)


def _divergence(function: Callable[[Array], Array], x: Array) -> Array:
    """(n,): the trace of the derivative of each row of (n, d) -> (n, d) by that row."""

    def along(direction: Array) -> Array:
        tangent = jnp.broadcast_to(direction, x.shape)
        return jnp.sum(jax.jvp(function, (x,), (tangent,))[1] * tangent, axis=1)

    return jnp.sum(jax.lax.map(along, jnp.eye(x.shape[1], dtype=x.dtype)[:, None, :]), axis=0)


def _integrated(
    slope: Callable[[Array, State], State], start: State, begin: float, end: float, num_steps: int
) -> State:
    """The state at the end, by the classical Runge-Kutta method of order four."""
    step = (end - begin) / num_steps

    def ahead(state: State, share: float, change: State) -> State:
        return jax.tree.map(lambda value, slope: value + share * step * slope, state, change)

    def advance(state: State, number: Array) -> tuple[State, None]:
        time = begin + step * number
        first = slope(time, state)
        second = slope(time + step / 2, ahead(state, 0.5, first))
        third = slope(time + step / 2, ahead(state, 0.5, second))
        fourth = slope(time + step, ahead(state, 1.0, third))
        mean = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, first, second, third, fourth)
        return ahead(state, 1.0, mean), None

    return jax.lax.scan(advance, start, jnp.arange(num_steps, dtype=jnp.float32))[0]
