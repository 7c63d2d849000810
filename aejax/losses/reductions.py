"""From values of elements to one number: sums and means that follow masks and weights."""

import jax.numpy as jnp

from aejax.base import Array, Batch

__all__ = ["mean_elements", "mean_examples", "mse_elements", "num_observed", "observed", "sum_elements"]


def observed(batch: Batch) -> Array | None:
    """The mask of a batch, shaped to multiply its elements; None where everything is observed.

    Example:
        >>> observed(Batch(jnp.zeros((2, 3)), mask=jnp.array([True, False]))).shape
        (2, 1)
    """
    if batch.mask is None:
        return None
    return batch.mask.reshape(batch.mask.shape + (1,) * (batch.x.ndim - batch.mask.ndim))


def sum_elements(values: Array, batch: Batch) -> Array:
    """Sums (n, *event) over the observed elements of each example, weighted where the batch has weights.

    Example:
        >>> sum_elements(jnp.ones((1, 3)), Batch(jnp.zeros((1, 3)), mask=jnp.array([[True, True, False]])))
        Array([2.], dtype=float32)
    """
    mask = observed(batch)
    kept = values if mask is None else jnp.where(mask, values, 0)
    kept = kept if batch.weight is None else kept * batch.weight
    return jnp.sum(kept, axis=tuple(range(1, kept.ndim)))


def mean_elements(values: Array, batch: Batch) -> Array:
    """Averages (n, *event) over the observed elements of each example; NaN where an example has none.

    Example:
        >>> mean_elements(jnp.ones((1, 3)), Batch(jnp.zeros((1, 3)), mask=jnp.array([[True, True, False]])))
        Array([1.], dtype=float32)
    """
    if batch.mask is None and batch.weight is None:
        return jnp.mean(values, axis=tuple(range(1, values.ndim)))
    return sum_elements(values, batch) / sum_elements(jnp.ones_like(values), batch)


def num_observed(batch: Batch) -> Array:
    """The number of examples with at least one observed element.

    Example:
        >>> num_observed(Batch(jnp.zeros((2, 3)), mask=jnp.array([True, False])))
        Array(1., dtype=float32)
    """
    if batch.mask is None:
        return jnp.full((), batch.x.shape[0], jnp.float32)
    return jnp.sum(jnp.any(batch.mask, axis=tuple(range(1, batch.mask.ndim)))).astype(jnp.float32)


def mean_examples(values: Array, batch: Batch) -> Array:
    """Averages (n,) over the examples that have at least one observed element.

    Example:
        >>> mean_examples(jnp.array([4.0, 0.0]), Batch(jnp.zeros((2, 3)), mask=jnp.array([True, False])))
        Array(4., dtype=float32)
    """
    if batch.mask is None:
        return jnp.mean(values)
    seen = jnp.any(batch.mask, axis=tuple(range(1, batch.mask.ndim)))
    return jnp.sum(jnp.where(seen, values, 0)) / jnp.maximum(jnp.sum(seen), 1)


def mse_elements(x: Array, reconstruction: Array, batch: Batch) -> Array:
    """The mean squared error per observed element of a batch.

    Example:
        >>> mse_elements(jnp.ones((1, 2)), jnp.zeros((1, 2)), Batch(jnp.ones((1, 2))))
        Array(1., dtype=float32)
    """
    mask = observed(batch)
    error = jnp.square(x - reconstruction)
    if mask is None:
        return jnp.mean(error)
    weight = jnp.broadcast_to(mask, error.shape)
    return jnp.sum(jnp.where(weight, error, 0)) / jnp.maximum(jnp.sum(weight), 1)
