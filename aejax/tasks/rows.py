"""Running a function of a model over any number of rows, block by block."""

import collections
import functools
import math
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import NamedTuple

import jax
import numpy as np

from aejax.base import Array, Batch, PyTree
from aejax.data.batches import RowsLike, as_arrays, as_batch, as_sent, checked, findings_of, send


class _Sizes(NamedTuple):
    """How much a block holds: so many rows, or fewer whose elements are together at most so many."""

    rows: int
    elements: int


# On a CPU so many that they stay in its cache, elsewhere so many that starting a program costs nothing.
_SIZES = {"cpu": _Sizes(2**14, 2**22), "other": _Sizes(2**18, 2**24)}
# How many blocks are on their way to an accelerator at once, each copied by a thread, and how many results back.
_BLOCKS_AHEAD, _RESULTS_BEHIND = 8, 2


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
    run = functools.partial(_compiled, function, model, tuple(options.items()), arguments)
    parts = _blocks(rows, rows_at_once(math.prod(rows.x.shape[1:])))
    results = _in_turn(run, parts) if jax.default_backend() == "cpu" else _Conveyor(run).results(parts)
    return jax.tree.map(lambda *blocks: np.concatenate(blocks)[:num_rows], *results)


def rows_at_once(num_elements: int) -> int:
    """How many rows ``over_rows`` takes at a time on this backend, a power of two.

    What it gives of a row depends, in its last bits, on the rows beside: parts of many rows that begin at a multiple of
    this number give what all of them give.

    Args:
        num_elements: of a row.

    Returns:
        The number of rows.

    Example:
        >>> rows_at_once(52), rows_at_once(224 * 224 * 3)
        (16384, 16)
    """
    sizes = _SIZES.get(jax.default_backend(), _SIZES["other"])
    most = max(1, sizes.elements // max(1, num_elements))
    return min(sizes.rows, 1 << (most.bit_length() - 1))


def _in_turn(run: Callable[[Batch], PyTree], blocks: Iterable[Batch]) -> Iterator[PyTree]:
    """Results on a CPU, which checks what a block holds while it is in the cache."""
    running = None
    for block in blocks:
        result = run(as_batch(block))
        # The block before is fetched while this one is computed.
        if running is not None:
            yield jax.device_get(running)
        running = result
    yield jax.device_get(running)


class _Running(NamedTuple):
    """A block that is being computed.

    Attributes:
        rows: on the device, as they were sent.
        findings: of these rows, on their way back.
        has_gaps: whether it is computed as rows with gaps.
        result: on its way back; None where it is not yet computed.
    """

    rows: Batch
    findings: dict[str, Array]
    has_gaps: bool
    result: PyTree


class _Conveyor:
    """Results on an accelerator: nothing is waited for while something else can be on its way.

    Whether a block has gaps is known only when it was looked at there. It is computed as the one before turned out to
    be, and anew where that was wrong.
    """

    def __init__(self, run: Callable[[Batch], PyTree]):
        self._run, self._has_gaps = run, False

    def results(self, blocks: Iterable[Batch]) -> Iterator[PyTree]:
        """The results of the blocks, in their order."""
        moving: collections.deque[Batch] = collections.deque()
        running: collections.deque[_Running] = collections.deque()
        for block in blocks:
            moving.append(send(block))
            if len(moving) > _BLOCKS_AHEAD:
                running.append(self._begun(moving.popleft()))
            if len(running) > _RESULTS_BEHIND:
                yield self._ended(running.popleft())
        running.extend(map(self._begun, moving))
        yield from map(self._ended, running)

    def _begun(self, rows: Batch) -> _Running:
        # JAX would take the NaN of a gap for an error.
        guesses = not jax.config.jax_debug_nans  # type: ignore[attr-defined]
        findings = findings_of(rows)
        result = self._run(as_sent(rows, self._has_gaps)) if guesses else None
        for array in jax.tree.leaves((findings, result)):
            array.copy_to_host_async()
        return _Running(rows, findings, self._has_gaps, result)

    def _ended(self, block: _Running) -> PyTree:
        self._has_gaps = checked(block.rows, block.findings)
        if block.result is None or self._has_gaps != block.has_gaps:
            return jax.device_get(self._run(as_sent(block.rows, self._has_gaps)))
        return jax.device_get(block.result)


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
