"""The commands: a catalogue in, a folder out; a file in, a file of the same format out."""

import json
import re
import warnings

import numpy as np
import pytest
import tyro

from aejax.artefacts import codecs
from aejax.cli.commands.denoising import DenoiseCommand, DenoiseTrainCommand, run
from aejax.models.masking import masking_autoencoder
from aejax.tasks.denoising import Denoiser


def command(kind, *words):
    run(tyro.cli(kind, args=list(map(str, words))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A denoiser trained for two rounds, which is enough for files."""
    path = tmp_path_factory.mktemp("denoiser")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 1000)) * np.where(np.arange(1000) < 300, 0.05, 1)
    np.savez(path / "events.npz", x=x, arrival=np.full(8, 300), group=list("AABBCCDD"))
    words = ("--num-samples", 256, "--num-rounds", 1, "--test-share", 0.5, "--quiet")
    command(DenoiseTrainCommand, path / "events.npz", "--out", path / "run", *words)
    return path


@pytest.mark.slow
def test_the_folder_says_what_was_measured_and_on_whom(folder):
    training = json.loads((folder / "run" / "training.json").read_text())
    assert len(training["held_out_groups"]) == 2
    measured = training["measured_on_held_out_groups"]
    assert np.isfinite(measured["mean gain, dB"])
    assert "mean gain at 25 dB, dB" not in measured  # no record is as clean as that takes
    denoiser = codecs.load(folder / "run", Denoiser)
    assert denoiser.model is masking_autoencoder((256,))
    assert denoiser[2:] == (256, 100.0)


@pytest.mark.parametrize("shape", [(700,), (2, 300)])
def test_npy(folder, tmp_path, shape):
    np.save(tmp_path / "in.npy", np.random.default_rng(1).standard_normal(shape))
    command(DenoiseCommand, folder / "run", tmp_path / "in.npy", "--out", tmp_path / "out.npy", "--sampling-rate", 100)
    assert np.load(tmp_path / "out.npy").shape == shape


def test_a_trace_shorter_than_the_windows_gets_shorter_ones(folder, tmp_path):
    """The variables do not depend on the length of the windows."""
    denoiser = codecs.load(folder / "run")._replace(num_samples=1024, model=masking_autoencoder((1024,)))
    codecs.save(tmp_path / "run", denoiser)
    np.save(tmp_path / "in.npy", np.random.default_rng(1).standard_normal(300))
    for run_folder, name in ((folder / "run", "short"), (tmp_path / "run", "long")):
        command(DenoiseCommand, run_folder, tmp_path / "in.npy", "--out", tmp_path / f"{name}.npy", "--quiet")
    np.testing.assert_array_equal(np.load(tmp_path / "long.npy"), np.load(tmp_path / "short.npy"))


@pytest.mark.filterwarnings("ignore")  # of obspy's imports
def test_miniseed_of_another_rate(folder, tmp_path):
    obspy = pytest.importorskip("obspy")
    trace = obspy.Trace(np.random.default_rng(1).standard_normal(900), {"station": "PFO", "sampling_rate": 50.0})
    trace.write(str(tmp_path / "in.mseed"), format="MSEED")
    command(DenoiseCommand, folder / "run", tmp_path / "in.mseed", "--out", tmp_path / "out.mseed")
    (written,) = obspy.read(str(tmp_path / "out.mseed"))
    assert (written.stats.station, written.stats.sampling_rate, written.stats.npts) == ("PFO", 50.0, 900)
    assert 0 < np.abs(written.data).max() < np.abs(trace.data).max() * 2


@pytest.mark.filterwarnings("ignore")  # of obspy's imports
def test_a_damaged_end_is_one_note(folder, tmp_path, capsys):
    obspy = pytest.importorskip("obspy")
    source = tmp_path / "in.mseed"
    obspy.Trace(np.random.default_rng(1).standard_normal(900), {"sampling_rate": 100.0}).write(str(source), "MSEED")
    source.write_bytes(source.read_bytes() + b"no record" * 1000)
    words = (folder / "run", source, "--out", tmp_path / "out.mseed")
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always", UserWarning)
        command(DenoiseCommand, *words)
        (line,) = capsys.readouterr().err.splitlines()
        command(DenoiseCommand, *words, "--quiet")
    assert re.match(rf"note: {source}: warnings on reading: [0-9]+, the first: .*Not a SEED record", line)
    assert not shown
    assert not capsys.readouterr().err


@pytest.mark.slow
def test_one_station_kept_out_would_be_lost(folder, tmp_path, capsys):
    """It cannot be measured on, so none is where few are left to train on."""
    words = ("--num-samples", 256, "--num-rounds", 1, "--out")
    command(DenoiseTrainCommand, folder / "events.npz", *words, tmp_path / "none", "--test-share", 0.25)
    assert "none of the 4 stations is held out, so no gain" in capsys.readouterr().err
    assert json.loads((tmp_path / "none" / "training.json").read_text())["held_out_groups"] == []


@pytest.mark.slow
def test_the_defaults_suit_few_stations_and_short_records(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 600)) * np.where(np.arange(600) < 200, 0.005, 1)
    np.savez(tmp_path / "events.npz", x=x, arrival=np.full(6, 200), group=list("ABCDEF"))
    command(DenoiseTrainCommand, tmp_path / "events.npz", "--out", tmp_path / "run", "--num-rounds", 1)
    assert codecs.load(tmp_path / "run").num_samples == 448
    training = json.loads((tmp_path / "run" / "training.json").read_text())
    first, second = training["held_out_groups"]
    shown = capsys.readouterr()
    assert f"held out of training, 2 of 6 stations: {first}, {second}" in shown.err
    assert "windows of 448 samples" in shown.err
    assert "mean gain at 25 dB, dB: " in shown.out
    for name in ("noisy", "denoised"):
        assert np.isfinite(training["measured_on_held_out_groups"][f"onset error, {name}, median of the absolute, s"])
        assert f"onset error, {name}, median of the absolute, s: " in shown.out


def test_what_cannot_work_is_refused(folder, tmp_path):
    with pytest.raises(FileExistsError, match="is not empty"):
        command(DenoiseTrainCommand, folder / "events.npz", "--out", folder / "run")
    with pytest.raises(ValueError, match="min_snr_db"):
        command(DenoiseTrainCommand, folder / "events.npz", "--out", tmp_path / "run", "--min-snr-db", 99)
    for number in (-1, 100):
        with pytest.raises(ValueError, match=f"num_samples: found {number}, expected at least 256, one frame"):
            command(DenoiseTrainCommand, folder / "events.npz", "--out", tmp_path / "run", "--num-samples", number)
    with np.load(folder / "events.npz") as file:
        np.savez(tmp_path / "short.npz", **dict(file) | {"x": file["x"][:, 100:400], "arrival": np.full(8, 200)})
    with pytest.raises(ValueError, match=r"records of 300 samples, expected 322 or more"):
        command(DenoiseTrainCommand, tmp_path / "short.npz", "--out", tmp_path / "run")
    np.save(tmp_path / "gap.npy", np.array([1.0, np.nan, 2.0]))
    with pytest.raises(ValueError, match="found no trace to denoise: trace 0: without a piece"):
        command(DenoiseCommand, folder / "run", tmp_path / "gap.npy", "--out", tmp_path / "out.npy", "--quiet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty does not hold a denoiser"):
        command(DenoiseCommand, tmp_path / "empty", tmp_path / "gap.npy", "--out", tmp_path / "out.npy", "--quiet")


def test_a_dead_record_is_named_by_its_row_in_the_file(folder, tmp_path, capsys):
    """Not by its row among those that are trained on. One that is dead before its event alone gives no noise."""
    with np.load(folder / "events.npz") as file:
        fields = dict(file)
    path = tmp_path / "events.npz"
    fields["x"][7, :300] = 0
    np.savez(path, **fields)
    words = ("--out", tmp_path / "run", "--num-samples", 256, "--num-rounds", 1)
    command(DenoiseTrainCommand, path, *words)
    noted = capsys.readouterr().err
    assert "noise of 1 of 8 records is left out" in noted
    assert "record 7 (counted from 0) of D, whose event begins at sample 300" in noted
    assert "noise: 7 stretches of 250 to 250 samples" in noted
    fields["x"][7] = 0
    np.savez(path, **fields)
    with pytest.raises(ValueError, match=rf"^{path}: x: record 7 .* of D is constant"):
        command(DenoiseTrainCommand, path, "--out", tmp_path / "other", "--num-samples", 256)
