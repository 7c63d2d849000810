"""Convolutional models on grids of one, two and three dimensions, even and odd."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aejax
from aejax import losses, models
from aejax.base import Batch


@pytest.mark.parametrize(
    ("event_shape", "num_spatial_dims"),
    [((65,), None), ((13, 2), 1), ((27, 31), None), ((9, 7, 3), None), ((5, 6, 7), 3), ((5, 4, 3, 2), None)],
)
def test_every_size_comes_back_as_it_was(key, event_shape, num_spatial_dims):
    model = models.convolutional_autoencoder(
        event_shape, 3, hidden_dims=(4, 5), num_spatial_dims=num_spatial_dims, batch_norm=False
    )
    x = jax.random.normal(key, (2, *event_shape))

    @jax.jit
    def reach(key, x):
        variables = model.init(key, Batch(x))
        z = model.encode(variables, x).mean
        assert z.shape == (2, 3)
        assert model.decode(variables, z).shape == x.shape
        return jax.grad(lambda x: jnp.sum(model.encode(variables, x).mean ** 2))(x)

    # no position is left out: each reaches the code
    assert np.count_nonzero(reach(key, x)) > 0.9 * x.size


def test_the_source_texts_size(key):
    model = models.convolutional_autoencoder((224, 224, 3), 128)
    variables = jax.eval_shape(model.init, key, Batch(jnp.zeros((1, 224, 224, 3))))
    shapes = [
        layer["kernel"].shape for name, layer in sorted(variables["params"]["encoder"].items()) if "layer" in name
    ]
    assert shapes == [(3, 3, 3, 32), (3, 3, 32, 64), (3, 3, 64, 128), (3, 3, 128, 256), (14 * 14 * 256, 128)]
    decoded = jax.eval_shape(model.decode, variables, jnp.zeros((2, 128)))
    assert decoded.shape == (2, 224, 224, 3)


def test_it_learns_what_a_few_numbers_make(key):
    """Images of a bright spot: two numbers make each, and the code has two."""
    where = jax.random.uniform(key, (400, 2, 1), minval=3, maxval=8)
    axis = jnp.arange(12.0)
    profile = jnp.exp(-0.25 * (axis - where) ** 2)
    x = np.asarray(profile[:, 0, :, None] * profile[:, 1, None, :])
    model = models.convolutional_autoencoder((12, 12), 2, hidden_dims=(8, 16), likelihood=losses.bernoulli())
    fitted = aejax.fit(key, model, x[:300], num_epochs=80, batch_size=32, learning_rate=5e-3)
    left = np.mean((aejax.reconstruct(model, fitted.variables, x[300:]) - x[300:]) ** 2)
    centred = x[:300].reshape(300, -1) - x[:300].reshape(300, -1).mean(axis=0)
    principal = np.sum(np.linalg.svd(centred, compute_uv=False)[2:] ** 2) / centred.size
    assert left < 0.5 * principal


@pytest.mark.parametrize(
    ("event_shape", "options", "message"),
    [
        ((8, 8), {"num_spatial_dims": 3}, "num_spatial_dims"),
        ((8, 8), {"hidden_dims": ()}, "hidden_dims"),
        ((2, 2, 2, 2, 2), {}, "event_shape|num_spatial_dims"),
    ],
)
def test_bad_arguments_are_named(event_shape, options, message):
    with pytest.raises(ValueError, match=message):
        models.convolutional_autoencoder(event_shape, 2, **options)
