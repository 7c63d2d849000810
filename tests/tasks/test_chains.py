import numpy as np
import pytest

from aejax.tasks.inversion import effective_sample_size, rank_normalised_r_hat


def autoregressive(rng, coefficient, shape=(4, 4000, 2)):
    """Chains whose integrated autocorrelation time is known: (1 + a) / (1 - a)."""
    noise = rng.normal(size=shape)
    draws = np.empty(shape)
    draws[:, 0] = noise[:, 0] / np.sqrt(1 - coefficient**2)
    for step in range(1, shape[1]):
        draws[:, step] = coefficient * draws[:, step - 1] + noise[:, step]
    return draws


@pytest.mark.parametrize("coefficient", [0.0, 0.5, 0.9, -0.3])
def test_effective_sample_size_of_an_autoregression(coefficient):
    draws = autoregressive(np.random.default_rng(0), coefficient)
    expected = 16000 * (1 - coefficient) / (1 + coefficient)
    np.testing.assert_allclose(effective_sample_size(draws), expected, rtol=0.15)


def test_chains_that_agree_have_r_hat_one():
    draws = np.random.default_rng(0).normal(size=(4, 1000, 3))
    assert np.abs(rank_normalised_r_hat(draws) - 1).max() < 0.01


def test_chains_in_two_places_two_widths_or_drifting_are_seen():
    rng = np.random.default_rng(0)
    places, widths, drift = (rng.normal(size=(4, 1000, 1)) for _ in range(3))
    places[0] += 2
    widths[0] *= 4
    drift += np.linspace(0, 3, 1000)[:, None]
    for draws in (places, widths, drift):
        assert rank_normalised_r_hat(draws)[0] > 1.1
    assert effective_sample_size(places)[0] < 100


def test_heavy_tails_do_not_hide_a_difference():
    """A Cauchy chain has no variance; ranks have."""
    draws = np.random.default_rng(0).standard_cauchy(size=(4, 1000, 1))
    assert abs(rank_normalised_r_hat(draws)[0] - 1) < 0.02
    draws[0] += 5
    assert rank_normalised_r_hat(draws)[0] > 1.1


def test_what_does_not_vary_has_no_diagnostics():
    assert np.isnan(rank_normalised_r_hat(np.ones((2, 10, 1)))).all()
    assert np.isnan(effective_sample_size(np.ones((2, 10, 1)))).all()


@pytest.mark.parametrize("function", [rank_normalised_r_hat, effective_sample_size])
def test_too_few_draws_are_refused(function):
    with pytest.raises(ValueError, match=r"draws: found shape \(2, 3, 1\)"):
        function(np.ones((2, 3, 1)))
