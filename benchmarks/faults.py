"""New rows of a fault, checked by a detector that knows normal operation alone: ``python -m benchmarks.faults``.

For each seed the commands of docs/generation.md are run on a simulated plant. A conditional VAE with a flow over its
codes learns rows with labels; the detector of the demo judges new rows of each label, and the real ones of a plant
of another seed, which nothing was trained on.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from pyarrow import csv

_OTHER = 1000  # added to a seed, for the plant that is held out


def _aejax(place: Path, *words: str) -> None:
    subprocess.run([sys.executable, "-m", "aejax", *words, "--quiet"], cwd=place, check=True, stdout=subprocess.DEVNULL)


def _flagged(place: Path, rows: str) -> np.ndarray:
    _aejax(place, "detect", "plant", rows, "--out", "verdicts.csv")
    return csv.read_csv(place / "verdicts.csv")["is_anomaly"].to_numpy(zero_copy_only=False)


def shares(place: Path, seed: int, num_samples: int) -> dict[str, tuple[float, float]]:
    """Of each label the share of new rows that the detector flags, and that of real rows.

    Args:
        place: an empty folder.
        seed: of the plant and of what is trained.
        num_samples: new rows of each label.

    Returns:
        The two shares by label.
    """
    _aejax(place, "demo", "--out", "plant", "--seed", str(seed))
    _aejax(place, "demo", "--out", "other", "--seed", str(seed + _OTHER))
    options = ("--model", "conditional_vae", "--condition-columns", "fault", "--seed", str(seed))
    _aejax(place, "train", "plant/faults.csv", *options, "--out", "faults")
    real, labels = (_flagged(place, "other/faults.csv"), csv.read_csv(place / "other/faults.csv")["fault"].to_pylist())
    found = {}
    for label in sorted(set(labels)):
        drawn = ("--num-samples", str(num_samples), "--condition", f"fault={label}", "--sampler", "flow")
        _aejax(place, "generate", "faults", *drawn, "--out", "new.csv")
        found[label] = (_flagged(place, "new.csv").mean(), real[np.array(labels) == label].mean())
    return found


def main() -> None:
    """Prints the shares, mean and spread over seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--num-samples", type=int, default=1000)
    words = parser.parse_args()
    runs = []
    for seed in words.seeds:
        with tempfile.TemporaryDirectory() as folder:
            runs.append(shares(Path(folder), seed, words.num_samples))
            print(runs[-1], file=sys.stderr, flush=True)
    print("| label | new rows flagged, % | real rows flagged, % |\n| --- | --- | --- |")
    for label in runs[0]:
        new, real = 100 * np.array([run[label] for run in runs]).T
        print(f"| {label} | {new.mean():.1f} ± {new.std():.1f} | {real.mean():.1f} ± {real.std():.1f} |")


if __name__ == "__main__":
    main()
