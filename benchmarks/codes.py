"""How far new rows are from held-out ones, by what their codes are drawn from: prior, mixture of Gaussians, flow.

python -m benchmarks.codes [--tables ring moons pendigits satellite] [--out FOLDER]

Two processes whose code lies on a curve, and two real tables (normal rows of ADBench, in AEJAX_DATA). The defaults of
``fit_flow`` were chosen on simulated distributions of codes, never on these. What other rows get stands beside.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy.spatial.distance import cdist
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_score

import aejax
from aejax.artefacts.storage import write_json
from aejax.data.columns import kinds
from aejax.tasks.reduction import suggest_latent_dim
from benchmarks.measuring import environment

FOLDER = Path(__file__).parent / "results"
DATA = Path(os.environ.get("AEJAX_DATA", "../shared/data")) / "adbench"
KEYS, NUM_NEW = 3, 1500


def process(curve: Callable[[np.random.Generator, int], np.ndarray], seed: int) -> np.ndarray:
    """Ten sensors that follow two factors through a network, with noise."""
    rng = np.random.default_rng(seed)
    weights = np.random.default_rng(3000)
    inner, outer = weights.standard_normal((2, 12)), weights.standard_normal((12, 10))
    signal = np.tanh(curve(rng, 3000 + 2 * NUM_NEW) @ inner) @ outer
    return signal + 0.1 * signal.std(axis=0) * rng.standard_normal(signal.shape)


def ring(rng: np.random.Generator, num_rows: int) -> np.ndarray:
    """Points near a circle."""
    angle, radius = rng.uniform(0, 2 * np.pi, num_rows), 1 + 0.05 * rng.standard_normal(num_rows)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def moons(rng: np.random.Generator, num_rows: int) -> np.ndarray:
    """Points near two half circles that reach into each other."""
    angle, second = rng.uniform(0, np.pi, num_rows), rng.random(num_rows) < 0.5
    x, y = np.where(second, 1 - np.cos(angle), np.cos(angle)), np.where(second, 0.5 - np.sin(angle), np.sin(angle))
    return np.stack([x - 0.5, y - 0.25], axis=1) + 0.05 * rng.standard_normal((num_rows, 2))


def rows_of(name: str, seed: int) -> np.ndarray:
    """All rows of a table, in an order that the seed decides."""
    if name in ("ring", "moons"):
        return process({"ring": ring, "moons": moons}[name], seed)
    (path,) = DATA.glob(f"*_{name}.npz")
    with np.load(path, allow_pickle=True) as file:
        normal = file["X"][file["y"] == 0]
    return np.random.default_rng(seed).permutation(normal)


def distances(new: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """How well boosted trees tell rows apart, and the energy distance (Székely & Rizzo 2013) at scale 1."""
    both, label = np.concatenate([new, real]), np.repeat([0, 1], [len(new), len(real)])
    both = both / np.maximum(real.std(axis=0), 1e-12)
    order = np.random.default_rng(0).permutation(len(both))
    trees = HistGradientBoostingClassifier(random_state=0)
    areas = cross_val_score(trees, both[order], label[order], cv=3, scoring="roc_auc")
    new, real = both[label == 0], both[label == 1]
    energy = 2 * cdist(new, real).mean() - cdist(new, new).mean() - cdist(real, real).mean()
    return {"auc": float(areas.mean()), "energy": float(energy)}


def measured(name: str, model_name: str, seed: int, latent_dim: int | None = None) -> Iterator[dict[str, Any]]:
    """One model on one table, by each sampler."""
    x = rows_of(name, seed)
    mean, scale = x[: -2 * NUM_NEW].mean(axis=0), np.maximum(x[: -2 * NUM_NEW].std(axis=0), 1e-9)
    columns = kinds.recognise(x[: -2 * NUM_NEW])

    def unscaled(rows: np.ndarray) -> np.ndarray:
        """In their units, as ``aejax generate`` gives them: whole numbers are whole, bounds are kept."""
        return kinds.keep(columns, np.asarray(rows, float) * scale + mean)

    x = ((x - mean) / scale).astype(np.float32)
    train, real, other = x[: -2 * NUM_NEW], x[-2 * NUM_NEW : -NUM_NEW], x[-NUM_NEW:]
    if latent_dim is None:
        latent_dim = 2 if name in ("ring", "moons") else suggest_latent_dim(train)
    model = aejax.models.MODELS[model_name](train.shape[1:], latent_dim)
    fit_key, flow_key, mixture_key, draw_key = jax.random.split(jax.random.key(seed), 4)
    variables = aejax.fit(fit_key, model, train, num_epochs=100, patience=20).variables
    about = {"table": name, "model": model_name, "seed": seed, "num_rows": len(train), "latent_dim": latent_dim}
    yield about | {"sampler": "held-out rows", "seconds": 0.0} | distances(unscaled(other), unscaled(real))
    for sampler in ("prior", "mixture", "flow") if model.sample else ("mixture", "flow"):
        begin = time.perf_counter()
        codes = None
        if sampler == "mixture":
            codes = jax.block_until_ready(aejax.fit_mixture(mixture_key, model, variables, train))
        if sampler == "flow":
            codes = aejax.fit_flow(flow_key, model, variables, train)
        seconds = time.perf_counter() - begin
        new = np.asarray(aejax.generate(draw_key, model, variables, NUM_NEW, codes=codes))
        yield about | {"sampler": sampler, "seconds": seconds} | distances(unscaled(new), unscaled(real))
    if model.sample is None:
        # What no sampler of codes can better: its rows have no observation noise.
        rebuilt = aejax.reconstruct(model, variables, other)
        yield about | {"sampler": "reconstructions", "seconds": 0.0} | distances(unscaled(rebuilt), unscaled(real))


def lines(results: list[dict[str, Any]]) -> Iterator[str]:
    """The table that is printed: means over seeds, and their standard deviations."""
    yield f"{'table':10} {'model':12} {'sampler':16} {'AUC':>15} {'energy distance':>19} {'seconds':>8}"
    for name in dict.fromkeys((each["table"], each["model"], each["sampler"]) for each in results):
        chosen = [each for each in results if (each["table"], each["model"], each["sampler"]) == name]
        auc, energy, seconds = (np.array([each[key] for each in chosen]) for key in ("auc", "energy", "seconds"))
        yield (
            f"{name[0]:10} {name[1]:12} {name[2]:16} {auc.mean():7.3f} ± {auc.std():.3f} "
            f"{energy.mean():10.4f} ± {energy.std():.4f} {seconds.mean():8.1f}"
        )


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=["ring", "moons", "pendigits", "satellite"])
    parser.add_argument("--models", nargs="+", default=["vae", "autoencoder"])
    parser.add_argument("--latent-dim", type=int, help="numbers of the code; 2, or as hold 90 %% of the variance")
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    where = environment()
    results: list[dict[str, Any]] = []
    for seed in range(KEYS):
        for table in arguments.tables:
            for model in arguments.models:
                results += measured(table, model, seed, arguments.latent_dim)
                path = arguments.out / f"codes-{where['backend']}-{where['date']}.json"
                write_json(path, {"environment": where, "results": results})
        print("\n".join(lines(results)), flush=True)


if __name__ == "__main__":
    main()
