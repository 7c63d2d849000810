"""How a table is read, where its file does not say so itself."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from aejax.artefacts.rules import FLAG, TEXT, check_all, each, optional, whole


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """Decisions about a table's file; what is left at None is found in the file, and said.

    Attributes:
        header_row: number of the line with the column names, from 1; 0 if there is none.
        skip_rows: lines to skip at the beginning of the file.
        separator: between the cells of text: a character, or tab, space, comma, semicolon, bar.
        decimal: decimal mark of text, a point or a comma.
        usual_decimal: decimal mark where the cells of a file show none; of new files that of the training.
        thousands: mark that groups the digits of text by three; none for no such mark.
        missing: words for a missing value, beside the empty cell, NA, NaN, null, None, - and ?.
        time_column: column that is a time, or a number of the row, whatever it holds; it is not modelled.
        keep_columns: columns to model though they look like a clock, a counter or an id.
        rename_duplicates: number columns that have one name: T, T_2, T_3.
        keep_totals: keep rows at the end that seem to be sums or means of the rows above.
        sheet: name of the sheet of a spreadsheet; by default the only one with something in it.
        kinds: kinds of columns that are not to be found by their values, NAME=KIND such as grade=category; a kind is
            one of category, angle, few values, whole number, number.
    """

    header_row: int | None = None
    skip_rows: int | None = None
    separator: str | None = None
    decimal: str | None = None
    usual_decimal: str | None = None
    thousands: str | None = None
    missing: tuple[str, ...] = ()
    time_column: str | None = None
    keep_columns: tuple[str, ...] = ()
    rename_duplicates: bool = False
    keep_totals: bool = False
    sheet: str | None = None
    kinds: tuple[str, ...] = ()


_RULES = {
    **dict.fromkeys(("header_row", "skip_rows"), optional(whole(0, 1_000_000_000))),
    **dict.fromkeys(("separator", "decimal", "usual_decimal", "thousands", "time_column", "sheet"), optional(TEXT)),
    **dict.fromkeys(("missing", "keep_columns", "kinds"), each(TEXT)),
    **dict.fromkeys(("rename_duplicates", "keep_totals"), FLAG),
}
_KINDS_NOT_TOLD = ("constant", "levels", "ranks")
_SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "bar": "|"}
_DECIMALS = {"point": ".", "comma": ","}
_THOUSANDS = {"space": " ", "point": ".", "comma": ",", "apostrophe": "'", "none": "none"}


def checked(options: ReadOptions) -> ReadOptions:
    r"""The options with marks as characters, once it is sure that they can be meant.

    Args:
        options: as a user gives them.

    Returns:
        The ReadOptions.

    Raises:
        ValueError: a number below 0, or a mark that is none; the message names the option.

    Example:
        >>> checked(ReadOptions(separator="tab")).separator
        '\t'
    """
    for name in ("header_row", "skip_rows"):
        value = getattr(options, name)
        if value is not None and value < 0:
            raise ValueError(f"{name}: found {value}, expected a number of lines, at least 0")
    separator = _mark("separator", options.separator, _SEPARATORS, "")
    if separator is not None and (len(separator) != 1 or separator.isalnum() or separator in '"\n\r.'):
        raise ValueError(
            f"separator: found {options.separator!r}, expected one character such as ';', or {_words(_SEPARATORS)}"
        )
    decimal, usual = (_mark(name, getattr(options, name), _DECIMALS, ".,") for name in ("decimal", "usual_decimal"))
    thousands = _mark("thousands", options.thousands, _THOUSANDS, ".,' \u00a0\u202f\u2019")
    if decimal and decimal == thousands:
        raise ValueError(
            f"thousands: found {thousands!r}, which is the decimal mark too; expected another one, or none"
        )
    kinds_told(options)
    return dataclasses.replace(options, separator=separator, decimal=decimal, usual_decimal=usual, thousands=thousands)


def kinds_told(options: ReadOptions) -> dict[str, str]:
    """The kinds that the options tell, by the name of the column.

    Raises:
        ValueError: no NAME=KIND, an unknown kind, or two kinds of one column.

    Example:
        >>> kinds_told(ReadOptions(kinds=("grade=category", "wind=angle")))
        {'grade': 'category', 'wind': 'angle'}
    """
    if not options.kinds:
        return {}
    from aejax.data.columns.kinds import KINDS  # which loads JAX: a command's help needs none

    allowed = [name for name in KINDS if name not in _KINDS_NOT_TOLD]
    kinds: dict[str, str] = {}
    for text in options.kinds:
        name, _, kind = text.rpartition("=")
        if not name or kind not in allowed:
            raise ValueError(f"kinds: found {text!r}, expected NAME=KIND with a kind of {', '.join(allowed)}")
        if kinds.setdefault(name, kind) != kind:
            raise ValueError(f"kinds: found {kinds[name]!r} and {kind!r} for column {name!r}, expected one of them")
    return kinds


def categories_told(options: ReadOptions) -> frozenset[str]:
    """The names of the columns that are told to be categories: their cells are kept as they are written.

    Example:
        >>> categories_told(ReadOptions(kinds=("grade=category", "wind=angle")))
        frozenset({'grade'})
    """
    if not options.kinds:
        return frozenset()
    from aejax.data.columns.kinds import CATEGORY

    return frozenset(name for name, kind in kinds_told(options).items() if kind == CATEGORY)


def with_categories(options: ReadOptions, names: Iterable[str]) -> ReadOptions:
    """The options for other tables of the kind: what one has shown to be categories is told.

    Args:
        options: how the table was read.
        names: of its columns of categories.

    Returns:
        The ReadOptions.

    Example:
        >>> with_categories(ReadOptions(kinds=("grade=category",)), ["grade", "shift"]).kinds
        ('grade=category', 'shift=category')
    """
    from aejax.data.columns.kinds import CATEGORY

    told = kinds_told(options)
    found = (f"{name}={CATEGORY}" for name in names if name not in told)
    return dataclasses.replace(options, kinds=(*options.kinds, *found))


def told_last(options: ReadOptions, before: ReadOptions) -> ReadOptions:
    """What was told, and what had been told before where nothing was.

    Example:
        >>> told_last(ReadOptions(decimal=","), ReadOptions(decimal=".", separator=";"))
        ReadOptions(header_row=None, skip_rows=None, separator=';', decimal=',', ...)
    """
    given = {name: value for name, value in vars(options).items() if value != getattr(ReadOptions(), name)}
    return dataclasses.replace(before, **given)


def with_found(options: ReadOptions, dialect: Mapping[str, str]) -> ReadOptions:
    """The options for other tables of the kind: what the cells of one have shown is usual.

    Args:
        options: how the table was read.
        dialect: that was found in it, of its ``Reading``.

    Returns:
        The ReadOptions.

    Example:
        >>> with_found(ReadOptions(), {"decimal mark": "comma"}).usual_decimal
        'comma'
    """
    mark = dialect.get("decimal mark")
    return dataclasses.replace(options, usual_decimal=mark) if mark in _DECIMALS else options


def from_json(values: Any, where: str) -> ReadOptions:
    """The options of a JSON object.

    Raises:
        ValueError: no object, an unknown option, or a value of another kind.

    Example:
        >>> from_json({"missing": ["Bad"]}, "config").missing
        ('Bad',)
    """
    known = {field.name for field in dataclasses.fields(ReadOptions)}
    if not isinstance(values, dict) or not set(values) <= known:
        raise ValueError(f"{where}: found {values!r}, expected an object of {', '.join(sorted(known))}")
    check_all(
        {f"{where}.{name}": rule for name, rule in _RULES.items()}, {f"{where}.{k}": v for k, v in values.items()}
    )
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return ReadOptions(**given)


def _mark(name: str, given: str | None, words: dict[str, str], marks: str) -> str | None:
    if given is None:
        return None
    found = words.get(given.lower(), given)
    if marks and found not in words.values() and found not in set(marks):
        raise ValueError(f"{name}: found {given!r}, expected one of {_words(words)}, or the mark itself")
    return found


def _words(words: dict[str, str]) -> str:
    return ", ".join(word for word in words if word.isalpha())
