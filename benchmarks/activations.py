"""Held-out explained variance by activation: why tanh is the default.

Run: python benchmarks/activations.py. It takes some minutes. The reactor needs nothing; Tennessee Eastman is read from
AEJAX_DATA if it is there (tep/tep_braatz.npz), trained on d00_train and measured on d00_test.
"""

import os
import tempfile
from pathlib import Path

import jax
import numpy as np

from aejax import tables
from aejax.data.formats.tables import Table
from aejax.reports import pages
from aejax.simulate import plant
from aejax.tables.config import TrainConfig

NUM_SEEDS = 3


def as_table(x):
    return Table(tuple(f"x{i}" for i in range(x.shape[1])), np.asarray(x, float), False, ())


def data_sets():
    def reactor(seed, num):
        return as_table(plant.plant(jax.random.key(seed), num).x.reshape(-1, len(plant.SENSORS)))

    yield "reactor", reactor(0, 40), reactor(1, 20)
    path = Path(os.environ.get("AEJAX_DATA", "../shared/data")) / "tep" / "tep_braatz.npz"
    if path.exists():
        with np.load(path) as data:
            yield "Tennessee Eastman", as_table(data["d00_train"]), as_table(data["d00_test"])


def main():
    rows = [("data", "model", "relu", "silu", "tanh")]
    for name, train, test in data_sets():
        for model in ("autoencoder", "vae"):
            cells = []
            for activation in rows[0][2:]:
                found = []
                for seed in range(NUM_SEEDS):
                    config = TrainConfig(model=model, options=(f"activation={activation}",), seed=seed)
                    with tempfile.TemporaryDirectory() as folder:
                        run = tables.train(train, config, folder)
                    found.append(tables.evaluate(run, test)["explained_variance"])
                cells.append(f"{np.mean(found):.3f} ± {np.std(found):.3f}")
            rows.append((name, model, *cells))
    print(pages.format_table(rows))


if __name__ == "__main__":
    main()
