"""Layers that are computed again for the gradient: the same numbers, and less that is kept."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import print_saved_residuals

import aejax
from aejax import Batch
from aejax.data.batches import as_batch

MODELS = {
    "dense": (aejax.models.vae, {"hidden_dims": (64, 64, 64), "dropout_rate": 0.1, "shortcut": False}, (12,)),
    "convolutional": (aejax.models.convolutional_autoencoder, {"hidden_dims": (4, 8), "batch_norm": True}, (8, 8, 2)),
}


@pytest.fixture(params=sorted(MODELS))
def case(request):
    """A model that keeps its layers, one that does not, variables of both, and rows."""
    make, options, shape = MODELS[request.param]
    x = as_batch(jax.random.normal(jax.random.key(0), (32, *shape)))
    plain, again = (make(shape, 2, remat=remat, **options) for remat in (False, True))
    return plain, again, plain.init(jax.random.key(1), Batch(x.x[:1])), x


def loss_of(model, variables, x):
    def loss(params):
        return model.loss(jax.random.key(2), {**variables, "params": params}, x, model.hparams, True)[0]

    return loss


def test_loss_and_gradient_are_the_same(case):
    plain, again, variables, x = case
    expected, found = (
        jax.value_and_grad(loss_of(model, variables, x))(variables["params"]) for model in (plain, again)
    )
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6), expected, found)


def kept_bytes(function, argument, capsys):
    """What JAX keeps of the forward pass beside the argument. XLA on CPUs may undo it, so memory is not measured."""
    print_saved_residuals(function, argument)
    sizes = re.findall(r"f32\[([\d,]*)\] (?!from the argument)", capsys.readouterr().out)
    return sum(4 * int(np.prod([int(side) for side in size.split(",") if side])) for size in sizes)


def test_less_is_kept(case, capsys):
    plain, again, variables, x = case
    expected, found = (
        kept_bytes(loss_of(model, variables, x), variables["params"], capsys) for model in (plain, again)
    )
    assert 0 < found < 0.5 * expected


def test_a_training_by_it_is_the_same(case):
    plain, again, _, x = case
    expected, found = (
        aejax.fit(jax.random.key(3), model, x, num_epochs=2, batch_size=16).history["loss"] for model in (plain, again)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert jnp.isfinite(found).all()
