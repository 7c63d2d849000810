"""What a run computes of raw rows, as traceable functions: scaling, model, gaps and limits are inside.

Columns are scaled in float64, since their offset may be a million times their spread; the model computes in float32.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Adversary, Array, Batch, Model
from aejax.data.columns import kinds
from aejax.data.columns.features import FARTHEST, decode, encode
from aejax.data.columns.scalers import is_beyond_ends, scale, unscale
from aejax.export import verdicts
from aejax.tables import config as configs
from aejax.tables.run import Run, empty_row
from aejax.tasks.reduction import check_encodes, encode_batch, reconstruct_batch

Outputs = tuple[Array, ...]


class Prepared(NamedTuple):
    """Raw rows as a model takes them.

    Attributes:
        rows: (n, columns) float64, as they were given.
        is_usable: (n,) whether all conditions are known and all values are such as the likelihood can have.
        x: (n, f) float64, scaled features; zero where missing.
        mask: (n, f) what is observed.
        cond: (n, g) float64, scaled conditions, zero where missing; None without conditions.
    """

    rows: Array
    is_usable: Array
    x: Array
    mask: Array
    cond: Array | None


class Graph(NamedTuple):
    """Three functions that follow each other, and what their results are called.

    Attributes:
        prepare: (n, columns) raw rows, float64, NaN where missing, in the units and the order of the run's columns ->
            Prepared. It is traced under ``jax.enable_x64``.
        compute: a Batch of float32 -> results of the model, float32 or whole numbers.
        finish: (raw rows, is_usable, results of the model as float64) -> one array of n rows for each output. It is
            traced under ``jax.enable_x64``.
        outputs: the names of the outputs.
        columns: of each output, the names of its columns; none for one of a single value a row.
    """

    prepare: Callable[[Array], Prepared]
    compute: Callable[[Batch], Outputs]
    finish: Callable[..., Outputs]
    outputs: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]

    def whole(self, rows: Array) -> Outputs:
        """The three functions as one."""
        prepared = self.prepare(rows)
        found = self.compute(as_batch(prepared))
        return self.finish(prepared.rows, prepared.is_usable, *(result.astype(jnp.float64) for result in found))


def as_batch(prepared: Prepared) -> Batch:
    """What the model is given."""
    cond = None if prepared.cond is None else prepared.cond.astype(jnp.float32)
    return Batch(prepared.x.astype(jnp.float32), cond=cond, mask=prepared.mask)


def graph(run: Run, task: str) -> Graph:
    """The graph of a task.

    Args:
        run: the Run.
        task: one of ``TASKS``.

    Returns:
        The Graph.

    Raises:
        ValueError: an unknown task, or one that the run's model cannot do.
    """
    if task not in TASKS:
        raise ValueError(f"tasks: found {task!r}, expected some of {', '.join(TASKS)}")
    if task != "detect":
        check_encodes(run.model)
    return TASKS[task](run)


def tasks_of(run: Run) -> tuple[str, ...]:
    """What a run's model can do: a GAN has no codes."""
    return ("detect",) if isinstance(run.model, Adversary) else tuple(TASKS)


def raw_rows(num_columns: int) -> jax.ShapeDtypeStruct:
    """What a graph is given: any number of rows."""
    (num_rows,) = jax.export.symbolic_shape("rows")
    return jax.ShapeDtypeStruct((num_rows, num_columns), np.float64)


def _encode(run: Run) -> Graph:
    def compute(batch: Batch) -> Outputs:
        return (_code(run, batch),)

    def finish(rows: Array, is_usable: Array, code: Array) -> Outputs:
        del rows
        return (_where(is_usable, code),)

    names = tuple(f"z{index + 1}" for index in range(_code_size(run)))
    return Graph(functools.partial(_prepare, run), compute, finish, ("code",), (names,))


def _reconstruct(run: Run) -> Graph:
    constant = kinds.constants(run.profile.columns)
    is_modelled = np.isin(run.source.columns, run.columns)

    def compute(batch: Batch) -> Outputs:
        return (reconstruct_batch(_coder(run), run.variables, batch),)

    def finish(rows: Array, is_usable: Array, decoded: Array) -> Outputs:
        rows_again = decode(run.profile.columns, unscale(run.scaler, decoded))
        clean = jnp.where(np.isnan(constant), rows_again, np.nan_to_num(constant))
        if not is_modelled.all():  # conditions are as they were given
            places = np.maximum(np.cumsum(is_modelled) - 1, 0)
            clean = jnp.where(is_modelled, _columns(clean, places), rows)
        return (_where(is_usable, clean),)

    return Graph(functools.partial(_prepare, run), compute, finish, ("reconstruction",), (run.source.columns,))


def _detect(run: Run) -> Graph:
    rate = run.config.false_alarm_rate

    def finish(rows: Array, is_usable: Array, score: Array, num_as_high: Array, num_normal: Array) -> Outputs:
        p_value = jnp.where(jnp.isnan(score), jnp.nan, (1 + num_as_high) / (1 + num_normal))
        has_changed = verdicts.has_changed(run, _columns(rows, _places(run, run.columns)))
        is_anomaly = verdicts.is_rare(p_value, rate) | has_changed
        return _where(is_usable, score), _where(is_usable, p_value), is_anomaly & is_usable

    names = ("score", "p_value", "is_anomaly")
    return Graph(functools.partial(_prepare, run), verdicts.compare(run), finish, names, ((), (), ()))


TASKS: dict[str, Callable[[Run], Graph]] = {"encode": _encode, "reconstruct": _reconstruct, "detect": _detect}


def _prepare(run: Run, rows: Array) -> Prepared:
    constant = kinds.constants(run.profile.columns)
    x = _columns(rows, _places(run, run.columns))
    pinned = jnp.where(np.isnan(constant) | jnp.isnan(x), x, np.nan_to_num(constant))
    features = encode(run.profile.columns, pinned)
    scaled, mask = scale(run.scaler, features), ~jnp.isnan(features)
    x, is_usable = jnp.where(mask, jnp.clip(scaled, -FARTHEST, FARTHEST), 0.0), _is_possible(run, features, scaled)
    if not run.config.condition_columns:
        return Prepared(rows, is_usable, x, mask, None)
    cond = _columns(rows, _places(run, run.config.condition_columns))
    is_known = ~jnp.isnan(cond)
    scaled_cond = jnp.nan_to_num(scale(run.cond_scaler, encode(run.conditions.columns, cond)))
    return Prepared(rows, is_usable & jnp.all(is_known, axis=1), x, mask, scaled_cond)


def _is_possible(run: Run, values: Array, scaled: Array) -> Array:
    """(n,) whether a likelihood can have the values: ``aejax detect`` refuses a table that has others."""
    scaling = configs.scaling(run.config)
    if scaling == "standardised":
        return jnp.ones(values.shape[0], bool)
    is_wrong = (values < 0) | (jnp.floor(values) != values) if scaling == "counts" else is_beyond_ends(scaled)
    return ~jnp.any(is_wrong & ~jnp.isnan(values), axis=1)


def _code(run: Run, batch: Batch) -> Array:
    return encode_batch(_coder(run), run.variables, batch).mean


def _coder(run: Run) -> Model:
    assert not isinstance(run.model, Adversary)  # or it was refused
    return run.model


def _code_size(run: Run) -> int:
    row = empty_row(run.scaler, run.cond_scaler)
    row = row._replace(mask=jnp.ones(row.x.shape, bool))
    return jax.eval_shape(functools.partial(_code, run), row).shape[1]


def _places(run: Run, names: tuple[str, ...]) -> np.ndarray:
    return np.array([run.source.columns.index(name) for name in names], np.int32)


def _columns(values: Array, places: np.ndarray) -> Array:
    return values.at[:, places].get(mode="promise_in_bounds")


def _where(is_usable: Array, values: Array) -> Array:
    return jnp.where(is_usable if values.ndim == 1 else is_usable[:, None], values, jnp.nan)
