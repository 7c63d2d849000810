"""Whether new rows give away the rows that a model was trained on."""

import numpy as np

from aejax.data.formats.libraries import library
from aejax.tables.likeness.samples import Sample


def share_of_copies(train: Sample, rows: Sample) -> float:
    """The share of rows that are a training row, cell by cell.

    Args:
        train: the training rows.
        rows: new ones.

    Returns:
        In [0, 1].

    Example:
        >>> train, new = (Sample(("a",), np.array(x)[:, None], np.array([0])) for x in ([1.0, 2.0], [2.0, 3.0]))
        >>> share_of_copies(train, new)
        0.5
    """
    known = {row.tobytes() for row in _exact(train)}
    return float(np.mean([row.tobytes() in known for row in _exact(rows)]))


def nearest(known: Sample, rows: Sample, scale: Sample) -> np.ndarray:
    """(n,) the distance of each row to the nearest known one.

    A column of numbers counts by the difference in units of its standard deviation, a category by 1 where it differs,
    a missing cell as a value of its own.

    Args:
        known: the rows to look among.
        rows: the rows to look for.
        scale: real rows that say how the columns are scaled.

    Returns:
        Euclidean distances.

    Raises:
        ImportError: scikit-learn is not installed.

    Example:
        >>> known, rows = (Sample(("a",), np.array(x)[:, None], np.array([0])) for x in ([1.0, 3.0], [2.5]))
        >>> nearest(known, rows, known)
        array([0.5])
    """
    library("sklearn", "comparing tables", "estimators")
    from sklearn.neighbors import NearestNeighbors

    finder = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(_placed(known, scale))
    return finder.kneighbors(_placed(rows, scale))[0][:, 0]


def share_nearer(train: Sample, held_out: Sample, new: Sample, seed: int = 0) -> float:
    """The share of new rows whose nearest real row is a training row and not a held-out one.

    Both are looked for among equally many rows, so that it is 0.5 where the new rows know nothing of the training rows.

    Args:
        train: the training rows.
        held_out: real rows that nothing was learned from.
        new: new rows.
        seed: of the rows that are taken of the larger sample.

    Returns:
        In [0, 1]; rows equally near to both count half.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> train, held_out = (Sample(("a", "b"), rng.normal(size=(300, 2)), np.array([0, 0])) for _ in range(2))
        >>> share_nearer(train, held_out, train)
        1.0
    """
    size = min(len(train.values), len(held_out.values))
    rng = np.random.default_rng(seed)
    first, second = (s.rows(rng.permutation(len(s.values))[:size]) for s in (train, held_out))
    to_train, to_held_out = nearest(first, new, train), nearest(second, new, train)
    return float(np.mean((to_train < to_held_out) + 0.5 * (to_train == to_held_out)))


def membership(train: Sample, held_out: Sample, new: Sample) -> float:
    """How well the distance to the nearest new row tells training rows from held-out ones.

    Args:
        train: the training rows.
        held_out: real rows that nothing was learned from.
        new: new rows.

    Returns:
        The area under the ROC curve of this attack: 0.5 where it learns nothing.
    """
    from aejax.metrics import auroc

    distance = [nearest(new, rows, train) for rows in (train, held_out)]
    is_member = np.repeat([True, False], list(map(len, distance)))
    return auroc(-np.concatenate(distance), is_member)


def _exact(sample: Sample) -> np.ndarray:
    return np.nan_to_num(np.ascontiguousarray(sample.values), nan=np.inf) + 0.0  # -0 is 0


def _placed(sample: Sample, scale: Sample) -> np.ndarray:
    """Rows as points: numbers scaled, a category as ones and zeros whose distance is 1."""
    parts = []
    for place in range(len(sample.names)):
        values, known = sample.values[:, place], scale.values[:, place]
        is_missing = np.isnan(values)
        if sample.is_category[place]:
            numbers = np.where(is_missing, sample.num_levels[place], values).astype(int)
            parts.append(np.eye(sample.num_levels[place] + 1, dtype=np.float32)[numbers] / np.sqrt(2))
        else:
            spread = np.nanstd(known) or 1.0
            scaled = np.where(is_missing, 0, (values - np.nanmean(known)) / spread)
            parts.append(np.column_stack([scaled, is_missing]).astype(np.float32))
    return np.concatenate(parts, axis=1)
