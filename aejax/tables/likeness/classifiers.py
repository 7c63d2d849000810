"""What classifiers make of new rows: whether they tell them from real ones, and what they learn from them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from aejax.data.formats.libraries import library
from aejax.tables.likeness.samples import Sample, joined

_NUM_FOLDS = 3
# Boosted trees take no more categories than this; the rarest share the last one.
_MOST_LEVELS = 250
_FEWEST_ROWS = 20


def told_apart(first: Sample, second: Sample, classifier: str, seed: int = 0) -> float:
    """The classifier two-sample test (Lopez-Paz & Oquab 2017).

    Args:
        first: rows.
        second: other rows, as many at best.
        classifier: ``"trees"``, boosted ones, or ``"linear"``, a logistic regression.
        seed: of the folds.

    Returns:
        The area under the ROC curve of rows that the classifier has not seen, three folds: 0.5 where nothing tells the
        samples apart, 1 where everything does.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: fewer than 20 rows in a sample.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> rows = [Sample(("a",), rng.normal(shift, 1, (200, 1)), np.array([0])) for shift in (0, 5)]
        >>> told_apart(rows[0], rows[1], "linear") > 0.98
        True
    """
    library("sklearn", "comparing tables", "estimators")
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    if min(len(first.values), len(second.values)) < _FEWEST_ROWS:
        raise ValueError(
            f"found {len(first.values)} and {len(second.values)} rows, expected at least {_FEWEST_ROWS} of each"
        )
    both = joined(first, second)
    is_second = np.repeat([False, True], [len(first.values), len(second.values)])
    folds = StratifiedKFold(_NUM_FOLDS, shuffle=True, random_state=seed)
    model = _MODELS[classifier](both, seed)
    chances = cross_val_predict(model, _inputs(both, both), is_second, cv=folds, method="predict_proba")
    return float(roc_auc_score(is_second, chances[:, 1]))


def learned(train: Sample, test: Sample, target: str, seed: int = 0) -> float:
    """What boosted trees learn from rows of one column given the others, measured on other rows.

    Args:
        train: rows to learn from, such as new ones.
        test: real rows that nothing was learned from.
        target: name of the column.
        seed: of the trees.

    Returns:
        Of a category the area under the ROC curve of each level against the others, their mean; of a number R². NaN
        where all test rows are of one level.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: no such column.
    """
    library("sklearn", "comparing tables", "estimators")
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.metrics import r2_score, roc_auc_score

    check_target(target, train.names)
    place = train.names.index(target)
    others = _without(train, place)
    (x, y), (new_x, new_y) = (_split(sample, others, place) for sample in (train, test))
    if not train.is_category[place]:
        trees = HistGradientBoostingRegressor(categorical_features=others.is_category, random_state=seed)
        return float(r2_score(new_y, trees.fit(x, y).predict(new_x)))
    if len(np.unique(y)) < 2:
        return 0.5  # of one level alone nothing can be learned
    model = _trees(others, seed).fit(x, y)
    chances = dict(zip(model.classes_, model.predict_proba(new_x).T, strict=True))
    levels = [level for level in np.unique(new_y) if 0 < (new_y == level).sum() < len(new_y)]
    # Of a level that is not among the rows to learn from nothing was learned.
    areas = [roc_auc_score(new_y == level, chances[level]) if level in chances else 0.5 for level in levels]
    return float(np.mean(areas)) if areas else np.nan


def check_target(target: str, names: Sequence[str]) -> None:
    """Refuses a target that is no column.

    Raises:
        ValueError: it is none.
    """
    if target not in names:
        raise ValueError(f"target: found no column {target!r}, expected one of {', '.join(names)}")


def _split(sample: Sample, known: Sample, place: int) -> tuple[np.ndarray, np.ndarray]:
    """The other columns, numbered as the known ones are, and the target, of rows that have one."""
    rows = sample.rows(~np.isnan(sample.values[:, place]))
    return _inputs(_without(rows, place), known), rows.values[:, place]


def _without(sample: Sample, place: int) -> Sample:
    others = np.arange(len(sample.names)) != place
    names = tuple(name for name, is_other in zip(sample.names, others, strict=True) if is_other)
    return Sample(names, sample.values[:, others], sample.num_levels[others])


def _inputs(sample: Sample, known: Sample) -> np.ndarray:
    """Rows whose categories are numbered by how often they come in the known ones, NaN where missing."""
    inputs = sample.values.copy()
    for place in np.flatnonzero(sample.is_category):
        rows = known.values[:, place]
        counts = np.bincount(rows[~np.isnan(rows)].astype(int), minlength=sample.num_levels[place])
        ranks = np.minimum(np.argsort(np.argsort(-counts, kind="stable")), _MOST_LEVELS - 1)
        own, seen = sample.values[:, place], ~np.isnan(sample.values[:, place])
        inputs[seen, place] = ranks[own[seen].astype(int)]
    return inputs


def _trees(sample: Sample, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(categorical_features=sample.is_category, random_state=seed)


def _linear(sample: Sample, seed: int) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    columns = make_column_transformer(
        (numbers, np.flatnonzero(~sample.is_category)),
        (OneHotEncoder(handle_unknown="ignore"), np.flatnonzero(sample.is_category)),
    )
    return make_pipeline(columns, LogisticRegression(max_iter=1000, random_state=seed))


_MODELS: dict[str, Callable[[Sample, int], Any]] = {"trees": _trees, "linear": _linear}
