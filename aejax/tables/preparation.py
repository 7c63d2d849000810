"""From a table to the rows that a model is trained on: split, cleaned of gross errors, scaled."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from aejax.base import Batch
from aejax.data.columns.conditions import Conditions, fit_conditions
from aejax.data.columns.features import Coding, check_features, encode, scaler_of
from aejax.data.columns.gross import fit_limits, gross_errors
from aejax.data.columns.kinds import CATEGORY
from aejax.data.columns.scalers import Scaler, constant_columns
from aejax.data.columns.sentinels import find_sentinels
from aejax.data.formats.options import kinds_told
from aejax.data.formats.tables import Table
from aejax.tables import config as configs
from aejax.tables.columns import Notice, check_columns, has_conditions, scaled_batch, select
from aejax.tables.config import TrainConfig
from aejax.tables.profiles import Profile, Told, fit_profile, numbers_alone, pinned, recognised, say_profile
from aejax.tables.run import Source

_FEWEST_ROWS = 10


class Split(NamedTuple):
    """Row numbers of a table.

    Attributes:
        train: what the model and the scaler are fitted to.
        validation: what chooses the best epoch.
        calibration: what nothing is fitted to.
    """

    train: np.ndarray
    validation: np.ndarray
    calibration: np.ndarray


def split_rows(key: jax.Array, num_rows: int, config: TrainConfig) -> Split:
    """Splits rows at random, or in the order of time: the first ones train, the last ones calibrate.

    Args:
        key: PRNG key.
        num_rows: the number of rows.
        config: its fractions and its ``split``.

    Returns:
        The Split; no part is empty.

    Raises:
        ValueError: too few rows.

    Example:
        >>> [len(part) for part in split_rows(jax.random.key(0), 100, TrainConfig())]
        [70, 10, 20]
    """
    if num_rows < _FEWEST_ROWS:
        raise ValueError(
            f"found {num_rows} row(s), expected at least {_FEWEST_ROWS}: rows to train, to stop training and to "
            "calibrate detection are held apart"
        )
    num_validation = max(1, round(config.validation_fraction * num_rows))
    num_calibration = max(1, round(config.calibration_fraction * num_rows))
    rows = np.arange(num_rows)
    if config.split == "random":
        rows = np.asarray(jax.random.permutation(key, num_rows))
    num_train = num_rows - num_validation - num_calibration
    if num_train < 1:
        raise ValueError(
            f"found {num_rows} rows, of which {num_validation} validate and {num_calibration} calibrate, expected some "
            "left to train on; lower validation_fraction or calibration_fraction"
        )
    return Split(*(np.sort(part) for part in np.split(rows, [num_train, num_train + num_validation])))


def run_keys(config: TrainConfig) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The keys that split the rows of a run, train it, and score its rows."""
    split_key, fit_key, score_key = jax.random.split(jax.random.key(config.seed), 3)
    return split_key, fit_key, score_key


class Prepared(NamedTuple):
    """Rows to train on.

    Attributes:
        columns: the c modelled ones.
        split: of the rows; those with a gross error are in no part of ``calibration``.
        x: (n, c) in the units of the table; NaN where missing, and where there was a gross error.
        cond: (n, k) conditions.
        batch: both, scaled.
        scaler: of the features of the modelled columns.
        cond_scaler: of those of the conditions.
        profile: of the modelled columns.
        conditions: where the conditions of the training rows are.
    """

    columns: tuple[str, ...]
    split: Split
    x: np.ndarray
    cond: np.ndarray
    batch: Batch
    scaler: Scaler
    cond_scaler: Scaler
    profile: Profile
    conditions: Conditions


class Held(NamedTuple):
    """What is known of a table of which only some rows are held.

    Attributes:
        split: of the rows that are held.
        measure: (their profile and their conditions, training rows among them, gross errors in these by column) -> the
            profile, the scaler and that of conditions of all rows.
    """

    split: Split
    measure: Callable[[Profile, Conditions, np.ndarray, np.ndarray], tuple[Profile, Scaler, Scaler]]


def prepared(
    key: jax.Array, table: Table, source: Source, config: TrainConfig, notice: Notice, held: Held | None = None
) -> Prepared:
    """Splits, cleans and scales the rows of a table; what is odd in them is said.

    Args:
        key: PRNG key of the split.
        table: the table.
        source: where it is from.
        config: the TrainConfig.
        notice: takes what a user should know, a line each.
        held: where these are only some of its rows.

    Returns:
        The Prepared.

    Raises:
        ValueError: columns or rows that a model cannot be trained on; the message names them.
    """
    columns = check_columns(table, config)
    told = _told(table, config)
    x, cond = select(table.values, source, config)
    of_conditions = _of(told, config.condition_columns)._replace(by_rank=False)
    cond = _usable_conditions(cond, of_conditions, config, notice)
    is_known = has_conditions(cond, config, notice)
    x, cond = x[is_known], cond[is_known]
    split = split_rows(key, len(x), config) if held is None else _among(is_known, held.split)
    _check_split(x, split, columns, config)
    # To a rank no value is too large.
    keeps_gross = config.gross_errors == "keep" or config.numbers == "ranked"
    profile, is_gross = fit_profile(x, split.train, keeps_gross, _of(told, columns))
    conditions = fit_conditions(cond[split.train], recognised(cond[split.train], cond, of_conditions))
    scalers = None
    if held is not None:
        profile, *scalers = held.measure(profile, conditions, x[split.train], is_gross[split.train].sum(axis=0))
    say_profile(profile, x[split.train], columns, notice)
    x = pinned(profile, np.where(is_gross, np.nan, x))
    # A row with a gross error is not normal: it has no say in where the limit is.
    split = split._replace(calibration=split.calibration[~is_gross[split.calibration].any(axis=1)])
    features = encode(profile.columns, x)
    scaling = configs.scaling(config)
    cond_features = np.nan_to_num(encode(conditions.columns, cond[split.train]))
    scaler, cond_scaler = scalers or (
        scaler_of(profile.columns, features[split.train], columns, scaling),
        scaler_of(conditions.columns, cond_features, config.condition_columns, "standardised"),
    )
    check_features(profile.columns, scaler, features, columns, scaling)
    batch = scaled_batch(x, cond, Coding(profile.columns, scaler), Coding(conditions.columns, cond_scaler))
    return Prepared(columns, split, x, cond, batch, scaler, cond_scaler, profile, conditions)


def _told(table: Table, config: TrainConfig) -> Told:
    levels = {table.columns.index(name): texts for name, texts in table.categories.items()}
    kinds = {
        table.columns.index(name): kind
        for name, kind in kinds_told(config.reading).items()
        if name in table.columns and kind != CATEGORY
    }
    takes_angles = configs.scaling(config) == "standardised"
    return Told(table.columns, levels, kinds, takes_angles, config.numbers == "ranked")


def _of(told: Told, names: tuple[str, ...]) -> Told:
    """What is told of some columns, by their place among these."""
    places = {told.names.index(name): place for place, name in enumerate(names)}
    levels = {places[place]: texts for place, texts in told.levels.items() if place in places}
    kinds = {places[place]: kind for place, kind in told.kinds.items() if place in places}
    return told._replace(names=names, levels=levels, kinds=kinds)


def _among(is_known: np.ndarray, split: Split) -> Split:
    """The numbers of rows among those that are known."""
    place = np.cumsum(is_known) - 1
    return Split(*(place[part[is_known[part]]] for part in split))


def _usable_conditions(cond: np.ndarray, told: Told, config: TrainConfig, notice: Notice) -> np.ndarray:
    """The conditions, missing where they are gross errors; says so, and where a value seems to mark something else."""
    numbers = numbers_alone(cond, told.are_categories)
    for index, value, count in find_sentinels(numbers):
        notice(
            f"condition column {config.condition_columns[index]!r}: {count} rows hold {value:g}, far from all other "
            "values; if it marks a missing value, empty these cells"
        )
    if config.gross_errors == "keep":
        return cond
    is_gross = gross_errors(fit_limits(numbers), cond)
    for name, count in zip(config.condition_columns, is_gross.sum(axis=0), strict=True):
        if count:
            notice(
                f"condition column {name!r}: {count} value(s) are gross errors and count as missing; --gross-errors "
                "keep keeps them"
            )
    return np.where(is_gross, np.nan, cond)


def _check_split(x: np.ndarray, split: Split, columns: tuple[str, ...], config: TrainConfig) -> None:
    """Refuses parts without a value to use, and training rows in which nothing varies."""
    for part, rows in split._asdict().items():
        if np.isnan(x[rows]).all():
            raise ValueError(
                f"split: found no value in the {len(rows)} {part} rows of {config.split!r}, expected some; leave "
                "out the empty rows, or take --split random"
            )
    empty = np.isnan(x[split.train]).all(axis=0)
    if empty.any():
        name = columns[int(np.argmax(empty))]
        raise ValueError(
            f"column {name!r}: found no value in the training rows, expected some; take --split random, or leave the "
            f"column out with --drop-columns {name}"
        )
    if constant_columns(x[split.train]).all():
        raise ValueError(
            f"found the same value in all training rows of each column ({', '.join(columns)}), expected at least one "
            "column that varies: there is nothing to learn"
        )
