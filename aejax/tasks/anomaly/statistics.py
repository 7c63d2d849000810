"""Hotelling's T² of a code, SPE of a residual, and what both together say about a row."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Array, ArrayLike, Batch, Model, Variables, required
from aejax.data.batches import RowsLike, as_arrays
from aejax.losses import observed
from aejax.models.gaps import filled
from aejax.tasks.anomaly import patterns
from aejax.tasks.anomaly.gaps import Freed, as_of_whole_rows, freed, sizes
from aejax.tasks.reduction import check_encodes
from aejax.tasks.rows import over_rows

# So many whole rows for each number of code and residual are enough to leave those with gaps aside.
_FEWEST_ROWS = 5


class Whitening(NamedTuple):
    """What makes normal codes and residuals white, each with a mean square of 1/2 a row.

    Attributes:
        code_mean: (d,).
        code: (d, d), symmetric: T² is a multiple of the squared length of code @ (z - code_mean).
        residual_mean: (D,) of the flattened residual.
        residual: (D, D), symmetric, likewise for SPE.
        moment: (d + D, d + D), second moment of both over whole normal rows; from it follows what is normal of a row
            with gaps. None in what earlier versions saved: statistics of rows with gaps are then too small.
    """

    code_mean: Array
    code: Array
    residual_mean: Array
    residual: Array
    moment: Array | None = None


class Statistics(NamedTuple):
    """Statistics of rows; each averages to about 1 over the rows that it was fitted to.

    Attributes:
        t2: (n,), Hotelling's T² of the code: how unusual the state is that the model describes.
        spe: (n,), the squared prediction error (Q) of the whitened residual: how badly the model describes the row.
        combined: (n,), their mean.
    """

    t2: np.ndarray
    spe: np.ndarray
    combined: np.ndarray


def shrunk_covariance(x: ArrayLike, smallest: float = 0.01) -> np.ndarray:
    """The covariance of few rows in many columns, drawn towards that of independent columns (Ledoit & Wolf 2004).

    The columns are brought to one scale first, so that a quiet sensor is not drowned by the loud ones; the share of
    shrinkage is the one that minimises the expected squared error, by their formula (14).

    Args:
        x: (n, c) rows, without missing values.
        smallest: standard deviation that a column is taken to have at least. The default is for standardised rows: a
            relation between sensors that is broken by a hundredth of their deviation is no fault.

    Returns:
        (c, c), positive definite.

    Raises:
        ValueError: ``x`` is not (n, c) with at least 2 rows.

    Example:
        >>> x = np.random.default_rng(0).standard_normal((10, 20))
        >>> bool(np.linalg.eigvalsh(shrunk_covariance(x)).min() > 0.1)
        True
    """
    x = np.asarray(x, np.float64)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"x: found shape {x.shape}, expected (rows, columns) and at least 2 rows")
    centred = x - x.mean(axis=0)
    scale = np.maximum(centred.std(axis=0), smallest)
    rows = centred / scale
    num_rows, num_columns = rows.shape
    covariance = rows.T @ rows / num_rows
    mean_variance = np.trace(covariance) / num_columns
    distance = np.sum(np.square(covariance - mean_variance * np.eye(num_columns)))
    error = (np.sum(np.square(np.sum(np.square(rows), axis=1))) / num_rows - np.sum(np.square(covariance))) / num_rows
    share = np.clip(error / distance, 0, 1) if distance > 0 else 1.0
    shrunk = (1 - share) * covariance + share * max(mean_variance, 1e-6) * np.eye(num_columns)
    return shrunk * np.outer(scale, scale)


def fit_whitening(model: Model, variables: Variables, x: RowsLike) -> Whitening:
    """Measures the codes and residuals of normal rows.

    Args:
        model: a fitted Model.
        variables: its variables.
        x: (n, *event) normal rows, NaN where missing, or a Batch. Those with gaps do not count, unless too few are
            whole.

    Returns:
        The Whitening.

    Raises:
        ValueError: rows that do not fit the model, fewer than 2 of them, or a GAN, which has no encoder.

    Example:
        >>> import jax
        >>> from aejax.models import autoencoder
        >>> model, x = autoencoder((5,), 2), jax.random.normal(jax.random.key(0), (50, 5))
        >>> variables = model.init(jax.random.key(1), Batch(x))
        >>> whitening = fit_whitening(model, variables, x)
        >>> round(float(statistics(model, variables, whitening, x).t2.mean()), 3)
        1.0
    """
    check_encodes(model)
    code, residual, is_whole = over_rows(_measured, model, variables, x)
    if is_whole.sum() >= _FEWEST_ROWS * (code.shape[1] + residual.shape[1]):
        code, residual = code[is_whole], residual[is_whole]
    found, white = [], []
    for values in (code, residual):
        mean = values.mean(axis=0, dtype=np.float64)
        variances, axes = np.linalg.eigh(shrunk_covariance(values))
        root = (axes / np.sqrt(variances)) @ axes.T
        # Half of the combined statistic each, on average over these rows.
        size = np.mean(np.sum(np.square((values - mean) @ root), axis=1))
        root = root / np.sqrt(2 * size) if size > 0 else root
        found += [mean, root]
        white.append((values - mean) @ root)
    both = np.concatenate(white, axis=1)
    return Whitening(*(jnp.asarray(part, jnp.float32) for part in (*found, both.T @ both / len(both))))


def rescaled(whitening: Whitening, t2: float, spe: float) -> Whitening:
    """The Whitening that divides both statistics by numbers, such as their means over normal rows not trained on.

    Args:
        whitening: from ``fit_whitening``.
        t2: what T² is divided by; left as it is where this is not positive.
        spe: likewise.

    Returns:
        The Whitening.
    """
    by_code, by_residual = (np.sqrt(size if size > 0 else 1) for size in (t2, spe))
    scale = np.repeat([1 / by_code, 1 / by_residual], [len(whitening.code), len(whitening.residual)])
    moment = None if whitening.moment is None else whitening.moment * np.outer(scale, scale).astype(np.float32)
    return whitening._replace(code=whitening.code / by_code, residual=whitening.residual / by_residual, moment=moment)


def statistics(model: Model, variables: Variables, whitening: Whitening, x: RowsLike) -> Statistics:
    """T², SPE and both together, row by row.

    T² = (z - m)' S⁻¹ (z - m) / E with the mean m and shrunk covariance S of normal codes; SPE is the same of the
    residual x - decode(z), so that an error which breaks a tight relation between sensors counts for more than an
    equally large one in a noisy sensor (the plain Q statistic of Jackson & Mudholkar 1979 takes S = 1). E is the mean
    over normal rows. The combined index is their sum (Yue & Qin 2001), here of equal weights.

    Args:
        model: a fitted Model.
        variables: its variables.
        whitening: from ``fit_whitening`` with normal rows.
        x: (n, *event), NaN where missing, or a Batch.

    Returns:
        Statistics, NumPy arrays; NaN for a row of which nothing is observed. A row with gaps has those of the most
        normal row that holds what was observed, and they are brought to the scale of whole rows:
        ``aejax.tasks.anomaly.gaps``.

    Raises:
        ValueError: rows that do not fit the model, or a GAN.
    """
    check_encodes(model)
    batch = jax.device_get(as_arrays(x))
    found = np.full((3, len(batch.x)), np.nan, np.float32)
    for rows, most_missing in patterns.by_number_missing(patterns.observed(batch)):
        part = jax.tree.map(lambda field, rows=rows: field[rows], batch)
        found[:, rows] = over_rows(_statistics, model, (variables, whitening), part, most_missing=most_missing)
    return Statistics(*found)


def whitened(model: Model, variables: Variables, whitening: Whitening, batch: Batch) -> tuple[Array, Array]:
    """The code and the residual, white over normal rows: the combined statistic is the squared length of both.

    Args:
        model: a Model.
        variables: its variables.
        whitening: from ``fit_whitening``.
        batch: of n rows, as from ``as_batch``.

    Returns:
        (n, d) and (n, D).
    """
    code, residual = code_and_residual(model, variables, batch)
    return (
        (code - whitening.code_mean[None, :]) @ whitening.code,
        (residual - whitening.residual_mean[None, :]) @ whitening.residual,
    )


def row_statistics(
    model: Model,
    variables: Variables,
    whitening: Whitening,
    row: Array,
    seen: Array,
    cond: Array | None,
    most_missing: int | None = None,
) -> Array:
    """The statistics of one row, with gaps or without.

    Args:
        model: a Model.
        variables: its variables.
        whitening: from ``fit_whitening``.
        row: (*event), zeros where missing.
        seen: (*event) bool, what is observed.
        cond: (c,), or None.
        most_missing: how many elements may be missing; all by default.

    Returns:
        (3,): T², SPE and both together.
    """
    code_size = len(whitening.code)

    def vector(flat: Array) -> Array:
        return white_row(model, variables, whitening, flat.reshape(row.shape), cond)

    def whole() -> Array:
        return sizes(vector(row.reshape(-1)), code_size)

    def with_gaps() -> Array:
        found = freed_row(vector, whitening, row, seen, most_missing)
        values = sizes(found.vector, code_size)
        if whitening.moment is None:
            return values
        return as_of_whole_rows(values, found.moment, whitening.moment, code_size)

    return jax.lax.cond(jnp.all(seen), whole, with_gaps)


def white_row(model: Model, variables: Variables, whitening: Whitening, row: Array, cond: Array | None) -> Array:
    """(d + D,), the white code and residual of one whole row (*event)."""
    batch = Batch(row[None], cond=None if cond is None else cond[None])
    return jnp.concatenate([part[0] for part in whitened(model, variables, whitening, batch)])


def freed_row(
    vector: Callable[[Array], Array], whitening: Whitening, row: Array, seen: Array, most_missing: int | None = None
) -> Freed:
    """As ``freed``, of a row (*event); without a moment, where there is none."""
    size = len(whitening.code) + len(whitening.residual)
    moment = jnp.zeros((size, size), row.dtype) if whitening.moment is None else whitening.moment
    return freed(vector, row.reshape(-1), seen.reshape(-1), moment, most_missing)


def _statistics(
    model: Model, arguments: tuple[Variables, Whitening], batch: Batch, most_missing: int
) -> tuple[Array, Array, Array]:
    mask = observed(batch)
    if mask is None:
        code, residual = whitened(model, *arguments, batch)
        t2, spe = jnp.sum(jnp.square(code), axis=1), jnp.sum(jnp.square(residual), axis=1)
        return 2 * t2, 2 * spe, t2 + spe
    seen = jnp.broadcast_to(mask, batch.x.shape)

    def of_row(inputs: tuple[Array, Array, Array | None]) -> Array:
        row, seen, cond = inputs
        return jnp.where(jnp.any(seen), row_statistics(model, *arguments, row, seen, cond, most_missing), jnp.nan)

    values = jax.lax.map(of_row, (batch.x, seen, batch.cond))
    return values[:, 0], values[:, 1], values[:, 2]


def _measured(model: Model, variables: Variables, batch: Batch) -> tuple[Array, Array, Array]:
    code, residual = code_and_residual(model, variables, batch)
    mask = observed(batch)
    is_whole = True if mask is None else jnp.all(mask, axis=tuple(range(1, mask.ndim)))
    return code, residual, jnp.broadcast_to(is_whole, len(code))


def code_and_residual(model: Model, variables: Variables, batch: Batch) -> tuple[Array, Array]:
    """The code and the flattened residual of a batch.

    Args:
        model: a Model.
        variables: its variables.
        batch: of n rows, as from ``as_batch``.

    Returns:
        (n, d), and (n, D), which is 0 where missing.
    """
    batch = filled(model, variables, batch)
    code = required(model.encode, "encode")(variables, batch.x, batch.cond).mean
    target = batch.x if batch.target is None else batch.target
    residual = target - required(model.decode, "decode")(variables, code, batch.cond)
    mask = observed(batch)
    residual = residual if mask is None else jnp.where(mask, residual, 0)
    return code.reshape(len(code), -1), residual.reshape(len(code), -1)
