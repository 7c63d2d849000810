"""A small training, and what its folder holds in the end."""

import hashlib

import numpy as np

from aejax.artefacts import codecs
from aejax.training import checkpoint


def table_file(folder):
    """A small table in a file."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(240, 2)) @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(240, 4))
    path = folder / "table.csv"
    np.savetxt(path, values, fmt="%.4f", delimiter=",", header="T1,T2,p1,F1", comments="")
    return path


def options(model, num_epochs, seed=0):
    """Words of ``aejax train`` for a training of few seconds."""
    words = ["--model", model, "--num-epochs", num_epochs, "--patience", num_epochs, "--latent-dim", 2]
    words += ["--hidden-dims", 4, "--seed", seed, "--checkpoint-seconds", 0, "--quiet"]
    return list(map(str, words))


def state_of(folder):
    """SHA-256 of each file of a run that does not depend on the time or the place."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix == ".safetensors"
    }


def assert_whole(folder, expected):
    """The same arrays, a report, and nothing left over."""
    assert state_of(folder) == expected, "other bytes"
    assert codecs.verify(folder) == "run"
    assert not checkpoint.are_in(folder / "checkpoints"), "checkpoints are left over"
    names = {path.name for path in folder.iterdir()}
    arrays = {name for name in names if name.startswith("arrays-")}
    assert len(arrays) == 1, arrays
    assert names - arrays == {"artefact.json", "config.json", "record", "report.html"}, names
    in_record = sorted(path.name for path in (folder / "record").iterdir())
    assert len(in_record) == 2, in_record
