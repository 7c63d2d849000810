import collections
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aejax.kernels.shuffling import _sides, permuted


def whole(key, num_rows):
    return permuted(key, num_rows, jnp.arange(num_rows, dtype=jnp.int32))


@pytest.mark.parametrize("num_rows", [1, 2, 3, 5, 63, 64, 97, 1000, 1009, 70_000])
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


@pytest.mark.parametrize("num_rows", [5, 40, 64, 1000, 1009])
def test_every_row_is_as_likely_at_every_position_and_beside_every_other(num_rows, key):
    """Which rows stand at some positions of many orders, and how far apart: neighbours, and those of one column."""
    num_draws = 40_000
    keys = jax.random.split(key, num_draws)
    apart = _sides(num_rows)[1]
    positions = np.array([0, 1, apart % num_rows, num_rows - 1])
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: permuted(key, num_rows, jnp.asarray(positions))))(keys))
    distances = [(drawn[:, j] - drawn[:, 0]) % num_rows - 1 for j in (1, 2, 3)]
    for values, num_values in [(column, num_rows) for column in drawn.T] + [(d, num_rows - 1) for d in distances]:
        expected = num_draws / num_values
        chi_square = ((np.bincount(values, minlength=num_values) - expected) ** 2 / expected).sum()
        assert abs(chi_square - (num_values - 1)) < 4 * math.sqrt(2 * (num_values - 1))


@pytest.mark.parametrize("num_rows", [1, 2, 3, 7, 64, 97, 1009, 6400, 104_729])
def test_few_numbers_are_no_rows(num_rows):
    first, second = _sides(num_rows)
    assert first * second >= num_rows
    assert first * second - num_rows <= max(3, math.isqrt(num_rows) // 10)


@pytest.mark.parametrize("num_rows", [4096, 4999])
def test_a_position_is_mapped_once_for_all_elements_of_its_row(key, num_rows):
    """4096 is a product of two sides, so that no number has to be mapped again."""

    def read(key, x, positions):
        return x[permuted(key, num_rows, positions)]

    program = jax.jit(read).lower(key, jnp.zeros((num_rows, 50)), jnp.arange(64)).compile().as_text()
    (reading,) = [part for part in program.split("\n\n") if " gather(" in part]
    assert " multiply(" not in reading
