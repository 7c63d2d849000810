"""The linear model that an autoencoder begins as: the principal components of its first rows."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from aejax.base import Array, Batch, Variables

# Components with less than this share of the largest variance are rounding.
_NOTHING = 1e-6
# Eigenvectors of larger matrices would take longer than the steps that they save.
_LARGEST_MATRIX = 1024
# Of the mean variance; the likelihoods bound their own scales likewise.
_LEAST_NOISE = 1e-4


class Principal(NamedTuple):
    """Principal components of rows, what their conditions explain taken off first.

    Attributes:
        offset: (1 + k, c), the mean of the rows, and what each of k conditions adds.
        directions: (d, c), orthonormal, the one of most variance first.
        variance: (d,), of the rows along each; 0 where the rows have no such component.
        rest: (c,), each element's variance beyond the d components.
    """

    offset: Array
    directions: Array
    variance: Array
    rest: Array


def principal(x: Array, cond: Array | None, latent_dim: int) -> Principal:
    """The leading principal components of rows (Hotelling 1933).

    Args:
        x: (n, c) rows without NaN.
        cond: (n, k) conditions, or None.
        latent_dim: d, how many.

    Returns:
        The Principal. Directions beyond the rank of the rows are zero.

    Example:
        >>> found = principal(jnp.array([[0.0, 1.0], [2.0, 1.0]]), None, 1)
        >>> found.offset.tolist(), found.directions.tolist(), found.variance.tolist()
        ([[1.0, 1.0]], [[1.0, 0.0]], [1.0])
    """
    x = jax.lax.stop_gradient(jnp.asarray(x, jnp.float32))
    if min(x.shape) > _LARGEST_MATRIX:
        x, cond = x[:_LARGEST_MATRIX], None if cond is None else cond[:_LARGEST_MATRIX]
    num_rows, size = x.shape
    given = _with_one(None if cond is None else jax.lax.stop_gradient(cond), num_rows)
    offset = jnp.linalg.lstsq(given, x, rcond=_NOTHING)[0] if cond is not None else x.mean(axis=0, keepdims=True)
    x = x - given @ offset
    is_wide = size > num_rows
    products = (x @ x.T if is_wide else x.T @ x) / num_rows
    values, vectors = jnp.linalg.eigh(products)
    num_found = min(latent_dim, len(products))
    variance, vectors = values[::-1][:num_found], vectors[:, ::-1][:, :num_found].T
    # A comparison that holds for no component where the rows do not vary at all.
    is_there = variance > _NOTHING * jnp.maximum(variance[0], jnp.finfo(jnp.float32).tiny)
    variance = jnp.where(is_there, variance, 0)
    if is_wide:
        vectors = vectors @ x / jnp.sqrt(jnp.where(is_there, variance, 1) * num_rows)[:, None]
    # An eigenvector has no sign of its own: that of its largest element is made positive.
    largest = jnp.take_along_axis(vectors, jnp.abs(vectors).argmax(axis=1, keepdims=True), axis=1)
    directions = jnp.where(is_there[:, None], vectors * jnp.where(largest < 0, -1, 1), 0)
    missing = latent_dim - num_found
    directions, variance = jnp.pad(directions, ((0, missing), (0, 0))), jnp.pad(variance, (0, missing))
    rest = jnp.square(x).mean(axis=0) - variance @ jnp.square(directions)
    return Principal(offset, directions, variance, jnp.maximum(rest, 0))


def begun(params: Variables, batch: Batch, latent_dim: int, is_gaussian: bool) -> Variables:
    """Parameters of a coder whose linear maps are the principal components of the rows.

    The code is scaled to unit variance. For a Gaussian posterior it is that of probabilistic PCA (Tipping & Bishop
    1999, eq. 6 to 9), and the likelihood's scale is that of what the components leave.

    Args:
        params: with the parts ``encoder`` and ``decoder``, each of which has a shortcut, and perhaps ``likelihood``.
        batch: (n, *event) rows without NaN, and conditions.
        latent_dim: d, the size of the code.
        is_gaussian: whether the encoder gives mean and log-variance.

    Returns:
        The parameters; those that were given where the rows do not vary, as a single one.
    """
    if batch.x.shape[0] == 1:  # as where a saved model is loaded, which should not wait for eigenvectors
        return params
    rows = batch.x.reshape(batch.x.shape[0], -1)
    found = principal(rows, batch.cond, latent_dim)
    is_there = found.variance > 0
    variance = jnp.where(is_there, found.variance, 1)
    total, size = found.rest.sum() + found.variance.sum(), rows.shape[1]
    # Of all directions, those of the code carry their share of the noise too.
    floor = _LEAST_NOISE * total / size
    noise = jnp.maximum(found.rest.sum() / max(1, size - latent_dim), floor) if is_gaussian else 0.0
    signal = jnp.maximum(variance - noise, _LEAST_NOISE * variance)
    left = jnp.maximum(found.rest + noise * jnp.square(found.directions).sum(axis=0), floor)
    drawn = params["encoder"]["linear"]["layer_0"]["kernel"][:size, :latent_dim]
    reading = jnp.where(is_there, (found.directions * (jnp.sqrt(signal) / variance)[:, None]).T, drawn)
    log_variance = jnp.log(jnp.minimum(noise / variance, 1)) if is_gaussian else None
    log_scale = 0.5 * jnp.log(jnp.maximum(left, jnp.finfo(jnp.float32).tiny))
    encoder = _reading(reading, found.offset, log_variance)
    writing = jnp.concatenate([found.directions * jnp.sqrt(signal)[:, None], found.offset[1:]])
    decoder = _writing(writing, found.offset[0], log_scale, params["decoder"]["linear"]["layer_0"]["bias"].shape[0])
    new = dict(params)
    for part, layer in (("encoder", encoder), ("decoder", decoder)):
        new[part] = {**params[part], "linear": {**params[part]["linear"], "layer_0": layer}}
    if "log_scale" in params.get("likelihood", {}):
        shape = params["likelihood"]["log_scale"].shape
        own = log_scale.reshape(shape) if shape else 0.5 * jnp.log(jnp.exp(2 * log_scale).mean())
        new["likelihood"] = {**params["likelihood"], "log_scale": own}
    # Of rows that do not vary nothing is known, and what was drawn stays.
    return jax.tree.map(lambda a, b: jnp.where(is_there.any(), a, b).astype(b.dtype), new, dict(params))


def _reading(kernel: Array, offset: Array, log_variance: Array | None) -> Variables:
    """The linear map to the code, which takes off what the conditions explain; and to the log of its variance."""
    moved = -offset @ kernel
    kernel, bias = jnp.concatenate([kernel, moved[1:]]), moved[0]
    if log_variance is not None:
        kernel, bias = jnp.concatenate([kernel, 0 * kernel], axis=1), jnp.concatenate([bias, log_variance])
    return {"kernel": kernel, "bias": bias}


def _writing(kernel: Array, bias: Array, log_scale: Array, num_outputs: int) -> Variables:
    """The linear map from code and conditions; the second of two outputs an element is the log of its scale."""
    if num_outputs == 2 * bias.shape[0]:
        kernel = jnp.stack([kernel, 0 * kernel], axis=-1).reshape(kernel.shape[0], -1)
        bias = jnp.stack([bias, log_scale], axis=-1).reshape(-1)
    return {"kernel": kernel, "bias": bias}


def _with_one(cond: Array | None, num_rows: int) -> Array:
    one = jnp.ones((num_rows, 1), jnp.float32)
    return one if cond is None else jnp.concatenate([one, cond.reshape(num_rows, -1).astype(jnp.float32)], axis=1)
