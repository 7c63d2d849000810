"""Every network beside the same one in PyTorch: outputs, losses, gradients, running statistics, loss curves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional

from aejax import interop, losses, models
from aejax.algorithms import minimise
from tests.peers import networks
from tests.peers.peer import (
    KEY,
    MOMENTUM,
    NUM_ROWS,
    NUM_STEPS,
    Peer,
    batch_of,
    close,
    shake,
    state_of,
    torched,
    zeros_like,
)


def squared(x, y):
    return ((x - y) ** 2).flatten(1).sum(1)


def plain(module, x, cond=None):
    return module.decode(module.encode(x, cond), cond)


def autoencoder():
    return Peer(
        models.autoencoder((10,), 2, hidden_dims=(64, 32), activation="relu", batch_norm=True),
        networks.Pair(networks.dense(10, (64, 32), 2, "relu", True), networks.dense(2, (32, 64), 10, "relu", True)),
        lambda module, x, cond: squared(x, plain(module, x)).mean(),
        plain,
    )


def denoising(corruption, emphasis):
    corrupt = {"gaussian": models.gaussian_noise, "masking": models.masking_noise}
    corrupt["salt_and_pepper"] = models.salt_and_pepper_noise

    def loss(module, x, cond, noisy):
        weight = torch.where(noisy == x, 1.0, emphasis)
        return (weight * (x - plain(module, noisy)) ** 2).sum(1).mean()

    return Peer(
        models.denoising_autoencoder((10,), 3, hidden_dims=(16,), corruption=corruption, emphasis=emphasis),
        networks.Pair(networks.dense(10, (16,), 3), networks.dense(3, (16,), 10)),
        loss,
        plain,
        lambda key, x: {"noisy": corrupt[corruption](jax.random.split(key)[0], x, 0.3)},
    )


def gaussian_nll(x, mean, log_scale):
    variance = torch.exp(2 * log_scale) + 1e-4
    return 0.5 * ((x - mean) ** 2 / variance + torch.log(variance) + np.log(2 * np.pi))


def posterior(code):
    return code.chunk(2, dim=1)


def vae(beta=1.0, num_importance_samples=1):
    def loss(module, x, cond, noise):
        mean, log_var = posterior(module.encode(x))
        if num_importance_samples == 1:
            z = mean + torch.exp(0.5 * log_var) * noise
            nll = gaussian_nll(x, module.decode(z), module.likelihood.log_scale).sum(1)
            return (nll + beta * 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)).mean()
        x, mean, log_var = (part.repeat_interleave(num_importance_samples, 0) for part in (x, mean, log_var))
        q = torch.distributions.Normal(mean, torch.exp(0.5 * log_var))
        z = mean + q.scale * noise
        p = torch.distributions.Normal(torch.zeros_like(z), torch.ones_like(z))
        nll = gaussian_nll(x, module.decode(z), module.likelihood.log_scale).sum(1)
        weight = (beta * (p.log_prob(z) - q.log_prob(z)).sum(1) - nll).reshape(-1, num_importance_samples)
        return -(torch.logsumexp(weight, 1) - np.log(num_importance_samples)).mean()

    def noise(key, x):
        shape = (x.shape[0] * num_importance_samples, 4)
        return {"noise": jax.random.normal(jax.random.split(key, 3)[0], shape)}

    return Peer(
        models.vae((10,), 4, hidden_dims=(32,), beta=beta, num_importance_samples=num_importance_samples),
        networks.Pair(
            networks.dense(10, (32,), 8), networks.dense(4, (32,), 10), likelihood__log_scale=np.full(10, -0.3, "f")
        ),
        loss,
        lambda module, x, cond=None: module.decode(posterior(module.encode(x))[0]),
        noise,
    )


def conditional_vae():
    def loss(module, x, cond, noise):
        mean, log_var = posterior(module.encode(x, cond))
        out = module.decode(mean + torch.exp(0.5 * log_var) * noise, cond).reshape(-1, 5, 2)
        nll = gaussian_nll(x, out[..., 0], 5 * torch.tanh(out[..., 1] / 5)).sum(1)
        return (nll + 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)).mean()

    return Peer(
        models.conditional_vae((5,), 2, hidden_dims=(16,)),
        networks.Pair(networks.dense(5 + 1, (16,), 4), networks.dense(2 + 1, (16,), 10)),
        loss,
        lambda module, x, cond: module.decode(posterior(module.encode(x, cond))[0], cond).reshape(-1, 5, 2)[..., 0],
        lambda key, x: {"noise": jax.random.normal(jax.random.split(key, 3)[0], (x.shape[0], 2))},
        event_shape=(5,),
        num_conditions=1,
    )


class Step(torch.autograd.Function):
    """JumpReLU's step: the threshold's derivative is that of a ramp, 0.1 wide (Rajamanoharan et al. 2024, eq. 9)."""

    @staticmethod
    def forward(ctx, pre, threshold):
        ctx.save_for_backward(pre, threshold)
        return (pre > threshold).to(pre.dtype)

    @staticmethod
    def backward(ctx, gradient):
        pre, threshold = ctx.saved_tensors
        near = ((pre - threshold).abs() < 0.05) / 0.1
        return None, -(near * gradient).sum(0)


def sparse(penalty):
    def code(module, x):
        pre = module.encode(x)
        if penalty == "kl":
            return torch.sigmoid(pre)
        if penalty == "l1":
            return torch.relu(pre)
        if penalty == "topk":
            values, units = torch.topk(pre, 3, dim=1)
            return torch.zeros_like(pre).scatter(1, units, torch.relu(values))
        return torch.relu(pre) * Step.apply(pre, module.code.log_threshold.exp())

    def loss(module, x, cond):
        z = code(module, x)
        error = squared(x, module.decode(z)).mean()
        if penalty == "kl":
            rate, target = z.mean(0), 0.05
            return (
                error + (target * torch.log(target / rate) + (1 - target) * torch.log((1 - target) / (1 - rate))).sum()
            )
        if penalty == "l1":
            return error + (z * module.decoder[0].weight.norm(dim=0)).sum(1).mean()
        if penalty == "jumprelu":
            return error + Step.apply(module.encode(x).detach(), module.code.log_threshold.exp()).sum(1).mean()
        return error

    own = {"code__log_threshold": np.full(16, np.log(0.1), "f")} if penalty == "jumprelu" else {}
    return Peer(
        models.sparse_autoencoder((10,), 16, penalty=penalty, num_active=3),
        networks.Pair(networks.dense(10, (), 16), networks.dense(16, (), 10), **own),
        loss,
        lambda module, x, cond=None: module.decode(code(module, x)),
    )


def convolutional(event_shape, spatial, likelihood=None, variational=False, noisy=False):
    has_channels = len(event_shape) > len(spatial)
    channels = event_shape[-1] if has_channels else 1
    latent_dim, hidden_dims = 4, (6, 8)
    factory = models.convolutional_vae if variational else models.convolutional_autoencoder
    factory = models.convolutional_denoising_autoencoder if noisy else factory
    options = {} if likelihood is None else {"likelihood": likelihood}

    def decode(module, z):
        return networks.channels_last(module.decode(z), has_channels)

    def encode(module, x):
        return module.encode(networks.channels_first(x, has_channels))

    def loss(module, x, cond, noise=None, noisy=None):
        code = encode(module, x if noisy is None else noisy)
        if not variational:
            return squared(x, decode(module, code)).mean()
        mean, log_var = posterior(code)
        logit = decode(module, mean + torch.exp(0.5 * log_var) * noise)
        nll = functional.binary_cross_entropy_with_logits(logit, x, reduction="none").flatten(1).sum(1)
        return (nll + 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)).mean()

    def draw(key, x):
        if variational:
            return {"noise": jax.random.normal(jax.random.split(key, 3)[0], (x.shape[0], latent_dim))}
        return {"noisy": models.gaussian_noise(jax.random.split(key)[0], x, 0.3)} if noisy else {}

    def output(module, x, cond=None):
        code = encode(module, x)
        return torch.sigmoid(decode(module, posterior(code)[0])) if variational else decode(module, code)

    return Peer(
        factory(event_shape, latent_dim, hidden_dims=hidden_dims, num_spatial_dims=len(spatial), **options),
        networks.Pair(
            networks.convolutional_encoder(spatial, channels, hidden_dims, latent_dim * (1 + variational)),
            networks.convolutional_decoder(spatial, channels, hidden_dims[::-1], latent_dim),
        ),
        loss,
        output,
        draw,
        event_shape=event_shape,
        low=0.0 if variational else -2.0,
        high=1.0 if variational else 2.0,
    )


def deep_autoencoder():
    return Peer(
        models.deep_autoencoder((20,), 3, hidden_dims=(16, 8), visible="bernoulli"),
        networks.Pair(networks.dense(20, (16, 8), 3, "sigmoid"), networks.dense(3, (8, 16), 20, "sigmoid")),
        lambda module, x, cond: (
            functional.binary_cross_entropy_with_logits(plain(module, x), x, reduction="none").sum(1).mean()
        ),
        lambda module, x, cond=None: torch.sigmoid(plain(module, x)),
        event_shape=(20,),
        low=0.0,
        high=1.0,
    )


PEERS = {
    "autoencoder": autoencoder,
    "denoising, Gaussian": lambda: denoising("gaussian", 1.0),
    "denoising, masking, emphasis": lambda: denoising("masking", 3.0),
    "denoising, salt and pepper": lambda: denoising("salt_and_pepper", 2.0),
    "vae": vae,
    "beta-vae": lambda: vae(beta=4.0),
    "importance-weighted": lambda: vae(num_importance_samples=3),
    "conditional vae": conditional_vae,
    "sparse, kl": lambda: sparse("kl"),
    "sparse, l1": lambda: sparse("l1"),
    "sparse, topk": lambda: sparse("topk"),
    "sparse, jumprelu": lambda: sparse("jumprelu"),
    "convolutional, 1-D, odd": lambda: convolutional((21,), (21,)),
    "convolutional, 2-D, colours, odd": lambda: convolutional((9, 6, 3), (9, 6)),
    "convolutional, 3-D": lambda: convolutional((6, 5, 4), (6, 5, 4)),
    "convolutional vae": lambda: convolutional((8, 7), (8, 7), losses.bernoulli(), variational=True),
    "convolutional denoising": lambda: convolutional((16,), (16,), noisy=True),
    "deep autoencoder": deep_autoencoder,
}


@pytest.fixture(params=list(PEERS))
def peer(request):
    torch.manual_seed(0)
    made = PEERS[request.param]()
    shake(made.module)
    return made


@pytest.fixture
def variables(peer):
    return interop.from_state_dict(state_of(peer.module), zeros_like(peer.model, batch_of(peer)))


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
    theirs = interop.from_state_dict(gradients, variables)["params"]
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
    assert_same_statistics(state.variables, interop.from_state_dict(state_of(peer.module), variables), variables)


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
