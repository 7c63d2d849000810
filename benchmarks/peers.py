"""Training and scoring as a PyTorch user writes them, at the best setting found for this machine."""

import os
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Step = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]


def synchronise() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def best_threads(run: Callable[[], object]) -> int:
    """The number of threads with which something runs fastest: for small networks that is often one."""
    seconds = {}
    for num_threads in sorted({1, os.cpu_count() or 1}):
        torch.set_num_threads(num_threads)
        run()
        began = time.perf_counter()
        run()
        seconds[num_threads] = time.perf_counter() - began
    return min(seconds, key=seconds.__getitem__)


class Training:
    """A training run that can be repeated from the same first weights.

    Args:
        step: (rows, conditions) -> loss of the batch, everything that an optimizer step takes included.
        restart: sets weights and optimizers back to where they began.
        x, cond: the rows.
        batch_size, num_epochs: as in ``aejax.fit``; every epoch in a new order.
        num_threads: of the processor; the number with which it runs fastest if None.
    """

    def __init__(
        self,
        step: Step,
        restart: Callable[[], None],
        x: torch.Tensor,
        cond: torch.Tensor | None,
        batch_size: int,
        num_epochs: int,
        num_threads: int | None = None,
    ):
        self.step, self.restart, self.x, self.cond = step, restart, x, cond
        self.batch_size, self.num_epochs = batch_size, num_epochs
        self.num_threads = num_threads or best_threads(lambda: self._run(1))

    def __call__(self) -> float:
        torch.set_num_threads(self.num_threads)
        return self._run(self.num_epochs)

    def _run(self, num_epochs: int) -> float:
        self.restart()
        for _ in range(num_epochs):
            order = torch.randperm(len(self.x), device=self.x.device)
            losses = []
            for rows in order.split(self.batch_size):
                losses.append(self.step(self.x[rows], None if self.cond is None else self.cond[rows]))
            last = torch.stack(losses).mean()
        synchronise()
        return last.item()


def minimising(module: torch.nn.Module, loss: Step, compiled: bool = False) -> tuple[Step, Callable[[], None]]:
    """Adam on the loss of a module's rows: its step, and what sets it back."""
    module = module.to(DEVICE).train()
    first = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    optimizers: list[torch.optim.Optimizer] = []
    loss = torch.compile(loss) if compiled else loss

    def restart() -> None:
        module.load_state_dict(first)
        optimizers[:] = [torch.optim.Adam(module.parameters(), lr=1e-3, fused=True)]

    def step(x: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
        optimizers[0].zero_grad()
        value = loss(x, cond)
        value.backward()
        optimizers[0].step()
        return value.detach()

    return step, restart


def playing(
    players: torch.nn.Module,
    latent_dim: int,
    wasserstein: bool = False,
    num_discriminator_steps: int = 2,
    compiled: bool = False,
) -> tuple[Step, Callable[[], None]]:
    """The discriminator's steps and the generator's one, of a GAN or a WGAN-GP."""
    players = players.to(DEVICE).train()
    first = {name: tensor.clone() for name, tensor in players.state_dict().items()}
    optimizers: list[torch.optim.Optimizer] = []
    cross_entropy = functional.binary_cross_entropy_with_logits

    def joined(x: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
        return x if cond is None else torch.cat([x, cond], dim=1)

    def generated(x: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
        return players.generator(joined(torch.randn(len(x), latent_dim, device=x.device), cond))

    def judged(x: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
        return players.discriminator(joined(x, cond))[:, 0]

    def discriminator_loss(x: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
        fake = generated(x, cond).detach()
        if not wasserstein:
            real, false = judged(x, cond), judged(fake, cond)
            return cross_entropy(real, torch.ones_like(real)) + cross_entropy(false, torch.zeros_like(false))
        share = torch.rand(len(x), 1, device=x.device)
        between = (share * x + (1 - share) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(judged(between, cond).sum(), between, create_graph=True)
        penalty = (functional.relu(slope.norm(dim=1) - 1) ** 2).mean()
        return 10 * penalty - (judged(x, cond) - judged(fake, cond)).mean()

    def generator_loss(x: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
        verdict = judged(generated(x, cond), cond)
        return -verdict.mean() if wasserstein else cross_entropy(verdict, torch.ones_like(verdict))

    if compiled:
        discriminator_loss, generator_loss = torch.compile(discriminator_loss), torch.compile(generator_loss)

    def restart() -> None:
        players.load_state_dict(first)
        optimizers[:] = [
            torch.optim.Adam(part.parameters(), lr=1e-3, betas=(0.5, 0.999), fused=True)
            for part in (players.generator, players.discriminator)
        ]

    def turn(optimizer: torch.optim.Optimizer, loss: Step, x: Any, cond: Any) -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(x, cond)
        value.backward()
        optimizer.step()
        return value.detach()

    def step(x: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
        for _ in range(num_discriminator_steps):
            turn(optimizers[1], discriminator_loss, x, cond)
        return turn(optimizers[0], generator_loss, x, cond)

    return step, restart
