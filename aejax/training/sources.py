"""Where the batches of a run come from: rows by number, rows drawn by a key, or batches that the host makes."""

import itertools
from collections.abc import Callable, Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from aejax.base import Array, Batch, Draw, Drawn, PyTree, Rows, Stream
from aejax.data.batches import RowsLike, as_batch
from aejax.training.meshes import placed, placed_block


def rows(x: RowsLike) -> Rows:
    """Rows by number, on the device: what ``fit`` makes of an array.

    Args:
        x: (n, *event) array, NaN where a value is missing, or a Batch.

    Returns:
        The Source.

    Raises:
        ValueError: as for ``as_batch``.

    Example:
        >>> rows([[1.0], [2.0]]).num_rows
        2
    """
    batch = as_batch(x)
    return Rows(batch, take, batch.x.shape[0])


def drawn(draw: Draw, arrays: PyTree = ()) -> Drawn:
    """Rows that are drawn afresh in each step, inside the compiled program.

    Step t of a run draws by a key of its own, so what it sees depends on the run's key and on t alone.

    Args:
        draw: (arrays, key, num_rows) -> Batch of so many rows; a pure function of JAX. Hand the very same function in
            again for a second run: another one is compiled anew.
        arrays: what is drawn from, a pytree of arrays. What the function closes over goes into the program instead.

    Returns:
        The Source, for ``fit(key, model, source, num_epochs=..., steps_per_epoch=...)``.

    Example:
        >>> import aejax
        >>> def noise(arrays, key, num_rows):
        ...     return aejax.Batch(jax.random.normal(key, (num_rows, 5)))
        >>> model = aejax.models.autoencoder((5,), 2, hidden_dims=(8,))
        >>> options = {"num_epochs": 2, "steps_per_epoch": 10, "validation": 0}
        >>> aejax.fit(jax.random.key(0), model, drawn(noise), **options).history["loss"].shape
        (2,)
    """
    return Drawn(jax.tree.map(jnp.asarray, arrays), draw)


def stream(batches: Callable[[int], Iterable[RowsLike]] | Iterator[RowsLike]) -> Stream:
    """Batches that the host makes, one for each step, and moves to the device while earlier ones are computed.

    Args:
        batches: (step) -> the batches from that step on, without an end; each an (n, *event) array, NaN where missing,
            or a Batch, all of one size. Or an iterator: a run that is resumed passes over the batches that it has seen,
            so it must begin anew and give the same ones again.

    Returns:
        The Source, for ``fit(key, model, source, num_epochs=..., steps_per_epoch=...)``.

    Example:
        >>> def batches(step):
        ...     while True:
        ...         yield np.random.default_rng([7, step]).normal(size=(64, 5))
        ...         step += 1
        >>> next(stream(batches).batches(3)).x.shape
        (64, 5)
    """
    if callable(batches):
        begin = batches
        return Stream(lambda step: map(_complete, begin(step)), lambda: _complete(_first(begin(0))))
    first = _first(batches)
    whole = itertools.chain([first], batches)
    return Stream(lambda step: map(_complete, itertools.islice(whole, step, None)), lambda: _complete(first))


def take(arrays: Batch, rows: Array) -> Batch:
    """The rows of a Batch by number."""
    # They are known to be in range; "clip" spares the default mode's check against it.
    return jax.tree.map(lambda array: jnp.take(array, rows, axis=0, mode="clip"), arrays)


def _first(batches: Iterable[RowsLike]) -> RowsLike:
    for batch in batches:
        return batch
    raise ValueError("stream: found no batch at all, expected batches without an end")


def _complete(x: RowsLike) -> Batch:
    """A Batch that has a mask whether or not something is missing, so that all batches are of one structure."""
    batch = as_batch(x)
    return batch if batch.mask is not None else batch._replace(mask=jnp.ones(batch.x.shape, bool))


class Blocks:
    """The batches of a Stream on the device, a block of steps at a time, the next one on its way.

    Args:
        source: the Stream.
        step: the first step.
        last_step: the step behind the last one.
        most_steps: that a block may have.
        mesh: the devices that share the rows of a batch; None for one.

    Raises:
        ValueError: the stream ends too early, or a batch has another shape than the first.
    """

    # Of a block: enough that its transfer costs nothing, and little beside what is computed.
    _BYTES = 16 * 2**20

    def __init__(self, source: Stream, step: int, last_step: int, most_steps: int, mesh: Mesh | None = None):
        self._mesh = mesh
        self._batches, self._first, self._last = source.batches(step), step, last_step
        self._like = source.first()
        num_bytes = sum(array.nbytes for array in jax.tree.leaves(self._like))
        self._length = max(1, min(most_steps, self._BYTES // max(1, num_bytes)))
        self._now = self._read(step)
        self._then: PyTree = None

    def at(self, step: int) -> tuple[PyTree, int]:
        """What the engine reads from at a step, and the step at which it ends."""
        if step == self._first + self._length:
            self.prepare()
            self._first, self._now, self._then = step, self._then, None
        return self._now, self._first + self._length

    def prepare(self) -> None:
        """Reads the next block and begins to move it, where that has not been done."""
        if self._then is None and self._first + self._length < self._last:
            self._then = self._read(self._first + self._length)

    def _read(self, first: int) -> tuple[Array, Batch]:
        num_steps = max(0, min(self._length, self._last - first))
        batches = [self._next(first + index) for index in range(num_steps)]
        # Those after the last step are never used: all blocks have one shape.
        batches += [self._like] * (self._length - num_steps)
        return on_device(first, batches, self._mesh)

    def _next(self, step: int) -> Batch:
        try:
            batch = next(self._batches)
        except StopIteration:
            raise ValueError(
                f"stream: found its end before step {step}, expected batches without an end; begin again from the "
                "first, or train for fewer steps"
            ) from None
        if _describe(batch) != _describe(self._like):
            raise ValueError(
                f"stream: found a batch of {_describe(batch)} in step {step}, expected {_describe(self._like)} as in "
                "the first; leave out the rest, or fill it up"
            )
        return batch


def on_device(first: int, batches: list[Batch], mesh: Mesh | None = None) -> tuple[Array, Batch]:
    """What the engine reads from: the number of a step, and the batches from that step on, stacked."""
    stacked = jax.tree.map(lambda *arrays: np.stack(jax.device_get(arrays)), *batches)
    return placed(mesh, np.int32(first)), placed_block(mesh, stacked)


def _describe(batch: Batch) -> str:
    return ", ".join(f"{name} {field.shape}" for name, field in batch._asdict().items() if field is not None)
