"""Laws over the registry: a model added later is tested by being added."""

import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aejax
from aejax import models
from aejax.base import Aux, Batch, Latent, Model, as_batch
from aejax.training import ensemble, fit, sweep

SIGNATURES = {
    "init": ["key", "batch"],
    "encode": ["variables", "x", "cond"],
    "decode": ["variables", "z", "cond"],
    "loss": ["key", "variables", "batch", "hparams", "train"],
    "score": ["key", "variables", "batch"],
    "sample": ["key", "variables", "num_samples", "cond"],
}


@pytest.fixture
def variables(model, rows, key):
    return model.init(key, Batch(rows))


def calls(model, variables, rows, key):
    """Each function of a model, ready to call."""
    batch = as_batch(rows)
    z = model.encode(variables, rows).mean
    made = {
        "encode": (lambda v: model.encode(v, rows), variables),
        "decode": (lambda v: model.decode(v, z), variables),
        "loss": (lambda v: model.loss(key, v, batch, model.hparams), variables),
        "score": (lambda v: model.score(key, v, batch), variables),
    }
    if model.sample is not None:
        made["sample"] = (lambda v: model.sample(key, v, 5), variables)
    return made


def test_signatures_follow_the_naming_law(model):
    for name, expected in SIGNATURES.items():
        function = getattr(model, name)
        if function is not None:
            assert list(inspect.signature(function).parameters) == expected, name


def test_shapes_and_types(model, variables, rows, key):
    latent = model.encode(variables, rows)
    assert isinstance(model, Model)
    assert isinstance(latent, Latent)
    chex.assert_shape(latent.mean, (300, 2))
    chex.assert_shape(model.decode(variables, latent.mean), rows.shape)
    chex.assert_shape(model.score(key, variables, Batch(rows)), (300,))
    value, aux = model.loss(key, variables, Batch(rows), model.hparams)
    chex.assert_shape(value, ())
    assert isinstance(aux, Aux)
    assert {"loss", "mse"} <= set(aux.metrics)
    if model.sample is not None:
        chex.assert_shape(model.sample(key, variables, 5), (5, 6))


def test_outputs_hold_arrays_only(model, variables, rows, key):
    for name, (function, argument) in calls(model, variables, rows, key).items():
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(function(argument))), name
    fitted = fit(key, model, rows, num_epochs=2)
    assert all(isinstance(leaf, jax.Array | np.ndarray) for leaf in jax.tree.leaves(fitted))


def test_jit_equals_no_jit(model, variables, rows, key):
    for function, argument in calls(model, variables, rows, key).values():
        chex.assert_trees_all_close(jax.jit(function)(argument), function(argument), rtol=1e-5, atol=1e-5)


def test_vmap_equals_a_loop(model, rows, key):
    keys = jax.random.split(key, 3)
    stacked = jax.vmap(lambda key: model.init(key, Batch(rows)))(keys)
    single = [model.init(key, Batch(rows)) for key in keys]
    for name, (function, _) in calls(model, single[0], rows, key).items():
        mapped = jax.vmap(function)(stacked)
        looped = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[function(v) for v in single])
        chex.assert_trees_all_close(mapped, looped, rtol=1e-4, atol=1e-4, custom_message=name)


def test_the_same_key_gives_the_same_bits(model, rows, key):
    first, second = (fit(key, model, rows, num_epochs=2) for _ in range(2))
    chex.assert_trees_all_equal(first.variables, second.variables)
    other = fit(jax.random.key(8), model, rows, num_epochs=2)
    assert not np.array_equal(first.history["loss"], other.history["loss"])


def test_missing_values_do_not_reach_loss_or_score(model, variables, rows, key):
    with_gaps = rows.copy()
    with_gaps[::3, 1] = np.nan
    with_gaps[5] = np.nan  # a row of which nothing is observed
    batch = as_batch(with_gaps)
    filled = batch._replace(x=jnp.where(batch.mask, batch.x, 1e3), target=batch.x)
    value, aux = model.loss(key, variables, batch, model.hparams)
    assert np.isfinite(value)
    assert all(np.isfinite(metric) for metric in aux.metrics.values())
    gradient = jax.grad(lambda v: model.loss(key, v, batch, model.hparams)[0])(variables)
    chex.assert_tree_all_finite(gradient)
    score = np.asarray(model.score(key, variables, batch))
    assert np.isnan(score[5])
    assert np.isfinite(np.delete(score, 5)).all()
    # what stands in a masked target is never read
    other_target = filled._replace(x=batch.x, target=jnp.where(batch.mask, batch.x, 1e6))
    np.testing.assert_array_equal(model.loss(key, variables, other_target, model.hparams)[0], value)


def test_the_row_mask_leaves_rows_out(model, variables, rows, key):
    keep = np.arange(300) < 100
    # deterministic part only: noise is drawn per row, so compare inference mode of the score
    all_scores = model.score(key, variables, Batch(rows))
    masked = model.score(key, variables, Batch(rows, mask=jnp.asarray(keep)))
    np.testing.assert_allclose(masked[:100], all_scores[:100], rtol=1e-6)
    doubled = Batch(jnp.concatenate([rows, 50 + rows]), mask=jnp.arange(600) < 300)
    assert model.loss(key, variables, doubled, model.hparams)[1].metrics["mse"] < 10


def test_the_loss_does_not_depend_on_the_batch_size(model, variables, rows, key):
    many = jnp.tile(jnp.asarray(rows), (20, 1))
    few = model.loss(key, variables, Batch(jnp.asarray(rows)), model.hparams, train=False)[0]
    more = model.loss(key, variables, Batch(many), model.hparams, train=False)[0]
    np.testing.assert_allclose(few, more, rtol=0.05)


def test_conditions_are_used(model, rows, key):
    cond = rows[:, :1]
    variables = model.init(key, Batch(rows, cond=cond))
    given = model.decode(variables, jnp.zeros((300, 2)), cond)
    assert np.ptp(np.asarray(given), axis=0).max() > 0
    with pytest.raises(ValueError, match="conditions"):
        model.encode(variables, rows)
    fitted = fit(key, model, Batch(rows, cond=cond), num_epochs=2)
    assert np.isfinite(fitted.history["val_loss"]).all()


def test_ensemble_equals_a_loop(model, rows, key):
    keys = jax.random.split(key, 2)
    together = ensemble(keys, model, rows, num_epochs=2)
    apart = [fit(key, model, rows, num_epochs=2) for key in keys]
    for index, fitted in enumerate(apart):
        member = jax.tree.map(lambda leaf, index=index: leaf[index], together.variables)
        chex.assert_trees_all_close(member, fitted.variables, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(together.history["loss"][index], fitted.history["loss"], rtol=1e-4)


def test_sweep_equals_a_loop_and_has_leading_axes(model, rows, key):
    rates = jnp.array([1e-3, 1e-2])
    together = sweep(key, model, rows, learning_rate=rates, num_epochs=2)
    for index, rate in enumerate(rates):
        alone = fit(key, model, rows, learning_rate=float(rate), num_epochs=2)
        np.testing.assert_allclose(together.history["loss"][index], alone.history["loss"], rtol=1e-4)
    both = sweep(jax.random.split(key, 3), model, rows, learning_rate=rates, num_epochs=2)
    assert both.history["loss"].shape == (2, 3, 2)


def test_a_factory_gives_the_same_model_for_equal_arguments():
    for factory in models.MODELS.values():
        assert factory((6,), 2, hidden_dims=[8]) is factory([6], 2, hidden_dims=(8,))


def test_wrong_event_shape_is_named(model, variables):
    with pytest.raises(ValueError, match=r"x: found shape \(4, 5\), expected \(n, 6\)"):
        model.encode(variables, jnp.zeros((4, 5)))


def test_public_names_exist():
    for name in aejax.__all__:
        assert hasattr(aejax, name), name
