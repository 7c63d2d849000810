"""Losses against independent formulas (SciPy) and their own definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from aejax import losses
from aejax.base import Batch

OUTPUT = np.linspace(-2, 2, 12).reshape(3, 4)


@pytest.mark.parametrize(
    ("likelihood", "params", "x", "distribution"),
    [
        (losses.gaussian(0.5), {}, OUTPUT + 0.3, stats.norm(OUTPUT, 0.5)),
        (losses.gaussian("shared"), {"log_scale": 0.2}, OUTPUT - 1, stats.norm(OUTPUT, np.sqrt(np.exp(0.4) + 1e-4))),
    ],
)
def test_gaussian_equals_scipy(likelihood, params, x, distribution):
    np.testing.assert_allclose(likelihood.nll(params, x, OUTPUT), -distribution.logpdf(x), rtol=1e-5)


def test_bernoulli_and_poisson_equal_scipy():
    bits = np.array([0, 1, 0, 1] * 3).reshape(3, 4)
    np.testing.assert_allclose(
        losses.bernoulli().nll({}, bits, OUTPUT), -stats.bernoulli(1 / (1 + np.exp(-OUTPUT))).logpmf(bits), rtol=1e-5
    )
    counts = np.arange(12).reshape(3, 4)
    np.testing.assert_allclose(
        losses.poisson().nll({}, counts, OUTPUT), -stats.poisson(np.exp(OUTPUT)).logpmf(counts), rtol=1e-4
    )


@pytest.mark.parametrize("likelihood", [losses.gaussian(0.5), losses.bernoulli(), losses.poisson()])
def test_samples_have_the_stated_mean(likelihood, key):
    output = jnp.tile(jnp.array([[-1.0, 0.5]]), (20_000, 1))
    drawn = likelihood.sample(key, {}, output)
    expected = likelihood.mean(output)
    standard_error = np.asarray(drawn).std(axis=0) / np.sqrt(20_000)
    np.testing.assert_array_less(np.abs(drawn.mean(axis=0) - expected[0]), 5 * standard_error)


def test_kl_equals_the_integral(key):
    mean, log_var = np.array([[0.3, -1.0]]), np.array([[-0.5, 0.4]])
    z = mean + np.exp(log_var / 2) * jax.random.normal(key, (200_000, 2))
    log_ratio = stats.norm(mean, np.exp(log_var / 2)).logpdf(z) - stats.norm(0, 1).logpdf(z)
    np.testing.assert_allclose(
        losses.kl_standard_normal(jnp.array(mean), jnp.array(log_var))[0], log_ratio.sum(axis=1).mean(), rtol=0.02
    )
    assert losses.kl_standard_normal(jnp.zeros((1, 3)), jnp.zeros((1, 3)))[0] == 0


def test_reductions_follow_the_mask():
    values = jnp.array([[1.0, 2.0], [3.0, 100.0], [50.0, 60.0]])
    batch = Batch(jnp.zeros((3, 2)), mask=jnp.array([[True, True], [True, False], [False, False]]))
    np.testing.assert_array_equal(losses.sum_elements(values, batch), [3, 3, 0])
    np.testing.assert_array_equal(losses.mean_elements(values, batch), [1.5, 3, np.nan])
    assert losses.mean_examples(jnp.array([1.0, 3.0, 99.0]), batch) == 2
    assert losses.mse_elements(jnp.array([[1.0, 1.0]] * 3), jnp.zeros((3, 2)), batch) == 1


@pytest.mark.parametrize("scale", [0, -1.0, "each"])
def test_a_bad_scale_is_named(scale):
    with pytest.raises(ValueError, match="scale: found"):
        losses.gaussian(scale)


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


def test_a_predicted_scale_is_bounded_on_both_sides():
    normal = losses.gaussian("predicted")
    for wild, variance in ((-1e4, np.exp(-10.0) + 1e-4), (1e4, np.exp(10.0) + 1e-4)):
        found = normal.nll({}, jnp.ones(()), jnp.array([0.0, wild]))
        np.testing.assert_allclose(found, -stats.norm.logpdf(1, 0, np.sqrt(variance)), rtol=1e-4)


def test_a_learned_scale_is_bounded_below():
    normal = losses.gaussian("shared")
    found = normal.nll({"log_scale": jnp.asarray(-50.0)}, jnp.asarray(0.01), jnp.zeros(()))
    np.testing.assert_allclose(found, -stats.norm.logpdf(0.01, 0, 0.01), rtol=1e-4)
