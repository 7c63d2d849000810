"""Arguments of fits: what is taken, and what is refused in a sentence."""

import shutil
import warnings

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import aejax
from aejax import models
from aejax.base import Batch
from aejax.training import (
    ensemble,
    fit,
    sweep,
)
from aejax.training.algorithms import minimise
from tests.conftest import VAE


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_epochs": 0}, "num_epochs: found 0"),
        ({"batch_size": -1}, "batch_size: found -1"),
        ({"validation": 1.5}, "validation: found 1.5"),
        ({"validation": 0, "patience": 3}, "patience: early stopping needs validation"),
        ({"resume": True}, "checkpoint_dir: found None"),
        ({"ema_decay": 2.0}, "ema_decay: found 2.0"),
        ({"validation": np.zeros((3, 5))}, "validation: found event shape"),
        ({"validation": np.float32(1.5)}, "validation: found 1.5"),
        ({"validation": None}, "validation: found None, expected a share"),
        ({"num_epochs": 2.5}, "num_epochs: found 2.5, expected a positive whole number"),
        ({"optimizer": optax.adam(1e-3), "learning_rate": 1e-3}, "found one, but the optimizer has a rate already"),
        ({"learning_rate": -1e-3}, "learning_rate: found -0.001, expected at least 0"),
        ({"learning_rate": optax.constant_schedule(1e-3)}, "learning_rate: found <function"),
        ({"learning_rate": [1e-3, 1e-2]}, "learning_rate: found .*, expected one number; .* aejax.sweep"),
        ({"key": jax.random.split(jax.random.key(0), 3)}, "key: found a stack of keys, .*aejax.ensemble"),
        ({"hparams": {"beta": 2.0}}, r"hparams: found dict .*, expected VaeHparams"),
        ({"hparams": models.VaeHparams(beta="much")}, r"hparams: model.beta: found 'much', expected a number"),
        ({"key": 1}, r"key: found 1, expected a PRNG key such as jax.random.key\(0\)"),
        ({"key": jnp.zeros(2)}, "key: found an array of type float32"),
    ],
)
def test_bad_options_are_named(rows, key, options, message):
    with pytest.raises(ValueError, match=message):
        fit(**{"key": key, "model": VAE, "x": rows, **options})


@pytest.mark.parametrize("option", [{"learning_rate": 1e-3}, {"optimizer": optax.sgd}, {"ema_decay": 0.9}])
def test_what_an_algorithm_has_of_its_own_is_not_ignored(rows, key, option):
    with pytest.raises(ValueError, match="found one with an Algorithm, expected it with a Model or an Adversary"):
        fit(key, minimise(VAE), rows, **option)


def test_an_ensemble_wants_keys(rows):
    with pytest.raises(ValueError, match="key: found 1, expected a PRNG key"):
        ensemble(1, VAE, rows)
    with pytest.raises(ValueError, match=r"keys: found shape .*, expected a stack of keys"):
        ensemble(jax.random.key(1), VAE, rows)
    with pytest.raises(TypeError, match="found option num_epoch, expected one of validation, num_epochs"):
        ensemble(jax.random.split(jax.random.key(1)), VAE, rows, num_epoch=3)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({}, "over: found nothing, expected values by name"),
        ({"gamma": [1.0]}, "over: found 'gamma', expected one of learning_rate, model.beta"),
        ({"beta": 1.0}, r"over: found shapes model.beta \(\), expected lists of one length"),
        ({"beta": [1.0, 2.0], "learning_rate": [1e-3]}, r"over: found shapes model.beta \(2,\), learning_rate \(1,\)"),
        ({"beta": [[1.0, 2.0]]}, r"over: model.beta: found shape \(1, 2\), expected \(1,\)"),
        ({"beta": ["much"]}, "over: beta: found .*, expected a number or an array of numbers"),
    ],
)
def test_what_cannot_be_swept_is_named(rows, key, over, message):
    with pytest.raises(ValueError, match=message):
        sweep(key, VAE, rows, over=over)


def test_a_hyperparameter_may_be_a_vector(rows, key):
    """Weights of six sensors are one hyperparameter: one model is trained, and a sweep is over whole vectors."""

    def loss(key, variables, batch, hparams, train=True):
        return VAE.loss(key, variables, batch._replace(weight=jnp.broadcast_to(hparams, batch.x.shape)), VAE.hparams)

    weights = jnp.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    weighted = aejax.Objective(VAE.init, loss, jnp.ones(6))
    one = fit(key, weighted, rows, hparams=weights, num_epochs=2)
    assert one.history["loss"].shape == (2,)
    both = sweep(key, weighted, rows, over={"model": [jnp.ones(6), weights]}, num_epochs=2)
    np.testing.assert_allclose(both.history["loss"][1], one.history["loss"], rtol=1e-4)
    assert not np.allclose(both.history["loss"][0], one.history["loss"], rtol=1e-2)


def test_a_share_of_any_type_and_a_list_of_settings_are_taken(rows, key):
    options = {"num_epochs": 1, "validation": np.float32(0.2)}
    swept = sweep(key, VAE, rows, over={"learning_rate": [1e-3, 1e-2]}, **options)
    assert swept.history["val_loss"].shape == (2, 1)
    both = sweep(key, VAE, rows, over={"beta": [1.0, 4.0], "learning_rate": [1e-3, 1e-2]}, **options)
    assert both.history["val_loss"][0, 0] == swept.history["val_loss"][0, 0]


@pytest.mark.parametrize(
    ("fields", "held_out", "message"),
    [
        ({"weight": np.ones((300, 6))}, {}, "validation: weight must be given for both"),
        ({"cond": np.ones((300, 2))}, {"cond": np.ones((300, 3))}, r"validation: cond: found shape \(300, 3\)"),
    ],
)
def test_validation_rows_have_the_fields_of_the_others(rows, key, fields, held_out, message):
    with pytest.raises(ValueError, match=message):
        fit(key, VAE, Batch(rows, **fields), validation=Batch(rows, **held_out))


def test_rows_in_which_nothing_is_observed_measure_nothing(rows, key):
    unseen = np.full((5, 6), np.nan)
    with pytest.raises(ValueError, match=r"validation: found no observed value .* in the 5 validation row"):
        fit(key, VAE, rows, validation=unseen, num_epochs=1)
    with pytest.raises(ValueError, match="x: found no observed value"):
        fit(key, VAE, unseen, validation=rows, num_epochs=1)
    # of the members of an ensemble none may draw such rows: the one row with values is held out by none or by some
    few = Batch(rows[:8], mask=np.arange(8) == 0)
    with pytest.raises(ValueError, match="found no observed value"):
        ensemble(jax.random.split(key, 4), VAE, few, validation=0.25, num_epochs=1)
    weight = np.ones((8, 6)) * (np.arange(8) < 6)[:, None]
    with pytest.raises(ValueError, match="validation: found no observed value of a weight above 0"):
        fit(key, VAE, Batch(rows[:6], weight=weight[:6]), validation=Batch(rows[6:8], weight=weight[6:]), num_epochs=1)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((0, 6)), "found no rows"),
        (np.zeros(6), "expected \\(rows, \\*event\\)"),
        (np.full((10, 6), np.inf), "infinite value"),
        (np.zeros((10, 5)), "found shape"),
        (Batch(np.zeros((10, 6)), target=np.zeros((10, 3))), r"target: found shape \(10, 3\), expected \(10, 6\)"),
        (Batch(np.zeros((10, 6)), weight=np.zeros(10)), r"weight: found shape \(10,\), expected \(10, 6\) as in x"),
        (Batch(np.zeros((10, 6)), mask=np.ones((10, 2))), r"mask: found shape \(10, 2\), .* as in x or \(rows,\)"),
        (Batch(np.zeros((10, 6)), cond=np.zeros(10)), r"cond: found shape \(10,\), .*cond\[:, None\]"),
        (Batch(np.zeros((10, 6)), cond=1.0), "cond: found no rows"),
    ],
)
def test_bad_rows_are_named(key, x, message):
    with pytest.raises(ValueError, match=message):
        fit(key, VAE, x)


def test_legacy_keys_work(rows, tmp_path):
    legacy = jax.random.PRNGKey(0)
    whole = fit(legacy, VAE, rows, num_epochs=3, checkpoint_dir=tmp_path)
    again = fit(legacy, VAE, rows, num_epochs=3, checkpoint_dir=tmp_path, resume=True)
    chex.assert_trees_all_equal(whole.variables, again.variables)
    shutil.rmtree(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ensemble(jax.random.split(legacy, 2), VAE, rows, num_epochs=2)
