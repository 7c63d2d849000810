"""Processes killed at random moments and begun again: in the end the same bytes, and nothing left over."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.campaigns.figures import Figures
from tests.campaigns.runs import assert_whole, options, state_of, table_file, words_to_end

MODELS = ("vae", "autoencoder", "gan", "vq_autoencoder")
_NUM_EPOCHS = 60


def _process(*words):
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-m", "aejax", *map(str, words)], **silent)


def _ended(process):
    said = process.communicate()[1].decode()
    assert process.returncode == 0, said[-500:]


def _killed_until_done(first, again, moments, kills, ready, least):
    """Runs words again and again, killed each time, until ``kills`` are done; then lets them end."""
    done = 0
    process = _process(*first())
    while done < kills:
        begun = time.monotonic()
        while process.poll() is None and not ready() and time.monotonic() - begun < 120:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, least))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        done += 1
        process = _process(*again())
    _ended(process)
    return done


def trainings(count, models=MODELS):
    """Trainings of several models, each killed several times and resumed."""
    figures, moments = Figures("trainings killed"), random.Random(0)
    kills = 0
    with tempfile.TemporaryDirectory() as top:
        os.environ["AEJAX_CACHE"] = str(Path(top) / "cache")
        data = table_file(Path(top))
        wholes = {}
        number = 0
        while kills < count:
            model = models[number % len(models)]
            words = options(model, _NUM_EPOCHS)
            if model not in wholes:
                _ended(_process("train", data, "--out", Path(top) / model, *words))
                wholes[model] = state_of(Path(top) / model)
            folder = Path(top) / f"run{number}"

            def again(folder=folder, words=words):
                return words_to_end(folder, data, words)

            # Now and then the very end, where run, record, checkpoints and report follow each other.
            at_the_end = number % 2
            names = ("record", "artefact.json", "report.html")

            def ready(folder=folder, at_the_end=at_the_end, wanted=names[number // 2 % 3]):
                return (folder / (wanted if at_the_end else "config.json")).exists()

            try:
                done = _killed_until_done(
                    again, again, moments, 1 if at_the_end else 3, ready, 0.3 if at_the_end else 2
                )
                kills += done
                _ended(_process(*again()))  # a run that was complete stays so
                assert_whole(folder, wholes[model])
                for _ in range(done):
                    figures.add(f"{model}: the same bytes")
                if not done:
                    kills += 0 if number < 4 * count else 1
            except AssertionError as error:
                kills += 1
                figures.fault(f"{model}, run {number}: {error}")
            number += 1
    return figures


def monitors(count):
    """``aejax monitor``, killed and begun again."""
    figures, moments = Figures("monitors killed"), random.Random(1)
    with tempfile.TemporaryDirectory() as top:
        os.environ["AEJAX_CACHE"] = str(Path(top) / "cache")
        data = table_file(Path(top))
        words = ("monitor", data, data, "--num-epochs", 3, "--num-lags", 0, "--false-alarm-rate", 0.05, "--quiet")
        begun = time.monotonic()
        whole = Path(top) / "whole"
        _ended(_process(*words, "--out", whole))
        seconds = time.monotonic() - begun
        _ended(_process(*words, "--out", Path(top) / "warm"))
        expected = {path.name: path.read_bytes() for path in whole.iterdir() if path.suffix != ".png"}
        number = kills = 0
        while kills < count:
            folder = Path(top) / f"monitor{number}"

            def command(folder=folder):
                return (*words, "--out", folder)

            try:
                done = _killed_until_done(command, command, moments, 1, lambda: True, seconds)
                found = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".png"}
                kills += done
                assert found == expected, sorted(found.keys() ^ expected.keys()) or "other bytes"
                for _ in range(done):
                    figures.add("the same bytes")
            except AssertionError as error:
                kills += 1
                figures.fault(f"run {number}: {error}")
            number += 1
    return figures
