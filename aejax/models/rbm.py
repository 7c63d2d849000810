"""The restricted Boltzmann machine: two layers of units without connections inside a layer."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from aejax.base import Array, Batch, Variables
from aejax.kernels.recipes import remembered

Units = Literal["bernoulli", "gaussian"]


class RBM(NamedTuple):
    """Pure functions of a restricted Boltzmann machine over flattened rows.

    Attributes:
        init: (key, batch) -> variables, whose ``params`` are ``kernel`` (v, h), ``visible_bias`` (v,) and
            ``hidden_bias`` (h,).
        free_energy: (params, visible) -> (n,), -log of the sum over hidden states of exp(-energy).
        hidden_mean: (params, visible) -> (n, h).
        visible_mean: (params, hidden) -> (n, v).
        sample_hidden: (key, params, visible) -> (n, h).
        sample_visible: (key, params, hidden) -> (n, v).
    """

    init: Callable[..., Variables]
    free_energy: Callable[..., Array]
    hidden_mean: Callable[..., Array]
    visible_mean: Callable[..., Array]
    sample_hidden: Callable[..., Array]
    sample_visible: Callable[..., Array]


@remembered
def rbm(num_visible: int, num_hidden: int, *, visible: Units = "bernoulli", hidden: Units = "bernoulli") -> RBM:
    """A restricted Boltzmann machine (Smolensky 1986; Hinton 2002).

    The energy is -v'Wh - b'v - c'h for Bernoulli units; a Gaussian layer, of unit variance, has (v - b)^2 / 2 in the
    place of -b'v (Hinton & Salakhutdinov 2006, SOM). Gaussian visible units want standardised data, Bernoulli ones data
    in [0, 1].

    Args:
        num_visible: size of a flattened row.
        num_hidden: number of hidden units.
        visible: kind of the visible units.
        hidden: kind of the hidden units.

    Returns:
        The RBM, which ``contrastive_divergence`` trains.

    Raises:
        ValueError: a size is not positive, or an unknown kind of unit.

    Example:
        >>> machine = rbm(6, 3)
        >>> params = machine.init(jax.random.key(0), Batch(jnp.zeros((1, 6))))["params"]
        >>> machine.hidden_mean(params, jnp.zeros((2, 6))).shape
        (2, 3)
    """
    for name, size in (("num_visible", num_visible), ("num_hidden", num_hidden)):
        if size < 1:
            raise ValueError(f"{name}: found {size}, expected a positive whole number")
    for name, units in (("visible", visible), ("hidden", hidden)):
        if units not in ("bernoulli", "gaussian"):
            raise ValueError(f'{name}: found {units!r}, expected "bernoulli" or "gaussian"')

    def init(key: Array, batch: Batch) -> Variables:
        del batch
        kernel = 0.01 * jax.random.normal(key, (num_visible, num_hidden), jnp.float32)
        return {
            "params": {
                "kernel": kernel,
                "visible_bias": jnp.zeros((num_visible,), jnp.float32),
                "hidden_bias": jnp.zeros((num_hidden,), jnp.float32),
            }
        }

    def flat(v: Array) -> Array:
        return v.reshape(v.shape[0], num_visible)

    def hidden_input(params: Variables, v: Array) -> Array:
        return flat(v) @ params["kernel"] + params["hidden_bias"][None, :]

    def visible_input(params: Variables, h: Array) -> Array:
        return h @ params["kernel"].T + params["visible_bias"][None, :]

    def free_energy(params: Variables, v: Array) -> Array:
        theta, bias = hidden_input(params, v), params["visible_bias"][None, :]
        own = 0.5 * jnp.square(flat(v) - bias) if visible == "gaussian" else -flat(v) * bias
        if hidden == "gaussian":
            from_hidden = 0.5 * (jnp.square(params["hidden_bias"])[None, :] - jnp.square(theta))
        else:
            from_hidden = -jax.nn.softplus(theta)
        return own.sum(axis=-1) + from_hidden.sum(axis=-1)

    def hidden_mean(params: Variables, v: Array) -> Array:
        return _mean(hidden, hidden_input(params, v))

    def visible_mean(params: Variables, h: Array) -> Array:
        return _mean(visible, visible_input(params, h))

    def sample_hidden(key: Array, params: Variables, v: Array) -> Array:
        return _sample(key, hidden, hidden_mean(params, v))

    def sample_visible(key: Array, params: Variables, h: Array) -> Array:
        return _sample(key, visible, visible_mean(params, h))

    return RBM(init, free_energy, hidden_mean, visible_mean, sample_hidden, sample_visible)


def _mean(units: Units, total_input: Array) -> Array:
    return jax.nn.sigmoid(total_input) if units == "bernoulli" else total_input


def _sample(key: Array, units: Units, mean: Array) -> Array:
    if units == "bernoulli":
        return jax.random.bernoulli(key, mean).astype(mean.dtype)
    return mean + jax.random.normal(key, mean.shape, mean.dtype)
