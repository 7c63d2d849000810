"""Surroundings that nobody tests by hand: full disks, no home, closed streams, signals, clocks that jump."""

import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from aejax.artefacts import writing
from aejax.artefacts.outside import LONGEST
from aejax.training import checkpoint
from tests.campaigns.figures import Figures
from tests.campaigns.runs import assert_whole, end_it, options, run, state_of, table_file

_ERRORS = (errno.ENOSPC, errno.EROFS, errno.EIO, errno.EACCES)
_WRITES = (
    (os, "replace"),
    (writing, "sync"),
    (checkpoint, "sync"),
    (Path, "write_bytes"),
    (Path, "write_text"),
    (Path, "mkdir"),
)


@contextlib.contextmanager
def failing(first, code):
    """Every write of ours from the ``first`` one on fails; yields how many there were."""
    done = [0]

    def failing_one(function):
        def wrapped(*arguments, **options):
            done[0] += 1
            if done[0] > first:
                raise OSError(code, os.strerror(code))
            return function(*arguments, **options)

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for where, name in _WRITES:
            patch.setattr(where, name, failing_one(getattr(where, name)))
        yield done


def full_disks(count):
    """A training whose writes, from one on, all fail: it says so, and is resumed to the same bytes later."""
    figures, generator = Figures("disk full"), random.Random(0)
    with tempfile.TemporaryDirectory() as top:
        os.environ.setdefault("AEJAX_CACHE", "off")
        data = table_file(Path(top))
        words = options("vae", num_epochs=3)
        # In the first one libraries write what they keep for later.
        assert run("train", data, "--out", Path(top) / "whole", *words) == (0, "")
        with failing(10**9, 0) as done:
            assert run("train", data, "--out", Path(top) / "again", *words) == (0, "")
        whole = state_of(Path(top) / "whole")
        places = [(first, code) for first in range(done[0]) for code in _ERRORS]
        for first, code in places if count is None or count >= len(places) else generator.sample(places, count):
            folder = Path(top) / f"run{first}-{code}"
            try:
                with failing(first, code) as begun:
                    ended, said = run("train", data, "--out", folder, *words)
                if begun[0] <= first:  # a quicker run has fewer reports, and ended before that write
                    continue
                assert ended == 1, f"exit code {ended}"
                assert os.strerror(code).lower() in said.lower(), said
                assert len(said) < LONGEST + 100, said
                assert "Traceback" not in said, said
                end_it(folder, data, words, whole)
                figures.add("said, and then the same bytes")
            except (Exception, SystemExit) as error:
                figures.fault(f"write {first}, {errno.errorcode[code]}: {type(error).__name__}: {str(error)[:300]}")
    return figures


_NO_USER = """
import pwd, sys
def nobody(*_):
    raise KeyError("no such user")
pwd.getpwuid = pwd.getpwnam = nobody
from aejax.cli.main import main
main()
"""
_PLAIN = "from aejax.cli.main import main; main()"
# (name, program, environment, streams, exit code, what is said)
_ROWS = [
    ("as usual", _PLAIN, {}, "", 0, "rows are anomalies"),
    ("no home and no passwd entry", _NO_USER, {"HOME": None, "XDG_CACHE_HOME": None}, "", 0, "rows are anomalies"),
    ("a home that takes nothing", _PLAIN, {"HOME": "/dev/null/x", "XDG_CACHE_HOME": None}, "", 0, "rows are anomalies"),
    ("a cache that is a file", _PLAIN, {"AEJAX_CACHE": "/dev/null"}, "", 0, "rows are anomalies"),
    ("no such device", _PLAIN, {"JAX_PLATFORMS": "cuda"}, "", 1, "JAX_PLATFORMS: found 'cuda'"),
    ("no such platform", _PLAIN, {"JAX_PLATFORMS": "abacus"}, "", 1, "JAX_PLATFORMS: found 'abacus'"),
    ("no terminal and no locale", _PLAIN, {"TERM": None, "LANG": "C", "LC_ALL": "C"}, "", 0, "rows are anomalies"),
    ("ASCII alone", _PLAIN, {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}, "", 0, "rows are anomalies"),
    ("input closed", _PLAIN, {}, "<&-", 0, "rows are anomalies"),
    ("output closed", _PLAIN, {}, ">&-", 1, "standard output"),
    ("errors closed", _PLAIN, {}, "2>&-", 0, ""),
    ("all closed", _PLAIN, {}, "<&- >&- 2>&-", 1, ""),
    ("output full", _PLAIN, {}, ">/dev/full", 1, "no space left on device"),
    ("errors full", _PLAIN, {}, "2>/dev/full", 0, ""),
    ("the reader goes", _PLAIN, {}, "| head -n 1", 0, ""),
    ("x64", _PLAIN, {"JAX_ENABLE_X64": "1"}, "", 0, "rows are anomalies"),
]


def surroundings(count):
    """``aejax detect`` with its result on standard output, in each of the surroundings."""
    figures = Figures("surroundings")
    with tempfile.TemporaryDirectory() as top:
        data, folder = table_file(Path(top)), Path(top) / "run"
        assert run("train", data, "--out", folder, *options("vae", num_epochs=2)) == (0, "")
        for name, program, environment, streams, code, said in _ROWS[:count]:
            words = [sys.executable, program, "detect", str(folder), str(data)]
            given = os.environ | {"PYTHONUNBUFFERED": None} | environment
            given = {variable: value for variable, value in given.items() if value is not None}
            line = f'set -o pipefail; "$0" -c "$1" "$2" "$3" "$4" {streams}'
            done = subprocess.run(["bash", "-c", line, *words], env=given, capture_output=True, text=True, check=False)
            is_right = done.returncode == code and said in done.stderr and "Traceback" not in done.stderr
            if is_right:
                figures.add("as expected")
            else:
                figures.fault(f"{name}: {done.returncode}, expected {code}: {done.stderr[-300:]}")
    return figures


def signals(count):
    """Ctrl-C, SIGTERM and SIGHUP at any moment of a training, which is then resumed."""
    figures, generator = Figures("signals"), random.Random(0)
    with tempfile.TemporaryDirectory() as top:
        data = table_file(Path(top))
        words = options("vae", num_epochs=300)
        program = [sys.executable, "-m", "aejax", "train"]
        whole_folder = Path(top) / "whole"
        began = time.monotonic()
        subprocess.run([*program, data, "--out", whole_folder, *words], check=True, capture_output=True)
        seconds, whole = time.monotonic() - began, state_of(whole_folder)
        for number in range(count):
            sent = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)[number % 3]
            folder = Path(top) / f"run{number}"
            process = subprocess.Popen(
                [*program, data, "--out", folder, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            time.sleep(generator.uniform(0.3, 1.0) * seconds)
            process.send_signal(sent)
            said = process.communicate(timeout=120)[1]
            try:
                assert process.returncode in (0, 130 if sent == signal.SIGINT else -sent, -sent), process.returncode
                # Python itself may still be importing, which nobody can catch.
                assert "Traceback" not in said or not folder.exists(), said[-300:]
                end_it(folder, data, words, whole)
                figures.add(f"{sent.name}, the same bytes")
            except (Exception, SystemExit) as error:
                figures.fault(f"{number} {sent.name}: {type(error).__name__}: {str(error)[:300]}")
    return figures


def clocks(count):
    """A clock that jumps back and forth by years while a run is trained."""
    figures, generator = Figures("clocks that jump"), random.Random(0)
    with tempfile.TemporaryDirectory() as top:
        data = table_file(Path(top))
        words = options("vae", num_epochs=3)
        assert run("train", data, "--out", Path(top) / "whole", *words) == (0, "")
        whole = state_of(Path(top) / "whole")
        for number in range(count):
            folder = Path(top) / f"run{number}"
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(time, "time", lambda: generator.uniform(0, 4e9))
                ended, said = run("train", data, "--out", folder, *words)
            try:
                assert (ended, said) == (0, "")
                assert_whole(folder, whole)
                figures.add("the same bytes")
            except AssertionError as error:
                figures.fault(f"{number}: {str(error)[:300]}")
    return figures
