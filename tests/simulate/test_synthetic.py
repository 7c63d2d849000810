"""The generators have their stated moments, and their optima are reached by the method that is known to reach them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from aejax.simulate import synthetic

LOADING = np.array(jax.random.normal(jax.random.key(3), (2, 10)))


@pytest.fixture(scope="module")
def data():
    return synthetic.linear_gaussian(jax.random.key(0), 50_000, LOADING, noise=0.5)


def test_linear_gaussian_has_its_covariance(data):
    expected = LOADING.T @ LOADING + 0.25 * np.eye(10)
    np.testing.assert_allclose(np.cov(np.asarray(data.x).T), expected, atol=0.1)
    np.testing.assert_allclose(data.clean, data.factors @ data.loading, rtol=1e-5)


def test_pca_reaches_its_error_and_the_wiener_filter_its_bound(data):
    x, clean = np.asarray(data.x), np.asarray(data.clean)
    basis = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:2]
    assert np.mean((x - x @ basis.T @ basis) ** 2) == pytest.approx(synthetic.pca_mse(LOADING, 0.5, 2), rel=0.02)
    best = clean.T @ x @ np.linalg.inv(x.T @ x)  # the best linear denoiser of these very rows
    error = np.mean((x @ best.T - clean) ** 2)
    assert error == pytest.approx(synthetic.wiener_mse(LOADING, 0.5), rel=0.02)
    snr = 10 * np.log10(np.mean(clean**2) / error)
    assert snr == pytest.approx(synthetic.wiener_snr_db(LOADING, 0.5), abs=0.15)


def test_the_likelihood_of_probabilistic_pca_equals_that_of_its_gaussian(data):
    x = np.asarray(data.x[:3000], float)
    covariance = np.cov(x.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    noise = values[:-2].mean()
    model = vectors[:, -2:] * (values[-2:] - noise) @ vectors[:, -2:].T + noise * np.eye(10)
    expected = stats.multivariate_normal(x.mean(0), model).logpdf(x).mean()
    assert synthetic.probabilistic_pca_log_likelihood(x, 2) == pytest.approx(expected, abs=2e-3)


def test_sinusoids_and_their_projection():
    data = synthetic.sinusoids(jax.random.key(0), 4000, length=128, noise=0.3)
    assert float(jnp.std(data.x - data.clean)) == pytest.approx(0.3, rel=0.02)
    assert float(jnp.mean(data.clean**2)) == pytest.approx(0.5, rel=0.02)
    error = jnp.mean((synthetic.sinusoid_projection(data.x, data.frequency) - data.clean) ** 2)
    assert float(error) == pytest.approx(synthetic.sinusoid_mse(128, 0.3), rel=0.05)


def test_temperature_dependent_variables_have_their_conditional_moments():
    data = synthetic.temperature_dependent(jax.random.key(0), 50_000)
    temperature = data.temperature[:, 0]
    z = (data.x - synthetic.conditional_mean(temperature)) / synthetic.conditional_std(temperature)
    for low in (300, 400):
        part = np.asarray(z)[(temperature >= low) & (temperature < low + 100)]
        np.testing.assert_allclose(part.mean(axis=0), 0, atol=0.03)
        np.testing.assert_allclose(part.std(axis=0), 1, atol=0.03)
    assert temperature.min() >= 300
    assert temperature.max() <= 500


@pytest.mark.parametrize("make", [synthetic.linear_gaussian, synthetic.sinusoids, synthetic.temperature_dependent])
def test_the_same_key_gives_the_same_bits_and_bad_numbers_are_named(make):
    np.testing.assert_array_equal(make(jax.random.key(1), 5).x, make(jax.random.key(1), 5).x)
    with pytest.raises(ValueError, match="num_rows: found 0"):
        make(jax.random.key(1), 0)
