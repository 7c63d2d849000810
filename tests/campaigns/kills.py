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
from tests.campaigns.runs import (
    assert_whole,
    catalogue_file,
    options,
    options_of_stream,
    state_of,
    stored_file,
    table_file,
    words_to_end,
)

MODELS = ("vae", "autoencoder", "gan", "vq_autoencoder")
_NUM_EPOCHS = 60


def _process(*words, place=None):
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-m", "aejax", "--debug", *map(str, words)], cwd=place, **silent)


def _ended(process):
    said = process.communicate()[1].decode()
    assert process.returncode == 0, said[-3000:]


def _killed_until_done(first, again, moments, kills, ready, least, place=None):
    """Runs words again and again, killed each time, until ``kills`` are done; then lets them end."""
    done = 0
    process = _process(*first(), place=place)
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
        process = _process(*again(), place=place)
    _ended(process)
    return done


def trainings(count):
    """Trainings of several models, each killed several times and resumed."""
    return _trainings(Figures("trainings killed"), count, table_file, options, MODELS)


def streams(count):
    """The same with a table that stays in its file."""
    return _trainings(Figures("streams killed"), count, stored_file, options_of_stream, ("vae",))


def _trainings(figures, count, write, options, models):
    moments = random.Random(0)
    kills = 0
    with tempfile.TemporaryDirectory() as top:
        os.environ["AEJAX_CACHE"] = str(Path(top) / "cache")
        data = write(Path(top))
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

    def words(folder):
        data = table_file(folder)
        return ("monitor", data, data, "--num-epochs", 3, "--num-lags", 0, "--false-alarm-rate", 0.05, "--quiet")

    return _begun_again(Figures("monitors killed"), count, words)


def denoisers(count):
    """``aejax denoise-train``, killed and begun again."""

    def words(folder):
        data = catalogue_file(folder)
        return ("denoise-train", data, "--num-samples", 256, "--num-rounds", 2, "--test-share", 0.5, "--quiet")

    return _begun_again(Figures("denoisers killed"), count, words, is_kept=True)


def _begun_again(figures, count, words_of, is_kept=False):
    """What cannot be resumed is begun anew; its folder is named alike each time, as some files hold its name.

    Args:
        figures: to add to.
        count: of kills.
        words_of: a folder for the data -> the words of the command.
        is_kept: whether the command refuses a folder that holds its result; that result is verified then.
    """
    moments = random.Random(1)
    with tempfile.TemporaryDirectory() as top:
        os.environ["AEJAX_CACHE"] = str(Path(top) / "cache")
        words = (*words_of(Path(top)), "--out", "result")
        for place in ("cold", "warm"):
            begun = time.monotonic()
            _ended(_process(*words, place=_made(top, place)))
            seconds = time.monotonic() - begun
        expected = _contents(Path(top) / "warm" / "result")
        number = kills = 0
        while kills < count:
            place = _made(top, str(number))

            def command(place=place):
                is_whole = is_kept and (place / "result" / "artefact.json").exists()
                return ("verify", "result") if is_whole else words

            try:
                done = _killed_until_done(command, command, moments, 1, lambda: True, seconds, place)
                kills += done
                found = _contents(place / "result")
                assert found == expected, sorted(found.keys() ^ expected.keys()) or "other bytes"
                for _ in range(done):
                    figures.add("the same bytes")
            except AssertionError as error:
                kills += 1
                figures.fault(f"run {number}: {error}")
            number += 1
    return figures


def _made(top, name):
    place = Path(top) / name
    place.mkdir()
    return place


def _contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".png"}
