"""The same run on several devices: the same rows in the same steps, and the same curve up to rounding."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import aejax
from aejax import models
from aejax.training import meshes

_PROGRAM = Path(__file__).with_name("on_devices.py")


def measured(case):
    eight = {**os.environ, "JAX_NUM_CPU_DEVICES": "8"}
    found = subprocess.run([sys.executable, _PROGRAM, case], capture_output=True, text=True, env=eight)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout.splitlines()[-1])


def test_a_step_on_eight_devices_exchanges_one_sum():
    assert measured("all_reduces") == {"all-reduce": 1}


def test_uneven_batches_on_eight_devices():
    assert measured("one_run")["difference"] < 1e-6


@pytest.mark.slow
def test_rows_that_are_spread_stay_spread():
    found = measured("spread_rows")
    assert found["difference"] < 1e-6
    assert found["specs"] == ["P('data',)"] or found["specs"] == ["PartitionSpec('data',)"]


@pytest.mark.slow
def test_streamed_batches():
    assert measured("streamed")["difference"] < 1e-6


@pytest.mark.slow
def test_batch_norm_is_over_the_whole_batch():
    found = measured("batch_norm")
    assert found["sgd"] < 1e-6
    assert found["adam, training"] < 1e-6
    assert found["adam"] < 1e-3


@pytest.mark.slow
def test_members_and_rows_together():
    assert max(measured("members").values()) < 1e-6


@pytest.mark.slow
def test_large_parameters_are_cut():
    found = measured("cut_parameters")
    assert found["difference"] < 1e-6
    # Two kernels with their two moments.
    assert (found["num_large"], found["shares"]) == (6, [1 / 8])


@pytest.mark.slow
def test_resumed_on_another_number_of_devices():
    found = measured("elastic")
    assert found.pop("same bits")
    assert max(found.values()) < 1e-5


def test_more_devices_than_there_are():
    with pytest.raises(
        ValueError, match=r"found data=64, member=1, expected at least 1 of each, and at most \d+ devices"
    ):
        aejax.mesh(data=64)
    with pytest.raises(ValueError, match="found data=0"):
        aejax.mesh(data=0)


def test_a_mesh_of_another_kind(rows, key):
    mesh = jax.make_mesh((1,), ("batch",))
    with pytest.raises(ValueError, match=r"expected those of aejax\.mesh: member and data"):
        aejax.fit(key, models.autoencoder((6,), 2), rows, mesh=mesh, num_epochs=1)


def test_members_for_one_run(monkeypatch):
    class Mesh:
        axis_names, shape, size = ("member", "data"), {"member": 2, "data": 1}, 2

    with pytest.raises(ValueError, match=r"found member=2 for one run, expected 1; spread its rows with .*data=2"):
        meshes.check_mesh(Mesh(), ())


def test_processes_without_a_mesh(monkeypatch, rows, key):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match="found none with 2 processes, which would train as many different models"):
        aejax.fit(key, models.autoencoder((6,), 2), rows, num_epochs=1)
