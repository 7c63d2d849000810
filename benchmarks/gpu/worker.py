"""A process of one side, ours or PyTorch's, that prepares and times cases as it is told, line by line.

Each side has a process of its own, so that neither's threads, allocator or crash touch the other, while the parent lets
them take turns on the GPU. A line in is ``{"case": ..., "who": ..., "rounds": ...}``, the line out its result.
"""

import json
import os
import sys
import time
import traceback
from typing import Any


def main() -> None:
    """Serves the side that the command line names until its input ends."""
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    if sys.argv[1] == "ours":
        from benchmarks.gpu.ours import CASES
    else:
        from benchmarks.gpu.theirs import CASES
    ready: dict[tuple[str, str], Any] = {}
    for line in sys.stdin:
        order = json.loads(line)
        key = (order["case"], order["who"])
        try:
            answer = _serve(CASES, ready, key, order["rounds"])
        except Exception as error:
            ready.pop(key, None)
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"[:500]}
        answers.write(json.dumps({"number": order["number"], **answer}) + "\n")


def _serve(cases: dict[str, Any], ready: dict[tuple[str, str], Any], key: tuple[str, str], rounds: int) -> dict:
    """Prepares a contestant if no rounds are wanted, else times it; releases it where rounds are negative."""
    if key[0] == "environment":
        from benchmarks.measuring import environment

        return environment()
    if rounds < 0:
        ready.pop(key, None)
        return {}
    if rounds == 0:
        began = time.perf_counter()
        contestant = cases[key[0]][key[1]]()
        quality = contestant.run()
        compiled = time.perf_counter() - began
        ready[key] = contestant
        return {
            "quality": quality,
            "prepared": compiled,
            "num_units": contestant.num_units,
            "facts": dict(contestant.facts),
        }
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        ready[key].run()
        seconds.append((time.perf_counter() - began) / ready[key].num_units)
    return {"seconds": seconds}


if __name__ == "__main__":
    main()
