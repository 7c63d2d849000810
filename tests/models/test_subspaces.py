import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aejax.base import Batch
from aejax.models.subspaces import local_subspaces
from aejax.training import fit


@pytest.fixture
def variables(key):
    return local_subspaces((6,), 4, 3).init(key, Batch(jnp.zeros((1, 6))))


def test_a_row_of_a_subspace_is_coded_without_error(variables, key):
    model = local_subspaces((6,), 4, 3)
    coefficients = jax.random.normal(key, (20, 3))
    region = jnp.arange(20) % 3
    x = jnp.einsum("nc,nce->ne", coefficients, variables["params"]["basis"][region])
    z = model.encode(variables, x).mean
    np.testing.assert_array_equal(z[:, 0], region)
    np.testing.assert_allclose(z[:, 1:], coefficients, atol=1e-4)
    np.testing.assert_allclose(model.decode(variables, z), x, atol=1e-4)


def test_between_two_regions_the_decoder_is_linear(variables):
    model = local_subspaces((6,), 4, 3)
    c = jnp.array([1.0, -2.0, 0.5])
    ends = [model.decode(variables, jnp.array([[place, *c]])) for place in (1.0, 1.25, 2.0)]
    np.testing.assert_allclose(ends[1], 0.75 * ends[0] + 0.25 * ends[2], atol=1e-6)
    beyond = model.decode(variables, jnp.array([[7.0, *c]]))
    np.testing.assert_allclose(beyond, ends[2], atol=1e-6)


def test_square_roots_cannot_be_negative_and_carry_a_factor(key):
    model = local_subspaces((6,), 4, 3, scale="sqrt")
    variables = model.init(key, Batch(jnp.zeros((1, 6))))
    x = jax.random.uniform(key, (10, 6))
    z = model.encode(variables, x).mean
    scaled = model.encode(variables, 9 * x).mean
    np.testing.assert_allclose(scaled[:, 1:], 3 * z[:, 1:], rtol=1e-3, atol=1e-4)
    assert model.decode(variables, z).min() >= 0


def test_missing_elements_do_not_move_the_code(variables, key):
    model = local_subspaces((6,), 4, 3)
    x = jax.random.normal(key, (8, 3)) @ variables["params"]["basis"][1]
    gaps = x.at[:, 2].set(jnp.nan)
    np.testing.assert_allclose(model.encode(variables, gaps).mean, model.encode(variables, x).mean, atol=2e-3)
    masked = Batch(jnp.where(jnp.isnan(gaps), 1e3, gaps), mask=~jnp.isnan(gaps))
    assert model.score(key, variables, masked).max() < 1e-6


def test_training_one_region_comes_near_the_principal_subspace(rows, key):
    model = local_subspaces((6,), 3)
    fitted = fit(key, model, rows, num_epochs=20, learning_rate=5e-2)
    values = np.linalg.svd(rows, compute_uv=False)
    best = np.sum(values[2:] ** 2) / len(rows)
    loss, _ = model.loss(key, fitted.variables, Batch(jnp.asarray(rows)), model.hparams)
    assert best * 0.999 <= loss <= best * 1.05


@pytest.mark.parametrize(
    ("options", "message"),
    [({"latent_dim": 1}, "latent_dim"), ({"num_regions": 0}, "num_regions"), ({"scale": "log"}, "scale")],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        local_subspaces((6,), **{"latent_dim": 3, **options})
