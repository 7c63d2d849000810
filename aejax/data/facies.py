"""Two facies from the cells of a grid: of numbers or colours, which are one facies and which are the other."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aejax.base import ArrayLike

_SAME = 0.15
"""Colours that are no further apart than this share of the largest distance are one."""
_FLAT = 0.1
"""Cells are of one colour if they differ by less than this share from their neighbours: what is on an edge is not."""
_LEAST = 0.002
"""Share of the cells that a facies has."""
_MOST = 12
"""Facies that are listed."""


class Facies(NamedTuple):
    """Cells of two facies.

    Attributes:
        cells: (rows, columns), 0 or 1, uint8.
        names: of facies 0 and of facies 1: numbers, or colours such as #ff0000; several where they were joined.
        between: share of the cells whose colour is neither's; they count to the nearer one.
    """

    cells: np.ndarray
    names: tuple[str, str]
    between: float


def two_facies(cells: ArrayLike, ones: Sequence[str] = ()) -> Facies:
    """Makes two facies of numbers or colours.

    Colours on smoothed edges count to the nearer of those that have areas of their own. Unless told, facies 1 is the
    larger number or the brighter colour.

    Args:
        cells: (rows, columns) numbers, or (rows, columns, 3) red, green and blue from 0 to 255.
        ones: the numbers, such as "2" or ">0.5", or the colours, such as "red" or "#ff0000", that are facies 1; all
            others are facies 0.

    Returns:
        The Facies.

    Raises:
        ValueError: one facies, more than two if it is not told which are facies 1, or one that is not there.

    Example:
        >>> two_facies([[3, 7], [7, 7]]).cells
        array([[0, 1],
               [1, 1]], dtype=uint8)
        >>> two_facies([[3, 7], [9, 7]], ones=["3", "9"]).names
        ('7', '3, 9')
    """
    cells = np.asarray(cells, float)
    is_colours = cells.ndim == 3
    which, shares, names = _colours(cells) if is_colours else _numbers(cells)
    if len(names) == 1:
        raise ValueError(f"found one facies, {names[0]}, expected two")
    some = [f"{name} ({100 * share:.2g} %)" for name, share in zip(names[:_MOST], shares, strict=False)]
    listed = ", ".join(some) + (" and more" if len(names) > _MOST else "")
    if ones:
        is_one = _told(ones, names, is_colours, listed)
    elif len(names) == 2:
        is_one = np.array([False, True])
    else:
        such_as = f"'{names[-1]}'" if is_colours else f"{names[-1]} or --facies-1 '>{names[0]}'"
        raise ValueError(
            f"found {len(names)} facies: {listed}, expected two; say which are facies 1, such as --facies-1 {such_as}; "
            "all others are facies 0"
        )
    parts = [", ".join(name for name, one in zip(names, is_one, strict=True) if one == side) for side in (False, True)]
    if not all(parts):
        raise ValueError(f"--facies-1: found all of {listed}, expected some of them; the others are facies 0")
    return Facies(is_one[which].astype(np.uint8), (parts[0], parts[1]), float(max(0.0, 1 - shares.sum())))


def _numbers(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    values, which, count = np.unique(cells, return_inverse=True, return_counts=True)
    return which.reshape(cells.shape), count / cells.size, [_name(value) for value in values]


def _colours(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The nearest of the colours that have areas of their own, the share that is of each, and their names."""
    spread = float(np.linalg.norm(cells.max(axis=(0, 1)) - cells.min(axis=(0, 1)))) or 1.0
    exact, of_cell = np.unique(cells.reshape(-1, 3), axis=0, return_inverse=True)
    of_cell = of_cell.reshape(cells.shape[:2])
    is_flat = _is_flat(cells, _FLAT * spread)
    # Where hardly a cell has neighbours of its colour, there are no edges to leave out.
    counts = np.bincount(of_cell[is_flat if is_flat.mean() > 0.1 else ...].ravel(), minlength=len(exact))
    found = _clusters(exact, counts, _SAME * spread, _LEAST * cells[..., 0].size)
    palette = found[np.argsort(found @ [0.2126, 0.7152, 0.0722])]  # luminance, of ITU-R BT.709
    distance = np.linalg.norm(exact[:, None] - palette[None], axis=2)
    nearest = distance.argmin(axis=1)
    is_near = distance.min(axis=1) <= _SAME * spread
    everywhere = np.bincount(of_cell.ravel(), minlength=len(exact))
    shares = np.bincount(nearest[is_near], everywhere[is_near], minlength=len(palette)) / everywhere.sum()
    return nearest[of_cell], shares, ["#{:02x}{:02x}{:02x}".format(*colour.astype(int)) for colour in palette]


def _is_flat(cells: np.ndarray, most: float) -> np.ndarray:
    """Whether a cell differs from the eight around it by less than ``most`` in each of red, green and blue."""
    padded = np.pad(cells, ((1, 1), (1, 1), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    return np.asarray((windows.max(axis=(-2, -1)) - windows.min(axis=(-2, -1)) < most).all(axis=-1))


def _clusters(colours: np.ndarray, counts: np.ndarray, radius: float, least: float) -> np.ndarray:
    """The most frequent colour, then the most frequent of those that are not near it, and so on."""
    found: list[np.ndarray] = []
    left = counts.astype(float)
    while left.any():
        centre = colours[left.argmax()]
        is_near = np.linalg.norm(colours - centre, axis=1) <= radius
        if found and left[is_near].sum() < least:
            break
        found.append(centre)
        left[is_near] = 0
    return np.array(found)


def _told(ones: Sequence[str], names: list[str], is_colours: bool, listed: str) -> np.ndarray:
    is_one = np.zeros(len(names), bool)
    for word in ones:
        try:
            if is_colours:
                is_one[_nearest_colour(word, names)] = True
            elif word.startswith(">"):
                is_one |= np.array(names, float) > float(word[1:])
            else:
                is_one[names.index(_name(float(word)))] = True
        except ValueError:
            raise ValueError(f"--facies-1: found {word!r}, expected some of {listed}") from None
    return is_one


def _name(value: float) -> str:
    return f"{value:.10g}"


def _nearest_colour(word: str, names: list[str]) -> int:
    from PIL import ImageColor

    told, *palette = (np.array(ImageColor.getrgb(name)[:3], float) for name in (word, *names))
    distance = np.linalg.norm(np.array(palette) - told, axis=1)
    between = min(np.linalg.norm(a - b) for i, a in enumerate(palette) for b in palette[:i])
    if distance.min() > between / 2:
        raise ValueError(word)
    return int(distance.argmin())
