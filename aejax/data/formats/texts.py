"""Which columns of text are categories, such as a grade or a shift, and their cells as numbers of levels."""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from aejax.data.columns.categories import MOST_LEVELS, text_of
from aejax.data.columns.kinds import CATEGORY
from aejax.data.formats.options import ReadOptions, kinds_told
from aejax.data.formats.table_files.registry import Column
from aejax.data.formats.text.words import BOOLEANS, OF_HISTORIANS, is_date, is_missing, is_number

# Texts that come less often on average are names or remarks, and no categories.
_FEWEST_A_LEVEL = 5
_WITH_UNIT = re.compile(r"[+-]?\d[\d.,]*\s*(\D+)")


def as_categories(column: Column, options: ReadOptions, is_new: bool = False) -> Column | None:
    """The column with the numbers of its levels as values, where it is one of categories.

    Text is, where most of its cells are neither numbers nor dates and its levels come again and again; any column is
    that the options say to be one.

    Args:
        column: of a file.
        options: how the file is read.
        is_new: whether only what the options say is a category, as in new rows for a model.

    Returns:
        The Column, whose ``levels`` are in their order as text; None for any other.

    Raises:
        ValueError: too many levels in a column that is said to be of categories.

    Example:
        >>> cells = np.array(["B", "A", "?", "A"] * 5, object)
        >>> grade = Column("grade", np.full(20, np.nan), problem="text", cells=cells)
        >>> found = as_categories(grade, ReadOptions())
        >>> found.levels, found.values[:4]
        (('A', 'B'), array([ 1.,  0., nan,  0.]))
    """
    told = kinds_told(options).get(column.name)
    is_text = column.problem is not None and column.cells is not None and not column.is_clock
    if told != CATEGORY and (told or is_new or not is_text):
        return None
    texts = _texts(column)
    levels, numbers, counts = np.unique(texts, return_inverse=True, return_counts=True)
    missing = np.array([is_missing(level) or level.lower() in _words(options) for level in levels], bool)
    levels_kept = tuple(levels[~missing].tolist())
    if told != CATEGORY and not _are_categories(dict(zip(levels_kept, counts[~missing].tolist(), strict=True))):
        return None
    if len(levels_kept) > MOST_LEVELS:
        raise ValueError(
            f"column {column.name!r}: found {len(levels_kept)} categories, expected at most {MOST_LEVELS}; join the "
            "rare ones, or leave the column out with --drop-columns"
        )
    places = np.where(missing, np.nan, np.cumsum(~missing) - 1.0)
    return column._replace(values=places[numbers], problem=None, cells=None, words=(), levels=levels_kept)


def texts_of_numbers(values: np.ndarray) -> np.ndarray:
    """Numbers as the texts of categories, "" where missing.

    Example:
        >>> texts_of_numbers(np.array([1.0, 2.5, np.nan])).tolist()
        ['1', '2.5', '']
    """
    levels, numbers = np.unique(values, return_inverse=True)
    texts = np.array(["" if np.isnan(level) else text_of(level) for level in levels], object)
    return texts[numbers]


def _texts(column: Column) -> np.ndarray:
    return (texts_of_numbers(column.values) if column.cells is None else column.cells).astype(str)


def _words(options: ReadOptions) -> set[str]:
    return {word.strip().lower() for word in options.missing}


def _are_categories(counts: Mapping[str, int]) -> bool:
    """Whether texts, with how often each comes, are those of categories."""
    num_cells = sum(counts.values())
    are_no_text = sum(count for text, count in counts.items() if _is_no_text(text))
    return (
        num_cells > 0
        and 2 * are_no_text < num_cells
        and len(counts) <= MOST_LEVELS
        and num_cells >= _FEWEST_A_LEVEL * len(counts)
        and not all(text.lower() in OF_HISTORIANS for text in counts if not _is_no_text(text))
        and not _have_one_unit(counts)
    )


def _have_one_unit(texts: Iterable[str]) -> bool:
    """Whether all are numbers with the same unit behind them, which are measurements."""
    found = [_WITH_UNIT.fullmatch(text) for text in texts]
    return len({match and match.group(1) for match in found}) == 1 and found[0] is not None


def _is_no_text(text: str) -> bool:
    return (is_number(text) and text.lower() not in BOOLEANS) or is_date(text)
