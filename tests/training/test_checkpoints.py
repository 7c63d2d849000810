"""Checkpoints: resumed runs are whole ones, and what does not belong to a run is refused."""

import contextlib
import errno
import json
import threading
import warnings

import chex
import jax
import numpy as np
import optax
import pytest

from aejax import models
from aejax.artefacts.locking import FolderInUseError
from aejax.training import checkpoint, fit
from aejax.training.snapshots import Snapshot
from tests.conftest import VAE
from tests.training.parts import one_step_at_a_time


def _checkpointed(key, rows, directory, model=VAE):
    fit(key, model, rows, num_epochs=6, checkpoint_dir=directory, checkpoint_seconds=0)
    return sorted((path for path in directory.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))


def test_a_half_written_checkpoint_is_passed_over(rows, key, tmp_path):
    whole = fit(key, VAE, rows, num_epochs=6)
    newest = _checkpointed(key, rows, tmp_path)[-1]
    damaged = max((path for path in newest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    with pytest.warns(UserWarning, match="skipped"):
        resumed = fit(key, VAE, rows, num_epochs=6, checkpoint_dir=tmp_path, resume=True)
    chex.assert_trees_all_equal(resumed.variables, whole.variables)


def test_damaged_checkpoints_are_replaced_by_new_ones(rows, key, tmp_path):
    """Orbax would write none until the run has passed the damaged ones."""
    for folder in _checkpointed(key, rows, tmp_path):
        for path in folder.rglob("*"):
            if path.is_file():
                path.write_bytes(b"")
    with pytest.warns(UserWarning, match="skipped"):
        again = fit(key, VAE, rows, num_epochs=6, checkpoint_dir=tmp_path, checkpoint_seconds=0, resume=True)
    told = []
    resumed = fit(key, VAE, rows, num_epochs=6, checkpoint_dir=tmp_path, resume=True, progress=told.append)
    assert told == []  # nothing was left to train
    chex.assert_trees_all_equal(resumed.variables, again.variables)


def test_a_checkpoint_that_was_never_renamed_is_not_seen(rows, key, tmp_path):
    newest = _checkpointed(key, rows, tmp_path)[-1]
    newest.rename(tmp_path / f"{newest.name}.orbax-checkpoint-tmp")
    resumed = fit(key, VAE, rows, num_epochs=6, checkpoint_dir=tmp_path, resume=True)
    chex.assert_trees_all_equal(resumed.variables, fit(key, VAE, rows, num_epochs=6).variables)


def test_checkpoints_of_another_run_are_not_touched(rows, key, tmp_path):
    _checkpointed(key, rows, tmp_path)
    with pytest.raises(ValueError, match="resume=True"):
        fit(key, VAE, rows, num_epochs=6, checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match="another key"):
        fit(jax.random.key(99), VAE, rows, num_epochs=6, checkpoint_dir=tmp_path, resume=True)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": "others"}, "x: found shape .* of SHA-256"),
        ({"learning_rate": 1e-2}, r"learning_rate: found 0.01, expected 0.001"),
        ({"hparams": VAE.hparams._replace(beta=3.0)}, r"model.beta: found 3., expected 1."),
        ({"batch_size": 32}, "batch_size: found 32, expected 64"),
        ({"validation": 0.2}, "validation: found 60 rows drawn by the key, expected 30"),
        ({"ema_decay": 0.9}, "ema_decay: found 0.9, expected None"),
        ({"model": models.vae((6,), 2, hidden_dims=(9,))}, "model: found"),
    ],
)
def test_a_run_is_not_resumed_by_other_means(rows, key, tmp_path_factory, changed, message):
    directory = tmp_path_factory.getbasetemp() / "finished"
    if not directory.exists():
        _checkpointed(key, rows, directory)
    options = {"num_epochs": 6, "checkpoint_dir": directory, "resume": True, "model": VAE, **changed}
    with pytest.raises(ValueError, match=message):
        fit(key, x=2 * rows if options.pop("x", None) else rows, **options)


def test_a_run_is_resumed_for_longer_and_never_for_shorter(rows, key, tmp_path):
    _checkpointed(key, rows, tmp_path)
    options = {"checkpoint_dir": tmp_path, "resume": True}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        longer = fit(key, VAE, rows, num_epochs=8, **options)
    whole = fit(key, VAE, rows, num_epochs=8)
    chex.assert_trees_all_equal((longer.variables, longer.history), (whole.variables, whole.history))
    chex.assert_trees_all_equal(longer.state.opt_state, whole.state.opt_state)
    with pytest.raises(ValueError, match=r"num_epochs: found 6, but the run in .* has 8 epochs behind it"):
        fit(key, VAE, rows, num_epochs=6, **options)


def test_checkpoints_of_another_model_or_optimizer_are_not_called_damaged(rows, key, tmp_path):
    model = models.vae((6,), 2, hidden_dims=(8,))
    _checkpointed(key, rows, tmp_path, model)
    options = {"num_epochs": 6, "checkpoint_dir": tmp_path, "resume": True}
    with pytest.raises(ValueError, match=r"another model, optimizer or data: (kept|state)/"):
        fit(key, model, rows, optimizer=optax.sgd, **options)
    (tmp_path / "begun_with.json").unlink()
    with pytest.raises(ValueError, match=r"another model, optimizer or data: best/.*\(8,\), expected .*\(9,\)"):
        fit(key, models.vae((6,), 2, hidden_dims=(9,)), rows, **options)


def test_checkpoints_that_do_not_say_what_they_were_begun_with_are_resumed(rows, key, tmp_path):
    whole = fit(key, VAE, rows, num_epochs=6)
    _checkpointed(key, rows, tmp_path)
    (tmp_path / "begun_with.json").unlink()
    resumed = fit(key, VAE, rows, num_epochs=6, checkpoint_dir=tmp_path, resume=True)
    chex.assert_trees_all_equal(resumed.variables, whole.variables)


@pytest.mark.parametrize("resume", [False, True])
def test_numbered_folders_of_a_user_are_not_taken_for_checkpoints(rows, key, tmp_path, resume):
    for year in ("2023", "2024"):
        (tmp_path / year).mkdir()
        (tmp_path / year / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds 2023, 2024, which no run wrote"):
        fit(key, VAE, rows, num_epochs=6, checkpoint_dir=tmp_path, resume=resume)
    assert (tmp_path / "2024" / "thesis.txt").read_text() == "mine"


def test_a_checkpoint_that_was_not_noted_is_passed_over(rows, key, tmp_path):
    """It was being written when the run ended, so that nothing says whether it is whole."""
    newest = _checkpointed(key, rows, tmp_path)[-1]
    noted = json.loads((tmp_path / "files.json").read_text())
    del noted[newest.name]
    (tmp_path / "files.json").write_text(json.dumps(noted))
    (newest / "default" / "_METADATA").write_text("{}")
    resumed = fit(key, VAE, rows, num_epochs=6, checkpoint_dir=tmp_path, resume=True)
    chex.assert_trees_all_equal(resumed.variables, fit(key, VAE, rows, num_epochs=6).variables)
    assert newest.name in json.loads((tmp_path / "files.json").read_text())


def test_a_deletion_that_was_broken_off_is_no_hindrance(rows, key, tmp_path):
    oldest = _checkpointed(key, rows, tmp_path)[0]
    for path in oldest.rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.warns(UserWarning, match="skipped"):
        resumed = fit(key, VAE, rows, num_epochs=6, checkpoint_dir=tmp_path, resume=True)
    chex.assert_trees_all_equal(resumed.variables, fit(key, VAE, rows, num_epochs=6).variables)


def test_only_checkpoints_are_removed(rows, key, tmp_path):
    directory = tmp_path / "checkpoints"
    _checkpointed(key, rows, directory)
    assert checkpoint.verify(directory)
    (directory / "notes.txt").write_text("mine")
    checkpoint.remove(directory)
    assert [path.name for path in directory.iterdir()] == ["notes.txt"]
    (directory / "notes.txt").unlink()
    _checkpointed(key, rows, directory)
    checkpoint.remove(directory)
    checkpoint.remove(directory)
    assert not directory.exists()


def test_two_runs_do_not_share_their_checkpoints(rows, key, tmp_path):
    with contextlib.closing(checkpoint.Checkpoints(tmp_path)):
        done = []

        def second():
            with pytest.raises(FolderInUseError, match="is being written by process"):
                fit(key, VAE, rows, num_epochs=6, checkpoint_dir=tmp_path)
            done.append(True)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert done


def _held_back(monkeypatch, until):
    """The first checkpoint is written only once an event is set; the rest of them at once."""
    write = checkpoint.Checkpoints._write

    def held_back(self, number, arrays):
        assert until.wait(60), "the steps wait for the checkpoint"
        write(self, number, arrays)

    monkeypatch.setattr(checkpoint.Checkpoints, "_write", held_back)


def test_steps_go_on_while_a_checkpoint_is_written(rows, key, tmp_path, monkeypatch):
    """It holds the run of the step that it is named after, whose buffers the steps that follow write into."""
    one_step_at_a_time(monkeypatch)
    far = threading.Event()
    _held_back(monkeypatch, far)

    def report(progress):
        if progress.epoch == 3:
            far.set()
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fit(key, VAE, rows, num_epochs=6, checkpoint_dir=tmp_path, checkpoint_seconds=0, progress=report)
    (saved,) = checkpoint.verify(tmp_path)
    assert saved < 5  # within the first epoch
    with contextlib.closing(checkpoint.Checkpoints(tmp_path)) as checkpoints:
        step = jax.tree.leaves(checkpoints._manager.restore(saved)["state"])[0]
    assert step == saved
    resumed = fit(key, VAE, rows, num_epochs=6, checkpoint_dir=tmp_path, resume=True)
    whole = fit(key, VAE, rows, num_epochs=6)
    chex.assert_trees_all_equal((resumed.variables, resumed.history), (whole.variables, whole.history))


def test_what_cannot_be_written_ends_the_run(rows, key, tmp_path, monkeypatch):
    def full(self, number, arrays):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "_write", full)
        with pytest.raises(OSError, match="No space left on device"):
            fit(key, VAE, rows, num_epochs=6, checkpoint_dir=tmp_path)
    resumed = fit(key, VAE, rows, num_epochs=6, checkpoint_dir=tmp_path, resume=True)
    chex.assert_trees_all_equal(resumed.variables, fit(key, VAE, rows, num_epochs=6).variables)


def test_what_only_an_epoch_changes_is_copied_once_an_epoch():
    snapshot, arrays = Snapshot(of_an_epoch=["best"]), {"epoch": np.zeros(2), "best": np.ones(3), "state": np.ones(3)}
    first = snapshot.taken(arrays)
    assert not any(np.shares_memory(first[name], arrays[name]) for name in arrays)
    arrays["best"][:], arrays["state"][:] = 2, 2
    second = snapshot.taken(arrays)
    assert (second["best"].tolist(), second["state"].tolist()) == ([1] * 3, [2] * 3)
    arrays["epoch"][1] = 1  # one of the members
    assert snapshot.taken(arrays)["best"].tolist() == [2] * 3
