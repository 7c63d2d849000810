"""The masking model: a mask in [0, 1], the loss in decibels, indifference to amplitude."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aejax import nets
from aejax.base import Batch
from aejax.data.spectrograms import num_frames, stft
from aejax.models.masking import masking_autoencoder

OPTIONS = {"frame_length": 32, "hop": 16, "hidden_dim": 8, "dilations": (1, 2)}


@pytest.fixture(scope="module")
def made():
    model = masking_autoencoder((200,), **OPTIONS)
    x = jax.random.normal(jax.random.key(0), (4, 200))
    model = model._replace(encode=jax.jit(model.encode), decode=jax.jit(model.decode))
    return model, jax.jit(model.init)(jax.random.key(1), Batch(x)), x


def test_the_code_is_the_masked_spectrum(made):
    model, variables, x = made
    z = model.encode(variables, x).mean.reshape(4, num_frames(200, 32, 16), 17, 2)
    spectrum = stft(x, 32, 16)
    share = (z[..., 0] + 1j * z[..., 1]) / spectrum
    np.testing.assert_allclose(share.imag, 0, atol=1e-3)
    assert 0 <= share.real.min() < share.real.max() <= 1


def test_a_mask_of_one_gives_the_signal_back(made):
    model, variables, x = made
    encoder = variables["params"]["encoder"]["layer_3"]
    opened = {"kernel": jnp.zeros_like(encoder["kernel"]), "bias": jnp.full_like(encoder["bias"], 30.0)}
    variables = {"params": {**variables["params"], "encoder": {**variables["params"]["encoder"], "layer_3": opened}}}
    np.testing.assert_allclose(model.decode(variables, model.encode(variables, x).mean), x, atol=1e-5)


def test_the_loss_is_the_error_in_decibels_below_the_input(made, key):
    model, variables, x = made
    target = 0.5 * x + 0.1
    error = np.sum((model.decode(variables, model.encode(variables, x).mean) - target) ** 2, axis=1)
    expected = float(np.mean(10 * np.log10(error / np.sum(x**2, axis=1) + 1e-4)))
    found, aux = model.loss(key, variables, Batch(x, target=target), model.hparams)
    assert float(found) == pytest.approx(expected, abs=1e-3)
    assert float(aux.metrics["mse"]) == pytest.approx(float(np.mean(error)) / 200, rel=1e-4)


@pytest.mark.parametrize("amplitude", [1e-6, 1.0, 1e6])
def test_twice_the_signal_is_twice_the_estimate(made, amplitude):
    model, variables, x = made
    one = model.decode(variables, model.encode(variables, x).mean)
    other = model.decode(variables, model.encode(variables, amplitude * x).mean)
    np.testing.assert_allclose(other / amplitude, one, atol=1e-4)


def test_silence_stays_silence_and_has_a_gradient(made, key):
    model, variables, x = made
    assert (model.decode(variables, model.encode(variables, 0 * x).mean) == 0).all()
    loss = jax.jit(jax.grad(lambda v: model.loss(key, v, Batch(0 * x, target=0 * x), model.hparams)[0]))
    gradient = loss(variables)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_equal_arguments_give_the_same_model():
    assert masking_autoencoder([200], **OPTIONS) is masking_autoencoder((200,), **OPTIONS)


def test_other_events_are_refused(made):
    with pytest.raises(ValueError, match="one signal"):
        masking_autoencoder((200, 3))
    model, variables, _ = made
    with pytest.raises(ValueError, match=r"expected \(n, 200\)"):
        model.encode(variables, np.zeros((1, 150)))


def test_dilated_convolutions_see_as_far_as_they_say(key):
    network = nets.dilated_convolutions(8, 1, dilations=(1, 2))
    x = jax.random.normal(key, (1, 21, 3))
    variables = network.init(key, x)
    reach = jax.jit(jax.jacobian(lambda x: network.apply(variables, x)[0][0, 10, 0]))(x)[0]
    assert np.flatnonzero(np.abs(reach).max(axis=1)).tolist() == list(range(7, 14))


def test_dilated_convolutions_are_convolutions(key):
    """Moved in time, the same; and conditions are seen."""
    network = nets.dilated_convolutions(8, 2, dilations=(1, 2))
    x = jnp.pad(jax.random.normal(key, (1, 10, 3)), ((0, 0), (10, 10), (0, 0)))
    cond = jnp.ones((1, 2))
    variables = network.init(key, x, cond)
    y, moved = (network.apply(variables, jnp.roll(x, shift, axis=1), cond)[0] for shift in (0, 4))
    np.testing.assert_allclose(moved[:, 10:20], y[:, 6:16], atol=1e-5)
    assert np.abs(network.apply(variables, x, 2 * cond)[0] - y).max() > 1e-3
