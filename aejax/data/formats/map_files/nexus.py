"""What the two formats of NeXus share: finding entries, and reading fields, by h5py."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from aejax.artefacts import sizes
from aejax.data.formats.libraries import library

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_OLD_SIGNATURE = b"\x0e\x03\x13\x01"
_MOST_TIMES = 1000  # maps are masked in large parts, and then take next to nothing


@contextmanager
def opened(path: Path, mode: str = "r") -> Iterator[Any]:
    """An HDF5 file as h5py gives it.

    Raises:
        ValueError: a file that is damaged.
        ImportError: h5py is not installed.
    """
    h5py = library("h5py", "NeXus", "spectra")
    try:
        file = h5py.File(path, mode)
    except OSError as error:
        raise ValueError(f"{path}: found a damaged HDF5 file ({error}), expected a whole one") from error
    with file:
        if mode == "r":
            _check_sizes(file, path.stat().st_size)
        yield file


def _check_sizes(file: Any, packed: int) -> None:
    """Refuses datasets that claim to hold far more than the file: those that were never written take no place."""

    def check(name: str, item: Any) -> None:
        del name
        sizes.check_packed(getattr(item, "nbytes", 0), packed, _MOST_TIMES)

    file.visititems(check)


def entries(path: Path, group: str) -> list[str]:
    """Names of the entries of an HDF5 file that hold a group, in the order of their numbers; none of another file."""
    with path.open("rb") as file:
        begin = file.read(8)
    if begin.startswith(_OLD_SIGNATURE):
        raise ValueError(f"{path}: found HDF4, expected HDF5; convert it by h4toh5, or save it again by Mantid")
    if begin != _SIGNATURE:
        return []
    with opened(path) as file:
        names = [name for name in file if group in file[name]]
    return sorted(names, key=lambda name: (len(name), name))


def field(group: Any, name: str, path: Path) -> Any:
    """A dataset of a group.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in group:
        raise ValueError(f"{path}: {group.name}: found {', '.join(group)}, expected {name} as well")
    return group[name]


def unit_of(dataset: Any) -> str | None:
    """The attribute ``units`` as text; None where there is none."""
    units = dataset.attrs.get("units")
    if isinstance(units, np.ndarray):
        units = units.item()
    return units.decode() if isinstance(units, bytes) else units


def check_number(found: int, names: list[str], path: Path) -> None:
    """Refuses maps that are not as many as the entries whose numbers they are to replace.

    Raises:
        ValueError: they differ.
    """
    if found != len(names):
        raise ValueError(f"{path}: found {found} maps, expected {len(names)} as this file has entries")
