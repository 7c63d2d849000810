"""What 20 numbers hold of maps of crystals not seen, beside 20 principal components, by how maps were averaged.

python -m benchmarks.spectra [--data FOLDER] [--maps FOLDER] [--cases CASE ...] [--averages N ...] [--out FOLDER]

Maps S(Q, E) of 25 crystals are computed from their force constants with 30 to 400 directions in the powder average, at
the 12 temperatures and scales of force constants of the maps given. A fifth of the crystals is held out in turn, and a
compression with the defaults is learned from the others. The components are fitted to the same training maps on each
scale that errors are taken on; the compression is one, and its codes are found for one of the three errors of
``compress``. Every third map of a crystal held out is judged.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from aejax.artefacts.storage import write_json
from aejax.simulate.phonons import phonon_modes, powder_map, read_force_constants
from aejax.tasks.surrogate import compress, expand, explained, fit_compression, through_components
from benchmarks.measuring import environment

FOLDER = Path(__file__).parent / "results"
AVERAGES = (30, 60, 120, 240, 400)
CODES = ("sqrt", "balanced", "intensity")
NUM_NUMBERS, NUM_FOLDS = 20, 5
CASES = {
    "plain": "learned from maps averaged like those judged, without a Debye-Waller factor",
    "fine": "learned from the maps given, finely averaged, without a Debye-Waller factor",
    "damped": "learned from maps averaged like those judged, with a Debye-Waller factor",
}
SCALES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "intensity": lambda maps, _: maps,
    "square root": lambda maps, _: np.sqrt(maps),
    "log(S + 0.03)": lambda maps, _: np.log(maps + 0.03),
    "divided by sum": lambda maps, like: maps / like.sum(axis=(1, 2), keepdims=True),
}


class Given(NamedTuple):
    """The maps of the data folder: their axes, crystals and states."""

    maps: np.ndarray
    crystal: np.ndarray
    momentum: np.ndarray
    energy: np.ndarray
    scale: np.ndarray
    temperature: np.ndarray


def given(folder: Path) -> Given:
    """Reads them."""
    file = np.load(folder / "neutron" / "sqe_maps.npz")
    return Given(file["S"], file["crystal"], file["Q"], file["E"], *file["fc_scale_T"].T.astype(float))


def averaged(data: Given, folder: Path, kept: Path | None, num_directions: int, debye_waller: bool) -> np.ndarray:
    """Maps of the same crystals and states; computed once where there is a folder to keep them in."""
    path = None if kept is None else kept / f"maps-{num_directions}-{'damped' if debye_waller else 'plain'}.npy"
    if path is not None and path.is_file():
        return np.asarray(np.load(path))
    maps = np.empty_like(data.maps)
    for name in np.unique(data.crystal):
        crystal = read_force_constants(folder / "neutron" / "force_constants" / f"{name}.yaml.xz")
        modes = phonon_modes(crystal, data.momentum, num_directions=num_directions)
        for row in np.flatnonzero(data.crystal == name):
            state = {"temperature": data.temperature[row], "force_constant_scale": data.scale[row]}
            maps[row] = powder_map(modes, data.energy, **state, debye_waller=debye_waller)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, maps)
    return maps


def folds(data: Given, every: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows to learn from and rows to judge."""
    names = np.unique(data.crystal)
    for fold in range(NUM_FOLDS):
        held_out = np.isin(data.crystal, names[fold::NUM_FOLDS])
        yield np.flatnonzero(~held_out), np.flatnonzero(held_out)[::every]


def measured(data: Given, cases: dict[int, tuple[np.ndarray, np.ndarray]], every: int) -> Iterator[dict[str, Any]]:
    """What each answer leaves of the maps held out, fold by fold, for cases of training maps and maps to judge."""
    learned: dict[tuple[int, int], Any] = {}  # finely averaged training maps are the same for all
    for average, (train_maps, judged_maps) in cases.items():
        for fold, (train, judged) in enumerate(folds(data, every)):
            known, truth = train_maps[train], judged_maps[judged]
            place = (id(train_maps), fold)
            if place not in learned:
                learned[place] = fit_compression(
                    jax.random.key(fold), known, data.momentum, data.energy, num_numbers=NUM_NUMBERS
                )
            answers = {name: expand(learned[place], compress(learned[place], truth, error=name)) for name in CODES}
            for name, scale in SCALES.items():
                on_scale, plain = scale(truth, truth), scale(known, known)
                mean = plain.mean(axis=0)
                parts = {code: scale(answer, truth) for code, answer in answers.items()}
                parts["components"] = through_components(plain, on_scale, NUM_NUMBERS)
                r2 = {code: explained(on_scale, part, mean) for code, part in parts.items()}
                whole = float(np.sum(np.square(on_scale - mean, dtype=float)))
                yield {"average": average, "fold": fold, "scale": name, "whole": whole, "r2": r2}


def summary(results: list[dict[str, Any]]) -> Iterator[str]:
    """A table of one case: R² over all folds together, and by how much the default is above the components."""
    heads = " ".join(f"{name:>10}" for name in CODES)
    yield f"{'directions':>10} {'error':<15} {'PCA-20':>8} {heads} {'balanced - PCA-20, folds':>26} {'least':>7} below"
    for average in dict.fromkeys(result["average"] for result in results):
        for scale in SCALES:
            chosen = [one for one in results if (one["average"], one["scale"]) == (average, scale)]
            weights = np.array([one["whole"] for one in chosen])
            r2 = {name: np.array([one["r2"][name] for one in chosen]) for name in ("components", *CODES)}
            total = {name: float(weights @ values / weights.sum()) for name, values in r2.items()}
            above = r2["balanced"] - r2["components"]
            cells = " ".join(f"{total[name]:>10.3f}" for name in CODES)
            below = ", ".join(name for name in CODES if total[name] < total["components"])
            yield (
                f"{average:>10} {scale:<15} {total['components']:>8.3f} {cells} "
                f"{f'{above.mean():.3f} ± {above.std():.3f}':>26} {above.min():>7.3f} {below}"
            )


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("AEJAX_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=default, help="the data folder; AEJAX_DATA if it is set")
    parser.add_argument("--maps", type=Path, help="folder to keep computed maps in, for the next run")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--averages", type=int, nargs="+", default=AVERAGES, help="directions in the powder average")
    parser.add_argument("--every", type=int, default=3, help="every so many maps of a crystal held out are judged")
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    where, data = environment(), given(arguments.data)
    path = arguments.out / f"spectra-{where['backend']}-{where['date']}.json"
    found: dict[str, list[dict[str, Any]]] = {}
    for case in arguments.cases:
        pairs = {}
        for number in arguments.averages:
            maps = averaged(data, arguments.data, arguments.maps, number, case == "damped")
            pairs[number] = (data.maps if case == "fine" else maps, maps)
        found[case] = []
        for result in measured(data, pairs, arguments.every):  # written as it comes, so that a run that is cut keeps it
            found[case].append(result)
            write_json(path, {"environment": where, "numbers": NUM_NUMBERS, "every": arguments.every, "results": found})
        print(f"\n{CASES[case]}\n" + "\n".join(summary(found[case])), flush=True)


if __name__ == "__main__":
    main()
