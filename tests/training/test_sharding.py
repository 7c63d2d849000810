import subprocess
import sys

import pytest

PROGRAM = """
import logging
import tempfile

import jax
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_log_compiles", True)
import jax.numpy as jnp
import numpy as np
import aejax
from aejax import models

compiled = []
handler = logging.Handler()
handler.emit = lambda record: compiled.append(record.getMessage())
logging.getLogger("jax").addHandler(handler)

x = jax.random.normal(jax.random.key(0), (60, 5))
model = models.vae((5,), 2, hidden_dims=(8,))
keys = jax.random.split(jax.random.key(1), 3)
options = {"num_epochs": 4, "batch_size": 16}
fitted = aejax.ensemble(keys, model, x, **options)
assert sum(message.startswith("Finished XLA compilation of jit(advance)") for message in compiled) == 1
for index, key in enumerate(keys):
    alone = aejax.fit(key, model, x, **options)
    for a, b in zip(jax.tree.leaves(fitted.variables), jax.tree.leaves(alone.variables), strict=True):
        np.testing.assert_array_equal(a[index], b)
assert all(len(leaf.sharding.device_set) == 1 for leaf in jax.tree.leaves((fitted.variables, fitted.state)))
more = aejax.ensemble(keys, model, x, variables=fitted.variables, **options)
swept = aejax.sweep(keys[0], model, x, over={"learning_rate": [1e-3, 1e-2, 1e-3]}, **options)
np.testing.assert_array_equal(swept.history["loss"][0], swept.history["loss"][2])
alone = aejax.fit(keys[0], model, x, **options)
for a, b in zip(jax.tree.leaves(swept.variables), jax.tree.leaves(alone.variables), strict=True):
    np.testing.assert_array_equal(a[0], b)
# Means of metrics are rounded as each program has it.
np.testing.assert_allclose(swept.history["loss"][0], alone.history["loss"], rtol=1e-6)
both = aejax.sweep(keys, model, x, over={"learning_rate": [1e-3, 1e-2, 3e-3]}, **options)
assert both.history["loss"].shape == (3, 3, 4)


class Stop(Exception):
    pass


def stop(report):
    raise Stop


with tempfile.TemporaryDirectory() as folder:
    try:
        aejax.ensemble(keys, model, x, checkpoint_dir=folder, checkpoint_seconds=0, progress=stop, **options)
    except Stop:
        pass
    resumed = aejax.ensemble(keys, model, x, checkpoint_dir=folder, resume=True, **options)
for a, b in zip(jax.tree.leaves(fitted.variables), jax.tree.leaves(resumed.variables), strict=True):
    np.testing.assert_array_equal(a, b)
aejax.ensemble(keys, model, x, state=fitted.state, **options)
print("done")
"""


@pytest.mark.slow
def test_members_on_two_devices_are_the_same_to_the_bit():
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert found.stdout.strip() == "done", found.stderr
