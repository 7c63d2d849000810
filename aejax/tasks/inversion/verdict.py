"""Is a measurement explained by what was found, and if not, what do the rays have in common that are not?"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri

from aejax.base import Array
from aejax.tasks.inversion.accuracy import ApproximationError, error_of_rows
from aejax.tasks.inversion.density import Problem, residuals

_CHANCE = 1e-3
"""Of a measurement without fault, that a shift or a factor stands out."""
_QUANTILE = 0.99
_NUM_FOLDS = 5
_MOST_OFF = 0.2
"""Share of the data that are looked for one by one."""


class Verdict(NamedTuple):
    """What is to be thought of a fit.

    Attributes:
        misfit: root mean square of the residuals in units of noise and decoder's error, over the draws.
        most: misfit that one in a hundred sections exceeds that the decoder was not trained on.
        residual: (m,) data minus prediction, over the draws.
        is_off: (m,) bool, data that stand out from the others.
        shift: what all data share that the fit leaves over, and its standard deviation, in their units.
        factor: by which all data are too large, less 1, and its standard deviation.
    """

    misfit: float
    most: float
    residual: np.ndarray
    is_off: np.ndarray
    shift: tuple[float, float]
    factor: tuple[float, float]

    @property
    def is_explained(self) -> bool:
        """Whether nothing stands out."""
        return self.misfit <= self.most and not self.is_off.any() and not self.stands_out

    @property
    def stands_out(self) -> tuple[str, ...]:
        """Which of shift and factor are more than chance."""
        limit = two_sided(_CHANCE)
        return tuple(
            name for name in ("shift", "factor") if abs(getattr(self, name)[0]) > limit * getattr(self, name)[1]
        )


def two_sided(chance: float) -> float:
    """How many standard deviations a normal variable exceeds with this probability.

    Example:
        >>> round(two_sided(0.05), 2)
        1.96
    """
    return float(-ndtri(chance / 2))


class Usual(NamedTuple):
    """What one in a hundred sections exceeds that the decoder was not trained on, though nothing is wrong.

    Attributes:
        misfit: root mean square of the residuals in units of noise and decoder's error.
        score: of the datum that stands out most from what the others say of it, in standard deviations.
    """

    misfit: float
    score: float


def usual(key: Array, error: ApproximationError, covariance: np.ndarray) -> Usual:
    """The misfit and the score that are still usual, from held-out rows at their best codes.

    The decoder's error of some rows is judged with the covariance of the others, five times in turn, or the rows would
    seem as likely as their own covariance makes them. It is no Gaussian: these limits are wider than those of one.

    Args:
        key: PRNG key, of the noise.
        error: of the decoder, whose rows are at least ten.
        covariance: (m, m) of errors and noise; what it has beyond that of ``error`` is noise.

    Returns:
        The Usual.
    """
    beyond = covariance - error.covariance
    values, vectors = np.linalg.eigh(beyond)
    draws = np.asarray(jax.random.normal(key, error.rows.shape, jnp.float32), float)
    measured = error.rows + draws @ (vectors * np.sqrt(np.maximum(values, 0))).T
    fold = np.arange(len(measured)) % _NUM_FOLDS
    misfits, scores = [], []
    for one in range(_NUM_FOLDS):
        others = error_of_rows(error.rows[fold != one])
        part = measured[fold == one] - others.mean
        precision = np.linalg.inv(others.covariance + beyond)
        misfits.extend(np.sqrt((part * (part @ precision)).mean(axis=1)))
        scores.extend(_scores(part, precision).max(axis=1))
    return Usual(float(np.quantile(misfits, _QUANTILE)), float(np.quantile(scores, _QUANTILE)))


def _scores(residual: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """How far each datum is from what the others say of it, in standard deviations."""
    return np.asarray(np.abs(residual @ precision) / np.sqrt(np.diagonal(precision)))


def judge(
    problem: Problem, z: Array, misfit: float, most: Usual, predicted: np.ndarray, covariance: np.ndarray
) -> Verdict:
    """Judges a fit.

    Args:
        problem: the Problem, whose prior is standard normal.
        z: (d,), the most probable code.
        misfit: of the draws.
        most: from ``usual``.
        predicted: (m,) data, the mean over the draws.
        covariance: (m, m), that of the problem.

    Returns:
        The Verdict.
    """
    residual = np.asarray(problem.y, float) - predicted
    # Not the data themselves, whose noise would explain itself.
    directions = jnp.stack([jnp.ones_like(problem.y), jnp.asarray(predicted, problem.y.dtype)])
    effects = _common_effects(problem, z, directions)
    shift, factor = ((float(value), float(deviation)) for value, deviation in zip(*effects, strict=True))
    return Verdict(misfit, most.misfit, residual, _off(residual, covariance, most.score), shift, factor)


def _off(residual: np.ndarray, covariance: np.ndarray, limit: float) -> np.ndarray:
    """The one that is furthest from what the others say of it, then the next, without those found before."""
    is_off = np.zeros(len(residual), bool)
    for _ in range(int(_MOST_OFF * len(residual))):
        (rest,) = np.nonzero(~is_off)
        score = _scores(residual[rest], np.linalg.inv(covariance[np.ix_(rest, rest)]))
        if score.max() <= limit:
            break
        is_off[rest[score.argmax()]] = True
    return is_off


@jax.jit
def _common_effects(problem: Problem, z: Array, directions: Array) -> tuple[Array, Array]:
    """How much of each direction the data hold, (k,), and its standard deviation, the code free to move with it.

    To first order in the code around z, data minus prediction are Gaussian with the covariance 1 + J J^T, in units of
    the noise: a generalised least squares of one unknown.
    """
    jacobian = jax.jacfwd(lambda z: residuals(problem, z))(z)
    residual = residuals(problem, z) - jacobian @ z
    whitening = problem.whitening if problem.whitening.ndim == 2 else jnp.diag(problem.whitening)
    whitened = whitening @ directions.T
    weight = jnp.linalg.solve(jnp.eye(len(residual), dtype=z.dtype) + jacobian @ jacobian.T, whitened)
    information = jnp.sum(whitened * weight, axis=0)
    return weight.T @ residual / information, information**-0.5
