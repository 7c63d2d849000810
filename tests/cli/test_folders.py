"""What the commands do with the folders that they write: locks, damaged ends, missing reports, ``aejax verify``."""

import shutil

import pytest

from aejax.artefacts.locking import locked
from aejax.cli import main as cli
from aejax.cli.commands import training
from aejax.cli.commands.command import Command
from aejax.training import checkpoint
from tests.campaigns.runs import assert_whole, options, state_of, table_file


def run(*words):
    with pytest.raises(SystemExit) as caught:
        cli.main(list(map(str, words)))
    return caught.value.code


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return table_file(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run folder, and a copy of its checkpoints."""
    folder, kept = tmp_path_factory.mktemp("runs") / "whole", tmp_path_factory.mktemp("kept") / "checkpoints"
    with pytest.MonkeyPatch.context() as patch:
        remove = checkpoint.remove
        patch.setattr(checkpoint, "remove", lambda path: (shutil.copytree(path, kept), remove(path)))
        assert run("train", data, "--out", folder, *options("vae", 3)) == 0
    return folder, kept


@pytest.fixture
def copied(whole, tmp_path):
    """(A copy of the run, what it holds, its checkpoints)."""
    return shutil.copytree(whole[0], tmp_path / "run"), state_of(whole[0]), whole[1]


def test_a_run_is_whole(copied, capsys):
    folder, state, _ = copied
    assert_whole(folder, state)
    assert run("verify", folder.parent) == 0
    found = capsys.readouterr().out
    assert f"{folder}: a run, whole" in found
    assert f"{folder / 'record'}: a record, whole" in found


@pytest.mark.parametrize("name", ["config.json", "report.html", "record/artefact.json", "artefact.json"])
def test_verify_names_what_has_changed(copied, name, capsys):
    folder, _, _ = copied
    path = folder / name
    path.write_text(path.read_text().replace("vae", "vqe").replace("aejax", "aejix"))
    assert run("verify", folder) == 1
    assert f"{path} is damaged: its SHA-256" in capsys.readouterr().out
    path.unlink()
    assert run("verify", folder) == 1


def test_verify_finds_a_record_of_another_run(copied, data, tmp_path, capsys):
    folder, _, _ = copied
    assert run("train", data, "--out", tmp_path / "other", *options("vae", 3, seed=1)) == 0
    shutil.rmtree(folder / "record")
    shutil.copytree(tmp_path / "other" / "record", folder / "record")
    assert run("verify", folder) == 1
    assert f"{folder / 'record' / 'artefact.json'} is damaged" in capsys.readouterr().out


def test_verify_says_where_nothing_is(tmp_path, capsys):
    assert run("verify", tmp_path) == 1
    assert run("verify", tmp_path / "nowhere") == 1
    said = capsys.readouterr().err
    assert "holds nothing that aejax saved" in said
    assert "there is no such folder" in said


@pytest.mark.parametrize("what", ["report.html", "report unfinished", "checkpoints", "lock"])
def test_resuming_a_complete_run_does_what_was_left_undone(copied, what):
    folder, state, kept = copied
    if what == "checkpoints":
        shutil.copytree(kept, folder / "checkpoints")
    elif what == "lock":
        (folder / "record" / ".aejax.lock").write_text("")
    elif what == "report.html":
        (folder / what).unlink()
    else:
        (folder / "report.html").write_text("<p>")
    assert run("train", "--resume", folder, "--quiet") == 0
    assert_whole(folder, state)


@pytest.mark.parametrize("name", ["artefact.json", "arrays-*"])
def test_a_damaged_end_is_made_again_from_the_checkpoints(copied, name, capsys):
    folder, state, kept = copied
    (path,) = folder.glob(name)
    path.write_bytes(path.read_bytes()[:100])
    assert run("train", "--resume", folder, "--quiet") == 1
    assert str(path) in capsys.readouterr().err
    shutil.copytree(kept, folder / "checkpoints")
    assert run("train", "--resume", folder, "--quiet") == 0
    assert "resumed from its checkpoints" in capsys.readouterr().err
    assert_whole(folder, state)


@pytest.mark.parametrize("command", ["train", "resume", "report", "monitor", "demo"])
def test_a_folder_in_use_is_refused_before_the_table_is_read(command, tmp_path, monkeypatch, capsys):
    words = {
        "train": ("train", tmp_path / "absent.csv", "--out", tmp_path / "run"),
        "resume": ("train", "--resume", tmp_path / "run"),
        "report": ("report", tmp_path / "run"),
        "monitor": ("monitor", tmp_path / "absent.csv", tmp_path / "absent.csv", "--out", tmp_path / "run"),
        "demo": ("demo", "--out", tmp_path / "run"),
    }
    import threading

    begun, end = threading.Event(), threading.Event()

    def hold():
        with locked(tmp_path / "run"):
            begun.set()
            end.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait()
    try:
        assert run(*words[command]) == 1
        assert "is being written by process" in capsys.readouterr().err
    finally:
        end.set()
        thread.join()


def test_a_config_of_somebody_elses_is_not_replaced(data, tmp_path):
    from aejax import tables
    from aejax.data.formats.tables import read_table
    from aejax.tables.config import TrainConfig

    (tmp_path / "config.json").write_text('{"my": "settings"}')
    with pytest.raises(ValueError, match=r"config\.json is not the config of a run"):
        tables.train(read_table(data), TrainConfig(num_epochs=1), tmp_path)
    assert (tmp_path / "config.json").read_text() == '{"my": "settings"}'


def test_files_of_somebody_elses_are_not_replaced_by_a_monitor(data, tmp_path, capsys):
    (tmp_path / "rows.csv").write_text("mine")
    assert run("monitor", data, data, "--out", tmp_path) == 1
    assert "holds rows.csv of somebody else's" in capsys.readouterr().err
    assert (tmp_path / "rows.csv").read_text() == "mine"


def test_debug_shows_where_an_error_happened(monkeypatch, capsys):
    def fail(command):
        raise ZeroDivisionError("by zero")

    monkeypatch.setitem(training.COMMANDS, "report", Command(training.ReportCommand, fail))
    assert run("report", "nowhere") == 1
    assert "error: ZeroDivisionError: by zero (--debug shows where it happened)" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        cli.main(["report", "nowhere", "--debug"])
