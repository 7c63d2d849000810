import collections
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aejax.training.shuffling import shuffle


@pytest.mark.parametrize("num_rows", [1, 2, 5, 1000, 70_000])
def test_it_is_a_permutation(num_rows, key):
    rows = jnp.arange(num_rows, dtype=jnp.int32) + 7
    shuffled = shuffle(key, rows)
    assert shuffled.dtype == rows.dtype
    np.testing.assert_array_equal(np.sort(shuffled), rows)


@pytest.mark.parametrize("num_rows", [3, 4])
def test_every_order_is_equally_likely(num_rows, key):
    num_draws = 24_000
    drawn = jax.jit(jax.vmap(lambda key: shuffle(key, jnp.arange(num_rows))))(jax.random.split(key, num_draws))
    counts = collections.Counter(map(tuple, np.asarray(drawn).tolist()))
    num_orders = math.factorial(num_rows)
    assert len(counts) == num_orders
    expected = num_draws / num_orders
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_square < num_orders - 1 + 4 * math.sqrt(2 * (num_orders - 1))


def test_neighbours_part(key):
    """Rows that ties in the random bits would keep in order: at 70,000 rows a round has 15 bits for 17 of position."""
    shuffled = np.asarray(shuffle(key, jnp.arange(70_000)))
    steps = np.diff(shuffled)
    assert abs((steps > 0).mean() - 0.5) < 4 * 0.5 / math.sqrt(70_000)
    assert (steps == 1).mean() < 2e-4
    assert abs(np.corrcoef(shuffled[:-1], shuffled[1:])[0, 1]) < 4 / math.sqrt(70_000)
