"""Run by test_mesh.py in a process of its own with eight host devices: prints what it measures, as JSON."""

import contextlib
import json
import re
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec

import aejax
from aejax import models
from aejax.training import engine

X = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
KEY = jax.random.key(1)
VAE = models.vae((6,), 2, hidden_dims=(16,))
OPTIONS = {"num_epochs": 4, "batch_size": 50}


def eight():
    return aejax.mesh(data=8)


def difference(found, expected, names=("loss", "val_loss")):
    """The largest relative one between two histories."""
    pairs = [(np.asarray(found.history[name]), np.asarray(expected.history[name])) for name in names]
    return max(float(np.max(np.abs(a - b) / np.abs(b))) for a, b in pairs)


def one_run():
    """Of fifty rows a step no eight devices have the same share."""
    model = models.vae((6,), 2, hidden_dims=())  # the smallest, which is compiled in half the time
    alone = aejax.fit(KEY, model, X, **OPTIONS)
    return {"difference": difference(aejax.fit(KEY, model, X, mesh=eight(), **OPTIONS), alone)}


def spread_rows():
    x = jax.device_put(X[:296], NamedSharding(eight(), PartitionSpec("data")))
    alone = aejax.fit(KEY, VAE, X[:296], **OPTIONS)
    seen = []
    advance = engine.advance
    engine.advance = lambda *given: seen.append(str(given[4].train.x.sharding.spec)) or advance(*given)
    found = aejax.fit(KEY, VAE, x, mesh=eight(), **OPTIONS)
    return {"difference": difference(found, alone), "specs": sorted(set(seen))}


def streamed():
    def batches(step):
        while True:
            yield X[50 * (step % 6) : 50 * (step % 6) + 50]
            step += 1

    options = {"num_epochs": 2, "steps_per_epoch": 5, "validation": X[:60]}
    alone = aejax.fit(KEY, VAE, aejax.stream(batches), **options)
    return {"difference": difference(aejax.fit(KEY, VAE, aejax.stream(batches), mesh=eight(), **options), alone)}


def batch_norm():
    """Over the whole batch: means of each device's rows would differ in the second digit.

    Adam turns the rounding of a bias before BatchNorm, whose gradient is zero, into steps: the running averages of
    validation follow it. Plain gradient descent does not.
    """
    images = np.random.default_rng(1).normal(size=(100, 8, 8, 1)).astype(np.float32)
    model = models.convolutional_autoencoder((8, 8, 1), 4, hidden_dims=(4, 8))
    found = {}
    for name, optimizer in (("adam", None), ("sgd", optax.sgd(1e-3))):
        options = {"num_epochs": 2, "batch_size": 30, "optimizer": optimizer}
        alone, spread = (aejax.fit(KEY, model, images, mesh=mesh, **options) for mesh in (None, eight()))
        found[name] = difference(spread, alone)
        found[f"{name}, training"] = difference(spread, alone, names=("loss",))
    return found


def members():
    """Three on two groups of four devices: one group has two, the other one twice the same."""
    keys, mesh = jax.random.split(KEY, 3), aejax.mesh(member=2, data=4)
    alone, spread = (aejax.ensemble(keys, VAE, X, mesh=mesh, **OPTIONS) for mesh in (aejax.mesh(member=1), mesh))
    settings = {"over": {"beta": [0.5, 1.0, 2.0]}, **OPTIONS}
    one, swept = (aejax.sweep(KEY, VAE, X, mesh=mesh, **settings) for mesh in (aejax.mesh(member=1), mesh))
    return {"ensemble": difference(spread, alone), "sweep": difference(swept, one)}


def all_reduces():
    """In the compiled program of the steps of a plain network, without validation."""
    texts = []
    program = engine.program

    def spy(function, donated):
        def call(*arguments):
            if function.__name__ == "advance" and not texts:
                texts.append(program(function, donated).lower(*arguments).compile().as_text())
            return program(function, donated)(*arguments)

        return call

    engine.program = spy
    model = models.vae((6,), 2, hidden_dims=(16,), shortcut=False)
    # A prime number of rows, of which some are looked for more than once.
    aejax.fit(KEY, model, X[:293], mesh=eight(), validation=0, num_epochs=1, batch_size=64)
    kinds = re.findall(r" (all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)(?:-start)?\(", texts[0])
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def cut_parameters():
    x = np.random.default_rng(2).normal(size=(64, 2048)).astype(np.float32)
    model = models.autoencoder((2048,), 4, hidden_dims=(2048,), shortcut=False)
    options = {"num_epochs": 1, "batch_size": 32, "learning_rate": 1e-4}
    alone, found = aejax.fit(KEY, model, x, **options), aejax.fit(KEY, model, x, mesh=eight(), **options)
    large = [leaf for leaf in jax.tree.leaves((found.variables, found.state.opt_state)) if leaf.size >= 2**22]
    shares = {leaf.addressable_shards[0].data.size / leaf.size for leaf in large}
    return {"difference": difference(found, alone), "num_large": len(large), "shares": sorted(shares)}


class Stop(Exception):
    pass


def elastic():
    """Stopped on eight devices in an epoch, resumed on one, two, four and eight."""
    alone = aejax.fit(KEY, VAE, X, **OPTIONS)
    found: dict[str, float | bool] = {}

    def stop(report):
        if report.epoch >= 2:
            raise Stop

    for data in (1, 2, 4, 8):
        with tempfile.TemporaryDirectory() as folder:
            kept = {"checkpoint_dir": folder, "checkpoint_seconds": 0, **OPTIONS}
            with contextlib.suppress(Stop):
                aejax.fit(KEY, VAE, X, mesh=eight(), progress=stop, **kept)
            assert any(Path(folder).iterdir())
            resumed = aejax.fit(KEY, VAE, X, mesh=aejax.mesh(data=data) if data > 1 else None, resume=True, **kept)
        found[str(data)] = difference(resumed, alone)
        if data == 8:
            whole = aejax.fit(KEY, VAE, X, mesh=eight(), **OPTIONS)
            leaves = zip(jax.tree.leaves(whole.variables), jax.tree.leaves(resumed.variables), strict=True)
            found["same bits"] = all(bool(jnp.array_equal(a, b)) for a, b in leaves)
    return found


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
