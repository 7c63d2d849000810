"""A permutation that is computed, not stored: which row stands at a position, for any positions, without the others."""

import math

import jax
import jax.numpy as jnp

from aejax.base import Array

# With 6 rounds neighbours of some tens of rows are still seen to stay together, and with 16 the order of six rows to be
# uneven; below the number of rows that stands here the cost of more rounds does not matter.
_ROUNDS, _ROUNDS_OF_FEW, _FEW = 8, 24, 64


def permuted(key: Array, num_rows: int, positions: Array) -> Array:
    """The rows at some positions of a random order, by a Feistel network (Luby & Rackoff 1988; Black & Rogaway 2002).

    A number below a * b is a pair (u, v), and a round adds a hash of the one to the other: a bijection, whatever the
    hash. Of a * b, at least ``num_rows`` and as little more as can be, the numbers that are no rows are mapped again
    until they are.

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
    first, second = _sides(num_rows)
    a, b, n = jnp.uint32(first), jnp.uint32(second), jnp.uint32(num_rows)
    num_rounds = _ROUNDS_OF_FEW if num_rows < _FEW else _ROUNDS
    salts = jax.random.bits(key, (num_rounds // 2, 2), jnp.uint32)

    def two_rounds(number: Array, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        u, v = pair
        u = (u + _hashed(v, salts[number, 0]) % a) % a
        return u, (v + _hashed(u, salts[number, 1]) % b) % b

    def mapped(state: tuple[Array, Array]) -> tuple[Array, Array]:
        numbers, is_row = state
        u, v = jax.lax.fori_loop(0, len(salts), two_rounds, (numbers // b, numbers % b))
        numbers = jnp.where(is_row, numbers, u * b + v)
        return numbers, numbers < n

    # Loops, though most numbers are rows at once: they are traced in half the time, and XLA fuses nothing in a loop
    # with what follows. Otherwise it maps a position anew for each element of the row that is read there.
    first_state = positions.astype(jnp.uint32), jnp.zeros(positions.shape, bool)
    rows, _ = jax.lax.while_loop(lambda state: ~jnp.all(state[1]), mapped, first_state)
    return rows.astype(jnp.int32)


def _sides(num_rows: int) -> tuple[int, int]:
    """Two numbers near the root of ``num_rows``, at least 2, whose product is as little above it as can be."""
    root = max(2, math.isqrt(num_rows))
    first = min(range(root, max(2, root // 4) - 1, -1), key=lambda side: side * math.ceil(num_rows / side))
    return first, max(2, math.ceil(num_rows / first))


def _hashed(x: Array, salt: Array) -> Array:
    """Numbers that look random, the same for equal ones: two rounds of multiply and shift."""
    x = (x ^ salt) * jnp.uint32(0x9E3779B1)
    x = (x ^ (x >> jnp.uint32(15))) * jnp.uint32(0x85EBCA77)
    return x ^ (x >> jnp.uint32(13))
