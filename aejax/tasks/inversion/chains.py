"""Have Markov chains converged, and how many independent draws are they worth?"""

import numpy as np
from jax.scipy.special import ndtri

from aejax.base import ArrayLike


def rank_normalised_r_hat(draws: ArrayLike) -> np.ndarray:
    """Split R-hat of ranks, the larger of that of the draws and that of their distances from the median.

    The first sees chains that differ in place, the second chains that differ in width. At most 1.01 is asked for where
    intervals are read off the draws (Vehtari, Gelman, Simpson, Carpenter & Bürkner 2021, eqs. 1 to 4 and 14).

    Args:
        draws: (chains, draws, d).

    Returns:
        (d,), at least about 1; NaN where the draws do not vary.

    Raises:
        ValueError: fewer than 4 draws a chain, or another number of axes.

    Example:
        >>> draws = np.random.default_rng(0).normal(size=(4, 500, 2))
        >>> rank_normalised_r_hat(draws).round(2)
        array([1., 1.])
        >>> rank_normalised_r_hat(draws + np.arange(4)[:, None, None])[0] > 1.5
        np.True_
    """
    halves = _split(draws)
    folded = np.abs(halves - np.median(halves, axis=(0, 1)))
    return np.maximum(_r_hat(_normal_scores(halves)), _r_hat(_normal_scores(folded)))


def effective_sample_size(draws: ArrayLike) -> np.ndarray:
    """The number of independent draws whose mean would be as precise: of the ranks, "bulk" (Vehtari et al. 2021).

    The chains' autocorrelations are summed in pairs while these decrease and stay positive (Geyer 1992).

    Args:
        draws: (chains, draws, d).

    Returns:
        (d,); NaN where the draws do not vary.

    Raises:
        ValueError: fewer than 4 draws a chain, or another number of axes.

    Example:
        >>> draws = np.random.default_rng(0).normal(size=(4, 500, 1))
        >>> 1500 < effective_sample_size(draws)[0] < 2600
        np.True_
    """
    scores = _normal_scores(_split(draws))
    num_chains, num_draws, _ = scores.shape
    within, total = _variances(scores)
    centred = scores - scores.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, 2 * num_draws, axis=1)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :num_draws].mean(axis=0) / num_draws
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = 1 - (within - covariance * num_draws / (num_draws - 1)) / total
    correlation[0] = 1
    pairs = correlation[: num_draws // 2 * 2].reshape(-1, 2, scores.shape[2]).sum(axis=1)
    is_kept = np.logical_and.accumulate(pairs > 0, axis=0)
    decreasing = np.minimum.accumulate(np.where(is_kept, pairs, 0), axis=0)
    size = num_chains * num_draws
    # Antithetic chains may be worth more than their number of draws; Stan's bound keeps the estimate sane.
    time = np.maximum(2 * decreasing.sum(axis=0) - 1, 1 / np.log10(size))
    return np.where(np.isfinite(total) & (total > 0), size / time, np.nan)


def _split(draws: ArrayLike) -> np.ndarray:
    """Each chain as two halves, so that a drift within chains shows as a difference between them."""
    draws = np.asarray(draws, float)
    if draws.ndim != 3 or draws.shape[1] < 4:
        raise ValueError(f"draws: found shape {draws.shape}, expected (chains, at least 4 draws, d)")
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, -half:]])


def _normal_scores(draws: np.ndarray) -> np.ndarray:
    flat = draws.reshape(-1, draws.shape[2])
    order = flat.argsort(axis=0, kind="stable")
    rank = np.empty(flat.shape)
    np.put_along_axis(rank, order, np.arange(1.0, len(flat) + 1)[:, None], axis=0)
    # Rejected proposals repeat a draw: ties share their mean rank, or their order would pass for information.
    for column in range(flat.shape[1]):
        _, where, count = np.unique(flat[:, column], return_inverse=True, return_counts=True)
        rank[:, column] = (np.bincount(where, rank[:, column]) / count)[where]
    return np.asarray(ndtri((rank - 0.375) / (len(flat) + 0.25)), float).reshape(draws.shape)


def _variances(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Within chains, and of all: (n - 1) / n within + variance of the chains' means."""
    num_draws = scores.shape[1]
    within = scores.var(axis=1, ddof=1).mean(axis=0)
    return within, within * (num_draws - 1) / num_draws + scores.mean(axis=1).var(axis=0, ddof=1)


def _r_hat(scores: np.ndarray) -> np.ndarray:
    within, total = _variances(scores)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(total / within)
