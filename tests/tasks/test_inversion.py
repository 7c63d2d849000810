"""Known answers: through a linear decoder and a linear forward function the posterior is Gaussian in closed form."""

import importlib.util
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aejax
from aejax.tasks import inversion
from aejax.tasks.inversion import maxima, sampling
from aejax.tasks.mixture import Mixture

D, EVENT, M = 3, 6, 5
needs_blackjax = pytest.mark.skipif(importlib.util.find_spec("blackjax") is None, reason="needs blackjax")

_draw = np.random.default_rng(0)
WEIGHTS, SHIFT, FORWARD = _draw.normal(size=(D, EVENT)), _draw.normal(size=EVENT), _draw.normal(size=(M, EVENT))
NOISE = np.array([0.5, 0.4, 0.8, 0.6, 0.3])
Y = _draw.normal(size=M)


def observe(x):
    return jnp.asarray(FORWARD, jnp.float32) @ x


@pytest.fixture(scope="module")
def linear():
    """A VAE whose decoder is z -> z WEIGHTS + SHIFT."""
    model = aejax.models.vae((EVENT,), D, hidden_dims=())
    variables = model.init(jax.random.key(0), aejax.Batch(jnp.zeros((1, EVENT))))
    layer = {"kernel": jnp.asarray(WEIGHTS, jnp.float32), "bias": jnp.asarray(SHIFT, jnp.float32)}
    return model, {**variables, "params": {**variables["params"], "decoder": {"layer_0": layer}}}


def gaussian(covariance, prior_mean=0.0, prior_covariance=None):
    """Mean and covariance of p(z | Y)."""
    jacobian = FORWARD @ WEIGHTS.T
    precision = np.linalg.inv(covariance)
    prior_precision = np.eye(D) if prior_covariance is None else np.linalg.inv(prior_covariance)
    found = np.linalg.inv(prior_precision + jacobian.T @ precision @ jacobian)
    pull = jacobian.T @ precision @ (Y - FORWARD @ SHIFT) + prior_precision @ np.broadcast_to(prior_mean, D)
    return found @ pull, found


COVARIANCE = np.diag(NOISE) @ (0.6 * np.eye(M) + 0.4) @ np.diag(NOISE)


@pytest.mark.parametrize(
    ("noise", "covariance"),
    [(0.5, 0.25 * np.eye(M)), (NOISE, np.diag(NOISE**2)), (COVARIANCE, COVARIANCE)],
    ids=["number", "each", "covariance"],
)
def test_the_maximum_is_the_ridge_solution(linear, key, noise, covariance):
    found = inversion.maximum_a_posteriori(key, inversion.problem(*linear, observe, Y, noise, D), num_starts=5)
    np.testing.assert_allclose(found.z, np.tile(gaussian(covariance)[0], (5, 1)), atol=2e-3)
    residual = Y - FORWARD @ (np.asarray(found.z[0]) @ WEIGHTS + SHIFT)
    misfit = np.sqrt(residual @ np.linalg.inv(covariance) @ residual / M)
    np.testing.assert_allclose(found.misfit[0], misfit, rtol=1e-3)
    assert (np.diff(found.log_density) <= 0).all()


def test_the_search_reports_how_far_it_is_and_finds_the_same(linear, key):
    problem, seen = inversion.problem(*linear, observe, Y, 0.5, D), []
    silent = inversion.maximum_a_posteriori(key, problem, num_starts=3, num_steps=40)
    found = inversion.maximum_a_posteriori(key, problem, num_starts=3, num_steps=40, progress=seen.append)
    np.testing.assert_allclose(found.z, silent.z, rtol=1e-5, atol=1e-5)
    assert [report.done for report in seen] == [False] * (len(seen) - 1) + [True]
    assert seen[0].epoch == 5
    assert seen[-1].epoch == seen[-1].num_epochs == 40
    losses = [report.metrics["loss"] for report in seen]
    assert losses == sorted(losses, reverse=True)


def test_a_gaussian_mixture_as_prior_moves_the_maximum(linear, key):
    mean, cholesky = np.array([1.0, -2.0, 0.5]), np.array([[1.0, 0, 0], [0.5, 0.7, 0], [0, 0.2, 0.4]])
    prior = Mixture(jnp.zeros(1), jnp.asarray(mean[None], jnp.float32), jnp.asarray(cholesky[None], jnp.float32))
    found = inversion.maximum_a_posteriori(key, inversion.problem(*linear, observe, Y, 0.5, prior), num_starts=3)
    np.testing.assert_allclose(found.z[0], gaussian(0.25 * np.eye(M), mean, cholesky @ cholesky.T)[0], atol=2e-3)


@needs_blackjax
def test_draws_have_the_mean_and_covariance_of_the_posterior(linear, key):
    found = inversion.posterior(
        key, inversion.problem(*linear, observe, Y, COVARIANCE, D), num_chains=4, num_samples=1000
    )
    mean, covariance = gaussian(COVARIANCE)
    draws = found.z.reshape(-1, D)
    assert found.r_hat.max() < 1.01
    assert found.effective_sample_size.min() > 1000
    assert found.is_divergent.mean() < 0.01
    # Four standard errors of a mean and of a covariance.
    size = found.effective_sample_size.min()
    scale = np.sqrt(np.diag(covariance))
    assert np.abs((draws.mean(axis=0) - mean) / scale).max() < 4 / np.sqrt(size)
    correlation_error = (np.cov(draws.T) - covariance) / np.outer(scale, scale)
    assert np.abs(correlation_error).max() < 4 * np.sqrt(2 / size)
    assert 0.7 < found.acceptance_rate.mean() < 0.95


def test_chains_begin_at_no_maximum_that_holds_nothing():
    d = 20  # the limit lies 10 + 3 sqrt(10) = 19.49 below the highest
    z = jnp.arange(4.0)[:, None] * jnp.ones(d)
    found = inversion.Optima(z, jnp.array([-98.0, -117.4, -117.6, -268.9]), jnp.ones(4))
    np.testing.assert_array_equal(inversion.chain_starts(found, 5)[:, 0], [0, 1, 0, 1, 0])
    with pytest.raises(ValueError, match="log_density"):
        inversion.chain_starts(found._replace(log_density=jnp.full(4, jnp.nan)), 2)


@pytest.mark.slow
@needs_blackjax
def test_draws_are_of_the_well_that_holds_the_posterior(linear, key):
    """Of 32 starts few reach the one root of z^3 - 5 z = 10; the others end at z = -1.3, which fits nothing."""
    inverse = np.linalg.pinv(WEIGHTS)

    def cubic(x):
        z = (x - jnp.asarray(SHIFT, jnp.float32)) @ jnp.asarray(inverse, jnp.float32)
        return z.at[0].set(z[0] ** 3 - 5 * z[0])

    y = jnp.array([10.0, 0.3, -0.2])
    found = inversion.posterior(
        key, inversion.problem(*linear, cubic, y, 0.3, D), num_chains=8, num_warmup=200, num_samples=100
    )
    optima = inversion.maximum_a_posteriori(key, inversion.problem(*linear, cubic, y, 0.3, D), num_starts=32)
    assert 0 < (optima.misfit < 5).sum() < 8  # or any choice of starts would do
    root = np.roots([1, 0, -5, -10]).real.max()
    np.testing.assert_allclose(found.z[..., 0].mean(axis=1), root, atol=0.05)
    assert found.misfit.max() < 5


@pytest.mark.slow
@needs_blackjax
def test_intervals_hold_truths_drawn_from_the_prior(linear):
    """Simulation-based: z from the prior, y from z; the 90 % interval holds z nine times in ten."""
    model, variables = linear
    inside = []
    for seed in range(20):
        truth_key, noise_key, key = jax.random.split(jax.random.key(seed), 3)
        truth = jax.random.normal(truth_key, (D,))
        x = inversion.decode_one(model, variables, truth)
        y = observe(x) + NOISE * jax.random.normal(noise_key, (M,))
        found = inversion.posterior(
            key,
            inversion.problem(model, variables, observe, y, NOISE, D),
            num_chains=2,
            num_warmup=200,
            num_samples=250,
        )
        inside.append(inversion.interval_coverage(found.z.reshape(-1, D), truth))
    # 60 intervals, correlated in threes at most: three standard errors of 20 independent ones would be 0.2.
    assert 0.75 < np.mean(inside) <= 1.0


@needs_blackjax
def test_the_same_key_gives_the_same_draws_and_reports_tell_how_many(linear, key):
    reports = []
    options = {"num_chains": 2, "num_warmup": 50, "num_samples": 70}
    compiled = [sampling._frames, sampling._warm_up, sampling._draw]
    first = inversion.posterior(key, inversion.problem(*linear, observe, Y, 0.5, D), progress=reports.append, **options)
    sizes = [function._cache_size() for function in compiled]
    again = inversion.posterior(key, inversion.problem(*linear, observe, Y, 0.5, D), **options)
    assert [function._cache_size() for function in compiled] == sizes
    np.testing.assert_array_equal(first.z, again.z)
    assert first.z.shape == (2, 70, D)
    assert [report.epoch for report in reports] == [50, 70]


def test_a_second_section_compiles_nothing(linear, key):
    inversion.maximum_a_posteriori(key, inversion.problem(*linear, observe, Y, 0.5, D), num_starts=2)
    compiled = maxima._advance._cache_size()
    inversion.maximum_a_posteriori(key, inversion.problem(*linear, observe, Y + 1, 0.7, D), num_starts=2)
    assert maxima._advance._cache_size() == compiled


def test_a_generator_is_inverted_too(key):
    model = aejax.models.gan((EVENT,), D, hidden_dims=(8,))
    variables = model.init(key, aejax.Batch(jnp.zeros((1, EVENT))))
    truth = inversion.decode_one(model, variables, jnp.array([0.5, -0.5, 0.2]))
    found = inversion.maximum_a_posteriori(
        key, inversion.problem(model, variables, observe, observe(truth), 0.01, D), num_starts=8
    )
    assert found.misfit[0] < 1


def test_an_autoencoder_needs_a_mixture(key):
    model = aejax.models.autoencoder((EVENT,), D, hidden_dims=(8,))
    x = jax.random.normal(key, (100, EVENT))
    variables = model.init(key, aejax.Batch(x))
    with pytest.raises(ValueError, match=r"prior: found 3 dimensions[\s\S]* fit_mixture"):
        inversion.maximum_a_posteriori(key, inversion.problem(model, variables, observe, Y, 0.5, D))
    mixture = aejax.fit_mixture(key, model, variables, x, num_components=2)
    found = inversion.maximum_a_posteriori(
        key, inversion.problem(model, variables, observe, Y, 0.5, mixture), num_starts=2
    )
    assert np.isfinite(found.log_density).all()


def test_conditions_reach_the_decoder(key):
    model = aejax.models.conditional_vae((EVENT,), D, hidden_dims=(8,))
    variables = model.init(key, aejax.Batch(jnp.zeros((1, EVENT)), cond=jnp.zeros((1, 2))))
    found = [
        inversion.maximum_a_posteriori(key, inversion.problem(model, variables, observe, Y, 0.5, D, cond), num_starts=2)
        for cond in (jnp.zeros(2), jnp.ones(2))
    ]
    assert np.abs(found[0].z - found[1].z).max() > 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": Y[:3]}, r"y: found shape \(3,\), expected \(5,\)"),
        ({"y": np.full(M, np.nan)}, "y: found a value that is not finite"),
        ({"noise": -1.0}, "noise: found -1.0, expected positive"),
        ({"noise": np.ones(2)}, "noise: .* expected positive standard deviations, one or 5"),
        ({"noise": np.ones((2, 2))}, "noise: found a covariance of shape"),
        ({"noise": -np.eye(M)}, "noise: .* not positive definite"),
        ({"prior": 0}, "prior: found 0"),
        ({"prior": 4}, "prior: found 4 dimensions"),
        ({"num_starts": 0}, "num_starts: found 0"),
    ],
)
def test_what_does_not_fit_is_refused(linear, key, change, message):
    options = {"y": Y, "noise": 0.5, "prior": D} | change
    starts = {"num_starts": options.pop("num_starts")} if "num_starts" in options else {}
    with pytest.raises(ValueError, match=message):
        inversion.maximum_a_posteriori(key, inversion.problem(*linear, observe, **options), **starts)


@needs_blackjax
def test_a_start_of_another_shape_is_refused(linear, key):
    with pytest.raises(ValueError, match=r"start: found shape \(4, 2\), expected \(4, 3\)"):
        inversion.posterior(key, inversion.problem(*linear, observe, Y, 0.5, D), start=np.zeros((4, 2)))


def test_without_blackjax_the_extra_is_named(linear, key, monkeypatch):
    monkeypatch.setitem(sys.modules, "blackjax", None)
    with pytest.raises(ImportError, match=r"aejax\[inversion\]"):
        inversion.posterior(key, inversion.problem(*linear, observe, Y, 0.5, D))


def test_refining_a_linear_code_is_least_squares(linear, key):
    model, variables = linear
    x = jax.random.normal(key, (70, EVENT))
    found = inversion.refine(model, variables, x, jnp.zeros((70, D)), noise=0.01)
    expected = np.linalg.lstsq(WEIGHTS.T, (np.asarray(x) - SHIFT).T, rcond=None)[0].T
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_the_approximation_error_is_what_the_decoder_leaves_out(linear, key):
    model, variables = linear
    error_key, code_key = jax.random.split(key)
    z = jax.random.normal(code_key, (4000, D))
    left_out = 0.5 + 0.3 * jax.random.normal(error_key, (4000, EVENT))
    found = inversion.approximation_error(model, variables, observe, model.decode(variables, z) + left_out, z)
    np.testing.assert_allclose(found.mean, 0.5 * FORWARD.sum(axis=1), atol=0.06)
    expected = 0.09 * FORWARD @ FORWARD.T
    np.testing.assert_allclose(found.covariance, expected, atol=0.1 * np.diagonal(expected).max())
    with pytest.raises(ValueError, match="x, z: found 4000 rows and 1 codes"):
        inversion.approximation_error(model, variables, observe, model.decode(variables, z), z[:1])


def left_out_by(linear, key, num_rows):
    """Codes, and rows that the linear decoder misses by what has mean 0.5 and deviation 0.8."""
    error_key, code_key = jax.random.split(key)
    z = jax.random.normal(code_key, (num_rows, D))
    return linear[0].decode(linear[1], z) + 0.5 + 0.8 * jax.random.normal(error_key, (num_rows, EVENT)), z


def test_intervals_of_the_posterior_predictive_hold_truths_that_the_decoder_misses(linear, key):
    """Codes known to 0.1: the decoder's outputs alone are sure of what is wrong, with its error they are not."""
    model, variables = linear
    truths, codes = left_out_by(linear, jax.random.fold_in(key, 1), 100)
    held_out = left_out_by(linear, jax.random.fold_in(key, 2), 400)
    with_error, without_error = [], []
    for index, (x, z) in enumerate(zip(truths, codes, strict=True)):
        code_key, draw_key, error_key = jax.random.split(jax.random.fold_in(key, index), 3)
        centre = z + 0.1 * jax.random.normal(code_key, (D,))
        draws = centre + 0.1 * jax.random.normal(draw_key, (2, 250, D))
        predicted = inversion.posterior_predictive(error_key, model, variables, observe, draws, *held_out)
        assert predicted.shape == (500, M)
        with_error.append(inversion.interval_coverage(predicted, observe(x)))
        plain = model.decode(variables, draws.reshape(-1, D)) @ FORWARD.T
        without_error.append(inversion.interval_coverage(plain, observe(x)))
    # 100 independent truths: three standard errors are 0.09.
    assert 0.82 < np.mean(with_error) < 0.97
    assert np.mean(without_error) < 0.5


def test_noise_and_the_decoder_s_error_add_up(linear, key):
    model, variables = linear
    draws = jnp.zeros((20000, D))
    held_out = left_out_by(linear, key, 4000)
    found = inversion.posterior_predictive(key, model, variables, observe, draws, *held_out, noise=NOISE)
    left_out = inversion.approximation_error(model, variables, observe, *held_out)
    expected = left_out.covariance + np.diag(NOISE**2)
    np.testing.assert_allclose(found.mean(axis=0), FORWARD @ SHIFT + left_out.mean, atol=0.1)
    np.testing.assert_allclose(np.cov(found.T), expected, atol=0.05 * np.diagonal(expected).max())


def test_a_decoder_without_error_predicts_its_own_outputs(linear, key):
    model, variables = linear
    z = jax.random.normal(key, (30, D))
    found = inversion.posterior_predictive(key, model, variables, observe, z, model.decode(variables, z), z)
    np.testing.assert_allclose(found, model.decode(variables, z) @ FORWARD.T, atol=1e-4)


@pytest.mark.parametrize(
    ("draws", "noise", "message"),
    [
        (np.zeros((5, 2)), 0.0, r"draws: found shape \(5, 2\), expected \(\.\.\., 3\) as z has"),
        (np.zeros((5, D)), -1.0, "noise: found -1.0, expected standard deviations of at least 0, one or 5"),
        (np.zeros((5, D)), np.ones(2), "noise: .* one or 5"),
    ],
)
def test_what_cannot_be_predicted_is_refused(linear, key, draws, noise, message):
    with pytest.raises(ValueError, match=message):
        inversion.posterior_predictive(key, *linear, observe, draws, *left_out_by(linear, key, 10), noise=noise)


def shares(rng, num):
    """What a decoder says of blocks, and the truth: right inside a facies, off by up to 0.3 on an edge."""
    said = np.clip(rng.uniform(-1, 2, num), 0, 1)
    is_edge = (said > 0) & (said < 1)
    return said, np.where(is_edge, said + 0.3 * rng.uniform(-1, 1, num), said)


def test_truths_alike_are_certain_inside_a_facies_and_hold_the_truth_on_its_edge(key):
    rng = np.random.default_rng(0)
    held_out, truth = shares(rng, 40_000)
    said, expected = shares(rng, 2000)
    draws = inversion.truths_alike(key, np.tile(said, (400, 1)), held_out, truth)
    is_edge = (said > 0.05) & (said < 0.95)
    np.testing.assert_array_equal(draws[:, (said == 0) | (said == 1)].std(axis=0), 0)
    inside = inversion.interval_coverage(draws, expected)
    # 600 blocks: three standard errors are 0.037.
    assert 0.86 < inside[is_edge].mean() < 0.94
    assert draws[:, is_edge].std(axis=0).mean() == pytest.approx(0.3 / np.sqrt(3), rel=0.05)


def test_of_equal_values_none_comes_first(key):
    truth = np.arange(10_000) % 2
    draws = inversion.truths_alike(key, np.ones(4000), np.ones(10_000), np.sort(truth))
    assert abs(draws.mean() - 0.5) < 0.03
