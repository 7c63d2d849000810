import os

# Every test runs on the CPU with its own fixed number of host devices, whatever machine it is on.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import pytest

from aejax import models

NUM_COLUMNS = 6

# One small instance of every model in the registry; a new model is tested by being registered.
REGISTRY = {name: factory((NUM_COLUMNS,), 2, hidden_dims=(8,)) for name, factory in sorted(models.MODELS.items())}


@pytest.fixture(params=list(REGISTRY))
def model(request):
    """Each model of the registry."""
    return REGISTRY[request.param]


@pytest.fixture(scope="session")
def rows():
    """(300, 6) standardised rows from two factors, float32."""
    factors, weights, noise = (
        jax.random.normal(key, shape)
        for key, shape in zip(
            jax.random.split(jax.random.key(0), 3),
            [(300, 2), (2, NUM_COLUMNS), (300, NUM_COLUMNS)],
            strict=True,
        )
    )
    x = np.asarray(factors @ weights + 0.1 * noise)
    return ((x - x.mean(0)) / x.std(0)).astype(np.float32)


@pytest.fixture
def key():
    return jax.random.key(7)
