"""An honest judge of new rows: each figure stands beside that of real rows in their place."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from aejax.artefacts.storage import finite
from aejax.data.formats.tables import Table
from aejax.tables.columns import Notice
from aejax.tables.likeness.classifiers import check_target, learned, told_apart
from aejax.tables.likeness.privacy import membership, share_nearer, share_of_copies
from aejax.tables.likeness.samples import Sample, samples_of
from aejax.tables.likeness.shapes import column_errors, pair_errors

_MOST_PAIRS = 5


class Figure(NamedTuple):
    """One figure of a comparison.

    Attributes:
        name: in plain words.
        new: of the new rows.
        real: of real rows in their place; NaN where that means nothing.
        best: what it is at best.
    """

    name: str
    new: float
    real: float
    best: float


class Comparison(NamedTuple):
    """What a comparison has found.

    Attributes:
        num_rows: how many new rows, and as many real ones, were compared.
        figures: see ``Figure``.
        by_column: the error of each column, of new rows and of real ones.
        worst_pairs: the pairs of columns with the largest errors: two names, the error of new rows, of real ones.
    """

    num_rows: int
    figures: tuple[Figure, ...]
    by_column: dict[str, tuple[float, float]]
    worst_pairs: tuple[tuple[str, str, float, float], ...]


def compare(
    real: Table,
    new: Table,
    held_out: Table | None = None,
    target: str | None = None,
    seed: int = 0,
    notice: Notice = lambda text: None,  # noqa: ARG005
) -> Comparison:
    """Compares new rows with real ones, and other real rows with them in the place of the new ones.

    Both are as many rows, drawn at random of the larger table, since each figure depends on their number.

    Args:
        real: real rows; with ``held_out`` those that the new ones were learned from.
        new: new rows.
        held_out: real rows that nothing was learned from. Without them the real ones are parted at random, and there
            are no figures of privacy.
        target: name of a column to be learned from the others, on new rows and on real ones, and tested on the
            held-out ones.
        seed: of the rows that are drawn.
        notice: takes what a user should know.

    Returns:
        The Comparison.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: tables of other columns, of fewer than 20 rows, or no such target.
    """
    tables = [real, new] if held_out is None else [real, new, held_out]
    if target is not None:
        check_target(target, real.columns)
    first, other, *rest = samples_of(tables)
    rng = np.random.default_rng(seed)
    if rest:
        train, test = first, rest[0]
    else:
        train, test = (first.rows(part) for part in np.array_split(rng.permutation(len(first.values)), 2))
        notice(
            "no held-out rows: the real rows are parted in two, and nothing is said of privacy; give rows that the new "
            "ones were not learned from with --held-out"
        )
    size = min(len(other.values), len(test.values), len(train.values))
    drawn = (sample.rows(rng.permutation(len(sample.values))[:size]) for sample in (other, test, train))
    parts = _Parts(train, test, *drawn)
    columns = [column_errors(train, rows) for rows in (parts.new, parts.second)]
    pairs = [pair_errors(train, rows) for rows in (parts.new, parts.second)]
    figures = [
        _figure("column error", map(_mean, columns), 0.0),
        _figure("pair error", map(_mean, pairs), 0.0),
        *_told_apart(parts, seed),
        *([] if target is None else [_learned(parts, target, seed)]),
        *(_privacy(parts, seed) if rest else []),
    ]
    by_column = {name: (float(a), float(b)) for name, a, b in zip(train.names, *columns, strict=True)}
    return Comparison(size, tuple(figures), by_column, _worst(train.names, *pairs))


class _Parts(NamedTuple):
    train: Sample
    held_out: Sample
    # As many rows each:
    new: Sample
    second: Sample  # held-out ones, in the place of the new ones
    some: Sample  # training ones


def _told_apart(parts: _Parts, seed: int) -> list[Figure]:
    words = {"trees": "boosted trees", "linear": "a linear model"}
    figures = []
    for classifier, name in words.items():
        areas = (told_apart(parts.some, rows, classifier, seed) for rows in (parts.new, parts.second))
        figures.append(_figure(f"told from real rows by {name}, AUC", areas, 0.5))
    return figures


def _learned(parts: _Parts, target: str, seed: int) -> Figure:
    scores = [learned(rows, parts.held_out, target, seed) for rows in (parts.new, parts.some)]
    what = "AUC" if parts.train.is_category[parts.train.names.index(target)] else "R²"
    return _figure(f"{target} learned from them, {what} on held-out rows", scores, 1.0)


def _privacy(parts: _Parts, seed: int) -> list[Figure]:
    train, held_out, new, second, some = parts
    return [
        _figure("copies of training rows", (share_of_copies(train, rows) for rows in (new, second)), 0.0),
        Figure("nearer to training than to held-out rows", share_nearer(train, held_out, new, seed), np.nan, 0.5),
        Figure("training rows told by their nearest new row, AUC", membership(some, second, new), np.nan, 0.5),
    ]


def _figure(name: str, of_both: Iterable[float], best: float) -> Figure:
    new, real = of_both
    return Figure(name, new, real, best)


def as_json(found: Comparison) -> dict[str, Any]:
    """A comparison as JSON holds it: None for what is not known."""
    content: dict[str, Any] = finite(
        {
            "num_rows": found.num_rows,
            "figures": {name: {"new": new, "real": real, "best": best} for name, new, real, best in found.figures},
            "by_column": {name: {"new": new, "real": real} for name, (new, real) in found.by_column.items()},
            "worst_pairs": [{"columns": [a, b], "new": new, "real": real} for a, b, new, real in found.worst_pairs],
        }
    )
    return content


def _mean(errors: np.ndarray) -> float:
    return float(np.nanmean(errors)) if np.isfinite(errors).any() else np.nan


def _worst(names: tuple[str, ...], new: np.ndarray, real: np.ndarray) -> tuple[tuple[str, str, float, float], ...]:
    rows, columns = np.tril_indices(len(names), -1)
    in_order = np.argsort(-np.nan_to_num(new[rows, columns], nan=-1.0), kind="stable")[:_MOST_PAIRS]
    places = [(rows[k], columns[k]) for k in in_order if np.isfinite(new[rows[k], columns[k]])]
    return tuple((names[j], names[i], float(new[i, j]), float(real[i, j])) for i, j in places)
