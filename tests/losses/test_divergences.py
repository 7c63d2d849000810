"""Divergences against SciPy, loops and derivatives by hand."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from aejax import losses


def test_kl_equals_the_integral(key):
    mean, log_var = np.array([[0.3, -1.0]]), np.array([[-0.5, 0.4]])
    z = mean + np.exp(log_var / 2) * jax.random.normal(key, (200_000, 2))
    log_ratio = stats.norm(mean, np.exp(log_var / 2)).logpdf(z) - stats.norm(0, 1).logpdf(z)
    np.testing.assert_allclose(
        losses.kl_standard_normal(jnp.array(mean), jnp.array(log_var))[0], log_ratio.sum(axis=1).mean(), rtol=0.02
    )
    assert losses.kl_standard_normal(jnp.zeros((1, 3)), jnp.zeros((1, 3)))[0] == 0


def test_the_energy_distance_does_not_depend_on_the_origin():
    rng = np.random.default_rng(0)
    first, second = 1e4 + rng.uniform(-1, 1, (50, 3)), 1e4 + 0.5 + rng.uniform(-1, 1, (40, 3))
    between, within, other = (
        np.linalg.norm(a[:, None] - b, axis=2) for a, b in ((first, second), (first, first), (second, second))
    )
    expected = 2 * between.mean() - within.sum() / (50 * 49) - other.sum() / (40 * 39)
    found = losses.energy_distance(jnp.asarray(first, jnp.float32), jnp.asarray(second, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=2e-3)  # the rows themselves are rounded at 1e4 to 1e-3


def test_the_energy_distance_has_a_gradient_where_rows_coincide():
    first, second = jnp.array([[0.0], [1.0], [1.0]]), jnp.array([[1.0], [3.0]])
    gradient = jax.grad(losses.energy_distance)(first, second)
    # each row by hand: 2 mean of signs towards the second sample, less the signs within, a pair counted twice of 6
    np.testing.assert_allclose(gradient[:, 0], [-2 / 3 + 2 / 3, -1 / 3 - 1 / 3, -1 / 3 - 1 / 3], atol=1e-6)
