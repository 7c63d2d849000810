"""``python -m benchmarks.steps EARLIER``: a step of each model, beside the same one of an earlier checkout, in turns.

Each side is a process that trains its own ``benchmarks.systems``, from the same weights on the same rows. A turn is a
whole ``fit`` of some tenths of a second, compiled before. What is told is the median over rounds of now / earlier.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median, quantiles

# name in SYSTEMS, batch size, steps an epoch, epochs, members.
_CASES = {
    "autoencoder, 64": ("autoencoder", 64, 32, 100, 1),
    "denoising_autoencoder, 64": ("denoising_autoencoder", 64, 32, 60, 1),
    "vae, 64": ("vae", 64, 32, 40, 1),
    "vae, 256": ("vae", 256, 32, 20, 1),
    "vae, 1024": ("vae", 1024, 16, 15, 1),
    "conditional_vae, 64": ("conditional_vae", 64, 32, 60, 1),
    "sparse_autoencoder, 64": ("sparse_autoencoder", 64, 32, 60, 1),
    "deep_autoencoder, 64": ("deep_autoencoder", 64, 32, 30, 1),
    "convolutional_autoencoder, 64": ("convolutional_autoencoder", 64, 8, 3, 1),
    "gan, 64": ("gan", 64, 32, 30, 1),
    "wgan_gp, 64": ("wgan_gp", 64, 32, 6, 1),
    "3x224x224, 8": ("large_images", 8, 1, 1, 1),
    "vae, 64, 8 members": ("vae", 64, 20, 25, 8),
    "vae, 64, 32 members": ("vae", 64, 20, 6, 32),
    "vae, 64, 128 members": ("vae", 64, 20, 2, 128),
}
_WORKER = """
import sys, time
import jax, jax.numpy as jnp, numpy as np, torch
import aejax
from benchmarks import systems
from tests.peers.peer import KEY
name, batch_size, steps, epochs, members = sys.argv[1], *map(int, sys.argv[2:])
torch.manual_seed(0)
system = systems.large_images() if name == "large_images" else systems.SYSTEMS[name]()
batch = systems.rows_of(system, steps * batch_size)
aejax.fit  # loads the library, which is not part of the first call
run = systems.ours(system, batch, batch_size, epochs).run
if members > 1:
    on_device, keys = jax.tree.map(jnp.asarray, batch), jax.random.split(KEY, members)
    train = getattr(aejax, "ensemble", aejax.fit)
    options = dict(num_epochs=epochs, batch_size=batch_size, validation=0)
    run = lambda: float(np.mean(train(keys, system.model, on_device, **options).history["loss"][..., -1]))
began = time.perf_counter()
quality = run()
print(time.perf_counter() - began, quality, flush=True)
run()
for line in sys.stdin:
    began = time.perf_counter()
    run()
    print(time.perf_counter() - began, flush=True)
"""


class _Side:
    """A process with the code of a checkout, in which one case is compiled."""

    def __init__(self, checkout: Path, case: tuple[str, int, int, int, int]):
        surroundings = {**os.environ, "PYTHONPATH": str(checkout), "JAX_PLATFORMS": "cpu"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, *map(str, case)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=surroundings,
            cwd=checkout,
        )

    def said(self) -> list[float]:
        assert self._process.stdout is not None
        return [float(word) for word in self._process.stdout.readline().split()]

    def turn(self) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self.said()[0]

    def end(self) -> None:
        self._process.communicate()


def compare(earlier: Path, name: str, num_rounds: int) -> str:
    """A line of the table: both sides' microseconds a member's step, their ratio, the first calls and the losses."""
    case = _CASES[name]
    num_steps = case[2] * case[3] * case[4]
    before = _Side(earlier, case)
    first_before, loss_before = before.said()
    now = _Side(Path(__file__).resolve().parents[1], case)
    first_now, loss_now = now.said()
    pairs = [(before.turn(), now.turn()) for _ in range(num_rounds)]
    before.end()
    now.end()
    low, middle, high = quantiles([b / a for a, b in pairs], n=4)
    each = [1e6 * median(side) / num_steps for side in zip(*pairs, strict=True)]
    return (
        f"| {name} | {each[0]:.1f} | {each[1]:.1f} | {middle:.2f} ({low:.2f} to {high:.2f}) | "
        f"{first_before:.1f}, {first_now:.1f} | {loss_before:.4g}, {loss_now:.4g} |"
    )


def main() -> None:
    """Prints the table, a line as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("earlier", type=Path, help="a checkout of an earlier commit")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cases", nargs="+", default=list(_CASES), choices=list(_CASES), metavar="CASE")
    words = parser.parse_args()
    print("| model, batch | before, us a step | now | ratio (quartiles) | first call, s | loss reached |")
    print("| --- " * 6 + "|", flush=True)
    for name in words.cases:
        print(compare(words.earlier.resolve(), name, words.rounds), flush=True)


if __name__ == "__main__":
    main()
