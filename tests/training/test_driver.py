"""What happens between the parts of a run: reports, Ctrl-C, checkpoints within an epoch, processes that are killed."""

import os
import signal
import subprocess
import sys
import time

import chex
import jax
import numpy as np
import pytest

from aejax import models
from aejax.training import checkpoint, driver, ensemble, fit, pretrain
from tests.conftest import VAE
from tests.training.parts import one_step_at_a_time


def test_every_epoch_is_reported_with_the_history_so_far(rows, key):
    reports = []
    fitted = fit(key, VAE, rows, num_epochs=300, progress=reports.append)
    ends = [report for report in reports if report.ends_epoch]
    assert [report.epoch for report in ends] == list(range(1, 301))
    assert [report.step for report in ends] == list(range(5, 1505, 5))
    assert [report.done for report in ends] == [False] * 299 + [True]
    for report in (ends[0], ends[17], ends[-1]):
        np.testing.assert_array_equal(report.history["val_loss"], fitted.history["val_loss"][: report.epoch])
        assert report.metrics["val_loss"] == fitted.history["val_loss"][report.epoch - 1]


def test_within_an_epoch_is_reported_how_far_it_is(rows, key, monkeypatch):
    one_step_at_a_time(monkeypatch)
    reports = []
    fitted = fit(key, VAE, rows, num_epochs=2, validation=0, progress=reports.append)
    assert [(report.epoch, report.step, report.ends_epoch) for report in reports] == [
        (0, 2, False), (0, 3, False), (0, 4, False), (1, 5, True),
        (1, 6, False), (1, 7, False), (1, 8, False), (1, 9, False), (2, 10, True),
    ]  # fmt: skip
    assert len(reports[5].history["loss"]) == 1
    np.testing.assert_allclose(reports[3].metrics["loss"], fitted.history["loss"][0])
    assert reports[2].metrics["loss"] != reports[3].metrics["loss"]


def test_parts_of_any_length_give_the_same_bits(rows, key, monkeypatch):
    whole = fit(key, VAE, rows, num_epochs=6)
    one_step_at_a_time(monkeypatch)
    cut = fit(key, VAE, rows, num_epochs=6)
    chex.assert_trees_all_equal((cut.variables, cut.state, cut.history), (whole.variables, whole.state, whole.history))


def test_members_are_cut_and_stop_each_for_itself(rows, key, monkeypatch):
    keys = jax.random.split(key, 3)
    options = {"num_epochs": 60, "patience": 2, "learning_rate": 3e-2, "validation": 0.5}
    whole = ensemble(keys, VAE, rows[:60], **options)
    one_step_at_a_time(monkeypatch)
    cut = ensemble(keys, VAE, rows[:60], **options)
    chex.assert_trees_all_equal(cut.variables, whole.variables)
    np.testing.assert_array_equal(cut.history["loss"], whole.history["loss"])
    assert len(set(np.isfinite(whole.history["loss"]).sum(axis=1))) > 1


# An epoch of minutes: a step takes some milliseconds, and there are a million of them.
PROGRAM = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import jax
import aejax
from aejax.training import driver, pace

def noise(arrays, key, num_rows):
    return aejax.Batch(jax.random.normal(key, (num_rows, 6)))

def report(report):
    print(report.step, flush=True)
    if stop:
        sys.exit()

folder, stop = sys.argv[1], int(sys.argv[2])
if stop:
    pace.Pace.next_part = lambda self, step: (stop, 1)
model = aejax.models.vae((6,), 2, hidden_dims=(512, 512))
options = {"steps_per_epoch": 1_000_000, "num_epochs": 1, "batch_size": 256, "validation": 0}
options |= {"checkpoint_dir": folder, "checkpoint_seconds": 0, "resume": True, "progress": report}
aejax.fit(jax.random.key(0), model, aejax.drawn(noise), **options)
"""


def begun(folder, stop=0):
    command = [sys.executable, "-c", PROGRAM, str(folder), str(stop)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until_step(process, least):
    """Waits until the process has reported so many steps."""
    for line in process.stdout:
        if int(line) >= least:
            return int(line)
    raise AssertionError(process.stderr.read())


@pytest.mark.slow
@pytest.mark.as_users
def test_ctrl_c_and_a_kill_within_an_epoch_of_minutes_lose_nothing(tmp_path):
    folder = tmp_path / "checkpoints"
    process = begun(folder)
    first = until_step(process, 20)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    process.stderr.close()

    process = begun(folder)
    second = until_step(process, first + 20)
    pressed = time.monotonic()
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    answered = time.monotonic() - pressed
    assert "interrupted after epoch 0, step" in said, said
    assert "checkpoint written to" in said
    # Two seconds where the machine has nothing else to do; the epoch would take minutes.
    assert answered < 20, answered
    saved = max(int(path.name) for path in folder.iterdir() if path.name.isdigit())
    assert saved >= second

    whole = begun(tmp_path / "whole", stop=saved)
    assert whole.communicate()[0].split() == [str(saved)]
    for found, expected in zip(stored(folder, saved), stored(tmp_path / "whole", saved), strict=True):
        np.testing.assert_array_equal(found, expected)


def stored(folder, step):
    import orbax.checkpoint as ocp

    with ocp.CheckpointManager(folder, item_handlers=ocp.StandardCheckpointHandler()) as manager:
        return jax.tree.leaves(manager.restore(step))


def test_a_second_ctrl_c_breaks_off(rows, key):
    def press_twice(report):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        fit(key, VAE, rows, num_epochs=50, progress=press_twice)
    assert not isinstance(caught.value, driver.Interrupted)


@pytest.mark.parametrize("last", [50, 49])
def test_ctrl_c_in_the_last_part_is_not_lost(rows, key, tmp_path, last):
    """What called the run would begin the next one: the next round, layer or fold."""

    def press(report):
        if report.epoch == last:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(driver.Interrupted, match=r"after epoch 50, .*checkpoint written") as caught:
        fit(key, VAE, rows, num_epochs=50, checkpoint_dir=tmp_path, progress=press)
    whole = fit(key, VAE, rows, num_epochs=50)
    chex.assert_trees_all_equal(caught.value.fitted.variables, whole.variables)
    resumed = fit(key, VAE, rows, num_epochs=50, checkpoint_dir=tmp_path, resume=True)
    chex.assert_trees_all_equal(resumed.variables, whole.variables)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_cluster_that_takes_the_machine_leaves_a_checkpoint(rows, key, tmp_path, monkeypatch):
    ended = []
    monkeypatch.setattr(signal, "raise_signal", ended.append)

    def press(report):
        if report.epoch == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(driver.Interrupted):  # the process would have ended
        fit(key, VAE, rows, num_epochs=50, checkpoint_dir=tmp_path, progress=press)
    assert ended == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert checkpoint.are_in(tmp_path)
    resumed = fit(key, VAE, rows, num_epochs=50, checkpoint_dir=tmp_path, resume=True)
    chex.assert_trees_all_equal(resumed.variables, fit(key, VAE, rows, num_epochs=50).variables)


def test_ctrl_c_ends_pretraining_and_not_only_one_layer(rows, key, monkeypatch):
    model, begun = models.deep_autoencoder((6,), 2, hidden_dims=(4, 3), activation="sigmoid"), []
    place = driver._place

    def pressed(*arguments):
        found = place(*arguments)
        begun.append(found)
        if found.is_over:
            os.kill(os.getpid(), signal.SIGINT)
        return found

    monkeypatch.setattr(driver, "_place", pressed)
    with pytest.raises(driver.Interrupted):
        pretrain(key, model, rows, num_epochs=2)
    assert sum(found.is_over for found in begun) == 1
