"""The outlier detector beside nearest neighbours, LOF and an isolation forest, on fourteen outlier sets (AEJAX_DATA).

python -m benchmarks.outliers [--tables] [--sets NAME ...] [--seeds N] [--cap ROWS] [--cache FOLDER] [--out FOLDER]

A random half of the normal rows trains; the other half and all outliers are the test; at most ``--cap`` rows of each
part. AUROC in %. The settings of the score are measured as well, from distances that are kept in ``--cache``: what each
set would get with the setting that is best on the mean of the other sets, and how well each setting tells four kinds of
made anomalies (those of ADBench, Han et al. 2022) from normal rows, for which no label is used. ``--tables`` takes the
tables of ``benchmarks.outlier_tables`` in place of the sets.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor

from aejax import metrics
from aejax.artefacts.storage import write_json
from aejax.data.columns.scalers import fit_scaler, scaled_rows
from aejax.tasks import anomaly
from aejax.tasks.anomaly.neighbors import nearest
from aejax.tasks.anomaly.statistics import code_and_residual
from aejax.tasks.rows import over_rows
from benchmarks.measuring import environment
from benchmarks.outlier_tables import TABLES, Table

FOLDER = Path(__file__).parent / "results"
DATA = Path(os.environ.get("AEJAX_DATA", "../shared/data")) / "adbench"
PEERS = ("1-NN", "5-NN", "LOF", "isolation forest")
KINDS = ("local", "global", "dependency", "clustered")
Source = Callable[[np.random.Generator], Table]
_NUM_MADE = 250
_FARTHEST = 10


class Setting(NamedTuple):
    """Of the score.

    Attributes:
        spaces: where rows are compared: "x" is the standardised table.
        num_neighbors: whose mean distance is taken.
        local: the power of the distance between normal rows there that the distance is divided by.
    """

    spaces: tuple[str, ...]
    num_neighbors: int
    local: float


BOTH = ("code", "residual")
DEFAULT = Setting(BOTH, 3, 0.5)
SETTINGS = (
    *(
        Setting(spaces, num_neighbors, local)
        for spaces in (("x",), ("code",), ("residual",), BOTH, ("x", *BOTH))
        for num_neighbors in (1, 3, 5)
        for local in (0.0, 0.5)
    ),
    *(Setting(BOTH, 3, local) for local in (0.25, 0.75, 1.0)),
)


class Split(NamedTuple):
    """One set: rows to train on, normal rows and outliers of the test, and made anomalies by kind."""

    train: np.ndarray
    normal: np.ndarray
    outliers: np.ndarray
    made: dict[str, np.ndarray]

    def test(self) -> np.ndarray:
        return np.concatenate([self.normal, self.outliers, *self.made.values()])

    def areas(self, score: np.ndarray) -> dict[str, float]:
        """AUROC in % against the outliers, and against each kind of made anomalies."""
        sizes = [len(self.normal), len(self.outliers), *(len(rows) for rows in self.made.values())]
        normal, *others = np.split(score, np.cumsum(sizes)[:-1])
        return {
            name: 100
            * metrics.auroc(np.concatenate([normal, other]), np.arange(len(normal) + len(other)) >= len(normal))
            for name, other in zip(("outliers", *self.made), others, strict=True)
        }


def outlier_sets() -> dict[str, Source]:
    """The sets in AEJAX_DATA, by name; the seed is that of the split alone."""

    def read(path: Path) -> Table:
        content = np.load(path, allow_pickle=True)
        x, y = np.asarray(content["X"], float), np.asarray(content["y"], int)
        return x[y == 0], x[y == 1]

    paths = {path.stem.split("_")[1].lower(): path for path in DATA.glob("*.npz")}
    return {name: lambda _, path=path: read(path) for name, path in sorted(paths.items())}


def split(source: Source, seed: int, cap: int) -> Split:
    """Random halves, as notebook 11 takes them."""
    normal, outliers = source(np.random.default_rng(1000 + seed))
    rng = np.random.default_rng(seed)
    normal = normal[rng.permutation(len(normal))]
    half = len(normal) // 2
    outliers = outliers[rng.permutation(len(outliers))][:cap]
    test = normal[half:][:cap]
    return Split(normal[:half][:cap], test, outliers, made_anomalies(test, np.random.default_rng(100 + seed)))


def made_anomalies(normal: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Rows that are anomalies by the way they are made from normal ones."""
    scaler = fit_scaler(normal)
    rows = scaled_rows(scaler, normal).astype(float)
    counts = [count for count in (1, 3, 6) if len(rows) >= 20 * count]
    mixtures = [GaussianMixture(count, reg_covar=1e-3, random_state=0).fit(rows) for count in counts]
    mixture = min(mixtures, key=lambda one: one.bic(rows))
    components = rng.choice(mixture.n_components, _NUM_MADE, p=mixture.weights_ / mixture.weights_.sum())
    noise = rng.standard_normal((_NUM_MADE, rows.shape[1]))
    deviations = np.einsum("nij,nj->ni", np.linalg.cholesky(mixture.covariances_)[components], noise)
    centres = mixture.means_[components]
    low, high = rows.min(axis=0), rows.max(axis=0)
    shift = rng.choice([-1.0, 1.0], rows.shape[1]) * (mixture.n_components == 1)
    shuffled = [rng.choice(column, _NUM_MADE) for column in rows.T]
    made = {
        "local": centres + np.sqrt(5) * deviations,
        "global": rng.uniform(low - 0.1 * (high - low), high + 0.1 * (high - low), deviations.shape),
        "dependency": np.stack(shuffled, axis=1),
        "clustered": 5 * centres + 1.5 * shift + deviations,
    }
    return {kind: made[kind] * scaler.scale + scaler.mean for kind in KINDS}


def peers(parts: Split, seed: int) -> dict[str, np.ndarray]:
    """Scores of the test rows, on standardised columns."""
    scaler = fit_scaler(parts.train)
    train, test = scaled_rows(scaler, parts.train), scaled_rows(scaler, parts.test())
    distances, _ = nearest(test, np.ones_like(test, bool), train, 5, np.zeros(len(test), bool))
    lof = LocalOutlierFactor(n_neighbors=min(20, len(train) - 1), novelty=True).fit(train)
    forest = IsolationForest(random_state=seed).fit(train)
    scores = (distances[:, 0], distances[:, 4], -lof.score_samples(test), -forest.score_samples(test))
    return dict(zip(PEERS, scores, strict=True))


def distances_of(detector: anomaly.Detector, parts: Split) -> dict[str, np.ndarray]:
    """What every setting is computed from: distances and numbers of the nearest, and those among training rows."""
    train, test = (scaled_rows(detector.scaler, rows) for rows in (parts.train, parts.test()))
    spaces = {"x": (train, test)}
    for member, variables in enumerate(detector.variables):
        seen = [over_rows(code_and_residual, detector.model, variables, rows) for rows in (train, test)]
        spaces |= {f"{space} {member}": pair for space, pair in zip(BOTH, zip(*seen, strict=True), strict=True)}
    found = {}
    for space, (normal, rows) in spaces.items():
        own, other = np.ones(len(normal), bool), np.zeros(len(rows), bool)
        found[f"{space}/among"], _ = nearest(normal, np.ones_like(normal, bool), normal, 5, own)
        distances, numbers = nearest(rows, np.ones_like(rows, bool), normal, _FARTHEST, other)
        found |= {f"{space}/distances": distances, f"{space}/numbers": numbers.astype(np.int16)}
    return found


def score_of(found: dict[str, np.ndarray], setting: Setting) -> np.ndarray:
    """The score by its definition, for which see ``nearest_score``: a sum over spaces, of means over members."""

    def in_space(name: str) -> np.ndarray:
        apart = found[f"{name}/among"][:, : setting.num_neighbors].mean(axis=1)
        usual = max(np.median(apart) or apart.mean(), 1e-6)
        around = np.log(apart + usual)[found[f"{name}/numbers"]].mean(axis=1)
        distance = found[f"{name}/distances"][:, : setting.num_neighbors].mean(axis=1)
        return np.asarray(np.log(distance + usual) - setting.local * around)

    names = [name.removesuffix("/among") for name in found if name.endswith("/among")]
    members = [[name for name in names if name.split(" ")[0] == space] for space in setting.spaces]
    return np.sum([np.mean([in_space(name) for name in space], axis=0) for space in members], axis=0)


def before(found: dict[str, np.ndarray]) -> np.ndarray:
    """The score of earlier versions, with the members of this one: the nearest code and the nearest residual."""
    spaces = sorted(name for name in found if name.endswith("/distances") and not name.startswith("x/"))
    return np.mean([np.log(found[name][:, 0] + 1e-6) for name in spaces], axis=0)


def measured(name: str, source: Source, seeds: int, cap: int, cache: Path | None) -> Iterator[dict[str, Any]]:
    """One set: areas by method and by setting, for each seed."""
    for seed in range(seeds):
        parts = split(source, seed, cap)
        kept = None if cache is None else cache / f"{name}-{seed}-{cap}.npz"
        if kept is not None and kept.is_file():
            found = dict(np.load(kept))
        else:
            began = time.perf_counter()
            detector = anomaly.fit_detector(jax.random.key(seed), parts.train)
            seconds = time.perf_counter() - began
            found = {"detector": anomaly.novelty_score(detector, parts.test()), "seconds": np.asarray(seconds)}
            found |= peers(parts, seed) | distances_of(detector, parts)
            if kept is not None:
                np.savez(kept, **found)
        methods = {"detector": found["detector"], "before": before(found)} | {peer: found[peer] for peer in PEERS}
        yield {
            "methods": {name: parts.areas(score) for name, score in methods.items()},
            "settings": [parts.areas(score_of(found, setting)) for setting in SETTINGS],
            "fit_seconds": float(found["seconds"]),
        }
    jax.clear_caches()  # the programs for tables of this shape; a process can hold only so many


Runs = dict[str, list[dict[str, Any]]]  # of each set, one for each seed


def table_of(results: Runs, of: Callable[[dict[str, Any]], list[Any]]) -> np.ndarray:
    """(sets, seeds, ...)."""
    return np.array([[of(run) for run in runs] for runs in results.values()])


def by_method(results: Runs) -> tuple[list[str], np.ndarray]:
    """The methods, and (sets, seeds, methods) areas; last the setting chosen without the set itself."""
    methods = list(next(iter(results.values()))[0]["methods"])
    areas = table_of(results, lambda run: [run["methods"][name]["outliers"] for name in methods])
    settings = table_of(results, lambda run: [areas["outliers"] for areas in run["settings"]])
    if len(results) > 1:
        others = [np.delete(settings.mean(axis=1), row, axis=0).mean(axis=0) for row in range(len(settings))]
        chosen = np.stack([of_set[:, other.argmax()] for of_set, other in zip(settings, others, strict=True)])
    else:
        chosen = np.full(settings.shape[:2], np.nan)
    return [*methods, "left out"], np.concatenate([areas, chosen[:, :, None]], axis=2)


def lines(results: Runs) -> Iterator[str]:
    """The tables."""
    methods, areas = by_method(results)
    behind = areas[:, :, 0].mean(axis=1) - areas[:, :, [2, 3]].mean(axis=1).max(axis=1)
    yield f"| AUROC, % | {' | '.join(methods)} | detector less the better of 1-NN and 5-NN |"
    yield "| --- " * (len(methods) + 2) + "|"
    for name, of_set, less in zip(results, areas, behind, strict=True):
        cells = [f"{m:.1f} ± {s:.1f}" for m, s in zip(of_set.mean(axis=0), of_set.std(axis=0), strict=True)]
        yield f"| {name} | {' | '.join(cells)} | {less:+.1f} |"
    mean = areas.mean(axis=0)
    cells = [f"{m:.2f} ± {s:.2f}" for m, s in zip(mean.mean(axis=0), mean.std(axis=0), strict=True)]
    better = mean.mean(axis=0)[[2, 3]].max()
    yield f"| mean | {' | '.join(cells)} | {mean[:, 0].mean() - better:+.2f} |"
    yield ""
    kinds = ["outliers", *KINDS]
    yield f"| setting | {' | '.join(kinds)} |"
    yield "| --- " * (len(kinds) + 1) + "|"
    for index, setting in enumerate(SETTINGS):
        found = table_of(results, lambda run, index=index: [run["settings"][index][kind] for kind in kinds])
        cells = [f"{value:.2f}" for value in found.mean(axis=(0, 1))]
        where = "default: " if setting == DEFAULT else ""
        name = f"{where}{' + '.join(setting.spaces)}, k = {setting.num_neighbors}, local {setting.local}"
        yield f"| {name} | {' | '.join(cells)} |"


def kept_of(results: Runs) -> dict[str, Any]:
    """What is written: AUROC against the outliers by seed, and of each setting the mean over seeds, by kind."""
    methods, areas = by_method(results)
    kinds = ["outliers", *KINDS]
    settings = table_of(results, lambda run: [[areas[kind] for kind in kinds] for areas in run["settings"]]).mean(
        axis=1
    )
    return {
        "kinds": kinds,
        "areas": {
            name: dict(zip(methods, of_set.T.round(3).tolist(), strict=True))
            for name, of_set in zip(results, areas, strict=True)
        },
        "settings": [
            setting._asdict() | dict(zip(results, settings[:, index].round(3).tolist(), strict=True))
            for index, setting in enumerate(SETTINGS)
        ],
        "fit_seconds": {name: [round(run["fit_seconds"], 1) for run in runs] for name, runs in results.items()},
    }


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", action="store_true", help="tables that are made, in place of the sets")
    parser.add_argument("--sets", nargs="+", help="names of sets or tables, such as glass; all by default")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cap", type=int, default=5000, help="rows of each part at most")
    parser.add_argument("--cache", type=Path, help="folder of the distances, so that another call trains nothing")
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    where = environment()
    sources = TABLES if arguments.tables else outlier_sets()
    names = arguments.sets or list(sources)
    if not sources or not set(names) <= set(sources):
        raise SystemExit(
            f"--sets: found {', '.join(names)}, expected some of {', '.join(sources)}; the sets are in {DATA}"
        )
    path = arguments.out / f"outlier{'-tables' if arguments.tables else 's'}-{where['backend']}-{where['date']}.json"
    if arguments.cache is not None:
        arguments.cache.mkdir(parents=True, exist_ok=True)
    results: Runs = {}
    for name in names:
        results[name] = list(measured(name, sources[name], arguments.seeds, arguments.cap, arguments.cache))
        print(name, flush=True)
        # After each, so that a run that is cut keeps what it has measured.
        write_json(path, {"environment": where, "cap": arguments.cap} | kept_of(results))
    print("\n".join(lines(results)))


if __name__ == "__main__":
    main()
