"""Trackers: each epoch once, none lost, whatever kills come between; read back as other tools read it."""

import json
from collections import Counter

import jax
import numpy as np
import pytest

import aejax
from aejax import tables
from aejax.cli.commands.training import TrainCommand, train
from aejax.tables.config import TrainConfig
from aejax.training import Interrupted
from aejax.training.trackers import composite, json_lines, reporter, tensorboard, tracker_of
from aejax.training.trackers.event_files import _events

METRICS = {"loss": 1.5, "val_loss": float("nan")}


def of_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def of_tensorboard(folder):
    """(epoch, tag) of each number, and the tags of texts."""
    found = [(event.step, value) for event in _events(folder) for value in event.summary.value]
    numbers = [(step, value.tag, value.simple_value) for step, value in found if not value.tag.endswith("text_summary")]
    # Files of one second have no order.
    return sorted(numbers), [value.tag for _, value in found if value.tag.endswith("text_summary")]


@pytest.fixture(params=["jsonl", "tensorboard"])
def place(request, tmp_path):
    """A tracker's place, and what was noted there: (epoch, loss)."""
    if request.param == "tensorboard":
        pytest.importorskip("tensorboardX", reason="the extra 'tracking' is not installed")
        folder = tmp_path / "events"
        return f"tensorboard:{folder}", lambda: [
            (s, round(v, 5)) for s, tag, v in of_tensorboard(folder)[0] if tag == "loss"
        ]
    path = tmp_path / "log" / "training.jsonl"
    return f"jsonl:{path}", lambda: [(n["epoch"], round(n["loss"], 5)) for n in of_lines(path) if "epoch" in n]


def test_what_is_noted_stays_noted_once(place):
    where, noted = place
    for epochs in (2, 3):
        tracker = tracker_of(where)
        tracker.hyperparameters({"beta": 1.0})
        for epoch in range(1, epochs + 1):
            tracker.log(epoch, METRICS)
            tracker.log(epoch, METRICS)
        tracker.summary({"lowest_loss": 1.5})
        tracker.finish()
    assert noted() == [(1, 1.5), (2, 1.5), (3, 1.5)]


def test_the_epochs_of_a_training_that_was_cut_are_those_of_one_that_was_not(place, tmp_path, rows):
    where, noted = place
    model = aejax.models.autoencoder((6,), 2, hidden_dims=())
    options = {"num_epochs": 12, "checkpoint_dir": tmp_path / "checkpoints", "checkpoint_seconds": 0.0}
    whole = aejax.fit(jax.random.key(0), model, rows, num_epochs=12)

    def cut(progress):
        report(progress)
        if progress.epoch >= 3:
            raise KeyError  # as if it had been killed: what came after the checkpoint is noted again

    tracker = tracker_of(where)
    report = reporter(tracker)
    with pytest.raises((KeyError, Interrupted)):
        aejax.fit(jax.random.key(0), model, rows, progress=cut, **options)
    tracker.finish()
    tracker = tracker_of(where)
    aejax.fit(jax.random.key(0), model, rows, progress=reporter(tracker), resume=True, **options)
    tracker.finish()
    found = noted()
    # A run that was over at its last checkpoint reports nothing any more: the command notes its history then.
    assert (
        found == [(epoch, round(float(loss), 5)) for epoch, loss in enumerate(whole.history["loss"], 1)][: len(found)]
    )
    assert len(found) >= 3


def test_an_unfinished_line_and_an_unfinished_event_are_passed_over(tmp_path):
    path = tmp_path / "training.jsonl"
    tracker = json_lines(path)
    tracker.log(1, METRICS)
    tracker.finish()
    with path.open("a") as file:
        file.write('{"epoch": 2, "lo')
    tracker = json_lines(path)
    tracker.log(2, METRICS)
    tracker.finish()
    assert of_lines(path) == [{"epoch": epoch, "loss": 1.5, "val_loss": None} for epoch in (1, 2)]
    path.write_text("time,T1\n")
    with pytest.raises(ValueError, match="holds something else"):
        json_lines(path)
    pytest.importorskip("tensorboardX", reason="the extra 'tracking' is not installed")
    tracker = tensorboard(tmp_path / "events")
    for epoch in (1, 2):
        tracker.log(epoch, METRICS)
    tracker.finish()
    (events,) = (tmp_path / "events").iterdir()
    events.write_bytes(events.read_bytes()[:-5])
    tracker = tensorboard(tmp_path / "events")
    for epoch in (1, 2):
        tracker.log(epoch, METRICS)
    tracker.finish()
    numbers, _ = of_tensorboard(tmp_path / "events")
    assert Counter((step, tag) for step, tag, _ in numbers) == Counter(
        (step, tag) for step in (1, 2) for tag in ("loss", "val_loss")
    )


def test_several_places_get_the_same(tmp_path):
    tracker = composite([json_lines(tmp_path / name) for name in ("a", "b")])
    tracker.hyperparameters({"beta": 1.0})
    tracker.log(1, METRICS)
    tracker.artefact(tmp_path)
    tracker.finish()
    assert of_lines(tmp_path / "a") == of_lines(tmp_path / "b")
    assert [list(line) for line in of_lines(tmp_path / "a")] == [
        ["hyperparameters"],
        ["epoch", "loss", "val_loss"],
        ["artefact"],
    ]


def test_the_command_notes_each_epoch_and_what_a_finished_run_lacks(tmp_path):
    values = np.random.default_rng(0).normal(size=(100, 3))
    np.savetxt(tmp_path / "plant.csv", values, delimiter=",", header="a,b,c", comments="")
    config = TrainConfig(model="autoencoder", latent_dim=1, num_epochs=4, hidden_dims=())
    log, folder = tmp_path / "log.jsonl", tmp_path / "run"
    places = (f"jsonl:{log}",)
    train(TrainCommand(str(tmp_path / "plant.csv"), folder, train=config, track=places, quiet=True))
    whole = of_lines(log)
    history = aejax.load(tables.record_folder(folder)).history
    assert [line["loss"] for line in whole[1:5]] == history["loss"].astype(float).tolist()
    assert whole[0]["hyperparameters"]["latent_dim"] == 1
    assert whole[5]["summary"]["lowest_val_loss"] == float(history["val_loss"].min())
    assert whole[6] == {"artefact": str(folder)}
    # Killed when all was trained but the end: resuming says that nothing is left to train, and notes the rest.
    log.write_text("".join(json.dumps(line) + "\n" for line in whole[:3]))
    train(TrainCommand(resume=folder, track=places, quiet=True))
    assert of_lines(log) == whole
    with pytest.raises(ValueError, match="expected jsonl:FILE, tensorboard:FOLDER or mlflow"):
        train(TrainCommand(str(tmp_path / "plant.csv"), tmp_path / "other", train=config, track=("wandb:x",)))
