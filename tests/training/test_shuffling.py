import collections
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aejax.training.shuffling import permuted


def whole(key, num_rows):
    return permuted(key, num_rows, jnp.arange(num_rows, dtype=jnp.int32))


@pytest.mark.parametrize("num_rows", [1, 2, 5, 64, 1000, 70_000])
def test_it_is_a_permutation(num_rows, key):
    found = whole(key, num_rows)
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(np.sort(found), np.arange(num_rows))


def test_a_part_is_a_part_of_the_whole(key):
    positions = np.array([[3, 999], [0, 17]])
    np.testing.assert_array_equal(permuted(key, 1000, jnp.asarray(positions)), np.asarray(whole(key, 1000))[positions])


@pytest.mark.parametrize("num_rows", [2, 3, 4, 5])
def test_every_order_is_equally_likely(num_rows, key):
    num_draws = 24_000
    drawn = jax.jit(jax.vmap(lambda key: whole(key, num_rows)))(jax.random.split(key, num_draws))
    counts = collections.Counter(map(tuple, np.asarray(drawn).tolist()))
    num_orders = math.factorial(num_rows)
    assert len(counts) == num_orders
    expected = num_draws / num_orders
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_square < num_orders - 1 + 4 * math.sqrt(2 * (num_orders - 1))


def test_neighbours_part(key):
    shuffled = np.asarray(whole(key, 70_000))
    steps = np.diff(shuffled)
    assert abs((steps > 0).mean() - 0.5) < 4 * 0.5 / math.sqrt(70_000)
    assert (steps == 1).mean() < 2e-4
    assert abs(np.corrcoef(shuffled[:-1], shuffled[1:])[0, 1]) < 4 / math.sqrt(70_000)


def test_every_row_is_as_likely_at_every_position_and_beside_every_other(key):
    """The first two rows of many orders of 1,000: which they are, and how far apart."""
    num_rows, num_draws = 1000, 40_000
    keys = jax.random.split(key, num_draws)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: permuted(key, num_rows, jnp.arange(2))))(keys))
    for values, num_values in ((drawn[:, 0], 1000), (drawn[:, 1], 1000), ((drawn[:, 1] - drawn[:, 0]) % 1000 - 1, 999)):
        counts = np.bincount(values, minlength=num_values)
        expected = num_draws / num_values
        chi_square = ((counts - expected) ** 2 / expected).sum()
        assert abs(chi_square - (num_values - 1)) < 4 * math.sqrt(2 * (num_values - 1))
