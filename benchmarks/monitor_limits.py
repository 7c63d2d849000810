"""How many false alarms a monitor gives on new normal rows, where 1 % is asked.

python -m benchmarks.monitor_limits [--limits auto rows] [--seeds N] [--first-seed N] [--out FOLDER]

Twelve sensors show three linear-Gaussian states with noise. A grid over the kind of process, how long it remembers, and
how many rows the monitor is fitted to. The rate is measured on 20,000 new rows. A refusal counts as one, and has no
rate.
"""

import argparse
import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from scipy.signal import lfilter

from aejax.artefacts.storage import finite, write_json
from aejax.plots.style import new_figure
from aejax.tasks import anomaly
from benchmarks.measuring import environment

FOLDER = Path(__file__).parent / "results"
PROCESSES = ("independent", "AR(1)", "AR(2)", "drifting", "wandering")
TIMES, SIZES = (1, 3, 10, 30), (400, 1000, 4000)
NUM_COLUMNS, NUM_STATES, NUM_NEW, RATE = 12, 3, 20_000, 0.01
LATENT_DIM, NOISE = 6, 0.3
# As many steps for each size; a linear model needs no more.
EPOCHS = {400: 60, 1000: 24, 4000: 6}


def states(process: str, time: float, num_rows: int, rng: np.random.Generator) -> np.ndarray:
    """States of mean 0 and variance 1.

    Args:
        process: "AR(1)" forgets exponentially; "AR(2)" oscillates, four such times a period, while it does; of
            "drifting" half of the variance has a memory 20 times as long; "wandering" is AR(1) and a random walk,
            which makes a standard deviation in 100 such times and has no normal state.
        time: rows in which it forgets all but 1/e.
        num_rows: how many.
        rng: what they are drawn from.

    Returns:
        (num_rows, NUM_STATES).
    """
    if process == "drifting":
        parts = states("AR(1)", time, num_rows, rng), states("AR(1)", 20 * time, num_rows, rng)
        return (parts[0] + parts[1]) / np.sqrt(2)
    if process == "wandering":
        walk = np.cumsum(rng.standard_normal((num_rows, NUM_STATES)), axis=0) / np.sqrt(100 * time)
        return states("AR(1)", time, num_rows, rng) + walk
    radius = 0.0 if process == "independent" else np.exp(-1 / time)
    angle = np.pi / (2 * time)
    past = [1.0, -2 * radius * np.cos(angle), radius**2] if process == "AR(2)" else [1.0, -radius]
    begin = int(np.ceil(20 * time))
    rows = lfilter([1.0], past, rng.standard_normal((begin + num_rows, NUM_STATES)), axis=0)[begin:]
    response = lfilter([1.0], past, np.eye(1, 2 * begin + 1)[0])
    return np.asarray(rows / np.sqrt(response @ response))


def drawn(process: str, time: float, num_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit to, and new ones: of another run, or what comes later where the process wanders."""
    rng = np.random.default_rng([seed, PROCESSES.index(process), num_rows, round(time)])
    if process == "wandering":
        parts = np.split(states(process, time, num_rows + NUM_NEW, rng), [num_rows])
    else:
        parts = [states(process, time, number, rng) for number in (num_rows, NUM_NEW)]
    weights = rng.standard_normal((NUM_STATES, NUM_COLUMNS))
    rows = [part @ weights + NOISE * rng.standard_normal((len(part), NUM_COLUMNS)) for part in parts]
    return rows[0], rows[1]


def fitted(rows: np.ndarray, seed: int, limits: str) -> anomaly.Monitor:
    """A monitor by a cheap model."""
    return anomaly.fit_monitor(
        jax.random.key(seed),
        rows,
        latent_dim=LATENT_DIM,
        num_epochs=EPOCHS[len(rows)],
        learning_rate=1e-2,
        false_alarm_rate=RATE,
        limits=limits,
    )


def measured(limits: str, seeds: range) -> Iterator[dict[str, Any]]:
    """A line for each cell of the grid: rates over seeds, and how often limits were refused."""
    for process, time, size in itertools.product(PROCESSES, TIMES, SIZES):
        if process == "independent" and time > 1:
            continue
        rates, num_warned = [], 0
        for seed in seeds:
            rows, new = drawn(process, time, size, seed)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    chart, _ = anomaly.watch(fitted(rows, seed, limits), new)
                except ValueError:
                    continue
            rates.append(float(chart.is_above.mean()))
            num_warned += bool(caught)
        yield {
            "limits": limits,
            "process": process,
            "time": time,
            "num_rows": size,
            "rates": rates,
            "refused": len(seeds) - len(rates),
            "warned": num_warned,
        }


def line(cell: dict[str, Any]) -> str:
    """What is printed of a cell: mean and standard deviation over seeds."""
    rates = np.array(cell["rates"]) * 100
    found = f"{rates.mean():6.2f} ± {rates.std():5.2f} %" if len(rates) else " " * 16
    return (
        f"{cell['limits']:7} {cell['process']:12} {cell['time']:4} {cell['num_rows']:6} {found} "
        f"refused {cell['refused']:3} warned {cell['warned']:3}"
    )


def drawn_figure(cells: list[dict[str, Any]]) -> Figure:
    """Obtained rates over the memory of the process, a panel for each process, a line for each size and way."""
    figure = new_figure(width=10, height=3.2)
    panels = figure.subplots(1, len(PROCESSES) - 1, sharey=True)
    for ax, process in zip(panels, PROCESSES[1:], strict=True):
        for limits, (color, size) in itertools.product(("auto", "rows"), enumerate(SIZES)):
            chosen = [
                cell for cell in cells if (cell["process"], cell["limits"], cell["num_rows"]) == (process, limits, size)
            ]
            rates = [100 * np.mean(cell["rates"]) if cell["rates"] else np.nan for cell in chosen]
            style = "o-" if limits == "auto" else "o:"
            ax.plot([cell["time"] for cell in chosen], rates, style, ms=3, color=f"C{color}", label=f"{limits}, {size}")
        ax.axhspan(0, 200 * RATE, color="black", alpha=0.07, lw=0)
        ax.axhline(100 * RATE, color="black", lw=0.8)
        ax.set(title=process, xscale="log", yscale="symlog", xlabel="memory, rows", xticks=TIMES, xticklabels=TIMES)
    panels[0].set_ylabel("false alarms, %, where 1 is asked")
    panels[-1].legend(frameon=False, fontsize=7)
    return figure


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limits", nargs="+", default=["auto", "rows"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=10, help="0 to 9 are those by which the rule was chosen")
    parser.add_argument("--out", type=Path, default=FOLDER)
    words = parser.parse_args()
    cells = []
    print("limits  process      time   rows  false alarms, 1 % asked")
    for limits in words.limits:
        for cell in measured(limits, range(words.first_seed, words.first_seed + words.seeds)):
            cells.append(cell)
            print(line(cell), flush=True)
            content = {"environment": environment(), "first_seed": words.first_seed, "cells": finite(cells)}
            write_json(words.out / "monitor_limits.json", content)
    drawn_figure(cells).savefig(words.out / "monitor_limits.png", dpi=110)


if __name__ == "__main__":
    main()
