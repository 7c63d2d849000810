"""python -m benchmarks.cold.theirs: PyTorch eager, importing nothing of JAX."""

import math
from typing import Any

import numpy as np
import torch

from benchmarks.cold.examples import EXAMPLES, Example, peak_megabytes, rows_of
from benchmarks.peers import Step, Training, minimising, playing
from tests.peers import networks


def reconstructing(module: Any, noise: float = 0.0) -> Step:
    return lambda x, cond: ((x - module.decode(module.encode(x + noise * torch.randn_like(x)))) ** 2).sum(1).mean()


def variational(module: Any, beta: float = 1.0, predicted_scale: bool = False) -> Step:
    def loss(x: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
        mean, log_var = module.encode(x, cond).chunk(2, dim=1)
        output = module.decode(mean + torch.exp(0.5 * log_var) * torch.randn_like(mean), cond)
        log_scale = None if predicted_scale else module.likelihood.log_scale
        if predicted_scale:
            output, log_scale = output.chunk(2, dim=1)
        variance = torch.exp(2 * log_scale) + 1e-4
        nll = 0.5 * ((x - output) ** 2 / variance + torch.log(variance) + math.log(2 * math.pi))
        return nll.sum(1).mean() + beta * 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1).mean()

    return loss


def sparse(module: Any, target: float = 0.05) -> Step:
    def loss(x: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
        code = torch.sigmoid(module.encode(x))
        rate = code.mean(0)
        penalty = target * torch.log(target / rate) + (1 - target) * torch.log((1 - target) / (1 - rate))
        return ((x - module.decode(code)) ** 2).sum(1).mean() + penalty.sum()

    return loss


def convolutional(module: Any) -> Step:
    def loss(x: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
        x = networks.channels_first(x, True)
        return ((x - module.decode(module.encode(x))) ** 2).flatten(1).sum(1).mean()

    return loss


def training_of(example: Example) -> tuple[Any, Any]:
    size, hidden_dims = example.event_shape[0], (64, 32)

    def pair(latent_dim: int, num_codes: int, num_outputs: int = size, num_conditions: int = 0, **own: Any) -> Any:
        encoder = networks.dense(size + num_conditions, hidden_dims, num_codes)
        return networks.Pair(
            encoder, networks.dense(latent_dim + num_conditions, hidden_dims[::-1], num_outputs), **own
        )

    if example.name == "gan":
        generator = networks.dense(4, (64, 64), size, "relu", batch_norm=True)
        judge = networks.dense(size, (64, 64), 1, "leaky_relu", dropout_rate=0.3)
        return playing(networks.Players(generator, judge), 4)
    if example.name == "convolutional autoencoder":
        channels, spatial = (32, 64, 128, 256), example.event_shape[:2]
        module = networks.Pair(
            networks.convolutional_encoder(spatial, 3, channels, 128),
            networks.convolutional_decoder(spatial, 3, channels[::-1], 128),
        )
        return minimising(module, convolutional(module))
    if example.name == "conditional vae":
        module = pair(2, 4, 2 * size, 1)
        return minimising(module, variational(module, predicted_scale=True))
    if example.name in ("vae", "beta-vae"):
        module = pair(4, 8, likelihood__log_scale=np.zeros(size, np.float32))
        return minimising(module, variational(module, 4.0 if example.name == "beta-vae" else 1.0))
    if example.name == "sparse autoencoder":
        module = networks.Pair(networks.dense(size, (), 32), networks.dense(32, (), size))
        return minimising(module, sparse(module))
    module = pair(4, 4) if example.name == "denoising autoencoder" else pair(2, 2)
    return minimising(module, reconstructing(module, 0.3 if example.name == "denoising autoencoder" else 0.0))


def main() -> None:
    for example in EXAMPLES:
        x, cond = (None if array is None else torch.from_numpy(array) for array in rows_of(example))
        step, restart = training_of(example)
        # One thread is fastest for the small networks, all of them for the images: known here, not measured, so that a
        # cold process pays nothing for finding out.
        num_threads = torch.get_num_threads() if len(example.event_shape) > 1 else 1
        print(example.name, Training(step, restart, x, cond, example.batch_size, example.num_epochs, num_threads)())
    print(peak_megabytes())


if __name__ == "__main__":
    main()
