"""Files of maps S(Q, E), as instruments and codes write them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aejax.artefacts.outside import reading
from aejax.artefacts.writing import atomic_path
from aejax.base import ArrayLike
from aejax.data.formats.contents import files_of
from aejax.data.formats.map_files.registry import MAP_FORMATS, MapFormat, MapOptions, Maps
from aejax.data.units import MEV, PER_ANGSTROM

_TOLERANCE = 1e-3  # of a step


def read_maps(
    paths: str | Path | Sequence[str | Path],
    *,
    energy_unit: str | None = None,
    momentum_unit: str | None = None,
    momentum: ArrayLike | None = None,
    num_momenta: int = 48,
) -> Maps:
    """Reads maps from one file or several, of the formats in ``aejax.data.formats.map_files``.

    Args:
        paths: a file, a folder, a pattern such as ``"run_*.nxspe"``, or several of these. The content of a file decides
            which format it is of. All have the same axes.
        energy_unit: such as ``"THz"`` or ``"cm-1"``, in place of what a file says; meV where it says nothing.
        momentum_unit: such as ``"1/nm"`` or ``"1/bohr"``, likewise; 1/Å where a file says nothing.
        momentum: (q,) in 1/Å, evenly spaced, to which the detectors of NXSPE are binned; those of the first file if
            None.
        num_momenta: how many of these the first file is given.

    Returns:
        The Maps of all files, energies in meV and momenta in 1/Å.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file of none of the formats, a damaged one, other axes than in the first, an unknown unit.
        ImportError: the extra ``spectra`` is not installed.

    Warns:
        UserWarning: units that were converted, and axes of edges of bins.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "maps.npz"
        >>> np.savez(path, S=np.ones((1, 2, 3)), Q=[1.0, 2.0], E=[0.5, 1.0, 1.5], E_unit="THz")
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     read_maps(path).energy.round(3)
        array([2.068, 4.136, 6.204])
    """
    files = [file for path in ([paths] if isinstance(paths, str | Path) else paths) for file in files_of(path)]
    if num_momenta < 1:
        raise ValueError(f"num_momenta: found {num_momenta}, expected a positive whole number")
    given = None if momentum is None else np.asarray(momentum, float)
    options = MapOptions(energy_unit, momentum_unit, given, num_momenta)
    read: list[Maps] = []
    for path in files:
        with reading(path):
            maps = format_of(path).read(path, options)
        if read:
            for name in ("momentum", "energy"):
                check_axis(f"{path}: {name}", getattr(maps, name), getattr(read[0], name), f"those of {files[0]}")
        else:
            options = options._replace(momentum=maps.momentum)
        read.append(maps)
    if not read:
        raise ValueError("paths: found none, expected at least one")
    errors = [maps.errors for maps in read]
    if any(one is None for one in errors) and any(one is not None for one in errors):
        raise ValueError("paths: found errors in some of the files, expected them in all or in none")
    return Maps(
        np.concatenate([maps.values for maps in read]),
        read[0].momentum,
        read[0].energy,
        None if errors[0] is None else np.concatenate([one for one in errors if one is not None]),
    )


def write_maps(path: str | Path, maps: Maps, source: str | Path | None = None) -> None:
    """Writes maps in the format that the ending names.

    Args:
        path: ending in .npz, .json (Euphonic), .nxs (Mantid) or .nxspe.
        maps: the Maps.
        source: a file whose other content is kept if it has the same format, such as the detectors of NXSPE.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: an unknown ending, or NXSPE without a source.
        ImportError: the extra ``spectra`` is not installed.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "map.json"
        >>> write_maps(path, Maps(np.ones((1, 2, 3)), np.arange(1.0, 3), np.arange(3.0)))
        >>> read_maps(path).values.shape
        (1, 2, 3)
    """
    path = Path(path)
    found, same = check_writing(path, source)
    with atomic_path(path) as partial, reading("" if same is None else same):
        found.write(partial, maps, same)


def check_writing(
    path: str | Path, source: str | Path | None = None, *, only: str | None = None
) -> tuple[MapFormat, Path | None]:
    """Whether maps can be written, to be asked before they are computed.

    Args:
        path: the file to write, whose ending names the format.
        source: as in ``write_maps``.
        only: the one ending that will do; None for any.

    Returns:
        The format, and the source if it has the same.

    Raises:
        OSError: the source cannot be read.
        ValueError: another ending, or a format that needs a source of its own.

    Example:
        >>> check_writing("maps.json")[0].name
        'Euphonic JSON'
    """
    by_ending = {ending: one for one in MAP_FORMATS for ending in one.endings}
    ending = Path(path).suffix.lower()
    if ending not in (by_ending if only is None else (only,)):
        raise ValueError(f"{path}: found the ending {ending or 'none'!r}, expected {only or ', '.join(by_ending)}")
    found = by_ending[ending]
    with reading("" if source is None else source):
        same = None if source is None or format_of(Path(source)) is not found else Path(source)
    if same is None and found.needs_source:
        raise ValueError(
            f"{path}: {found.name} holds detectors, expected a file of this format whose detectors are kept; name it, "
            f"or write one of {', '.join(ending for ending, one in by_ending.items() if not one.needs_source)}"
        )
    return found, same


def format_of(path: Path) -> MapFormat:
    """The format of a file, which its content decides.

    Raises:
        FileNotFoundError: no such file.
        ValueError: none of the formats.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    found = next((one for one in MAP_FORMATS if one.holds(path)), None)
    if found is None:
        names = ", ".join(one.name for one in MAP_FORMATS)
        raise ValueError(
            f"{path}: found no NPZ file of arrays, nor another format of maps, expected one with S, Q, E, or one of "
            f"{names}"
        )
    return found


def check_axis(where: str, found: np.ndarray, expected: np.ndarray, whose: str) -> None:
    """Refuses an axis that differs from another one by more than a thousandth of its step.

    Args:
        where: the axis, for the message.
        found: (k,).
        expected: (k,).
        whose: the axis that is expected.

    Raises:
        ValueError: they differ.

    Example:
        >>> check_axis("E", np.array([1e-22, 2e-22]), np.array([2e-22, 4e-22]), "those of training")
        Traceback (most recent call last):
        ValueError: E: found 2 values from 1e-22 to 2e-22, expected those of training, 2 values from 2e-22 to 4e-22; ...
    """
    step = np.abs(np.diff(expected)).min() if expected.size > 1 else np.abs(expected).max()
    if found.shape == expected.shape and np.max(np.abs(found - expected)) <= _TOLERANCE * step:
        return
    spans = [f"{axis.size} values from {axis.min():g} to {axis.max():g}" for axis in (found, expected)]
    raise ValueError(f"{where}: found {spans[0]}, expected {whose}, {spans[1]}; {_remedy(found, expected)}")


def _remedy(found: np.ndarray, expected: np.ndarray) -> str:
    if found.size == expected.size + 1:
        return "these look like edges of bins: give their centres, (axis[1:] + axis[:-1]) / 2"
    if found.size == expected.size and np.any(found):
        ratio = np.max(np.abs(expected)) / np.max(np.abs(found))
        if np.max(np.abs(found * ratio - expected)) <= _TOLERANCE * np.max(np.abs(expected)):
            units = [name for name, factor in (MEV | PER_ANGSTROM).items() if abs(ratio / factor - 1) < _TOLERANCE]
            of = f", as of {units[0]}" if units else ""
            return f"these differ by a factor of {ratio:.6g}{of}: give the unit, or convert them"
    return "interpolate the maps to these"
