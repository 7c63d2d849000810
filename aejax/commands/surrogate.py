"""``aejax surrogate``: learn to compress maps and to predict them; then do both on other files."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from aejax.commands.options import Quiet

if TYPE_CHECKING:
    from aejax.tasks.surrogate import Compression
    from aejax.tasks.surrogate import Surrogate as Fitted

_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Surrogate:
    """Learn to compress maps S(Q, E) to a few numbers, and to predict them from properties."""

    data: Positional[Path]
    """NPZ file with the arrays S (n, q, e), Q (q,) in 1/Å and E (e,) in meV, and what is named below."""
    out: Path
    """Folder to write; it must not be there yet."""
    properties: tuple[str, ...] = ()
    """Arrays (n,) or (n, k) of the file to predict maps from; none learns compression only."""
    group: str | None = None
    """Array (n,) of the file, such as crystal: quality is first measured on groups held out in turn."""
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
class SurrogateCompress:
    """Write the codes of maps, and the maps that these decode to."""

    run: Positional[Path]
    """Folder written by aejax surrogate."""
    data: Positional[Path]
    """NPZ file with S, on the same Q and E; NaN where a pixel is missing."""
    out: Path
    """NPZ file to write: code (n, d), S (n, q, e), Q and E."""


@dataclasses.dataclass(frozen=True)
class SurrogatePredict:
    """Write maps predicted from properties, and how far the networks differ."""

    run: Positional[Path]
    """Folder written by aejax surrogate with --properties."""
    data: Positional[Path]
    """NPZ file with the properties, under the names of training."""
    out: Path
    """NPZ file to write: S and spread (n, q, e), Q and E."""


def run(command: Surrogate) -> None:
    """Learns from a file and writes the folder; prints R² on groups held out, where there are groups."""
    import jax
    import numpy as np

    from aejax.tasks.surrogate import fit_compression, fit_surrogate
    from aejax.training.progress import ProgressBar

    if command.out.exists():
        raise ValueError(f"--out: {command.out} is there already; choose another folder, or delete it")
    arrays = _read(command.data, ("S", "Q", "E", *command.properties, *([command.group] if command.group else [])))
    maps, momentum, energy = (np.asarray(arrays[name], np.float32) for name in ("S", "Q", "E"))
    properties = _columns(arrays, command.properties)
    key = jax.random.key(command.seed)

    def learn(rows: Any) -> "tuple[Compression, Fitted | None]":
        compression = fit_compression(key, maps[rows], momentum, energy, num_numbers=command.num_numbers)
        if properties is None:
            return compression, None
        surrogate = fit_surrogate(
            key,
            *compression,
            properties[rows],
            maps[rows],
            num_members=command.num_members,
            num_epochs=command.num_epochs,
            progress=False if command.quiet else ProgressBar(),
        )
        return compression, surrogate

    measured = {}
    if command.group:
        measured = _held_out(maps, properties, arrays[command.group], command.num_folds, learn, command.quiet)
    compression, surrogate = learn(np.arange(len(maps)))
    _save(command, momentum, energy, compression, surrogate, measured)
    for name, value in measured.items():
        print(f"{name}  {value:.4f}")


def run_compress(command: SurrogateCompress) -> None:
    """Compresses the maps of a file."""
    import numpy as np

    from aejax import storage
    from aejax.tasks.surrogate import compress, expand

    config, tensors = _load(command.run)
    model, variables = _compression(config, tensors)
    maps = np.asarray(_read(command.data, ("S",))["S"], np.float32)
    code = compress(model, variables, maps)
    storage.write_npz(command.out, code=code, S=expand(model, variables, code), Q=tensors["Q"], E=tensors["E"])


def run_predict(command: SurrogatePredict) -> None:
    """Predicts maps from the properties of a file."""
    from aejax import storage
    from aejax.tasks.surrogate import Surrogate as Fitted
    from aejax.tasks.surrogate import predict, predictor_model

    config, tensors = _load(command.run)
    if not config["properties"]:
        raise ValueError(
            f"{command.run}: it was trained without --properties, so that it predicts nothing; train again"
        )
    model, _ = _compression(config, tensors)
    predictor = predictor_model(model, config["num_numbers"], tuple(config["hidden_dims"]))
    tree = storage.unflatten(tensors)
    surrogate = Fitted(predictor, tree["predictor"], tensors["properties_mean"], tensors["properties_scale"])
    names = tuple(config["properties"])
    properties = _columns(_read(command.data, names), names)
    prediction = predict(surrogate, properties)
    storage.write_npz(command.out, S=prediction.mean, spread=prediction.spread, Q=tensors["Q"], E=tensors["E"])


def _held_out(maps: Any, properties: Any, groups: Any, num_folds: int, learn: Any, quiet: bool) -> dict[str, float]:
    """R² on groups that were not trained on, over all folds together."""
    import numpy as np

    from aejax.tasks.surrogate import compress, expand, predict

    names = np.unique(groups)
    if not 2 <= num_folds <= len(names):
        raise ValueError(f"--num-folds: found {num_folds}, expected 2 to {len(names)}, the number of groups")
    sums: dict[str, list[float]] = {}
    for fold in range(num_folds):
        held_out = np.isin(groups, names[fold::num_folds])
        train, test = np.flatnonzero(~held_out), np.flatnonzero(held_out)
        (model, variables), surrogate = learn(train)
        answers = {"compression": expand(model, variables, compress(model, variables, maps[test]))}
        if surrogate is not None:
            answers["prediction"] = predict(surrogate, properties[test]).mean
        total = np.sum(np.square(maps[test] - maps[train].mean(axis=0)))
        for name, answer in answers.items():
            left, whole = sums.setdefault(f"R2 of {name} on groups held out", [0.0, 0.0])
            sums[f"R2 of {name} on groups held out"] = [left + np.sum(np.square(maps[test] - answer)), whole + total]
        if not quiet:
            print(f"fold {fold + 1} of {num_folds} done", flush=True)
    return {name: float(1 - left / whole) for name, (left, whole) in sums.items()}


def _read(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    import numpy as np

    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    with np.load(path, allow_pickle=False) as file:
        missing = [name for name in names if name not in file.files]
        if missing:
            raise ValueError(f"{path}: found {', '.join(file.files)}, expected {', '.join(missing)} as well")
        return {name: file[name] for name in names}


def _columns(arrays: dict[str, Any], names: tuple[str, ...]) -> Any:
    import numpy as np

    if not names:
        return None
    return np.concatenate([np.asarray(arrays[name], float).reshape(len(arrays[name]), -1) for name in names], axis=1)


def _save(
    command: Surrogate,
    momentum: Any,
    energy: Any,
    compression: "Compression",
    surrogate: "Fitted | None",
    measured: dict[str, float],
) -> None:
    """Writes everything to a folder aside, which then takes the name of the run."""
    import numpy as np

    from aejax import storage

    basis = np.asarray(compression.variables["params"]["basis"])
    tensors = {"basis": basis, "Q": momentum, "E": energy}
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
    if surrogate is not None:
        params = surrogate.variables["params"]
        config["hidden_dims"] = [params[f"layer_{i}"]["bias"].shape[-1] for i in range(len(params) - 1)]
        tensors |= {"properties_mean": surrogate.mean, "properties_scale": surrogate.scale}
        tensors["predictor"] = surrogate.variables
    storage.write_json(command.out / "config.json", config)
    # With the variables written the run is complete.
    storage.write_arrays(command.out / "variables.safetensors", tensors)


def _load(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    from aejax import storage

    for name in ("config.json", "variables.safetensors"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}: it is no folder of aejax surrogate; train one")
    try:
        config = storage.read_json(folder / "config.json")
        tensors = storage.read_arrays(folder / "variables.safetensors")
        found = config["format"], config["num_regions"], config["num_numbers"] - 1
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder} cannot be read: {error}; train it again") from error
    expected = (_FORMAT, *tensors["basis"].shape[:2]) if "basis" in tensors else "a basis"
    if found != expected:
        raise ValueError(f"{folder}: config.json says {found}, variables.safetensors {expected}; train it again")
    return config, tensors


def _compression(config: dict[str, Any], tensors: dict[str, Any]) -> tuple[Any, Any]:
    import jax.numpy as jnp

    from aejax.models.subspaces import local_subspaces

    shape = tensors["basis"].shape[2:]
    model = local_subspaces(shape, config["num_numbers"], config["num_regions"], scale="sqrt")
    return model, {"params": {"basis": jnp.asarray(tensors["basis"])}}
