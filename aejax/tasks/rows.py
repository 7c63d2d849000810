"""Running a function of a model over any number of rows, block by block."""

import collections
import functools
from collections.abc import Callable, Hashable, Iterator

import jax
import numpy as np

from aejax.base import Batch, PyTree
from aejax.data.batches import RowsLike, Sent, as_arrays, as_batch, received, send

# Rows at a time: on a CPU so many that they stay in its cache, elsewhere so many that starting a program costs nothing.
_BLOCK, _BLOCK_ELSEWHERE = 16384, 262144
# How many blocks are on their way to an accelerator before the first of them is waited for.
_BLOCKS_AHEAD = 3


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
    rows, arguments = jax.device_get(rows), jax.device_put(arguments)
    num_rows = len(rows.x)
    blocks: list[PyTree] = []
    running = None
    for batch in _checked_blocks(rows):
        result = _compiled(function, model, tuple(options.items()), arguments, batch)
        # The block before is fetched while this one is computed.
        if running is not None:
            blocks.append(jax.device_get(running))
        running = result
    blocks.append(jax.device_get(running))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:num_rows], *blocks)


def rows_at_once() -> int:
    """How many rows ``over_rows`` takes at a time on this backend.

    What it gives of a row depends, in its last bits, on the rows beside: parts of many rows that begin at a multiple of
    this number give what all of them give.
    """
    return _BLOCK if jax.default_backend() == "cpu" else _BLOCK_ELSEWHERE


def _checked_blocks(rows: Batch) -> Iterator[Batch]:
    """The rows on the device, block by block.

    On a CPU what they hold is checked while it is in the cache; elsewhere on the device, while others are on their way.
    """
    if jax.default_backend() == "cpu":
        yield from (as_batch(block) for block in _blocks(rows, rows_at_once()))
        return
    ahead: collections.deque[Sent] = collections.deque()
    for block in _blocks(rows, rows_at_once()):
        ahead.append(send(block))
        if len(ahead) > _BLOCKS_AHEAD:
            yield received(ahead.popleft())
    yield from map(received, ahead)


def _blocks(rows: Batch, size: int) -> Iterator[Batch]:
    """Blocks of so many rows; the last one is filled up with its own rows to a power of two."""
    for begin in range(0, len(rows.x), size):
        block = jax.tree.map(lambda array, begin=begin: array[begin : begin + size], rows)
        num_rows = len(block.x)
        if num_rows < size:
            order = np.resize(np.arange(num_rows), 1 << (num_rows - 1).bit_length())
            block = jax.tree.map(lambda array, order=order: array[order], block)
        yield block


@functools.partial(jax.jit, static_argnames=("function", "model", "options"))
def _compiled(
    function: Callable[..., PyTree],
    model: Hashable,
    options: tuple[tuple[str, Hashable], ...],
    arguments: PyTree,
    batch: Batch,
) -> PyTree:
    return function(model, arguments, batch, **dict(options))
