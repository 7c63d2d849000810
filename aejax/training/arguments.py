"""The arguments of ``fit``, checked before anything is compiled: data and plan, hyperparameters, key, variables."""

import functools
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import (
    Algorithm,
    Array,
    ArrayLike,
    Batch,
    Drawn,
    PyTree,
    Rows,
    Source,
    Stream,
    Variables,
)
from aejax.data.batches import RowsLike, as_batch
from aejax.kernels import hoisting
from aejax.training.plans import Data, Keys, Plan, steps_for, training_rows, validation_rows
from aejax.training.sources import take

_LEARNING_RATE = 1e-3


def check_key(key: Array) -> Array:
    """The key, or the stack of keys.

    Raises:
        ValueError: no PRNG key.

    Example:
        >>> check_key(1)
        Traceback (most recent call last):
        ValueError: key: found 1, expected a PRNG key such as jax.random.key(0)
    """
    dtype = getattr(key, "dtype", None)
    if dtype is None or not (jnp.issubdtype(dtype, jax.dtypes.prng_key) or (dtype == jnp.uint32 and key.ndim > 0)):
        found = key if dtype is None else f"an array of type {dtype} and shape {key.shape}"
        raise ValueError(f"key: found {found}, expected a PRNG key such as jax.random.key(0)")
    return key


def refuse_with_an_algorithm(**options: object) -> None:
    """An Algorithm has its optimizer already, and its hyperparameters hold the rest.

    Raises:
        ValueError: one of the options is not None.
    """
    for name, value in options.items():
        if value is not None:
            instead = (
                f"give hparams=algorithm.hparams._replace({name}=...)"
                if name == "learning_rate"
                else "give it where the Algorithm is made, such as aejax.training.algorithms.minimise"
            )
            raise ValueError(
                f"{name}: found one with an Algorithm, expected it with a Model or an Adversary only; {instead}"
            )


def learning_rate_of(value: float | Array | None) -> Array:
    """The learning rate as an array, 1e-3 for None.

    Raises:
        ValueError: no number, or a negative one.

    Example:
        >>> float(learning_rate_of(0.5))
        0.5
    """
    rate = _numbers("learning_rate", _LEARNING_RATE if value is None else value)
    if rate.ndim:
        raise ValueError(
            f"learning_rate: found {value}, expected one number; several are trained by "
            'aejax.sweep(..., over={"learning_rate": [...]})'
        )
    # Inside a traced call there is no value to check.
    if not isinstance(rate, jax.core.Tracer) and not jax.device_get(rate) >= 0:
        raise ValueError(f"learning_rate: found {value}, expected at least 0")
    return rate


def hparams_as_arrays(hparams: PyTree) -> PyTree:
    """The hyperparameters as float32 arrays.

    Args:
        hparams: pytree of numbers, arrays, and lists of numbers, each of which is one hyperparameter.

    Returns:
        The same tree of arrays.

    Raises:
        ValueError: something that is no number; the message says where.

    Example:
        >>> hparams_as_arrays({"sensor_weights": [0.5, 1.0], "beta": 1})["sensor_weights"].shape
        (2,)
    """
    return jax.tree.map_with_path(
        lambda path, value: _numbers(f"hparams: {_name(path)}", value),
        hparams,
        is_leaf=lambda value: isinstance(value, list),
    )


def hparams_over(hparams: PyTree, over: Mapping[str, ArrayLike]) -> PyTree:
    """Hyperparameters with a leading axis of settings.

    Args:
        hparams: pytree of arrays.
        over: the values of some of them by name, each (settings, ...): ``{"beta": [0.5, 1.0]}``. A name is that of the
            field; where several have it, with those around it, as in ``model.beta``.

    Returns:
        The same tree, each array with a leading axis of one length.

    Raises:
        ValueError: no such hyperparameter, several of that name, values of several lengths or of another shape.

    Example:
        >>> hparams = {"learning_rate": jnp.float32(1e-3), "model": {"beta": jnp.float32(1.0)}}
        >>> hparams_over(hparams, {"beta": [0.5, 1.0]})["learning_rate"].shape
        (2,)
    """
    if not over:
        raise ValueError('over: found nothing, expected values by name, such as {"learning_rate": [1e-3, 3e-3]}')
    paths = [_name(path) for path, _ in jax.tree.leaves_with_path(hparams)]
    chosen = {_found(name, paths): _numbers(f"over: {name}", values) for name, values in over.items()}
    lengths = {values.shape[:1] for values in chosen.values()}
    if len(lengths) > 1 or () in lengths:
        shapes = ", ".join(f"{name} {values.shape}" for name, values in chosen.items())
        raise ValueError(f"over: found shapes {shapes}, expected lists of one length")
    ((num_settings,),) = lengths

    def spread(path: PyTree, value: Array) -> Array:
        values = chosen.get(_name(path))
        if values is None:
            return jnp.broadcast_to(value, (num_settings, *value.shape))
        if values.shape[1:] != value.shape:
            raise ValueError(
                f"over: {_name(path)}: found shape {values.shape}, expected {(num_settings, *value.shape)}, a value "
                "for each setting"
            )
        return values

    return jax.tree.map_with_path(spread, hparams)


def _found(name: str, paths: list[str]) -> str:
    if name in paths:
        return name
    matching = [path for path in paths if path.endswith(f".{name}")]
    if len(matching) != 1:
        raise ValueError(f"over: found {name!r}, expected one of {', '.join(matching or paths)}")
    return matching[0]


def _name(path: PyTree) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def check_variables(
    variables: Variables, algorithm: Algorithm, axes: tuple[str, ...], key: Array, row: Batch, hparams: PyTree
) -> None:
    """Compares the shapes of variables to begin from with those that the algorithm would draw.

    Raises:
        ValueError: they differ; the message names the first that does.
    """
    one_key = key[0] if "key" in axes else key
    one_hparams = jax.tree.map(lambda leaf: leaf[0], hparams) if "hparams" in axes else hparams
    drawn = jax.eval_shape(algorithm.init, one_key, row, one_hparams).variables
    members = (key.shape[0],) if "key" in axes else ()
    expected = {jax.tree_util.keystr(path): members + leaf.shape for path, leaf in jax.tree.leaves_with_path(drawn)}
    found = {jax.tree_util.keystr(path): jnp.shape(leaf) for path, leaf in jax.tree.leaves_with_path(variables)}
    for name in [*expected, *found]:
        if found.get(name) != expected.get(name):
            raise ValueError(
                f"variables: {name}: found {found.get(name, 'nothing')}, expected {expected.get(name, 'nothing')}"
                + (", one for each key" if members else "")
            )


def data_and_plan(
    source: Source,
    validation: float | RowsLike,
    num_epochs: int,
    batch_size: int,
    patience: int | None,
    steps_per_epoch: int | None,
) -> tuple[Data, Plan]:
    """Checks the options, and says what of them is static.

    Args:
        source: the Source; of a Stream the data are moved to the device later.
        validation: a share of its rows, or rows of their own.
        num_epochs: as in ``fit``.
        batch_size: likewise.
        patience: likewise.
        steps_per_epoch: likewise; one pass over the rows if None.

    Returns:
        The Data and the Plan.

    Raises:
        ValueError: an option out of range, or validation rows of other shapes than the data.
    """
    for name, value in (
        ("num_epochs", num_epochs),
        ("batch_size", batch_size),
        ("patience", patience),
        ("steps_per_epoch", steps_per_epoch),
    ):
        if value is not None and not (isinstance(value, numbers.Integral) and value >= 1):
            raise ValueError(f"{name}: found {value}, expected a positive whole number")
    num_rows = source.num_rows if isinstance(source, Rows) else 0
    held_out, num_validation = None, 0
    if not isinstance(validation, Batch) and np.ndim(validation) == 0:
        share = _share(validation)
        if share > 0 and not num_rows:
            raise ValueError(
                f"validation: found {validation}, expected validation rows, or 0 for none: there is no number of "
                "rows to take a share of"
            )
        num_validation = round(share * num_rows)
        if share > 0 and num_rows > 1:
            num_validation = min(max(num_validation, 1), num_rows - 1)
    else:
        held_out = as_batch(validation)
        num_validation = held_out.x.shape[0]
        if isinstance(source, Rows):
            _check_alike(jax.eval_shape(source.take, source.arrays, jax.ShapeDtypeStruct((1,), jnp.int32)), held_out)
    if patience is not None and num_validation == 0:
        raise ValueError("patience: early stopping needs validation rows; give validation=0.1 or more rows")
    steps_per_pass = source.steps_per_pass if isinstance(source, Stream) else 0
    if not (num_rows or steps_per_pass) and steps_per_epoch is None:
        raise ValueError(
            "steps_per_epoch: found None, expected a number of steps: this source has no last row, at which an epoch "
            "would end"
        )
    plan = Plan(
        num_epochs=num_epochs,
        steps_per_epoch=steps_per_epoch or steps_per_pass or 1,
        batch_size=batch_size,
        num_rows=num_rows,
        num_validation=num_validation,
        split="random" if held_out is None else "given",
        patience=patience,
        source="rows" if isinstance(source, Rows) else "drawn" if isinstance(source, Drawn) else "stream",
        read=source.take if isinstance(source, Rows) else source.draw if isinstance(source, Drawn) else take,
        hoist=hoisting.is_on(),
    )
    if num_rows:
        plan = plan._replace(batch_size=min(batch_size, plan.num_train))
        plan = plan._replace(steps_per_epoch=steps_per_epoch or steps_for(plan.num_train, plan.batch_size))
    return Data(() if isinstance(source, Stream) else source.arrays, held_out), plan


def check_observed(data: Data, plan: Plan, keys: Keys) -> None:
    """Training and validation rows have something to be measured by.

    Where nothing is observed a loss is 0, which no later epoch would better: the first one would be kept for ever.

    Args:
        data: the Data.
        plan: the Plan.
        keys: the Keys of the run, each with a leading axis of members where there are several.

    Raises:
        ValueError: nothing is observed in the one or the other.
    """
    seen = _is_seen(data.train) if isinstance(data.train, Batch) else None
    validation = seen if data.validation is None else _is_seen(data.validation)
    for name, is_seen, numbers_of, count in (
        ("x", seen, training_rows, plan.num_train),
        ("validation", validation, validation_rows, plan.num_validation),
    ):
        if is_seen is None or is_seen.all() or not count:
            continue
        rows = jax.device_get(_numbers_of(numbers_of, plan, count, keys_ndim(keys.split), keys))
        if not is_seen[rows].any(axis=-1).all():
            what = "training" if name == "x" else "validation"
            raise ValueError(
                f"{name}: found no observed value of a weight above 0 in the {count} {what} row(s), "
                "expected at least one; give rows in which something was measured"
            )


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _numbers_of(rows: Callable[[Plan, Keys, Array], Array], plan: Plan, count: int, num_axes: int, keys: Keys) -> Array:
    """The numbers of all training or validation rows of each member, with its axes."""

    def function(keys: Keys) -> Array:
        return rows(plan, keys, jnp.arange(count, dtype=jnp.int32))

    for _ in range(num_axes):
        function = jax.vmap(function)
    return function(keys)


def _is_seen(batch: Batch) -> np.ndarray | None:
    """(n,), whether anything in a row counts; None where everything does."""
    if batch.mask is None and batch.weight is None:
        return None
    shape = batch.x.shape
    counts = np.ones(shape, bool)
    if batch.mask is not None:
        mask = np.asarray(jax.device_get(batch.mask))
        counts &= mask.reshape(mask.shape + (1,) * (len(shape) - mask.ndim))
    if batch.weight is not None:
        counts &= np.asarray(jax.device_get(batch.weight)) > 0
    return np.asarray(counts.reshape(len(counts), -1).any(axis=1))


def keys_ndim(key: Array) -> int:
    """The leading axes of a key or a stack of keys, typed or of the older kind (which has one more).

    Example:
        >>> keys_ndim(jax.random.split(jax.random.key(0), 3)), keys_ndim(jax.random.PRNGKey(0))
        (1, 0)
    """
    return jnp.ndim(key) - (0 if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else 1)


def _share(validation: Any) -> float:
    try:
        share = float(validation)
    except (TypeError, ValueError):
        share = -1.0
    if not 0 <= share < 1:
        raise ValueError(f"validation: found {validation}, expected a share in [0, 1) or the rows")
    return share


def _numbers(name: str, value: ArrayLike) -> Array:
    try:
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value)):
            return jnp.asarray(value, jnp.float32)
        return jax.device_put(np.asarray(jax.device_get(value), np.float32))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: found {value!r}, expected a number or an array of numbers") from error


def _check_alike(x: Batch, validation: Batch) -> None:
    """Validation rows have the shapes of the rows that are trained on."""
    if x.x.shape[1:] != validation.x.shape[1:]:
        raise ValueError(f"validation: found event shape {validation.x.shape[1:]}, expected {x.x.shape[1:]} as in x")
    for name in ("target", "cond", "weight"):
        first, second = getattr(x, name), getattr(validation, name)
        if (first is None) != (second is None):
            raise ValueError(f"validation: {name} must be given for both x and validation, or for neither")
        if first is not None and first.shape[1:] != second.shape[1:]:
            raise ValueError(
                f"validation: {name}: found shape {second.shape}, expected (rows, "
                f"{', '.join(map(str, first.shape[1:]))}) as beside x"
            )
