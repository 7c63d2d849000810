"""Speed beside PyTorch, PyOD and scikit-learn: one command, a table, JSON and pictures.

python -m benchmarks [--full] [--only SECTION ...] [--out FOLDER]
"""

import argparse
import json
import os
from pathlib import Path

import jax

# One host device for each core: members of an ensemble are spread over them.
jax.config.update("jax_num_cpu_devices", os.cpu_count())

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
    timings = []
    for name in arguments.only:
        print(f"\n{name}", flush=True)
        for timing in sections.SECTIONS[name](arguments.full):
            timings.append(timing)
            print("  " + sections.line(timing), flush=True)
    results = {
        "environment": environment(),
        "attainable": attainable(),
        "timings": [timing._asdict() for timing in timings],
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    name = f"{results['environment']['backend']}-{results['environment']['date']}"
    (arguments.out / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    pictures.draw(results, arguments.out / name)
    print("\n" + sections.summary(results))


if __name__ == "__main__":
    main()
