"""What is known of the columns of a table: their kinds, how far their values reach, what is odd in them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from aejax.data.columns import angles, categories, kinds
from aejax.data.columns.contamination import standing_out
from aejax.data.columns.gross import Limits, fit_limits, gross_errors, no_limits
from aejax.data.columns.kinds import CATEGORY, PLAIN, Column
from aejax.data.columns.sentinels import find_sentinels

Notice = Callable[[str], None]

# Above this share, and what chance adds to it, rows that stand out are said.
_SOME_STAND_OUT = 0.02


class Profile(NamedTuple):
    """What is known of the modelled columns.

    Attributes:
        columns: c Columns, what kind each is.
        limits: beyond which a value is a gross error.
        num_gross: (c,) gross errors among all rows of the table.
        standing_out: the share of training rows that lie off the others.
    """

    columns: tuple[Column, ...]
    limits: Limits
    num_gross: np.ndarray
    standing_out: float


class Told(NamedTuple):
    """What is known of columns before their values are looked at.

    Attributes:
        names: c names, for an error.
        levels: the texts of columns of categories, by place.
        kinds: the kinds of other columns that a user tells, by place.
        takes_angles: whether the scaling that the model asks for has room for the sine and the cosine of an angle.
        by_rank: whether numbers are given to the model by their ranks.
    """

    names: tuple[str, ...]
    levels: Mapping[int, tuple[str, ...]] = MappingProxyType({})
    kinds: Mapping[int, str] = MappingProxyType({})
    takes_angles: bool = True
    by_rank: bool = False

    @property
    def are_categories(self) -> np.ndarray:
        """(c,) bool, which columns are of categories."""
        return np.array([place in self.levels for place in range(len(self.names))], bool)


def fit_profile(
    x: np.ndarray, train: np.ndarray, keeps_gross: bool, told: Told | None = None
) -> tuple[Profile, np.ndarray]:
    """What the training rows tell of the columns, and which values of all rows are gross errors.

    Args:
        x: (n, c) all rows, NaN where missing.
        train: the numbers of the training rows.
        keeps_gross: whether there are to be no gross errors.
        told: what is known of the columns; nothing by default.

    Returns:
        The Profile, and (n, c) bool. Columns are of the kind "constant" if none of all rows has another value. The
        levels of categories are those of all rows.

    Raises:
        ValueError: a column that is not of the kind that is told.
    """
    told = told or Told(tuple(f"column_{place + 1}" for place in range(x.shape[1])))
    is_category = told.are_categories
    limits = no_limits(x.shape[1]) if keeps_gross else fit_limits(numbers_alone(x[train], is_category))
    is_gross = np.zeros(x.shape, bool)
    for rows in (train, np.setdiff1d(np.arange(len(x)), train)):
        is_gross[rows] = gross_errors(limits, x[rows])
    rows = np.where(is_gross, np.nan, x)[train]
    columns = recognised(rows, x, told)
    # A column that is constant in the training rows alone is none: normal rows have other values.
    changed = kinds.has_changed(kinds.constants(columns), x)
    columns = tuple(PLAIN if changed[:, i].any() else column for i, column in enumerate(columns))
    together = rows[:, ~is_category] if is_category.any() else rows
    return Profile(columns, limits, is_gross.sum(axis=0), standing_out(together)), is_gross


def numbers_alone(x: np.ndarray, is_category: np.ndarray) -> np.ndarray:
    """Rows in which categories count as missing; the rows themselves, and no copy, where there are none.

    Args:
        x: (n, c) rows.
        is_category: (c,) bool.

    Returns:
        (n, c).
    """
    return np.where(is_category, np.nan, x) if is_category.any() else x


def recognised(rows: np.ndarray, x: np.ndarray, told: Told) -> tuple[Column, ...]:
    """The kinds of columns.

    Args:
        rows: (m, c) training rows, NaN where missing or a gross error.
        x: (n, c) all rows.
        told: what is known of the columns.

    Returns:
        c Columns.

    Raises:
        ValueError: a column that is not of the kind that is told.
    """
    columns = []
    for place, name in enumerate(told.names):
        if place in told.levels:
            columns.append(Column(CATEGORY, categories.facts_of(x[:, place], told.levels[place])))
            continue
        values = rows[~np.isnan(rows[:, place]), place]
        try:
            column = kinds.column_of(values, told.kinds.get(place))
        except ValueError as error:
            raise ValueError(f"kinds: column {name!r}: {error}") from None
        if column.kind == "angle" and not told.takes_angles:
            column = kinds.column_of(values, "number")
        columns.append(kinds.ranked(column, values) if told.by_rank else column)
    return tuple(columns)


def unknown_profile(num_columns: int) -> Profile:
    """That of a run which has noted none.

    Example:
        >>> unknown_profile(1).columns
        (Column(kind='number', facts={}),)
    """
    columns = (PLAIN,) * num_columns
    return Profile(columns, no_limits(num_columns), np.zeros(num_columns, int), 0.0)


def pinned(profile: Profile, x: np.ndarray) -> np.ndarray:
    """Rows in which constant columns are what they always were: a model has nothing to learn from them.

    Args:
        profile: a Profile.
        x: (n, c), NaN where missing.

    Returns:
        (n, c); what is missing stays missing.
    """
    constant = kinds.constants(profile.columns)
    if np.isnan(constant).all():
        return x
    return np.where(np.isnan(constant) | np.isnan(x), x, constant)


class Change(NamedTuple):
    """Rows in which a column holds what it never held in training.

    Attributes:
        rows: (n,) bool.
        name: of the column.
        what: to say of the rows, a sentence part.
        is_alarm: whether such a row is an anomaly, whatever its score.
    """

    rows: np.ndarray
    name: str
    what: str
    is_alarm: bool


def changes(profile: Profile, x: np.ndarray, names: tuple[str, ...], rate: float) -> list[Change]:
    """Where constant columns are not what they always were, and categories are new.

    Args:
        profile: a Profile.
        x: (n, c) rows, NaN where missing.
        names: of the columns.
        rate: the share of normal rows that may be flagged.

    Returns:
        The Change of each column and sort. A change among the values 0, 1 and -1 is no alarm: such a column may be a
        label. A new category is none where normal rows have new ones more often than the rate allows.
    """
    found = _of_constants(profile, x, names)
    for name, column, values in zip(names, profile.columns, x.T, strict=True):
        if column.kind == CATEGORY and (values == categories.UNSEEN).any():
            is_alarm = column.facts["rare"] <= rate
            often = "" if is_alarm else ", as happens in normal rows"
            what = f"{name} is of a category not seen in training{often}"
            found.append(Change(values == categories.UNSEEN, name, what, is_alarm))
    return found


def _of_constants(profile: Profile, x: np.ndarray, names: tuple[str, ...]) -> list[Change]:
    constant = kinds.constants(profile.columns)
    if np.isnan(constant).all():
        return []
    has_changed = kinds.has_changed(constant, x)
    is_mark = kinds.is_flag(constant) & kinds.is_flag(x)
    found = []
    for index in np.flatnonzero(has_changed.any(axis=0)).tolist():
        was = f"{names[index]} was always {constant[index]:g} in training"
        for is_alarm, rows in ((True, ~is_mark[:, index]), (False, is_mark[:, index])):
            rows &= has_changed[:, index]
            if rows.any():
                what = was if is_alarm else f"{was} (a flag or label, which does not decide)"
                found.append(Change(rows, names[index], what, is_alarm))
    return found


def say_profile(profile: Profile, x: np.ndarray, names: tuple[str, ...], notice: Notice) -> None:
    """Says what is odd in the training rows.

    Args:
        profile: of these columns.
        x: (n, c) training rows, NaN where missing, gross errors among them.
        names: of the columns.
        notice: takes a line each.
    """
    for name, column in zip(names, profile.columns, strict=True):
        if column.kind == "constant":
            _say_constant(name, column.facts["value"], notice)
        if column.kind == "angle":
            notice(angles.of_angle(name))
    if said := kinds.describe([c if c.kind != "constant" else PLAIN for c in profile.columns], names):
        notice(f"kinds of columns: {said}; generate keeps to them")
    is_category = np.array([column.kind == CATEGORY for column in profile.columns], bool)
    for index, value, count in find_sentinels(numbers_alone(x, is_category)):
        notice(
            f"column {names[index]!r}: {count} training rows hold {value:g}, far from all other values; if it "
            "marks a missing value, empty these cells"
        )
    for index in np.flatnonzero(profile.num_gross).tolist():
        lower, upper = profile.limits.lower[index], profile.limits.upper[index]
        notice(
            f"column {names[index]!r}: {profile.num_gross[index]} value(s) outside {lower:.4g} to {upper:.4g} are "
            "gross errors and count as missing; --gross-errors keep keeps them"
        )
    if profile.standing_out > _SOME_STAND_OUT + 2.5 * np.sqrt(_SOME_STAND_OUT / len(x)):
        notice(
            f"about {100 * profile.standing_out:.2g} % of the training rows stand out from the others; if they are "
            "faults, leave them out, for a model learns them as normal"
        )


def _say_constant(name: str, value: float, notice: Notice) -> None:
    if kinds.is_flag(value):
        consequence = f"a change to 0 or 1 is pointed out and does not decide; if it is a label, --drop-columns {name}"
    else:
        consequence = "a model learns nothing from it; detect has an alarm of its own where it changes"
    notice(f"column {name!r} is always {value:g} in the training rows: {consequence}")
