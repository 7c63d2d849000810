"""NXSPE: what each detector of a spectrometer saw, over energy transfer, binned to momenta on reading.

With the wave vectors k_i and k_f of the neutron before and after, and the scattering angle 2θ,

    Q² = k_i² + k_f² - 2 k_i k_f cos 2θ,   k² = E / (2.0721 meV Å²).

Pixels that no detector reaches are missing, and so are masked detectors. Where the file says that the intensity was not
multiplied by k_i / k_f, it is.
"""

import shutil
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aejax.data.formats.map_files.nexus import check_number, entries, field, opened, unit_of
from aejax.data.formats.map_files.registry import MapFormat, MapOptions, Maps, energies, known, observed, register

_GROUP = "NXSPE_info"
_MEV_SQUARE_ANGSTROM = 2.0721248  # ħ² / 2m of the neutron


class _Detectors(NamedTuple):
    """Detectors: (d, e) momenta in 1/Å, NaN where energy forbids them, and what intensities are multiplied by."""

    momentum: np.ndarray
    energy: np.ndarray
    scale: np.ndarray


def _holds(path: Path) -> bool:
    return bool(entries(path, _GROUP))


def _read(path: Path, options: MapOptions) -> Maps:
    with opened(path) as file:
        read = [_read_entry(file[name], options, path) for name in entries(path, _GROUP)]
    momentum = options.momentum
    if momentum is None:
        reached = np.concatenate([detectors.momentum[np.isfinite(values)] for detectors, values, _ in read])
        if not reached.size:
            raise ValueError(f"{path}: data: found no pixel that is not masked, expected some")
        edges = np.linspace(reached.min(), reached.max(), options.num_momenta + 1)
        momentum = (edges[1:] + edges[:-1]) / 2
    first = read[0][0].energy
    if any(not np.array_equal(detectors.energy, first) for detectors, _, _ in read):
        raise ValueError(f"{path}: found entries of other energies, expected the same; give one a file")
    binned = [_binned(*entry, momentum) for entry in read]
    values, errors = (np.stack(arrays) for arrays in zip(*binned, strict=True))
    return Maps(values, np.asarray(momentum, float), first, known(errors))


def _read_entry(entry: Any, options: MapOptions, path: Path) -> tuple[_Detectors, np.ndarray, np.ndarray]:
    data = field(entry, "data", path)
    values, errors = (observed(field(data, name, path)) for name in ("data", "error"))
    detectors = _detectors(entry, options, values.shape, path)
    # A spectrum without a detector is zero throughout, with errors of zero; a single zero is a count like others.
    values[(errors == 0).all(axis=1)] = np.nan
    values[~np.isfinite(detectors.momentum)] = np.nan
    return detectors, values * detectors.scale, errors * detectors.scale


def _detectors(entry: Any, options: MapOptions, shape: tuple[int, ...], path: Path) -> _Detectors:
    data, information = entry["data"], entry[_GROUP]
    polar = np.asarray(field(data, "polar", path), float).reshape(-1)
    if len(polar) != shape[0]:
        raise ValueError(f"{path}: polar: found {len(polar)} angles, expected {shape[0]} as data has rows")
    axis = field(data, "energy", path)
    energy = energies(axis[...], unit_of(axis), options, shape[1], f"{path}: energy")
    fixed = np.asarray(field(information, "fixed_energy", path), float).reshape(-1, 1)
    if not np.isfinite(fixed).all() or (fixed <= 0).any() or len(fixed) not in (1, shape[0]):
        raise ValueError(f"{path}: fixed_energy: found {fixed.ravel()[:3]}, expected one positive number of meV")
    before, after = (fixed, fixed - energy) if _is_direct(entry, len(fixed)) else (fixed + energy, fixed)
    with np.errstate(invalid="ignore"):
        k_before, k_after = (np.sqrt(np.where(k > 0, k, np.nan) / _MEV_SQUARE_ANGSTROM) for k in (before, after))
    square = k_before**2 + k_after**2 - 2 * k_before * k_after * np.cos(np.radians(polar))[:, None]
    is_scaled = bool(np.ravel(information["ki_over_kf_scaling"])[0]) if "ki_over_kf_scaling" in information else True
    scale = np.broadcast_to(1.0 if is_scaled else k_before / k_after, shape)
    return _Detectors(np.sqrt(np.broadcast_to(square, shape)), energy, scale)


def _is_direct(entry: Any, num_energies: int) -> bool:
    """Whether the energy before the sample is fixed, as by a chopper, and not that after it."""
    instrument = entry.get("instrument", {})
    return num_energies == 1 and (not len(instrument) or "fermi" in instrument)


def _binned(
    detectors: _Detectors, values: np.ndarray, errors: np.ndarray, momentum: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(q, e) means of the detectors whose momentum lies in a bin, and their errors; NaN where there is none."""
    middle = (momentum[1:] + momentum[:-1]) / 2
    # A single momentum stands for all.
    ends = [2 * momentum[0] - middle[0], 2 * momentum[-1] - middle[-1]] if middle.size else [0, np.inf]
    edges = np.concatenate([ends[:1], middle, ends[1:]])
    seen = np.isfinite(values) & (detectors.momentum >= edges[0]) & (detectors.momentum <= edges[-1])
    row = np.clip(np.searchsorted(edges, detectors.momentum[seen], side="right") - 1, 0, len(momentum) - 1)
    place = row * values.shape[1] + np.nonzero(seen)[1]
    shape = len(momentum), values.shape[1]
    count, total, squares = (
        np.bincount(place, weights=of, minlength=shape[0] * shape[1]).reshape(shape)
        for of in (None, values[seen], np.square(errors[seen]))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / count, np.sqrt(squares) / count


def _write(path: Path, maps: Maps, source: Path | None) -> None:
    assert source is not None  # needs_source
    names = entries(source, _GROUP)
    check_number(len(maps.values), names, source)
    shutil.copyfile(source, path)
    with opened(path, "r+") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the same file, read before
        for index, name in enumerate(names):
            data = file[name]["data"]
            detectors = _detectors(file[name], MapOptions(), data["data"].shape, source)
            if not np.allclose(detectors.energy, maps.energy, rtol=0, atol=1e-3 * abs(np.diff(maps.energy)).min()):
                raise ValueError(f"{source}: energy: found other bins than the maps have, expected the same")
            errors = np.full_like(maps.values, np.nan) if maps.errors is None else maps.errors
            for field_name, array in (("data", maps.values), ("error", errors)):
                data[field_name][...] = _at(detectors, array[index], maps.momentum) / detectors.scale


def _at(detectors: _Detectors, image: np.ndarray, momentum: np.ndarray) -> np.ndarray:
    """(d, e) intensities of a map at the momenta of detectors; NaN beyond the map."""
    margin = (momentum[-1] - momentum[0]) / max(2 * (len(momentum) - 1), 1)
    q = np.where(
        (detectors.momentum >= momentum[0] - margin) & (detectors.momentum <= momentum[-1] + margin),
        detectors.momentum,
        np.nan,
    )
    columns = zip(q.T, image.T, strict=True)
    return np.stack([np.interp(of, momentum, column) for of, column in columns], axis=1)


register(MapFormat("NXSPE", (".nxspe",), _holds, _read, _write, needs_source=True))
