"""A small training, and what its folder holds in the end."""

import contextlib
import hashlib
import io
import warnings

import numpy as np

from aejax.artefacts import codecs
from aejax.cli import main as cli
from aejax.training import checkpoint


def table_file(folder):
    """A small table in a file."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(240, 2)) @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(240, 4))
    path = folder / "table.csv"
    np.savetxt(path, values, fmt="%.4f", delimiter=",", header="T1,T2,p1,F1", comments="")
    return path


def stored_file(folder):
    """A table of the size from which on rows stay in their file."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1_100_000, 2)) @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(1_100_000, 4))
    path = folder / "table.npy"
    np.save(path, values)
    return path


def catalogue_file(folder):
    """Records of four stations, with noise before each event."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 1000)) * np.where(np.arange(1000) < 300, 0.05, 1)
    path = folder / "events.npz"
    np.savez(path, x=x, arrival=np.full(8, 300), group=list("AABBCCDD"))
    return path


def options(model, num_epochs, seed=0):
    """Words of ``aejax train`` for a training of few seconds."""
    words = ["--model", model, "--num-epochs", num_epochs, "--patience", num_epochs, "--latent-dim", 2]
    words += ["--hidden-dims", 4, "--seed", seed, "--checkpoint-seconds", 0, "--quiet"]
    return list(map(str, words))


def options_of_stream(model, num_epochs):
    """The same for a table that stays in its file: an epoch of it has 200 steps."""
    return [*options(model, num_epochs // 20), "--batch-size", "4096"]


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


def words_to_end(folder, data, words):
    """Of ``aejax train``: on with what a training has left in its folder, or from the beginning if that is nothing."""
    if (folder / "config.json").is_file():
        return ["train", "--resume", folder, "--checkpoint-seconds", 0, "--quiet"]
    return ["train", data, "--out", folder, *words]


def end_it(folder, data, words, expected):
    """Ends a training that was broken off, and checks that nothing of that is left."""
    code, said = run(*words_to_end(folder, data, words))
    assert code == 0, f"it cannot be resumed: {said[-400:]}"
    assert_whole(folder, expected)


def run(*words):
    """The exit code, and what was said on standard error."""
    error = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(error), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of checkpoints that are skipped
        try:
            cli.main(list(map(str, words)))
        except SystemExit as ended:
            return ended.code, error.getvalue()
    return 0, error.getvalue()
