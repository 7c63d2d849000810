"""Running a function of a model over any number of rows, block by block."""

import functools
from collections.abc import Callable, Hashable

import jax
import numpy as np

from aejax.base import Batch, PyTree
from aejax.data.batches import RowsLike, as_arrays, as_batch

_BLOCK = 16384


def over_rows(
    function: Callable[..., PyTree], model: Hashable, arguments: PyTree, x: RowsLike, **options: Hashable
) -> PyTree:
    """Applies a compiled function to rows, in blocks that bound the memory it takes.

    The last block is padded to a power of two, so that tables of any length share a handful of compiled programs.

    Args:
        function: (model, arguments, batch, **options) -> pytree of (n, ...) arrays, defined once at module level.
        model: the Model or Adversary, or whatever the function belongs to; hashable.
        arguments: a pytree that each block is given, such as the variables.
        x: (n, *event) array, NaN where missing, or a Batch.
        **options: what else the function takes; static, as the model is.

    Returns:
        The pytree as NumPy arrays, n rows each.

    Raises:
        ValueError: no rows, infinite values, or an event shape that does not fit the model.
    """
    rows = as_arrays(x)
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((arguments, rows))):
        raise ValueError("x: found a traced array, expected numbers; inside jit call the model's functions themselves")
    # What the arrays hold is checked block by block, while it is in the cache.
    rows, arguments = jax.device_get(rows), jax.device_put(arguments)
    num_rows = len(rows.x)
    blocks: list[PyTree] = []
    running = None
    for begin in range(0, num_rows, _BLOCK):
        result = _compiled(function, model, tuple(options.items()), arguments, _block(rows, begin))
        # The block before is fetched while this one is computed.
        if running is not None:
            blocks.append(jax.device_get(running))
        running = result
    blocks.append(jax.device_get(running))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:num_rows], *blocks)


def _block(rows: Batch, begin: int) -> Batch:
    """The rows from ``begin`` on; the last block is filled up with its own rows to a power of two."""
    block = jax.tree.map(lambda array: array[begin : begin + _BLOCK], rows)
    num_rows = len(block.x)
    if num_rows < _BLOCK:
        order = np.resize(np.arange(num_rows), 1 << (num_rows - 1).bit_length())
        block = jax.tree.map(lambda array: array[order], block)
    return as_batch(block)


@functools.partial(jax.jit, static_argnames=("function", "model", "options"))
def _compiled(
    function: Callable[..., PyTree],
    model: Hashable,
    options: tuple[tuple[str, Hashable], ...],
    arguments: PyTree,
    batch: Batch,
) -> PyTree:
    return function(model, arguments, batch, **dict(options))
