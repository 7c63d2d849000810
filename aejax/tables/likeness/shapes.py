"""How far the columns of two samples are apart, and their pairs of columns.

They are what SDMetrics' KSComplement, TVComplement, CorrelationSimilarity and ContingencySimilarity take from 1. Its
report cuts the numbers of each sample by the sample's own range, so that its figure of a number beside a category
differs.
"""

import numpy as np

from aejax import metrics
from aejax.tables.likeness.samples import Sample

_NUM_BINS = 10


def column_errors(real: Sample, new: Sample) -> np.ndarray:
    """Distance of the distributions of each column: of Kolmogorov and Smirnov, of categories the total variation.

    Missing cells take no part.

    Args:
        real: real rows.
        new: other ones.

    Returns:
        (c,) in [0, 1], 0 at best; NaN for a column without a value.

    Example:
        >>> rows = np.array([[0.0], [1.0]]), np.array([[0.0], [0.0]])
        >>> real, new = (Sample(("grade",), x, np.array([2])) for x in rows)
        >>> column_errors(real, new)
        array([0.5])
    """
    errors = metrics.ks_distance(real.values, new.values)
    for place in np.flatnonzero(real.is_category):
        errors[place] = metrics.total_variation(real.values[:, place], new.values[:, place])
    return errors


def pair_errors(real: Sample, new: Sample) -> np.ndarray:
    """How far each pair of columns is apart in two samples.

    Of two columns of numbers it is half the difference of their correlations. Of any other pair it is the total
    variation distance of the table of both, numbers cut into ten equal parts of the range of the real rows. A missing
    cell is a value of its own there.

    Args:
        real: real rows.
        new: other ones.

    Returns:
        (c, c), symmetric, 0 at best and 1 at worst; NaN on the diagonal and for a pair with a constant column of
        numbers.

    Example:
        >>> rows = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
        >>> real, new = (Sample(("a", "b"), x, np.array([0, 0])) for x in (rows, rows * [1, -1]))
        >>> pair_errors(real, new)
        array([[nan,  1.],
               [ 1., nan]])
    """
    num_columns = len(real.names)
    codes = [_codes(real, real), _codes(real, new)]
    num_codes = 1 + np.maximum(*(own.max(axis=0) for own in codes))
    errors = np.full((num_columns, num_columns), np.nan)
    for i in range(num_columns):
        for j in range(i):
            if real.is_category[i] or real.is_category[j]:
                both = [own[:, i] * num_codes[j] + own[:, j] for own in codes]
                errors[i, j] = errors[j, i] = metrics.total_variation(*both)
            else:
                found = [_correlation(sample.values[:, i], sample.values[:, j]) for sample in (real, new)]
                errors[i, j] = errors[j, i] = abs(found[0] - found[1]) / 2
    return errors


def _codes(real: Sample, sample: Sample) -> np.ndarray:
    """(n, c) whole numbers from 0 on: levels, and numbers by the part of the real rows' range that they are in."""
    codes = np.empty(sample.values.shape, np.int64)
    for place in range(len(real.names)):
        rows, known = sample.values[:, place], real.values[:, place]
        if real.is_category[place]:
            codes[:, place] = np.where(np.isnan(rows), real.num_levels[place], rows)
        else:
            inner = np.histogram_bin_edges(known[~np.isnan(known)], _NUM_BINS)[1:-1]
            codes[:, place] = np.where(np.isnan(rows), _NUM_BINS, np.digitize(rows, inner))
    return codes


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    seen = ~np.isnan(first) & ~np.isnan(second)
    x, y = first[seen], second[seen]
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan
    return float(np.corrcoef(x, y)[0, 1])
