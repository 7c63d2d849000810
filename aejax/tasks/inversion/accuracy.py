"""How far an inversion is to be believed: the decoder's own error, and the coverage of intervals."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Adversary, Array, ArrayLike, Model, Variables
from aejax.tasks.inversion.problem import Observe, decode_one


class ApproximationError(NamedTuple):
    """What the decoder cannot represent, as it shows in the data.

    Attributes:
        mean: (m,), to take from the data before they are inverted.
        covariance: (m, m), to add to that of the noise.
    """

    mean: np.ndarray
    covariance: np.ndarray


def approximation_error(
    model: Model | Adversary, variables: Variables, observe: Observe, x: Any, z: ArrayLike
) -> ApproximationError:
    """Mean and covariance of observe(x) - observe(decode(z)) over held-out rows.

    No decoder gives every section exactly. What it leaves out looks like noise in the data, but is correlated and
    larger than the instrument's: an inversion that ignores it is sure of what is wrong. Its mean is to be taken from
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
    error = np.asarray(_observed_error(model, observe, variables, x, z), float)
    covariance = np.atleast_2d(np.cov(error, rowvar=False))
    share = 1 / np.sqrt(len(x))
    covariance = (1 - share) * covariance + share * np.diag(np.diagonal(covariance))
    return ApproximationError(error.mean(axis=0), covariance)


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
def _observed_error(model: Any, observe: Observe, variables: Variables, x: Array, z: Array) -> Array:
    return jax.lax.map(lambda row: observe(row[0]) - observe(decode_one(model, variables, row[1])), (x, z))
