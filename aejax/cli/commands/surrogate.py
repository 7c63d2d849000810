"""``aejax surrogate``: learn to compress maps and to predict them; then do both on other files."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tyro.conf import Positional

from aejax.cli.commands.notes import note
from aejax.cli.commands.options import Quiet

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from aejax.base import Model, Variables
    from aejax.tasks.surrogate import Compression, Widening
    from aejax.tasks.surrogate import Surrogate as Fitted

_FORMAT = 1
_LEAST_R2 = 0.5
"""Of a prediction that is worth the name."""
_R2_OF = "R2 of {} on groups held out"
_OF_ROOTS = "{}, of square roots"
_INSIDE = "pixels of groups held out within two standard deviations of the networks"
_COVERAGE = 0.95
_LEAST_GROUPS = 5
"""To hold one out of for each network: of fewer, one is too much of the data, and rows are held out."""


@dataclasses.dataclass(frozen=True)
class SurrogateCommand:
    """Learn to compress maps S(Q, E) to a few numbers, and to predict them from properties."""

    data: Positional[Path]
    """NPZ file with the arrays S (n, q, e), Q (q,) in 1/Å and E (e,) in meV, and what is named below. E may begin below
    0, energy gain; spectra without momentum are S (n, 1, e) with a single Q. The unit of S does not matter."""
    out: Path
    """Folder to write; it must not be there yet."""
    properties: tuple[str, ...] = ()
    """Arrays (n,) or (n, k) of the file to predict maps from; none learns compression only."""
    group: str | None = None
    """Array (n,) of the file, such as crystal: quality is first measured on groups held out in turn, beside that of
    principal components, the spread of predictions widened to what is found there, and each network kept as it does
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
    import numpy as np

    from aejax.tasks.surrogate import Widening, fit_compression, fit_surrogate
    from aejax.training.progress import ProgressBar

    if command.out.exists():
        raise ValueError(f"--out: {command.out} is there already; choose another folder, or delete it")
    of_rows = (*command.properties, *([command.group] if command.group else []))
    arrays = _read(command.data, ("S", "Q", "E", *of_rows))
    maps, momentum, energy = (_numbers(command.data, arrays, name).astype(np.float32) for name in ("S", "Q", "E"))
    for name in of_rows:
        if len(arrays[name]) != len(maps):
            raise ValueError(f"{command.data}: {name}: found {len(arrays[name])} rows, expected {len(maps)} as S has")
    if command.group and arrays[command.group].ndim > 1:
        shape = arrays[command.group].shape
        raise ValueError(f"{command.data}: {command.group}: found shape {shape}, expected ({len(maps)},), a group each")
    properties = _columns(command.data, arrays, command.properties) if command.properties else None
    groups = arrays[command.group] if command.group else None
    key = jax.random.key(command.seed)

    def learn(rows: "np.ndarray") -> "tuple[Compression, Fitted | None]":
        compression = fit_compression(key, maps[rows], momentum, energy, num_numbers=command.num_numbers)
        if properties is None:
            return compression, None
        surrogate = fit_surrogate(
            key,
            *compression,
            properties[rows],
            maps[rows],
            groups=groups[rows] if groups is not None and len(np.unique(groups[rows])) >= _LEAST_GROUPS else None,
            num_members=command.num_members,
            num_epochs=command.num_epochs,
            progress=False if command.quiet else ProgressBar(),
        )
        return compression, surrogate

    measured, widening = _HeldOut({}, Widening())
    if groups is not None:
        measured, widening = _held_out(maps, properties, groups, command, learn)
    compression, surrogate = learn(np.arange(len(maps)))
    if surrogate is not None:
        surrogate = surrogate._replace(widening=widening)
    _save(command, momentum, energy, properties, compression, surrogate, measured)
    for name, value in measured.items():
        print(f"{name}  {value:.4f}")
    if _INSIDE in measured:
        print(f"spreads are {widening.factor:.2f} times as wide: two of them hold {_COVERAGE:.0%} of these pixels")
    if warning := _warning(measured):
        print(warning)
    print(f"written to {command.out}")


def run_compress(command: SurrogateCompressCommand) -> None:
    """Compresses the maps of a file."""
    import numpy as np

    from aejax.artefacts import storage
    from aejax.tasks.surrogate import compress, expand

    storage.check_no_input(command.out, command.data)
    config, tensors = _load(command.run)
    model, variables = _compression(config, tensors)
    arrays = _read(command.data, ("S", "Q", "E"))
    for name in ("Q", "E"):
        _check_axis(command.data, name, _numbers(command.data, arrays, name), tensors[name])
    maps = _numbers(command.data, arrays, "S").astype(np.float32)
    expected = (len(tensors["Q"]), len(tensors["E"]))
    if maps.shape[1:] != expected:
        raise ValueError(f"{command.data}: S: found shape {maps.shape}, expected (n, {expected[0]}, {expected[1]})")
    if np.nanmin(maps, initial=0) < 0:
        raise ValueError(
            f"{command.data}: S: found {np.nanmin(maps):.3g}, expected intensities of at least 0; subtract less "
            "background, or give 0 in their place, or NaN for a pixel that is missing"
        )
    code = compress(model, variables, maps)
    empty = np.isnan(code).any(axis=1)
    if empty.any():
        note(f"{command.data}: {empty.sum()} of {len(maps)} maps hold no number; their codes are NaN", command.quiet)
    storage.write_npz(command.out, code=code, S=expand(model, variables, code), Q=tensors["Q"], E=tensors["E"])
    print(f"written to {command.out}")


def run_predict(command: SurrogatePredictCommand) -> None:
    """Predicts maps from the properties of a file."""
    from aejax.artefacts import storage
    from aejax.tasks.surrogate import Surrogate as Fitted
    from aejax.tasks.surrogate import Widening, predict, predictor_model

    storage.check_no_input(command.out, command.data)
    config, tensors = _load(command.run)
    if not config["properties"]:
        raise ValueError(
            f"{command.run}: it was trained without --properties, so that it predicts nothing; train again"
        )
    model, _ = _compression(config, tensors)
    predictor = predictor_model(model, config["num_numbers"], tuple(config["hidden_dims"]))
    tree = storage.unflatten(tensors)
    surrogate = Fitted(
        predictor,
        tree["predictor"],
        tensors["properties_mean"],
        tensors["properties_scale"],
        Widening(*config.get("widening", ())),
    )
    names = tuple(config["properties"])
    arrays = _read(command.data, names)
    properties = _columns(command.data, arrays, names)
    prediction = predict(surrogate, properties)
    if warning := _warning(config.get("measured", {})):
        note(warning, command.quiet)
    for text in _outside(arrays, names, properties, tensors):
        note(f"{command.data}: {text}", command.quiet)
    storage.write_npz(command.out, S=prediction.mean, spread=prediction.spread, Q=tensors["Q"], E=tensors["E"])
    print(f"written to {command.out}")


def _warning(measured: dict[str, float]) -> str:
    """What is to be said of predictions that are worth little on groups that were not trained on; else nothing."""
    r2 = measured.get(_R2_OF.format("prediction"), 1.0)
    if r2 <= 0:
        return (
            f"WARNING: predictions of new groups are no better than the mean map (R2 {r2:.2f} on groups held out): do "
            "not use them for groups that were not trained on; more groups, or other properties, are needed"
        )
    if r2 < _LEAST_R2:
        return f"the properties do not predict maps of groups that were not trained on (R2 {r2:.2f} on groups held out)"
    return ""


class _HeldOut(NamedTuple):
    """What was measured on groups that were not trained on, and what makes the networks' spread hold there."""

    measured: dict[str, float]
    widening: "Widening"


def _held_out(
    maps: "np.ndarray",
    properties: "np.ndarray | None",
    groups: "np.ndarray",
    command: SurrogateCommand,
    learn: "Callable[[np.ndarray], tuple[Compression, Fitted | None]]",
) -> _HeldOut:
    import numpy as np

    from aejax.tasks.surrogate import Widening, compress, expand, explained, predict, widening

    names, num_folds = np.unique(groups), command.num_folds
    if not 2 <= num_folds <= len(names):
        raise ValueError(f"--num-folds: found {num_folds}, expected 2 to {len(names)}, the number of groups")
    folds = [np.isin(groups, names[fold::num_folds]) for fold in range(num_folds)]
    average, through, predicted, spread = (np.empty(maps.shape, np.float32) for _ in range(4))
    for fold, held_out in enumerate(folds):
        average[held_out] = maps[~held_out].mean(axis=0)
        (model, variables), surrogate = learn(np.flatnonzero(~held_out))
        through[held_out] = expand(model, variables, compress(model, variables, maps[held_out]))
        if surrogate is not None and properties is not None:
            predicted[held_out], spread[held_out], _ = predict(surrogate, properties[held_out])
        if not command.quiet:
            print(f"fold {fold + 1} of {num_folds} done", flush=True)
    measured = _beside_components(maps, through, folds, command.num_numbers)
    if properties is None:
        return _HeldOut(measured, Widening())
    measured[_R2_OF.format("prediction")] = explained(maps, predicted, average)
    measured[_INSIDE] = float(np.mean(np.abs(maps - predicted) <= 2 * spread))
    return _HeldOut(measured, widening(maps, predicted, spread, _COVERAGE))


def _beside_components(
    maps: "np.ndarray", through: "np.ndarray", folds: "list[np.ndarray]", num: int
) -> dict[str, float]:
    """R² of the compression and of as many principal components, fitted to the maps on the scale that is judged."""
    import numpy as np

    from aejax.tasks.surrogate import explained, through_components

    measured = {}
    for name, transform in (("{}", np.asarray), (_OF_ROOTS, np.sqrt)):
        truth, answer, average, plain = transform(maps), transform(through), np.empty_like(maps), np.empty_like(maps)
        for held_out in folds:
            average[held_out] = truth[~held_out].mean(axis=0)
            plain[held_out] = through_components(truth[~held_out], truth[held_out], num)
        measured[name.format(_R2_OF.format("compression"))] = explained(truth, answer, average)
        measured[name.format(_R2_OF.format(f"{num} principal components"))] = explained(truth, plain, average)
    return measured


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


def _columns(path: Path, arrays: dict[str, "np.ndarray"], names: tuple[str, ...]) -> "np.ndarray":
    """(n, p) float64 of all properties side by side."""
    import numpy as np

    lengths = {name: len(arrays[name]) for name in names}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{path}: found properties of different numbers of rows, {lengths}, expected one number")
    columns = [_numbers(path, arrays, name).reshape(len(arrays[name]), -1) for name in names]
    return np.concatenate(columns, axis=1).astype(float)


def _outside(
    arrays: dict[str, "np.ndarray"], names: tuple[str, ...], properties: "np.ndarray", tensors: "dict[str, np.ndarray]"
) -> list[str]:
    """What lies outside of the range of training, a line for each column; nothing of runs that did not keep it."""
    if "properties_min" not in tensors:
        return []
    widths = {name: arrays[name][:1].size for name in names}
    labels = [name if width == 1 else f"{name}[{i}]" for name, width in widths.items() for i in range(width)]
    ranges = zip(labels, properties.T, tensors["properties_min"], tensors["properties_max"], strict=True)
    return [
        f"{label}: found {column.min():g} to {column.max():g}, trained on {least:g} to {most:g}; what lies outside is "
        "extrapolated"
        for label, column, least, most in ranges
        if column.min() < least or column.max() > most
    ]


def _check_axis(path: Path, name: str, found: "np.ndarray", expected: "np.ndarray") -> None:
    import numpy as np

    if found.shape != expected.shape or not np.allclose(found, expected):
        spans = [f"{axis.size} values from {axis.min():g} to {axis.max():g}" for axis in (found, expected)]
        raise ValueError(
            f"{path}: {name}: found {spans[0]}, expected those of training, {spans[1]}; interpolate the maps to these"
        )


def _save(
    command: SurrogateCommand,
    momentum: "np.ndarray",
    energy: "np.ndarray",
    properties: "np.ndarray | None",
    compression: "Compression",
    surrogate: "Fitted | None",
    measured: dict[str, float],
) -> None:
    """Writes everything to a folder aside, which then takes the name of the run."""
    import numpy as np

    from aejax.artefacts import storage

    basis = np.asarray(compression.variables["params"]["basis"])
    tensors: Variables = {"basis": basis, "Q": momentum, "E": energy}
    config = {
        "format": _FORMAT,
        "num_numbers": command.num_numbers,
        "num_regions": len(basis),
        "properties": list(command.properties),
        "data": str(command.data),
        "seed": command.seed,
        "measured": measured,
        "environment": storage.environment(),
    }
    if surrogate is not None and properties is not None:
        params = surrogate.variables["params"]
        config["widening"] = list(surrogate.widening)
        config["hidden_dims"] = [params[f"layer_{i}"]["bias"].shape[-1] for i in range(len(params) - 1)]
        tensors |= {"properties_mean": surrogate.mean, "properties_scale": surrogate.scale}
        tensors |= {"properties_min": properties.min(axis=0), "properties_max": properties.max(axis=0)}
        tensors["predictor"] = surrogate.variables
    storage.write_json(command.out / "config.json", config)
    # With the variables written the run is complete.
    storage.write_arrays(command.out / "variables.safetensors", tensors)


def _load(folder: Path) -> "tuple[dict[str, Any], dict[str, np.ndarray]]":
    from aejax.artefacts import storage

    for name in ("config.json", "variables.safetensors"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}: it is no folder of aejax surrogate; train one")
    config = storage.read_json(folder / "config.json")
    if not isinstance(config, dict) or not {"format", "num_regions", "num_numbers", "properties"} <= config.keys():
        raise ValueError(f"{folder}: found the folder of another command, expected one of aejax surrogate; train one")
    tensors = storage.read_arrays(folder / "variables.safetensors")
    found = config["format"], config["num_regions"], config["num_numbers"]
    basis = tensors.get("basis")
    expected = "a basis" if basis is None else (_FORMAT, basis.shape[0], basis.shape[1] + 1)
    if found != expected:
        raise ValueError(f"{folder}: config.json says {found}, variables.safetensors {expected}; train it again")
    return config, tensors


def _compression(config: dict[str, Any], tensors: "dict[str, np.ndarray]") -> "tuple[Model, Variables]":
    import jax.numpy as jnp

    from aejax.models.subspaces import local_subspaces

    shape = tensors["basis"].shape[2:]
    model = local_subspaces(shape, config["num_numbers"], config["num_regions"], scale="sqrt")
    return model, {"params": {"basis": jnp.asarray(tensors["basis"])}}
