"""Spreads that hold what they should: widened by what is found on maps held out."""

from typing import NamedTuple

import numpy as np

from aejax.base import ArrayLike


class Widening(NamedTuple):
    """What makes a spread of the standard deviation of an ensemble: factor * hypot(deviation, floor).

    Attributes:
        factor: a number.
        floor: in the units of the maps.
    """

    factor: float = 1.0
    floor: float = 0.0


def widening(x: ArrayLike, mean: ArrayLike, spread: ArrayLike, coverage: float = 0.95) -> Widening:
    """By how much a spread is too narrow, from maps that were held out: split conformal (Lei et al. 2018, section 5.2).

    Give it to the Predictor, ``predictor._replace(widening=...)``. Of maps like those held out, two spreads then hold
    ``coverage`` of the pixels on average; which maps these are is yours to say: crystals not seen, or states not seen
    of known ones.

    Args:
        x: (n, *event), NaN where a pixel is missing: maps that the predictor was not fitted to.
        mean: (n, *event), what was predicted.
        spread: (n, *event), as it is without a widening.
        coverage: share of the observed pixels that is to lie within two spreads.

    Returns:
        The Widening. Its floor, for pixels in which all members agree since each of them cuts them at 0, is the 5 %
        quantile of the spreads that are not 0: a higher one takes from bright pixels what it gives to dark ones. One
        member alone has no spread, and the root mean square error for its floor.

    Raises:
        ValueError: a share out of range, or maps that do not fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = 3 * rng.standard_normal((50, 6))
        >>> round(widening(x, np.zeros((50, 6)), np.ones((50, 6))).factor, 1)
        2.1
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage: found {coverage}, expected a share between 0 and 1, such as 0.95")
    x, mean, spread = (np.asarray(array, float) for array in (x, mean, spread))
    if not x.shape == mean.shape == spread.shape:
        raise ValueError(f"mean, spread: found shapes {mean.shape}, {spread.shape}, expected {x.shape} as of x")
    observed = np.isfinite(x)
    if not observed.any():
        raise ValueError("x: found no observed pixel, expected maps that were held out")
    off, width = np.abs(x - mean)[observed], spread[observed]
    floor = float(np.quantile(width[width > 0], 0.05) if width.any() else np.sqrt(np.mean(np.square(off))))
    width = 2 * np.hypot(width, floor)
    # The floor is 0 only where there is neither spread nor error.
    ratio = np.divide(off, width, out=np.zeros_like(off), where=width > 0)
    return Widening(float(np.quantile(ratio, coverage, method="higher")), floor)
