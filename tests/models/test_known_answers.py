"""Models against optima that are known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aejax import losses, models
from aejax.base import Batch
from aejax.simulate import synthetic
from aejax.tasks import generate, reconstruct
from aejax.training import ensemble, fit
from aejax.training.optimizers import adam

LOADING = np.array(jax.random.normal(jax.random.key(100), (2, 6))) * np.array([[2.0], [1.0]])


def rows_of(key, num_rows, noise=0.5):
    data = synthetic.linear_gaussian(key, num_rows, LOADING, noise)
    return np.asarray(data.x), np.asarray(data.clean)


def test_a_linear_autoencoder_reaches_the_pca_error(key):
    x, _ = rows_of(key, 2000)
    x = x - x.mean(axis=0)
    model = models.autoencoder((6,), 2, hidden_dims=())
    fitted = fit(key, model, x, validation=0, num_epochs=150, learning_rate=1e-2, optimizer=adam("cosine", 150 * 32))
    eigenvalues = np.linalg.eigvalsh(x.T @ x / len(x))
    pca_error = eigenvalues[:-2].sum() / 6
    error = np.mean((x - reconstruct(model, fitted.variables, x)) ** 2)
    assert error == pytest.approx(pca_error, rel=2e-3)
    assert error >= pca_error * (1 - 1e-5)  # nothing linear is better


def test_a_linear_gaussian_vae_reaches_the_likelihood_of_probabilistic_pca(key):
    """Tipping & Bishop 1999, eq. 4 and 8; the bound is tight since the posterior is Gaussian with fixed variance."""
    x, _ = rows_of(key, 4000)
    x = x - x.mean(axis=0)
    log_likelihood = synthetic.probabilistic_pca_log_likelihood(x, 2)
    model = models.vae((6,), 2, hidden_dims=(), likelihood=losses.gaussian("shared"))
    fitted = fit(key, model, x, validation=0, num_epochs=300, learning_rate=1e-2, optimizer=adam("cosine", 300 * 63))
    draws = jnp.stack(
        [model.loss(k, fitted.variables, Batch(jnp.asarray(x)), model.hparams)[0] for k in jax.random.split(key, 20)]
    )
    bound = -float(draws.mean())
    assert bound == pytest.approx(log_likelihood, abs=0.02)
    assert bound <= log_likelihood + 3 * float(draws.std()) / np.sqrt(20)


@pytest.mark.optimised
def test_samples_of_a_linear_gaussian_vae_have_the_covariance_of_the_data(key):
    x, _ = rows_of(key, 4000)
    model = models.vae((6,), 2, hidden_dims=())
    keys = jax.random.split(key, 3)
    fitted = ensemble(keys, model, x, num_epochs=500, learning_rate=1e-2, optimizer=adam("cosine", 500 * 57))
    drawn = jax.vmap(lambda key, variables: generate(key, model, variables, 20_000))(keys, fitted.variables)
    scale = np.sqrt(np.outer(x.var(axis=0), x.var(axis=0)))
    errors = [np.max(np.abs(np.cov(rows.T) - np.cov(x.T)) / scale) for rows in np.asarray(drawn)]
    assert np.mean(errors) < 0.06


def test_a_denoiser_stays_above_the_wiener_error_and_comes_near_it(key):
    """On linear-Gaussian data the conditional mean is linear: no denoiser has a smaller expected error."""
    noise = 2.0  # so much that leaving it out of the training costs half as much again
    noisy, clean = rows_of(key, 6000, noise)
    wiener = synthetic.wiener_mse(LOADING, noise)
    model = models.denoising_autoencoder((6,), 2, hidden_dims=(32,), noise_level=noise)
    train, test, noisy = clean[:4000], clean[4000:], noisy[4000:]
    keys = jax.random.split(key, 3)
    fitted = ensemble(keys, model, train, num_epochs=60, learning_rate=3e-3, optimizer=adam("cosine", 60 * 57))
    errors = [
        np.mean((reconstruct(model, jax.tree.map(lambda leaf, i=i: leaf[i], fitted.variables), noisy) - test) ** 2)
        for i in range(3)
    ]
    sampling = np.std(np.mean((noisy - test) ** 2, axis=1)) / np.sqrt(len(test)) * wiener / noise**2
    assert min(errors) > wiener - 4 * sampling
    assert np.mean(errors) < 1.1 * wiener


def test_beta_trades_reconstruction_for_the_kl_term(rows, key):
    model = models.vae((6,), 2, hidden_dims=(16,))
    little, much = (
        fit(key, model, rows, hparams=model.hparams._replace(beta=beta), num_epochs=60, learning_rate=1e-2)
        for beta in (0.1, 10.0)
    )
    assert much.history["val_kl"][-1] < little.history["val_kl"][-1]
    assert much.history["val_mse"][-1] > little.history["val_mse"][-1]


def test_denoising_draws_new_noise_at_each_step(rows, key):
    model = models.denoising_autoencoder((6,), 2, noise_level=1.0)
    variables = model.init(key, Batch(rows))
    first, second = (model.loss(k, variables, Batch(rows), model.hparams)[0] for k in jax.random.split(key))
    assert first != second
    quiet = model.hparams._replace(noise_level=0.0)
    plain = models.autoencoder((6,), 2)
    np.testing.assert_allclose(
        model.loss(key, variables, Batch(rows), quiet)[0],
        plain.loss(key, variables, Batch(rows), plain.hparams)[0],
        rtol=1e-6,
    )


def test_dropout_acts_in_training_only(rows, key):
    model = models.autoencoder((6,), 2, dropout_rate=0.5, shortcut=False)
    variables = model.init(key, Batch(rows))
    first, second = jax.random.split(key)
    train = [model.loss(k, variables, Batch(rows), model.hparams)[0] for k in (first, second)]
    infer = [model.loss(k, variables, Batch(rows), model.hparams, train=False)[0] for k in (first, second)]
    assert train[0] != train[1]
    assert infer[0] == infer[1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.autoencoder((6,), 0), "latent_dim: found 0"),
        (lambda: models.vae((6,), 2, hidden_dims=(8, -1)), "hidden_dims: found"),
        (lambda: models.vae((6,), 2, activation="swoosh"), "activation: found 'swoosh'"),
        (lambda: models.vae((6,), 2, dropout_rate=1.0), "dropout_rate: found 1.0"),
        (lambda: models.autoencoder((), 2), "event_shape: found"),
        (lambda: models.denoising_autoencoder((6,), 2, corruption="salt"), "corruption: found 'salt'"),
        (lambda: models.denoising_autoencoder((6,), 2, noise_level=-1.0), "noise_level: found -1.0"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_model_without_a_distribution_says_so(rows, key):
    model = models.autoencoder((6,), 2)
    with pytest.raises(ValueError, match="defines no distribution"):
        generate(key, model, model.init(key, Batch(rows)), 3)
