"""Corruptions hit what they say, and the loss knows what they hit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aejax
from aejax import models
from aejax.base import Batch
from aejax.metrics import snr_db
from aejax.simulate.synthetic import sinusoids


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_masking_noise_masks_the_stated_share(key, level):
    masked = models.masking_noise(key, jnp.ones((100, 100)), level)
    assert float((masked == 0).mean()) == pytest.approx(level, abs=0.02)


def test_gaussian_noise_has_the_stated_size(key):
    assert float(models.gaussian_noise(key, jnp.zeros((100, 100)), 0.7).std()) == pytest.approx(0.7, rel=0.02)


def test_salt_and_pepper_noise_sets_elements_to_either_extreme_of_their_column(rows, key):
    x = jnp.asarray(rows)
    noisy = models.salt_and_pepper_noise(key, x, 0.4)
    hit = np.asarray(noisy != x)
    assert hit.mean() == pytest.approx(0.4, abs=0.04)
    is_salt, is_pepper = (np.asarray(noisy == extreme) for extreme in (x.max(axis=0), x.min(axis=0)))
    assert (is_salt | is_pepper)[hit].all()
    assert is_salt[hit].mean() == pytest.approx(0.5, abs=0.08)


def test_emphasis_weighs_the_elements_that_were_hit(rows, key):
    """Vincent et al. 2010, eq. for alpha and beta: the loss is linear in the weight of corrupted elements."""
    inner = models.autoencoder((6,), 2)
    model = models.denoising(inner, models.masking_noise, 0.5)
    variables = model.init(key, Batch(rows))

    def loss(emphasis):
        hparams = model.hparams._replace(emphasis=emphasis)
        return float(model.loss(key, variables, Batch(jnp.asarray(rows)), hparams)[0])

    corrupt_key, _ = jax.random.split(key)
    noisy = models.masking_noise(corrupt_key, jnp.asarray(rows), 0.5)
    error = np.square(aejax.reconstruct(inner, variables, noisy) - rows)
    hit = np.asarray(noisy != rows)
    share = error[hit].sum() / error[~hit].sum()
    # normalised or not, hit elements count three times
    assert (loss(3.0) - loss(0.0)) / (loss(1.0) - loss(0.0)) == pytest.approx(3, rel=1e-4)
    assert (loss(1.0) - loss(0.0)) / loss(0.0) == pytest.approx(share, rel=1e-4)


@pytest.mark.slow
def test_a_convolutional_denoiser_of_signals_beats_the_noise(key):
    """Sums of sinusoids of random frequency and phase, noise 0.3, as in the second source text; new signals."""
    train_key, test_key = jax.random.split(key)
    train, test = sinusoids(train_key, 1500, length=64, noise=0.3), sinusoids(test_key, 300, length=64, noise=0.3)
    model = models.convolutional_denoising_autoencoder((64,), 16, hidden_dims=(16, 32), noise_level=0.3)
    fitted = aejax.fit(key, model, train.clean, num_epochs=30, batch_size=64, learning_rate=3e-3)
    denoised = aejax.reconstruct(model, fitted.variables, test.x)
    assert snr_db(test.clean, denoised) > snr_db(test.clean, test.x) + 3


def shown_and_weighed(key, batch, emphasis=1.0):
    """The batch that the wrapped model is handed."""
    seen = []
    inner = models.autoencoder((3,), 1)
    spy = inner._replace(loss=lambda key, variables, batch, hparams, train: seen.append(batch))
    model = models.denoising(spy, models.gaussian_noise, 1.0, emphasis)
    model.loss(key, {}, batch, model.hparams)
    return seen[0]


def test_a_missing_value_is_shown_as_it_will_be_in_use(key):
    x = jnp.zeros((50, 3))
    mask = jnp.ones((50, 3), bool).at[:, 1].set(False)
    shown = shown_and_weighed(key, Batch(x, mask=mask))
    assert (shown.x[:, 1] == 0).all()
    assert (shown.x[:, [0, 2]] != 0).all()
    np.testing.assert_array_equal(shown.target, x)


def test_the_weights_of_a_batch_are_kept_beside_the_emphasis(key):
    weight = jnp.broadcast_to(jnp.array([1.0, 2.0, 0.0]), (50, 3))
    shown = shown_and_weighed(key, Batch(jnp.zeros((50, 3)), weight=weight), emphasis=3.0)
    np.testing.assert_array_equal(shown.weight, 3 * weight)
