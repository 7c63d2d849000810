"""What ``fit`` is handed, checked before anything is compiled: data and plan, hyperparameters, key, variables."""

import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Adversary, Algorithm, Array, Batch, Model, Objective, Variables
from aejax.batches import as_batch
from aejax.training import engine

_LEARNING_RATE = 1e-3


def check_key(key: Any) -> Array:
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


def refuse_with_an_algorithm(**options: Any) -> None:
    """An Algorithm was made with its optimizer, and what it is to be trained with stands in its hyperparameters.

    Raises:
        ValueError: one of the options is not None.
    """
    for name, value in options.items():
        if value is not None:
            instead = (
                f"give hparams=algorithm.hparams._replace({name}=...)"
                if name == "learning_rate"
                else "give it where the Algorithm is made, such as aejax.algorithms.minimise"
            )
            raise ValueError(
                f"{name}: found one with an Algorithm, expected it with a Model or an Adversary only; {instead}"
            )


def learning_rate_of(value: Any) -> Array:
    """The learning rate as an array, 1e-3 for None.

    Raises:
        ValueError: no numbers, or negative ones.

    Example:
        >>> learning_rate_of([1e-3, 1e-2]).shape
        (2,)
    """
    rate = _numbers("learning_rate", _LEARNING_RATE if value is None else value)
    if not bool((rate >= 0).all()):
        raise ValueError(f"learning_rate: found {value}, expected at least 0")
    return rate


def hparams_of(model: Objective | Model | Adversary | Algorithm, hparams: Any) -> Any:
    """The hyperparameters of a Model, an Adversary or an Algorithm: its defaults for None.

    Raises:
        ValueError: they are of another type than the defaults.
    """
    if hparams is None:
        return model.hparams
    expected = type(model.hparams)
    if not isinstance(hparams, expected):
        raise ValueError(
            f"hparams: found {type(hparams).__name__} {hparams!r}, expected {expected.__name__} as in the model; give "
            "model.hparams._replace(...)"
        )
    return hparams


def leading_axes(key: Array, hparams: Any) -> tuple[tuple[str, ...], Any]:
    """The axes that the run is mapped over, and the hyperparameters as arrays that all have theirs.

    Args:
        key: one PRNG key or a stack of them.
        hparams: pytree of numbers, arrays and lists of numbers.

    Returns:
        The axes as ``engine.start`` takes them, and the hyperparameters.

    Raises:
        ValueError: several lengths, or more than one axis.

    Example:
        >>> axes, hparams = leading_axes(jax.random.key(0), {"beta": [0.5, 1.0], "learning_rate": 1e-3})
        >>> axes, hparams["learning_rate"].shape
        (('hparams',), (2,))
    """
    key_ndim = jnp.ndim(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jnp.ndim(key) - 1
    if key_ndim not in (0, 1):
        raise ValueError(f"key: found shape {key.shape}, expected one PRNG key or a stack of them, (members,)")
    hparams = jax.tree.map_with_path(
        lambda path, value: _numbers(f"hparams: {jax.tree_util.keystr(path, simple=True, separator='.')}", value),
        hparams,
        is_leaf=lambda value: isinstance(value, list),
    )
    lengths = {leaf.shape for leaf in jax.tree.leaves(hparams)} - {()}
    if len(lengths) > 1 or any(len(shape) != 1 for shape in lengths):
        raise ValueError(f"hparams: found arrays of shapes {sorted(lengths)}, expected scalars or arrays of one length")
    key_axes = ("key",) if key_ndim else ()
    if not lengths:
        return key_axes, hparams
    (shape,) = lengths
    return ("hparams", *key_axes), jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, shape), hparams)


def check_variables(
    variables: Variables, algorithm: Algorithm, axes: tuple[str, ...], key: Array, data: Batch, hparams: Any
) -> None:
    """Compares the shapes of variables to begin from with those that the algorithm would draw.

    Raises:
        ValueError: they differ; the message names the first that does.
    """
    one_key = key[0] if "key" in axes else key
    one_hparams = jax.tree.map(lambda leaf: leaf[0], hparams) if "hparams" in axes else hparams
    drawn = jax.eval_shape(algorithm.init, one_key, data, one_hparams).variables
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
    data: Batch, validation: Any, num_epochs: int, batch_size: int, patience: int | None
) -> tuple[Batch, engine.Plan]:
    """Checks the options and puts the validation rows behind the others where they were given as rows.

    Args:
        data: the rows, from ``as_batch``.
        validation: a share of them, or rows of their own.
        num_epochs: as in ``fit``.
        batch_size: likewise.
        patience: likewise.

    Returns:
        All rows, and the Plan.

    Raises:
        ValueError: an option out of range, or validation rows of other shapes than the data.
    """
    for name, value in (("num_epochs", num_epochs), ("batch_size", batch_size), ("patience", patience)):
        if value is not None and not (isinstance(value, numbers.Integral) and value >= 1):
            raise ValueError(f"{name}: found {value}, expected a positive whole number")
    num_rows = data.x.shape[0]
    if not isinstance(validation, Batch) and np.ndim(validation) == 0:
        share = _share(validation)
        num_validation = round(share * num_rows)
        if share > 0 and num_rows > 1:
            num_validation = min(max(num_validation, 1), num_rows - 1)
        split = "random"
    else:
        held_out = as_batch(validation)
        num_validation, split = held_out.x.shape[0], "last"
        data = _concatenate(data, held_out)
    if patience is not None and num_validation == 0:
        raise ValueError("patience: early stopping needs validation rows; give validation=0.1 or more rows")
    num_train = data.x.shape[0] - num_validation
    return data, engine.Plan(num_epochs, min(batch_size, num_train), num_validation, split, patience)  # type: ignore[arg-type]


def check_observed(data: Batch, run: engine.Run) -> None:
    """Training and validation rows have something to be measured by.

    Where nothing is observed a loss is 0, which no later epoch would better: the first one would be kept for ever.

    Args:
        data: all rows.
        run: a Run before its first epoch, which says which of them are held out.

    Raises:
        ValueError: nothing is observed in the one or the other.
    """
    if data.mask is None and data.weight is None:
        return
    counts = np.asarray(_full_mask(data))
    if data.weight is not None:
        counts = counts & np.asarray(data.weight > 0)
    is_seen = np.any(counts.reshape(len(counts), -1), axis=1, keepdims=True)[:, 0]
    for name, rows in (("x", run.train_rows), ("validation", run.validation_rows)):
        chosen = is_seen[np.asarray(rows)]  # (rows,), with the run's leading axes
        if chosen.shape[-1] and not chosen.any(axis=-1).all():
            what = "training" if name == "x" else "validation"
            raise ValueError(
                f"{name}: found no observed value of a weight above 0 in the {chosen.shape[-1]} {what} row(s), "
                "expected at least one; give rows in which something was measured"
            )


def _share(validation: Any) -> float:
    try:
        share = float(validation)
    except (TypeError, ValueError):
        share = -1.0
    if not 0 <= share < 1:
        raise ValueError(f"validation: found {validation}, expected a share in [0, 1) or the rows")
    return share


def _numbers(name: str, value: Any) -> Array:
    try:
        return jnp.asarray(value, jnp.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: found {value!r}, expected a number, or an array of numbers for a sweep") from error


def _concatenate(data: Batch, more: Batch) -> Batch:
    if data.x.shape[1:] != more.x.shape[1:]:
        raise ValueError(f"validation: found event shape {more.x.shape[1:]}, expected {data.x.shape[1:]} as in x")
    if data.mask is not None or more.mask is not None:
        data, more = (batch._replace(mask=_full_mask(batch)) for batch in (data, more))
    for name in ("target", "cond", "weight"):
        first, second = getattr(data, name), getattr(more, name)
        if (first is None) != (second is None):
            raise ValueError(f"validation: {name} must be given for both x and validation, or for neither")
        if first is not None and first.shape[1:] != second.shape[1:]:
            raise ValueError(
                f"validation: {name}: found shape {second.shape}, expected (rows, "
                f"{', '.join(map(str, first.shape[1:]))}) as beside x"
            )
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), data, more)


def _full_mask(batch: Batch) -> Array:
    if batch.mask is None:
        return jnp.ones(batch.x.shape, bool)
    mask = batch.mask.reshape(batch.mask.shape + (1,) * (batch.x.ndim - batch.mask.ndim))
    return jnp.broadcast_to(mask, batch.x.shape)
