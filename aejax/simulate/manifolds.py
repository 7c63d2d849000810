"""Curved data of known intrinsic dimension, on which a nonlinear code beats principal components."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from aejax.base import Array


class Manifold(NamedTuple):
    """Points near a curve or a surface in space.

    Attributes:
        x: (n, 3), measured values.
        clean: (n, 3), on the manifold.
        coordinates: (n, k), the position on the manifold: k numbers that make ``clean``.
    """

    x: Array
    clean: Array
    coordinates: Array


def helix(key: Array, num_rows: int, num_turns: float = 2.0, noise: float = 0.05) -> Manifold:
    """A helix of radius 1 and height 2: one number makes a point, and no line comes near them all.

    Args:
        key: PRNG key.
        num_rows: n.
        num_turns: of the helix.
        noise: standard deviation of the noise in each of the three variables.

    Returns:
        Manifold, its coordinate the height, in [-1, 1].

    Raises:
        ValueError: ``num_rows`` or ``noise`` out of range.

    Example:
        >>> helix(jax.random.key(0), 5).x.shape
        (5, 3)
    """
    _check(num_rows, noise)
    height_key, noise_key = jax.random.split(key)
    height = jax.random.uniform(height_key, (num_rows,), jnp.float32, minval=-1, maxval=1)
    angle = jnp.pi * num_turns * height
    clean = jnp.stack([jnp.cos(angle), jnp.sin(angle), height], axis=1)
    return Manifold(clean + noise * jax.random.normal(noise_key, clean.shape, clean.dtype), clean, height[:, None])


def swiss_roll(key: Array, num_rows: int, noise: float = 0.05) -> Manifold:
    """A rolled-up sheet (Tenenbaum, de Silva & Langford 2000), scaled to a radius of about 1: two numbers a point.

    Args:
        key: PRNG key.
        num_rows: n.
        noise: standard deviation of the noise in each of the three variables.

    Returns:
        Manifold, its coordinates the angle, 3/2 pi to 9/2 pi, and the height, in [-1, 1].

    Raises:
        ValueError: ``num_rows`` or ``noise`` out of range.

    Example:
        >>> swiss_roll(jax.random.key(0), 5).coordinates.shape
        (5, 2)
    """
    _check(num_rows, noise)
    angle_key, height_key, noise_key = jax.random.split(key, 3)
    angle = 1.5 * jnp.pi * (1 + 2 * jax.random.uniform(angle_key, (num_rows,), jnp.float32))
    height = jax.random.uniform(height_key, (num_rows,), jnp.float32, minval=-1, maxval=1)
    radius = angle / (4.5 * jnp.pi)
    clean = jnp.stack([radius * jnp.cos(angle), height, radius * jnp.sin(angle)], axis=1)
    coordinates = jnp.stack([angle, height], axis=1)
    return Manifold(clean + noise * jax.random.normal(noise_key, clean.shape, clean.dtype), clean, coordinates)


def _check(num_rows: int, noise: float) -> None:
    if num_rows < 1:
        raise ValueError(f"num_rows: found {num_rows}, expected a positive whole number")
    if noise < 0:
        raise ValueError(f"noise: found {noise}, expected a standard deviation, at least 0")
