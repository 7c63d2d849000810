"""How far a device goes: products in bfloat16, the largest batch, the share of its memory's bandwidth."""

from collections.abc import Callable, Iterator

import jax
import torch

from benchmarks import peers
from benchmarks.measuring import Contestant, Timing, interleaved
from benchmarks.systems import SYSTEMS, System, contestants, cost_of, large_images, ours, rows_of

# Above this a host would swap before it refused; accelerators refuse.
_MOST_ROWS_ON_A_HOST = 65_536
_MOST_ROWS = 16_777_216


def bfloat16(full: bool) -> Iterator[Timing]:
    """Steps whose matrix products take bfloat16 and add up float32, beside compiled PyTorch under autocast.

    Ours is ``jax.default_matmul_precision("BF16_BF16_F32")`` around ``aejax.fit``: all that a user needs to say.
    Images on accelerators only: without instructions for bfloat16 a host takes minutes for a round.
    """
    del full
    autocast = torch.autocast(peers.DEVICE, dtype=torch.bfloat16)
    cases: tuple[tuple[str, Callable[[], System], int, int], ...] = (
        ("vae", SYSTEMS["vae"], 1024, 50),
        ("convolutional_autoencoder", large_images, 16, 8),
    )
    for name, make, batch_size, num_steps in cases[: 1 if jax.default_backend() == "cpu" else None]:
        torch.manual_seed(0)
        system = make()
        batch = rows_of(system, num_steps * batch_size)
        float32 = contestants(system, batch, batch_size, 1, True)
        contest = [
            float32[0]._replace(who="aejax, float32"),
            Contestant("aejax", jax.default_matmul_precision("BF16_BF16_F32")(float32[0].run)),
            Contestant("PyTorch compiled, autocast", autocast(float32[-1].run)),
        ]
        work = {"batch_size": batch_size, **cost_of(system, batch_size)}
        yield from interleaved("bfloat16", f"{name} {system.name}", contest, num_steps, "step", work)


def largest_batch(full: bool) -> Iterator[Timing]:
    """The VAE's step as the batch grows fourfold, until the device has no room for more."""
    del full
    torch.manual_seed(0)
    system = SYSTEMS["vae"]()
    most = _MOST_ROWS_ON_A_HOST if jax.default_backend() == "cpu" else _MOST_ROWS
    batch_size = 1024
    while batch_size <= most:
        try:
            contest = [ours(system, rows_of(system, batch_size), batch_size, 10)]
            work = {"batch_size": batch_size, **cost_of(system, batch_size)}
            yield from interleaved("largest_batch", f"vae {system.name}", contest, 10, "step", work)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            return
        batch_size *= 4
