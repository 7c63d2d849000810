"""Two processes and one folder: two that write, and one that reads while another writes."""

import contextlib
import json
import multiprocessing
import random
import tempfile
import time
from pathlib import Path

import aejax
from tests.artefacts.examples import EXAMPLES
from tests.campaigns.figures import Figures
from tests.campaigns.runs import assert_whole, options, run, state_of, table_file

_THINGS = 2


def _worker(jobs, results):
    """A process that does what it is told, at the moment it is told."""
    while (job := jobs.get()) is not None:
        begin, function, arguments = job
        time.sleep(max(0.0, begin - time.time()))
        try:
            results.put(function(*arguments))
        except BaseException as error:
            results.put(("fault", f"{type(error).__name__}: {error}"))


@contextlib.contextmanager
def _workers(count):
    context = multiprocessing.get_context("spawn")
    queues = [(context.Queue(), context.Queue()) for _ in range(count)]
    processes = [context.Process(target=_worker, args=pair, daemon=True) for pair in queues]
    for process in processes:
        process.start()

    def together(*jobs, apart=0.0):
        begin = time.time() + 0.02
        for (todo, _), (index, (function, *arguments)) in zip(queues, enumerate(jobs), strict=False):
            todo.put((begin + index * apart, function, arguments))
        return [results.get(timeout=300) for (_, results), _ in zip(queues, jobs, strict=False)]

    try:
        yield together
    finally:
        for (todo, _), process in zip(queues, processes, strict=True):
            todo.put(None)
            process.join(timeout=20)


def _mixture(number):
    thing = EXAMPLES["mixture"]()
    return thing._replace(mean=thing.mean * 0 + number, cholesky=thing.cholesky * (1 + number))


def _save(folder, number, times):
    for _ in range(times):
        aejax.save(folder, _mixture(number))
    return "saved", number


def _read(folder, times):
    seen = set()
    for _ in range(times):
        found = aejax.load(folder)
        first, second = float(found.mean[0, 0]), float(found.cholesky[0, 0, 0] / _mixture(0).cholesky[0, 0, 0]) - 1
        if abs(first - second) > 1e-3:
            return "fault", f"mixed: {first} and {second}"
        seen.add(round(first))
    return "read", sorted(seen)


def saves(count):
    """Two processes save to one folder, a third one loads: it only ever sees one of the two, whole."""
    figures = Figures("saves at once")
    with _workers(3) as together, tempfile.TemporaryDirectory() as top:
        for number in range(count):
            folder = Path(top) / str(number)
            aejax.save(folder, _mixture(0))
            found = together((_save, folder, 0, 3), (_save, folder, 1, 3), (_read, folder, 6))
            faults = [what for outcome, what in found if outcome == "fault"]
            files = sorted(path.name for path in folder.iterdir())
            if len(files) != 2:
                faults.append(f"left over: {files}")
            for what in faults:
                figures.fault(f"{number}: {what}")
            if not faults:
                figures.add("whole")
    return figures


def _train(data, folder, seed):
    return run("train", data, "--out", folder, *options("autoencoder", 6, seed))


def trainings(count):
    """Two processes train into one folder: one run is there in the end, and the other process was told why."""
    figures, generator = Figures("trainings at once"), random.Random(0)
    with _workers(2) as together, tempfile.TemporaryDirectory() as top:
        data = table_file(Path(top))
        wholes = []
        for seed in (0, 1):
            together((_train, data, Path(top) / f"whole{seed}", seed))
            wholes.append(state_of(Path(top) / f"whole{seed}"))
        for number in range(count):
            folder = Path(top) / f"run{number}"
            found = together((_train, data, folder, 0), (_train, data, folder, 1), apart=generator.uniform(-1.0, 1.0))
            try:
                codes = [code for code, _ in found]
                assert sorted(codes) == [0, 1], f"exit codes {codes}: {found}"
                loser = codes.index(1)
                said = found[loser][1]
                assert "is being written by process" in said or "is not empty" in said, said
                assert_whole(folder, wholes[1 - loser])
                seed = json.loads((folder / "config.json").read_text())["train"]["seed"]
                assert seed == 1 - loser, "the config of the other"
                figures.add("one winner, " + ("in use" if "being written" in said else "not empty"))
            except AssertionError as error:
                figures.fault(f"{number}: {error}")
    return figures
