"""How many rows stand out from the others, once columns are looked at together."""

from statistics import NormalDist

import numpy as np

from aejax.base import ArrayLike

_CORE = 0.75  # the share of rows that are surely normal
_MOST_ROUNDS = 30
_ENOUGH_ROWS = 10_000
_FEWEST_PER_COLUMN = 10
_SHOULDER = (0.7, 0.8)
_BEYOND = 2.576  # one row in two hundred lies beyond where the distances are log-normal or shorter in the tail


def standing_out(x: ArrayLike) -> float:
    """The share of rows that lie off the others, as faults among normal rows do.

    The distance of a row is Mahalanobis's from the centre of the three quarters that lie closest together (the
    concentration steps of Rousseeuw and Van Driessen, 1999). It stands out where the distance is beyond the tail that
    the 30 % and the 20 % points draw, taken to be log-normal.

    Args:
        x: (n, c) rows, NaN where missing, of which constant columns tell nothing.

    Returns:
        The share, about 0.005 where no row stands out; 0 where under ten rows a column make it unknown.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(1000, 3))
        >>> x[:50, 1] += 15
        >>> round(standing_out(x), 2)
        0.05
    """
    values = np.asarray(x, float)
    values = values[:: -(-len(values) // _ENOUGH_ROWS)]
    centred = np.nan_to_num(values - np.nanmedian(values, axis=0))
    spread = np.sqrt(np.mean(np.square(centred), axis=0))
    rows = centred[:, spread > 0] / spread[spread > 0]
    if rows.shape[1] == 0 or len(rows) < _FEWEST_PER_COLUMN * rows.shape[1]:
        return 0.0
    distance = _distance_from_core(rows)
    near, far = np.quantile(distance, _SHOULDER)
    z_near, z_far = (NormalDist().inv_cdf(share) for share in _SHOULDER)
    slope = np.log(far / near) / (z_far - z_near)
    return float((distance > far * np.exp(slope * (_BEYOND - z_far))).mean())


def _distance_from_core(rows: np.ndarray) -> np.ndarray:
    num_core = int(_CORE * len(rows))
    core = np.argsort(np.abs(rows).max(axis=1))[:num_core]
    for _ in range(_MOST_ROUNDS):
        distance = _distance(rows, rows[core])
        closest = np.argpartition(distance, num_core - 1)[:num_core]
        if set(closest) == set(core):
            break
        core = closest
    return distance


def _distance(rows: np.ndarray, core: np.ndarray) -> np.ndarray:
    """Mahalanobis's, of each row from the mean of the core."""
    covariance = np.atleast_2d(np.cov(core.T))
    ridge = 1e-6 * max(np.trace(covariance) / len(covariance), np.finfo(float).tiny)
    factor = np.linalg.cholesky(covariance + ridge * np.eye(len(covariance)))
    return np.sqrt(np.sum(np.square(np.linalg.solve(factor, (rows - core.mean(axis=0)).T)), axis=0))
