"""How far an inversion is to be believed: the decoder's own error, what draws predict with it, and their coverage."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Adversary, Array, ArrayLike, Model, Variables
from aejax.tasks.inversion.density import Observe, decode_one

_DRAWS_AT_ONCE = 64


class ApproximationError(NamedTuple):
    """What the decoder cannot represent, as it shows in the data.

    Attributes:
        mean: (m,), to take from the data before they are inverted.
        covariance: (m, m), to add to that of the noise.
        rows: (n, m), what it leaves out of each held-out row.
    """

    mean: np.ndarray
    covariance: np.ndarray
    rows: np.ndarray


def approximation_error(
    model: Model | Adversary, variables: Variables, observe: Observe, x: ArrayLike, z: ArrayLike
) -> ApproximationError:
    """Mean and covariance of observe(x) - observe(decode(z)) over held-out rows.

    No decoder gives every section exactly. What it leaves out looks like noise in the data, but is correlated and
    larger than the instrument's: an inversion that ignores it is too certain. Its mean is to be taken from
    the data, its covariance added to that of the noise (Kaipio & Somersalo 2007; for decoders Lopez-Alvis et al. 2021).

    Args:
        model: a fitted Model or Adversary.
        variables: its variables.
        observe: (*event) -> (m,).
        x: (n, *event), rows that the model was not trained on, nor those to be inverted.
        z: (n, d), the codes that represent them best, such as those of ``refine``.

    Returns:
        ApproximationError. The covariance is the sample's, shrunk towards its diagonal by 1 / sqrt(n), or it would be
        singular with fewer rows than data.

    Raises:
        ValueError: fewer than two rows, or another number of codes.

    Example:
        >>> import aejax
        >>> x = jax.random.normal(jax.random.key(0), (20, 5))
        >>> model = aejax.models.vae((5,), 2)
        >>> variables = model.init(jax.random.key(1), aejax.Batch(x))
        >>> approximation_error(model, variables, jnp.cumsum, x, jnp.zeros((20, 2))).covariance.shape
        (5, 5)
    """
    x, z = jnp.asarray(x, jnp.float32), jnp.asarray(z, jnp.float32)
    if len(x) != len(z) or len(x) < 2:
        raise ValueError(f"x, z: found {len(x)} rows and {len(z)} codes, expected as many, at least 2")
    return error_of_rows(np.asarray(_observed_error(model, observe, variables, x, z), float))


def error_of_rows(rows: np.ndarray) -> ApproximationError:
    """Mean and covariance of what is left out of rows, (n, m)."""
    covariance = np.atleast_2d(np.cov(rows, rowvar=False))
    share = 1 / np.sqrt(len(rows))
    covariance = (1 - share) * covariance + share * np.diag(np.diagonal(covariance))
    return ApproximationError(rows.mean(axis=0), covariance, rows)


def posterior_predictive(
    key: Array,
    model: Model | Adversary,
    variables: Variables,
    quantity: Observe,
    draws: ArrayLike,
    x: ArrayLike,
    z: ArrayLike,
    *,
    noise: ArrayLike = 0.0,
) -> np.ndarray:
    """Draws of a quantity of the truth itself: of what the decoder makes of each code, with what it leaves out.

    q_i = quantity(decode(z_i)) + e_i + noise, where e_i is Gaussian with the mean and covariance of
    quantity(x) - quantity(decode(z)) over held-out rows. Intervals read off the decoder's outputs alone say how well
    the code is known, not the truth: they miss it the more often the worse the decoder, however good misfit and R-hat.

    Where a quantity takes two values only, such as the facies of a single cell, no Gaussian describes its error: the
    mean of the decoder's probabilities over the draws is the probability of facies 1 there.

    Args:
        key: PRNG key, of the decoder's error and the noise.
        model: a fitted Model or Adversary.
        variables: its variables.
        quantity: (*event) -> (m,), what is asked of a section: means of blocks, data that were not measured. The
            compiled program belongs to it, as to ``observe``.
        draws: (..., d) codes, such as ``Posterior.z``.
        x: (n, *event), rows that the model was not trained on, nor those to be inverted.
        z: (n, d), the codes that represent them best, such as those of ``refine``.
        noise: standard deviation in the units of the quantity, a number or (m,), where data are predicted that will be
            measured with noise.

    Returns:
        (k, m), one row for each of the k draws, chains joined.

    Raises:
        ValueError: draws of another size than the codes of held-out rows, noise that is negative or of another size,
            fewer than two held-out rows, or another number of their codes.

    Example:
        >>> import aejax
        >>> x = jax.random.normal(jax.random.key(0), (20, 5))
        >>> model = aejax.models.vae((5,), 2)
        >>> variables = model.init(jax.random.key(1), aejax.Batch(x))
        >>> draws = jax.random.normal(jax.random.key(2), (4, 50, 2))
        >>> posterior_predictive(jax.random.key(3), model, variables, jnp.cumsum, draws, x, jnp.zeros((20, 2))).shape
        (200, 5)
    """
    draws = jnp.asarray(draws, jnp.float32)
    dims = np.shape(z)[-1:]
    if draws.ndim < 2 or draws.shape[-1:] != dims:
        raise ValueError(f"draws: found shape {draws.shape}, expected (..., {', '.join(map(str, dims))}) as z has")
    left_out = approximation_error(model, variables, quantity, x, z)
    num_values = left_out.mean.size
    spread = np.asarray(noise, float)
    if not (np.isfinite(spread) & (spread >= 0)).all() or spread.shape not in ((), (num_values,)):
        raise ValueError(f"noise: found {noise!s}, expected standard deviations of at least 0, one or {num_values}")
    values = np.asarray(quantities(model, quantity, variables, draws.reshape(-1, *dims)), float)
    error_key, noise_key = jax.random.split(key)
    # A part of the quantity that the decoder never misses has no variance, which Cholesky does not take.
    floor = 1e-12 * (np.diagonal(left_out.covariance).max() or 1.0)
    cholesky = np.linalg.cholesky(left_out.covariance + floor * np.eye(num_values))
    error = left_out.mean + np.asarray(jax.random.normal(error_key, values.shape, jnp.float32)) @ cholesky.T
    return values + error + spread * np.asarray(jax.random.normal(noise_key, values.shape, jnp.float32))


def truths_alike(key: Array, predicted: ArrayLike, held_out: ArrayLike, truth: ArrayLike) -> np.ndarray:
    """Draws of the truth where a decoder says what it says: truths of held-out values like it.

    For n held-out values these are the sqrt(n) nearest, and all that equal it. So the error may be anything, and depend
    on the value: it is 0 where the decoder is always right, and no draw lies where no truth does.

    Args:
        key: PRNG key.
        predicted: (...), values that the decoder gives.
        held_out: (...), values that it gave for rows that it was not trained on.
        truth: (...), as ``held_out``, the values of these rows themselves.

    Returns:
        As ``predicted``.

    Example:
        >>> decoded, truth = np.linspace(0, 1, 100), np.repeat([0.0, 1.0], 50)
        >>> truths_alike(jax.random.key(0), [0.0, 1.0], decoded, truth)
        array([0., 1.])
    """
    predicted, held_out, truth = np.asarray(predicted), np.ravel(held_out), np.ravel(truth)
    order = np.argsort(held_out, kind="stable")
    held_out, truth = held_out[order], truth[order]
    num_alike = round(len(truth) ** 0.5)
    begin, end = (np.searchsorted(held_out, predicted, side) for side in ("left", "right"))
    first = np.clip(np.minimum(begin, (begin + end - num_alike) // 2), 0, len(truth) - num_alike)
    last = np.maximum(end, first + num_alike)
    share = np.asarray(jax.random.uniform(key, predicted.shape, jnp.float32), float)
    return truth[first + (share * (last - first)).astype(int)]


def interval_coverage(draws: ArrayLike, truth: ArrayLike, level: float = 0.9) -> np.ndarray:
    """Where the truth lies inside the central interval of the draws: on average ``level``, if they are right.

    Args:
        draws: (n, ...), chains joined.
        truth: (...).
        level: of the interval, in (0, 1).

    Returns:
        (...) bool.

    Example:
        >>> draws = np.random.default_rng(0).normal(size=(1000, 2))
        >>> interval_coverage(draws, [0.0, 3.0])
        array([ True, False])
    """
    low, high = np.quantile(np.asarray(draws), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return (low <= np.asarray(truth)) & (np.asarray(truth) <= high)


@functools.partial(jax.jit, static_argnames=("model", "observe"))
def _observed_error(model: Model | Adversary, observe: Observe, variables: Variables, x: Array, z: Array) -> Array:
    return jax.lax.map(lambda row: observe(row[0]) - observe(decode_one(model, variables, row[1])), (x, z))


@functools.partial(jax.jit, static_argnames=("model", "quantity"))
def quantities(model: Model | Adversary, quantity: Observe, variables: Variables, z: Array) -> Array:
    """(n, m), the quantity of the decoder's section of each of (n, d) codes."""
    return jax.lax.map(lambda code: quantity(decode_one(model, variables, code)), z, batch_size=_DRAWS_AT_ONCE)
