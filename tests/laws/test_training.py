"""Laws of training every model of the registry: a model added later is tested by being added."""

import chex
import jax
import numpy as np
import pytest

import aejax
from aejax.training import ensemble, fit, sweep
from tests.conftest import REGISTRY

NUM_EPOCHS = 3


@pytest.mark.as_users
def test_the_same_key_gives_the_same_bits(member, data, key):
    first, second = (fit(key, member, data, num_epochs=NUM_EPOCHS) for _ in range(2))
    assert all(isinstance(leaf, jax.Array | np.ndarray) for leaf in jax.tree.leaves(first))
    chex.assert_trees_all_equal(first.variables, second.variables)
    other_key, _ = jax.random.split(key)
    other = fit(other_key, member, data, num_epochs=NUM_EPOCHS)
    assert not np.array_equal(first.history["loss"], other.history["loss"])


def test_resuming_from_checkpoints_gives_the_same_bits(member, data, key, tmp_path):
    whole = fit(key, member, data, num_epochs=NUM_EPOCHS)

    class StopHere(Exception):
        pass

    def stop_after_one(report):
        if report.epoch >= 1:
            raise StopHere

    with pytest.raises(StopHere):
        fit(
            key,
            member,
            data,
            num_epochs=NUM_EPOCHS,
            checkpoint_dir=tmp_path,
            checkpoint_seconds=0,
            progress=stop_after_one,
        )
    resumed = fit(key, member, data, num_epochs=NUM_EPOCHS, checkpoint_dir=tmp_path, resume=True)
    chex.assert_trees_all_equal(resumed.variables, whole.variables)
    chex.assert_trees_all_equal(resumed.history, whole.history)


def assert_same_fit(own, alone):
    np.testing.assert_allclose(own.history["loss"], alone.history["loss"], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(own.history["val_loss"], alone.history["val_loss"], rtol=1e-2, atol=1e-4)
    chex.assert_trees_all_equal_shapes(own.variables, alone.variables)


def test_a_sweep_of_ensembles_equals_loops_and_has_leading_axes(member, data, key):
    rates, keys = np.array([1e-4, 1e-3]), jax.random.split(key, 3)
    both = sweep(keys, member, data, over={"learning_rate": rates}, num_epochs=NUM_EPOCHS)
    assert both.history["loss"].shape == (2, 3, NUM_EPOCHS)
    for setting, index in ((0, 1), (1, 2)):
        alone = fit(list(keys)[index], member, data, learning_rate=rates[setting], num_epochs=NUM_EPOCHS)
        assert_same_fit(aejax.member(both, setting, index), alone)


@pytest.mark.parametrize("member", ["vae", "wgan_gp"], indirect=True)
def test_an_ensemble_equals_a_loop(member, data, key):
    keys = jax.random.split(key, 2)
    together = ensemble(keys, member, data, num_epochs=NUM_EPOCHS)
    for index, key in enumerate(keys):
        alone = fit(key, member, data, num_epochs=NUM_EPOCHS)
        assert_same_fit(aejax.member(together, index), alone)


def test_a_member_that_is_not_there_is_refused(rows, key):
    together = ensemble(jax.random.split(key, 2), REGISTRY["vae"], rows, num_epochs=1)
    for index in ((2,), (), (0, 0)):
        with pytest.raises(IndexError, match="index: found"):
            aejax.member(together, *index)
