"""A surrogate: maps held in few numbers, and predicted from named properties."""

import warnings
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from aejax.base import Array, ArrayLike
from aejax.data.formats.maps import check_axis
from aejax.tasks.surrogate.codes import Compression, expand, observed_codes
from aejax.tasks.surrogate.compression import check_maps, fit_observed
from aejax.tasks.surrogate.held_out import R2_OF_PREDICTION, measure_on_groups
from aejax.tasks.surrogate.observed import mean_observed, observe
from aejax.tasks.surrogate.prediction import Prediction, Predictor, fit_predictor, predict
from aejax.tasks.surrogate.quality import explained, share_within
from aejax.tasks.surrogate.spread import Widening
from aejax.training import Progress

_LEAST_R2 = 0.5
"""Of a prediction that is worth the name."""
_LEAST_GROUPS = 5
"""To hold one out of for each network: of fewer, one is too much of the data, and rows are held out."""


class Surrogate(NamedTuple):
    """What was learned of maps, and how far it is to be believed.

    Attributes:
        momentum: (q,), the axis of the maps, in 1/Å.
        energy: (e,), likewise, in meV.
        compression: of the maps.
        predictor: of their codes from properties, or None.
        names: of the properties, in order.
        least: (p,), the lowest value of each column of properties in training; -inf where it is not known.
        most: (p,), the highest; inf where it is not known.
        measured: numbers by name, found on groups held out; empty where there were no groups.
    """

    momentum: np.ndarray
    energy: np.ndarray
    compression: Compression
    predictor: Predictor | None
    names: tuple[str, ...]
    least: np.ndarray
    most: np.ndarray
    measured: dict[str, float]


def fit_surrogate(
    key: Array,
    maps: ArrayLike,
    momentum: ArrayLike,
    energy: ArrayLike,
    properties: Mapping[str, ArrayLike] | None = None,
    *,
    errors: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    num_numbers: int = 20,
    num_regions: int = 24,
    num_widened: int = 12000,
    num_folds: int = 5,
    num_members: int = 5,
    hidden_dims: tuple[int, ...] = (128, 128),
    num_epochs: int = 500,
    progress: bool | Callable[[Progress], None] = False,
) -> Surrogate:
    """Learns to compress maps and to predict them; with groups, first measures both on groups held out in turn.

    The spread of predictions is widened to what is found on groups held out. Each network is kept as it does best on
    groups that it is not trained on, where there are at least five to train on.

    Args:
        key: PRNG key.
        maps: (n, q, e) intensities, NaN or masked where a pixel is missing.
        momentum: (q,) evenly spaced, in 1/Å.
        energy: (e,) evenly spaced, in meV.
        properties: by name (n,) or (n, k), to predict maps from; none learns compression only.
        errors: (n, q, e), the standard deviation of each pixel; 0 where it is missing.
        groups: (n,), such as crystals; None measures nothing.
        num_numbers: as in ``fit_compression``.
        num_regions: as in ``fit_compression``.
        num_widened: as in ``fit_compression``.
        num_folds: parts that the groups are dealt into.
        num_members: as in ``fit_predictor``.
        hidden_dims: as in ``fit_predictor``.
        num_epochs: as in ``fit_predictor``.
        progress: as in ``fit``, for each training.

    Returns:
        The Surrogate, for ``compress_maps`` and ``predict_maps``.

    Raises:
        ValueError: maps, properties or groups that do not fit, or numbers out of range; the message says which.

    Example:
        >>> import jax
        >>> maps, momentum, energy = np.random.default_rng(0).random((8, 3, 9)), np.arange(1, 4), np.arange(1, 10)
        >>> size = {"num_numbers": 3, "num_regions": 2, "num_widened": 50, "num_members": 1, "num_epochs": 2}
        >>> surrogate = fit_surrogate(jax.random.key(0), maps, momentum, energy, {"mass": np.arange(8)}, **size)
        >>> compress_maps(surrogate, maps).shape
        (8, 3)
        >>> predict_maps(surrogate, {"mass": [2.0, 3.5]}).mean.shape
        (2, 3, 9)
    """
    observed, momentum, energy = check_maps(maps, momentum, energy, errors)
    maps = observed.maps
    columns = _columns(properties, tuple(properties)) if properties else None
    if columns is not None and len(columns) != len(maps):
        raise ValueError(f"properties: found {len(columns)} rows, expected {len(maps)} as maps have")
    groups = None if groups is None else np.asarray(groups)

    def learn(rows: np.ndarray) -> tuple[Compression, Predictor | None]:
        part = observed.of(rows)
        compression = fit_observed(key, part, momentum, energy, num_numbers, num_regions, num_widened)
        if columns is None:
            return compression, None
        is_enough = groups is not None and len(np.unique(groups[rows])) >= _LEAST_GROUPS
        predictor = fit_predictor(
            key,
            compression,
            columns[rows],
            part.maps,
            errors=part.errors,
            groups=groups[rows] if groups is not None and is_enough else None,
            num_members=num_members,
            hidden_dims=hidden_dims,
            num_epochs=num_epochs,
            progress=progress,
        )
        return compression, predictor

    measured: dict[str, float] = {}
    widening = Widening()
    if groups is not None:
        measured, widening = measure_on_groups(observed, columns, groups, num_folds, num_numbers, learn)
    compression, predictor = learn(np.arange(len(maps)))
    if columns is None:
        nothing = np.zeros(0)
        return Surrogate(momentum, energy, compression, None, (), nothing, nothing, measured)
    assert predictor is not None
    assert properties is not None
    names, predictor = tuple(properties), predictor._replace(widening=widening)
    return Surrogate(
        momentum, energy, compression, predictor, names, columns.min(axis=0), columns.max(axis=0), measured
    )


def compress_maps(
    surrogate: Surrogate,
    maps: ArrayLike,
    momentum: ArrayLike | None = None,
    energy: ArrayLike | None = None,
    *,
    errors: ArrayLike | None = None,
) -> np.ndarray:
    """Codes of maps, whose axes are those of training.

    Args:
        surrogate: the Surrogate.
        maps: (n, q, e), NaN or masked where a pixel is missing; values below 0 are noise.
        momentum: (q,), to be compared with that of training; taken as the same if None.
        energy: (e,), likewise.
        errors: (n, q, e), the standard deviation of each pixel; 0 where it is missing.

    Returns:
        (n, d); NaN for a map of which nothing is observed.

    Raises:
        ValueError: other axes, another shape, or a map without intensity.

    Warns:
        UserWarning: values below 0 without errors, and errors of 0.
    """
    for name, found, expected in (
        ("momentum, Q", momentum, surrogate.momentum),
        ("energy, E", energy, surrogate.energy),
    ):
        if found is not None:
            check_axis(name, np.asarray(found, float), expected, "those of training")
    shape = (len(surrogate.momentum), len(surrogate.energy))
    if np.shape(maps)[1:] != shape:
        raise ValueError(f"maps, S: found shape {np.shape(maps)}, expected (n, {shape[0]}, {shape[1]})")
    return observed_codes(surrogate.compression, observe(maps, errors))[0]


def predict_maps(surrogate: Surrogate, properties: Mapping[str, ArrayLike]) -> Prediction:
    """Maps from properties.

    Args:
        surrogate: the Surrogate.
        properties: by name (n,) or (n, k), those of training.

    Returns:
        The Prediction.

    Warns:
        UserWarning: properties outside of the range of training, or predictions that are worth little on groups that
            were not trained on.

    Raises:
        ValueError: a surrogate that was fitted without properties, or properties that do not fit.
    """
    if surrogate.predictor is None:
        raise ValueError("properties: the surrogate was trained without any, so that it predicts nothing; train again")
    columns = _columns(properties, surrogate.names)
    prediction = predict(surrogate.predictor, columns)
    for text in (caution(surrogate), *_outside(surrogate, properties, columns)):
        if text:
            warnings.warn(text, stacklevel=2)
    return prediction


def caution(surrogate: Surrogate) -> str:
    """A warning where predictions are worth little on groups held out; else nothing.

    Args:
        surrogate: the Surrogate.

    Returns:
        One sentence, or an empty string.
    """
    r2 = surrogate.measured.get(R2_OF_PREDICTION, 1.0)
    if r2 <= 0:
        return (
            f"WARNING: predictions of new groups are no better than the mean map (R2 {r2:.2f} on groups held out): do "
            "not use them for groups that were not trained on; more groups, or other properties, are needed"
        )
    if r2 < _LEAST_R2:
        return f"the properties do not predict maps of groups that were not trained on (R2 {r2:.2f} on groups held out)"
    return ""


def evaluate_surrogate(
    surrogate: Surrogate,
    maps: ArrayLike,
    properties: Mapping[str, ArrayLike] | None = None,
    *,
    errors: ArrayLike | None = None,
) -> dict[str, float]:
    """Measures a surrogate on maps that it was not trained on.

    Args:
        surrogate: the Surrogate.
        maps: (n, q, e), at least two, NaN or masked where a pixel is missing.
        properties: those of the maps, to measure predictions.
        errors: (n, q, e), the standard deviation of each pixel.

    Returns:
        R² of the observed pixels against the mean of these maps: of the compression, also on the scale of square roots
        where nothing is below 0; with ``properties`` of the prediction, and the share of the pixels within two spreads.

    Raises:
        ValueError: a single map, or as in ``compress_maps`` and ``predict_maps``.
    """
    if len(np.asarray(maps)) < 2:
        raise ValueError(f"maps: found {len(np.asarray(maps))}, expected at least two, whose mean R2 compares with")
    codes = compress_maps(surrogate, maps, errors=errors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the same maps
        observed = observe(maps, errors)
    through = expand(surrogate.compression, codes)
    maps = observed.maps
    mean = mean_observed(maps)
    measured = {"R2 of compression": explained(maps, through, mean)}
    if np.nanmin(maps) >= 0:
        roots = np.sqrt(maps)
        measured["R2 of compression, of square roots"] = explained(roots, np.sqrt(through), mean_observed(roots))
    if properties:
        prediction = predict_maps(surrogate, properties)
        measured["R2 of prediction"] = explained(maps, prediction.mean, mean)
        measured["pixels within two spreads"] = share_within(maps, prediction.mean, prediction.spread)
    return measured


def _columns(properties: Mapping[str, ArrayLike], names: tuple[str, ...]) -> np.ndarray:
    """(n, p) of all properties side by side."""
    missing = [name for name in names if name not in properties]
    if missing:
        raise ValueError(f"properties: found {', '.join(properties)}, expected {', '.join(missing)} as well")
    arrays = {name: np.asarray(properties[name]) for name in names}
    for name, array in arrays.items():
        if array.ndim < 1:
            raise ValueError(f"{name}: found a single value, expected an array")
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{name}: found {array.ravel()[:2]}..., expected numbers")
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"properties: found different numbers of rows, {lengths}, expected one number")
    return np.concatenate([array.reshape(len(array), -1) for array in arrays.values()], axis=1).astype(float)


def _outside(surrogate: Surrogate, properties: Mapping[str, ArrayLike], columns: np.ndarray) -> list[str]:
    """What lies outside of the range of training, a line for each column."""
    widths = {name: np.asarray(properties[name])[:1].size for name in surrogate.names}
    labels = [name if width == 1 else f"{name}[{i}]" for name, width in widths.items() for i in range(width)]
    ranges = zip(labels, columns.T, surrogate.least, surrogate.most, strict=True)
    return [
        f"{label}: found {column.min():g} to {column.max():g}, trained on {least:g} to {most:g}; what lies outside is "
        "extrapolated"
        for label, column, least, most in ranges
        if column.min() < least or column.max() > most
    ]
