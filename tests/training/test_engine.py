"""The engine: chunks, early stopping, divergence, compilation."""

import os
import signal
import threading

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import aejax
from aejax import models
from aejax.base import Batch
from aejax.data.batches import as_batch
from aejax.kernels import hoisting
from aejax.training import (
    DivergenceError,
    DivergenceWarning,
    Interrupted,
    engine,
    ensemble,
    fit,
    plans,
    sharding,
    sweep,
)
from aejax.training.algorithms import MinimiseHparams, minimise
from aejax.training.optimizers import adam
from tests.conftest import REGISTRY, VAE
from tests.training.parts import one_step_at_a_time


def test_chunks_never_change_a_result(model, data, key):
    assert_cut_alike(key, model, minimise(model, adam()), data)


def test_chunks_never_change_the_result_of_a_schedule(rows, key):
    assert_cut_alike(key, VAE, minimise(VAE, adam("cosine", num_steps=40, clip_norm=1.0)), rows)


def assert_cut_alike(key, model, algorithm, data):
    plan = plans.Plan(num_epochs=3, steps_per_epoch=5, batch_size=64, num_rows=300, num_validation=30).with_room()
    data, hparams = plans.Data(as_batch(data)), jax.tree.map(jnp.asarray, MinimiseHparams(1e-2, model.hparams))

    def run_to(stops):
        run = engine.start(algorithm, plan, (), key, data, hparams)
        for until in stops:
            place = (0, int(run.state.step), int(run.epoch), int(run.block))
            clock = engine.Clock(*map(np.int32, (*place, until, 1)))
            run = engine.advance(algorithm, plan, (), run, data, hparams, clock)
        return run

    whole = run_to([15])
    assert int(whole.epoch) == 3
    for cuts in (range(1, 16), [5, 10, 15], [4, 11, 15], [14, 15]):
        chex.assert_trees_all_equal(run_to(cuts), whole)


def test_validation_may_be_cut_too(rows, key, monkeypatch):
    monkeypatch.setattr(plans, "_EVALUATION_ROWS", 1)
    model, data = VAE, plans.Data(as_batch(rows))
    algorithm, hparams = minimise(model), jax.tree.map(jnp.asarray, MinimiseHparams(1e-2, model.hparams))
    plan = plans.Plan(num_epochs=2, steps_per_epoch=5, batch_size=8, num_rows=300, num_validation=60)
    assert plans.num_evaluation_blocks(plan, data) == 8

    def run_to(num_blocks):
        run = engine.start(algorithm, plan, (), key, data, hparams)
        parts = 0
        while int(run.epoch) < 2:
            clock = (0, int(run.state.step), int(run.epoch), int(run.block), 10, num_blocks)
            run = engine.advance(algorithm, plan, (), run, data, hparams, engine.Clock(*map(np.int32, clock)))
            parts += 1
        return run, parts

    whole, one = run_to(100)
    cut, several = run_to(3)
    assert (one, several) == (1, 6)
    chex.assert_trees_all_equal(cut, whole)


def num_programs():
    return engine.program(engine.advance.__wrapped__, ("run",))._cache_size()


def test_a_run_compiles_once_whatever_its_hyperparameters_and_epochs(rows, key):
    model = models.vae((6,), 5, hidden_dims=())
    before = num_programs()
    for rate, beta in [(1e-3, 1.0), (1e-2, 4.0), (3e-3, 0.1)]:
        hparams = model.hparams._replace(beta=beta)
        fit(key, model, rows, learning_rate=rate, hparams=hparams, num_epochs=5)
    fit(key, models.vae((6,), 5, hidden_dims=()), rows, num_epochs=7)
    assert num_programs() == before + 1


def test_an_ensemble_and_a_sweep_compile_once_each(rows, key):
    model = models.vae((6,), 4, hidden_dims=())
    before = num_programs()
    for seed in range(2):
        keys = jax.random.split(jax.random.key(seed), 3)
        ensemble(keys, model, rows, num_epochs=3)
        sweep(key, model, rows, num_epochs=3, over={"learning_rate": jnp.array([1e-3, 1e-2]) * (1 + seed)})
    assert num_programs() == before + 2


# One without noise, one with noise and running statistics, one with two players.
KINDS = pytest.mark.parametrize("member", ["autoencoder", "convolutional_vae", "wgan_gp"], indirect=True)


@KINDS
def test_going_on_from_a_state_equals_one_longer_run(member, data, key):
    whole = fit(key, member, data, num_epochs=6)
    first = fit(key, member, data, num_epochs=3)
    second = fit(key, member, data, num_epochs=3, state=first.state)
    chex.assert_trees_all_equal(second.state.variables, whole.state.variables)
    # the first state is still the caller's
    assert np.isfinite(jax.tree.leaves(first.state.variables)[0]).all()


def test_early_stopping_returns_the_best_variables(rows, key):
    # Few rows and a wide network: validation turns while training goes on.
    model = models.autoencoder((6,), 4, hidden_dims=(64, 64))
    fitted = fit(key, model, rows[:40], num_epochs=400, learning_rate=1e-2, patience=15, validation=0.5)
    loss = fitted.history["val_loss"]
    assert len(loss) < 400
    assert len(loss) - 1 - np.argmin(loss) == 15
    algorithm = minimise(model)
    plan = plans.Plan(1, 1, 20, 40, 20, patience=15)
    hparams = MinimiseHparams(1e-2, model.hparams)
    keys = engine.start(algorithm, plan, (), key, plans.Data(as_batch(rows[:40])), hparams).keys
    held_out = Batch(rows[:40][plans.validation_rows(plan, keys, jnp.arange(20))])
    measured = algorithm.evaluate(keys.evaluate, fitted.variables, held_out, hparams)
    np.testing.assert_allclose(measured["loss"], loss.min(), rtol=1e-5)


def test_members_stop_each_for_itself(rows, key):
    model = models.autoencoder((6,), 4, hidden_dims=(64, 64))
    keys = jax.random.split(key, 3)
    options = {"num_epochs": 200, "learning_rate": 1e-2, "patience": 10, "validation": 0.5}
    together = ensemble(keys, model, rows[:40], **options)
    lengths = np.isfinite(together.history["loss"]).sum(axis=1)
    # Rounding differs between one model and three, so stopping times are compared with that in mind.
    alone = [len(fit(member, model, rows[:40], **options).history["loss"]) for member in keys]
    assert len(set(lengths)) > 1
    assert np.abs(lengths - np.array(alone)).max() <= 10


def test_validation_rows_are_never_trained_on(key):
    # Held-out rows are of another kind; a model that saw them would learn them.
    x = np.concatenate([np.zeros((64, 4)), np.tile([5.0, -5.0], (16, 2))]).astype(np.float32)
    model = models.autoencoder((4,), 1, hidden_dims=(8,))
    fitted = fit(key, model, x[:64], validation=x[64:], num_epochs=20, learning_rate=1e-2)
    assert fitted.history["mse"][-1] < 0.01
    assert fitted.history["val_mse"][-1] > 1


def test_validation_in_blocks_equals_validation_at_once(rows, key, monkeypatch):
    model = REGISTRY["autoencoder"]
    whole = fit(key, model, rows, num_epochs=3, validation=0.2)
    monkeypatch.setattr(plans, "_EVALUATION_ROWS", 30)
    jax.clear_caches()
    blocks = fit(key, model, rows, num_epochs=3, validation=0.2)
    np.testing.assert_allclose(blocks.history["val_loss"], whole.history["val_loss"], rtol=1e-5)
    jax.clear_caches()


def test_divergence_names_epoch_and_step_and_keeps_the_last_good_variables(rows, key):
    def explode_at_step_12(learning_rate):
        schedule = optax.join_schedules([optax.constant_schedule(1e-3), optax.constant_schedule(jnp.inf)], [12])
        return optax.chain(optax.sgd(learning_rate), optax.scale_by_schedule(schedule))

    # 270 training rows, 64 a step: 5 steps an epoch; the update of step 12 is infinite, step 13's loss is not finite
    with pytest.raises(DivergenceError, match=r"epoch 3, step 13.*learning rate") as caught:
        fit(key, VAE, rows, num_epochs=10, optimizer=explode_at_step_12)
    assert (caught.value.epoch, caught.value.step) == (3, 13)
    chex.assert_tree_all_finite(caught.value.fitted.variables)
    assert int(caught.value.fitted.state.step) == 10


def test_a_diverging_member_does_not_stop_the_others(rows, key):
    rates = jnp.array([1e-3, 1e30])
    with pytest.warns(DivergenceWarning, match="1 of 2 members"):
        fitted = sweep(key, VAE, rows, over={"learning_rate": rates}, num_epochs=5)
    chex.assert_tree_all_finite(fitted.variables)
    assert np.isfinite(fitted.history["loss"][0]).all()


@KINDS
def test_fewer_rows_than_a_batch_and_a_single_row(member, rows, key):
    for num_rows in (1, 5):
        fitted = fit(key, member, rows[:num_rows], num_epochs=2, batch_size=64)
        assert np.isfinite(fitted.history["loss"]).all(), num_rows


@pytest.mark.parametrize(
    ("num_rows", "num_validation", "batch_size"), [(10, 0, 4), (10, 3, 4), (300, 30, 64), (5, 1, 4)]
)
def test_each_training_row_is_seen_in_each_pass_and_no_other(key, num_rows, num_validation, batch_size):
    num_train = num_rows - num_validation
    num_steps = plans.steps_for(num_train, batch_size)
    plan = plans.Plan(1, num_steps, batch_size, num_rows, num_validation)
    keys = plans.Keys(*jax.random.split(key, 3))
    data = plans.Data(Batch(jnp.arange(num_rows, dtype=jnp.float32)[:, None]))
    steps = jnp.arange(3 * num_steps).reshape(3, num_steps)
    seen = np.asarray(jax.vmap(jax.vmap(lambda step: plans.batch_at(plan, keys, data, step).x))(steps), int)
    held_out = np.asarray(plans.validation_rows(plan, keys, jnp.arange(num_validation))).tolist()
    for one_pass in seen.reshape(3, -1):
        # each once, and the first ones once more where the last batch was filled up
        assert sorted(one_pass[:num_train].tolist() + held_out) == list(range(num_rows))
        np.testing.assert_array_equal(one_pass[num_train:], one_pass[: num_steps * batch_size - num_train])
    assert len({tuple(one_pass.ravel()) for one_pass in seen}) > 1, "all passes are in one order"


def test_what_a_step_sees_is_what_its_number_says(rows, key):
    """By the rows themselves: a model that writes down what it is shown, trained in one go and in parts."""
    seen = []

    def loss(key, variables, batch, hparams, train=True):
        jax.debug.callback(lambda x: seen.append(np.array(x)), batch.x[:, 0], ordered=False)
        return (batch.x @ variables["params"]["w"]).sum() * 0.0, aejax.Aux({}, {})

    watcher = aejax.Objective(lambda key, batch: {"params": {"w": jnp.zeros(batch.x.shape[1:])}}, loss)
    x = np.arange(20, dtype=np.float32)[:, None]
    fit(key, watcher, x, validation=0, num_epochs=1, batch_size=5)
    jax.effects_barrier()
    assert sorted(np.concatenate(seen[-4:]).tolist()) == list(range(20))


def test_optimizer_options_do_what_they_say(rows, key):
    plain = fit(key, VAE, rows, num_epochs=4, optimizer=adam())
    same = fit(key, VAE, rows, num_epochs=4, optimizer=optax.adam)
    chex.assert_trees_all_close(plain.variables, same.variables, rtol=1e-5, atol=1e-6)
    decayed = fit(key, VAE, rows, num_epochs=4, optimizer=adam(weight_decay=10.0))
    assert optax.tree.norm(decayed.variables) < optax.tree.norm(plain.variables)
    frozen = fit(key, VAE, rows, num_epochs=4, optimizer=adam(warmup_steps=10**9))
    assert abs(optax.tree.norm(frozen.variables) - optax.tree.norm(frozen.state.variables)) < 1e-4
    averaged = fit(key, VAE, rows, num_epochs=4, ema_decay=0.9, validation=0)
    with pytest.raises(AssertionError):
        chex.assert_trees_all_close(averaged.variables, averaged.state.variables, rtol=1e-3)
    with pytest.raises(ValueError, match="num_steps"):
        adam("cosine")


def test_ctrl_c_finishes_the_chunk_saves_and_says_so(rows, key, tmp_path, monkeypatch):
    one_step_at_a_time(monkeypatch)  # a run before may have learned that all epochs fit into one part

    def press(report):
        if report.epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="checkpoint written") as caught:
        fit(key, VAE, rows, num_epochs=50, checkpoint_dir=tmp_path, progress=press)
    assert len(caught.value.fitted.history["loss"]) < 50
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = fit(key, VAE, rows, num_epochs=50, checkpoint_dir=tmp_path, resume=True)
    chex.assert_trees_all_equal(resumed.variables, fit(key, VAE, rows, num_epochs=50).variables)


def test_fitting_works_off_the_main_thread(rows, key):
    results = []
    thread = threading.Thread(target=lambda: results.append(fit(key, VAE, rows, num_epochs=2)))
    thread.start()
    thread.join()
    assert len(results) == 1


@pytest.mark.parametrize("validation", [0, 0.1])
def test_what_a_loss_returns_is_recorded_whatever_its_metrics_say(rows, key, validation):
    def loss(key, variables, batch, hparams, train=True):
        value, aux = VAE.loss(key, variables, batch, hparams, train)
        return value + 1000, aux

    base = fit(key, VAE, rows, num_epochs=2, validation=validation)
    more = fit(key, VAE._replace(loss=loss), rows, num_epochs=2, validation=validation)
    for name in ("loss", "val_loss") if validation else ("loss",):
        np.testing.assert_allclose(more.history[name], base.history[name] + 1000, rtol=1e-4)


def test_a_loss_need_not_report_itself(rows, key):
    def loss(*args, **options):
        value, aux = VAE.loss(*args, **options)
        return value, aux._replace(metrics={})

    silent, base = (fit(key, model, rows, num_epochs=2) for model in (VAE._replace(loss=loss), VAE))
    np.testing.assert_allclose(silent.history["val_loss"], base.history["val_loss"], rtol=1e-5)


def test_batch_norm_collections_follow_training(rows, key):
    model = models.vae((6,), 2, hidden_dims=(8,), batch_norm=True, dropout_rate=0.1)
    fitted = fit(key, model, 5 + rows, num_epochs=20)
    statistics = fitted.variables["batch_stats"]["encoder"]["layers"]["norm_0"]["mean"]
    assert np.abs(statistics).max() > 0.5
    first, second = (model.encode(fitted.variables, rows[:n]).mean[0] for n in (1, 50))
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)  # inference mode: rows do not mix
    assert "batch_stats" not in fit(key, VAE, rows, num_epochs=1).variables


@pytest.mark.slow
def test_members_side_by_side_are_those_one_after_the_other(rows, key, monkeypatch):
    """As on a GPU: by ``vmap``, where a member that has stopped is computed along and dropped."""
    keys = jax.random.split(key, 3)
    options = {"num_epochs": 40, "patience": 2, "learning_rate": 3e-2, "validation": 0.5}
    in_turn = ensemble(keys, VAE, rows[:60], **options)
    with pytest.warns(DivergenceWarning, match="1 of 2 members"):
        swept_in_turn = sweep(key, VAE, rows, over={"learning_rate": [1e-3, 1e30]}, num_epochs=3)
    for module in (sharding, engine):
        monkeypatch.setattr(module, "num_in_lockstep", lambda axes, num_members, mesh=None: num_members if axes else 0)
    monkeypatch.setitem(hoisting.TUNING, "cpu", hoisting.TUNING["other"])
    jax.clear_caches()
    together = ensemble(keys, VAE, rows[:60], **options)
    # Rounding differs, and with it the epoch at which a member stops.
    stopped, expected = (np.isfinite(fitted.history["loss"]).sum(axis=1) for fitted in (together, in_turn))
    assert len(set(stopped)) > 1
    assert np.abs(stopped - expected).max() <= 2
    num_epochs = min(stopped.min(), expected.min())
    np.testing.assert_allclose(
        together.history["val_loss"][:, :num_epochs], in_turn.history["val_loss"][:, :num_epochs], rtol=1e-2
    )
    one_step_at_a_time(monkeypatch)
    cut = ensemble(keys, VAE, rows[:60], **options)
    chex.assert_trees_all_equal((cut.variables, cut.state), (together.variables, together.state))
    with pytest.warns(DivergenceWarning, match="1 of 2 members"):
        swept = sweep(key, VAE, rows, over={"learning_rate": [1e-3, 1e30]}, num_epochs=3)
    chex.assert_tree_all_finite(swept.variables)
    np.testing.assert_allclose(swept.history["loss"][0], swept_in_turn.history["loss"][0], rtol=1e-3)
    jax.clear_caches()


def test_a_run_that_continues_and_diverges_keeps_what_it_began_with(rows, key):
    first = fit(key, VAE, rows, num_epochs=3, validation=0)
    with pytest.raises(DivergenceError) as caught:
        fit(key, VAE, rows, num_epochs=2, validation=0, learning_rate=1e30, state=first.state)
    chex.assert_trees_all_equal(caught.value.fitted.variables, first.variables)
