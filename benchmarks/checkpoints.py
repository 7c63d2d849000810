"""What a checkpoint costs the steps beside which it is written: python -m benchmarks.checkpoints.

python -m benchmarks.checkpoints usual --seconds 60
python -m benchmarks.checkpoints large --seconds 120
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from pathlib import Path
from typing import ClassVar

import jax
import numpy as np

import aejax
from aejax.training.checkpoint import Checkpoints

_INTERVAL = 10.0
_MODELS = {
    "usual": (lambda: aejax.models.vae((20,), latent_dim=4), 20, 1024),
    "large": (lambda: aejax.models.vae((2000,), latent_dim=8, hidden_dims=(6000, 2048)), 2000, 64),
}


class _Measured(Checkpoints):
    """Checkpoints that note how long steps wait, what the processor does meanwhile, and how long they are written."""

    waited: ClassVar[list[float]] = []
    worked: ClassVar[list[float]] = []
    written: ClassVar[list[float]] = []

    def save(self, run):
        begin, work = time.perf_counter(), time.thread_time()
        super().save(run)
        self.waited.append(time.perf_counter() - begin)
        self.worked.append(time.thread_time() - work)

    def _write(self, number, arrays):
        begin = time.perf_counter()
        super()._write(number, arrays)
        self.written.append(time.perf_counter() - begin)


class _EnoughError(Exception):
    """So much was measured."""


def measure(size: str, seconds: float, folder: Path | None) -> tuple[int, float, float]:
    """Trains for so long, with checkpoints in a folder if there is one: steps, their time and that of processors."""
    make, num_columns, batch_size = _MODELS[size]
    begun: list[tuple[int, float, float]] = []
    now = (0, 0.0, 0.0)

    def noise(arrays, key, num_rows):
        return aejax.Batch(jax.random.normal(key, (num_rows, num_columns)))

    def report(progress: aejax.Progress) -> None:
        nonlocal now
        now = (progress.step, time.perf_counter(), time.process_time())
        begun.append(now)
        if now[1] - begun[0][1] > seconds:
            raise _EnoughError

    options = {"num_epochs": 1000, "steps_per_epoch": 100, "batch_size": batch_size, "validation": 0}
    if folder is not None:
        options |= {"checkpoint_dir": folder, "checkpoint_seconds": _INTERVAL}
    with contextlib.suppress(_EnoughError):
        aejax.fit(jax.random.key(0), make(), aejax.drawn(noise), progress=report, **options)
    steps, wall, cpu = (last - first for last, first in zip(now, begun[0], strict=True))
    return int(steps), wall, cpu


def main() -> None:
    """Prints what checkpoints cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=[*_MODELS])
    parser.add_argument("--seconds", type=float, default=60, help="of training, without checkpoints and then with them")
    given = parser.parse_args()
    from aejax.training import shared_checkpoints

    shared_checkpoints.Checkpoints = _Measured  # type: ignore[misc]
    make, num_columns, _ = _MODELS[given.size]
    shapes = jax.eval_shape(make().init, jax.random.key(0), aejax.Batch(np.zeros((1, num_columns), np.float32)))
    print(f"{sum(leaf.size for leaf in jax.tree.leaves(shapes)):,} numbers, a checkpoint every {_INTERVAL:g} s")
    with tempfile.TemporaryDirectory() as folder:
        for where in (None, Path(folder)):
            steps, wall, cpu = measure(given.size, given.seconds, where)
            what, ms = "with" if where else "without", 1e3 / steps
            print(f"{what}: {ms * wall:.2f} ms, {ms * cpu:.2f} ms of CPU a step")
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    waited, worked, written = _Measured.waited, _Measured.worked, _Measured.written
    share = 100 * statistics.median(waited) / _INTERVAL
    print(
        f"{len(waited)} checkpoints of {size / 2e6:.1f} MB: steps wait {1e3 * statistics.median(waited):.1f} ms, "
        f"{share:.2f} % of {_INTERVAL:g} s (the first one {1e3 * waited[0]:.1f}), of which the processor works "
        f"{1e3 * statistics.median(worked):.1f} ms (the first one {1e3 * worked[0]:.1f}); written in "
        f"{statistics.median(written):.2f} s beside them",
        flush=True,
    )


if __name__ == "__main__":
    main()
