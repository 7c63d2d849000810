"""Mantid's processed NeXus: workspaces over momentum and energy transfer, as SofQW makes them.

A pixel is missing where Mantid masked it, where no detector saw any of it, or where value and error are both 0.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from aejax.data.formats.map_files.nexus import check_number, entries, field, opened, unit_of
from aejax.data.formats.map_files.registry import (
    MapFormat,
    MapOptions,
    Maps,
    energies,
    known,
    momenta,
    observed,
    register,
)

_GROUP = "workspace"
_REMEDY = "convert it to S(Q, E) first, by Mantid's SofQWNormalisedPolygon"


def _holds(path: Path) -> bool:
    return bool(entries(path, _GROUP))


def _read(path: Path, options: MapOptions) -> Maps:
    names = entries(path, _GROUP)
    with opened(path) as file:
        read = [_read_workspace(file[name][_GROUP], options, path) for name in names]
    first = read[0]
    for name, maps in zip(names, read, strict=True):
        for axis in ("momentum", "energy"):
            if not np.array_equal(getattr(maps, axis), getattr(first, axis)):
                raise ValueError(f"{path}: {name}: found another {axis} axis than in {names[0]}, expected the same")
    values, errors = (np.concatenate([getattr(maps, name) for maps in read]) for name in ("values", "errors"))
    return Maps(values, first.momentum, first.energy, known(errors))


def _read_workspace(group: Any, options: MapOptions, path: Path) -> Maps:
    values, errors = (observed(field(group, name, path)) for name in ("values", "errors"))
    is_missing = (values == 0) & (errors == 0)
    if "frac_area" in group:
        is_missing = np.asarray(group["frac_area"]) == 0
    values[is_missing | _masked(group, values.shape)] = np.nan
    axes = [field(group, f"axis{number}", path) for number in (1, 2)]
    along, across = (np.asarray(axis, float) for axis in axes)
    if along.ndim == 2:
        if np.ptp(along, axis=0).any():
            raise ValueError(f"{path}: axis1: found other bins in each spectrum, expected the same; rebin it first")
        along = along[0]
    if _is_momentum(axes[0], path):
        values, errors, along, across, axes = values.T, errors.T, across, along, axes[::-1]
    if _is_momentum(axes[0], path) or not _is_momentum(axes[1], path):
        units = ", ".join(str(unit_of(axis)) for axis in axes)
        raise ValueError(f"{path}: found axes in {units}, expected MomentumTransfer and DeltaE; {_REMEDY}")
    return Maps(
        values[None],
        momenta(across, unit_of(axes[1]), options, values.shape[0], f"{path}: momentum"),
        energies(along, unit_of(axes[0]), options, values.shape[1], f"{path}: energy"),
        errors[None],
    )


def _is_momentum(axis: Any, path: Path) -> bool:
    units = str(unit_of(axis))
    if units != "MomentumTransfer" and not units.startswith("DeltaE"):
        raise ValueError(f"{path}: {axis.name}: found {units}, expected MomentumTransfer or DeltaE; {_REMEDY}")
    return units == "MomentumTransfer"


def _masked(group: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Bins that Mantid masked: for each spectrum with any, its index and where its bins begin in a list of all."""
    masked = np.zeros(shape, bool)
    if "masked_spectra" not in group:
        return masked
    spectra, bins = np.asarray(group["masked_spectra"]), np.asarray(group["masked_bins"])
    ends = np.append(spectra[1:, 1], len(bins))
    for (spectrum, begin), end in zip(spectra, ends, strict=True):
        masked[spectrum, bins[begin:end]] = True
    return masked


def _write(path: Path, maps: Maps, source: Path | None) -> None:
    if source is None:
        _create(path, maps)
        return
    names = entries(source, _GROUP)
    check_number(len(maps.values), names, source)
    shutil.copyfile(source, path)
    with opened(path, "r+") as file:
        for index, name in enumerate(names):
            group = file[name][_GROUP]
            is_turned = _is_momentum(group["axis1"], source)
            for field_name, array in (("values", maps.values), ("errors", _errors(maps))):
                group[field_name][...] = array[index].T if is_turned else array[index]


def _create(path: Path, maps: Maps) -> None:
    """A file of one workspace a map, with what Mantid's LoadNexusProcessed asks for."""
    with opened(path, "w") as file:
        for index, (values, errors) in enumerate(zip(maps.values, _errors(maps), strict=True), start=1):
            entry = file.create_group(f"mantid_workspace_{index}")
            entry.attrs["NX_class"] = np.bytes_("NXentry")
            for name, text in (("definition", "Mantid Processed Workspace"), ("title", ""), ("workspace_name", "S")):
                entry[name] = [np.bytes_(text)]
            group = entry.create_group(_GROUP)
            group.attrs["NX_class"] = np.bytes_("NXdata")
            group["values"], group["errors"] = values.astype(float), errors.astype(float)
            group["values"].attrs.update(signal=np.int32(1), axes=np.bytes_("axis2,axis1"))
            for name, axis, units in (("axis1", maps.energy, "DeltaE"), ("axis2", maps.momentum, "MomentumTransfer")):
                group[name] = axis.astype(float)
                group[name].attrs["units"] = np.bytes_(units)
            group["axis1"].attrs["distribution"] = np.bytes_("1")


def _errors(maps: Maps) -> np.ndarray:
    return np.full(maps.values.shape, np.nan) if maps.errors is None else maps.errors


register(MapFormat("Mantid's NeXus", (".nxs", ".nx5", ".h5"), _holds, _read, _write))
