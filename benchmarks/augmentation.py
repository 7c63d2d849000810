"""What new rows of a rare class give a classifier, beside other ways to make classes even.

python -m benchmarks.augmentation [--seeds N] [--out FOLDER]

Boosted trees learn a rare class from four fifths of a table: from these rows alone, with weights, with rows of SMOTE
(imbalanced-learn, where it is installed) and with new rows of ``aejax augment``. They are judged on the last fifth,
whose share of the class stays as it is. Tables: seismic-bumps (hazardous shifts), steel plates (one kind of fault), and
the simulated reactor, normal rows beside few rows of a fault. Settings are those that were chosen on Adult, none was
chosen here.
"""

import argparse
import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from aejax import tables
from aejax.artefacts.storage import finite, write_json
from aejax.data.formats.options import ReadOptions
from aejax.data.formats.tables import Table, as_table
from aejax.simulate import plant
from aejax.tables.likeness.samples import Sample, joined, samples_of
from benchmarks.measuring import environment

FOLDER = Path(__file__).parent / "results"
DATA = Path(os.environ.get("AEJAX_DATA", "../shared/data"))
TARGET, RARE = "label", "rare"
FLOW_STEPS = 10_000
# Of a reactor whose coolant valve sticks in the last rows of few trajectories.
_FAULT, _NORMAL_TRAJECTORIES, _FAULTY_TRAJECTORIES, _LENGTH = "stuck_coolant_valve", 12, 2, 240


def with_label(columns: dict[str, Any], is_rare: np.ndarray) -> Table:
    """A table whose last column says which rows are rare."""
    told = ReadOptions(kinds=(f"{TARGET}=category",))
    return as_table({**columns, TARGET: np.where(is_rare, RARE, "usual")}, told)


def seismic_bumps() -> Table:
    """Shifts in a coal mine, of which 170 in 2,584 are followed by a bump of high energy."""
    from scipy.io import arff

    rows, _ = arff.loadarff(DATA / "tabular" / "seismic-bumps.arff")
    texts = {name: rows[name].astype(str) if rows[name].dtype.kind == "S" else rows[name] for name in rows.dtype.names}
    is_rare = texts.pop("class") == "1"
    return with_label(texts, is_rare)


def steel_plates() -> Table:
    """Steel plates, the outliers of the set being the rare class; every fifth of them is kept."""
    with np.load(DATA / "adbench" / "12_fault.npz", allow_pickle=True) as found:
        x, is_rare = found["X"], found["y"] == 1
    kept = ~is_rare | (np.cumsum(is_rare) % 5 == 0)
    return with_label({f"x{n}": x[kept, n] for n in range(x.shape[1])}, is_rare[kept])


def reactor() -> Table:
    """The simulated reactor, with few rows of a fault."""
    keys = jax.random.split(jax.random.key(0), 2)
    normal = plant.plant(keys[0], _NORMAL_TRAJECTORIES, _LENGTH)
    faulty = plant.plant(keys[1], _FAULTY_TRAJECTORIES, _LENGTH, _FAULT, _LENGTH // 2)
    x = np.concatenate([np.asarray(data.x, float).reshape(-1, len(plant.SENSORS)) for data in (normal, faulty)])
    is_rare = np.concatenate([np.ravel(data.faulty) for data in (normal, faulty)])
    return with_label(dict(zip(plant.SENSORS, x.T, strict=True)), is_rare)


TABLES = {made.__name__: made for made in (seismic_bumps, steel_plates, reactor)}


def judged(train: Sample, test: Sample, weights: str | None = None) -> dict[str, float]:
    """How well trees find the rare class in rows held out."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import average_precision_score, roc_auc_score

    place = train.names.index(TARGET)
    others = np.arange(len(train.names)) != place
    # Levels are numbered alike in all samples; the rare one is that which fewer real rows have.
    rare = 1 - np.bincount(test.values[:, place].astype(int), minlength=2).argmax()
    trees = HistGradientBoostingClassifier(
        categorical_features=train.is_category[others], class_weight=weights, random_state=0
    ).fit(train.values[:, others], train.values[:, place] == rare)
    chance, is_rare = trees.predict_proba(test.values[:, others])[:, 1], test.values[:, place] == rare
    return {"AUC": roc_auc_score(is_rare, chance), "average precision": average_precision_score(is_rare, chance)}


def with_smote(train: Sample, seed: int) -> Sample:
    """Rows between rare rows and their neighbours (Chawla et al. 2002)."""
    from imblearn.over_sampling import SMOTE, SMOTENC

    place = train.names.index(TARGET)
    others = np.arange(len(train.names)) != place
    categories = np.flatnonzero(train.is_category[others]).tolist()
    sampler = SMOTENC(categories, random_state=seed) if categories else SMOTE(random_state=seed)
    x, label = sampler.fit_resample(train.values[:, others], train.values[:, place])
    values = np.empty((len(x), len(train.names)))
    values[:, others], values[:, place] = x, label
    return train._replace(values=values)


def ways(table: Table, seed: int) -> dict[str, Callable[[], dict[str, float]]]:
    """Each way to make classes even, by name, and what comes of it on the rows held out."""
    order = np.random.default_rng(seed).permutation(len(table.values))
    parts = np.split(order, [round(0.8 * len(order))])
    train, test = (table._replace(values=table.values[part]) for part in parts)
    rows, held_out = samples_of([train, test])

    def augmented() -> dict[str, float]:
        new = tables.augment(train, TARGET, Path(tempfile.mkdtemp()) / "run", seed=seed, num_steps=FLOW_STEPS)
        real, drawn, last = samples_of([train, as_table(new, ReadOptions(kinds=(f"{TARGET}=category",))), test])
        return judged(joined(real, drawn), last)

    return {
        "the rows alone": functools.partial(judged, rows, held_out),
        "weights": functools.partial(judged, rows, held_out, "balanced"),
        "SMOTE": lambda: judged(with_smote(rows, seed), held_out),
        "aejax augment": augmented,
    }


def main() -> None:
    """Prints a table for each table, and writes all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tables", nargs="*", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--out", type=Path, default=FOLDER)
    words = parser.parse_args()
    found: dict[str, Any] = {}
    for name in words.tables:
        table = TABLES[name]()
        by_way: dict[str, list[dict[str, float]]] = {}
        for seed in range(words.seeds):
            for way, judge in ways(table, seed).items():
                try:
                    by_way.setdefault(way, []).append(judge())
                except ImportError as error:
                    print(f"{way}: {error}")
        found[name] = by_way
        print(f"\n| {name} | AUC | average precision |\n| --- | --- | --- |")
        for way, figures in by_way.items():
            cells = [[one[figure] for one in figures] for figure in ("AUC", "average precision")]
            print(f"| {way} | " + " | ".join(f"{np.mean(c):.3f} ± {np.std(c):.3f}" for c in cells) + " |", flush=True)
    write_json(words.out / "augmentation.json", {"environment": environment(), "found": finite(found)})


if __name__ == "__main__":
    main()
