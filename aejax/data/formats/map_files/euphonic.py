"""Euphonic's JSON of two-dimensional spectra: one (Spectrum2D) or several (Spectrum2DCollection)."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from aejax.data.formats.map_files.registry import MapFormat, MapOptions, Maps, energies, momenta, observed, register

_CLASS = "__euphonic_class__"
_NUM_DIMENSIONS = {"Spectrum2D": 2, "Spectrum2DCollection": 3}


def _holds(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip().startswith(b"{")


def _read(path: Path, options: MapOptions) -> Maps:
    content = _content(path)
    values = observed(content["z_data"])
    if values.ndim != _NUM_DIMENSIONS[content[_CLASS]]:
        raise ValueError(f"{path}: z_data: found shape {values.shape}, expected that of a {content[_CLASS]}")
    values = values.reshape(-1, *values.shape[-2:])
    return Maps(
        values,
        momenta(content["x_data"], content["x_data_unit"], options, values.shape[1], f"{path}: x_data"),
        energies(content["y_data"], content["y_data_unit"], options, values.shape[2], f"{path}: y_data"),
    )


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: found no whole JSON ({error}), expected a file that Euphonic wrote") from error
    kind = content.get(_CLASS)
    if kind not in _NUM_DIMENSIONS:
        raise ValueError(
            f"{path}: found {'no class of Euphonic' if kind is None else f'a {kind}'}, expected a Spectrum2D or a "
            "Spectrum2DCollection"
        )
    missing = [f"{axis}_data{part}" for axis in "xyz" for part in ("", "_unit") if f"{axis}_data{part}" not in content]
    if missing:
        raise ValueError(f"{path}: found no {', '.join(missing)}, which a {kind} has")
    return content


def _write(path: Path, maps: Maps, source: Path | None) -> None:
    if maps.errors is not None:
        warnings.warn(f"{path}: Euphonic's JSON holds no errors; they are left out", stacklevel=2)
    kept = {} if source is None else _content(source)
    is_single = len(maps.values) == 1
    content = {
        _CLASS: "Spectrum2D" if is_single else "Spectrum2DCollection",
        "__euphonic_version__": kept.get("__euphonic_version__", "v2.0.0"),
        "metadata": kept.get("metadata", {}),
        "x_data": maps.momentum.astype(float).tolist(),
        "x_data_unit": "1 / angstrom",
        "y_data": maps.energy.astype(float).tolist(),
        "y_data_unit": "millielectron_volt",
        "z_data": np.asarray(maps.values[0] if is_single else maps.values, float).tolist(),
        "z_data_unit": kept.get("z_data_unit", "dimensionless"),
    }
    path.write_text(json.dumps(content))


register(MapFormat("Euphonic JSON", (".json",), _holds, _read, _write))
