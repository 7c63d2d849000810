"""One run of two processes, over loopback: the curve of one process, checkpoints of the first, and no hanging."""

import atexit
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from aejax.training import processes

_PROGRAM = Path(__file__).with_name("on_processes.py")
_SECONDS = 300


def started(case, folder, count):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "1"}
    commands = [[sys.executable, _PROGRAM, case, str(rank), str(count), str(port), folder] for rank in range(count)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    running = [subprocess.Popen(command, **pipes) for command in commands]
    try:
        return [(process.communicate(timeout=_SECONDS), process.returncode) for process in running]
    finally:
        for process in running:
            process.kill()


def measured(case, folder, count):
    """What each process printed last."""
    found = started(case, folder, count)
    assert all(code == 0 for _, code in found), [output[1] for output, _ in found]
    return [json.loads(output[0].splitlines()[-1]) for output, _ in found]


def assert_close(found, expected, tolerance=1e-6):
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["one_run", "streamed", "large"])
def test_two_processes_have_the_curve_of_one(case, tmp_path):
    (alone,) = measured(case, tmp_path / "alone", 1)
    first, second = measured(case, tmp_path / "both", 2)
    assert first == second
    assert_close(first, alone)


@pytest.mark.slow
def test_each_process_reads_its_share_of_the_rows(tmp_path):
    (alone,) = measured("stored", tmp_path, 1)
    both = measured("stored", tmp_path, 2)
    num_read = [found.pop("num_read") for found in both]
    of_one = alone.pop("num_read")
    assert both[0] == both[1]
    assert_close(both[0], alone)
    assert of_one >= 20 * 300
    for count in num_read:
        assert count < 0.6 * of_one, (num_read, of_one)


@pytest.mark.slow
def test_where_one_process_dies_the_other_says_so_and_the_run_is_resumed(tmp_path):
    (output, code), (_, killed) = started("killed", tmp_path / "run", 2)
    assert (code, killed) == (1, 9)
    said = json.loads(output[0].splitlines()[-1])["lost"]
    assert said.startswith("another of the 2 processes of this run has ended")
    assert said.endswith("start all of them again with resume=True (--resume)")
    (whole,) = measured("whole", tmp_path, 1)
    first, second = measured("resumed", tmp_path / "run", 2)
    assert first == second
    assert_close(first, whole, 1e-5)


@pytest.mark.slow
def test_begun_with_two_and_resumed_with_one(tmp_path):
    started("killed", tmp_path / "run", 2)
    (whole,), (resumed,) = measured("whole", tmp_path, 1), measured("resumed", tmp_path / "run", 1)
    assert_close(resumed, whole, 1e-5)


@pytest.mark.slow
def test_what_the_first_process_refuses_all_refuse(tmp_path):
    started("killed", tmp_path / "run", 2)
    first, second = measured("refused", tmp_path / "run", 2)
    assert first == second
    assert "belong to a run begun with something else: x: found" in first["refused"]


@pytest.mark.parametrize("kind", [ValueError, jax.errors.JaxRuntimeError])
def test_only_what_the_transport_says_is_a_lost_process(kind, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(atexit, "register", lambda action: None)
    lost = pytest.raises(processes.ProcessLostError, match=r"another of the 2 .* ended \(UNKNOWN: Gloo failed\)")
    with lost, processes.naming_the_lost():
        raise kind("UNKNOWN: Gloo failed\nsomewhere")
    for said in ("RESOURCE_EXHAUSTED: out of memory", "x: found 2", ""):
        with pytest.raises(kind, match=f"^{said}$"), processes.naming_the_lost():
            raise kind(said)


def test_with_one_process_nothing_is_exchanged():
    assert processes.agreed(1, 2) == (1, 2)
    assert processes.is_any(True)
    arrays = {"a": np.arange(3)}
    assert processes.of_the_first(arrays) is arrays
    assert processes.whole(arrays) is arrays
    with pytest.raises(OSError, match="no such thing"):
        processes.by_the_first(lambda: (_ for _ in ()).throw(OSError("no such thing")))
