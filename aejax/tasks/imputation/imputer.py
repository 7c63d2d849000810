"""Missing cells by draws from a generative model of whole rows."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax.artefacts import codecs
from aejax.artefacts.codecs import Codec, Stored
from aejax.artefacts.rules import FINITE, POSITIVE
from aejax.base import Array, ArrayLike, Batch, Model, PyTree, Variables, required
from aejax.data.columns.scalers import Scaler, fit_scaler, scaled_rows, unscale
from aejax.models import vae
from aejax.tasks.codes import draw
from aejax.tasks.reduction import check_encodes, suggest_latent_dim
from aejax.tasks.rows import over_rows
from aejax.training import Progress, fit

_Z_90 = 1.6449  # half the width of a normal distribution's central 90 %, in standard deviations
# In standard deviations of a column: draws that are all alike would make any other value impossible.
_LEAST_SPREAD = 1e-3


class Imputer(NamedTuple):
    """A generative model of rows, and the scale of their columns.

    Attributes:
        model: of scaled rows; it encodes, and draws rows of given codes.
        variables: its variables.
        scaler: of the columns.
    """

    model: Model
    variables: Variables
    scaler: Scaler


class Imputed(NamedTuple):
    """Rows without gaps.

    Attributes:
        x: (n, c), in the units of the columns: what was observed as it is, elsewhere the mean of the draws.
        std: (n, c), standard deviation of the draws; 0 where a value was observed.
    """

    x: np.ndarray
    std: np.ndarray


def fit_imputer(
    key: Array,
    x: ArrayLike,
    *,
    model: Model | None = None,
    num_steps: int = 5000,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    progress: bool | Callable[[Progress], None] = False,
) -> Imputer:
    """Learns the distribution of rows, also from rows with gaps.

    Args:
        key: PRNG key.
        x: (n, c) rows in their own units, NaN where missing.
        model: a Model of scaled rows that encodes and draws, such as a VAE; a VAE whose code has as many numbers as
            hold 90 % of the variance if None.
        num_steps: of training, about, in whole passes over the rows.
        batch_size: rows a step.
        learning_rate: Adam's.
        progress: as in ``fit``.

    Returns:
        The Imputer.

    Raises:
        ValueError: bad rows or options, or a model that cannot encode or draw.

    Example:
        >>> x = np.random.default_rng(0).standard_normal((200, 1)) * np.ones(4)
        >>> x[0, 1] = np.nan
        >>> imputer = fit_imputer(jax.random.key(0), x, num_steps=50)
        >>> impute(jax.random.key(1), imputer, x[:3]).x.shape
        (3, 4)
    """
    if num_steps < 1:
        raise ValueError(f"num_steps: found {num_steps}, expected a positive whole number")
    scaler = fit_scaler(x)
    scaled = scaled_rows(scaler, x)
    if model is None:
        model = vae(
            (scaled.shape[1],), suggest_latent_dim(scaled), hidden_dims=(64,), activation="tanh", shortcut=False
        )
    _check_draws(model)
    steps_per_epoch = math.ceil(len(scaled) / batch_size)
    fitted = fit(
        key,
        model,
        scaled,
        validation=0,
        num_epochs=math.ceil(num_steps / steps_per_epoch),
        batch_size=batch_size,
        learning_rate=learning_rate,
        ema_decay=0.999,
        progress=progress,
    )
    return Imputer(model, fitted.variables, scaler)


def impute(key: Array, imputer: Imputer, x: ArrayLike, *, num_sweeps: int = 200) -> Imputed:
    """Fills the gaps of rows.

    A code is drawn given the row, and the missing cells given the code, in turn (Rezende, Mohamed & Wierstra 2014,
    section 5.4, "pseudo-Gibbs"). The first half of the sweeps is thrown away; the mean is that of the decoder's means.
    With the exact posterior in place of the encoder the draws are those of p(missing | observed).

    Args:
        key: PRNG key.
        imputer: the Imputer.
        x: (n, c) rows in their own units, NaN where missing.
        num_sweeps: how often each gap is drawn.

    Returns:
        Imputed.

    Raises:
        ValueError: rows with other columns than in training, or fewer than two sweeps.
    """
    if num_sweeps < 2:
        raise ValueError(f"num_sweeps: found {num_sweeps}, expected at least 2")
    scaled, rows = scaled_rows(imputer.scaler, x), np.asarray(x, np.float64)
    arguments = (key, imputer.variables)
    mean, std = over_rows(_sweeps, imputer.model, arguments, scaled, num_sweeps=num_sweeps)
    is_missing = np.isnan(rows)
    filled = unscale(imputer.scaler, mean.astype(np.float64))
    return Imputed(np.where(is_missing, filled, rows), np.where(is_missing, std * imputer.scaler.scale, 0.0))


def impute_draws(
    key: Array, imputer: Imputer, x: ArrayLike, *, num_draws: int = 5, num_sweeps: int = 100
) -> np.ndarray:
    """Fills the gaps of rows several times, each time as they may have been: multiple imputation (Rubin 1987).

    Means vary less than what they stand for, and gaps of one row belong together. So what is computed of filled rows, a
    correlation or a share, is computed of each draw; the spread over draws says how sure it is.

    Args:
        key: PRNG key.
        imputer: the Imputer.
        x: (n, c) rows in their own units, NaN where missing.
        num_draws: how many times.
        num_sweeps: of each draw, as in ``impute``; the last one counts.

    Returns:
        (num_draws, n, c), in the units of the columns: what was observed as it is, elsewhere a draw of the missing
        cells of the row together.

    Raises:
        ValueError: rows with other columns than in training, or no draw or sweep.

    Example:
        >>> imputer = fit_imputer(jax.random.key(0), np.random.default_rng(0).normal(size=(100, 3)), num_steps=10)
        >>> impute_draws(jax.random.key(1), imputer, [[0.5, np.nan, np.nan]], num_draws=4).shape
        (4, 1, 3)
    """
    if num_draws < 1 or num_sweeps < 1:
        raise ValueError(f"num_draws: found {num_draws}, num_sweeps {num_sweeps}, expected at least 1 of each")
    scaled, rows = scaled_rows(imputer.scaler, x), np.asarray(x, np.float64)
    is_missing = np.isnan(rows)

    def filled(number: int) -> np.ndarray:
        arguments = (jax.random.fold_in(key, number), imputer.variables)
        drawn = over_rows(_last_sweep, imputer.model, arguments, scaled, num_sweeps=num_sweeps)
        return np.where(is_missing, unscale(imputer.scaler, drawn.astype(np.float64)), rows)

    return np.stack([filled(number) for number in range(num_draws)])


def evaluate_imputer(key: Array, imputer: Imputer, x: ArrayLike, *, share: float = 0.1) -> dict[str, float]:
    """Hides observed cells of rows that were not trained on, fills them, and compares.

    Args:
        key: PRNG key.
        imputer: the Imputer.
        x: (n, c) rows that it was not fitted to, in their own units, NaN where missing.
        share: of the observed cells that are hidden at random, in (0, 1).

    Returns:
        ``num_hidden``; ``rmse`` in standard deviations of the columns; ``rmse_of_column_means``, that of the plainest
        guess; ``coverage_90``, the share of hidden values inside the central 90 % that the draws say; ``log_density``
        of a hidden value in a Gaussian with mean and spread of its draws, nats a cell in units of the columns'
        standard deviations, and ``log_density_of_columns``, in one with those of its column.

    Raises:
        ValueError: rows with other columns than in training, or a share out of range.
    """
    if not 0 < share < 1:
        raise ValueError(f"share: found {share}, expected a number in (0, 1)")
    hide_key, draw_key = jax.random.split(key)
    rows = np.asarray(x, np.float64)
    hidden = np.asarray(jax.random.bernoulli(hide_key, share, rows.shape)) & ~np.isnan(rows)
    if not hidden.any():
        raise ValueError(f"share: found {share} of {rows.size} cells, none of which was hidden; expected more of them")
    found = impute(draw_key, imputer, np.where(hidden, np.nan, rows))
    error = ((found.x - rows) / imputer.scaler.scale)[hidden]
    guess = ((imputer.scaler.mean - rows) / imputer.scaler.scale)[hidden]
    spread = (found.std / imputer.scaler.scale)[hidden]
    return {
        "num_hidden": float(hidden.sum()),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "rmse_of_column_means": float(np.sqrt(np.mean(guess**2))),
        "coverage_90": float((np.abs(error) <= _Z_90 * spread).mean()),
        "log_density": _log_density(error, np.maximum(spread, _LEAST_SPREAD)),
        "log_density_of_columns": _log_density(guess, np.ones_like(guess)),
    }


def _log_density(error: np.ndarray, spread: np.ndarray) -> float:
    return float(np.mean(-0.5 * np.log(2 * np.pi) - np.log(spread) - 0.5 * (error / spread) ** 2))


def _check_draws(model: Model) -> None:
    check_encodes(model)
    required(model.sample, "sample")


def _sweeps(model: Model, arguments: tuple[Array, Variables], batch: Batch, *, num_sweeps: int) -> tuple[Array, Array]:
    key, variables = arguments
    decode = required(model.decode, "decode")
    mask = batch.mask
    if mask is None:
        return batch.x, jnp.zeros_like(batch.x)
    num_burnt = num_sweeps // 2

    def sweep(carry: PyTree, number: Array) -> tuple[PyTree, None]:
        x, means, draws, squares = carry
        z, drawn = _drawn(jax.random.fold_in(key, number), model, variables, x, batch.cond)
        counts = number >= num_burnt
        means, draws, squares = (
            total + jnp.where(counts, value, 0)
            for total, value in ((means, decode(variables, z, batch.cond)), (draws, drawn), (squares, drawn**2))
        )
        return (jnp.where(mask, batch.x, drawn), means, draws, squares), None

    nothing = jnp.zeros_like(batch.x)
    start = (batch.x, nothing, nothing, nothing)
    (_, means, draws, squares), _ = jax.lax.scan(sweep, start, jnp.arange(num_sweeps))
    num_kept = num_sweeps - num_burnt
    variance = squares / num_kept - (draws / num_kept) ** 2
    return means / num_kept, jnp.sqrt(jnp.maximum(variance, 0))


def _last_sweep(model: Model, arguments: tuple[Array, Variables], batch: Batch, *, num_sweeps: int) -> Array:
    key, variables = arguments
    mask = batch.mask
    if mask is None:
        return batch.x

    def sweep(x: Array, number: Array) -> tuple[Array, None]:
        _, drawn = _drawn(jax.random.fold_in(key, number), model, variables, x, batch.cond)
        return jnp.where(mask, batch.x, drawn), None

    return jax.lax.scan(sweep, batch.x, jnp.arange(num_sweeps))[0]


def _drawn(key: Array, model: Model, variables: Variables, x: Array, cond: Array | None) -> tuple[Array, Array]:
    """Codes drawn given rows, and rows drawn given these."""
    encode, sample = (required(getattr(model, name), name) for name in ("encode", "sample"))
    code_key, draw_key = jax.random.split(key)
    z = draw(code_key, encode(variables, x, cond))
    return z, sample(draw_key, variables, x.shape[0], cond, z)


def _pack(imputer: Imputer) -> Stored:
    arrays = {"variables": imputer.variables, "scaler": imputer.scaler._asdict()}
    return Stored({}, arrays, imputer.model)


def _unpack(stored: Stored) -> Imputer:
    scaler, model = Scaler(**stored.arrays["scaler"]), codecs.stored_model(stored)
    variables = codecs.fitted_variables(stored, model, Batch(jnp.zeros((1, len(scaler.mean)))))
    return Imputer(model, variables, scaler)


_ARRAYS = {"variables/*": FINITE, "scaler/mean": FINITE, "scaler/scale": POSITIVE}

codecs.register(Codec("imputer", Imputer, 1, _pack, _unpack, arrays=_ARRAYS, shapes={"scaler/*": "c"}))
