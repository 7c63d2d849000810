"""A run that is killed and resumed in another process gives the bits of one that was not.

python -m benchmarks.gpu.resume [--cache FOLDER]: a folder keeps what XLA compiled, and which kernels it chose.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_EPOCHS, _KILLED_AFTER = 12, 5


def train(folder: str, is_killed: bool) -> None:
    """Trains in the folder, and prints a digest of all that the run ended with, unless it kills itself before."""
    import jax
    import numpy as np

    import aejax
    from aejax import models

    def progress(report: aejax.training.Progress) -> None:
        if is_killed and report.epoch >= _KILLED_AFTER:
            os.kill(os.getpid(), 9)

    x = np.tanh(np.random.default_rng(0).normal(size=(2048, 15))).astype(np.float32)
    model = models.vae((15,), 4, hidden_dims=(128, 64))
    fitted = aejax.fit(
        jax.random.key(0),
        model,
        x,
        num_epochs=_EPOCHS,
        checkpoint_dir=folder,
        checkpoint_seconds=0,
        resume=True,
        progress=progress,
    )
    arrays = jax.device_get(jax.tree.leaves((fitted.variables, fitted.history)))
    print(hashlib.sha256(b"".join(np.asarray(array).tobytes() for array in arrays)).hexdigest())


def main() -> None:
    """Runs three processes: one to the end, one that is killed, one that resumes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--train", metavar="FOLDER")
    parser.add_argument("--kill", action="store_true")
    arguments = parser.parse_args()
    if arguments.train:
        return train(arguments.train, arguments.kill)
    environment = dict(os.environ)
    if arguments.cache:
        environment |= {
            "JAX_COMPILATION_CACHE_DIR": str(arguments.cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "all",
        }

    def process(folder: str, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "benchmarks.gpu.resume", "--train", folder, *options]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as cut:
        expected = process(whole)
        killed = process(cut, "--kill")
        resumed = process(cut)
    if expected.returncode or resumed.returncode or killed.returncode != -9:
        print("failed:", (expected.stderr + killed.stderr + resumed.stderr)[-2000:])
        sys.exit(2)
    same = expected.stdout == resumed.stdout
    print("same bits" if same else "other bits")


if __name__ == "__main__":
    main()
