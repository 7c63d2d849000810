"""``aejax surrogate``: learn to compress maps and to predict them; then do both on other files."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import OmitArgPrefixes, Positional

from aejax.cli.commands.command import Command
from aejax.cli.commands.notes import note, warnings_noted
from aejax.cli.commands.options import Json, Quiet
from aejax.cli.commands.results import say

if TYPE_CHECKING:
    import numpy as np


@dataclasses.dataclass(frozen=True)
class _Units:
    energy_unit: str | None = None
    """Of the energies, in place of what the file says: meV, ueV, eV, THz, GHz, cm-1, K, kJ/mol, Ry, hartree."""
    momentum_unit: str | None = None
    """Of the momenta, in place of what the file says: 1/angstrom, 1/nm, 1/bohr."""


@dataclasses.dataclass(frozen=True)
class SurrogateCommand:
    """Learn to compress maps S(Q, E) to a few numbers, and to predict them from properties."""

    data: Positional[Path]
    """File, folder of files or pattern such as 'run_*.nxspe', of maps with the same axes: NXSPE; Mantid's NeXus;
    Euphonic's JSON; NPZ with the arrays S (n, q, e), Q (q,) in 1/Å and E (e,) in meV, what is named below, errors
    (n, q, e) where they are known, and other units as text in Q_unit and E_unit. A pixel that is missing is NaN in S. E
    may begin below 0, energy gain; spectra without momentum are S (n, 1, e) with a single Q. The unit of S does not
    matter."""
    out: Path
    """Folder to write; it must not hold anything yet."""
    properties: tuple[str, ...] = ()
    """Arrays (n,) or (n, k) of the NPZ file to predict maps from; none learns compression only."""
    group: str | None = None
    """Array (n,) of the NPZ file, such as crystal: quality is first measured on groups held out in turn, beside that of
    principal components. The spread of predictions is widened to what is found there. Each network is kept as it does
    best on groups that it is not trained on, where there are at least five to train on."""
    units: OmitArgPrefixes[_Units] = _Units()
    num_momenta: int = 48
    """Evenly spaced momenta to which the detectors of NXSPE are binned."""
    num_numbers: int = 20
    """Numbers that a map is compressed to."""
    num_folds: int = 5
    """Parts that the groups are dealt into."""
    num_members: int = 5
    """Networks in the ensemble of predictors."""
    num_epochs: int = 500
    """Passes over the maps of each network."""
    seed: int = 0
    """Of all that is drawn."""
    json: Json = False
    quiet: Quiet = False


@dataclasses.dataclass(frozen=True)
class SurrogateCompressCommand:
    """Write the codes of maps, and the maps that these decode to."""

    run: Positional[Path]
    """Folder written by aejax surrogate."""
    data: Positional[Path]
    """File of maps of any of the formats, with the axes of training; NaN where a pixel is missing. Detectors of NXSPE
    are binned to the momenta of training."""
    out: Path
    """NPZ file to write: code (n, d), S (n, q, e), Q and E."""
    maps: Path | None = None
    """File to write the decoded maps to, ending in .nxspe, .nxs, .json or .npz. What else the data hold is kept where
    the format is the same."""
    units: OmitArgPrefixes[_Units] = _Units()
    quiet: Quiet = False


@dataclasses.dataclass(frozen=True)
class SurrogatePredictCommand:
    """Write maps predicted from properties, and how far the networks differ."""

    run: Positional[Path]
    """Folder written by aejax surrogate with --properties."""
    data: Positional[Path]
    """NPZ file with the properties, under the names of training."""
    out: Path
    """File to write: NPZ with S and spread (n, q, e), Q and E; with another ending .nxs, .json or .nxspe, with the
    spread as errors."""
    like: Path | None = None
    """NXSPE file whose detectors the maps are written for."""
    quiet: Quiet = False


def run(command: SurrogateCommand) -> None:
    """Learns from files and writes the folder; prints R² on groups held out, where there are groups."""
    import jax

    from aejax.artefacts import codecs, manifest
    from aejax.data.formats.maps import read_maps
    from aejax.tasks.surrogate import caution, fit_surrogate
    from aejax.tasks.surrogate.held_out import COVERAGE, INSIDE

    if not manifest.is_free(command.out):
        raise ValueError(f"--out: {command.out} is not empty; choose another folder, or delete it")
    units = dataclasses.asdict(command.units)
    with warnings_noted(command.quiet):
        maps = read_maps(command.data, num_momenta=command.num_momenta, **units)
    arrays = _columns(command, len(maps.values))
    with warnings_noted(command.quiet):
        surrogate = fit_surrogate(
            jax.random.key(command.seed),
            maps.values,
            maps.momentum,
            maps.energy,
            {name: arrays[name] for name in command.properties},
            errors=maps.errors,
            groups=arrays[command.group] if command.group else None,
            num_numbers=command.num_numbers,
            num_folds=command.num_folds,
            num_members=command.num_members,
            num_epochs=command.num_epochs,
            progress=not command.quiet,
        )
    codecs.save(command.out, surrogate)
    lines = [f"{name}  {value:.4f}" for name, value in surrogate.measured.items()]
    if surrogate.predictor is not None and INSIDE in surrogate.measured:
        factor = surrogate.predictor.widening.factor
        lines.append(f"spreads are {factor:.2f} times as wide: two of them hold {COVERAGE:.0%} of these pixels")
    warnings = [caution(surrogate)] if caution(surrogate) else []
    found = {"figures": surrogate.measured, "warnings": warnings, "written": str(command.out)}
    say(found, [*lines, *warnings, f"written to {command.out}"], command.json)


def run_compress(command: SurrogateCompressCommand) -> None:
    """Compresses the maps of a file."""
    import numpy as np

    from aejax.artefacts import codecs, storage
    from aejax.data.formats.maps import Maps, check_writing, read_maps, write_maps
    from aejax.tasks.surrogate import Surrogate, compress_maps, expand

    storage.check_no_input(command.out, command.data)
    check_writing(command.out, only=".npz")
    if command.maps is not None:
        storage.check_no_input(command.maps, command.data)
        check_writing(command.maps, command.data)
    surrogate = codecs.load(command.run, Surrogate)
    units = dataclasses.asdict(command.units)
    with warnings_noted(command.quiet):
        given = read_maps(command.data, momentum=surrogate.momentum, **units)
        try:
            code = compress_maps(surrogate, *given[:3], errors=given.errors)
        except ValueError as error:
            raise ValueError(f"{command.data}: {error}") from error
    empty = np.isnan(code).any(axis=1)
    if empty.any():
        note(f"{command.data}: {empty.sum()} of {len(code)} maps hold no number; their codes are NaN", command.quiet)
    maps = expand(surrogate.compression, code)
    storage.write_npz(command.out, code=code, S=maps, Q=surrogate.momentum, E=surrogate.energy)
    print(f"written to {command.out}")
    if command.maps is not None:
        write_maps(command.maps, Maps(maps, surrogate.momentum, surrogate.energy), command.data)
        print(f"written to {command.maps}")


def run_predict(command: SurrogatePredictCommand) -> None:
    """Predicts maps from the properties of a file."""
    from aejax.artefacts import codecs, storage
    from aejax.data.formats.maps import Maps, check_writing, write_maps
    from aejax.tasks.surrogate import Surrogate, predict_maps

    storage.check_no_input(command.out, command.data)
    check_writing(command.out, command.like)
    surrogate = codecs.load(command.run, Surrogate)
    if surrogate.predictor is None:
        raise ValueError(
            f"{command.run}: it was trained without --properties, so that it predicts nothing; train again"
        )
    arrays = _read(command.data, surrogate.names)
    axes = {"Q": surrogate.momentum, "E": surrogate.energy}
    with warnings_noted(command.quiet):
        try:
            prediction = predict_maps(surrogate, arrays)
        except ValueError as error:
            raise ValueError(f"{command.data}: {error}") from error
        if command.out.suffix.lower() == ".npz":
            storage.write_npz(command.out, S=prediction.mean, spread=prediction.spread, **axes)
        else:
            maps = Maps(prediction.mean, surrogate.momentum, surrogate.energy, prediction.spread)
            write_maps(command.out, maps, command.like)
    print(f"written to {command.out}")


def _columns(command: SurrogateCommand, num_maps: int) -> "dict[str, np.ndarray]":
    """The properties and groups of all files, a row for each map."""
    import numpy as np

    from aejax.data.formats.contents import files_of

    names = (*command.properties, *([command.group] if command.group else []))
    if not names:
        return {}
    parts = [_read(path, names) for path in files_of(command.data)]
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in names}
    for name in names:
        if len(arrays[name]) != num_maps:
            rows = f"found {len(arrays[name])} rows, expected {num_maps} as S has"
            raise ValueError(f"{command.data}: {name}: {rows}")
        if name in command.properties and arrays[name].dtype.kind not in "biuf":
            raise ValueError(f"{command.data}: {name}: found {arrays[name].ravel()[:2]}..., expected numbers")
    if command.group and arrays[command.group].ndim > 1:
        shape = arrays[command.group].shape
        raise ValueError(f"{command.data}: {command.group}: found shape {shape}, expected ({num_maps},), a group each")
    return arrays


def _read(path: Path, names: tuple[str, ...]) -> "dict[str, np.ndarray]":
    from aejax.artefacts import storage

    with storage.open_npz(path, ", ".join(names)) as file:
        found = file.files
        arrays = {name: file[name] for name in names if name in found}
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ValueError(f"{path}: found {', '.join(found)}, expected {', '.join(missing)} as well")
    for name in names:
        if arrays[name].ndim < 1:
            raise ValueError(f"{path}: {name}: found a single value, expected an array")
    return arrays


COMMANDS = {
    "surrogate": Command(SurrogateCommand, run, folder=lambda command: command.out),
    "surrogate-compress": Command(SurrogateCompressCommand, run_compress),
    "surrogate-predict": Command(SurrogatePredictCommand, run_predict),
}
