"""What the default recipe reaches, beside others, where the optimum or a linear model of the same code is known.

python -m benchmarks.defaults [--problems N ...] [--recipes N ...] [--keys N] [--out FOLDER]

Linear-Gaussian rows, whose optimum is PCA and, of denoising, the Wiener filter; curved rows; tables (the outlier sets,
the Tennessee Eastman plant, the simulated reactor), beside PCA of the same code. A ratio is the error on new rows over
that of the reference. A recipe is chosen for each problem by the others: ``chosen_without`` in the result.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import aejax
from aejax import models
from aejax.artefacts.storage import write_json
from aejax.base import Model
from aejax.data.columns.scalers import fit_scaler, scale
from aejax.simulate import plant, synthetic
from aejax.tasks.reduction import suggest_latent_dim
from aejax.training.optimizers import adam
from aejax.training.plans import steps_for
from benchmarks.measuring import environment

FOLDER = Path(__file__).parent / "results"
DATA = Path(os.environ.get("AEJAX_DATA", Path(__file__).parents[2] / "shared/data"))
_NEW_ROWS = 5000
_MOST_ROWS = 5000


class Problem(NamedTuple):
    """Rows to learn from, new ones, and the error of the best linear answer.

    Attributes:
        name: of the problem.
        train: (n, c) rows.
        new: (m, c) rows to rebuild.
        clean: (m, c), what they should be rebuilt to.
        latent_dim: size of the code.
        reference: the mean squared error of the reference on the new rows.
        noise_level: of a denoising model; None for plain ones.
    """

    name: str
    train: np.ndarray
    new: np.ndarray
    clean: np.ndarray
    latent_dim: int
    reference: float
    noise_level: float | None = None


def _recipe(epochs: int | None = None, optimizer: Any = None, model: Any = None, **options: Any) -> dict[str, Any]:
    return {"epochs": epochs, "optimizer": optimizer, "model": model or {}, "options": options}


# The first is the library's; the others leave a part of it out, or change one.
RECIPES: dict[str, dict[str, Any]] = {
    "default": _recipe(),
    "no linear map": _recipe(model={"shortcut": False}),
    "tanh": _recipe(model={"activation": "tanh"}),
    "relu": _recipe(model={"activation": "relu"}),
    "silu": _recipe(model={"activation": "silu"}),
    "gelu": _recipe(model={"activation": "gelu"}),
    "300 epochs": _recipe(epochs=300),
    "rate 3e-3": _recipe(learning_rate=3e-3),
    "rate 3e-4": _recipe(learning_rate=3e-4),
    "cosine": _recipe(optimizer={"schedule": "cosine"}),
    "average": _recipe(ema_decay=0.999),
    "decay 0.1": _recipe(optimizer={"weight_decay": 0.1}),
    "before": _recipe(model={"activation": "tanh", "shortcut": False}),
}


def problems() -> Iterator[Callable[[], Problem]]:
    """What makes the problems, by which no data are read before they are needed."""
    for seed, (size, factors, noise, rows) in enumerate(
        [(10, 2, 0.3, 1000), (20, 3, 0.5, 1000), (30, 5, 0.3, 300), (50, 8, 0.5, 3000), (10, 2, 0.3, 10_000)]
    ):
        yield lambda a=(seed, size, factors, noise, rows): _linear(*a)
    for seed, (size, noise, rows) in enumerate([(10, 0.1, 1000), (20, 0.1, 5000)]):
        yield lambda a=(10 + seed, size, noise, rows): _curved(*a)
    for seed, (size, factors, noise, rows) in enumerate(
        [(20, 3, 0.5, 1000), (10, 2, 0.8, 1000), (40, 4, 0.5, 3000), (20, 5, 0.5, 400)]
    ):
        yield lambda a=(20 + seed, size, factors, noise, rows): _noisy(*a)
    for path in sorted((DATA / "adbench").glob("*.npz")):
        yield lambda path=path: _outlier_set(path)
    yield _tennessee_eastman
    yield _reactor


def _linear(seed: int, size: int, factors: int, noise: float, rows: int) -> Problem:
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((rows + _NEW_ROWS, factors)) @ rng.standard_normal((factors, size))
    return _table(
        f"linear {size} x {factors}, {rows} rows", signal + noise * rng.standard_normal(signal.shape), rows, factors
    )


def _curved(seed: int, size: int, noise: float, rows: int) -> Problem:
    rng = np.random.default_rng(seed)
    inner, outer = rng.standard_normal((2, 8)), rng.standard_normal((8, size))
    signal = np.tanh(rng.standard_normal((rows + _NEW_ROWS, 2)) @ inner) @ outer
    x = signal + noise * signal.std(axis=0) * rng.standard_normal(signal.shape)
    return _table(f"curved {size} x 2, {rows} rows", x, rows, 2)


def _noisy(seed: int, size: int, factors: int, noise: float, rows: int) -> Problem:
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((factors, size)) / np.sqrt(factors)
    clean = (rng.standard_normal((rows + _NEW_ROWS, factors)) @ weights).astype(np.float32)
    new = (clean[rows:] + noise * rng.standard_normal((_NEW_ROWS, size))).astype(np.float32)
    name = f"noise {noise} on {size} x {factors}, {rows} rows"
    return Problem(name, clean[:rows], new, clean[rows:], factors, synthetic.wiener_mse(weights, noise), noise)


def _outlier_set(path: Path) -> Problem:
    with np.load(path, allow_pickle=True) as file:
        x = np.asarray(file["X"], float)[file["y"] == 0]
    x = np.random.default_rng(0).permutation(x)
    return _table(path.stem, x, min(_MOST_ROWS, len(x) // 2))


def _tennessee_eastman() -> Problem:
    with np.load(DATA / "tep/tep_braatz.npz") as file:
        x = np.concatenate([file["d00_train"], file["d00_test"]])
        return _table("Tennessee Eastman", x, len(file["d00_train"]))


def _reactor() -> Problem:
    rows = np.asarray(plant.plant(jax.random.key(0), 60, 120).x)
    return _table("reactor", rows.reshape(-1, rows.shape[-1]), 40 * 120, 4)


def _table(name: str, x: np.ndarray, rows: int, latent_dim: int | None = None) -> Problem:
    """The first rows to learn from, those after them as new ones."""
    x = np.asarray(x, float)[: rows + _NEW_ROWS]
    x = x[:, x[:rows].std(axis=0) > 1e-9]
    scaler = fit_scaler(x[:rows])
    train, new = (scale(scaler, part).astype(np.float32) for part in (x[:rows], x[rows:]))
    latent_dim = latent_dim or suggest_latent_dim(train)
    _, _, directions = np.linalg.svd(train - train.mean(axis=0), full_matrices=False)
    left = new - train.mean(axis=0)
    left = left - left @ directions[:latent_dim].T @ directions[:latent_dim]
    return Problem(name, train, new, new, latent_dim, float(np.mean(left**2)))


def _model(problem: Problem, factory: str, options: dict[str, Any]) -> Model:
    size = problem.train.shape[1:]
    if problem.noise_level is not None:
        return models.denoising_autoencoder(size, problem.latent_dim, noise_level=problem.noise_level, **options)
    model: Model = models.MODELS[factory](size, problem.latent_dim, **options)
    return model


def measured(problem: Problem, name: str, factory: str, num_keys: int) -> dict[str, Any]:
    """One recipe on one problem, over keys."""
    recipe = RECIPES[name]
    model = _model(problem, factory, recipe["model"])
    options = dict(recipe["options"])
    if recipe["optimizer"]:
        steps = steps_for(round(0.9 * len(problem.train)), 64)
        options["optimizer"] = adam(num_steps=100 * steps, **recipe["optimizer"])
    if recipe["epochs"]:
        options["num_epochs"] = recipe["epochs"]
    keys = jax.random.split(jax.random.key(0), num_keys)
    begin = time.perf_counter()
    fitted = jax.block_until_ready(aejax.ensemble(keys, model, problem.train, **options))
    seconds = time.perf_counter() - begin
    ratios = []
    for member in range(num_keys):
        variables = jax.tree.map(lambda leaf, member=member: leaf[member], fitted.variables)
        rebuilt = np.asarray(aejax.reconstruct(model, variables, problem.new))
        ratios.append(float(np.mean((rebuilt - problem.clean) ** 2)) / problem.reference)
    return {
        "problem": problem.name,
        "model": "denoising_autoencoder" if problem.noise_level is not None else factory,
        "recipe": name,
        "ratios": ratios,
        "steps": int(fitted.state.step.max()),
        "seconds": seconds,
    }


def chosen_without(results: list[dict[str, Any]]) -> dict[str, str]:
    """For each problem the recipe that is best on all others: the lowest mean logarithm of the ratio."""
    logs: dict[str, dict[str, float]] = {}
    for result in results:
        logs.setdefault(result["problem"], {})[result["recipe"]] = float(np.mean(np.log(result["ratios"])))
    chosen = {}
    for left_out in logs:
        others = [found for name, found in logs.items() if name != left_out]
        if others:
            chosen[left_out] = min(others[0], key=lambda recipe: float(np.mean([found[recipe] for found in others])))
    return chosen


def as_table(results: list[dict[str, Any]]) -> str:
    """Markdown: mean and spread of the ratio, a row for each problem and a column for each recipe."""
    recipes = list(dict.fromkeys(result["recipe"] for result in results))
    rows: dict[str, list[str]] = {}
    for result in results:
        ratio = f"{np.mean(result['ratios']):.3f} ± {np.std(result['ratios']):.3f}"
        rows.setdefault(result["problem"], []).append(ratio)
    lines = [f"| problem | {' | '.join(recipes)} |", "| --- " * (len(recipes) + 1) + "|"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="*", default=[], help="words of their names; all by default")
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--model", default="autoencoder", help="of the problems without noise")
    parser.add_argument("--keys", type=int, default=5)
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    results = []
    for make in problems():
        problem = make()
        if options.problems and not any(word in problem.name for word in options.problems):
            continue
        for name in options.recipes:
            result = measured(problem, name, options.model, options.keys)
            results.append(result)
            mean, spread = np.mean(result["ratios"]), np.std(result["ratios"])
            took = f"{result['steps']} steps {result['seconds']:.1f} s"
            print(f"{problem.name:32} {name:16} {mean:.3f} ± {spread:.3f}  {took}", flush=True)
    content = {"environment": environment(), "results": results, "chosen_without": chosen_without(results)}
    write_json(options.out / f"defaults-{options.model}.json", content)
    print(f"\n{as_table(results)}\n")
    for name, recipe in content["chosen_without"].items():
        print(f"chosen without {name}: {recipe}")


if __name__ == "__main__":
    main()
