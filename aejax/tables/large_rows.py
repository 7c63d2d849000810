"""The training rows of a table that stays in its files: measured once, and then scaled as they are read."""

from typing import NamedTuple

import numpy as np

from aejax.base import Batch
from aejax.data.columns import kinds
from aejax.data.columns.conditions import Conditions
from aejax.data.columns.features import Coding, encode, names_of_features, spread, widths, with_ones_kept
from aejax.data.columns.gross import Limits, gross_errors
from aejax.data.columns.scalers import Scaler, check_scaled
from aejax.data.moments import Moments, merged, moments, scaler_of
from aejax.data.stored import Stored
from aejax.tables import config as configs
from aejax.tables.columns import scaled_batch, select
from aejax.tables.config import TrainConfig
from aejax.tables.profiles import Profile, pinned
from aejax.tables.run import Source


class Cleaning(NamedTuple):
    """How rows of a table become rows to train on: gross errors count as missing.

    Attributes:
        source: the table.
        config: which of its columns are conditions.
        limits: of the modelled columns, beyond which a value is a gross error.
        cond_limits: of the conditions.
    """

    source: Source
    config: TrainConfig
    limits: Limits
    cond_limits: Limits


class Measured(NamedTuple):
    """What is known of all training rows.

    Attributes:
        cleaning: the Cleaning.
        profile: of the modelled columns.
        coding: of the modelled columns.
        cond_coding: of the conditions.
        has_gaps: whether a value is missing in some row.
    """

    cleaning: Cleaning
    profile: Profile
    coding: Coding
    cond_coding: Coding
    has_gaps: bool


def in_force(limits: Limits, x: np.ndarray) -> Limits:
    """The limits without those beyond which so much lies that it is no error: see ``gross_errors``.

    Args:
        limits: of c columns.
        x: (n, c) rows, NaN where missing.

    Returns:
        The Limits.

    Example:
        >>> in_force(Limits(np.array([0.0]), np.array([9.0])), np.full((9, 1), 10.0)).upper
        array([inf])
    """
    is_beyond = (x < limits.lower) | (x > limits.upper)
    is_void = is_beyond.any(axis=0) & ~gross_errors(limits, x).any(axis=0)
    return Limits(np.where(is_void, -np.inf, limits.lower), np.where(is_void, np.inf, limits.upper))


def measure(
    stored: Stored, cleaning: Cleaning, profile: Profile, conditions: Conditions, num_gross_elsewhere: np.ndarray
) -> Measured:
    """Reads all training rows once.

    Args:
        stored: the training rows.
        cleaning: the Cleaning.
        profile: what some of them tell.
        conditions: what some of them tell of the conditions.
        num_gross_elsewhere: (c,) gross errors among the rows that are held out.

    Returns:
        The Measured: scalers and counts are those of all rows, and a column is constant if it is so in all of them.

    Raises:
        ValueError: rows that the likelihood cannot have, a column without a value, or a file that has changed.
    """
    scaling, config = configs.scaling(cleaning.config), cleaning.config
    names = [name for name in cleaning.source.columns if name not in config.condition_columns]
    constant, has_changed = kinds.constants(profile.columns), np.zeros(len(names), bool)
    is_constant = ~np.isnan(constant)
    num_gross = np.array(num_gross_elsewhere)
    parts: list[Moments] = []
    for rows in stored.rows():
        x, cond = cleaned(cleaning, rows)
        raw, _ = select(rows, cleaning.source, config)
        is_known = ~np.isnan(cond).any(axis=1)
        if not is_known.all():
            x, cond, raw = x[is_known], cond[is_known], raw[is_known]
        num_gross += np.isnan(x).sum(axis=0) - np.isnan(raw).sum(axis=0)
        if is_constant.any():
            has_changed[is_constant] |= kinds.has_changed(constant[is_constant], x[:, is_constant]).any(axis=0)
        if scaling == "counts":
            check_scaled(Scaler(constant, constant), x, scaling, names)
        features = encode(profile.columns, x), np.nan_to_num(encode(conditions.columns, cond))
        part = moments(np.concatenate(features, axis=1))
        parts = [merged([*parts, part])]
    (found,) = parts
    has_gaps = bool((found.observed < stored.num_rows).any())
    columns = tuple(
        kinds.PLAIN if changed else column for changed, column in zip(has_changed, profile.columns, strict=True)
    )
    profile = profile._replace(columns=columns, num_gross=num_gross)
    width = int(widths(columns).sum())
    of_x, of_cond = (Moments(found.num_rows, *(field[part] for field in found[1:])) for part in _parts(width))
    scaler = scaler_of(_pinned(of_x, profile), names_of_features(columns, names), scaling)
    cond_scaler = scaler_of(of_cond, names_of_features(conditions.columns, config.condition_columns))
    return Measured(
        cleaning,
        profile,
        Coding(columns, with_ones_kept(columns, scaler)),
        Coding(conditions.columns, with_ones_kept(conditions.columns, cond_scaler)),
        has_gaps,
    )


def cleaned(cleaning: Cleaning, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Modelled columns and conditions of rows, NaN where missing or a gross error.

    Args:
        cleaning: the Cleaning.
        rows: (n, columns) of the table.

    Returns:
        (n, c) and (n, k).
    """
    x, cond = select(rows, cleaning.source, cleaning.config)
    return _without(cleaning.limits, x), _without(cleaning.cond_limits, cond)


def scaled(measured: Measured, rows: np.ndarray) -> Batch:
    """Rows of a table as a model is trained on them; of one whose conditions are not known nothing is observed.

    Args:
        measured: the Measured.
        rows: (n, columns) of the table.

    Returns:
        The Batch, of NumPy arrays; it has a mask where some row of the table has gaps.
    """
    x, cond = cleaned(measured.cleaning, rows)
    if not measured.has_gaps:
        return scaled_batch(pinned(measured.profile, x), cond, measured.coding, measured.cond_coding)
    is_known = ~np.isnan(cond).any(axis=1)
    batch = scaled_batch(pinned(measured.profile, x), cond, measured.coding, measured.cond_coding)
    mask = ~np.isnan(np.asarray(batch.x)) & is_known[:, None]
    return batch._replace(x=np.where(mask, batch.x, np.float32(0)), mask=mask)  # type: ignore[arg-type]


def _parts(num_columns: int) -> tuple[slice, slice]:
    return slice(num_columns), slice(num_columns, None)


def _pinned(found: Moments, profile: Profile) -> Moments:
    """The moments of rows in which constant columns are what they always were."""
    constant = spread(profile.columns, kinds.constants(profile.columns))
    mean, least, most = (
        np.where(np.isnan(constant), field, constant) for field in (found.mean, found.least, found.most)
    )
    squares = np.where(np.isnan(constant), found.squares, 0.0)
    return found._replace(mean=mean, squares=squares, least=least, most=most)


def _without(limits: Limits, x: np.ndarray) -> np.ndarray:
    return np.where((x < limits.lower) | (x > limits.upper), np.nan, x)
