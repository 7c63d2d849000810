"""What is static in a run, and which rows each of its steps and evaluations sees."""

import functools
import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from aejax.base import Array, Batch, PyTree
from aejax.kernels.shuffling import permuted
from aejax.training.meshes import with_numbers_whole, with_rows_spread
from aejax.training.sources import take

# What is evaluated at once: so many rows, or fewer where these have many elements.
_EVALUATION_ROWS, _EVALUATION_ELEMENTS = 4096, 2**22
# What variables may begin from, likewise.
_FIRST_ROWS, _FIRST_ELEMENTS = 16_384, 2**22
# The fewest epochs that a history has room for.
_FEWEST_EPOCHS = 128


class Plan(NamedTuple):
    """The static part of a run: shapes depend on it, so another plan is another program.

    Attributes:
        num_epochs: the most epochs that the run may take.
        steps_per_epoch: the steps after which it is validated.
        batch_size: rows a step.
        num_rows: of a source of rows by number, those held out included; 0 for other sources.
        num_validation: the rows held out; 0 for none.
        split: ``"random"`` holds out rows of the source, drawn by the run's key; ``"given"`` are rows of their own.
        patience: epochs without a better validation loss after which the run stops; None for never.
        source: the kind of the source.
        read: its ``take`` or ``draw``.
        hoist: whether what does not depend on the state is computed ahead.
        mesh: the devices; None for one, or for all of them along the members.
    """

    num_epochs: int
    steps_per_epoch: int
    batch_size: int
    num_rows: int
    num_validation: int
    split: Literal["random", "given"] = "random"
    patience: int | None = None
    source: Literal["rows", "drawn", "stream"] = "rows"
    read: Callable[..., Batch] = take
    hoist: bool = True
    mesh: Mesh | None = None

    @property
    def num_train(self) -> int:
        """The rows that are trained on."""
        return self.num_rows - (self.num_validation if self.split == "random" else 0)

    @property
    def num_steps(self) -> int:
        """The most steps that the run may take."""
        return self.num_epochs * self.steps_per_epoch

    def with_room(self) -> "Plan":
        """The same plan for more epochs, so that one program serves many numbers of them.

        Example:
            >>> plan = Plan(num_epochs=3, steps_per_epoch=2, batch_size=8, num_rows=20, num_validation=4)
            >>> plan.with_room().num_epochs, plan._replace(num_epochs=150).with_room().num_epochs
            (128, 256)
        """
        return self._replace(num_epochs=max(_FEWEST_EPOCHS, 1 << (self.num_epochs - 1).bit_length()))


class Data(NamedTuple):
    """What a run reads, on the device.

    Attributes:
        train: what the source reads from; of a stream the number of a step, and the batches from that step on.
        validation: a Batch of rows of their own; None where they are held out of the source's.
    """

    train: PyTree
    validation: Batch | None = None


class Keys(NamedTuple):
    """The keys of a run.

    Attributes:
        split: which rows are held out.
        source: the order of rows, or what is drawn.
        evaluate: of all validations alike, so that their noise does not choose the best epoch.
    """

    split: Array
    source: Array
    evaluate: Array


def steps_for(num_rows: int, batch_size: int) -> int:
    """The steps that see each row at least once.

    Example:
        >>> steps_for(100, 64)
        2
    """
    return math.ceil(num_rows / batch_size)


def batch_at(plan: Plan, keys: Keys, data: Data, step: Array) -> Batch:
    """What a step sees: a pure function of the run's keys and the step's number, spread over the mesh.

    Args:
        plan: the Plan.
        keys: the Keys.
        data: the Data.
        step: int32 scalar.

    Returns:
        The Batch of ``plan.batch_size`` rows.
    """
    return with_rows_spread(plan.mesh, _batch_at(plan, keys, data, step))


def _batch_at(plan: Plan, keys: Keys, data: Data, step: Array) -> Batch:
    if plan.source == "stream":
        first, block = data.train
        return jax.tree.map(lambda array: jax.lax.dynamic_index_in_dim(array, step - first, keepdims=False), block)
    if plan.source == "drawn":
        return plan.read(data.train, jax.random.fold_in(keys.source, step), plan.batch_size)
    steps_per_pass = steps_for(plan.num_train, plan.batch_size)
    key = jax.random.fold_in(keys.source, step // steps_per_pass)
    positions = (step % steps_per_pass) * plan.batch_size + jnp.arange(plan.batch_size, dtype=jnp.int32)
    # The last batch of a pass is filled up with its first rows, so that every step has the same shape.
    positions = jnp.where(positions < plan.num_train, positions, positions - plan.num_train)
    order = permuted(key, plan.num_train, positions)
    return plan.read(data.train, with_numbers_whole(plan.mesh, training_rows(plan, keys, order)))


def training_rows(plan: Plan, keys: Keys, index: Array) -> Array:
    """The numbers of training rows, by their index in 0 to ``num_train``."""
    return permuted(keys.split, plan.num_rows, index) if _holds_out(plan) else index


def validation_rows(plan: Plan, keys: Keys, index: Array) -> Array:
    """The numbers of validation rows, by their index in 0 to ``num_validation``."""
    return permuted(keys.split, plan.num_rows, plan.num_train + index) if _holds_out(plan) else index


def first_rows(plan: Plan, keys: Keys, data: Data) -> Batch:
    """Training rows that variables may begin from: enough of them to estimate a covariance.

    Args:
        plan: the Plan.
        keys: the Keys.
        data: the Data.

    Returns:
        The Batch: some thousand rows, fewer where they are large; the first batch of what is drawn or streams in.
    """
    if plan.source == "rows":
        one_row = jax.eval_shape(lambda: plan.read(data.train, jnp.zeros(1, jnp.int32)).x)
        num_rows = min(plan.num_train, _FIRST_ROWS, max(1, _FIRST_ELEMENTS // max(1, one_row.size)))
        return plan.read(data.train, training_rows(plan, keys, jnp.arange(num_rows, dtype=jnp.int32)))
    first = data.train[0] if plan.source == "stream" else jnp.zeros((), jnp.int32)
    return batch_at(plan, keys, data, first)


def batch_shapes(plan: Plan, data: Data) -> Batch:
    """The shapes and types of what a step sees, as ``jax.ShapeDtypeStruct``."""
    leaves, structure = jax.tree.flatten(data.train)
    return _batch_shapes(plan, structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves))


def num_evaluation_blocks(plan: Plan, data: Data) -> int:
    """The blocks that validation rows are evaluated in, which bounds the memory that they take."""
    if not plan.num_validation:
        return 0
    one_row = jax.eval_shape(lambda data: held_out_rows(plan, data, jnp.zeros(1, jnp.int32)).x, data)
    rows = max(plan.batch_size, min(_EVALUATION_ROWS, _EVALUATION_ELEMENTS // max(1, one_row.size)))
    return math.ceil(plan.num_validation / rows)


def held_out_rows(plan: Plan, data: Data, rows: Array) -> Batch:
    """Validation rows by their numbers, from the training rows or from rows of their own, spread over the mesh."""
    if plan.split == "random":
        return with_rows_spread(plan.mesh, plan.read(data.train, rows))
    assert data.validation is not None
    return with_rows_spread(plan.mesh, take(data.validation, rows))


def _holds_out(plan: Plan) -> bool:
    return plan.split == "random" and plan.num_validation > 0


@functools.lru_cache(maxsize=128)
def _batch_shapes(plan: Plan, structure: PyTree, leaves: tuple[tuple[tuple[int, ...], object], ...]) -> Batch:
    arrays = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*leaf) for leaf in leaves])
    if plan.source == "stream":
        return jax.tree.map(lambda block: jax.ShapeDtypeStruct(block.shape[1:], block.dtype), arrays[1])
    if plan.source == "drawn":
        return jax.eval_shape(lambda arrays, key: plan.read(arrays, key, plan.batch_size), arrays, jax.random.key(0))
    return jax.eval_shape(plan.read, arrays, jax.ShapeDtypeStruct((plan.batch_size,), jnp.int32))
