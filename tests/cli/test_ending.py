"""A command ends with a sentence and an exit code, whatever is raised in it and wherever it is printed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import aejax
from aejax.cli.ending import exit_code


def ends(error):
    def command():
        raise error

    return exit_code(command)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ValueError("rate: found 2, expected 1"), 1, "aejax: error: rate: found 2, expected 1\n"),
        (OSError(28, "No space left on device", "runs/a"), 1, "aejax: error: runs/a: no space left on device\n"),
        (MemoryError(), 1, "aejax: error: out of memory; give fewer rows or columns, or a smaller model or batch\n"),
        (
            RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 40 bytes."),
            1,
            "aejax: error: out of memory (RESOURCE_EXHAUSTED: Out of memory allocating 40 bytes.); give fewer",
        ),
        (KeyError("x"), 1, "aejax: error: KeyError: 'x' (--debug shows where it happened)\n"),
        (ValueError(), 1, "aejax: error: ValueError (--debug shows where it happened)\n"),
        (KeyboardInterrupt(), 130, "aejax: interrupted\n"),
        (KeyboardInterrupt("a\nresume"), 130, "aejax: a\nresume\n"),
        (ValueError("\x1b[2J\ud800"), 1, "aejax: error: \\x1b[2J\\ud800\n"),
    ],
)
def test_what_is_raised_is_said(error, code, said, capsys):
    assert ends(error) == code
    assert capsys.readouterr().err.startswith(said)


def test_debug_shows_where_it_happened():
    with pytest.raises(KeyError):
        exit_code(lambda: {}["x"], is_debug=True)


PROGRAM = """
import sys, warnings
from aejax.cli.ending import exit_code
def command():
    warnings.warn("careful")
    print("a result", "x" * int(sys.argv[1]))
    return 0
sys.exit(exit_code(command))
"""
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
FULL = "/dev/full"


@pytest.mark.skipif(not os.path.exists(FULL), reason="this system has no full device")  # noqa: PTH110
@pytest.mark.parametrize(
    ("streams", "code", "said"),
    [
        ("", 0, "note: careful\n"),
        ("2>&-", 0, ""),
        (f"2>{FULL}", 0, ""),
        (">&-", 1, "note: careful\naejax: error: standard output: bad file descriptor\n"),
        (f">{FULL}", 1, "note: careful\naejax: error: standard output: no space left on device\n"),
        ("<&- >&- 2>&-", 1, ""),
        ("| true", 0, "note: careful\n"),
    ],
)
@pytest.mark.parametrize("length", [1, 100_000])
def test_streams_that_are_closed_or_full(streams, code, said, length):
    line = f'set -o pipefail; "$0" -c "$1" {length} {streams}'
    words = ["bash", "-c", line, sys.executable, PROGRAM]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    if length == 1 or code == 0:
        assert done.stderr == said
    else:
        assert done.stderr.startswith("note: careful\naejax: error: ") or not said
        assert "Traceback" not in done.stderr
        assert done.stderr.count("\n") <= 2


def test_ctrl_c_while_the_command_line_is_loaded_is_no_traceback(tmp_path):
    (tmp_path / "tyro.py").write_text("raise KeyboardInterrupt")
    surroundings = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(aejax.__file__).parents[1])])}
    ended = subprocess.run([sys.executable, "-m", "aejax", "--help"], env=surroundings, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (130, "aejax: interrupted\n")


SLOW_DISK = """
import sys, time
from aejax.training.checkpoint import Checkpoints

def write(self, number, arrays):
    print("writing", file=sys.stderr, flush=True)
    time.sleep(100)

Checkpoints._write = write
sys.argv = ["aejax", "train", "t.csv", "--num-epochs", "100000", "--checkpoint-seconds", "0", "--out", "run", "--quiet"]
from aejax.__main__ import main
main()
"""


def test_a_second_ctrl_c_does_not_wait_for_a_slow_disk(tmp_path):
    rows = np.random.default_rng(0).normal(size=(50, 3))
    np.savetxt(tmp_path / "t.csv", rows, delimiter=",", header="a,b,c", comments="")
    with subprocess.Popen([sys.executable, "-c", SLOW_DISK], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as train:
        while "writing" not in train.stderr.readline():
            assert train.poll() is None
        for _ in range(2):
            train.send_signal(signal.SIGINT)
            time.sleep(1)
        try:
            assert train.wait(timeout=20) == -signal.SIGINT
        finally:
            train.kill()
