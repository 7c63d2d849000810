"""New rows of a table with categories, beside the published generators.

python -m benchmarks.new_rows [--keys N] [--peers TVAE CTGAN] [--out FOLDER]

The table is Adult (``AEJAX_DATA``/tabular/adult.data.gz): 26,048 rows to train on, 6,513 held out, by a fixed seed.
As many new rows as training rows are judged. The settings were chosen on this table, by the figures of keys 0 and 11;
those that are printed begin with key 1.
Peers are those of the package ``ctgan`` with its defaults, where it is installed.
"""

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from aejax import tables
from aejax.artefacts.storage import finite, write_json
from aejax.data.columns.categories import texts_of
from aejax.data.formats.options import with_categories
from aejax.data.formats.tables import Table, as_table, read_table
from aejax.tables.config import TrainConfig
from aejax.tables.likeness.classifiers import learned, told_apart
from aejax.tables.likeness.privacy import share_nearer, share_of_copies
from aejax.tables.likeness.samples import samples_of
from aejax.tables.likeness.shapes import column_errors, pair_errors
from benchmarks.measuring import environment

FOLDER = Path(__file__).parent / "results"
ADULT = Path(os.environ.get("AEJAX_DATA", "../shared/data")) / "tabular" / "adult.data.gz"
NUM_TRAIN, SPLIT_SEED, TARGET = 26_048, 0, "column_15"  # the last column, the income
# Nothing is detected: all rows train but those that choose the best epoch.
CONFIG = TrainConfig(
    model="vae",
    numbers="ranked",
    latent_dim=32,
    hidden_dims=(256, 256),
    options=("beta=0.02",),
    batch_size=512,
    num_epochs=40,
    learning_rate=2e-3,
    calibration_fraction=0.01,
    validation_fraction=0.05,
)
FLOW_STEPS = 60_000


def of_flow(train: Table, key: int) -> tuple[Table, float]:
    """New rows by a VAE and a flow over its codes, and the seconds of their training."""
    begin = time.perf_counter()
    run = tables.train(train, dataclasses.replace(CONFIG, seed=key), Path(tempfile.mkdtemp()) / "run")
    codes = tables.fit_codes(run, train, "flow", num_steps=FLOW_STEPS)
    seconds = time.perf_counter() - begin
    rows = tables.generate(run, len(train.values), seed=key, codes=codes)
    return as_table(rows, run.config.reading, train.columns), seconds


def of_peer(name: str) -> Callable[[Table, int], tuple[Table, float]]:
    """The same by a generator of the package ``ctgan``."""

    def generate(train: Table, key: int) -> tuple[Table, float]:
        import ctgan
        import pandas as pd

        frame = {column: train.values[:, place] for place, column in enumerate(train.columns)}
        frame |= {column: texts_of(frame[column], levels) for column, levels in train.categories.items()}
        model = getattr(ctgan, name)()
        model.set_random_state(key)
        begin = time.perf_counter()
        model.fit(pd.DataFrame(frame), list(train.categories))
        seconds = time.perf_counter() - begin
        told = with_categories(CONFIG.reading, train.categories)
        return as_table(model.sample(len(train.values)), told, train.columns), seconds

    return generate


def figures(train: Table, new: Table, held_out: Table) -> dict[str, float]:
    """How good new rows are."""
    real, rows, test = samples_of([train, new, held_out])
    some = real.rows(np.random.default_rng(0).permutation(len(real.values))[: len(rows.values)])
    return {
        "column error, %": 100 * float(np.nanmean(column_errors(real, rows))),
        "pair error, %": 100 * float(np.nanmean(pair_errors(real, rows))),
        "AUC of the income, learned from them": learned(rows, test, TARGET),
        "two-sample AUC, trees": told_apart(some, rows, "trees"),
        "nearer to training, %": 100 * share_nearer(real, test, rows),
        "copies, %": 100 * share_of_copies(real, rows),
    }


def main() -> None:
    """Prints a line for each generator, mean and spread over keys, and writes them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=3)
    parser.add_argument("--peers", nargs="*", default=[], choices=["TVAE", "CTGAN"])
    parser.add_argument("--out", type=Path, default=FOLDER)
    words = parser.parse_args()
    whole = read_table(ADULT)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(whole.values))
    train, held_out = (whole._replace(values=whole.values[part]) for part in np.split(order, [NUM_TRAIN]))
    real = figures(train, held_out, held_out) | {"seconds": np.nan}
    real["AUC of the income, learned from them"] = figures_of_training(train, held_out)
    print("| rows | " + " | ".join(real) + " |\n" + "| --- " * (1 + len(real)) + "|")
    print(line("real: held out; AUC of the training rows", [real]), flush=True)
    found: dict[str, Any] = {"real": [real]}
    for name, generate in {"aejax": of_flow, **{peer: of_peer(peer) for peer in words.peers}}.items():
        found[name] = []
        for key in range(1, 1 + words.keys):
            new, seconds = generate(train, key)
            found[name].append(figures(train, new, held_out) | {"seconds": seconds})
        print(line(name, found[name]), flush=True)
    write_json(words.out / "new_rows.json", {"environment": environment(), "found": finite(found)})


def figures_of_training(train: Table, held_out: Table) -> float:
    """What is learned from the training rows themselves."""
    real, test = samples_of([train, held_out])
    return learned(real, test, TARGET)


def line(name: str, found: list[dict[str, float]]) -> str:
    """A line of the table."""
    cells = []
    for figure in found[0]:
        values = [each[figure] for each in found]
        spread = f" ± {np.std(values):.2g}" if len(values) > 1 else ""
        cells.append(f"{np.mean(values):.4g}{spread}" if np.isfinite(values).all() else "")
    return f"| {name} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
