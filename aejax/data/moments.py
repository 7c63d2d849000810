"""Mean, spread and range of columns whose rows come block by block."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aejax.data.columns.scalers import Scaler, fit_scaler
from aejax.losses.likelihoods import Scaling


class Moments(NamedTuple):
    """What is known of rows that have been seen, by column, float64; missing values do not count.

    Attributes:
        num_rows: how many rows there were.
        observed: (c,) int64, values that are not missing.
        mean: (c,), 0 where there is no value.
        squares: (c,) sum of the squared distances from the mean.
        least: (c,), inf where there is no value.
        most: (c,), -inf likewise.
    """

    num_rows: int
    observed: np.ndarray
    mean: np.ndarray
    squares: np.ndarray
    least: np.ndarray
    most: np.ndarray


def moments(x: np.ndarray) -> Moments:
    """The moments of some rows.

    Args:
        x: (n, c), NaN where missing.

    Returns:
        The Moments.

    Example:
        >>> moments(np.array([[1.0], [3.0], [np.nan]])).mean
        array([2.])
    """
    seen = ~np.isnan(x)
    observed = seen.sum(axis=0)
    least = np.min(x, axis=0, initial=np.inf, where=seen)
    # Relative to a value of the column, so that the sums of a large constant are exact.
    origin = np.where(observed > 0, least, 0.0)
    from_origin = np.where(seen, x - origin, 0.0)
    shift = from_origin.sum(axis=0) / np.maximum(observed, 1)
    from_mean = np.where(seen, from_origin - shift, 0.0)
    squares = np.einsum("nc,nc->c", from_mean, from_mean)
    return Moments(len(x), observed, origin + shift, squares, least, np.max(x, axis=0, initial=-np.inf, where=seen))


def merged(parts: Sequence[Moments]) -> Moments:
    """The moments of all rows of which the parts were seen (Chan, Golub & LeVeque 1983).

    Args:
        parts: of blocks of rows, at least one.

    Returns:
        The Moments.

    Example:
        >>> x = np.random.default_rng(0).normal(5, 2, (100, 3))
        >>> both = merged([moments(x[:30]), moments(x[30:])])
        >>> bool(np.allclose(both.mean, x.mean(axis=0)) and np.allclose(both.squares / 100, x.var(axis=0)))
        True
    """
    total = parts[0]
    for part in parts[1:]:
        observed = total.observed + part.observed
        share = part.observed / np.maximum(observed, 1)
        step = part.mean - total.mean
        total = Moments(
            total.num_rows + part.num_rows,
            observed,
            total.mean + step * share,
            total.squares + part.squares + np.square(step) * total.observed * share,
            np.minimum(total.least, part.least),
            np.maximum(total.most, part.most),
        )
    return total


def scaler_of(found: Moments, columns: Sequence[str] | None = None, scaling: Scaling = "standardised") -> Scaler:
    """What ``fit_scaler`` fits to the rows of which these are the moments, up to rounding.

    Args:
        found: of training rows.
        columns: c names for an error.
        scaling: as for ``fit_scaler``; that counts are counts is not looked at.

    Returns:
        The Scaler.

    Raises:
        ValueError: a column has no value.

    Example:
        >>> scaler_of(moments(np.array([[1.0], [3.0], [np.nan]])))
        Scaler(mean=array([2.]), scale=array([1.]))
    """
    spread = np.sqrt(found.squares / np.maximum(found.observed, 1))
    # Two rows of the same mean and spread, or of the same ends.
    ends = (found.mean - spread, found.mean + spread) if scaling == "standardised" else (found.least, found.most)
    return fit_scaler(np.where(found.observed > 0, np.stack(ends), np.nan), columns, scaling)
