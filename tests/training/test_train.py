"""Training as a pure function: the same as ``fit``, inside what JAX does to functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aejax
from aejax.training import ensemble, fit, train
from tests.conftest import VAE

OPTIONS = {"num_epochs": 3, "validation": 0.2, "learning_rate": 1e-2}


def test_it_is_fit(rows, key):
    fitted = fit(key, VAE, rows, **OPTIONS)
    found = jax.jit(lambda key, rows: train(key, VAE, rows, **OPTIONS))(key, rows)
    assert found.history.keys() == fitted.history.keys()
    for name, values in fitted.history.items():
        np.testing.assert_allclose(found.history[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
    for a, b in zip(jax.tree.leaves(found.variables), jax.tree.leaves(fitted.variables), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_it_maps_over_keys_rows_and_hyperparameters(rows, key):
    keys = jax.random.split(key, 2)
    together = ensemble(keys, VAE, rows, **OPTIONS)
    mapped = jax.vmap(lambda key: train(key, VAE, rows, **OPTIONS).history["val_loss"])(keys)
    np.testing.assert_allclose(mapped, together.history["val_loss"], rtol=1e-3, atol=1e-4)

    def last_loss(rows, beta):
        return train(key, VAE, rows, VAE.hparams._replace(beta=beta), **OPTIONS).history["loss"][-1]

    tables = jnp.stack([rows, rows * (np.arange(6) < 3)])
    losses = jax.jit(jax.vmap(jax.vmap(last_loss, (None, 0)), (0, None)))(tables, jnp.array([0.1, 1.0]))
    alone = fit(key, VAE, tables[1], hparams=VAE.hparams._replace(beta=0.1), **OPTIONS)
    np.testing.assert_allclose(losses[1, 0], alone.history["loss"][-1], rtol=1e-3, atol=1e-4)


def test_a_gap_in_traced_rows_is_masked(rows, key):
    """What a mask hides is not looked at: the same result whatever stands there."""
    gaps = rows.copy()
    gaps[::7, 2] = np.nan
    given = aejax.as_batch(gaps)
    inside = jax.jit(lambda rows: train(key, VAE, rows, num_epochs=2).history["loss"])(gaps)
    outside = fit(key, VAE, given, num_epochs=2, validation=0).history["loss"]
    np.testing.assert_allclose(inside, outside, rtol=1e-4)


def test_gradients_pass_forward(rows, key):
    @jax.jit
    def last_loss(rate):
        return train(key, VAE, rows[:64], num_epochs=2, learning_rate=rate).history["loss"][-1]

    slope = jax.jacfwd(last_loss)(1e-2)
    numeric = (last_loss(1.02e-2) - last_loss(0.98e-2)) / 4e-4
    np.testing.assert_allclose(slope, numeric, rtol=0.05)


def test_history_ends_where_a_run_stops(rows, key):
    found = train(key, VAE, rows[:60], num_epochs=60, validation=0.5, patience=2, learning_rate=3e-2)
    fitted = fit(key, VAE, rows[:60], num_epochs=60, validation=0.5, patience=2, learning_rate=3e-2)
    num_run = len(fitted.history["loss"])
    assert num_run < 60
    assert found.history["loss"].shape == (60,)
    assert abs(int(np.isfinite(found.history["loss"]).sum()) - num_run) <= 2


@pytest.mark.parametrize(
    "call",
    [
        lambda key, rows: jax.jit(lambda rows: fit(key, VAE, rows, num_epochs=1).state.step)(rows),
        lambda key, rows: jax.jit(lambda: fit(key, VAE, rows, num_epochs=1).state.step)(),
        lambda key, rows: jax.vmap(lambda key: fit(key, VAE, rows, num_epochs=1).state.step)(jax.random.split(key)),
        lambda key, rows: jax.grad(lambda x: fit(key, VAE, x, num_epochs=1).history["loss"][0])(jnp.asarray(rows)),
        lambda key, rows: jax.grad(lambda rate: fit(key, VAE, rows, num_epochs=1, learning_rate=rate))(1e-3),
    ],
    ids=["jit", "jit without arguments", "vmap", "grad of rows", "grad of the rate"],
)
def test_fit_inside_a_transformation_says_to_call_train(rows, key, call):
    with pytest.raises(ValueError, match=r"expected a call outside of jit, vmap and grad; call aejax.train there"):
        call(key, rows)


def test_a_stream_cannot_be_traced(key):
    with pytest.raises(ValueError, match="x: found a stream, expected rows"):
        train(key, VAE, aejax.stream(lambda step: iter([])), steps_per_epoch=1)


def test_a_contract_that_is_broken_is_named_as_in_fit(rows, key):
    """An encoder of two numbers, of which a VAE with two dimensions wants four."""
    wrong = aejax.models.vae((6,), 2, encoder=aejax.nets.mlp((8,), (2,)))
    for call in (fit, train, jax.jit(lambda key, model, rows: train(key, model, rows), static_argnums=1)):
        with pytest.raises(ValueError, match=r"encode.*expected"):
            call(key, wrong, rows)
