"""Tables whose outliers are known by the way they are made, and digits of scikit-learn: normal rows and outliers."""

from collections.abc import Callable

import numpy as np
from sklearn.datasets import load_digits

Table = tuple[np.ndarray, np.ndarray]  # normal rows, outliers
_NUM_NORMAL, _NUM_OUTLIERS = 1200, 200


def densities(rng: np.random.Generator, num_columns: int) -> Table:
    """Three clusters, ten times as wide as one another; the outliers lie a few widths beside the two narrow ones."""
    centres, widths = 4 * rng.standard_normal((3, num_columns)), np.array([0.1, 0.5, 2.0])

    def drawn(which: np.ndarray, factor: float) -> np.ndarray:
        noise = rng.standard_normal((len(which), num_columns))
        return np.asarray(centres[which] + factor * widths[which, None] * noise)

    return drawn(rng.integers(0, 3, _NUM_NORMAL), 1), drawn(rng.integers(0, 2, _NUM_OUTLIERS), 4)


def manifold(rng: np.random.Generator) -> Table:
    """Three factors bent into twenty columns; the outliers lie beside the surface, or beyond its edge."""
    inner, outer = rng.standard_normal((3, 60)), rng.standard_normal((60, 20)) / 8

    def surface(factors: np.ndarray, noise: float) -> np.ndarray:
        return np.tanh(0.7 * factors @ inner) @ outer + noise * rng.standard_normal((len(factors), 20))

    half = rng.standard_normal((2, _NUM_OUTLIERS // 2, 3))
    outliers = np.concatenate([surface(half[0], 0.15), surface(2.2 * half[1], 0.05)])
    return surface(rng.standard_normal((_NUM_NORMAL, 3)), 0.05), outliers


def counts(rng: np.random.Generator) -> Table:
    """Counts of two factors; those of the outliers have other weights."""
    weights = 0.6 * rng.standard_normal((2, 2, 10))
    sizes = (_NUM_NORMAL, _NUM_OUTLIERS)
    rows = [rng.poisson(np.exp(rng.standard_normal((n, 2)) @ w + 0.5)) for n, w in zip(sizes, weights, strict=True)]
    return rows[0].astype(float), rows[1].astype(float)


def zeros_and_ones(rng: np.random.Generator) -> Table:
    """Four classes of 25 columns of 0 and 1; the outliers are of two others."""
    shares = rng.beta(0.4, 0.4, (6, 25))
    classes = rng.integers(0, 4, _NUM_NORMAL), rng.integers(4, 6, _NUM_OUTLIERS)
    rows = [(rng.random((len(which), 25)) < shares[which]).astype(float) for which in classes]
    return rows[0], rows[1]


def heavy_tails(rng: np.random.Generator) -> Table:
    """Eight columns that hang together and eight that do not, all stretched; in the outliers two are shifted."""
    mixing = rng.standard_normal((8, 8)) / 3

    def drawn(num_rows: int, shift: float) -> np.ndarray:
        related, other = rng.standard_normal((2, num_rows, 8))
        related = related @ mixing
        related[:, :2] += shift * rng.choice([-1, 1], (num_rows, 2))
        return np.sinh(0.8 * np.concatenate([related, other], axis=1))

    return drawn(_NUM_NORMAL, 0), drawn(_NUM_OUTLIERS, 1.5)


def digits(outlier: int) -> Table:
    """Images of nine digits; the outliers are those of the tenth."""
    x, y = load_digits(return_X_y=True)
    return x[y != outlier], x[y == outlier]


TABLES: dict[str, Callable[[np.random.Generator], Table]] = {
    "densities, 6 columns": lambda rng: densities(rng, 6),
    "densities, 2 columns": lambda rng: densities(rng, 2),
    "manifold": manifold,
    "counts": counts,
    "0 and 1": zeros_and_ones,
    "heavy tails": heavy_tails,
    **{f"digit {digit}": lambda _, digit=digit: digits(digit) for digit in (0, 3, 8)},
}
