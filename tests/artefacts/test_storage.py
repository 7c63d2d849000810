"""Files that are whole or not there, and never written over what they are made of."""

import pytest

from aejax.artefacts import storage, writing


def test_a_failed_write_leaves_the_older_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with writing.atomic_path(path) as partial:
            partial.write_text("ne")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_result_never_replaces_its_input(tmp_path):
    path, link = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_text("x")
    link.symlink_to(path)
    storage.check_no_input(tmp_path / "c.csv", path)
    storage.check_no_input("-", path)
    storage.check_no_input(path, "-")
    for out in (path, link):
        with pytest.raises(ValueError, match="the file that is read"):
            storage.check_no_input(out, tmp_path / "absent", path)
