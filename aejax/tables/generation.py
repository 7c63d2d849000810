"""New rows of a run, in the units of its table and at the conditions that are asked for."""

import math
from collections.abc import Iterator, Mapping

import jax
import numpy as np

from aejax import tasks
from aejax.base import ArrayLike
from aejax.data.columns import kinds
from aejax.data.columns.categories import text_of
from aejax.data.columns.conditions import find_unknown
from aejax.data.columns.features import coded, decoded
from aejax.data.columns.kinds import CATEGORY, Column
from aejax.data.formats.table_files.registry import shown
from aejax.tables.columns import Notice, as_columns, say_divergence
from aejax.tables.run import Run

# So many are drawn at a time, each block by a key of its own.
ROWS_A_BLOCK = 65_536


def generate(
    run: Run,
    num_samples: int,
    conditions: Mapping[str, float | str] | None = None,
    seed: int = 0,
    notice: Notice = lambda text: None,  # noqa: ARG005
    codes: tasks.Mixture | tasks.Flow | None = None,
) -> dict[str, np.ndarray]:
    """New rows in the units of the table.

    Args:
        run: the Run.
        num_samples: how many rows.
        conditions: a value for each condition column of the run, of a category its text.
        seed: of the draw.
        notice: takes what a user should know, such as a condition far from those of the training rows.
        codes: what codes are drawn from, by ``fit_codes``; the prior of a model that has one if None.

    Returns:
        The training columns in their order; conditions as they were given.

    Raises:
        ValueError: a model without a distribution, a condition that is missing or unknown, or a bad number.
    """
    blocks = list(generated_blocks(run, num_samples, conditions, seed, notice, codes))
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def generated_blocks(
    run: Run,
    num_samples: int,
    conditions: Mapping[str, float | str] | None = None,
    seed: int = 0,
    notice: Notice = lambda text: None,  # noqa: ARG005
    codes: tasks.Mixture | tasks.Flow | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """The rows of ``generate`` some at a time, so that no number of rows fills the memory.

    Args:
        run: as in ``generate``, and so are the others.
        num_samples: how many rows.
        conditions: a value for each condition column.
        seed: of the draw.
        notice: takes what a user should know.
        codes: what codes are drawn from.

    Returns:
        The columns of at most 65,536 rows each.

    Raises:
        ValueError: as ``generate``, before a row is drawn.
    """
    conditions = conditions or {}
    expected = run.config.condition_columns
    if set(conditions) != set(expected):
        raise ValueError(
            f"condition: found {sorted(conditions) or 'none'}, expected a value for each of {list(expected) or 'none'}"
            + (f", such as --condition {expected[0]}=1.0" if expected else "; this run has no condition columns")
        )
    given = _given(run, conditions)
    say_divergence(run, notice)
    for _, what in find_unknown(run.conditions, given, expected):
        notice(f"condition {what}: {_listed(conditions, expected)}; rows drawn there are an extrapolation")
    if codes is not None and run.model.sample is None:
        notice(
            f"new rows of {run.config.model} are without observation noise: each column varies less than in the table"
        )
    scaled = scaled_conditions(run, given)
    cond = None if scaled is None else scaled[0]
    key = jax.random.key(seed)

    def block(number: int) -> dict[str, np.ndarray]:
        size = min(num_samples - number * ROWS_A_BLOCK, ROWS_A_BLOCK)
        rows = draw_rows(run, key_of_block(key, number), size, cond, codes)
        return as_columns(run, rows, np.broadcast_to(given, (size, len(expected))) if expected else None)

    return map(block, range(max(math.ceil(num_samples / ROWS_A_BLOCK), 1)))


def key_of_block(key: jax.Array, number: int) -> jax.Array:
    """The key by which a block of rows is drawn, of which each but the last has ``ROWS_A_BLOCK`` rows.

    Args:
        key: of all rows.
        number: of the block, from 0.

    Returns:
        The key.
    """
    return jax.random.fold_in(key, number) if number else key


def scaled_conditions(run: Run, cond: np.ndarray) -> np.ndarray | None:
    """Conditions as the model is given them; None for a run without.

    Args:
        run: the Run.
        cond: (n, k) in the units of the table.

    Returns:
        (n, g).
    """
    return np.nan_to_num(coded(run.cond_coding, cond)) if run.config.condition_columns else None


def draw_rows(
    run: Run,
    key: jax.Array,
    num_samples: int,
    cond: ArrayLike | None,
    codes: tasks.Mixture | tasks.Flow | None = None,
) -> np.ndarray:
    """New rows in the units of the table, each column of its kind.

    Args:
        run: the Run.
        key: PRNG key.
        num_samples: how many rows.
        cond: (k,) or (num_samples, k) scaled conditions, None for none.
        codes: as in ``generate``.

    Returns:
        (num_samples, c).
    """
    drawn = tasks.generate(key, run.model, run.variables, num_samples, cond, codes)
    return kinds.keep(run.profile.columns, decoded(run.coding, drawn))


def _given(run: Run, conditions: Mapping[str, float | str]) -> np.ndarray:
    """(1, k) conditions, categories as the numbers of their levels."""
    kinds_of = zip(run.config.condition_columns, run.conditions.columns, strict=True)
    return np.array([[_condition(name, conditions[name], column) for name, column in kinds_of]], float)


def _condition(name: str, value: float | str, column: Column) -> float:
    if column.kind == CATEGORY:
        levels, text = column.facts["levels"], value if isinstance(value, str) else text_of(value)
        if text not in levels:
            raise ValueError(f"condition: found {name}={text}, expected one of {shown(levels)}")
        return float(levels.index(text))
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"condition: found {name}={value}, expected a finite number")
    return number


def _listed(conditions: Mapping[str, float | str], names: tuple[str, ...]) -> str:
    values = (conditions[name] for name in names)
    return ", ".join(f"{n}={v if isinstance(v, str) else f'{v:g}'}" for n, v in zip(names, values, strict=True))
