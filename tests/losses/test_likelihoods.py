"""Likelihoods against SciPy, and the laws that each of the registry follows."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import aejax
from aejax import losses, models
from aejax.artefacts.described import describe, made
from aejax.data.columns.scalers import fit_scaler
from aejax.tasks.features import log_likelihood

OUTPUT = np.linspace(-2, 2, 12).reshape(3, 4)


@pytest.mark.parametrize(
    ("likelihood", "params", "x", "distribution"),
    [
        (losses.gaussian(0.5), {}, OUTPUT + 0.3, stats.norm(OUTPUT, 0.5)),
        (losses.student_t(3.5, 0.5), {}, OUTPUT + 0.3, stats.t(3.5, OUTPUT, 0.5)),
        (
            losses.student_t(2, "shared"),
            {"log_scale": 0.2},
            OUTPUT - 9,
            stats.t(2, OUTPUT, np.sqrt(np.exp(0.4) + 1e-4)),
        ),
        (losses.gaussian("shared"), {"log_scale": 0.2}, OUTPUT - 1, stats.norm(OUTPUT, np.sqrt(np.exp(0.4) + 1e-4))),
    ],
)
def test_a_location_and_a_scale_equal_scipy(likelihood, params, x, distribution):
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


@pytest.fixture(params=losses.LIKELIHOODS)
def likelihood(request):
    return losses.likelihood(request.param)


@pytest.fixture
def output(likelihood):
    """20,000 rows of two elements each."""
    ends = (likelihood.num_outputs,) if likelihood.num_outputs > 1 else ()
    return jnp.tile(jnp.array([-1.0, 0.5]).reshape(2, *(1 for _ in ends)), (20_000, 1, *ends))


def test_samples_have_the_stated_mean(likelihood, output, key):
    drawn = np.asarray(likelihood.sample(key, likelihood.init((2,)), output))
    standard_error = drawn.std(axis=0) / np.sqrt(len(drawn))
    np.testing.assert_array_less(np.abs(drawn.mean(axis=0) - likelihood.mean(output)[0]), 5 * standard_error + 1e-6)


def test_samples_are_of_the_density(likelihood, output, key):
    """Where x is drawn from p, the slope of log p(x) along output and parameters is zero on average."""
    params = likelihood.init((2,))
    drawn = likelihood.sample(key, params, output)

    @jax.vmap
    def slopes(x, output):
        return jax.grad(lambda params, output: likelihood.nll(params, x, output).sum(), (0, 1))(params, output)

    for slope in map(np.asarray, jax.tree.leaves(slopes(drawn, output))):
        np.testing.assert_array_less(np.abs(slope.mean(axis=0)), 5 * slope.std(axis=0) / np.sqrt(len(slope)) + 1e-6)


def test_what_is_drawn_is_as_the_data_should_be(likelihood, output, key):
    drawn = np.asarray(likelihood.sample(key, likelihood.init((2,)), output))
    fit_scaler(drawn, scaling=likelihood.scaling)
    if likelihood.scaling == "unit_interval":
        assert ((drawn >= 0) & (drawn <= 1)).all()


def test_equal_arguments_give_the_very_same_likelihood(likelihood):
    assert pickle.loads(pickle.dumps(likelihood)) is likelihood
    assert made(describe(likelihood)) is likelihood


def test_an_unknown_name_is_answered_by_the_known_ones():
    with pytest.raises(ValueError, match="likelihood: found 'normal', expected one of gaussian, "):
        losses.likelihood("normal")


@pytest.mark.parametrize("scale", [0, -1.0, "each"])
def test_a_bad_scale_is_named(scale):
    with pytest.raises(ValueError, match="scale: found"):
        losses.gaussian(scale)


def test_a_predicted_scale_is_bounded_on_both_sides():
    normal = losses.gaussian("predicted")
    for wild, variance in ((-1e4, np.exp(-10.0) + 1e-4), (1e4, np.exp(10.0) + 1e-4)):
        found = normal.nll({}, jnp.ones(()), jnp.array([0.0, wild]))
        np.testing.assert_allclose(found, -stats.norm.logpdf(1, 0, np.sqrt(variance)), rtol=1e-4)


def test_a_learned_scale_is_bounded_below():
    normal = losses.gaussian("shared")
    found = normal.nll({"log_scale": jnp.asarray(-50.0)}, jnp.asarray(0.01), jnp.zeros(()))
    np.testing.assert_allclose(found, -stats.norm.logpdf(0.01, 0, 0.01), rtol=1e-4)


def test_moments_of_student_t(key):
    drawn = np.asarray(losses.student_t(9.0, 0.5).sample(key, {}, jnp.full(200_000, 3.0)))
    np.testing.assert_allclose(drawn.mean(), 3, atol=0.01)
    np.testing.assert_allclose(drawn.var(), 0.25 * 9 / 7, rtol=0.02)
    np.testing.assert_allclose(stats.kurtosis(drawn), 6 / 5, atol=0.2)


@pytest.mark.parametrize("degrees", [1, 0, -2.0, np.inf, np.nan])
def test_bad_degrees_are_named(degrees):
    with pytest.raises(ValueError, match=r"degrees: found .*, expected a number above 1"):
        losses.student_t(degrees)


def test_heavy_tails_are_more_likely_under_student_t(key):
    """Held-out rows of a plane with noise of heavy tails, in nats a row; each likelihood learns its scales."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3000, 2)) @ rng.standard_normal((2, 6)) + 0.3 * rng.standard_t(2, (3000, 6))
    train, held_out = np.split(x.astype(np.float32), [2000])
    found = {}
    for name in ("gaussian", "student_t"):
        model = models.vae((6,), 2, hidden_dims=(), likelihood=losses.likelihood(name))
        fitted = aejax.fit(key, model, train, num_epochs=20, learning_rate=3e-3)
        found[name] = log_likelihood(key, model, fitted.variables, held_out).mean()
    assert found["student_t"] > found["gaussian"] + 1
