"""NumPy's archive of arrays: S (n, q, e), Q (q,), E (e,), and errors (n, q, e) where they are known.

``E_unit`` and ``Q_unit``, text, name other units than meV and 1/Å.
"""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from aejax.artefacts import sizes
from aejax.artefacts.storage import open_npz
from aejax.data.formats.map_files.registry import MapFormat, MapOptions, Maps, energies, momenta, observed, register

_NAMES = ("S", "Q", "E")


def _read(path: Path, options: MapOptions) -> Maps:
    with open_npz(path, ", ".join(_NAMES)) as file:
        found = file.files
        arrays = {name: file[name] for name in (*_NAMES, "errors", "E_unit", "Q_unit") if name in found}
        shapes = {
            name: shape
            for name, (shape, _) in sizes.headers(file.zip, path.stat().st_size).items()
            if name not in arrays
        }
    missing = [name for name in _NAMES if name not in arrays]
    if missing:
        raise ValueError(f"{path}: found {', '.join(found) or 'nothing'}, expected {', '.join(missing)} as well")
    for name in ("S", "errors"):
        if name in arrays and arrays[name].dtype.kind not in "biuf":
            raise ValueError(f"{path}: {name}: found {arrays[name].ravel()[:2]}..., expected numbers")
    for name in _NAMES:
        if arrays[name].ndim < 1:
            raise ValueError(f"{path}: {name}: found a single value, expected an array")
    values = observed(arrays["S"])
    if values.ndim != 3:
        raise ValueError(
            f"{path}: S: found shape {values.shape}, expected (n, {arrays['Q'].size}, {arrays['E'].size}), n maps over "
            "Q and E; for a single map give S[None]"
        )
    for name in [name for name, shape in shapes.items() if shape == values.shape]:
        warnings.warn(
            f"{path}: {name} has the shape of S and is not read; write NaN into S where a pixel is missing, and call "
            "standard deviations errors",
            stacklevel=2,
        )
    for name, size in (("Q", values.shape[1]), ("E", values.shape[2])):
        if len(arrays[name]) == size + 1:
            warnings.warn(
                f"{path}: {name}: found {size + 1} bin edges of {size} bins; their centres are used", stacklevel=2
            )
    return Maps(
        values,
        momenta(arrays["Q"], _text(arrays, "Q_unit"), options, values.shape[1], f"{path}: Q"),
        energies(arrays["E"], _text(arrays, "E_unit"), options, values.shape[2], f"{path}: E"),
        np.asarray(arrays["errors"], float) if "errors" in arrays else None,
    )


def _text(arrays: dict[str, np.ndarray], name: str) -> str | None:
    return str(arrays[name].item()) if name in arrays else None


def _write(path: Path, maps: Maps, source: Path | None) -> None:
    del source
    arrays: dict[str, Any] = {"S": maps.values, "Q": maps.momentum, "E": maps.energy}
    if maps.errors is not None:
        arrays["errors"] = maps.errors
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


register(MapFormat("NPZ", (".npz",), zipfile.is_zipfile, _read, _write))
