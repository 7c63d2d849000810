"""Rows made of a few atoms of a known dictionary: what a sparse code should find again."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Array, ArrayLike


class SparseRows(NamedTuple):
    """Sums of a few atoms.

    Attributes:
        x: (n, c).
        activity: (n, k), at least 0; the share ``num_active`` / k of it is not zero.
        atoms: (k, c), of unit length.
    """

    x: Array
    activity: Array
    atoms: Array


def sparse_dictionary(
    key: Array, num_rows: int, atoms: ArrayLike | None = None, num_active: int = 3, noise: float = 0.02
) -> SparseRows:
    """Rows that are sums of ``num_active`` atoms, chosen at random, with strengths between 0.5 and 1.5.

    Args:
        key: PRNG key.
        num_rows: n.
        atoms: (k, c) of unit length; by default 40 random directions in 20 dimensions, drawn from the key.
        num_active: atoms in a row.
        noise: standard deviation of the noise in each variable.

    Returns:
        SparseRows.

    Raises:
        ValueError: a number out of range.

    Example:
        >>> data = sparse_dictionary(jax.random.key(0), 7)
        >>> data.x.shape, int((data.activity > 0).sum(axis=1).max())
        ((7, 20), 3)
    """
    atom_key, choice_key, strength_key, noise_key = jax.random.split(key, 4)
    drawn = jax.random.normal(atom_key, (40, 20), jnp.float32) if atoms is None else jnp.asarray(atoms, jnp.float32)
    drawn = drawn / jnp.linalg.norm(drawn, axis=1, keepdims=True)
    num_atoms = drawn.shape[0]
    if num_rows < 1:
        raise ValueError(f"num_rows: found {num_rows}, expected a positive whole number")
    if not 1 <= num_active <= num_atoms:
        raise ValueError(f"num_active: found {num_active}, expected 1 to the number of atoms ({num_atoms})")
    rank = jnp.argsort(jnp.argsort(jax.random.uniform(choice_key, (num_rows, num_atoms), jnp.float32), axis=1), axis=1)
    strength = jax.random.uniform(strength_key, (num_rows, num_atoms), jnp.float32, minval=0.5, maxval=1.5)
    activity = jnp.where(rank < num_active, strength, 0)
    clean = activity @ drawn
    return SparseRows(clean + noise * jax.random.normal(noise_key, clean.shape, clean.dtype), activity, drawn)


def mean_max_cosine(found: ArrayLike, atoms: ArrayLike) -> float:
    """How well a dictionary was found: for each true atom the cosine with the nearest found one, averaged.

    Args:
        found: (m, c).
        atoms: (k, c).

    Returns:
        At most 1. The sign counts: an activity is not negative.

    Example:
        >>> mean_max_cosine(np.eye(3), np.eye(3)[:2])
        1.0
    """
    first, second = np.asarray(found, float), np.asarray(atoms, float)
    first = first / np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-12)
    second = second / np.maximum(np.linalg.norm(second, axis=1, keepdims=True), 1e-12)
    return float((second @ first.T).max(axis=1).mean())
