"""The codes of rows, for what learns where codes lie."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Array, Latent, Model, Variables
from aejax.data.batches import RowsLike, as_arrays
from aejax.tasks.reduction import encode


class Codes(NamedTuple):
    """The codes of rows, or their posteriors.

    Attributes:
        latent: (n, d).
        cond: (n, c) conditions of the rows, or None.
    """

    latent: Latent
    cond: Array | None


def codes_of(model: Model, variables: Variables, x: RowsLike) -> Codes:
    """The codes of rows of which something was observed; of a row with gaps the code that what was observed asks for.

    Args:
        model: a fitted Model.
        variables: its variables.
        x: (n, *event) rows, NaN where missing, or a Batch.

    Returns:
        The Codes, on the host.

    Raises:
        ValueError: rows that do not fit the model, a GAN, which has no encoder, or no row with an observed value.

    Example:
        >>> import aejax
        >>> x = np.array([[0.0, 1.0], [np.nan, np.nan]])
        >>> model = aejax.models.autoencoder((2,), 1)
        >>> codes_of(model, model.init(jax.random.key(0), aejax.Batch(x[:1])), x).latent.mean.shape
        (1, 1)
    """
    latent = encode(model, variables, x)
    rows = jax.device_get(as_arrays(x))
    seen = ~np.isnan(rows.x)
    if rows.mask is not None:
        seen &= rows.mask.astype(bool).reshape(rows.mask.shape + (1,) * (seen.ndim - rows.mask.ndim))
    is_seen = seen.reshape(len(seen), -1).any(axis=1)
    if not is_seen.any():
        raise ValueError(f"x: found no observed value in {len(seen)} rows, expected some; give rows that were measured")
    kept = jax.tree.map(lambda array: np.asarray(array)[is_seen], (latent, rows.cond))
    return Codes(*kept)


def draw(key: Array, latent: Latent) -> Array:
    """Codes themselves, or draws of their posterior.

    A decoder was trained on such draws. The means of a variational model lie closer together, and most of all in those
    dimensions of the code that hold little.

    Args:
        key: PRNG key.
        latent: (n, d).

    Returns:
        (n, d).

    Example:
        >>> draw(jax.random.key(0), Latent(jnp.ones((1, 2))))
        Array([[1., 1.]], dtype=float32)
    """
    if latent.log_var is None:
        return latent.mean
    return latent.mean + jnp.exp(0.5 * latent.log_var) * jax.random.normal(key, latent.mean.shape, latent.mean.dtype)
