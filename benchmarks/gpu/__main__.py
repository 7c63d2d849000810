"""All that a GPU is needed for, by one command; JSON after each result, so that a run that is cut keeps what it has.

python -m benchmarks.gpu [--minutes 8] [--only CASE ...] [--out FOLDER] [--dry-run]

A dry run takes the same way with little work, on a CPU too.
"""

import argparse
import concurrent.futures
import json
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from aejax.artefacts.storage import write_json

_ROOT = Path(__file__).parents[2]
# The first round of each is not counted: it may still choose between kernels, or capture graphs.
_ROUNDS = 4
_FEW_ROUNDS = {"scored rows": 3}
# What can be wrong on a GPU alone: convolutions, random numbers, reductions. Each test compiles for seconds there.
_TESTS = ("tests/peers/test_models.py", "tests/models/test_known_answers.py")
_CHOSEN = "gradients and training and (convolutional or vae) or pca or probabilistic"
_CASES = ("attainable", "step", "members", "images", "scored rows", "largest batch")
_SIDES = ("ours", "theirs")


class Worker:
    """One side's process, which is told what to prepare and to time."""

    def __init__(self, side: str, log: Path):
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._orders, self._early = 0, dict[int, dict[str, Any]]()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu.worker", side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            text=True,
            cwd=_ROOT,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self._process.stdout:
            self._answers.put(json.loads(line))
        self._answers.put({"error": "its process has ended"})

    def tell(self, case: str, who: str, rounds: int = 0) -> int:
        """Gives an order, and does not wait: no rounds prepare, -1 releases. Returns the order's number."""
        self._orders += 1
        order = {"number": self._orders, "case": case, "who": who, "rounds": rounds}
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._answers.put({"number": self._orders, "error": "its process has ended"})
        return self._orders

    def answer(self, number: int, deadline: float) -> dict[str, Any]:
        """The answer to an order, whatever else was asked before it."""
        while number not in self._early:
            try:
                answer = self._answers.get(timeout=max(0.1, deadline - time.monotonic()))
            except queue.Empty:
                return {"error": "out of time"}
            self._early[answer.get("number", number)] = answer
        return self._early.pop(number)

    def ask(self, deadline: float, case: str, who: str, rounds: int = 0) -> dict[str, Any]:
        """An order, and its answer."""
        return self.answer(self.tell(case, who, rounds), deadline)

    def end(self) -> None:
        """Ends the process."""
        self._process.kill()


class Suite:
    """The run: its workers, its deadline and what it has measured."""

    def __init__(self, path: Path, minutes: float, names: dict[str, dict[str, list[str]]]):
        self.path, self.deadline, self.names = path, time.monotonic() + 60 * minutes, names
        self.orders: dict[tuple[str, str], int] = {}
        self.theirs_ready: dict[tuple[str, str], dict[str, Any]] = {}
        self.results: dict[str, Any] = {"timings": [], "checks": {}}
        log = path.parent
        self.workers = {side: Worker(side, log / f"{side}.log") for side in _SIDES}

    def keep(self) -> None:
        """Writes what there is."""
        write_json(self.path, self.results)

    def check(self, name: str, command: list[str], seconds: float, **variables: str) -> threading.Thread:
        """Runs a command beside, whose last lines are kept."""

        def run() -> None:
            log = self.path.parent / f"{name}.log"
            with log.open("w") as file:
                process = subprocess.Popen(
                    command, stdout=file, stderr=subprocess.STDOUT, cwd=_ROOT, env={**os.environ, **variables}
                )
                try:
                    code = process.wait(timeout=seconds)
                except subprocess.TimeoutExpired:
                    process.terminate()
                    code = -1
            lines = log.read_text().strip().splitlines()
            self.results["checks"][name] = {"code": code, "last": lines[-1] if lines else ""}
            print(f"{name}: {code} {lines[-1] if lines else ''}", flush=True)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def prepare_theirs(self, cases: tuple[str, ...]) -> None:
        """Has PyTorch compile what it will be asked for, while other things are done."""
        for case in cases:
            for who in self.names["theirs"].get(case, ()):
                self.orders[case, who] = self.workers["theirs"].tell(case, who)

    def await_theirs(self) -> None:
        """Waits until PyTorch has compiled: nothing is timed beside it."""
        for order, number in self.orders.items():
            if order not in self.theirs_ready:
                self.theirs_ready[order] = self.workers["theirs"].answer(number, self.deadline)

    def run(self, case: str) -> None:
        """Prepares and times each setting of ours; the last one in turns with the peers."""
        theirs = self.names["theirs"].get(case, ())
        *settings, own = self.names["ours"].get(case, ())
        for who in settings:
            prepared = self._prepared(case, who)
            self.await_theirs()
            if "error" not in prepared:
                self._keep(case, who, prepared, self._rounds("ours", case, who, _FEW_ROUNDS.get(case, _ROUNDS)))
                self._release("ours", case, who)
        self.await_theirs()
        ready = {who: self.theirs_ready[case, who] for who in theirs}
        ready[own] = self._prepared(case, own)
        sides = {**dict.fromkeys(theirs, "theirs"), own: "ours"}
        seconds: dict[str, list[float]] = {who: [] for who, answer in ready.items() if "error" not in answer}
        for _ in range(_FEW_ROUNDS.get(case, _ROUNDS)):
            for who, times in seconds.items():
                times += self._rounds(sides[who], case, who, 1)
        for who, answer in ready.items():
            self._keep(case, who, answer, seconds.get(who, []))
            self._release(sides[who], case, who)

    def _prepared(self, case: str, who: str) -> dict[str, Any]:
        answer = self.workers["ours"].ask(self.deadline, case, who)
        if "error" in answer:
            self._keep(case, who, answer, [])
        return answer

    def _rounds(self, side: str, case: str, who: str, rounds: int) -> list[float]:
        return self.workers[side].ask(self.deadline, case, who, rounds).get("seconds", [])

    def _release(self, side: str, case: str, who: str) -> None:
        self.workers[side].ask(self.deadline, case, who, -1)

    def _keep(self, case: str, who: str, prepared: dict[str, Any], seconds: list[float]) -> None:
        seconds = seconds[1:]
        timing = {"case": case, "who": who, "seconds": seconds, **prepared}
        self.results["timings"].append(timing)
        self.keep()
        found = prepared.get("error") or (f"{statistics.median(seconds):.4g} s a unit" if seconds else "no round")
        told = " ".join(f"{name} {value:.4g}" for name, value in prepared.get("facts", {}).items())
        quality = prepared.get("quality")
        reached = "" if quality is None else f"reached {quality:.5g}"
        print(f"{case:14s} {who:38s} {found}  {reached} {told} first {prepared.get('prepared', 0):.1f} s", flush=True)


def _all_names() -> dict[str, dict[str, list[str]]]:
    """The contestants of each side by case, from processes of their own, so that this one holds no GPU."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return dict(zip(_SIDES, pool.map(_names, _SIDES), strict=True))


def _names(side: str) -> dict[str, list[str]]:
    """The contestants of a side by case, from a process of its own, so that this one holds no GPU."""
    code = (
        f"import json; from benchmarks.gpu.{side} import CASES; "
        "print('NAMES', json.dumps({case: list(of) for case, of in CASES.items()}))"
    )
    variables = {**os.environ, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=_ROOT, env=variables
    ).stdout
    return json.loads(output.rpartition("NAMES ")[2])


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--only", nargs="+", choices=_CASES, default=list(_CASES))
    parser.add_argument("--without", nargs="+", default=[], metavar="WHO", help="settings and peers to leave out")
    parser.add_argument("--out", type=Path, default=_ROOT / "benchmarks" / "results" / "gpu")
    parser.add_argument("--no-checks", action="store_true", help="leave out the tests, and killing and resuming")
    parser.add_argument("--dry-run", action="store_true")
    arguments = parser.parse_args()
    if arguments.dry_run:
        os.environ["AEJAX_GPU_DRY_RUN"] = "1"
    arguments.out.mkdir(parents=True, exist_ok=True)
    # Checks and both sides share the GPU: nobody takes its memory in advance.
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    names = {
        side: {case: [who for who in whose if who not in arguments.without] for case, whose in cases.items()}
        for side, cases in _all_names().items()
    }
    suite = Suite(arguments.out / "gpu.json", arguments.minutes, names)
    checks = [] if arguments.no_checks else _checks(suite, arguments.minutes)
    suite.results["environment"] = suite.workers["ours"].ask(suite.deadline, "environment", "")
    suite.prepare_theirs(tuple(arguments.only))
    for check in checks:
        check.join()
    for case in arguments.only:
        if time.monotonic() < suite.deadline:
            suite.run(case)
    for worker in suite.workers.values():
        worker.end()


def _checks(suite: Suite, minutes: float) -> list[threading.Thread]:
    """The tests that matter on a GPU, and killing and resuming with and without XLA's caches."""
    seconds = 60 * minutes / 5.5
    tests = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        str(max(2, (os.cpu_count() or 2) - 4)),
        "-W",
        "default",
        *_TESTS,
    ]
    resume = [sys.executable, "-m", "benchmarks.gpu.resume"]
    if os.environ.get("AEJAX_GPU_DRY_RUN") == "1":
        tests = [*tests[:4], "-n", "1", "-W", "default", "tests/peers/test_exchange.py"]
    folder = tempfile.mkdtemp()
    return [
        # As users compile; products in float32, to which the known answers are held.
        suite.check("tests", tests, seconds, AEJAX_TEST_FLAGS="as-users", JAX_DEFAULT_MATMUL_PRECISION="highest"),
        suite.check("resumed-without-cache", resume, seconds),
        suite.check("resumed-with-cache", [*resume, "--cache", folder], seconds),
    ]


if __name__ == "__main__":
    main()
