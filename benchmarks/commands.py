"""``python -m benchmarks.commands EARLIER``: commands on complete tables, beside those of an earlier checkout.

Each command is a process of its own, in turns with the other's; its compiled programs and byte code are kept from a
first round, which is not counted. CPU seconds are those of the process, so that other work on the machine counts less.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

_NUM_COLUMNS = 12
_MODEL = ("--latent-dim", "4", "--hidden-dims", "64", "32", "--patience", "1000", "--quiet")
# The network of d98ade0, before the defaults were chosen anew.
_AS_BEFORE = ("--options", "shortcut=false", "activation=tanh")
_COMMANDS = {
    "train, 5,000 rows, 50 epochs": ("train", "5000.csv", "--num-epochs", "50", *_MODEL),
    "train, 100,000 rows, 10 epochs": ("train", "100000.csv", "--num-epochs", "10", *_MODEL),
    "detect, 5,000 rows": ("detect", "run", "5000.csv", "--quiet"),
    "detect, 100,000 rows": ("detect", "run", "100000.csv", "--quiet"),
    "encode, 100,000 rows": ("encode", "run", "100000.csv", "--quiet"),
}


def _table(path: Path, num_rows: int) -> None:
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(num_rows, 4)) @ rng.normal(size=(4, _NUM_COLUMNS))
    values = 100 + 3 * (factors + 0.1 * rng.normal(size=factors.shape))
    names = ",".join(f"s{number}" for number in range(_NUM_COLUMNS))
    np.savetxt(path, values, fmt="%.5f", delimiter=",", header=names, comments="")


def _seconds(checkout: Path, place: Path, *words: str) -> float:
    """CPU seconds of one command in a folder of its own, with the code of a checkout."""
    kept = {"AEJAX_CACHE": str(place / "cache"), "PYTHONPYCACHEPREFIX": str(place / "bytecode")}
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    surroundings |= {"PYTHONPATH": str(checkout), "JAX_PLATFORMS": "cpu", **kept}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "aejax", *words], cwd=place, env=surroundings, check=True, capture_output=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(earlier: Path, num_rounds: int) -> dict[str, dict[str, float]]:
    """Median CPU seconds of each command with either code, and the median of their ratios."""
    sides = {"earlier": earlier.resolve(), "now": Path(__file__).resolve().parents[1]}
    taken: dict[str, dict[str, list[float]]] = {name: {side: [] for side in sides} for name in _COMMANDS}
    with tempfile.TemporaryDirectory() as top:
        places = {side: Path(top) / side for side in sides}
        for side, place in places.items():
            place.mkdir()
            for num_rows in (5_000, 100_000):
                _table(place / f"{num_rows}.csv", num_rows)
            _seconds(sides[side], place, *_COMMANDS["train, 5,000 rows, 50 epochs"], "--out", "run")
        for number in range(num_rounds + 1):
            for command, (name, words) in enumerate(_COMMANDS.items()):
                for side in sorted(sides, reverse=bool(number % 2)):
                    told = _AS_BEFORE if words[0] == "train" and side == "now" else ()
                    out = f"out-{number}-{command}" + ("" if words[0] == "train" else ".csv")
                    seconds = _seconds(sides[side], places[side], *words, *told, "--out", out)
                    if number:
                        taken[name][side].append(seconds)
    return {
        name: {
            **{side: median(seconds) for side, seconds in of_command.items()},
            "ratio": median(now / before for before, now in zip(of_command["earlier"], of_command["now"], strict=True)),
        }
        for name, of_command in taken.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("earlier", type=Path, help="a checkout of an earlier commit")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    found = compare(options.earlier, options.rounds)
    print("| command | CPU before, s | now, s | ratio |\n| --- | --- | --- | --- |")
    for name, row in found.items():
        print(f"| {name} | {row['earlier']:.2f} | {row['now']:.2f} | {row['ratio']:.2f} |")
    if options.out:
        content = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count(), "commands": found}
        options.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
