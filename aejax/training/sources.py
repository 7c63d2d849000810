"""Where the batches of a run come from: rows by number, here or in files, rows drawn by a key, batches of the host."""

import functools
import hashlib
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from aejax.base import Array, Batch, Draw, Drawn, PyTree, Rows, Stream
from aejax.data.batches import RowsLike, as_batch
from aejax.data.orders import seed_of
from aejax.data.stored import Stored, stored_array
from aejax.training.meshes import placed, placed_block
from aejax.training.windows import Window, ahead, lanes, read_window, windows_from

# The way in which a step finds its rows; it gets another number whenever that changes.
_ORDER = "order 2"


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


def stored_rows(
    key: Array,
    rows: Stored | np.ndarray,
    batch_size: int = 64,
    *,
    transform: Callable[[np.ndarray], Batch] | None = None,
    window_bytes: int = 1 << 25,
) -> Stream:
    """Rows that lie in files or in a memory map, of which no more is held than two windows.

    Each pass over the rows sees each of them once, in an order that the key tells: groups of rows at random, and rows
    at random within a window of as many groups as ``window_bytes`` hold. A batch may end one pass and begin the next.
    So what step t sees follows from the key and t, and a run that is resumed reads the window in which it stood.
    The next window is read in a thread while steps on the last one are computed.

    The rows of a batch come from up to eight parts of the pass, each with a window of its own, where as many groups fit
    into ``window_bytes``. Each of several processes reads the parts that its share of the batch comes from.

    Args:
        key: PRNG key of the order.
        rows: a ``Stored``, as ``aejax.data.stored`` makes of arrays and of parts, or an (n, *event) array that is
            sliced, such as a memory map.
        batch_size: rows a step, of all processes together.
        transform: (m, *event) rows as they lie there -> a Batch of m rows in arrays of NumPy, of one structure whatever
            the rows, such as scaled ones. It is called in a thread. float32 numbers with a mask of those that are not
            NaN if None.
        window_bytes: what a window holds, about; at least one group.

    Returns:
        The Source; it needs neither ``batch_size`` nor ``steps_per_epoch`` in ``fit``.

    Raises:
        ValueError: no rows, or a batch size that is none or does not divide among the processes. While batches are
            read: a number that is infinite, or a file that is damaged, has gone or has changed.

    Example:
        >>> import tempfile, aejax
        >>> path = tempfile.mkdtemp() + "/rows.npy"
        >>> np.save(path, np.random.default_rng(0).normal(size=(1000, 5)))
        >>> source = stored_rows(jax.random.key(1), np.load(path, mmap_mode="r"), batch_size=50)
        >>> model = aejax.models.autoencoder((5,), 2, hidden_dims=(8,))
        >>> fitted = aejax.fit(jax.random.key(0), model, source, num_epochs=2, validation=0)
        >>> fitted.history["loss"].shape, source.steps_per_pass
        ((2,), 20)
    """
    stored = rows if isinstance(rows, Stored) else stored_array(rows)
    num_processes = jax.process_count()
    if not stored.num_rows:
        raise ValueError("rows: found none, expected at least one")
    if batch_size < 1 or batch_size % num_processes:
        raise ValueError(f"batch_size: found {batch_size}, expected a positive multiple of {num_processes} processes")
    seed, groups = seed_of(key), hashlib.sha256(stored.sizes.astype(np.int64).tobytes()).hexdigest()
    make = transform or _float32
    part = batch_size // num_processes
    share = slice(part * jax.process_index(), part * (jax.process_index() + 1))

    @functools.cache
    def most_rows() -> int:
        one = make(next(values for values in stored.rows() if len(values))[:1])
        return max(1, window_bytes // max(1, sum(field.nbytes for field in jax.tree.leaves(one))))

    def read(place: tuple[Window, int], is_over: threading.Event) -> Batch:
        window, first = place
        batch = read_window(stored, window, make, is_over)
        return jax.tree.map(lambda field: field[first:], batch)

    def batches(step: int) -> Iterator[Batch]:
        all_lanes = lanes(batch_size, stored.sizes, most_rows())
        own = [lane for lane in all_lanes if lane.begin < share.stop and lane.end > share.start]
        is_over = threading.Event()
        with ThreadPoolExecutor(1, "aejax-rows") as thread:
            try:
                filled = []
                for lane in own:
                    places = windows_from(seed, stored.sizes, lane, step, max(1, most_rows() // len(all_lanes)))
                    filled.append(rebatched(ahead(places, read, thread, is_over), lane.end - lane.begin))
                here = slice(share.start - own[0].begin, share.stop - own[0].begin)
                for parts in zip(*filled, strict=True):
                    yield jax.tree.map(lambda *fields: _joined(fields)[here], *parts)
            finally:
                is_over.set()

    return Stream(
        batches,
        functools.cache(lambda: jax.tree.map(np.copy, next(batches(0)))),
        steps_per_pass=-(-stored.num_rows // batch_size),
        order=f"{_ORDER} of seed {seed}, groups of SHA-256 {groups[:12]}, windows of {window_bytes} bytes",
    )


def rebatched(parts: Iterator[Batch], batch_size: int) -> Iterator[Batch]:
    """The rows of parts of any size, so many in each batch.

    Args:
        parts: Batches of NumPy arrays, without an end.
        batch_size: rows of a batch.

    Yields:
        The batches.

    Example:
        >>> parts = (Batch(np.full((size, 1), size)) for size in itertools.count(1))
        >>> next(rebatched(parts, 4)).x[:, 0].tolist()
        [1, 2, 2, 3]
    """
    held: list[Batch] = []
    num_held = 0
    for part in parts:
        begin, num_rows = 0, len(part.x)
        while num_held + num_rows - begin >= batch_size:
            end = begin + batch_size - num_held
            last = _rows_of(part, begin, end)
            yield jax.tree.map(lambda *fields: np.concatenate(fields), *held, last) if held else last
            held, num_held, begin = [], 0, end
        if begin < num_rows:
            # A copy, so that the part is not held by its last rows.
            held.append(jax.tree.map(np.copy, _rows_of(part, begin, num_rows)))
            num_held += num_rows - begin


def take(arrays: Batch, rows: Array) -> Batch:
    """The rows of a Batch by number."""
    # They are known to be in range; "clip" spares the default mode's check against it.
    return jax.tree.map(lambda array: jnp.take(array, rows, axis=0, mode="clip"), arrays)


def _joined(fields: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(fields) if len(fields) > 1 else fields[0]


def _rows_of(batch: Batch, begin: int, end: int) -> Batch:
    return jax.tree.map(lambda field: field[begin:end], batch)


def _float32(rows: np.ndarray) -> Batch:
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
        x = rows.astype(np.float32)
    if np.isinf(x).any():
        raise ValueError(
            "x: found an infinite value, or one beyond 3.4e38, the largest of float32, expected finite numbers; write "
            "NaN where a value is missing"
        )
    mask = ~np.isnan(x)
    return Batch(np.where(mask, x, np.float32(0)), mask=mask)  # type: ignore[arg-type]  # an Array on the device


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
        """What the engine reads from at a step, and the step at which it ends.

        Behind the last step validation rows may be left to evaluate; the last block stays then.
        """
        if step == self._first + self._length and step < self._last:
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
