"""Where a case of ours spends its time on the device: its kernels by time, and the program that XLA made of it.

python -m benchmarks.gpu.kernels CASE [WHO] [--most 40] [--programs FOLDER]
"""

import argparse
import collections
import gzip
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.gpu import contestant
from benchmarks.gpu.contestant import IS_DRY

# Of few steps: the profiler takes minutes to write a million kernels.
contestant.STEPS_PER_EPOCH, contestant.STEP_EPOCHS = 64, 1


def traced(run: Any, folder: Path) -> list[dict[str, Any]]:
    """The events of one run that happened on the device, as the profiler writes them."""
    import jax

    with jax.profiler.trace(str(folder)):
        run()
    (file,) = folder.rglob("*.trace.json.gz")
    with gzip.open(file) as opened:
        events = json.load(opened)["traceEvents"]
    processes = {event["pid"]: event["args"]["name"] for event in events if event.get("name") == "process_name"}
    threads = {
        (event["pid"], event["tid"]): event["args"]["name"] for event in events if event.get("name") == "thread_name"
    }
    return [
        event
        for event in events
        if event.get("ph") == "X"
        and (IS_DRY or "device:GPU" in processes.get(event["pid"], ""))
        and (IS_DRY or "Stream" in threads.get((event["pid"], event["tid"]), ""))
    ]


def summary(events: list[dict[str, Any]], num_units: int, most: int) -> str:
    """Kernels by the time that all their calls took, with the calls and microseconds of a unit of work."""
    totals: dict[str, list[float]] = collections.defaultdict(list)
    for event in events:
        totals[event["name"]].append(event["dur"])
    ordered = sorted(totals.items(), key=lambda item: -sum(item[1]))
    all_calls, all_time = len(events), sum(event["dur"] for event in events)
    lines = [f"{all_calls / num_units:.3g} calls and {all_time / num_units:.4g} us a unit"]
    lines += [
        f"{sum(times) / all_time:6.1%} {len(times) / num_units:9.4g} calls of {sum(times) / len(times):9.4g} us  {name}"
        for name, times in ordered[:most]
    ]
    return "\n".join(lines)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case")
    parser.add_argument("who", nargs="?", default="aejax")
    parser.add_argument("--most", type=int, default=40)
    parser.add_argument("--programs", type=Path, help="where to put XLA's programs of a training run, as text")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        dump = Path(scratch) / "programs"
        if arguments.programs:
            flags = f"--xla_dump_to={dump} --xla_dump_hlo_as_text --xla_dump_hlo_module_re=.*advance.*"
            os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}"
        from benchmarks.gpu.ours import CASES

        timed = CASES[arguments.case][arguments.who]()
        timed.run()
        events = traced(timed.run, Path(scratch) / "trace")
        print(summary(events, timed.num_units, arguments.most))
        if arguments.programs:
            arguments.programs.mkdir(parents=True, exist_ok=True)
            for number, file in enumerate(sorted(dump.glob("*after_optimizations.txt"))):
                name = f"{arguments.case.replace(' ', '-')}-{number}.txt.gz"
                with file.open("rb") as source, gzip.open(arguments.programs / name, "wb") as target:
                    shutil.copyfileobj(source, target)


if __name__ == "__main__":
    main()
