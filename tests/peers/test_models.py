"""Every network beside the same one in PyTorch: outputs, losses, gradients, running statistics, loss curves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional

from aejax import exchange, losses, models
from aejax.training.algorithms import minimise
from tests.peers import systems
from tests.peers.peer import (
    KEY,
    MOMENTUM,
    NUM_ROWS,
    NUM_STEPS,
    batch_of,
    close,
    shake,
    state_of,
    torched,
    zeros_like,
)

PEERS = {
    "autoencoder": systems.autoencoder,
    "denoising, Gaussian": lambda: systems.denoising("gaussian", 1.0),
    "denoising, masking, emphasis": lambda: systems.denoising("masking", 3.0),
    "denoising, salt and pepper": lambda: systems.denoising("salt_and_pepper", 2.0),
    "vae": systems.vae,
    "beta-vae": lambda: systems.vae(beta=4.0),
    "importance-weighted": lambda: systems.vae(num_importance_samples=3),
    "conditional vae": systems.conditional_vae,
    "sparse, kl": lambda: systems.sparse("kl"),
    "sparse, l1": lambda: systems.sparse("l1"),
    "sparse, topk": lambda: systems.sparse("topk"),
    "sparse, jumprelu": lambda: systems.sparse("jumprelu"),
    "convolutional, 1-D, odd": lambda: systems.convolutional((21,), (21,)),
    "convolutional, 2-D, colours, odd": lambda: systems.convolutional((9, 6, 3), (9, 6)),
    "convolutional, 3-D": lambda: systems.convolutional((6, 5, 4), (6, 5, 4)),
    "convolutional vae": lambda: systems.convolutional((8, 7), (8, 7), losses.bernoulli(), variational=True),
    "convolutional denoising": lambda: systems.convolutional((16,), (16,), noisy=True),
    "deep autoencoder": systems.deep_autoencoder,
}


@pytest.fixture(params=list(PEERS))
def peer(request):
    torch.manual_seed(0)
    made = PEERS[request.param]()
    shake(made.module)
    return made


@pytest.fixture
def variables(peer):
    return exchange.from_state_dict(state_of(peer.module), zeros_like(peer.model, batch_of(peer)))


def test_outputs_in_inference_mode(peer, variables):
    batch = batch_of(peer)
    peer.module.eval()
    with torch.no_grad():
        theirs = peer.output(peer.module, torched(batch.x), torched(batch.cond))

    @jax.jit
    def reconstruct(variables, x, cond):
        return peer.model.decode(variables, peer.model.encode(variables, x, cond).mean, cond)

    ours = reconstruct(variables, batch.x, batch.cond)
    close(ours, theirs.numpy())


@pytest.mark.parametrize("train", [True, False], ids=["training", "inference"])
def test_loss_and_gradients(peer, variables, train):
    batch = batch_of(peer)
    peer.module.train(train)
    noise = {name: torched(value) for name, value in peer.noise(KEY, batch.x).items()}
    loss = peer.loss(peer.module, torched(batch.x), torched(batch.cond), **noise)
    loss.backward()

    def ours_of(params):
        return peer.model.loss(KEY, {**variables, "params": params}, batch, peer.model.hparams, train)[0]

    value, gradient = jax.jit(jax.value_and_grad(ours_of))(variables["params"])
    close(value, loss.item())
    gradients = {name: np.zeros_like(value) for name, value in state_of(peer.module).items()}
    gradients |= {name: p.grad.numpy() for name, p in peer.module.named_parameters() if p.grad is not None}
    theirs = exchange.from_state_dict(gradients, variables)["params"]
    scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(theirs))
    for ours, other in zip(jax.tree.leaves(gradient), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(ours, other, rtol=0, atol=1e-5 * max(1.0, scale))


def test_the_loss_curve_and_the_running_statistics_of_twenty_steps(peer, variables):
    algorithm = minimise(peer.model)
    state = algorithm.init(KEY, batch_of(peer), algorithm.hparams, variables)
    step = jax.jit(algorithm.step)
    optimizer = torch.optim.Adam(peer.module.parameters(), lr=1e-3)
    peer.module.train()
    ours, theirs = [], []
    for index in range(NUM_STEPS):
        batch = batch_of(peer, index)
        noise = peer.noise(jax.random.fold_in(state.key, index), batch.x)
        state, metrics = step(state, batch, algorithm.hparams)
        loss = peer.loss(
            peer.module, torched(batch.x), torched(batch.cond), **{name: torched(v) for name, v in noise.items()}
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ours.append(float(metrics["loss"]))
        theirs.append(loss.item())
    np.testing.assert_allclose(ours, theirs, rtol=2e-5)
    assert_same_statistics(state.variables, exchange.from_state_dict(state_of(peer.module), variables), variables)


def assert_same_statistics(ours, theirs, first):
    """BatchNorm's running statistics, once two conventions are accounted for.

    PyTorch averages the unbiased variance, we the biased one; a dense layer has one value for each row. And the bias of
    a layer in front of BatchNorm moves at random, since its gradient is zero but for rounding: the means are compared
    up to what Adam can move it by.
    """
    for part, layers in ours.get("batch_stats", {}).items():
        for name, statistics in layers.items():
            layer = ours["params"][part][name.replace("norm", "layer")]
            mean, var = theirs["batch_stats"][part][name]["mean"], theirs["batch_stats"][part][name]["var"]
            np.testing.assert_allclose(statistics["mean"], mean, rtol=0, atol=NUM_STEPS * 1e-3)
            if layer["kernel"].ndim == 2 and layer["bias"].shape == var.shape:
                start = first["batch_stats"][part][name]["var"] * MOMENTUM**NUM_STEPS
                close(start + (statistics["var"] - start) * NUM_ROWS / (NUM_ROWS - 1), var, 1e-4)
            else:  # many positions for each channel: the two variances nearly agree
                np.testing.assert_allclose(statistics["var"], var, rtol=2 / NUM_ROWS)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("hidden", ["bernoulli", "gaussian"])
def test_the_free_energy_of_a_boltzmann_machine(visible, hidden):
    machine = models.rbm(6, 4, visible=visible, hidden=hidden)
    shapes = {"kernel": (6, 4), "visible_bias": (6,), "hidden_bias": (4,)}
    params = {
        name: 0.5 * jax.random.normal(jax.random.fold_in(KEY, i), s) for i, (name, s) in enumerate(shapes.items())
    }
    v = jax.random.uniform(KEY, (NUM_ROWS, 6))
    w, b, c = (torched(params[name]).requires_grad_() for name in shapes)
    x = torched(v)
    theta = x @ w + c
    own = 0.5 * (x - b) ** 2 if visible == "gaussian" else -x * b
    of_hidden = -functional.softplus(theta) if hidden == "bernoulli" else 0.5 * (c**2 - theta**2)
    energy = own.sum(1) + of_hidden.sum(1)
    energy.mean().backward()
    close(machine.free_energy(params, v), energy.detach().numpy())
    gradient = jax.grad(lambda p: machine.free_energy(p, v).mean())(params)
    for name, tensor in zip(shapes, (w, b, c), strict=True):
        close(gradient[name], tensor.grad.numpy())
