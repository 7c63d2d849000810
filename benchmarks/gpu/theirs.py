"""PyTorch's side: eager, compiled, and whole steps captured in CUDA graphs."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks import peers
from benchmarks.gpu.contestant import (
    IMAGE_BATCH,
    IMAGE_HIDDEN_DIMS,
    IMAGE_LATENT_DIM,
    IMAGE_SHAPE,
    IMAGE_STEPS,
    IS_DRY,
    STEP_BATCH,
    STEP_EPOCHS,
    STEPS_PER_EPOCH,
    Contestant,
    sized,
)
from tests.peers import systems

# Both sides may round products to TF32, as JAX does by default on these devices.
torch.set_float32_matmul_precision("high")
torch.backends.cudnn.benchmark = True
LATENT_DIM = 4


def vae() -> Any:
    """The peer of the VAE 15-128-64-4, from the same first weights on both sides."""
    torch.manual_seed(0)
    return systems.vae(num_columns=15, latent_dim=LATENT_DIM, hidden_dims=(128, 64))


def images() -> Any:
    """The peer of the convolutional autoencoder."""
    torch.manual_seed(0)
    return systems.convolutional(
        IMAGE_SHAPE, IMAGE_SHAPE[:2], latent_dim=IMAGE_LATENT_DIM, hidden_dims=IMAGE_HIDDEN_DIMS
    )


def rows(shape: tuple[int, ...], num_rows: int) -> np.ndarray:
    """Rows that follow three factors, the same on both sides."""
    generator = np.random.default_rng(0)
    size = int(np.prod(shape))
    num_drawn = min(num_rows, max(16, 2**22 // size))  # and repeated: drawing images takes longer than training on them
    x = generator.normal(size=(num_drawn, 3)) @ generator.normal(size=(3, size)) / 2
    x = np.tanh(x + 0.1 * generator.normal(size=x.shape)).astype(np.float32)
    return np.resize(x, (num_rows, size)).reshape(num_rows, *shape)


def _noise(x: torch.Tensor) -> torch.Tensor:
    return torch.randn(len(x), LATENT_DIM, device=x.device)


def _step(compiled: str | None = None) -> Contestant:
    """As a PyTorch user writes it, compiled or not."""
    peer = vae()

    def loss(x: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
        return peer.loss(peer.module, x, cond, noise=_noise(x))

    fast = torch.compile(loss, mode=compiled) if compiled else loss
    # A graph's output is overwritten by its next run.
    step, restart = peers.minimising(peer.module, lambda x, cond: fast(x, cond).clone())
    # An eager step takes a millisecond: an eighth of the steps will do.
    num_steps = max(1, STEPS_PER_EPOCH // 8)
    x = torch.from_numpy(rows((15,), num_steps * STEP_BATCH)).to(peers.DEVICE)
    training = peers.Training(step, restart, x, None, STEP_BATCH, STEP_EPOCHS, num_threads=1)
    return Contestant(training, STEP_EPOCHS * num_steps)


def _captured(steps_a_graph: int) -> Contestant:
    """Rows gathered on the device, noise, gradients and a fused Adam, so many steps as one CUDA graph."""
    peer = vae()
    module = peer.module.to(peers.DEVICE).train()
    first = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    x = torch.from_numpy(rows((15,), STEPS_PER_EPOCH * STEP_BATCH)).to(peers.DEVICE)
    order = torch.arange(len(x), device=peers.DEVICE)
    place = torch.zeros((), dtype=torch.long, device=peers.DEVICE)
    batch = torch.arange(STEP_BATCH, device=peers.DEVICE)
    total = torch.zeros((), device=peers.DEVICE)
    on_gpu = peers.DEVICE == "cuda"
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, fused=True, capturable=on_gpu)

    def step() -> None:
        chosen = x[order[place + batch]]
        optimizer.zero_grad(set_to_none=True)
        value = peer.loss(module, chosen, None, noise=_noise(chosen))
        value.backward()
        optimizer.step()
        total.add_(value.detach())
        place.add_(STEP_BATCH)

    def steps() -> None:
        for _ in range(steps_a_graph):
            step()

    # The graph reads where these lie, and does not keep them.
    kept = (x, batch, optimizer)
    replay: Callable[[], None] = steps
    if on_gpu:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        place.zero_()
        optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            steps()
        replay = graph.replay

    @torch.no_grad()
    def restart() -> None:
        for name, tensor in module.state_dict().items():
            tensor.copy_(first[name])
        for state in optimizer.state.values():
            for value in state.values():
                value.zero_()

    def run() -> float:
        restart()
        for _ in range(STEP_EPOCHS):
            torch.randperm(len(kept[0]), out=order)
            place.zero_()
            total.zero_()
            for _ in range(STEPS_PER_EPOCH // steps_a_graph):
                replay()
        peers.synchronise()
        return total.item() / STEPS_PER_EPOCH

    return Contestant(run, STEP_EPOCHS * STEPS_PER_EPOCH)


def _images() -> Contestant:
    """The convolutional autoencoder, channels last, compiled, in bfloat16 where autocast says so."""
    peer = images()
    module = peer.module.to(peers.DEVICE, memory_format=torch.channels_last).train()

    def loss(x: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
        with torch.autocast(peers.DEVICE, dtype=torch.bfloat16):
            return peer.loss(module, x, cond)

    step, restart = peers.minimising(module, loss, compiled=True)
    x = torch.from_numpy(rows(IMAGE_SHAPE, IMAGE_STEPS * IMAGE_BATCH)).to(peers.DEVICE)
    training = peers.Training(step, restart, x, None, IMAGE_BATCH, 1, num_threads=1)
    return Contestant(training, IMAGE_STEPS * IMAGE_BATCH)


CASES: dict[str, dict[str, Callable[[], Contestant]]] = {
    "step": {
        "PyTorch eager": _step,
        "PyTorch compiled": functools.partial(_step, "default" if IS_DRY else "max-autotune"),
        "PyTorch graph of a step": functools.partial(_captured, 1),
        "PyTorch graph of 16 steps": functools.partial(_captured, sized(16, 2)),
    },
    "images": {
        "PyTorch compiled, autocast": _images,
    },
}
