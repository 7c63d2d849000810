"""``aejax surrogate``: learn to compress maps and to predict them; then do both on other files."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from aejax.cli.commands.notes import note, warnings_noted
from aejax.cli.commands.options import Quiet

if TYPE_CHECKING:
    import numpy as np


@dataclasses.dataclass(frozen=True)
class SurrogateCommand:
    """Learn to compress maps S(Q, E) to a few numbers, and to predict them from properties."""

    data: Positional[Path]
    """NPZ file with the arrays S (n, q, e), Q (q,) in 1/Å and E (e,) in meV, and what is named below. E may begin below
    0, energy gain; spectra without momentum are S (n, 1, e) with a single Q. The unit of S does not matter."""
    out: Path
    """Folder to write; it must not hold anything yet."""
    properties: tuple[str, ...] = ()
    """Arrays (n,) or (n, k) of the file to predict maps from; none learns compression only."""
    group: str | None = None
    """Array (n,) of the file, such as crystal: quality is first measured on groups held out in turn, beside that of
    principal components. The spread of predictions is widened to what is found there. Each network is kept as it does
    best on groups that it is not trained on, where there are at least five to train on."""
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
    quiet: Quiet = False


@dataclasses.dataclass(frozen=True)
class SurrogateCompressCommand:
    """Write the codes of maps, and the maps that these decode to."""

    run: Positional[Path]
    """Folder written by aejax surrogate."""
    data: Positional[Path]
    """NPZ file with S, Q and E, the latter those of training; NaN in S where a pixel is missing."""
    out: Path
    """NPZ file to write: code (n, d), S (n, q, e), Q and E."""
    quiet: Quiet = False


@dataclasses.dataclass(frozen=True)
class SurrogatePredictCommand:
    """Write maps predicted from properties, and how far the networks differ."""

    run: Positional[Path]
    """Folder written by aejax surrogate with --properties."""
    data: Positional[Path]
    """NPZ file with the properties, under the names of training."""
    out: Path
    """NPZ file to write: S and spread (n, q, e), Q and E."""
    quiet: Quiet = False


def run(command: SurrogateCommand) -> None:
    """Learns from a file and writes the folder; prints R² on groups held out, where there are groups."""
    import jax

    from aejax.artefacts import codecs, manifest
    from aejax.tasks.surrogate import caution, fit_surrogate
    from aejax.tasks.surrogate.held_out import COVERAGE, INSIDE

    if not manifest.is_free(command.out):
        raise ValueError(f"--out: {command.out} is not empty; choose another folder, or delete it")
    of_rows = (*command.properties, *([command.group] if command.group else []))
    arrays = _read(command.data, ("S", "Q", "E", *of_rows))
    for name in of_rows:
        if len(arrays[name]) != len(arrays["S"]):
            rows = f"found {len(arrays[name])} rows, expected {len(arrays['S'])} as S has"
            raise ValueError(f"{command.data}: {name}: {rows}")
    groups = arrays[command.group] if command.group else None
    if groups is not None and groups.ndim > 1:
        raise ValueError(
            f"{command.data}: {command.group}: found shape {groups.shape}, expected ({len(groups)},), a group each"
        )
    maps, momentum, energy = (_numbers(command.data, arrays, name) for name in ("S", "Q", "E"))
    surrogate = fit_surrogate(
        jax.random.key(command.seed),
        maps,
        momentum,
        energy,
        {name: _numbers(command.data, arrays, name) for name in command.properties},
        groups=groups,
        num_numbers=command.num_numbers,
        num_folds=command.num_folds,
        num_members=command.num_members,
        num_epochs=command.num_epochs,
        progress=not command.quiet,
    )
    codecs.save(command.out, surrogate)
    for name, value in surrogate.measured.items():
        print(f"{name}  {value:.4f}")
    if surrogate.predictor is not None and INSIDE in surrogate.measured:
        factor = surrogate.predictor.widening.factor
        print(f"spreads are {factor:.2f} times as wide: two of them hold {COVERAGE:.0%} of these pixels")
    if warning := caution(surrogate):
        print(warning)
    print(f"written to {command.out}")


def run_compress(command: SurrogateCompressCommand) -> None:
    """Compresses the maps of a file."""
    import numpy as np

    from aejax.artefacts import codecs, storage
    from aejax.tasks.surrogate import Surrogate, compress_maps, expand

    storage.check_no_input(command.out, command.data)
    surrogate = codecs.load(command.run, Surrogate)
    arrays = _read(command.data, ("S", "Q", "E"))
    try:
        code = compress_maps(surrogate, *(_numbers(command.data, arrays, name) for name in ("S", "Q", "E")))
    except ValueError as error:
        raise ValueError(f"{command.data}: {error}") from error
    empty = np.isnan(code).any(axis=1)
    if empty.any():
        note(f"{command.data}: {empty.sum()} of {len(code)} maps hold no number; their codes are NaN", command.quiet)
    maps = expand(surrogate.compression, code)
    storage.write_npz(command.out, code=code, S=maps, Q=surrogate.momentum, E=surrogate.energy)
    print(f"written to {command.out}")


def run_predict(command: SurrogatePredictCommand) -> None:
    """Predicts maps from the properties of a file."""
    from aejax.artefacts import codecs, storage
    from aejax.tasks.surrogate import Surrogate, predict_maps

    storage.check_no_input(command.out, command.data)
    surrogate = codecs.load(command.run, Surrogate)
    if surrogate.predictor is None:
        raise ValueError(
            f"{command.run}: it was trained without --properties, so that it predicts nothing; train again"
        )
    arrays = _read(command.data, surrogate.names)
    try:
        with warnings_noted(command.quiet):
            prediction = predict_maps(surrogate, arrays)
    except ValueError as error:
        raise ValueError(f"{command.data}: {error}") from error
    storage.write_npz(
        command.out, S=prediction.mean, spread=prediction.spread, Q=surrogate.momentum, E=surrogate.energy
    )
    print(f"written to {command.out}")


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


def _numbers(path: Path, arrays: "dict[str, np.ndarray]", name: str) -> "np.ndarray":
    array = arrays[name]
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{path}: {name}: found {array.ravel()[:2]}..., expected numbers")
    return array
