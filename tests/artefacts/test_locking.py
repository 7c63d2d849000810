"""One writer a folder."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from aejax.artefacts.locking import LOCK, FolderInUseError, locked
from aejax.artefacts.manifest import is_free

HOLDER = """
import sys, time
from aejax.artefacts.locking import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of a folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_is_told_who_holds_it_and_a_dead_process_does_not_block(tmp_path, holder):
    with (
        pytest.raises(FolderInUseError, match=rf"process {holder.pid} on .*, since 2\d{{3}}-.*; wait until"),
        locked(tmp_path),
    ):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK).exists()
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_the_same_thread_may_take_it_again_and_another_may_not(tmp_path):
    refused = []

    def try_it():
        try:
            with locked(tmp_path):
                pass
        except FolderInUseError as error:
            refused.append(error)

    with locked(tmp_path):
        with locked(tmp_path):
            pass
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
        assert (tmp_path / LOCK).exists()
    assert len(refused) == 1


def test_a_folder_to_which_nothing_was_written_is_not_there_afterwards(tmp_path):
    with locked(tmp_path / "a" / "b"):
        assert is_free(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_one_waits_for_another(tmp_path):
    begun, done = threading.Event(), []

    def hold():
        with locked(tmp_path):
            begun.set()
            done.append(threading.Event().wait(0.3))

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait()
    with locked(tmp_path, seconds=30):
        assert done == [False]
    thread.join()


def test_who_has_just_taken_the_lock_is_named_all_the_same(tmp_path, holder):
    """The holder says who it is a moment after it has taken the lock."""
    said = (tmp_path / LOCK).read_text()
    (tmp_path / LOCK).write_text("")
    timer = threading.Timer(0.2, lambda: (tmp_path / LOCK).write_text(said))
    timer.start()
    with pytest.raises(FolderInUseError, match=f"process {holder.pid} on"), locked(tmp_path):
        pass
    timer.join()
