import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aejax import losses, models, nets
from aejax.base import Batch
from aejax.data.batches import as_batch
from tests.conftest import CODING


def test_resizing_keeps_what_is_linear_and_the_ends(key):
    row, column = np.mgrid[:5, :3].astype(np.float32)
    fine, _ = nets.resize((5, 3), (17, 9)).apply({}, (2 * row - column)[None])
    fine_row, fine_column = np.mgrid[:17, :9] / 4
    np.testing.assert_allclose(fine[0], 2 * fine_row - fine_column, atol=1e-5)
    coarse, _ = nets.resize((17, 9), (5, 3)).apply({}, jnp.ones((2, 17, 9, 3)))
    np.testing.assert_allclose(coarse, np.ones((2, 5, 3, 3)), atol=1e-6)


@pytest.mark.parametrize("resized", [(5,), (17, 2), (1, 1)])
def test_grids_that_do_not_fit_are_refused(resized):
    with pytest.raises(ValueError, match="resized: found"):
        nets.resize((5, 3), resized)


def test_a_composed_network_is_its_parts_one_behind_the_other(key):
    first, second = nets.mlp((4,), (3,)), nets.mlp((), (2,))
    composed = nets.compose(first=first, second=second)
    x, cond = jnp.ones((5, 6)), jnp.full((5, 1), 2.0)
    variables = composed.init(key, x, cond)
    middle, _ = first.apply(nets.select(variables, "first"), x, cond)
    expected, _ = second.apply(nets.select(variables, "second"), middle)
    np.testing.assert_array_equal(composed.apply(variables, x, cond)[0], expected)


def test_statistics_of_a_composed_network_move_in_training(key):
    composed = nets.compose(first=nets.mlp((4,), (3,), batch_norm=True), second=nets.mlp((4,), (2,), batch_norm=True))
    x = jax.random.normal(key, (8, 6))
    variables = composed.init(key, x)
    updated = composed.apply(variables, x, key=key, train=True)[1]
    assert jax.tree.structure(updated["batch_stats"]) == jax.tree.structure(variables["batch_stats"])
    moved = jax.tree.map(lambda a, b: not np.allclose(a, b), updated, {"batch_stats": variables["batch_stats"]})
    assert all(jax.tree.leaves(moved))


def test_a_network_with_a_shortcut_begins_as_the_linear_map_and_learns_its_share(key):
    network = nets.mlp((4,), (3,), batch_norm=True)
    both = nets.with_shortcut(network, (3,))
    x, cond = jax.random.normal(key, (8, 6)), jnp.full((8, 1), 2.0)
    variables = both.init(key, x, cond)
    linear = variables["params"]["linear"]["layer_0"]
    straight = jnp.concatenate([x, cond], axis=1) @ linear["kernel"] + linear["bias"]
    np.testing.assert_allclose(both.apply(variables, x, cond)[0], straight, atol=1e-3)
    share = jax.grad(lambda params: jnp.sum(both.apply({**variables, "params": params}, x, cond)[0]))(
        variables["params"]
    )["linear"]["share"]
    assert abs(float(share)) > 1e-3
    variables["params"]["linear"]["share"] = jnp.float32(0.5)
    bent, _ = network.apply(nets.select(variables, "layers"), x, cond)
    np.testing.assert_allclose(both.apply(variables, x, cond)[0], straight + 0.5 * bent, rtol=1e-5)
    updated = both.apply(variables, x, cond, key=key, train=True)[1]
    assert jax.tree.structure(updated["batch_stats"]) == jax.tree.structure(variables["batch_stats"])


@pytest.mark.slow
def test_convolutions_on_a_coarser_grid_give_events_of_full_size(key):
    model = models.convolutional_vae(
        (9, 13, 2), 3, hidden_dims=(4, 4), grid=(3, 4), dense_dims=(5,), likelihood=losses.bernoulli()
    )
    x = jax.random.bernoulli(key, 0.5, (4, 9, 13, 2)).astype(jnp.float32)
    variables = model.init(key, Batch(x))
    assert model.decode(variables, model.encode(variables, x).mean).shape == x.shape
    gradient = jax.grad(lambda v: model.loss(key, v, Batch(x), model.hparams)[0])(variables)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient["params"]["decoder"]))


IN_BFLOAT16 = [name for name in CODING if "precision" in inspect.signature(models.MODELS[name]).parameters]


@pytest.mark.parametrize("name", sorted(set(IN_BFLOAT16) - {"conditional_vae"}))
def test_a_model_in_bfloat16_is_the_same_to_three_digits(name, rows, key):
    """Of every model that takes it: parameters, codes and losses stay float32."""
    factory = models.MODELS[name]
    batch = as_batch(rows)
    full, half = (factory((6,), 2, hidden_dims=(8,), precision=precision) for precision in ("float32", "bfloat16"))
    variables = full.init(key, batch)
    assert jax.tree.all(jax.tree.map(np.array_equal, variables, half.init(key, batch)))
    # Beside a linear map the layers have no share yet.
    variables = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.ones_like(leaf) if getattr(path[-1], "key", "") == "share" else leaf, variables
    )
    expected, (value, aux) = (model.loss(key, variables, batch, model.hparams) for model in (full, half))
    np.testing.assert_allclose(value, expected[0], rtol=0.03)
    assert value != expected[0]
    gradient = jax.grad(lambda params: half.loss(key, {**variables, "params": params}, batch, half.hparams)[0])
    kept = jax.tree.leaves((value, aux.collections, gradient(variables["params"]), half.encode(variables, rows).mean))
    assert {leaf.dtype for leaf in kept} == {np.dtype("float32")}


def test_another_precision_is_named():
    with pytest.raises(ValueError, match='precision: found \'float16\', expected "float32" or "bfloat16"'):
        models.vae((6,), 2, precision="float16")
