"""Divergences between distributions: arrays in, arrays out."""

import jax
import jax.numpy as jnp

from aejax.base import Array

__all__ = ["energy_distance", "kl_sparsity", "kl_standard_normal"]


def kl_standard_normal(mean: Array, log_var: Array) -> Array:
    """KL(Normal(mean, exp(log_var)) || Normal(0, 1)), summed over the code (Kingma & Welling 2014, appendix B).

    Args:
        mean: (n, d).
        log_var: (n, d).

    Returns:
        (n,), in nats.

    Example:
        >>> kl_standard_normal(jnp.ones((1, 2)), jnp.zeros((1, 2)))
        Array([1.], dtype=float32)
    """
    return 0.5 * jnp.sum(jnp.square(mean) + jnp.exp(log_var) - 1 - log_var, axis=-1)


def kl_sparsity(rate: Array, target: float | Array) -> Array:
    """KL(Bernoulli(target) || Bernoulli(rate)), how far each unit's mean activity is from the one asked for (Ng 2011).

    A rate is a mean of numbers in (0, 1), such as those of a sigmoid. A source text puts the mean of a ReLU here, whose
    log(1 - rate) is that of a negative number once the mean passes 1.

    Args:
        rate: (d,) in (0, 1).
        target: in (0, 1).

    Returns:
        (d,), in nats, at least 0.

    Example:
        >>> [round(float(value), 3) for value in kl_sparsity(jnp.array([0.05, 0.5]), 0.05)]
        [0.0, 0.495]
    """
    rate = jnp.clip(rate, 1e-6, 1 - 1e-6)  # a sigmoid rounds to 0 and 1
    return target * jnp.log(target / rate) + (1 - target) * jnp.log((1 - target) / (1 - rate))


def energy_distance(first: Array, second: Array) -> Array:
    """The squared energy distance of two samples, 2 E|X - Y| - E|X - X'| - E|Y - Y'| (Szekely & Rizzo 2013, eq. 5).

    Args:
        first: (n, c).
        second: (m, c).

    Returns:
        Scalar; zero in expectation if and only if both are of one distribution. The estimate is unbiased: pairs of a
        row with itself are left out. Rows that coincide have a gradient of zero.

    Example:
        >>> float(energy_distance(jnp.array([[0.0], [0.0]]), jnp.array([[1.0], [1.0]])))
        2.0
    """
    # Distances do not depend on the origin, but what is left of squares far larger than they are is rounding.
    centre = jax.lax.stop_gradient(jnp.concatenate([first, second]).mean(axis=0, keepdims=True))
    first, second = first - centre, second - centre

    def distances(a: Array, b: Array) -> Array:
        squares = jnp.sum(a**2, axis=1)[:, None] + jnp.sum(b**2, axis=1)[None, :] - 2 * a @ b.T
        # The slope of a root at zero is infinite, and infinity times the zero that follows is not a number.
        apart = squares > 0
        return jnp.where(apart, jnp.sqrt(jnp.where(apart, squares, 1)), 0)

    def within(a: Array) -> Array:
        apart = distances(a, a) * (1 - jnp.eye(a.shape[0], dtype=a.dtype))
        return apart.sum() / max(a.shape[0] * (a.shape[0] - 1), 1)

    return 2 * distances(first, second).mean() - within(first) - within(second)
