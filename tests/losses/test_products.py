"""Likelihoods of events whose elements are of different kinds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aejax
from aejax.losses import bernoulli, categorical, gaussian, product, squared_error

MIXED = product([(gaussian(0.5), 2), (categorical(), 3), (bernoulli(), 1)])


def test_probabilities_of_categories_sum_to_one(key):
    output = jax.random.normal(key, (7, 4))
    every = jnp.broadcast_to(jnp.eye(4)[:, None], (4, 7, 4))
    nll = categorical().nll({}, every, output).sum(axis=-1)
    np.testing.assert_allclose(jnp.exp(-nll).sum(axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(categorical().mean(output), jnp.exp(-nll).T, rtol=1e-5)


def test_categories_are_drawn_as_often_as_they_are_likely(key):
    chances = np.array([0.5, 0.3, 0.15, 0.05])
    drawn = categorical().sample(key, {}, jnp.broadcast_to(jnp.log(chances), (40_000, 4)))
    np.testing.assert_array_equal(drawn.sum(axis=1), 1)
    np.testing.assert_allclose(drawn.mean(axis=0), chances, atol=4 * 0.5 / 200)


def test_a_product_is_its_parts_side_by_side(key):
    x, output = jax.random.normal(key, (2, 5, 6))
    np.testing.assert_allclose(MIXED.nll({}, x, output)[:, :2], gaussian(0.5).nll({}, x[:, :2], output[:, :2]))
    np.testing.assert_allclose(MIXED.nll({}, x, output)[:, 2:5], categorical().nll({}, x[:, 2:5], output[:, 2:5]))
    np.testing.assert_allclose(MIXED.nll({}, x, output)[:, 5:], bernoulli().nll({}, x[:, 5:], output[:, 5:]))
    drawn = MIXED.sample(key, {}, output)
    np.testing.assert_array_equal(drawn[:, 2:5].sum(axis=1), 1)
    assert set(np.unique(drawn[:, 5]).tolist()) <= {0.0, 1.0}


def test_learned_scales_are_those_of_the_parts():
    params = product([(gaussian("shared"), 2), (categorical(), 3), (gaussian("per_element"), 4)]).init((9,))
    assert jax.tree.map(jnp.shape, params) == {"log_scale_0": (), "log_scale_2": (4,)}


@pytest.mark.optimised
def test_a_vae_of_mixed_rows_learns_which_category_goes_with_which_number(key):
    """Three recipes, each with its own level of a sensor."""
    rng = np.random.default_rng(0)
    recipe = rng.choice(3, size=1000, p=[0.6, 0.3, 0.1])
    level = np.array([-1.0, 0.0, 2.0])[recipe] + 0.1 * rng.normal(size=1000)
    x = np.column_stack([level, np.eye(3)[recipe]]).astype(np.float32)
    model = aejax.models.vae((4,), 2, hidden_dims=(32,), likelihood=product([(gaussian(), 1), (categorical(), 3)]))
    fitted = aejax.fit(key, model, x, num_epochs=60, learning_rate=3e-3)
    code = aejax.tasks.encode(model, fitted.variables, x).mean
    drawn = np.asarray(model.sample(jax.random.key(1), fitted.variables, 1000, z=code))
    assert (drawn[:, 1:].argmax(axis=1) == recipe).mean() > 0.99
    assert np.sqrt(np.mean((drawn[:, 0] - level) ** 2)) < 0.2
    # A row whose category does not go with its number is stranger than one whose category does.
    pairs = np.array([[2.0, 0, 0, 1], [2.0, 1, 0, 0]], np.float32)
    right, wrong = aejax.score(jax.random.key(2), model, fitted.variables, pairs)
    assert wrong > right + 5


def test_a_category_that_is_not_known_is_masked(key):
    model = aejax.models.vae((6,), 2, hidden_dims=(8,), likelihood=MIXED, shortcut=False)
    x = np.array([[0.1, 0.2, 0, 1, 0, 1], [0.1, 0.2, np.nan, np.nan, np.nan, 1]], np.float32)
    variables = model.init(key, aejax.Batch(x[:1]))
    assert np.isfinite(aejax.score(key, model, variables, x)).all()


def test_bad_parts_are_named():
    with pytest.raises(ValueError, match="parts: found sizes \\(\\), expected at least one part"):
        product([])
    with pytest.raises(ValueError, match="parts: found sizes \\(0,\\), expected at least one part"):
        product([(squared_error(), 0)])
    with pytest.raises(ValueError, match="parts: found more than one output an element in part 2, expected one"):
        product([(squared_error(), 1), (gaussian("predicted"), 1)])
    with pytest.raises(ValueError, match="parts: found 6 elements, expected the 5 of an event"):
        MIXED.init((5,))
