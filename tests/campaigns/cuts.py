"""Writes cut at every point: a killed process, and a power cut that loses what was not synced."""

import copy
import random
import shutil
import tempfile
from pathlib import Path

import jax
import numpy as np

import aejax
from aejax.artefacts import manifest
from tests.artefacts.examples import EXAMPLES, table
from tests.campaigns.disk import Recorder, lay_out
from tests.campaigns.figures import Figures
from tests.campaigns.runs import end_it, options, run, state_of, table_file


def cuts(recorder, generator, most):
    """(name, ops, keep, data) of some or all places at which the power may be cut, each in four ways."""
    ways = {
        "killed": (lambda number, synced, total: total, lambda content: content),
        "nothing but what was synced": (lambda number, synced, total: synced, lambda content: b""),
        "names without content": (lambda number, synced, total: total, lambda content: b""),
        "some of it": (
            lambda number, synced, total: generator.randint(synced, total),
            lambda content: content[: generator.randint(0, len(content))],
        ),
    }
    found = [
        (f"after change {place}, {way}", recorder.ops[:place], *functions)
        for place in range(recorder.begun, len(recorder.ops) + 1)
        for way, functions in ways.items()
    ]
    return found if most is None or len(found) <= most else generator.sample(found, most)


def saves(monkeypatch, most=None, kinds=None):
    """A thing replaces another of its kind: at each cut the folder holds the one or the other, and can be saved to."""
    figures, generator = Figures("saves cut"), random.Random(0)
    for kind in kinds or EXAMPLES:
        thing = EXAMPLES[kind]()
        with tempfile.TemporaryDirectory() as top:
            folder = Path(top) / "watched" / "thing"
            folder.parent.mkdir()
            other = Path(top) / "other"
            aejax.save(other, _other(thing))
            wanted = manifest.read(other)["files"], None
            for before in (None, thing):
                if before is not None:
                    shutil.rmtree(folder)
                    aejax.save(folder, before)
                recorder = Recorder(folder.parent)
                with recorder.recording(monkeypatch):
                    aejax.save(folder, _other(thing))
                allowed = [wanted[0]] + ([_files_of(before)] if before is not None else [None])
                for name, ops, keep, data in cuts(recorder, generator, most):
                    with tempfile.TemporaryDirectory() as left:
                        lay_out(ops, left, keep, data)
                        _judge_save(figures, f"{kind} {name}", Path(left) / "thing", thing, allowed)
    return figures


def _judge_save(figures, name, folder, thing, allowed):
    try:
        if not (folder / manifest.MANIFEST).is_file():
            assert None in allowed, "there is no artefact"
        else:
            aejax.load(folder)
            assert manifest.read(folder)["files"] in allowed, "neither the one nor the other"
        aejax.save(folder, thing)
        aejax.load(folder)
        assert len(list(folder.iterdir())) == 2, f"left over: {sorted(path.name for path in folder.iterdir())}"
        figures.add("whole")
    except Exception as error:
        figures.fault(f"{name}: {type(error).__name__}: {error}")


def _other(thing):
    """A thing of the same kind with other numbers."""
    if hasattr(thing, "fit"):
        return copy.deepcopy(thing).fit(1.5 * table().values.astype(np.float32))
    if hasattr(thing, "variables"):
        return thing._replace(variables=jax.tree.map(lambda leaf: leaf * 1.5, thing.variables))
    for name, value in thing._asdict().items():
        if isinstance(value, np.ndarray | jax.Array) and value.size and value.dtype.kind == "f":
            return thing._replace(**{name: value * 1.5})
    if hasattr(thing, "monitor"):
        return thing._replace(monitor=_other(thing.monitor))
    if hasattr(thing, "held_out"):
        return thing._replace(held_out=thing.held_out._replace(x=thing.held_out.x * 1.5))
    return thing._replace(momentum=thing.momentum * 1.5)


def _files_of(thing):
    with tempfile.TemporaryDirectory() as folder:
        aejax.save(folder, thing)
        return manifest.read(Path(folder))["files"]


def trainings(monkeypatch, most=None):
    """A training with its checkpoints: at each cut it is resumed, and ends with the same bytes."""
    figures, generator = Figures("trainings cut"), random.Random(0)
    with tempfile.TemporaryDirectory() as top:
        data = table_file(Path(top))
        words = options("vae", num_epochs=4)
        folder = Path(top) / "watched" / "run"
        folder.parent.mkdir()
        recorder = Recorder(folder.parent)
        with recorder.recording(monkeypatch):
            assert run("train", data, "--out", folder, *words) == (0, "")
        whole = state_of(folder)
        for name, ops, keep, data_left in cuts(recorder, generator, most):
            with tempfile.TemporaryDirectory() as left:
                lay_out(ops, left, keep, data_left)
                try:
                    end_it(Path(left) / "run", data, words, whole)
                    figures.add("the same bytes")
                except (Exception, SystemExit) as error:
                    figures.fault(f"{name}: {type(error).__name__}: {error}")
    return figures
