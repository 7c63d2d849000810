"""Flow matching against distributions that are known: velocity, density, draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aejax
from aejax import models
from aejax.base import Batch, Latent
from aejax.data.columns.scalers import Scaler
from aejax.models.flow import flow_matching, velocity, velocity_network
from aejax.tasks.flow import evaluate_flow, flow_log_density
from aejax.tasks.mixture import mixture_log_density
from tests.conftest import CODING, REGISTRY

MEAN = np.array([3.0, -1.0, 0.5])
COVARIANCE = np.array([[1.0, 0.8, 0.0], [0.8, 2.0, -0.3], [0.0, -0.3, 0.5]])


def identity(num_dims):
    """A model whose codes are the rows themselves."""
    model = models.autoencoder((num_dims,), num_dims)
    return model._replace(encode=lambda variables, x, cond=None: Latent(x), decode=lambda variables, z, cond=None: z)


def gaussian(key, num_rows):
    return np.asarray(jax.random.multivariate_normal(key, MEAN, COVARIANCE, (num_rows,)), np.float32)


def two_groups(rng, num_rows):
    centre = np.where(rng.random(num_rows) < 0.3, -2.0, 2.0)
    return np.stack([centre, 0.5 * centre], axis=1) + 0.35 * rng.standard_normal((num_rows, 2))


@pytest.fixture(scope="module")
def of_gaussian():
    """A flow of Gaussian codes, and the codes."""
    x = gaussian(jax.random.key(7), 2000)
    return aejax.fit_flow(jax.random.key(0), identity(3), {}, x, hidden_dims=(32, 32), num_steps=1000), x


@pytest.fixture(scope="module")
def of_groups():
    """A flow of two groups of codes."""
    x = two_groups(np.random.default_rng(0), 2000)
    return aejax.fit_flow(jax.random.key(0), identity(2), {}, x, hidden_dims=(64, 64), num_steps=2000)


@pytest.mark.optimised
def test_mean_and_covariance_of_gaussian_codes_come_back(of_gaussian):
    """Within four standard errors of a sample of 2,000, which is what the flow was fitted to."""
    drawn = np.asarray(aejax.sample_flow(jax.random.key(1), of_gaussian[0], 20_000))
    variances = np.diagonal(COVARIANCE)
    assert (np.abs(drawn.mean(axis=0) - MEAN) < 4 * np.sqrt(variances / 2000)).all()
    error = np.sqrt((np.outer(variances, variances) + COVARIANCE**2) / 2000)
    assert (np.abs(np.cov(drawn.T) - COVARIANCE) < 4 * error).all()


@pytest.mark.optimised
def test_a_flow_begins_as_the_gaussian_of_the_codes(of_gaussian):
    """Untrained, its density is that of the codes' mean and covariance in closed form; so are its draws."""
    flow, x = of_gaussian
    begun = flow._replace(variables=flow.model.init(jax.random.key(0), Batch(jnp.zeros((1, 3)))))
    np.testing.assert_allclose(begun.mean, x.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(begun.cholesky @ begun.cholesky.T, np.cov(x.T, bias=True), atol=1e-4)
    new = gaussian(jax.random.key(1), 20)
    expected = jax.scipy.stats.multivariate_normal.logpdf(new, x.mean(axis=0), np.cov(x.T, bias=True))
    np.testing.assert_allclose(flow_log_density(begun, new), expected, atol=2e-3)
    assert evaluate_flow(begun, new)["mean log-density, nats"] == pytest.approx(float(expected.mean()), abs=2e-3)
    drawn = np.asarray(aejax.sample_flow(jax.random.key(1), begun, 20_000))
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(x.T), atol=0.06)


@pytest.mark.optimised
def test_the_velocity_of_a_gaussian_is_learned(key):
    """In closed form: v = m + (t S - (1 - t) I) (t² S + (1 - t)² I)⁻¹ (x - t m), here with S far from I."""
    mean, scale = np.array([0.5, -0.5]), np.array([[1.2, 0.0], [0.5, 0.4]])
    rows = (mean + np.asarray(jax.random.normal(key, (8000, 2))) @ scale.T).astype(np.float32)
    fitted = aejax.fit(
        key,
        flow_matching(2, (64, 64)),
        rows,
        num_epochs=20,
        batch_size=256,
        learning_rate=3e-3,
        optimizer=aejax.adam("cosine", num_steps=20 * 29),
        ema_decay=0.99,
    )
    noise_key, time_key = jax.random.split(jax.random.key(1))
    time = np.asarray(jax.random.uniform(time_key, (4000,)))
    noise = np.asarray(jax.random.normal(noise_key, (4000, 2)))
    x = (1 - time)[:, None] * noise + time[:, None] * rows[:4000]
    covariance, one = scale @ scale.T, np.eye(2)
    share = time[:, None, None]
    slope = (share * covariance - (1 - share) * one) @ np.linalg.inv(share**2 * covariance + (1 - share) ** 2 * one)
    exact = mean + np.einsum("nij,nj->ni", slope, x - time[:, None] * mean)
    found = velocity(velocity_network(2, (64, 64)), fitted.variables, jnp.asarray(x, jnp.float32), jnp.asarray(time))
    begun = np.stack([(2 * time - 1) / (time**2 + (1 - time) ** 2)] * 2, axis=1) * x
    assert np.mean((found - exact) ** 2) < 0.02 * np.mean((begun - exact) ** 2)


@pytest.mark.optimised
def test_two_groups_keep_their_shares_and_few_codes_lie_between(of_groups):
    flow = of_groups
    along = np.asarray(aejax.sample_flow(jax.random.key(1), flow, 20_000)) @ np.array([2.0, 1.0]) / np.sqrt(5)
    assert abs((along < 0).mean() - 0.3) < 0.03
    # Of the process itself 0.02 % lie within 1 of the middle, 3.5 standard deviations from both groups.
    assert (np.abs(along) < 1).mean() < 0.02
    gaussian_between = 0.22  # of the Gaussian that the flow began as
    begun = flow._replace(variables=flow.model.init(jax.random.key(0), Batch(jnp.zeros((1, 2)))))
    along = np.asarray(aejax.sample_flow(jax.random.key(1), begun, 20_000)) @ np.array([2.0, 1.0]) / np.sqrt(5)
    assert (np.abs(along) < 1).mean() > gaussian_between


@pytest.mark.optimised
def test_the_density_of_a_flow_integrates_to_one_and_comes_near_the_true_one(of_groups):
    flow = of_groups
    axis = np.linspace(-5, 5, 101)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    assert float(jnp.exp(flow_log_density(flow, grid)).sum()) * 0.1**2 == pytest.approx(1, abs=0.01)
    new = two_groups(np.random.default_rng(1), 2000)
    true = aejax.Mixture(
        jnp.log(jnp.array([0.3, 0.7])), jnp.array([[-2.0, -1.0], [2.0, 1.0]]), jnp.tile(0.35 * jnp.eye(2), (2, 1, 1))
    )
    best = float(mixture_log_density(true, jnp.asarray(new, jnp.float32)).mean())
    assert best - 0.1 < evaluate_flow(flow, new)["mean log-density, nats"] < best + 0.02


@pytest.mark.optimised
def test_half_the_steps_of_integration_draw_nearly_the_same(of_groups):
    flow = of_groups
    half = flow._replace(model=flow_matching(2, (64, 64), num_steps=8))
    drawn, again = (np.asarray(aejax.sample_flow(jax.random.key(1), each, 5000)) for each in (flow, half))
    assert np.sqrt(np.mean((drawn - again) ** 2)) < 0.005


def test_the_same_key_gives_the_same_bits(key):
    x = two_groups(np.random.default_rng(0), 300)
    first, second = (aejax.fit_flow(key, identity(2), {}, x, hidden_dims=(4,), num_steps=2) for _ in range(2))
    for ours, theirs in zip(jax.tree.leaves(first[1:]), jax.tree.leaves(second[1:]), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    drawn = [aejax.sample_flow(key, flow, 10) for flow in (first, second)]
    np.testing.assert_array_equal(*drawn)
    assert (drawn[0] != aejax.sample_flow(jax.random.key(1), first, 10)).all()


@pytest.mark.slow
@pytest.mark.optimised
def test_codes_follow_their_conditions(key):
    """The mean is linear in a number, and a class adds to it: z = 10 + 0.2 (T - 300) + 3 class + noise."""
    rng = np.random.default_rng(0)
    temperature, group = rng.uniform(300, 320, 3000), rng.integers(0, 2, 3000)
    x = (10 + 0.2 * (temperature - 300) + 3 * group + 0.5 * rng.standard_normal(3000))[:, None]
    cond = np.stack([temperature, group == 0, group == 1], axis=1).astype(float)
    model, options = identity(1), {"hidden_dims": (32, 32), "num_steps": 1000}
    flow = aejax.fit_flow(key, model, {}, Batch(x, cond=cond), **options)
    for given in ([302.0, 1, 0], [318.0, 0, 1], [310.0, 0, 1]):
        drawn = np.asarray(aejax.sample_flow(key, flow, 3000, given))
        assert drawn.mean() == pytest.approx(10 + 0.2 * (given[0] - 300) + 3 * given[2], abs=0.15)
        assert drawn.std() == pytest.approx(0.5, abs=0.1)
    each = aejax.sample_flow(key, flow, 3000, cond)
    np.testing.assert_allclose(
        np.corrcoef(np.ravel(each), cond[:, 0])[0, 1], np.corrcoef(x[:, 0], cond[:, 0])[0, 1], atol=0.05
    )
    assert aejax.generate(key, model, {}, 3000, [310.0, 1, 0], flow).shape == (3000, 1)
    for given, found in ((None, "none"), ([310.0], r"shape \(1,\)")):
        with pytest.raises(ValueError, match=rf"cond: found {found}, expected \(3,\) or \(4, 3\)"):
            aejax.sample_flow(key, flow, 4, given)
    without = flow._replace(cond_scaler=Scaler(np.zeros(0), np.ones(0)))
    with pytest.raises(ValueError, match=r"cond: found shape .*expected none: it was fitted without"):
        aejax.sample_flow(key, without, 4, [310.0])


def test_a_flow_is_as_wide_as_the_draws_of_the_codes(key):
    """All means are one point: what spreads is the posterior."""
    latent = Latent(jnp.zeros((1, 2)), jnp.log(jnp.array([[4.0, 0.25]])))
    blurred = models.vae((2,), 2)._replace(
        encode=lambda variables, x, cond=None: jax.tree.map(lambda part: jnp.repeat(part, len(x), axis=0), latent)
    )
    flow = aejax.fit_flow(key, blurred, {}, np.zeros((1000, 2)), hidden_dims=(16,), num_steps=300)
    np.testing.assert_allclose(np.asarray(aejax.sample_flow(key, flow, 20_000)).std(axis=0), [2.0, 0.5], rtol=0.05)


@pytest.mark.parametrize("fit", ["flow", "mixture"])
def test_codes_of_rows_with_gaps_are_those_that_the_rest_asks_for(key, rows, fit):
    """A gap is not a zero; a row without any value says nothing."""
    model = models.autoencoder((6,), 2, hidden_dims=())
    variables = aejax.fit(key, model, rows, num_epochs=60, learning_rate=1e-2).variables
    shifted = rows + 3 * np.asarray(jax.random.normal(key, (300, 1)), np.float32) * rows[:1]
    gaps = np.where(np.arange(6) == np.arange(300)[:, None] % 6, np.nan, shifted)
    gaps[:50] = np.nan
    z = np.asarray(aejax.encode(model, variables, gaps[50:]).mean)
    if fit == "flow":
        flow = aejax.fit_flow(key, model, variables, gaps, hidden_dims=(4,), num_steps=1)
        mean, factor = flow.mean, flow.cholesky
    else:
        mixture = aejax.fit_mixture(key, model, variables, gaps, num_components=1)
        mean, factor = mixture.mean[0], mixture.cholesky[0]
    np.testing.assert_allclose(mean, z.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(factor @ factor.T, np.cov(z.T, bias=True), rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("name", [name for name in CODING if not name.startswith("conditional")])
def test_any_model_that_encodes_draws_rows_of_a_flow(name, rows, key):
    model = REGISTRY[name]
    variables = model.init(key, Batch(jnp.asarray(rows)))
    flow = aejax.fit_flow(key, model, variables, rows, hidden_dims=(4,), num_steps=2)
    new = aejax.generate(key, model, variables, 20, codes=flow)
    assert new.shape == (20, 6)
    assert np.isfinite(new).all()
    if model.sample is None:
        with pytest.raises(ValueError, match="fit one to its codes by fit_flow"):
            aejax.generate(key, model, variables, 20)


def test_members_of_an_ensemble_learn_side_by_side(key):
    x = two_groups(np.random.default_rng(0), 200).astype(np.float32)
    model = flow_matching(2, (8,))
    fitted = aejax.ensemble(jax.random.split(key, 3), model, x, num_epochs=2)
    drawn = jax.vmap(lambda key, variables: model.sample(key, variables, 5))(jax.random.split(key, 3), fitted.variables)
    assert drawn.shape == (3, 5, 2)


def test_what_has_no_codes_or_too_few_is_refused(key):
    gan = models.gan((2,), 2)
    with pytest.raises(ValueError, match="a GAN has no encoder"):
        aejax.fit_flow(key, gan, {}, np.zeros((20, 2)))
    x = two_groups(np.random.default_rng(0), 20)
    with pytest.raises(ValueError, match=r"x: found 9 row\(s\) with an observed value, expected at least 10"):
        aejax.fit_flow(key, identity(2), {}, x[:9])
    with pytest.raises(ValueError, match="num_steps: found 0"):
        aejax.fit_flow(key, identity(2), {}, x, num_steps=0)
    with pytest.raises(ValueError, match="num_dims: found 0"):
        flow_matching(0)
    flow = aejax.fit_flow(key, identity(2), {}, x, hidden_dims=(4,), num_steps=1)
    with pytest.raises(ValueError, match=r"z: found shape \(20, 1\), expected \(n, 2\)"):
        flow_log_density(flow, x[:, :1])


def test_codes_without_spread_are_drawn_without_spread(key):
    """A unit that is dead, and one that repeats another."""
    first = np.asarray(jax.random.normal(key, (200, 1)))
    x = np.concatenate([first, 2 * first, np.full((200, 1), 5.0)], axis=1)
    flow = aejax.fit_flow(key, identity(3), {}, x, hidden_dims=(8,), num_steps=100)
    drawn = np.asarray(aejax.sample_flow(key, flow, 500))
    np.testing.assert_allclose(drawn[:, 2], 5, atol=1e-3)
    np.testing.assert_allclose(drawn[:, 1], 2 * drawn[:, 0], atol=0.02)
