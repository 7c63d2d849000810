"""The linear model that autoencoders begin as, against PCA and probabilistic PCA in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aejax import losses, models
from aejax.base import Batch
from aejax.models.principal import principal
from aejax.simulate import synthetic
from aejax.training import fit

FACTORIES = {name: models.MODELS[name] for name in ("autoencoder", "denoising_autoencoder", "vae")}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    weights = np.array([[2.0], [1.0]]) * rng.standard_normal((2, 6))
    x = rng.standard_normal((400, 2)) @ weights + 0.3 * rng.standard_normal((400, 6)) + 0.5
    return x.astype(np.float32)


def by_svd(x, latent_dim):
    _, values, directions = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    return directions[:latent_dim], values[:latent_dim] ** 2 / len(x)


@pytest.mark.parametrize("num_rows", [400, 4], ids=["tall", "wide"])
def test_components_are_those_of_the_singular_values(rows, num_rows):
    x = rows[:num_rows]
    found, (directions, variance) = principal(x, None, 2), by_svd(x, 2)
    np.testing.assert_allclose(found.variance, variance, rtol=1e-4)
    np.testing.assert_allclose(np.abs(found.directions @ directions.T), np.eye(2), atol=1e-3)
    left = x - x.mean(axis=0)
    left = left - left @ directions.T @ directions
    np.testing.assert_allclose(found.rest, np.mean(left**2, axis=0), atol=1e-4)


def test_what_conditions_explain_is_taken_off(rows):
    cond = np.random.default_rng(1).standard_normal((400, 2)).astype(np.float32)
    effect = np.array([[1.0] * 6, [0.0, 5.0] * 3], np.float32)
    found = principal(rows + cond @ effect, cond, 2)
    given = np.column_stack([np.ones(400), cond])
    expected = np.linalg.lstsq(given, rows + cond @ effect, rcond=None)[0]
    np.testing.assert_allclose(found.offset, expected, atol=1e-4)


def test_what_the_rows_do_not_have_is_zero():
    x = np.outer(np.arange(9.0), [1.0, 1.0, 0.0]).astype(np.float32)
    found = principal(x, None, 3)
    np.testing.assert_allclose(found.directions, [[0.5**0.5, 0.5**0.5, 0], [0] * 3, [0] * 3], atol=1e-6)
    still = principal(np.ones((9, 3), np.float32), None, 2)
    assert not np.any(still.directions)
    assert np.array_equal(still.offset, [[1, 1, 1]])


@pytest.mark.parametrize("name", ["autoencoder", "denoising_autoencoder"])
@pytest.mark.parametrize("latent_dim", [1, 3, 6, 8])
def test_it_begins_as_principal_components(name, latent_dim, rows, key):
    model = FACTORIES[name]((6,), latent_dim)
    variables = model.init(key, Batch(rows))
    directions, _ = by_svd(rows, latent_dim)
    expected = rows.mean(axis=0) + (rows - rows.mean(axis=0)) @ directions.T @ directions
    code = model.encode(variables, rows).mean
    np.testing.assert_allclose(model.decode(variables, code), expected, atol=2e-3)
    np.testing.assert_allclose(np.std(code[:, : min(latent_dim, 6)], axis=0), 1, rtol=1e-3)


def test_a_vae_begins_as_probabilistic_pca(rows, key):
    """Tipping & Bishop 1999, eq. 4; the bound is tight, since the posterior is Gaussian."""
    model = models.vae((6,), 2, likelihood=losses.gaussian("shared"))
    variables = model.init(key, Batch(rows))
    bound = [-model.loss(k, variables, Batch(rows), model.hparams)[0] for k in jax.random.split(key, 50)]
    expected = synthetic.probabilistic_pca_log_likelihood(rows - rows.mean(axis=0), 2)
    assert np.mean(bound) == pytest.approx(expected, abs=4 * np.std(bound) / np.sqrt(50) + 1e-3)
    model = models.vae((6,), 2)
    variables = model.init(key, Batch(rows))
    drawn = model.sample(key, variables, 20_000)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(rows.T), atol=0.06 * rows.var(axis=0).max())


def test_a_conditional_vae_begins_with_what_conditions_explain(rows, key):
    cond = np.random.default_rng(1).standard_normal((400, 1)).astype(np.float32)
    batch = Batch(rows + 3 * cond, cond=cond)
    model = models.conditional_vae((6,), 2)
    variables = model.init(key, batch)
    drawn = model.sample(key, variables, 400, jnp.full((400, 1), 2.0))
    np.testing.assert_allclose(drawn.mean(axis=0), rows.mean(axis=0) + 6, atol=0.5)


def test_rows_and_images_are_flattened_alike(rows, key):
    flat, square = models.autoencoder((6,), 2), models.autoencoder((2, 3), 2)
    expected = flat.encode(flat.init(key, Batch(rows)), rows).mean
    images = rows.reshape(-1, 2, 3)
    np.testing.assert_allclose(square.encode(square.init(key, Batch(images)), images).mean, expected, atol=1e-4)


def test_missing_values_and_targets_are_taken_into_account(rows, key):
    model = models.autoencoder((6,), 2)
    missing = rows.copy()
    missing[::50, 0] = np.nan
    variables = model.init(key, Batch(jnp.asarray(missing), mask=jnp.asarray(~np.isnan(missing))))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables))
    towards = model.init(key, Batch(jnp.zeros_like(rows), target=rows))
    expected = model.init(key, Batch(rows))
    jax.tree.map(np.testing.assert_array_equal, towards, expected)


def test_a_row_alone_leaves_what_was_drawn(rows, key):
    model = models.autoencoder((6,), 2)
    jax.tree.map(np.testing.assert_array_equal, model.init(key, Batch(rows[:1])), model.init(key, Batch(rows[1:2])))


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_fit_begins_from_all_training_rows(name, rows, key):
    model = FACTORIES[name]((6,), 2)
    fitted = fit(key, model, rows, validation=0, num_epochs=1, learning_rate=0.0, batch_size=32)
    expected = model.init(key, Batch(rows))["params"]["decoder"]["linear"]["layer_0"]
    found = fitted.variables["params"]["decoder"]["linear"]["layer_0"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), found, expected)
