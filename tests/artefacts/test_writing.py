"""Files that are written atomically: names, links, pipes, owners, and what killed writers leave."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from aejax.artefacts import writing
from aejax.artefacts.writing import atomic_path, clear_leftovers, passing_path


def written(path, text="new"):
    with atomic_path(path) as partial:
        partial.write_text(text)
        return partial


def test_unfinished_files_have_names_that_nobody_can_guess(tmp_path):
    names = {written(tmp_path / "a.csv").name for _ in range(20)}
    assert len(names) == 20
    assert all(writing.is_partial(name) and name.endswith(".csv") for name in names)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_name_that_is_taken_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(writing.secrets, "token_hex", lambda count: "0" * 16)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    partial = f".aejax-{os.getpid()}-{writing._HOST}-{'0' * 16}.partial.csv"
    (tmp_path / partial).symlink_to(victim)
    with pytest.raises(FileExistsError):
        written(tmp_path / "a.csv")
    assert victim.read_text() == "mine"


def test_a_long_name_is_no_hindrance(tmp_path):
    written(tmp_path / ("n" * 251 + ".csv"))


@pytest.mark.parametrize("is_dangling", [False, True])
def test_a_link_is_followed_to_its_target(tmp_path, is_dangling):
    target, link = tmp_path / "far" / "target.csv", tmp_path / "link.csv"
    target.parent.mkdir()
    if not is_dangling:
        target.write_text("old")
    link.symlink_to(target)
    written(link)
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_pipe_is_written_through(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    written(pipe)
    reader.join(timeout=10)
    assert found == ["new"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    written("/dev/null")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_mode_and_owner_are_kept(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    path.chmod(0o640)
    if os.getuid() == 0:
        os.chown(path, 12345, 23456)
    before = path.stat()
    with atomic_path(path) as partial:
        assert stat.S_IMODE(partial.stat().st_mode) == 0o600
        partial.write_text("new")
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_new_file_has_the_mode_that_the_user_wants(tmp_path):
    before = os.umask(0o027)
    try:
        written(tmp_path / "a.csv")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == 0o640


def test_a_write_protected_file_stays(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text("old")
    monkeypatch.setattr(writing.os, "access", lambda path, mode: False)  # an administrator may write all
    with pytest.raises(PermissionError, match="write-protected"):
        written(path)
    assert path.read_text() == "old"


def test_what_a_killed_writer_left_is_removed_and_what_is_being_written_is_not(tmp_path):
    code = "import os, sys; from aejax.artefacts.writing import atomic_path\nwith atomic_path(sys.argv[1]): os._exit(9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.csv")], check=False)
    (left,) = tmp_path.iterdir()
    own = tmp_path / left.name.replace(left.name.split("-")[1], str(os.getpid()))
    own.write_text("of a process before this one, which had its number")
    (tmp_path / ".aejax-notes.txt").write_text("mine")
    elsewhere = tmp_path / left.name.replace(writing._HOST, "ffffffff")
    elsewhere.write_text("of another machine")
    with atomic_path(tmp_path / "b.csv") as partial:
        clear_leftovers(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {partial.name, ".aejax-notes.txt", elsewhere.name}
    os.utime(elsewhere, (0, 0))
    clear_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"b.csv", ".aejax-notes.txt"}


def test_a_passing_file_stays_as_long_as_it_is_needed(tmp_path):
    with passing_path(tmp_path, ".parquet") as path:
        path.write_text("rows")
        clear_leftovers(tmp_path)
        assert path.read_text() == "rows"
    assert list(tmp_path.iterdir()) == []
    assert writing.is_partial(path.name)
    path.write_text("rows")  # as a process leaves it that is killed
    clear_leftovers(tmp_path)
    assert not path.exists()


def test_all_is_synced_before_it_takes_its_name_and_after(tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(
        writing.os, "fsync", lambda descriptor: events.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
    )
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *arguments: (events.append("renamed"), replace(*arguments)))
    written(tmp_path / "a.csv")
    assert events == [False, "renamed", True]
