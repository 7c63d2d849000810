"""Compressing rows to codes and back."""

from typing import Any

import numpy as np

from aejax.base import Array, Batch, Latent, Model, Variables
from aejax.tasks.rows import over_rows


def encode(model: Model, variables: Variables, x: Any) -> Latent:
    """The codes of any number of rows.

    Args:
        model: a fitted Model.
        variables: its variables.
        x: (n, *event), NaN where missing, or a Batch with conditions.

    Returns:
        Latent of NumPy arrays, (n, d).

    Raises:
        ValueError: rows that do not fit the model.

    Example:
        >>> import jax, aejax
        >>> model = aejax.models.autoencoder((5,), 2)
        >>> variables = model.init(jax.random.key(0), Batch(np.zeros((1, 5))))
        >>> encode(model, variables, np.zeros((7, 5))).mean.shape
        (7, 2)
    """
    return over_rows(_encode, model, variables, x)


def reconstruct(model: Model, variables: Variables, x: Any) -> np.ndarray:
    """Rows after the bottleneck: for a denoising model, denoised; missing values filled in.

    Args:
        model: a fitted Model.
        variables: its variables.
        x: (n, *event), NaN where missing, or a Batch with conditions.

    Returns:
        (n, *event).

    Raises:
        ValueError: rows that do not fit the model.

    Example:
        >>> import jax, aejax
        >>> model = aejax.models.autoencoder((5,), 2)
        >>> variables = model.init(jax.random.key(0), Batch(np.zeros((1, 5))))
        >>> reconstruct(model, variables, np.zeros((7, 5))).shape
        (7, 5)
    """
    return over_rows(_reconstruct, model, variables, x)


def _encode(model: Model, variables: Variables, batch: Batch) -> Latent:
    return model.encode(variables, batch.x, batch.cond)


def _reconstruct(model: Model, variables: Variables, batch: Batch) -> Array:
    return model.decode(variables, _encode(model, variables, batch).mean, batch.cond)
