"""New rows from a generative model."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from aejax.base import Array, Model, Variables


def generate(key: Array, model: Model, variables: Variables, num_samples: int, cond: Any = None) -> Array:
    """Draws new rows, observation noise included.

    Args:
        key: PRNG key.
        model: a fitted Model that defines a distribution, such as a VAE.
        variables: its variables.
        num_samples: how many rows.
        cond: (num_samples, c) conditions, or (c,) for the same ones in each row; for a conditional model.

    Returns:
        (num_samples, *event).

    Raises:
        ValueError: a model without a distribution, a number that is not positive, or conditions that do not fit.

    Example:
        >>> import aejax
        >>> model = aejax.models.vae((5,), 2)
        >>> variables = model.init(jax.random.key(0), aejax.Batch(jnp.zeros((1, 5))))
        >>> generate(jax.random.key(1), model, variables, num_samples=10).shape
        (10, 5)
    """
    if model.sample is None:
        raise ValueError("model: this one defines no distribution to draw from; train a generative one, such as vae")
    if num_samples < 1:
        raise ValueError(f"num_samples: found {num_samples}, expected a positive whole number")
    if cond is not None:
        cond = jnp.atleast_1d(jnp.asarray(cond, jnp.float32))
        cond = jnp.broadcast_to(cond, (num_samples, cond.shape[-1]))
    return _sample(model, num_samples, key, variables, cond)


@functools.partial(jax.jit, static_argnames=("model", "num_samples"))
def _sample(model: Model, num_samples: int, key: Array, variables: Variables, cond: Array | None) -> Array:
    assert model.sample is not None  # the caller's check, repeated for the type checker
    return model.sample(key, variables, num_samples, cond)
