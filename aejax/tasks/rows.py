"""Running a function of a model over any number of rows, block by block."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Adversary, Batch, Model, as_batch

_BLOCK = 16384


def over_rows(function: Callable[[Any, Any, Batch], Any], model: Model | Adversary, arguments: Any, x: Any) -> Any:
    """Applies a compiled function to rows, in blocks that bound the memory it takes.

    A block is padded to a power of two, so that tables of any length share a handful of compiled programs.

    Args:
        function: (model, arguments, batch) -> pytree of (n, ...) arrays, defined once at module level.
        model: the Model or Adversary.
        arguments: a pytree that each block is handed, such as the variables.
        x: (n, *event) array, NaN where missing, or a Batch.

    Returns:
        The pytree as NumPy arrays, n rows each.

    Raises:
        ValueError: no rows, infinite values, or an event shape that does not fit the model.
    """
    batch = as_batch(x)
    num_rows = batch.x.shape[0]
    blocks = []
    for begin in range(0, num_rows, _BLOCK):
        rows = jnp.arange(begin, min(begin + _BLOCK, num_rows))
        size = 1 << (len(rows) - 1).bit_length()
        padded = jnp.resize(rows, (size,))
        block = jax.tree.map(lambda array, padded=padded: array[padded], batch)
        result = _compiled(function, model, arguments, block)
        num = len(rows)
        blocks.append([np.asarray(array)[:num] for array in jax.tree.leaves(result)])
    leaves = [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
    return jax.tree.unflatten(jax.tree.structure(result), leaves)


@functools.partial(jax.jit, static_argnames=("function", "model"))
def _compiled(function: Any, model: Any, arguments: Any, batch: Batch) -> Any:
    return function(model, arguments, batch)
