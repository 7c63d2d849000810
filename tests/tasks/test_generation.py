"""Samplers over the code: the prior, a fitted mixture, lines between codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aejax
from aejax import models
from aejax.artefacts import codecs
from aejax.base import Batch, Latent
from aejax.tasks.mixture import Mixture, evaluate_mixture, mixture_log_density


@pytest.fixture
def model(rows, key):
    return models.vae((6,), 2)


@pytest.fixture
def variables(model, rows, key):
    return model.init(key, Batch(rows))


def test_a_mixture_finds_the_groups_that_codes_are_made_of(key):
    """The codes are the rows themselves: three groups of known weight, mean and spread."""
    identity = models.autoencoder((2,), 2)._replace(encode=lambda variables, x, cond=None: Latent(x))
    group = np.repeat([0, 1, 2], [300, 600, 900])
    centres = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 5.0]])
    x = centres[group] + np.array([0.3, 0.5]) * np.asarray(jax.random.normal(key, (1800, 2)))
    # From other starts it may end in a worse optimum; among five, one finds them.
    fits = [aejax.fit_mixture(k, identity, {}, x, num_components=3) for k in jax.random.split(key, 5)]
    best = max(fits, key=lambda mixture: float(mixture_log_density(mixture, jnp.asarray(x, jnp.float32)).mean()))
    order = np.argsort(best.log_weight)
    np.testing.assert_allclose(np.exp(best.log_weight)[order], [1 / 6, 1 / 3, 1 / 2], atol=0.01)
    np.testing.assert_allclose(best.mean[order], centres, atol=0.1)
    spread = np.sqrt(np.diagonal(best.cholesky @ np.swapaxes(best.cholesky, 1, 2), axis1=1, axis2=2))
    np.testing.assert_allclose(spread, np.tile([0.3, 0.5], (3, 1)), rtol=0.1)
    drawn = np.asarray(aejax.sample_mixture(key, best, 20_000))
    np.testing.assert_allclose(drawn.mean(axis=0), x.mean(axis=0), atol=0.06)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(x.T), atol=0.1)


def test_the_density_of_a_mixture_integrates_to_one(model, variables, rows, key):
    mixture = aejax.fit_mixture(key, model, variables, rows, num_components=4)
    axis = jnp.linspace(-8, 8, 321)
    grid = jnp.stack(jnp.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    assert float(jnp.exp(mixture_log_density(mixture, grid)).sum() * 0.05**2) == pytest.approx(1, abs=0.01)


def test_codes_of_a_mixture_take_the_place_of_the_prior(model, variables, rows, key):
    mixture = aejax.fit_mixture(key, model, variables, rows, num_components=1)
    far = mixture._replace(mean=mixture.mean + 50, cholesky=0 * mixture.cholesky)
    drawn = aejax.generate(key, model, variables, 2000, codes=far)
    expected = model.decode(variables, far.mean)[0]
    np.testing.assert_allclose(drawn.mean(axis=0), expected, atol=0.2)
    with pytest.raises(ValueError, match="num_components: found 0"):
        aejax.fit_mixture(key, model, variables, rows, num_components=0)


def test_an_interpolation_begins_and_ends_at_reconstructions(model, variables, rows):
    between = aejax.interpolate(model, variables, rows[0], rows[1], num_steps=5)
    ends = aejax.reconstruct(model, variables, rows[:2])
    np.testing.assert_allclose(between[jnp.array([0, -1])], ends, atol=1e-5)
    z = model.encode(variables, rows[:2]).mean
    np.testing.assert_allclose(between[2], model.decode(variables, z.mean(axis=0)[None])[0], atol=1e-5)
    with pytest.raises(ValueError, match="num_steps: found 1"):
        aejax.interpolate(model, variables, rows[0], rows[1], num_steps=1)


def test_a_traversal_moves_one_dimension(model, variables):
    z = jnp.array([0.5, -1.0])
    moved = aejax.traverse(model, variables, z, dim=1, values=jnp.array([-1.0, 2.0]))
    np.testing.assert_allclose(moved[0], model.decode(variables, z[None])[0], atol=1e-6)
    np.testing.assert_allclose(moved[1], model.decode(variables, jnp.array([[0.5, 2.0]]))[0], atol=1e-6)
    with pytest.raises(ValueError, match="dim: found 2, expected 0 to 1"):
        aejax.traverse(model, variables, z, dim=2, values=jnp.zeros(1))


def test_samples_hold_the_observation_noise(model, variables, key):
    """At one code, draws spread by the likelihood's scale; the decoder's mean alone would not."""
    z = jnp.zeros((5000, 2))
    drawn = model.sample(key, variables, 5000, None, z)
    log_scale = variables["params"]["likelihood"]["log_scale"]
    np.testing.assert_allclose(drawn.std(axis=0), np.sqrt(np.exp(2 * log_scale) + 1e-4), rtol=0.05)
    np.testing.assert_allclose(drawn.mean(axis=0), model.decode(variables, z[:1])[0], atol=0.1)


def test_a_mixture_is_as_wide_as_the_draws_of_the_codes(key):
    """All means are one point: what spreads is the posterior."""
    x = np.zeros((4000, 2), np.float32)
    latent = Latent(jnp.zeros((1, 2)), jnp.log(jnp.array([[4.0, 0.25]])))
    blurred = models.vae((2,), 2)._replace(
        encode=lambda variables, x, cond=None: jax.tree.map(lambda part: jnp.repeat(part, len(x), axis=0), latent)
    )
    mixture = aejax.fit_mixture(key, blurred, {}, x, num_components=1)
    np.testing.assert_allclose(jnp.diagonal(mixture.cholesky[0]), [2.0, 0.5], rtol=0.05)


def test_a_mixture_comes_back_as_it_was_saved(tmp_path, key):
    parts = jax.random.split(key, 3)
    mixture = Mixture(jnp.log(jnp.full(2, 0.5)), jax.random.normal(parts[0], (2, 3)), jnp.tile(jnp.eye(3), (2, 1, 1)))
    codecs.save(tmp_path, mixture)
    found = codecs.load(tmp_path, Mixture)
    for ours, theirs in zip(found, mixture, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(aejax.sample_mixture(key, found, 5), aejax.sample_mixture(key, mixture, 5))
    codecs.save(tmp_path, mixture._replace(cholesky=mixture.cholesky[:1]))
    with pytest.raises(ValueError, match="cannot be read as a mixture: found shapes"):
        codecs.load(tmp_path)


def test_the_density_of_held_out_codes_is_the_mean_of_each(key):
    """The known answer of a standard normal: minus half of log 2 pi and of the mean square, for each dimension."""
    z = jax.random.normal(key, (50, 2))
    mixture = Mixture(jnp.zeros(1), jnp.zeros((1, 2)), jnp.eye(2)[None])
    expected = -np.log(2 * np.pi) - 0.5 * np.square(z).sum(axis=1).mean()
    assert evaluate_mixture(mixture, z)["mean log-density, nats"] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match=r"z: found shape \(50, 1\), expected \(n, 2\)"):
        evaluate_mixture(mixture, z[:, :1])
