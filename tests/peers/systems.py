"""Every network twice: ours, and the same one as a PyTorch user writes it. Tests compare them, benchmarks time them."""

import jax
import numpy as np
import torch
from torch.nn import functional

from aejax import models
from tests.peers import networks
from tests.peers.peer import Peer


def squared(x, y):
    return ((x - y) ** 2).flatten(1).sum(1)


# As the modules are.
PLAIN = {"activation": "tanh", "shortcut": False}


def plain(module, x, cond=None):
    return module.decode(module.encode(x, cond), cond)


def autoencoder(num_columns=10, latent_dim=2, hidden_dims=(64, 32)):
    return Peer(
        models.autoencoder(
            (num_columns,), latent_dim, hidden_dims=hidden_dims, activation="relu", batch_norm=True, shortcut=False
        ),
        networks.Pair(
            networks.dense(num_columns, hidden_dims, latent_dim, "relu", True),
            networks.dense(latent_dim, hidden_dims[::-1], num_columns, "relu", True),
        ),
        lambda module, x, cond: squared(x, plain(module, x)).mean(),
        plain,
        event_shape=(num_columns,),
    )


def denoising(corruption, emphasis, num_columns=10, latent_dim=3, hidden_dims=(16,)):
    corrupt = {"gaussian": models.gaussian_noise, "masking": models.masking_noise}
    corrupt["salt_and_pepper"] = models.salt_and_pepper_noise

    def loss(module, x, cond, noisy):
        weight = torch.where(noisy == x, 1.0, emphasis)
        return (weight * (x - plain(module, noisy)) ** 2).sum(1).mean()

    return Peer(
        models.denoising_autoencoder(
            (num_columns,), latent_dim, hidden_dims=hidden_dims, corruption=corruption, emphasis=emphasis, **PLAIN
        ),
        networks.Pair(
            networks.dense(num_columns, hidden_dims, latent_dim),
            networks.dense(latent_dim, hidden_dims[::-1], num_columns),
        ),
        loss,
        plain,
        lambda key, x: {"noisy": corrupt[corruption](jax.random.split(key)[0], x, 0.3)},
        event_shape=(num_columns,),
    )


def gaussian_nll(x, mean, log_scale):
    variance = torch.exp(2 * log_scale) + 1e-4
    return 0.5 * ((x - mean) ** 2 / variance + torch.log(variance) + np.log(2 * np.pi))


def posterior(code):
    return code.chunk(2, dim=1)


def vae(beta=1.0, num_importance_samples=1, num_columns=10, latent_dim=4, hidden_dims=(32,)):
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
        shape = (x.shape[0] * num_importance_samples, latent_dim)
        return {"noise": jax.random.normal(jax.random.split(key, 3)[0], shape)}

    return Peer(
        models.vae(
            (num_columns,),
            latent_dim,
            hidden_dims=hidden_dims,
            beta=beta,
            num_importance_samples=num_importance_samples,
            **PLAIN,
        ),
        networks.Pair(
            networks.dense(num_columns, hidden_dims, 2 * latent_dim),
            networks.dense(latent_dim, hidden_dims[::-1], num_columns),
            likelihood__log_scale=np.full(num_columns, -0.3, "f"),
        ),
        loss,
        lambda module, x, cond=None: module.decode(posterior(module.encode(x))[0]),
        noise,
        event_shape=(num_columns,),
    )


def conditional_vae(num_columns=5, latent_dim=2, hidden_dims=(16,)):
    def loss(module, x, cond, noise):
        mean, log_var = posterior(module.encode(x, cond))
        out = module.decode(mean + torch.exp(0.5 * log_var) * noise, cond).reshape(-1, num_columns, 2)
        nll = gaussian_nll(x, out[..., 0], 5 * torch.tanh(out[..., 1] / 5)).sum(1)
        return (nll + 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)).mean()

    return Peer(
        models.conditional_vae((num_columns,), latent_dim, hidden_dims=hidden_dims, **PLAIN),
        networks.Pair(
            networks.dense(num_columns + 1, hidden_dims, 2 * latent_dim),
            networks.dense(latent_dim + 1, hidden_dims[::-1], 2 * num_columns),
        ),
        loss,
        lambda module, x, cond: module.decode(posterior(module.encode(x, cond))[0], cond).reshape(-1, num_columns, 2)[
            ..., 0
        ],
        lambda key, x: {"noise": jax.random.normal(jax.random.split(key, 3)[0], (x.shape[0], latent_dim))},
        event_shape=(num_columns,),
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


def sparse(penalty, num_columns=10, num_units=16, num_active=3):
    def code(module, x):
        pre = module.encode(x)
        if penalty == "kl":
            return torch.sigmoid(pre)
        if penalty == "l1":
            return torch.relu(pre)
        if penalty == "topk":
            values, units = torch.topk(pre, num_active, dim=1)
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

    own = {"code__log_threshold": np.full(num_units, np.log(0.1), "f")} if penalty == "jumprelu" else {}
    return Peer(
        models.sparse_autoencoder((num_columns,), num_units, penalty=penalty, num_active=num_active),
        networks.Pair(networks.dense(num_columns, (), num_units), networks.dense(num_units, (), num_columns), **own),
        loss,
        lambda module, x, cond=None: module.decode(code(module, x)),
        event_shape=(num_columns,),
    )


def convolutional(
    event_shape, spatial, likelihood=None, variational=False, noisy=False, latent_dim=4, hidden_dims=(6, 8)
):
    has_channels = len(event_shape) > len(spatial)
    channels = event_shape[-1] if has_channels else 1
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


def deep_autoencoder(num_columns=20, latent_dim=3, hidden_dims=(16, 8)):
    return Peer(
        models.deep_autoencoder(
            (num_columns,), latent_dim, hidden_dims=hidden_dims, visible="bernoulli", activation="sigmoid"
        ),
        networks.Pair(
            networks.dense(num_columns, hidden_dims, latent_dim, "sigmoid"),
            networks.dense(latent_dim, hidden_dims[::-1], num_columns, "sigmoid"),
        ),
        lambda module, x, cond: (
            functional.binary_cross_entropy_with_logits(plain(module, x), x, reduction="none").sum(1).mean()
        ),
        lambda module, x, cond=None: torch.sigmoid(plain(module, x)),
        event_shape=(num_columns,),
        low=0.0,
        high=1.0,
    )
