"""What a format of maps is, the formats that there are, and what they share."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aejax.data.units import MEV, PER_ANGSTROM, unit


class Maps(NamedTuple):
    """Maps of intensity over momentum and energy transfer.

    Attributes:
        values: (n, q, e), NaN where a pixel was not observed.
        momentum: (q,) centres of bins, in 1/Å.
        energy: (e,) centres of bins, in meV.
        errors: (n, q, e), the standard deviation of each pixel; None where the file has none.
    """

    values: np.ndarray
    momentum: np.ndarray
    energy: np.ndarray
    errors: np.ndarray | None = None


class MapOptions(NamedTuple):
    """How a file of maps is read.

    Attributes:
        energy_unit: of the energies; None for what the file says, or else meV.
        momentum_unit: of the momenta; None for what the file says, or else 1/Å.
        momentum: (q,) in 1/Å, to bin the detectors of an instrument to; None for evenly spaced ones.
        num_momenta: how many of these.
    """

    energy_unit: str | None = None
    momentum_unit: str | None = None
    momentum: np.ndarray | None = None
    num_momenta: int = 48


class MapFormat(NamedTuple):
    """A format of maps.

    Attributes:
        name: what people call it.
        endings: of the names of its files, lower case with the dot; the first is for writing.
        holds: (path) -> whether the file is one; its content decides, not its name.
        read: (path, options) -> Maps. Raises ValueError for a damaged file.
        write: (path, maps, source) -> None. The source is a file of the format whose other content is kept, or None.
        needs_source: whether it cannot be None.
    """

    name: str
    endings: tuple[str, ...]
    holds: Callable[[Path], bool]
    read: Callable[[Path, MapOptions], Maps]
    write: Callable[[Path, Maps, Path | None], None]
    needs_source: bool = False


MAP_FORMATS: list[MapFormat] = []


def register(map_format: MapFormat) -> None:
    """Makes a format known to ``read_maps`` and ``write_maps``."""
    MAP_FORMATS.append(map_format)


def energies(values: Any, found: str | None, options: MapOptions, num_bins: int, where: str) -> np.ndarray:
    """Centres of bins in meV.

    Args:
        values: (e,) centres, or (e + 1,) edges of bins.
        found: the unit that the file names, or None.
        options: which may name another.
        num_bins: e, of the maps.
        where: the file and the field, for messages.

    Returns:
        (e,).

    Raises:
        ValueError: an unknown unit, or another number of values.

    Warns:
        UserWarning: another unit than meV, or one that overrules that of the file.
    """
    return _axis(values, found, options.energy_unit, MEV, num_bins, where)


def momenta(values: Any, found: str | None, options: MapOptions, num_bins: int, where: str) -> np.ndarray:
    """Centres of bins in 1/Å; see ``energies``."""
    return _axis(values, found, options.momentum_unit, PER_ANGSTROM, num_bins, where)


def _axis(
    values: Any, found: str | None, given: str | None, known: dict[str, float], num_bins: int, where: str
) -> np.ndarray:
    axis = np.asarray(values)
    if axis.dtype.kind not in "biuf":
        raise ValueError(f"{where}: found {axis.ravel()[:2]}..., expected numbers")
    axis = axis.astype(float)
    if axis.ndim != 1 or len(axis) not in (num_bins, num_bins + 1):
        raise ValueError(
            f"{where}: found shape {axis.shape}, expected ({num_bins},) as the maps have, or ({num_bins + 1},) edges "
            "of bins"
        )
    standard = next(iter(known))
    name = standard if found is None else unit(found, known, where)
    if given is not None:
        chosen = unit(given, known, where)
        if found is not None and chosen != name:
            warnings.warn(f"{where}: the file says {name}, read as {chosen} as asked", stacklevel=4)
        name = chosen
    if name != standard:
        warnings.warn(f"{where}: converted from {name} to {standard}", stacklevel=4)
    if len(axis) == num_bins + 1:
        axis = (axis[1:] + axis[:-1]) / 2
    return axis * known[name]


def observed(values: Any) -> np.ndarray:
    """Values as float64, NaN where they are infinite or SPE's mark of a masked pixel, -1e30.

    Example:
        >>> observed([1, -1e30, np.inf])
        array([ 1., nan, nan])
    """
    values = np.array(values, float)
    values[~np.isfinite(values) | (values < -1e29)] = np.nan
    return values


def known(errors: np.ndarray) -> np.ndarray | None:
    """Errors, or None where a file has only NaN in their place."""
    return errors if np.isfinite(errors).any() else None
