"""A learned distribution of codes, by flow matching: of any shape, also given conditions."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax.artefacts import codecs
from aejax.artefacts.codecs import Codec, Stored
from aejax.artefacts.rules import FINITE, POSITIVE
from aejax.base import Array, ArrayLike, Batch, Latent, Model, Variables, required
from aejax.data.batches import RowsLike
from aejax.data.columns.scalers import Scaler, fit_scaler, scale
from aejax.models.flow import flow_matching
from aejax.tasks.codes import Codes, codes_of, draw
from aejax.tasks.rows import over_rows
from aejax.training import Progress, drawn, fit
from aejax.training.optimizers import adam

# Added to the diagonal of the covariance, in squared units of the codes' standard deviation.
_REGULARISATION = 1e-6
# Widths of the hidden layers.
_PER_DIM, _LEAST_WIDTH, _MOST_WIDTH = 8, 128, 512
_NUM_PASSES, _FEWEST_STEPS, _MOST_STEPS = 300, 5000, 20_000
_FEWEST_ROWS = 10
_NUM_EVALUATIONS = 40
_PATIENCE = 10
_VALIDATION_SHARE = 0.1
# Held-out codes are repeated, each time with other noise and another time, up to so many.
_NUM_VALIDATION_PAIRS = 4096
_EMA_DECAY = 0.999


class Flow(NamedTuple):
    """A distribution of codes, from which noise is moved to codes.

    Attributes:
        model: of whitened codes, from ``aejax.models.flow.flow_matching``.
        variables: its variables.
        mean: (d,), of the codes.
        cholesky: (d, d), the lower factor of their covariance.
        cond_scaler: of the conditions; of none where the distribution has none.
    """

    model: Model
    variables: Variables
    mean: Array
    cholesky: Array
    cond_scaler: Scaler


def fit_flow(
    key: Array,
    model: Model,
    variables: Variables,
    x: RowsLike,
    *,
    hidden_dims: Sequence[int] | None = None,
    num_steps: int | None = None,
    batch_size: int = 256,
    learning_rate: float = 3e-3,
    progress: bool | Callable[[Progress], None] = False,
) -> Flow:
    """Learns where the codes of rows lie, as a sampler beside prior and mixture (as Zhang et al. 2024, by diffusion).

    Codes are whitened, so that the flow begins as the Gaussian with their mean and covariance. Codes of a VAE are drawn
    anew from q(z | x) in each step: the decoder was trained on such draws, and their means alone would be too narrow.
    A tenth of the rows is held out. The parameters, averaged over steps, are those with the lowest loss on these.

    Args:
        key: PRNG key.
        model: a fitted Model.
        variables: its variables.
        x: (n, *event) rows, NaN where missing, or a Batch; with conditions the distribution is one given these, such
            as a temperature, or a class as zeros and a one.
        hidden_dims: widths of the network's hidden layers; three of eight times the size of a code if None, between
            128 and 512.
        num_steps: of training, at most; those of 300 passes over the rows if None, between 5,000 and 20,000.
        batch_size: codes a step.
        learning_rate: Adam's, at the beginning; it falls along half a cosine.
        progress: as in ``fit``.

    Returns:
        The Flow, for ``generate(..., codes=...)`` or ``sample_flow``.

    Raises:
        ValueError: a GAN, which has no encoder, fewer than ten rows with an observed value, or a bad option.

    Example:
        >>> import aejax
        >>> x = jax.random.normal(jax.random.key(0), (200, 5))
        >>> model = aejax.models.vae((5,), 2)
        >>> fitted = aejax.fit(jax.random.key(1), model, x, num_epochs=2)
        >>> flow = fit_flow(jax.random.key(2), model, fitted.variables, x, num_steps=50)
        >>> sample_flow(jax.random.key(3), flow, 10).shape
        (10, 2)
    """
    if num_steps is not None and num_steps < 1:
        raise ValueError(f"num_steps: found {num_steps}, expected a positive whole number")
    codes = codes_of(model, variables, x)
    num_rows, num_dims = codes.latent.mean.shape
    if num_rows < _FEWEST_ROWS:
        raise ValueError(
            f"x: found {num_rows} row(s) with an observed value, expected at least {_FEWEST_ROWS}: some are held out"
        )
    if num_steps is None:
        num_steps = min(max(_NUM_PASSES * math.ceil(num_rows / batch_size), _FEWEST_STEPS), _MOST_STEPS)
    cond_scaler = _cond_scaler(codes.cond)
    source = _Source(codes._replace(cond=_scaled(cond_scaler, codes.cond)), *_moments(codes.latent))
    split_key, validation_key, fit_key = jax.random.split(key, 3)
    train, held_out = _split(split_key, source)
    steps_per_epoch = math.ceil(num_steps / _NUM_EVALUATIONS)
    width = min(max(_PER_DIM * num_dims, _LEAST_WIDTH), _MOST_WIDTH)
    of_codes = flow_matching(num_dims, (width,) * 3 if hidden_dims is None else tuple(hidden_dims))
    fitted = fit(
        fit_key,
        of_codes,
        drawn(_some, train),
        validation=_repeated(validation_key, held_out),
        num_epochs=math.ceil(num_steps / steps_per_epoch),
        steps_per_epoch=steps_per_epoch,
        batch_size=batch_size,
        learning_rate=learning_rate,
        optimizer=adam("cosine", num_steps=num_steps),
        ema_decay=_EMA_DECAY,
        patience=_PATIENCE,
        progress=progress,
    )
    return Flow(of_codes, fitted.variables, source.origin, source.cholesky, cond_scaler)


def sample_flow(key: Array, flow: Flow, num_samples: int, cond: ArrayLike | None = None) -> Array:
    """Draws codes.

    Args:
        key: PRNG key.
        flow: the Flow.
        num_samples: how many.
        cond: (num_samples, c) conditions, or (c,) for the same ones of all; for a Flow that was fitted with conditions.

    Returns:
        (num_samples, d).

    Raises:
        ValueError: conditions that do not fit.

    Example:
        >>> flow = Flow(flow_matching(1, (2,)), {}, jnp.ones(1), jnp.zeros((1, 1)), fit_scaler(np.zeros((1, 0))))
        >>> flow = flow._replace(variables=flow.model.init(jax.random.key(0), Batch(jnp.zeros((1, 1)))))
        >>> sample_flow(jax.random.key(1), flow, 1)
        Array([[1.]], dtype=float32)
    """
    noise = jax.random.normal(key, (num_samples, flow.mean.shape[0]), jnp.float32)
    rows = Batch(noise, cond=_checked_cond(flow, num_samples, cond))
    return jnp.asarray(over_rows(_moved, flow.model, (flow.variables, flow.mean, flow.cholesky), rows))


def flow_log_density(flow: Flow, z: ArrayLike, cond: ArrayLike | None = None) -> Array:
    """The log-density of codes.

    Args:
        flow: the Flow.
        z: (n, d).
        cond: (n, c) or (c,), as in ``sample_flow``.

    Returns:
        (n,), in nats.

    Raises:
        ValueError: codes of another size, or conditions that do not fit.
    """
    z = jnp.asarray(z, jnp.float32)
    if z.ndim != 2 or z.shape[1] != flow.mean.shape[0]:
        raise ValueError(f"z: found shape {z.shape}, expected (n, {flow.mean.shape[0]})")
    rows = Batch(z, cond=_checked_cond(flow, z.shape[0], cond))
    return jnp.asarray(over_rows(_log_density, flow.model, (flow.variables, flow.mean, flow.cholesky), rows))


def evaluate_flow(flow: Flow, z: ArrayLike, cond: ArrayLike | None = None) -> dict[str, float]:
    """Measures a flow on codes of rows that it was not fitted to.

    Args:
        flow: the Flow.
        z: (n, d).
        cond: (n, c) or (c,), as in ``sample_flow``.

    Returns:
        The mean log-density of the codes, in nats: the higher, the better. ``evaluate_mixture`` measures the same.

    Raises:
        ValueError: codes of another size, or conditions that do not fit.
    """
    return {"mean log-density, nats": float(flow_log_density(flow, z, cond).mean())}


class _Source(NamedTuple):
    """Codes on the device, and how they are whitened."""

    codes: Codes
    origin: Array
    cholesky: Array


def _split(key: Array, source: _Source) -> tuple[_Source, _Source]:
    """Rows to train on, and a tenth that is held out."""
    num_rows = source.codes.latent.mean.shape[0]
    order = np.asarray(jax.random.permutation(key, num_rows))
    train, held_out = np.split(order, [num_rows - max(1, round(_VALIDATION_SHARE * num_rows))])
    return jax.device_put(_picked(source, train)), jax.device_put(_picked(source, held_out))


def _some(arrays: _Source, key: Array, num_rows: int) -> Batch:
    """Codes of rows at random, a new draw of each."""
    row_key, code_key = jax.random.split(key)
    rows = jax.random.randint(row_key, (num_rows,), 0, arrays.codes.latent.mean.shape[0])
    return _batch(code_key, _picked(arrays, rows))


def _repeated(key: Array, source: _Source) -> Batch:
    """Codes of all rows, several draws of each."""
    num_rows = source.codes.latent.mean.shape[0]
    return _batch(key, _picked(source, np.repeat(np.arange(num_rows), max(1, _NUM_VALIDATION_PAIRS // num_rows))))


def _picked(source: _Source, rows: Array | np.ndarray) -> _Source:
    return source._replace(codes=jax.tree.map(lambda array: array[rows], source.codes))


def _batch(key: Array, source: _Source) -> Batch:
    return Batch(_whitened(source.origin, source.cholesky, draw(key, source.codes.latent)), cond=source.codes.cond)


def _whitened(origin: Array, cholesky: Array, z: Array) -> Array:
    return jax.scipy.linalg.solve_triangular(cholesky, (z - origin[None, :]).T, lower=True).T


def _moments(latent: Latent) -> tuple[Array, Array]:
    """The mean of codes and the lower factor of their covariance, of which the posteriors' variance is a part."""
    z = np.asarray(latent.mean, np.float64)
    covariance = np.atleast_2d(np.cov(z.T, bias=True))
    if latent.log_var is not None:
        covariance = covariance + np.diag(np.exp(np.asarray(latent.log_var, np.float64)).mean(axis=0))
    floor = _REGULARISATION * np.diag(covariance) + 1e-12
    cholesky = np.linalg.cholesky(covariance + np.diag(floor))
    return jnp.asarray(z.mean(axis=0), jnp.float32), jnp.asarray(cholesky, jnp.float32)


def _cond_scaler(cond: ArrayLike | None) -> Scaler:
    return Scaler(np.zeros(0), np.ones(0)) if cond is None else fit_scaler(cond)


def _scaled(scaler: Scaler, cond: ArrayLike | None) -> Array | None:
    return None if cond is None else jnp.asarray(scale(scaler, np.asarray(cond, np.float64)), jnp.float32)


def _checked_cond(flow: Flow, num_rows: int, cond: ArrayLike | None) -> Array | None:
    expected = len(flow.cond_scaler.mean)
    if cond is None and not expected:
        return None
    found = np.zeros(0) if cond is None else np.atleast_1d(np.asarray(cond, np.float64))
    if found.shape not in ((expected,), (num_rows, expected)) or not expected:
        wanted = f"({expected},) or ({num_rows}, {expected})" if expected else "none: it was fitted without"
        raise ValueError(f"cond: found {'none' if cond is None else f'shape {found.shape}'}, expected {wanted}")
    return _scaled(flow.cond_scaler, np.broadcast_to(found, (num_rows, expected)))


def _moved(model: Model, flow: tuple[Variables, Array, Array], batch: Batch) -> Array:
    variables, mean, cholesky = flow
    sample = required(model.sample, "sample")
    whitened = sample(jax.random.key(0), variables, batch.x.shape[0], batch.cond, batch.x)
    return mean[None, :] + jnp.matmul(whitened, cholesky.T, precision="highest")


def _log_density(model: Model, flow: tuple[Variables, Array, Array], batch: Batch) -> Array:
    variables, mean, cholesky = flow
    rows = batch._replace(x=_whitened(mean, cholesky, batch.x))
    density = required(model.log_likelihood, "log_likelihood")(jax.random.key(0), variables, rows, 1)
    return density - jnp.sum(jnp.log(jnp.diagonal(cholesky)))


def _pack(flow: Flow) -> Stored:
    arrays = {name: getattr(flow, name) for name in ("variables", "mean", "cholesky")}
    return Stored({}, {**arrays, "cond_scaler": flow.cond_scaler._asdict()}, flow.model)


def _unpack(stored: Stored) -> Flow:
    model, scaler = codecs.stored_model(stored), Scaler(**stored.arrays["cond_scaler"])
    mean, cholesky = jax.device_put([stored.arrays[name] for name in ("mean", "cholesky")])
    cond = jnp.zeros((1, len(scaler.mean))) if len(scaler.mean) else None
    variables = codecs.fitted_variables(stored, model, Batch(jnp.zeros((1, len(mean))), cond=cond))
    return Flow(model, variables, mean, cholesky, scaler)


codecs.register(
    Codec(
        "flow",
        Flow,
        1,
        _pack,
        _unpack,
        arrays={"variables/*": FINITE, "mean": FINITE, "cholesky": FINITE, "cond_scaler/mean": FINITE, "*": POSITIVE},
        shapes={"mean": "d", "cholesky": "dd", "cond_scaler/*": "c"},
    )
)
