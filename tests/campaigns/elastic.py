"""Runs killed at random steps and gone on with on other devices: the curve of a run that nothing happened to."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.campaigns.figures import Figures

PROGRAM = Path(__file__).parents[1] / "training" / "on_processes.py"
# (processes, devices of each)
TOPOLOGIES = ((1, 1), (1, 2), (1, 4), (1, 8), (2, 1))
_SAME, _OTHER = 0.0, 1e-5  # largest relative difference, on one topology and over several
_KILLS_A_RUN = 2
_SECONDS = 300


def started(folder, topology, cache):
    """The processes of a run."""
    count, devices = topology
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(devices), "JAX_COMPILATION_CACHE_DIR": str(cache)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    words = [
        [sys.executable, PROGRAM, "elastic", str(rank), str(count), str(port), str(folder)] for rank in range(count)
    ]
    return [subprocess.Popen(line, **pipes) for line in words]


def ended(processes):
    """The curve that the first process prints when all have ended."""
    outputs = [process.communicate(timeout=_SECONDS) for process in processes]
    assert all(process.returncode == 0 for process in processes), [said[-300:] for _, said in outputs]
    return json.loads(outputs[0][0].splitlines()[-1])


def killed(processes, folder, moments):
    """Whether all were killed between a checkpoint of theirs and the end of the run."""
    before, begun = numbers(folder), time.monotonic()
    while numbers(folder) <= before and all(process.poll() is None for process in processes):
        assert time.monotonic() - begun < _SECONDS, "no checkpoint was written"
        time.sleep(0.02)
    time.sleep(moments.uniform(0, 1))
    is_running = all(process.poll() is None for process in processes)
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return is_running


def numbers(folder):
    """The step of the newest checkpoint, -1 for none."""
    return max((int(path.name) for path in Path(folder).glob("*") if path.name.isdigit()), default=-1)


def difference(found, expected):
    """The largest relative difference of two curves."""
    return max(
        float(np.max(np.abs(np.subtract(found[name], values)) / np.abs(values))) for name, values in expected.items()
    )


def elastic(count):
    """So many kills, each followed by another topology; one run in five stays on its own, for the same bits."""
    figures, moments = Figures("devices changed"), random.Random(0)
    with tempfile.TemporaryDirectory() as top:
        cache = Path(top) / "cache"
        wholes = {}
        kills = number = 0
        while kills < count and number < 3 * count:
            stays = number % 5 == 4
            topology = TOPOLOGIES[number % len(TOPOLOGIES)]
            if topology not in wholes:
                wholes[topology] = ended(started(Path(top) / f"whole{number}", topology, cache))
            folder, path, done = Path(top) / f"run{number}", [topology], 0
            try:
                for _ in range(_KILLS_A_RUN):
                    if not killed(started(folder, path[-1], cache), folder, moments):
                        break
                    done += 1
                    path.append(topology if stays else moments.choice(TOPOLOGIES))
                far = difference(ended(started(folder, path[-1], cache)), wholes[topology])
                allowed = _SAME if len(set(path)) == 1 else _OTHER
                assert far <= allowed, f"the curve is off by {far:.1e}, {allowed:.0e} is allowed"
                for _ in range(done):
                    figures.add("the same bits" if allowed == _SAME else "the same rows, within 1e-5")
            except (AssertionError, subprocess.TimeoutExpired) as error:
                figures.fault(f"run {number} on {path}: {error}")
            kills += done
            number += 1
    return figures
