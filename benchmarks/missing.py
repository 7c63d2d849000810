"""What gaps cost: false alarms, faults found and cells rebuilt, over tables whose best answer is known, and others.

python -m benchmarks.missing [--tables N] [--out FOLDER]

Ten tables are linear and Gaussian, of other sizes and seeds: there the Mahalanobis distance of what was observed is the
best linear detector, and linear regression rebuilds best. Two are curved. The false alarm rate asked for is 1 %; with
500 calibration rows a single table gives 0.2 to 2.2 % by chance, so that the mean over tables is what counts.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import aejax
from aejax.artefacts.storage import write_json
from benchmarks.measuring import environment

FOLDER = Path(__file__).parent / "results"
RATE = 0.01
FAULT = 4.0  # in standard deviations of a sensor's own noise
GAPS = {"none": 0.0, "one dead": 1, "two dead": 2, "1 %": 0.01, "5 %": 0.05, "20 %": 0.2}


class Made(NamedTuple):
    """A table: rows to train on, to calibrate with, to judge; all standardised."""

    name: str
    train: np.ndarray
    calibration: np.ndarray
    new: np.ndarray
    noise: np.ndarray
    latent_dim: int
    is_linear: bool


def made(num_tables: int) -> Iterator[Made]:
    """The tables."""
    for seed in range(num_tables):
        rng = np.random.default_rng(1000 + seed)
        num_columns, num_factors = int(rng.integers(6, 11)), int(rng.integers(2, 4))
        weights = rng.standard_normal((num_factors, num_columns))
        yield _table(f"linear {seed}", rng, lambda z, w=weights: z @ w, num_columns, num_factors, True)
    for seed in range(min(num_tables, 2)):
        rng = np.random.default_rng(2000 + seed)
        inner, outer = rng.standard_normal((2, 8)), rng.standard_normal((8, 10))
        yield _table(f"curved {seed}", rng, lambda z, i=inner, o=outer: np.tanh(z @ i) @ o, 10, 2, False)


def _table(name: str, rng: np.random.Generator, curve: Any, num_columns: int, num_factors: int, linear: bool) -> Made:
    signal = curve(rng.standard_normal((4500, num_factors)))
    noise = rng.uniform(0.1, 0.3, num_columns) * signal.std(axis=0)
    x = signal + noise * rng.standard_normal(signal.shape)
    mean, scale = x[:2500].mean(axis=0), x[:2500].std(axis=0)
    rows = ((x - mean) / scale).astype(np.float32)
    return Made(name, rows[:2500], rows[2500:3000], rows[3000:], noise / scale, num_factors, linear)


def measured(table: Made, model_name: str) -> Iterator[dict[str, Any]]:
    """One model on one table, for each kind of gaps."""
    factory = aejax.models.MODELS[model_name]
    model = factory(table.train.shape[1:], table.latent_dim)
    key = jax.random.key(0)
    fitted = aejax.fit(key, model, table.train[:2250], validation=table.train[2250:], num_epochs=100)
    calibration = aejax.calibrate(key, model, fitted.variables, table.calibration)
    for name, share in GAPS.items():
        is_missing = hidden(table.new.shape, share)
        rows = np.where(is_missing, np.nan, table.new)
        fault, sensors = rows.copy(), np.random.default_rng(2).integers(0, rows.shape[1], len(rows))
        fault[np.arange(len(rows)), sensors] += FAULT * table.noise[sensors]
        seen = ~np.isnan(fault[np.arange(len(rows)), sensors])
        normal, broken = (
            aejax.detect(key, model, fitted.variables, part, calibration, RATE).is_anomaly for part in (rows, fault)
        )
        result = {
            "table": table.name,
            "model": model_name,
            "gaps": name,
            "false_alarms": float(normal.mean()),
            "found": float(broken[seen].mean()),
        }
        if table.is_linear:
            limit = conformal_limits(table, rows)
            result["best_found"] = float((mahalanobis(table.train, fault) > limit)[seen].mean())
        if is_missing.any():
            rebuilt = aejax.reconstruct(model, fitted.variables, rows)
            result["r2"] = explained(rebuilt, table.new, is_missing)
            if table.is_linear:
                result["best_r2"] = explained(regression(table.train, rows), table.new, is_missing)
        yield result


def hidden(shape: tuple[int, ...], share: float) -> np.ndarray:
    """What is missing: so many sensors, or such a share of the cells."""
    if share >= 1:
        return np.broadcast_to(np.arange(shape[1]) < share, shape)
    return np.random.default_rng(1).random(shape) < share


def explained(rebuilt: np.ndarray, truth: np.ndarray, is_missing: np.ndarray) -> float:
    """R² of the missing cells."""
    return float(1 - np.mean(np.square(rebuilt - truth)[is_missing]) / truth[is_missing].var())


def by_pattern(rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Row numbers, and what these rows hold."""
    patterns, which = np.unique(~np.isnan(rows), axis=0, return_inverse=True)
    for index, seen in enumerate(patterns):
        yield np.flatnonzero(which.ravel() == index), seen


def mahalanobis(train: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The score of each row given what it holds, by the covariance of the training rows."""
    covariance, score = np.cov(train.T), np.zeros(len(rows))
    for numbers, seen in by_pattern(rows):
        part = rows[np.ix_(numbers, seen)]
        score[numbers] = np.sum(part @ np.linalg.pinv(covariance[np.ix_(seen, seen)]) * part, axis=1)
    return score


def conformal_limits(table: Made, rows: np.ndarray) -> np.ndarray:
    """The limit of that score for each row, from calibration rows with its gaps."""
    limit = np.zeros(len(rows))
    for numbers, seen in by_pattern(rows):
        normal = mahalanobis(table.train, np.where(seen, table.calibration, np.nan))
        limit[numbers] = aejax.threshold(normal, RATE)
    return limit


def regression(train: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rows with their gaps filled by linear regression on what they hold."""
    covariance, filled = np.cov(train.T), rows.copy()
    for numbers, seen in by_pattern(rows):
        weights = np.linalg.pinv(covariance[np.ix_(seen, seen)]) @ covariance[np.ix_(seen, ~seen)]
        filled[np.ix_(numbers, ~seen)] = rows[np.ix_(numbers, seen)] @ weights
    return filled


def lines(results: list[dict[str, Any]]) -> Iterator[str]:
    """The table that is printed: means over tables, and their standard deviations."""
    heads = f"{'false alarms %':>15} {'found %':>12} {'best %':>8} {'R²':>13} {'best':>6}"
    yield f"{'tables':8} {'model':12} {'gaps':9} {heads}"
    for kind in ("linear", "curved"):
        for model in dict.fromkeys(result["model"] for result in results):
            for gaps in GAPS:
                chosen = [
                    result
                    for result in results
                    if (result["table"].split()[0], result["model"], result["gaps"]) == (kind, model, gaps)
                ]
                if chosen:
                    yield _line(kind, model, gaps, chosen)


def _line(kind: str, model: str, gaps: str, chosen: list[dict[str, Any]]) -> str:
    def spread(name: str, factor: float, digits: int) -> str:
        values = [factor * result[name] for result in chosen if name in result]
        return f"{np.mean(values):.{digits}f} ± {np.std(values):.{digits}f}" if values else ""

    def mean(name: str, factor: float, digits: int) -> str:
        return spread(name, factor, digits).partition(" ")[0]

    return (
        f"{kind:8} {model:12} {gaps:9} {spread('false_alarms', 100, 2):>15} {spread('found', 100, 1):>12} "
        f"{mean('best_found', 100, 1):>8} {spread('r2', 1, 3):>13} {mean('best_r2', 1, 3):>6}"
    )


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=10, help="linear tables; two curved ones come beside them")
    parser.add_argument("--models", nargs="+", default=["autoencoder", "vae"])
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    where = environment()
    results: list[dict[str, Any]] = []
    for table in made(arguments.tables):
        for model in arguments.models:
            results += measured(table, model)
        print(table.name, flush=True)
        path = arguments.out / f"missing-{where['backend']}-{where['date']}.json"
        write_json(path, {"environment": where, "asked": RATE, "results": results})
    print("\n".join(lines(results)))


if __name__ == "__main__":
    main()
