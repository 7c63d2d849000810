"""The errors of travel times: the decoder's, the noise, a time zero that is not known, single times that are wrong."""

import numpy as np

from aejax.base import ArrayLike
from aejax.tasks.inversion.accuracy import ApproximationError

_DEGREES_OF_FREEDOM = 4
_NUM_ITERATIONS = 100


def time_covariance(
    error: ApproximationError, noise: float, weight: ArrayLike = 1.0, time_zero_spread: float = 0.0
) -> np.ndarray:
    """The covariance of travel times around those of the decoder's section.

    Args:
        error: of the decoder.
        noise: standard deviation of a time, in ns.
        weight: (n,) how much a ray counts: the variance of its noise is noise^2 / weight.
        time_zero_spread: standard deviation of a time that all rays share, in ns, where the time zero is not known.

    Returns:
        (n, n).

    Example:
        >>> error = ApproximationError(np.zeros(2), np.eye(2), np.zeros((3, 2)))
        >>> time_covariance(error, 1.0, [1.0, 0.5], 10.0)
        array([[102., 100.],
               [100., 103.]])
    """
    num_rays = len(error.mean)
    return error.covariance + np.diag(np.broadcast_to(noise**2 / np.asarray(weight), num_rays)) + time_zero_spread**2


def heavy_tailed_weights(
    residual: ArrayLike, error: ApproximationError, noise: float, time_zero_spread: float = 0.0
) -> np.ndarray:
    """How much each ray counts if its noise has Student's t distribution, of four degrees of freedom.

    A t distribution is a Gaussian whose variance is divided by a gamma variable (Lange, Little & Taylor 1989). The mean
    of the latter given the noise of a ray, and the noise given the residual and these means, are found in turn; the
    decoder's error stays as it is. No ray counts more than its noise allows.

    Args:
        residual: (n,) measured minus predicted time, in ns.
        error: of the decoder, whose mean the residual has been freed of.
        noise: scale of a time's noise, in ns.
        time_zero_spread: as in ``time_covariance``.

    Returns:
        (n,) in (0, 1].

    Example:
        >>> error = ApproximationError(np.zeros(3), 0.01 * np.eye(3), np.zeros((3, 3)))
        >>> heavy_tailed_weights([0.5, -0.8, 50.0], error, 1.0).round(3)
        array([1.   , 1.   , 0.002])
    """
    residual = np.asarray(residual, float)
    weight = np.ones(len(residual))
    for _ in range(_NUM_ITERATIONS):
        variance = noise**2 / weight
        precision = np.linalg.inv(time_covariance(error, noise, weight, time_zero_spread))
        mean = variance * (precision @ residual)
        spread = variance - variance**2 * np.diagonal(precision)
        square = (mean**2 + spread) / noise**2
        weight = np.minimum(1, (_DEGREES_OF_FREEDOM + 1) / (_DEGREES_OF_FREEDOM + square))
    return weight


def time_zero(residual: ArrayLike, covariance: np.ndarray, spread: float) -> tuple[np.ndarray, float]:
    """The time that all rays share, given what is left of their times.

    Args:
        residual: (..., n) in ns.
        covariance: (n, n) of all else.
        spread: standard deviation of the time before it was measured, in ns.

    Returns:
        Its mean (...) and standard deviation, in ns.

    Example:
        >>> mean, deviation = time_zero([9.0, 11.0], np.eye(2), 1e6)
        >>> round(float(mean), 3), round(deviation, 3)
        (10.0, 0.707)
    """
    weight = np.linalg.solve(covariance, np.ones(len(covariance)))
    variance = 1 / (weight.sum() + 1 / spread**2)
    return np.asarray(residual) @ weight * variance, float(np.sqrt(variance))
