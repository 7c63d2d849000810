"""What is timed: each model of the registry beside the same one in PyTorch, begun from the same weights."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch

import aejax
from aejax import exchange, losses, models
from aejax.base import Adversary, Batch
from benchmarks import peers
from benchmarks.measuring import Contestant
from tests.peers import networks, systems
from tests.peers.peer import KEY, Peer, state_of, torched, zeros_like


class System(NamedTuple):
    """One system twice, ready to be trained by either side.

    Attributes:
        name: the model and its sizes.
        model: ours.
        module: PyTorch's; its weights are both sides' first ones.
        training: (compiled) -> PyTorch's step and what sets it back.
        event_shape: of x.
        num_conditions: of cond.
        unit_interval: whether the data lie in [0, 1].
    """

    name: str
    model: Any
    module: torch.nn.Module
    training: Callable[[bool], tuple[Any, Any]]
    event_shape: tuple[int, ...]
    num_conditions: int = 0
    unit_interval: bool = False


def _coding(name: str, peer: Peer, latent_dim: int) -> System:
    noise = peer.noise(KEY, jnp.zeros((1, *peer.event_shape)))

    def loss(x: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
        if "noisy" in noise:
            return peer.loss(peer.module, x, cond, noisy=x + 0.3 * torch.randn_like(x))
        if "noise" in noise:
            return peer.loss(peer.module, x, cond, noise=torch.randn(len(x), latent_dim, device=x.device))
        return peer.loss(peer.module, x, cond)

    return System(
        name,
        peer.model,
        peer.module,
        lambda compiled: peers.minimising(peer.module, loss, compiled),
        peer.event_shape,
        peer.num_conditions,
        peer.low == 0,
    )


def _playing(name: str, num_conditions: int = 0, wasserstein: bool = False, num_columns: int = 5) -> System:
    latent_dim, hidden_dims = 8, (64, 64)
    factory = models.wgan_gp if wasserstein else models.conditional_gan if num_conditions else models.gan
    options = {} if wasserstein else {"dropout_rate": 0.3, "output_activation": "tanh"}
    adversary = factory((num_columns,), latent_dim, hidden_dims=hidden_dims, **options)
    generator = networks.dense(
        latent_dim + num_conditions, hidden_dims, num_columns, "relu", batch_norm=not wasserstein
    )
    if not wasserstein:
        generator.append(torch.nn.Tanh())
    rate = 0.0 if wasserstein else 0.3
    judge = networks.dense(num_columns + num_conditions, hidden_dims, 1, "leaky_relu", dropout_rate=rate)
    players = networks.Players(generator, judge)
    num_steps = adversary.num_discriminator_steps

    def training(compiled: bool) -> tuple[Any, Any]:
        return peers.playing(players, latent_dim, wasserstein, num_steps, compiled)

    return System(name, adversary, players, training, (num_columns,), num_conditions)


SYSTEMS: dict[str, Callable[[], System]] = {
    "autoencoder": lambda: _coding("10-64-32-2", systems.autoencoder(), 2),
    "denoising_autoencoder": lambda: _coding("15-64-32-8", systems.denoising("gaussian", 1.0, 15, 8, (64, 32)), 8),
    "vae": lambda: _coding("15-128-64-4", systems.vae(num_columns=15, hidden_dims=(128, 64)), 4),
    "conditional_vae": lambda: _coding("5-64-32-2", systems.conditional_vae(hidden_dims=(64, 32)), 2),
    "sparse_autoencoder": lambda: _coding("15-64, KL", systems.sparse("kl", 15, 64), 64),
    "deep_autoencoder": lambda: _coding("100-128-64-32-8", systems.deep_autoencoder(100, 8, (128, 64, 32)), 8),
    "convolutional_autoencoder": lambda: _coding(
        "28x28, 16-32 channels", systems.convolutional((28, 28), (28, 28), latent_dim=8, hidden_dims=(16, 32)), 8
    ),
    "convolutional_vae": lambda: _coding(
        "16x16x16, 8-16 channels",
        systems.convolutional((16, 16, 16), (16, 16, 16), losses.bernoulli(), True, latent_dim=8, hidden_dims=(8, 16)),
        8,
    ),
    "convolutional_denoising_autoencoder": lambda: _coding(
        "256, 16-32 channels", systems.convolutional((256,), (256,), noisy=True, latent_dim=8, hidden_dims=(16, 32)), 8
    ),
    "gan": lambda: _playing("5, 64-64"),
    "conditional_gan": lambda: _playing("5, 64-64", num_conditions=1),
    "wgan_gp": lambda: _playing("5, 64-64", wasserstein=True),
}
LARGE_IMAGES = "3x224x224 to 128"


def large_images() -> System:
    """The convolutional autoencoder of the source text: 3x224x224, channels 32-64-128-256, a code of 128."""
    peer = systems.convolutional((224, 224, 3), (224, 224), latent_dim=128, hidden_dims=(32, 64, 128, 256))
    return _coding(LARGE_IMAGES, peer, 128)


def rows_of(system: System, num_rows: int) -> Batch:
    """Rows that a model can learn something about: a few factors, mixed, with noise."""
    generator = np.random.default_rng(0)
    size = int(np.prod(system.event_shape))
    x = generator.normal(size=(num_rows, 3)) @ generator.normal(size=(3, size)) / 2
    x = np.tanh(x + 0.1 * generator.normal(size=x.shape))
    x = (x + 1) / 2 if system.unit_interval else x
    cond = generator.normal(size=(num_rows, system.num_conditions)) if system.num_conditions else None
    return Batch(
        x.reshape(num_rows, *system.event_shape).astype(np.float32),
        cond=None if cond is None else cond.astype(np.float32),
    )


def first_variables(system: System, batch: Batch) -> Any:
    """PyTorch's weights as our variables."""
    return exchange.from_state_dict(
        state_of(system.module), zeros_like(system.model, jax.tree.map(lambda a: a[:1], batch))
    )


def ours(system: System, batch: Batch, batch_size: int, num_epochs: int) -> Contestant:
    """A whole training by ``aejax.fit`` from PyTorch's weights; the quality is the last epoch's loss."""
    variables = first_variables(system, batch)
    on_device = jax.tree.map(jnp.asarray, batch)

    def run() -> float:
        fitted = aejax.fit(
            KEY,
            system.model,
            on_device,
            num_epochs=num_epochs,
            batch_size=batch_size,
            validation=0,
            variables=variables,
        )
        return float(fitted.history["generator_loss" if isinstance(system.model, Adversary) else "loss"][-1])

    return Contestant("aejax", run)


def contestants(system: System, batch: Batch, batch_size: int, num_epochs: int, compiled: bool) -> list[Contestant]:
    """``ours`` and the same by PyTorch, from the same weights."""
    own = ours(system, batch, batch_size, num_epochs)
    x, cond = torched(batch.x).to(peers.DEVICE), None if batch.cond is None else torched(batch.cond).to(peers.DEVICE)
    # Both take the module's weights as the first ones before either trains it.
    sides = [("PyTorch eager", system.training(False))]
    if compiled:
        sides.append(("PyTorch compiled", system.training(True)))
    trainings = [(who, peers.Training(*side, x, cond, batch_size, num_epochs)) for who, side in sides]
    return [own, *(Contestant(who, training) for who, training in trainings)]


def cost_of(system: System, batch_size: int) -> dict[str, float]:
    """What loss and gradient take: ``flops`` counted before XLA optimises, ``bytes`` read and written counted after."""
    batch = jax.tree.map(jnp.asarray, rows_of(system, batch_size))
    variables = first_variables(system, batch)

    def gradient(params: Any, batch: Any) -> Any:
        model = system.model
        return jax.grad(lambda p: model.loss(KEY, {**variables, "params": p}, batch, model.hparams)[0])(params)

    lowered = jax.jit(gradient).lower(variables["params"], batch)
    after = lowered.compile().cost_analysis()
    return {"flops": float(lowered.cost_analysis()["flops"]), "bytes": float(after["bytes accessed"])}
