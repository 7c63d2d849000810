"""The noise of mixtures is that of records as they come: no rings, no silence; and so is what is measured on it."""

import importlib

import jax
import numpy as np
import pytest

from aejax.data.formats.events import Events, read_events
from aejax.data.gaps import find_gaps
from aejax.tasks.denoising import catalogue, evaluate_denoiser, fit_to_catalogue
from aejax.tasks.denoising.mixing import mixture_source, mixtures
from tests.real_data import FOLDER, present
from tests.tasks.test_denoising import multiplying

RNG = np.random.default_rng(0)
EVENTS = RNG.standard_normal((4, 1400))


def added(pairs):
    """The noise of pairs, less its scale."""
    noise = pairs.noisy - pairs.clean
    return noise / noise.std(axis=1, keepdims=True)


def test_noise_that_is_long_enough_is_one_piece_of_it(key):
    noise = [RNG.standard_normal(length) for length in (257, 300, 2000)]
    pairs = mixtures(key, EVENTS, noise, 60, num_samples=256)
    assert set(pairs.noise) == {0, 1, 2}
    for piece, row in zip(added(pairs), pairs.noise, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(noise[row], 256)
        assert max(abs(np.corrcoef(piece, window)[0, 1]) for window in windows) > 0.9999


@pytest.mark.parametrize("length", [40, 100, 400])
def test_short_noise_is_no_ring(key, length):
    """White noise stays white: nothing repeats itself at a fixed distance, and no place is quieter than others."""
    noise = RNG.standard_normal((30, length))
    pieces = added(mixtures(key, EVENTS, noise, 512, num_samples=1024))
    power = np.mean(np.abs(np.fft.rfft(pieces, 2048)) ** 2, axis=0)
    likeness = np.fft.irfft(power)[:1024] / np.arange(1024, 0, -1)
    assert np.abs(likeness[3:900] / likeness[0]).max() < 0.1
    lines = np.abs(np.fft.rfft(pieces)[:, 5:]) ** 2
    assert (lines.max(axis=1) / lines.mean(axis=1)).mean() < 12  # of white noise the largest of 500 is 7 times the mean
    assert np.abs(np.mean(pieces**2, axis=0) - 1).max() < 0.3


def test_what_is_joined_is_of_one_place(key):
    """Each place has a frequency of its own: no piece has two."""
    periods = np.repeat([4.0, 8.0, 16.0, 32.0], 3)
    noise = [np.sin(2 * np.pi * np.arange(RNG.integers(90, 200)) / period) for period in periods]
    groups = np.repeat(list("ABCD"), 3)
    pairs = mixtures(key, EVENTS, noise, 80, num_samples=512, event_groups=list("ABCD"), noise_groups=groups)
    assert (groups[pairs.noise] != np.array(list("ABCD"))[pairs.event]).all()
    power = np.abs(np.fft.rfft(added(pairs))) ** 2
    for spectrum, row in zip(power, pairs.noise, strict=True):
        centre = 512 / periods[row]
        near = np.abs(np.arange(257) - centre) < 0.4 * centre
        assert spectrum[near].sum() > 0.9 * spectrum.sum()


def test_a_standstill_is_cut_out_of_the_noise(key):
    """A mixture without noise would have an infinite ratio."""
    noise = RNG.standard_normal((6, 3000))
    noise[:, 300:2900] = 7.25
    pairs = mixtures(key, EVENTS, noise, 256, num_samples=256)
    assert np.isfinite(pairs.snr_db).all()
    assert np.isfinite(pairs.noisy).all()
    assert (np.abs(np.diff(added(pairs))) > 0).mean() > 0.99
    source = mixture_source(EVENTS, noise, num_samples=256)
    batch = source.draw(source.arrays, key, 256)
    assert (np.std(batch.x - batch.target, axis=1) > 1e-3).all()


def test_where_an_event_stands_still_there_is_none(key):
    events = np.zeros((2, 1400))
    events[:, :500] = RNG.standard_normal((2, 500))
    pairs = mixtures(key, events, RNG.standard_normal((3, 600)), 128, num_samples=256)
    silent = np.isneginf(pairs.snr_db)
    assert 20 < silent.sum() < 108
    assert (pairs.clean[silent] == 0).all()
    assert (pairs.clean[~silent].std(axis=1) > 0).all()
    assert np.isfinite(pairs.noisy).all()


def test_what_varies_slowly_outlasts_short_stretches(key):
    """A swell of 20 s, seen for 4 s at a time: less the mean of each stretch it would be gone."""
    time = np.arange(200_000)
    record = 1e6 + 5 * np.sin(2 * np.pi * time / 2000) + RNG.standard_normal(len(time))
    begins = RNG.integers(0, len(time) - 400, 60)
    noise = [record[begin : begin + 400] for begin in begins]

    def share_of_slow(**options):
        power = np.abs(np.fft.rfft(added(mixtures(key, EVENTS, noise, 200, num_samples=1024, **options)))) ** 2
        return power[:, :8].sum() / power.sum()

    with_line, without = share_of_slow(noise_offset=np.full(60, 1e6)), share_of_slow()
    assert without < 0.5
    assert with_line > 0.7
    # Zero lines of other records would be steps.
    assert share_of_slow(noise_offset=np.full(60, 0.0)) < 0.9
    with pytest.raises(ValueError, match=r"noise_offset: found shape \(3,\), expected \(60,\)"):
        share_of_slow(noise_offset=np.zeros(3))


def events_at(arrivals, length=4000, groups=None):
    x = RNG.standard_normal((len(arrivals), length))
    groups = groups or [chr(65 + index) for index in range(len(arrivals))]
    return Events(x, np.array(arrivals), np.array(groups), np.full(len(arrivals), 30.0), 100.0)


@pytest.mark.parametrize("early", [1, 40, 90, 300])
def test_one_early_pick_leaves_the_noise_of_others_alone(early):
    found = catalogue.noise_stretches(events_at([3000, 3000, early, 2000]))
    assert found.left_out.tolist() == ([2] if early < 306 else [])
    assert found.lengths().tolist() == [2950, 2950, 1950]
    assert found.row.tolist() == [0, 1, 3]


def test_what_is_left_out_and_what_is_short_is_said():
    events = events_at([900, 1000, 60, 1100])
    noise = catalogue.noise_stretches(events)
    with pytest.warns(UserWarning, match="noise") as caught:
        catalogue._warn_of_noise(events, noise, 3072)
    first, second = (str(warning.message) for warning in caught)
    assert first.startswith("noise of 1 of 4 records is left out")
    assert "record 2 (counted from 0) of C, whose event begins at sample 60" in first
    assert "stretches of 850 to 1050 samples (8.5 to 10.5 s) are joined to windows of 3072 (30.7 s)" in second
    with pytest.raises(ValueError, match=r"^arrival: found at most 0 samples of noise before an event"):
        catalogue.noise_stretches(events_at([3, 40]))


def test_noise_is_cut_at_its_gaps():
    events = events_at([3000, 3000])
    events.x[0, 1000:1100] = 0
    events.x[1, 5:2900] = -999
    found = catalogue.noise_stretches(events)
    assert found.lengths().tolist() == [1000, 1850]
    assert found.left_out.tolist() == [1]
    assert all(len(find_gaps(piece, 64)) == 0 for piece in found.pieces)


@pytest.mark.parametrize(
    ("lengths", "window", "expected"),
    [
        ([2950] * 6, 3072, 2944),
        ([40, 2950, 2950, 2950], 3072, 2944),
        ([40, 60, 2950], 3072, 0),  # one place alone is not measured on
        ([5000, 6000, 100, 100], 3072, 3072),
        ([300, 400, 500, 800], 3072, 448),
        ([200, 210, 220], 3072, 0),
    ],
)
def test_gains_are_measured_on_noise_in_one_piece(lengths, window, expected):
    assert catalogue._unbroken_length(np.arange(len(lengths)), np.array(lengths), window) == expected


def test_pairs_without_noise_have_no_gain():
    clean = RNG.standard_normal((3, 300))
    noisy = clean + 0.1
    noisy[1] = clean[1]
    with pytest.raises(ValueError, match="found 1 pairs without noise"):
        evaluate_denoiser(multiplying(64), noisy, clean)
    silent = evaluate_denoiser(multiplying(64, 0.0), noisy[:1], clean[:1])
    assert silent["mean correlation, denoised"] == 0
    assert all(np.isfinite(list(silent.values())))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["one early pick", "short noise"])
def test_the_gain_that_is_printed_is_the_real_one(kind):
    """Half a decibel, as for the full trainings of ``benchmarks/denoised_catalogues.py``."""
    path = present(FOLDER / "seismic" / "ncedc_traces.npz")
    made = importlib.import_module("benchmarks.denoised_catalogues")
    uncut = read_events(path)
    if kind == "one early pick":
        x, arrival = uncut.x.copy(), uncut.arrival.copy()
        x[7, :-2910], arrival[7] = x[7, 2910:], 90
        events = uncut._replace(x=x, arrival=arrival)
    else:
        events = made.KINDS[kind](uncut)
    with pytest.warns(UserWarning, match="is left out" if kind == "one early pick" else "noise is short"):
        fitted = fit_to_catalogue(jax.random.key(0), events, num_rounds=6)
    printed = fitted.measured["mean gain, dB"]
    assert printed > 5
    assert printed == pytest.approx(made.real_gain(fitted, uncut, 2944), abs=0.5)
