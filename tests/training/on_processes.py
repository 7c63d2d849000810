"""Run by test_processes.py, once for each process of a run: prints what it measures, as JSON."""

import json
import os
import sys
import threading
import time
from pathlib import Path

import jax
import numpy as np

import aejax
from aejax import models
from aejax.data.stored import Stored
from aejax.training.checkpoint import Checkpoints
from aejax.training.sources import stored_rows

X = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
OPTIONS = {"num_epochs": 4, "batch_size": 48}


def curve(fitted):
    return {name: np.asarray(fitted.history[name]).tolist() for name in ("loss", "val_loss")}


def fit(x, model=None, **options):
    """Nothing of JAX may run before the processes know of each other, so keys and models are made here."""
    model = models.vae((6,), 2, hidden_dims=(16,)) if model is None else model
    return aejax.fit(jax.random.key(1), model, x, mesh=mesh(), **options)


def mesh():
    return aejax.mesh(data=jax.device_count()) if jax.process_count() > 1 else None


def one_run(folder):
    return curve(fit(X, **OPTIONS))


def streamed(folder):
    """Each process reads its share of each batch of 48."""
    share = 48 // jax.process_count()
    mine = slice(share * jax.process_index(), share * (jax.process_index() + 1))

    def batches(step):
        while True:
            yield X[48 * (step % 6) : 48 * (step % 6) + 48][mine]
            step += 1

    options = {"num_epochs": 2, "steps_per_epoch": 5, "validation": X[:60]}
    return curve(fit(aejax.stream(batches), **options))


def stored(folder):
    """Each process reads the groups that its share of each batch comes from, in 20 passes."""
    num_read = []

    def read(group):
        num_read.append(10)
        yield X[10 * group : 10 * group + 10]

    source = stored_rows(jax.random.key(3), Stored(np.full(len(X) // 10, 10), read), 20, window_bytes=6 * 5 * 40)
    found = curve(fit(source, num_epochs=20, validation=X[:60]))
    return found | {"num_read": sum(num_read)}


def large(folder):
    """Parameters that are cut over the processes, with checkpoints."""
    x = np.random.default_rng(2).normal(size=(64, 2048)).astype(np.float32)
    model = models.autoencoder((2048,), 4, hidden_dims=(2048,), shortcut=False)
    options = {"num_epochs": 1, "batch_size": 32, "learning_rate": 1e-4}
    return curve(fit(x, model, checkpoint_dir=folder, checkpoint_seconds=0, **options))


def killed(folder):
    """The last process ends once checkpoints are there."""

    def end():
        while sum(path.name.isdigit() for path in Path(folder).glob("*")) < 2:
            time.sleep(0.05)
        os._exit(9)

    if jax.process_index() == jax.process_count() - 1:
        threading.Thread(target=end, daemon=True).start()
    # Each part waits for its checkpoint: few epochs are done when the process ends.
    Checkpoints.is_ready = lambda self: self.wait() is None
    options = {**OPTIONS, "num_epochs": 10**6}
    try:
        fit(X, checkpoint_dir=folder, checkpoint_seconds=0, **options)
    except aejax.ProcessLostError as error:
        print(json.dumps({"lost": str(error)}), flush=True)
        raise


def resumed(folder):
    options = {"checkpoint_dir": folder, **OPTIONS, "num_epochs": 6}
    return curve(fit(X, resume=True, **options))


def whole(folder):
    return curve(fit(X, **{**OPTIONS, "num_epochs": 6}))


def elastic(folder):
    """Begun or gone on with, on whatever devices there are."""
    devices = aejax.mesh(data=jax.device_count()) if jax.device_count() > 1 else None
    model = models.vae((6,), 2, hidden_dims=(16,))
    checkpoints = {"checkpoint_dir": folder, "checkpoint_seconds": 0.1, "resume": True}
    return curve(aejax.fit(jax.random.key(1), model, X, mesh=devices, **{**OPTIONS, "num_epochs": 800}, **checkpoints))


def refused(folder):
    """Begun with other data: the first process sees it, and both are told."""
    try:
        fit(2 * X, checkpoint_dir=folder, resume=True, **OPTIONS)
    except ValueError as error:
        return {"refused": str(error)}


if __name__ == "__main__":
    case, rank, count, port, folder = sys.argv[1:]
    if int(count) > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"127.0.0.1:{port}", int(count), int(rank), heartbeat_timeout_seconds=20)
    print(json.dumps(globals()[case](folder)), flush=True)
