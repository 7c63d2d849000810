"""Maps as instruments see them: pixels missing, values below zero, an error for each."""

import warnings
from typing import NamedTuple

import numpy as np

from aejax.base import ArrayLike
from aejax.data.batches import as_arrays

_ROUNDING = 1e-6  # of a map's largest value: what is below zero by less is zero
_LEAST_ERROR = 1e-3  # of a map's root mean square, where nothing in it is below zero

_NUM_SCORINGS = 10
_TINY = 1e-150  # its square is above 0


class Observed(NamedTuple):
    """Maps, and how far each pixel is to be believed.

    Attributes:
        maps: (n, q, e) float32, NaN where a pixel was not observed.
        errors: (n, q, e), the standard deviation of each pixel, NaN where it was not observed; None where pixels are
            taken as they are, none of which is below 0.
    """

    maps: np.ndarray
    errors: np.ndarray | None

    def of(self, rows: np.ndarray) -> "Observed":
        """Some of the maps."""
        return Observed(self.maps[rows], None if self.errors is None else self.errors[rows])


def observe(maps: ArrayLike, errors: ArrayLike | None = None) -> Observed:
    """Checks maps and their errors.

    Without errors, values below 0 are taken as noise about 0. Their root mean square is then the error of all pixels of
    the map.

    Args:
        maps: (n, q, e), NaN or masked where a pixel is missing.
        errors: (n, q, e) standard deviations; 0, NaN or masked where a pixel is missing.

    Returns:
        The Observed.

    Raises:
        ValueError: infinite values, errors below 0 or of another shape, or a map whose intensities sum to 0 or less.

    Warns:
        UserWarning: values below 0 without errors, and errors of 0.

    Example:
        >>> found = observe([[[1.0, np.nan]]], [[[0.1, 0.1]]])
        >>> found.errors
        array([[[0.1, nan]]])
    """
    x = np.array(as_arrays(maps).x, np.float32)
    if np.isinf(x).any():
        raise ValueError("maps: found infinite values, expected numbers, or NaN where a pixel is missing")
    sums = np.nansum(x, axis=tuple(range(1, x.ndim)), dtype=float)
    dark = np.flatnonzero((sums <= 0) & ~np.isnan(x).all(axis=tuple(range(1, x.ndim))))
    if len(dark):
        raise ValueError(
            f"maps: found a sum of {sums[dark[0]]:.3g} in map {dark[0]} (counted from 0; {len(dark)} such maps), "
            "expected some intensity above 0; subtract less background, or leave the map out"
        )
    if errors is not None:
        return _with_errors(x, errors)
    negative = x < 0
    if not negative.any():
        return Observed(x, None)
    largest = np.nanmax(x, axis=(1, 2), keepdims=True, initial=0)
    x = np.where(negative & (x > -_ROUNDING * largest), 0, x)
    negative = x < 0
    if not negative.any():
        return Observed(x, None)
    warnings.warn(
        f"maps: found {negative.sum() / np.isfinite(x).sum():.1%} of the pixels below 0, taken as noise of one size "
        "throughout a map; errors of pixels say more",
        stacklevel=3,
    )
    return Observed(x, _noise_below_zero(x))


def _with_errors(x: np.ndarray, errors: ArrayLike) -> Observed:
    sigma = np.array(as_arrays(errors).x, float)
    if sigma.shape != x.shape:
        raise ValueError(f"errors: found shape {sigma.shape}, expected {x.shape} as maps have")
    if (sigma < 0).any():
        raise ValueError(f"errors: found {np.nanmin(sigma):.3g}, expected standard deviations, at least 0")
    num_zero = int(np.sum((sigma == 0) & np.isfinite(x)))
    known = np.isfinite(sigma) & (sigma > 0) & np.isfinite(x)
    if not known.any():
        raise ValueError("errors: found none above 0, expected standard deviations; leave errors out if there are none")
    if num_zero:
        warnings.warn(f"errors: found 0 at {num_zero} pixels, which are taken as missing", stacklevel=4)
    return Observed(np.where(known, x, np.nan).astype(np.float32), np.where(known, sigma, np.nan))


def _noise_below_zero(x: np.ndarray) -> np.ndarray:
    """The root mean square of the values below 0 of each map, which for noise about 0 is its standard deviation."""
    rows = x.reshape(len(x), -1).astype(float)
    below = np.where(rows < 0, rows, 0)
    noise = np.sqrt(np.sum(np.square(below), axis=1) / np.maximum(np.sum(rows < 0, axis=1), 1))
    level = np.sqrt(np.nansum(np.square(rows), axis=1) / np.maximum(np.isfinite(rows).sum(axis=1), 1))
    sigma = np.maximum(noise, _LEAST_ERROR * level).reshape(-1, *[1] * (x.ndim - 1))
    return np.where(np.isfinite(x), sigma, np.nan)


def misfit(observed: Observed, fitted: np.ndarray) -> np.ndarray:
    """The variance of what a fit leaves beyond the errors, which is taken to go with the intensity.

    On the scale of square roots, on which maps are held, a misfit of one size is one that goes with the intensity. Its
    size is measured on each map, and precise pixels count most: it is the most probable one of Gaussian misfits and
    errors, by Fisher's scoring.

    Args:
        observed: the Observed, with errors.
        fitted: (n, q, e), at least 0.

    Returns:
        (n, q, e).
    """
    assert observed.errors is not None
    seen = np.isfinite(observed.maps) & np.isfinite(fitted)
    axes = tuple(range(1, fitted.ndim))
    level = np.where(seen, fitted, 0).astype(float)
    noise = np.where(seen, np.square(observed.errors), 1)
    left = np.where(seen, np.square(observed.maps - fitted, dtype=float), 0)
    size, weight = np.zeros_like(level), seen.astype(float)
    for _ in range(_NUM_SCORINGS):
        excess = np.sum(weight * (left - noise), axis=axes, keepdims=True)
        size = np.maximum(excess, 0) / np.maximum(np.sum(weight * level, axis=axes, keepdims=True), _TINY)
        weight = level / np.square(np.maximum(noise + size * level, _TINY))
    return size * fitted


def completed(observed: Observed, fitted: np.ndarray) -> np.ndarray:
    """What is to be expected of each pixel, from the map and from a fit to it.

    A pixel lies between the two as their variances say: the square of its error, and the misfit. So one that is missing
    is what the fit says, and one without an error is what was observed.

    Args:
        observed: the Observed.
        fitted: (n, q, e), at least 0.

    Returns:
        (n, q, e) float32, complete, at least 0.
    """
    seen = np.isfinite(observed.maps)
    if observed.errors is None:
        share = np.where(seen, 1.0, 0.0)
    else:
        left, noise = misfit(observed, fitted), np.where(seen, np.square(observed.errors), np.inf)
        share = left / np.maximum(left + noise, np.finfo(float).tiny)
    expected = fitted + share * np.where(seen, observed.maps - fitted, 0)
    return np.maximum(expected, 0).astype(np.float32)


def product_of_profiles(maps: np.ndarray) -> np.ndarray:
    """Each map as a product of its own means over energy and over momentum: what is said of it before any fit.

    Args:
        maps: (n, q, e), NaN where missing.

    Returns:
        (n, q, e), complete, at least 0.
    """
    over_energy, over_momentum = (_interpolated(mean_observed(maps, axis)) for axis in (2, 1))
    total = mean_observed(maps, (1, 2))[:, None, None]
    return np.maximum(over_energy, 0)[:, :, None] * np.maximum(over_momentum, 0)[:, None, :] / total


def mean_observed(maps: np.ndarray, axis: int | tuple[int, ...] = 0) -> np.ndarray:
    """Means over what was observed, NaN where nothing was."""
    seen = np.isfinite(maps)
    if seen.all():
        return maps.mean(axis=axis)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sum(np.where(seen, maps, 0), axis=axis, dtype=float) / seen.sum(axis=axis)


def _interpolated(profiles: np.ndarray) -> np.ndarray:
    """(n, k) with its gaps closed along k."""
    places = np.arange(profiles.shape[1])
    seen = np.isfinite(profiles)
    return np.stack([np.interp(places, places[row], line[row]) for line, row in zip(profiles, seen, strict=True)])
