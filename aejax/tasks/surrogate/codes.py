"""Codes of maps that fit the decoder and not only the encoder, and maps of codes."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax import losses
from aejax.base import Array, ArrayLike, Batch, Model, Variables, required
from aejax.data.batches import RowsLike
from aejax.tasks.reduction import check_encodes
from aejax.tasks.rows import over_rows
from aejax.tasks.surrogate.observed import Observed, misfit

Error = Literal["balanced", "sqrt", "intensity"]
_POWERS = {"balanced": 2 / 3, "sqrt": 1 / 2, "intensity": 1.0}

_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-2, 1e-6, 1e6
_LEAST_INTENSITY = 1e-10  # of a map's largest
_ROWS_AT_A_TIME = 8  # Jacobians in memory
_NUM_WEIGHTINGS = 2  # of pixels by the misfit of a fit, and the fit by these weights


class Compression(NamedTuple):
    """A fitted model of maps.

    Attributes:
        model: any Model with an encoder and a decoder; from ``fit_compression`` a ``local_subspaces`` Model on the
            scale of square roots.
        variables: its variables.
        whitening: (k, d - 1, d - 1), for each region what makes the coefficients of maps whose intensities sum to 1
            uncorrelated and their mean squares 1. None where nothing is known of them.
    """

    model: Model
    variables: Variables
    whitening: np.ndarray | None = None


def compress(compression: Compression, x: RowsLike, *, error: Error = "balanced", num_steps: int = 10) -> np.ndarray:
    """Codes of maps: the encoder's, refined so that the decoder fits each map best.

    An encoder answers for all maps at once and is off for each by a little (the amortisation gap; Cremer, Li & Duvenaud
    2018). From its code on, Levenberg-Marquardt steps (Marquardt 1963) minimise the error of the decoder's output
    against the observed elements; a step that does not lessen it is not taken, so that on the observed elements, on the
    scale of ``error``, a code is never worse than the encoder's. Of the elements that are missing this says nothing:
    where much is, compare with ``num_steps=0`` on maps of which you know all. The unit of the maps does not matter.
    Works for any fitted Model with an encoder and a decoder, ``Compression(model, variables)``.

    Args:
        compression: the Compression.
        x: (n, *event), NaN where missing, or a Batch with conditions, a mask, or weights of the squared differences.
        error: whose squared differences are minimised. ``"sqrt"``, square roots, gives weak bands most weight, but a
            fit to the roots of what is noisy or in spots lies below its mean. ``"intensity"``, as it is, is right in
            the mean, follows the brightest spots, and allows values below 0. ``"balanced"``, the power 2/3 of
            intensity (Anscombe's residuals of counts; McCullagh & Nelder 1989, section 2.4), lies between.
        num_steps: of refinement; 0 leaves the encoder's codes.

    Returns:
        (n, d) codes; NaN for a row of which nothing is observed.

    Raises:
        ValueError: a GAN, rows that do not fit the model, negative values where a root is taken.

    Example:
        >>> from aejax.models import autoencoder
        >>> model = autoencoder((5,), 2)
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 5))))
        >>> compress(Compression(model, variables), np.ones((7, 5)), error="intensity").shape
        (7, 2)
    """
    return codes_and_metrics(compression, x, error=error, num_steps=num_steps)[0]


def codes_and_metrics(
    compression: Compression, x: RowsLike, *, error: Error = "balanced", num_steps: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """The codes of ``compress``, and what changing them costs: J'J, with the decoder's Jacobian on the error's scale.

    To first order a code that is off by dz adds dz'J'J dz to the squared error of its map over the observed elements.

    Args:
        compression: the Compression.
        x: as in ``compress``.
        error: as in ``compress``.
        num_steps: as in ``compress``.

    Returns:
        (n, d) codes and (n, d, d) metrics.

    Raises:
        ValueError: as in ``compress``.
    """
    return _codes_and_metrics(compression, x, error=error, num_steps=num_steps)


def _codes_and_metrics(
    compression: Compression, x: RowsLike, *, error: Error, num_steps: int, whitening: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """``codes_and_metrics``; with a whitening, codes are drawn to 0 as much as errors of 1 leave them open."""
    check_encodes(compression.model)
    if error not in _POWERS:
        raise ValueError(f'error: found {error!r}, expected "balanced", "sqrt" or "intensity"')
    if num_steps < 0:
        raise ValueError(f"num_steps: found {num_steps}, expected at least 0")
    rows = np.asarray(x.x if isinstance(x, Batch) else x)
    if error != "intensity" and np.nanmin(rows, initial=0) < 0:
        raise ValueError(
            f'x: found {np.nanmin(rows):.3g}, expected at least 0 for error="{error}"; give error="intensity" for data '
            "that may be negative"
        )
    arguments = compression.variables, whitening
    return over_rows(_refine, compression.model, arguments, x, error=error, num_steps=num_steps)


def observed_codes(
    compression: Compression, observed: Observed, *, num_steps: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """The codes of maps as they were observed, and what changing them costs.

    Without errors, the ``"balanced"`` error of ``compress`` is minimised. With errors, differences are weighted by one
    over their variance: the square of the error, and the misfit that the fit before leaves beyond the errors, at first
    that of the encoder. Where errors are small that comes to differences of square roots.

    Args:
        compression: the Compression.
        observed: the Observed.
        num_steps: as in ``compress``.

    Returns:
        (n, d) codes and (n, d, d) metrics, as ``codes_and_metrics`` does.
    """
    if observed.errors is None:
        return codes_and_metrics(compression, observed.maps, num_steps=num_steps)
    # A first fit by the errors alone would follow in dark pixels what no code can say, and mislead the weights.
    codes, metrics = codes_and_metrics(compression, observed.maps, error="intensity", num_steps=0)
    for _ in range(_NUM_WEIGHTINGS if num_steps else 0):
        variance = np.square(observed.errors) + misfit(observed, expand(compression, codes))
        codes, metrics = _weighted_codes(compression, observed, variance, num_steps)
    return codes, metrics


def _weighted_codes(
    compression: Compression, observed: Observed, variance: np.ndarray, num_steps: int
) -> tuple[np.ndarray, np.ndarray]:
    # In units in which the weights are near 1, whatever the unit of the maps.
    unit = np.nanmedian(variance)
    weight: Any = np.nan_to_num(unit / variance).astype(np.float32)
    maps: Any = observed.maps
    whitening = None if compression.whitening is None else (compression.whitening * np.sqrt(unit)).astype(np.float32)
    rows = Batch(maps, weight=weight)
    return _codes_and_metrics(compression, rows, error="intensity", num_steps=num_steps, whitening=whitening)


def expand(compression: Compression, z: ArrayLike, cond: ArrayLike | None = None) -> np.ndarray:
    """Maps of codes: the decoder, for any number of rows.

    Args:
        compression: the Compression.
        z: (n, d) codes, NaN where there is none.
        cond: (n, c) conditions, for a conditional model.

    Returns:
        (n, *event); NaN where the code is.

    Example:
        >>> from aejax.models.subspaces import local_subspaces
        >>> model = local_subspaces((6,), 3)
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 6))))
        >>> expand(Compression(model, variables), np.zeros((4, 3))).shape
        (4, 6)
    """
    check_encodes(compression.model)
    z = np.asarray(z, np.float32)
    rows: Any = Batch(z, cond=cond)  # type: ignore[arg-type]
    maps = np.array(over_rows(_decode, compression.model, compression.variables, rows))
    maps[np.isnan(z).any(axis=1)] = np.nan
    return maps


def _refine(
    model: Model, arguments: tuple[Variables, Array | None], batch: Batch, *, error: Error, num_steps: int
) -> tuple[Array, Array]:
    variables, whitening = arguments
    mask = losses.observed(batch)
    x = batch.x if mask is None else jnp.where(mask, batch.x, jnp.nan)
    if batch.weight is not None:  # what counts for nothing does not mislead the encoder either
        x = jnp.where(batch.weight > 0, x, jnp.nan)
    z = required(model.encode, "encode")(variables, x, batch.cond).mean

    def refined(row: tuple[Array, Array, Array | None, Array | None]) -> tuple[Array, Array]:
        x, z, cond, weight = row
        seen = ~jnp.isnan(x)
        share = 1.0 if weight is None else jnp.sqrt(weight)
        # The gradient of a root is infinite at 0, where much of a map is.
        least = _LEAST_INTENSITY * jnp.max(jnp.where(seen, x, 0)) + jnp.finfo(x.dtype).tiny

        def transform(x: Array) -> Array:
            return x if error == "intensity" else jnp.maximum(x, least) ** _POWERS[error]

        target = jnp.where(seen, transform(x), 0)

        def residual(z: Array) -> Array:
            given = None if cond is None else cond[None]
            decoded = required(model.decode, "decode")(variables, z[None], given)[0]
            return jnp.where(seen, share * (target - transform(decoded)), 0).ravel()

        def residual_and_prior(z: Array) -> Array:
            if whitening is None:
                return residual(z)
            hats = jnp.maximum(1 - jnp.abs(jnp.clip(z[0], 0, len(whitening) - 1) - jnp.arange(len(whitening))), 0)
            size = jnp.sqrt(jnp.maximum(jnp.sum(jnp.where(seen, x, 0)), least))
            return jnp.concatenate([residual(z), jnp.einsum("k,kij,j->i", hats, whitening, z[1:] / size)])

        def step(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
            z, damping, squares = carry
            left, jacobian = residual_and_prior(z), jax.jacfwd(residual_and_prior)(z)
            # Each number of the code by its own scale: a coefficient has the unit of the data, a region has none.
            sizes = jnp.linalg.norm(jacobian, axis=0)
            sizes = jnp.where(sizes > 0, sizes, 1)
            jacobian = jacobian / sizes[None, :]
            gram = jacobian.T @ jacobian + damping * jnp.eye(z.size, dtype=z.dtype)
            moved = z - jnp.linalg.solve(gram, jacobian.T @ left) / sizes
            now = jnp.sum(jnp.square(residual_and_prior(moved)))
            better = now < squares
            damping = jnp.clip(jnp.where(better, damping / 4, damping * 6), _LEAST_DAMPING, _MOST_DAMPING)
            return (jnp.where(better, moved, z), damping, jnp.where(better, now, squares)), None

        begin = (z, jnp.asarray(_DAMPING, z.dtype), jnp.sum(jnp.square(residual_and_prior(z))))
        z = jax.lax.scan(step, begin, None, length=num_steps)[0][0]
        jacobian = jax.jacfwd(residual)(z)
        return jnp.where(jnp.any(seen), z, jnp.nan), jacobian.T @ jacobian

    return jax.lax.map(refined, (x, z, batch.cond, batch.weight), batch_size=_ROWS_AT_A_TIME)


def _decode(model: Model, variables: Variables, batch: Batch) -> Array:
    return required(model.decode, "decode")(variables, batch.x, batch.cond)
