"""``aejax train --distributed``: two processes, one run folder."""

import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

import aejax
from aejax.cli.main import main


def both(*words):
    """The exit codes of two processes that train together, and what they said; the second's words, if they differ."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    shared = {**os.environ, "JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2", "JAX_NUM_CPU_DEVICES": "1"}
    commands = [[sys.executable, "-m", "aejax", "train", *words[rank % len(words)], "--distributed"] for rank in (0, 1)]
    running = [
        subprocess.Popen(
            commands[rank],
            env={**shared, "JAX_PROCESS_ID": str(rank)},
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        return [(process.communicate(timeout=300)[1], process.returncode) for process in running]
    finally:
        for process in running:
            process.kill()


@pytest.mark.slow
def test_two_processes_write_the_run_of_one(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2)) @ rng.normal(size=(2, 5)) + 0.1 * rng.normal(size=(400, 5))
    np.savetxt(tmp_path / "t.csv", x, delimiter=",", header="a,b,c,d,e", comments="")
    words = [str(tmp_path / "t.csv"), "--num-epochs", "5", "--quiet", "--out"]
    assert [code for _, code in both([*words, str(tmp_path / "both")])] == [0, 0]
    with pytest.raises(SystemExit) as ended:
        main(["train", *words, str(tmp_path / "alone")])
    assert ended.value.code == 0
    one, two = (aejax.load(tmp_path / name, aejax.Run) for name in ("alone", "both"))
    for a, b in zip(jax.tree.leaves(one.variables), jax.tree.leaves(two.variables), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(two.calibration.score, one.calibration.score, rtol=1e-4)
    refused = both([*words, str(tmp_path / "both")])
    assert [code for _, code in refused] == [1, 1]
    assert all("is not empty; resume it by aejax train --resume" in said for said, _ in refused)


@pytest.mark.slow
def test_where_one_process_alone_fails_the_other_says_so(tmp_path):
    np.savetxt(tmp_path / "t.csv", np.random.default_rng(0).normal(size=(400, 5)), delimiter=",")
    words = ["--num-epochs", "5", "--out", str(tmp_path / "run")]
    (said, code), (cause, second) = both([str(tmp_path / "t.csv"), *words], [str(tmp_path / "none.csv"), *words])
    assert (code, second) == (1, 1)
    assert "aejax: error: another of the 2 processes of this run has ended" in said
    assert "there is no such file" in cause


def test_nothing_says_where_the_others_are(monkeypatch, capsys):
    def initialize(**options):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    monkeypatch.setattr(jax.config, "update", lambda name, value: None)
    with pytest.raises(SystemExit) as ended:
        main(["train", "t.csv", "--out", "run", "--distributed"])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "distributed: found neither SLURM, Open MPI, Kubernetes nor JAX_COORDINATOR_ADDRESS" in said
