"""Speed beside PyTorch, PyOD and scikit-learn: one command, a table, JSON and pictures.

python -m benchmarks [--full] [--only SECTION ...] [--out FOLDER]
"""

import argparse
import os
from pathlib import Path
from typing import Any

import jax

# One host device for each core: members of an ensemble are spread over them.
jax.config.update("jax_num_cpu_devices", os.cpu_count())

from aejax.artefacts.storage import write_json
from benchmarks import pictures, sections
from benchmarks.measuring import attainable, environment

FOLDER = Path(__file__).parent / "results"


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="every model at every batch size, compiled peers too")
    parser.add_argument("--only", nargs="+", choices=list(sections.SECTIONS), default=list(sections.SECTIONS))
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    results: dict[str, Any] = {"environment": environment(), "attainable": attainable(), "timings": []}
    path = arguments.out / f"{results['environment']['backend']}-{results['environment']['date']}.json"
    for name in arguments.only:
        print(f"\n{name}", flush=True)
        for timing in sections.SECTIONS[name](arguments.full):
            results["timings"].append(timing._asdict())
            print("  " + sections.line(timing), flush=True)
        # After each section, so that a run that is cut keeps what it has measured.
        write_json(path, results)
    pictures.draw(results, path.with_suffix(""))
    print("\n" + sections.summary(results))


if __name__ == "__main__":
    main()
