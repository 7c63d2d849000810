"""Boltzmann machines whose likelihood can be enumerated, and the deep autoencoder that begins from them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aejax
from aejax import models
from aejax.base import Batch
from aejax.training import fit, pretrain
from aejax.training.algorithms import contrastive_divergence

NUM_VISIBLE, NUM_HIDDEN = 6, 3
STATES = jnp.array(list(itertools.product((0.0, 1.0), repeat=NUM_VISIBLE)))
HIDDEN_STATES = jnp.array(list(itertools.product((0.0, 1.0), repeat=NUM_HIDDEN)))


@pytest.fixture
def machine():
    return models.rbm(NUM_VISIBLE, NUM_HIDDEN)


@pytest.fixture
def params(key):
    shapes = {"kernel": (NUM_VISIBLE, NUM_HIDDEN), "visible_bias": (NUM_VISIBLE,), "hidden_bias": (NUM_HIDDEN,)}
    return {name: jax.random.normal(jax.random.fold_in(key, i), s) for i, (name, s) in enumerate(shapes.items())}


def log_probability(machine, params, v):
    return -machine.free_energy(params, v) - jax.nn.logsumexp(-machine.free_energy(params, STATES))


def test_the_free_energy_is_the_sum_over_hidden_states(machine, params):
    energy = -(
        STATES @ params["kernel"] @ HIDDEN_STATES.T
        + (STATES @ params["visible_bias"])[:, None]
        + HIDDEN_STATES @ params["hidden_bias"]
    )
    np.testing.assert_allclose(machine.free_energy(params, STATES), -jax.nn.logsumexp(-energy, axis=1), rtol=1e-4)


def test_gibbs_sampling_has_the_enumerated_distribution(machine, params, key):
    def step(v, key):
        hidden_key, visible_key = jax.random.split(key)
        return machine.sample_visible(visible_key, params, machine.sample_hidden(hidden_key, params, v)), None

    v, _ = jax.lax.scan(step, jnp.zeros((20_000, NUM_VISIBLE)), jax.random.split(key, 200))
    index = (v @ (2.0 ** jnp.arange(NUM_VISIBLE - 1, -1, -1))).astype(int)
    share = np.bincount(index, minlength=len(STATES)) / len(v)
    np.testing.assert_allclose(share, np.exp(log_probability(machine, params, STATES)), atol=0.015)


@pytest.mark.parametrize("num_chains", [None, 100], ids=["CD-5", "persistent"])
def test_training_on_the_samples_of_a_machine_finds_its_distribution(machine, params, key, num_chains):
    truth = log_probability(machine, params, STATES)
    x = STATES[jax.random.categorical(key, truth, shape=(2000,))]
    algorithm = contrastive_divergence(machine, num_gibbs_steps=5, num_chains=num_chains)
    hparams = algorithm.hparams._replace(learning_rate=0.02, weight_decay=0.0)
    fitted = fit(key, algorithm, x, validation=0, num_epochs=100, batch_size=100, hparams=hparams)

    def divergence(found):
        return float(jnp.sum(jnp.exp(truth) * (truth - log_probability(machine, found, STATES))))

    assert divergence(machine.init(key, Batch(x))["params"]) > 0.5
    assert divergence(fitted.variables["params"]) < 0.05
    assert ("chains" in fitted.variables) == (num_chains is not None)


def test_a_gaussian_machine_finds_the_mean_of_its_data(key):
    x = 2 + jax.random.normal(key, (1000, 4))
    machine = models.rbm(4, 2, visible="gaussian")
    algorithm = contrastive_divergence(machine)
    fitted = fit(key, algorithm, x, validation=0, num_epochs=90, hparams=algorithm.hparams._replace(learning_rate=2e-3))
    params = fitted.variables["params"]
    mean = machine.visible_mean(params, machine.hidden_mean(params, x)).mean(axis=0)
    np.testing.assert_allclose(mean, x.mean(axis=0), atol=0.1)


def test_unrolling_is_up_and_down_the_stack(key):
    x = jax.random.uniform(key, (60, 5))
    model = models.deep_autoencoder((5,), 2, hidden_dims=(4, 3), visible="bernoulli", activation="sigmoid")
    start = pretrain(key, model, x, visible="bernoulli", num_epochs=1, batch_size=20)
    encoder, decoder = start["params"]["encoder"], start["params"]["decoder"]
    for up, down in zip(("layer_0", "layer_1", "layer_2"), ("layer_2", "layer_1", "layer_0"), strict=True):
        np.testing.assert_array_equal(encoder[up]["kernel"], decoder[down]["kernel"].T)
    h = jax.nn.sigmoid(x @ encoder["layer_0"]["kernel"] + encoder["layer_0"]["bias"])
    h = jax.nn.sigmoid(h @ encoder["layer_1"]["kernel"] + encoder["layer_1"]["bias"])
    code = h @ encoder["layer_2"]["kernel"] + encoder["layer_2"]["bias"]
    np.testing.assert_allclose(model.encode(start, x).mean, code, rtol=1e-5, atol=1e-6)


def test_fit_begins_from_the_variables_given(rows, key):
    model = models.deep_autoencoder((6,), 2, hidden_dims=(4,), activation="sigmoid")
    start = pretrain(key, model, rows, num_epochs=1)
    still = fit(key, model, rows, variables=start, learning_rate=0.0, num_epochs=1)
    jax.tree.map(np.testing.assert_array_equal, still.variables, start)
    keys = jax.random.split(key, 2)
    with pytest.raises(ValueError, match=r"expected \(2, 4\), one for each key"):
        aejax.ensemble(keys, model, rows, variables=start, num_epochs=1)
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), start)
    still = aejax.ensemble(keys, model, rows, variables=stacked, learning_rate=0.0, num_epochs=1)
    jax.tree.map(np.testing.assert_array_equal, still.variables, stacked)


def test_what_cannot_be_pretrained_says_so(rows, key):
    with pytest.raises(ValueError, match=r"expected \[0, 1\] for Bernoulli units"):
        pretrain(key, models.deep_autoencoder((6,), 2), rows, visible="bernoulli")
    with pytest.raises(ValueError, match="an encoder that is not dense"):
        pretrain(key, models.convolutional_autoencoder((6,), 2, hidden_dims=(4,)), rows)
    with pytest.raises(ValueError, match=r"found the activation 'gelu', expected 'sigmoid'"):
        pretrain(key, models.deep_autoencoder((6,), 2), rows)
    with pytest.raises(RuntimeError, match="layer 0 diverged in epoch"), pytest.warns(UserWarning, match="scale"):
        pretrain(
            key,
            models.deep_autoencoder((6,), 2, activation="sigmoid"),
            100 * rows,
            gaussian_learning_rate=10.0,
            num_epochs=20,
        )
