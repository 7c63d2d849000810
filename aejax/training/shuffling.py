"""Random permutations by sorting one array of numbers, which is several times faster on a CPU than sorting pairs."""

import math

import jax
import jax.numpy as jnp

from aejax.base import Array


def shuffle(key: Array, rows: Array) -> Array:
    """Rows in random order.

    Each round sorts numbers whose low bits are a position and whose high bits are random. With b random bits that is b
    riffle shuffles run backwards, and 3/2 log2(n) of them mix n cards (Bayer & Diaconis 1992); five more leave a
    distance to the uniform distribution of some hundredths. ``jax.random.permutation`` sorts pairs of a random number
    and a row, which XLA does 4 to 9 times more slowly.

    Args:
        key: PRNG key.
        rows: (n,) of any type, n below 2^31.

    Returns:
        (n,), the same values.

    Example:
        >>> sorted(shuffle(jax.random.key(0), jnp.arange(5)).tolist())
        [0, 1, 2, 3, 4]
    """
    num_rows = rows.shape[0]
    num_position_bits = max(1, (num_rows - 1).bit_length())
    num_random_bits = 32 - num_position_bits
    low_bits = jnp.uint32((1 << num_position_bits) - 1)
    positions = jnp.arange(num_rows, dtype=jnp.uint32)
    for round_key in jax.random.split(key, math.ceil((1.5 * num_position_bits + 5) / num_random_bits)):
        marked = (jax.random.bits(round_key, (num_rows,)) & ~low_bits) | positions
        rows = jnp.take(rows, jnp.sort(marked) & low_bits, mode="clip")
    return rows
