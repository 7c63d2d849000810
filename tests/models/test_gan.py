"""Adversaries against moments that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aejax
from aejax import losses, metrics, models
from aejax.base import Batch
from aejax.simulate.synthetic import temperature_dependent
from aejax.training import ensemble, fit
from aejax.training.algorithms import adversarial
from aejax.training.optimizers import adam
from tests.conftest import REGISTRY


def member_of(fitted, index):
    return jax.tree.map(lambda leaf: leaf[index], fitted.variables)


@pytest.mark.slow
def test_a_wgan_gp_on_a_one_dimensional_gaussian_recovers_its_moments(key):
    x = np.asarray(jax.random.normal(key, (2000, 1)))
    adversary = models.wgan_gp((1,), 2, hidden_dims=(32,))
    optimizer = adam("cosine", 60 * 16, b1=0.0, b2=0.9)
    keys = jax.random.split(key, 3)
    fitted = ensemble(
        keys, adversary, x, validation=0, num_epochs=60, batch_size=128, optimizer=optimizer, ema_decay=0.99
    )
    drawn = np.stack([aejax.generate(key, adversary, member_of(fitted, i), 5000) for i in range(3)])
    assert np.abs(drawn.mean(axis=1)).max() < 0.05
    assert np.abs(drawn.std(axis=1) - 1).max() < 0.15


@pytest.mark.slow
def test_rows_of_the_process_are_hard_to_tell_from_generated_ones(key):
    def rows(key):
        data = temperature_dependent(key, 5000)
        return np.concatenate([data.x, data.temperature], axis=1)

    x, new = rows(key), rows(jax.random.key(1))
    mean, std = x.mean(axis=0), x.std(axis=0)
    adversary = models.wgan_gp((6,), 10)
    fitted = fit(
        key,
        adversary,
        (x - mean) / std,
        validation=0,
        num_epochs=120,
        batch_size=256,
        optimizer=adam("cosine", 120 * 20, b1=0.0, b2=0.9),
        ema_decay=0.999,
    )
    drawn = np.asarray(aejax.generate(key, adversary, fitted.variables, 5000)) * std + mean
    assert metrics.ks_distance(drawn, new).max() <= 0.06
    assert metrics.correlation_error(drawn, new) <= 0.06
    assert aejax.two_sample_auroc(key, new, drawn) <= 0.60


def test_both_players_move_and_the_running_statistics_with_the_generator(rows, key):
    adversary = models.gan((6,), 3, hidden_dims=(8,))
    variables = adversary.init(key, Batch(rows))
    batch = Batch(jnp.asarray(rows))
    _, aux = adversary.discriminator_loss(key, variables, batch, adversary.hparams)
    # the running statistics are the generator's, which the discriminator's turn leaves alone
    jax.tree.map(np.testing.assert_array_equal, aux.collections, {"batch_stats": variables["batch_stats"]})
    algorithm = adversarial(adversary)
    state = algorithm.init(key, batch, algorithm.hparams, variables)
    moved, _ = algorithm.step(state, batch, algorithm.hparams)
    for player in ("generator", "discriminator"):
        before, after = (s.variables["params"][player]["layer_0"]["kernel"] for s in (state, moved))
        assert not np.array_equal(before, after)


def test_a_schedule_counts_rounds_for_both_players(rows, key):
    """The discriminator takes five steps a round: by its own count its cosine would end after a fifth of the run."""
    adversary = models.wgan_gp((6,), 3, hidden_dims=(8,))
    algorithm = adversarial(adversary, adam("cosine", 10))
    batch = Batch(jnp.asarray(rows))
    state = algorithm.init(key, batch, algorithm.hparams)
    step = jax.jit(algorithm.step)
    for _ in range(9):
        before = state.variables["params"]["discriminator"]
        state, _ = step(state, batch, algorithm.hparams)
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), before, state.variables["params"]["discriminator"])
    assert max(jax.tree.leaves(moved)) > 0


def test_the_average_of_the_generator_is_what_is_returned(rows, key):
    adversary = models.gan((6,), 3, hidden_dims=(8,))
    fitted = fit(key, adversary, rows, validation=0, num_epochs=3, ema_decay=0.9)
    average = fitted.state.opt_state[1]
    jax.tree.map(np.testing.assert_array_equal, fitted.variables["params"]["generator"], average["params"])
    assert not np.array_equal(
        fitted.variables["params"]["generator"]["layer_0"]["kernel"],
        fitted.state.variables["params"]["generator"]["layer_0"]["kernel"],
    )


def test_the_energy_distance_is_zero_for_one_distribution_and_known_for_shifted_points(key):
    a, b = jax.random.normal(key, (2, 2000, 3))
    assert abs(float(losses.energy_distance(a, b))) < 0.01
    assert float(losses.energy_distance(a, b + 1)) > 0.3
    # point masses at distance 5: 2 * 5 - 0 - 0
    np.testing.assert_allclose(losses.energy_distance(jnp.zeros((4, 2)), jnp.zeros((4, 2)) + jnp.array([3.0, 4.0])), 10)


def test_the_two_sample_test_sees_a_shift_and_nothing_where_there_is_nothing(key):
    a, b = np.asarray(jax.random.normal(key, (2, 1000, 4)))
    assert abs(aejax.two_sample_auroc(key, a, b) - 0.5) < 0.05
    assert aejax.two_sample_auroc(key, a, b + 1) > 0.8


def test_a_gan_has_no_codes_and_says_so(rows, key):
    adversary = models.gan((6,), 3, hidden_dims=(8,))
    variables = adversary.init(key, Batch(rows))
    for task in (aejax.encode, aejax.reconstruct):
        with pytest.raises(ValueError, match="a GAN has no encoder"):
            task(adversary, variables, rows)
    with pytest.raises(ValueError, match="defines no likelihood"):
        aejax.log_likelihood(key, adversary, variables, rows)


def test_a_gan_scores_rows_for_detection(rows, key):
    adversary = REGISTRY["gan"]
    fitted = fit(key, adversary, rows[np.arange(300) % 200], num_epochs=2)  # as many rows as the laws have
    calibration = aejax.calibrate(key, adversary, fitted.variables, rows[200:])
    found = aejax.detect(key, adversary, fitted.variables, rows, calibration, 0.05)
    assert found.score.shape == (300,)
    assert not found.contribution.any()


def test_a_conditional_model_without_conditions_says_so(rows, key):
    for factory in (models.conditional_gan, models.conditional_vae):
        with pytest.raises(ValueError, match=r"cond: found None, expected \(n, c\) conditions"):
            fit(key, factory((6,), 2), rows, num_epochs=1)
