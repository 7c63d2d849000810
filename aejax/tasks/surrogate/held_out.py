"""What a compression and a predictor are worth on groups that they were not trained on."""

from collections.abc import Callable

import numpy as np

from aejax.tasks.surrogate.codes import Compression, expand, observed_codes
from aejax.tasks.surrogate.observed import Observed, mean_observed
from aejax.tasks.surrogate.prediction import Predictor, predict
from aejax.tasks.surrogate.quality import explained, share_within, through_components
from aejax.tasks.surrogate.spread import Widening, widening

_R2_OF = "R2 of {} on groups held out"
R2_OF_PREDICTION = _R2_OF.format("prediction")
INSIDE = "pixels of groups held out within two standard deviations of the networks"
NOISE = "share of the variance that is noise"
COVERAGE = 0.95


def measure_on_groups(
    observed: Observed,
    properties: np.ndarray | None,
    groups: np.ndarray,
    num_folds: int,
    num_numbers: int,
    learn: Callable[[np.ndarray], tuple[Compression, Predictor | None]],
) -> tuple[dict[str, float], Widening]:
    """Holds groups out in turn, and measures on them what was learned from the others.

    Args:
        observed: the n maps.
        properties: (n, p), or None where nothing is predicted.
        groups: (n,).
        num_folds: parts that the groups are dealt into.
        num_numbers: of a code, and components to compare with.
        learn: rows -> Compression and Predictor of these rows.

    Returns:
        R² of the compression, of as many principal components and of the prediction over the observed pixels, and how
        many of these lie within the spread; where errors are known, the share of the variance that is noise, which no
        R² can hold; what makes the spread hold 95 % there.

    Raises:
        ValueError: groups that do not fit the maps, or a number of folds that does not fit the groups.
    """
    maps = observed.maps
    if groups.shape != (len(maps),):
        raise ValueError(f"groups: found shape {groups.shape}, expected ({len(maps)},), a group for each map")
    names = np.unique(groups)
    if not 2 <= num_folds <= len(names):
        raise ValueError(f"num_folds: found {num_folds}, expected 2 to {len(names)}, the number of groups")
    folds = [np.isin(groups, names[fold::num_folds]) for fold in range(num_folds)]
    average, through, predicted, spread = (np.empty(maps.shape, np.float32) for _ in range(4))
    for held_out in folds:
        average[held_out] = mean_observed(maps[~held_out])
        compression, predictor = learn(np.flatnonzero(~held_out))
        through[held_out] = expand(compression, observed_codes(compression, observed.of(held_out))[0])
        if predictor is not None and properties is not None:
            predicted[held_out], spread[held_out], _ = predict(predictor, properties[held_out])
    measured = _beside_components(maps, through, folds, num_numbers)
    if observed.errors is not None:
        measured[NOISE] = float(np.nansum(np.square(observed.errors)) / np.nansum(np.square(maps - average)))
    if properties is None:
        return measured, Widening()
    measured[R2_OF_PREDICTION] = explained(maps, predicted, average)
    measured[INSIDE] = share_within(maps, predicted, spread)
    return measured, widening(maps, predicted, spread, COVERAGE)


def _beside_components(
    maps: np.ndarray, through: np.ndarray, folds: list[np.ndarray], num_numbers: int
) -> dict[str, float]:
    """R² of the compression and of as many principal components, fitted to the maps on the scale that is judged."""
    measured = {}
    scales: list[tuple[str, Callable[[np.ndarray], np.ndarray]]] = [("{}", np.asarray)]
    if np.nanmin(maps) >= 0:
        scales.append(("{}, of square roots", np.sqrt))
    for name, transform in scales:
        truth, answer, average, plain = transform(maps), transform(through), np.empty_like(maps), np.empty_like(maps)
        for held_out in folds:
            average[held_out] = mean_observed(truth[~held_out])
            plain[held_out] = through_components(truth[~held_out], truth[held_out], num_numbers)
        measured[name.format(_R2_OF.format("compression"))] = explained(truth, answer, average)
        measured[name.format(_R2_OF.format(f"{num_numbers} principal components"))] = explained(truth, plain, average)
    return measured
