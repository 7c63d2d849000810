"""A permutation that is computed, not stored: which row stands at a position, for any positions, without the others."""

import jax
import jax.numpy as jnp

from aejax.base import Array

# Beyond the bits of a row number. With fewer rounds the order of four rows is not yet uniform.
_MORE_ROUNDS = 16


def permuted(key: Array, num_rows: int, positions: Array) -> Array:
    """The rows at some positions of a random order, by the swap-or-not shuffle (Hoang, Morris & Rogaway 2012).

    In each round rows are paired at random, x with (k - x) mod n, and a hash of the pair says whether they change
    places. Each round is a bijection, so all of them are, whatever the number of rows.

    Args:
        key: PRNG key; another one gives another order.
        num_rows: n, at least 1 and below 2^31.
        positions: integers in [0, n), of any shape.

    Returns:
        int32 of the same shape: different rows for different positions.

    Example:
        >>> sorted(permuted(jax.random.key(0), 5, jnp.arange(5)).tolist())
        [0, 1, 2, 3, 4]
    """
    n = jnp.uint32(num_rows)
    num_rounds = num_rows.bit_length() + _MORE_ROUNDS
    centres, salts = jax.random.bits(key, (2, num_rounds), jnp.uint32)
    centres = centres % n
    x = positions.astype(jnp.uint32)
    for number in range(num_rounds):
        centre = centres[number]
        partner = jnp.where(centre >= x, centre - x, centre + (n - x))
        x = jnp.where(_coin(jnp.maximum(x, partner), salts[number]), partner, x)
    return x.astype(jnp.int32)


def _coin(x: Array, salt: Array) -> Array:
    """A bit that looks random, the same for equal numbers: the highest one after two rounds of multiply and shift."""
    x = (x ^ salt) * jnp.uint32(0x9E3779B1)
    x = (x ^ (x >> jnp.uint32(15))) * jnp.uint32(0x85EBCA77)
    x = (x ^ (x >> jnp.uint32(13))) * jnp.uint32(0xC2B2AE3D)
    return (x >> jnp.uint32(31)).astype(bool)
