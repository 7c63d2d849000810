"""Denoising: mixtures of a known ratio, windows that leave no trace, measures with known answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aejax import models
from aejax.artefacts import codecs
from aejax.base import Batch, Fitted, Latent
from aejax.models.masking import masking_autoencoder
from aejax.tasks.denoising import (
    Denoiser,
    catalogue,
    correlation,
    denoise,
    evaluate_denoiser,
    fit_denoiser,
    gain,
    onset_error,
    pick_onset,
)
from aejax.tasks.denoising.mixing import mixtures
from tests.real_data import FOLDER, present

RNG = np.random.default_rng(0)
EVENTS, NOISE = RNG.standard_normal((6, 700)), RNG.standard_normal((8, 400)) + 3
PLACES = {"event_groups": list("AABBCC"), "noise_groups": list("AAABBBCC")}


@pytest.mark.parametrize("augment", [False, True])
def test_mixtures_have_the_ratio_that_was_drawn(key, augment):
    pairs = mixtures(key, EVENTS, NOISE, 64, num_samples=256, augment=augment)
    noise = pairs.noisy - pairs.clean
    measured = 10 * np.log10(np.sum(pairs.clean**2, axis=1) / np.sum(noise**2, axis=1))
    np.testing.assert_allclose(measured, pairs.snr_db, atol=1e-3)
    assert -5 <= pairs.snr_db.min() < -3.5
    assert 8.5 < pairs.snr_db.max() <= 10
    np.testing.assert_allclose(np.mean(pairs.noisy**2, axis=1), 1, rtol=1e-4)
    np.testing.assert_allclose(noise.mean(axis=1), 0, atol=1e-4)


def test_mixtures_are_of_pieces_of_the_records(key):
    pairs = mixtures(key, EVENTS, NOISE, 20, num_samples=256)
    for clean, row in zip(pairs.clean, pairs.event, strict=True):
        pieces = np.lib.stride_tricks.sliding_window_view(EVENTS[row], 256)
        assert correlation(pieces, np.broadcast_to(clean, pieces.shape)).max() > 0.9999


def test_noise_is_of_another_place(key):
    pairs = mixtures(key, EVENTS, NOISE, 64, num_samples=256, **PLACES)
    of_event, of_noise = (np.array(list(PLACES[name])) for name in ("event_groups", "noise_groups"))
    assert (of_event[pairs.event] != of_noise[pairs.noise]).all()
    assert set(pairs.event) == set(range(6))
    assert set(pairs.noise) == set(range(8))


def test_the_arrival_is_where_it_is_said_to_be(key):
    """Records that are zero but for one sample: the peak of the piece is the arrival, augmented or not."""
    arrival = [200, 220, 240, 260, 280, 300]
    spikes = np.zeros((6, 700))
    spikes[np.arange(6), arrival] = 1
    for augment in (False, True):
        pairs = mixtures(
            key, spikes, NOISE, 64, num_samples=256, arrival=arrival, arrival_range=(0.1, 0.6), augment=augment
        )
        assert (np.abs(np.abs(pairs.clean).argmax(axis=1) - pairs.arrival) <= 1).all()
        assert 25 <= pairs.arrival.min() < pairs.arrival.max() <= 154


def test_the_same_key_gives_the_same_mixtures_and_another_one_others(key):
    first, second, other = (
        mixtures(k, EVENTS, NOISE, 10, num_samples=256, augment=True) for k in (key, key, jax.random.key(8))
    )
    np.testing.assert_array_equal(first.noisy, second.noisy)
    assert not np.array_equal(first.noisy, other.noisy)


def test_noise_only(key):
    pairs = mixtures(key, EVENTS, NOISE, 64, num_samples=256, noise_only=0.5)
    silent = np.isneginf(pairs.snr_db)
    assert 16 < silent.sum() < 48
    np.testing.assert_array_equal(np.abs(pairs.clean).max(axis=1) == 0, silent)


def test_a_share_of_the_mixtures_is_strong_but_not_beyond_the_record(key):
    plain, strong = (mixtures(key, EVENTS, NOISE, 256, num_samples=256, strong=share) for share in (0, 0.25))
    assert plain.snr_db.max() <= 10
    assert 0.15 < (strong.snr_db > 10).mean() < 0.35
    assert 36 < strong.snr_db.max() <= 40
    own_db = np.array([0, 12, 20, 20, 30, 99])
    capped = mixtures(key, EVENTS, NOISE, 256, num_samples=256, strong=0.25, event_snr_db=own_db)
    np.testing.assert_allclose(
        capped.snr_db, np.minimum(strong.snr_db, np.maximum(own_db, 10)[capped.event]), rtol=1e-6
    )
    usual = strong.snr_db <= 10
    np.testing.assert_array_equal(capped.snr_db[usual], strong.snr_db[usual])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strong": 1.0}, "strong: found 1"),
        ({"event_snr_db": [3.0]}, r"event_snr_db: found shape \(1,\)"),
        ({"event_snr_db": [3.0, np.nan, 3, 3, 3, 3]}, "with 1 missing"),
        ({"events": EVENTS[:, :200]}, "events: found records of 200 samples, expected at least 257"),
        (
            {"noise": NOISE[:, :9]},
            "noise: found no stretch of at least 16 samples .* of up to 9",
        ),
        ({"noise": np.full((2, 400), 0.1)}, "noise: found no stretch .* leave dead channels"),
        ({"noise": [np.ones(400), np.full(300, np.inf)]}, "noise: record 1 is not finite"),
        ({"events": np.where(EVENTS > 3, np.nan, EVENTS)}, "events: record . is constant or not finite"),
        ({"events": EVENTS[0]}, "events: found shape"),
        ({"num": 0}, "num: found 0"),
        ({"snr_db": (10, -5)}, "snr_db"),
        ({"noise_only": 1.0}, "noise_only"),
        ({"arrival": [3]}, "arrival: found shape"),
        ({"event_groups": list("AABBCC")}, "expected both or neither"),
        ({"event_groups": list("AABBCC"), "noise_groups": list("AB")}, "noise_groups: found shape"),
        ({"event_groups": list("AABBCC"), "noise_groups": list("AAAAAAAA")}, "found A alone"),
    ],
)
def test_what_cannot_be_mixed_is_refused(key, changes, message):
    arguments = {"events": EVENTS, "noise": NOISE, "num": 3, "num_samples": 256} | changes
    with pytest.raises(ValueError, match=message):
        mixtures(key, arguments.pop("events"), arguments.pop("noise"), arguments.pop("num"), **arguments)


def multiplying(num_samples, factor=0.5, sampling_rate=100.0):
    """A Denoiser that gives back so much of what it sees."""
    inner = models.autoencoder((num_samples,), num_samples)
    model = inner._replace(
        encode=lambda variables, x, cond=None: Latent(x), decode=lambda variables, z, cond=None: factor * z
    )
    return Denoiser(model, {}, num_samples, sampling_rate)


def masking(num_samples, seed=0):
    """A small Denoiser of random variables, the same ones for all lengths."""
    model = masking_autoencoder((num_samples,), frame_length=64, hop=32, hidden_dim=8, dilations=(1,))
    variables = model.init(jax.random.key(seed), Batch(jnp.zeros((1, num_samples))))
    return Denoiser(model, variables, num_samples, 100.0)


@pytest.mark.parametrize("length", [2, 30, 64, 65, 96, 100, 1000])
def test_windows_leave_no_trace(length):
    """A model that halves each window halves the record, whatever its length; windows without a mean lose none."""
    x = np.where(np.arange(length) % 2, 1.0, -1.0) * np.array([1.0, 1e-9]).reshape(2, 1, 1) * np.ones((2, 2, 1))
    found = denoise(multiplying(64), x, keep_offset=False)
    np.testing.assert_allclose(found, 0.5 * x, rtol=1e-5)
    assert found.dtype == np.float64


def test_an_offset_does_not_change_the_estimate_and_a_scale_scales_it():
    x = np.random.default_rng(1).standard_normal(1000)
    one = denoise(masking(256), x, keep_offset=False)
    np.testing.assert_allclose(denoise(masking(256), 1e5 * x + 1e7, keep_offset=False) / 1e5, one, atol=1e-4)
    assert np.abs(one).max() > 0.1
    np.testing.assert_allclose(denoise(masking(256), x + 7), one + x.mean() + 7, atol=1e-6)
    assert (denoise(masking(256), 0 * x + 7) == 7).all()


def test_an_offset_of_a_milliard_counts_is_kept_to_the_count():
    """It takes more digits than a float32 has."""
    counts = np.random.default_rng(1).integers(-300, 300, 1000).astype(np.int32)
    one, found = denoise(masking(256), counts), denoise(masking(256), counts + np.int32(1_000_000_000))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found - 1e9, one, atol=0.01)


@pytest.mark.parametrize("model_rate", [100, 50])
def test_gaps_of_zeros_stay_and_leave_no_trace_in_their_neighbours(model_rate):
    """Offsets as well: a step from counts to zero is no signal. Runs of equal zeros far from all else are gaps too."""
    keep_all = multiplying(64, 1.0, model_rate)
    x = np.random.default_rng(0).standard_normal(2000)
    parts = [(0, 700), (1000, 1001), (1300, 2000)]
    filled = np.zeros(2000)
    for begin, end in parts:
        filled[begin:end] = x[begin:end] + 1e4
    found = denoise(keep_all, filled, 100)
    assert (np.delete(found[700:1300], 300) == 0).all()
    assert found[1000] == filled[1000]
    for begin, end in (parts[0], parts[2]):
        np.testing.assert_allclose(found[begin:end], denoise(keep_all, filled[begin:end], 100), atol=1e-9)
    assert np.abs(found[1300:] - 1e4).max() < 10


@pytest.mark.slow
@pytest.mark.parametrize(("length", "window"), [(900, 896), (260, 256), (40, 256)])
def test_short_records_are_seen_in_shorter_windows_where_the_variables_allow(length, window):
    x = np.random.default_rng(1).standard_normal(length)
    long, short = (Denoiser(*masking(size)[:2], size, 100.0) for size in (1024, window))
    np.testing.assert_array_equal(denoise(long, x), denoise(short, x))
    np.testing.assert_allclose(denoise(multiplying(1024), x, keep_offset=False), 0.5 * (x - x.mean()), atol=0.1)
    dense = models.autoencoder((1024,), 4)
    variables = dense.init(jax.random.key(0), Batch(jnp.zeros((1, 1024))))
    assert denoise(Denoiser(dense, variables, 1024, 100.0), x).shape == x.shape


def test_another_sampling_rate():
    """A model that keeps all gives a band-limited signal back, at its own rate and length."""
    time = np.arange(2003) / 250
    x = np.sin(2 * np.pi * 5 * time) * np.exp(-((time - 4) ** 2))
    found = denoise(multiplying(256, 1.0), x, 250)
    # Windows of 2.56 s are not without a mean, which each of them loses.
    assert found.shape == x.shape
    np.testing.assert_allclose(found, x, atol=0.02)


def test_what_cannot_be_denoised_is_refused():
    with pytest.raises(ValueError, match="found a record without a finite value"):
        denoise(multiplying(64), np.array([[1.0, 2.0, 3.0], [np.nan, np.inf, np.nan]]))
    with pytest.raises(ValueError, match="at least 2 samples"):
        denoise(multiplying(64), np.zeros((3, 1)))
    with pytest.raises(ValueError, match="no encoder"):
        denoise(Denoiser(models.gan((64,), 4), {}, 64, 100.0), np.zeros((3, 100)))
    with pytest.raises(ValueError, match=r"sampling_rate: found 1, expected 0\.2 to 5 times"):
        denoise(multiplying(64), np.zeros(100), 1.0)
    model = models.autoencoder((32,), 4)
    variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 32))))
    with pytest.raises(ValueError, match=r"expected \(n, 32\)"):
        denoise(Denoiser(model, variables, 64, 100.0), np.zeros(99))
    with pytest.raises(ValueError, match=r"noisy, clean: found shapes \(2, 90\), \(2, 80\)"):
        evaluate_denoiser(multiplying(64), np.zeros((2, 90)), np.zeros((2, 80)))


def test_what_is_measured_of_a_denoiser_that_keeps_a_quarter():
    """The known answer at 0 dB: the error falls from 1 to (3 / 4)^2 + (1 / 4)^2 of the signal; the waveform stays."""
    time = np.arange(640)
    clean, noise = np.sin(2 * np.pi * time[None] / 32), np.cos(2 * np.pi * time[None] / 32)
    found = evaluate_denoiser(multiplying(64, 0.25), clean + noise, clean)
    assert found["mean gain, dB"] == pytest.approx(10 * np.log10(1.6), abs=1e-4)
    assert found["mean correlation, noisy"] == pytest.approx(found["mean correlation, denoised"], abs=1e-6)
    trace = np.random.default_rng(0).standard_normal((1, 640)) * np.where(time < 320, 0.05, 1)
    late = evaluate_denoiser(multiplying(64, 1.0), np.roll(trace, 20, axis=1), trace, arrival=[320])
    assert late["onset error, noisy, median, s"] == late["onset error, denoised, median, s"] == pytest.approx(0.2)


def test_it_comes_back_as_it_was_saved(tmp_path):
    denoiser = masking(256)
    codecs.save(tmp_path, denoiser)
    found = codecs.load(tmp_path, Denoiser)
    assert found.model is denoiser.model
    assert found[2:] == denoiser[2:]
    x = np.random.default_rng(1).standard_normal((2, 700))
    np.testing.assert_array_equal(denoise(found, x), denoise(denoiser, x))


def test_variables_of_another_model_are_refused(tmp_path):
    codecs.save(
        tmp_path,
        masking(256)._replace(
            variables=masking_autoencoder((256,)).init(jax.random.key(0), Batch(jnp.zeros((1, 256))))
        ),
    )
    with pytest.raises(ValueError, match="cannot be read as a denoiser: variables does not fit the model"):
        codecs.load(tmp_path)


def test_a_model_of_ones_own_is_given_to_load(tmp_path):
    codecs.save(tmp_path, multiplying(64))
    with pytest.raises(ValueError, match=r"give the model to aejax\.load"):
        codecs.load(tmp_path)


def test_a_mask_needs_one_frame():
    with pytest.raises(ValueError, match=r"event_shape: found \(100,\), expected at least one frame of 256"):
        masking_autoencoder((100,))


def test_gain_and_correlation():
    clean, noise = np.random.default_rng(0).standard_normal((2, 3, 100))
    np.testing.assert_allclose(gain(clean + noise, clean, clean + 0.1 * noise), 20)
    np.testing.assert_allclose(gain(clean + noise, clean, clean + noise), 0, atol=1e-12)
    np.testing.assert_allclose(correlation(clean, -2 * clean + 3), -1)


def test_the_onset_is_where_the_variance_changes():
    rng = np.random.default_rng(0)
    truth = np.array([120, 200, 333])
    traces = rng.standard_normal((3, 500)) * np.where(np.arange(500) < truth[:, None], 0.1, 1)
    assert (np.abs(pick_onset(traces) - truth) <= 3).all()
    assert (np.abs(pick_onset(1e-12 * traces, truth - 50, truth + 50) - truth) <= 3).all()
    shifted = np.roll(traces, 7, axis=1)
    np.testing.assert_allclose(onset_error(traces, shifted, truth, sampling_rate=50, search=2), 0.14)
    with pytest.raises(ValueError, match="at least 10"):
        pick_onset(traces, 0, 5)


@pytest.mark.parametrize("name", ["convolutional_denoising_autoencoder", pytest.param("vae", marks=pytest.mark.slow)])
def test_any_model_of_windows_can_be_trained(key, name):
    """Those of the registry as well, though they compress what a mask keeps."""
    model = models.MODELS[name]((256,), 4, hidden_dims=(8,))
    options = {"num_samples": 256, "num_rounds": 2, "num_pairs": 32}
    denoiser, history = fit_denoiser(key, EVENTS, NOISE, model=model, **options)
    assert np.isfinite(history["loss"]).all()
    assert denoise(denoiser, EVENTS[0]).shape == (700,)


def test_it_learns_what_tells_signal_from_noise(key):
    """Low-frequency bursts in white noise: the gain on bursts not seen is most of what their band makes possible."""
    rng = np.random.default_rng(3)
    time = np.arange(1000)
    rate = rng.uniform(0.02, 0.06, (60, 1))
    bursts = np.sin(2 * np.pi * rate * time) * np.exp(-(((time - 500) / 120) ** 2))
    bursts, noise = bursts + 1e-4 * rng.standard_normal(bursts.shape), rng.standard_normal((40, 500))
    model = masking_autoencoder((512,), frame_length=64, hop=32, hidden_dim=16, dilations=(1,))
    options = {"num_samples": 512, "arrival": np.full(40, 350), "num_pairs": 128, "batch_size": 32, "num_rounds": 8}
    reports = []
    denoiser, _ = fit_denoiser(
        key, bursts[:40], noise[:30], model=model, learning_rate=5e-3, progress=reports.append, **options
    )
    assert [report.epoch for report in reports] == list(range(1, 9))
    assert reports[-1].done
    pairs = mixtures(key, bursts[40:], noise[30:], 50, num_samples=512, arrival=np.full(20, 350))
    assert evaluate_denoiser(denoiser, pairs.noisy, pairs.clean)["mean gain, dB"] > 6


def test_a_fifth_of_what_is_trained_on_is_strong(key, monkeypatch):
    """Without such pairs strong events come out worse than they went in."""
    sources = []

    def fit(key, model, source, **options):
        sources.append(source)
        return Fitted({}, None, {})

    monkeypatch.setattr("aejax.tasks.denoising.denoiser.fit", fit)
    model = masking_autoencoder((256,), frame_length=64, hop=32, hidden_dim=8, dilations=(1,))
    fit_denoiser(key, EVENTS, NOISE, model=model, num_samples=256, event_snr_db=np.full(6, 30))
    (source,) = sources
    pairs = source.draw(source.arrays, key, 512)
    power = np.square(pairs.target).sum(axis=1) / np.square(pairs.x - pairs.target).sum(axis=1)
    snr_db = 10 * np.log10(np.maximum(power, 1e-20))
    assert 0.1 < (snr_db > 10.01).mean() < 0.3
    assert 28 < snr_db.max() <= 30.01
    assert 0.02 < (snr_db < -100).mean() < 0.1  # noise only


def test_the_same_key_gives_the_same_denoiser(key):
    model = masking_autoencoder((256,), frame_length=64, hop=32, hidden_dim=8, dilations=(1,))
    options = {"model": model, "num_samples": 256, "num_rounds": 2, "num_pairs": 32}
    (first, _), (second, _) = (fit_denoiser(key, EVENTS, NOISE, **options, **PLACES) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first.variables, second.variables)


@pytest.mark.slow
def test_real_earthquakes_of_stations_not_trained_on(key):
    """A small training: half a minute, and more than a band-pass gains, which is 4 dB."""
    from aejax.data.formats.traces import noise_before, read_events

    path = present(FOLDER / "seismic" / "ncedc_traces.npz")
    events = read_events(path)
    noise = np.stack(noise_before(events))
    stations = np.unique(events.group)
    unseen = np.isin(events.group, stations[::3])
    train, test = ~unseen & (events.snr_db > 20), unseen & (events.snr_db > 25)
    model = masking_autoencoder((1536,), hidden_dim=32, dilations=(1, 2, 4))
    denoiser, _ = fit_denoiser(
        key,
        events.x[train],
        noise[~unseen],
        model=model,
        num_samples=1536,
        arrival=events.arrival[train],
        event_groups=events.group[train],
        noise_groups=events.group[~unseen],
        num_rounds=8,
        num_pairs=256,
        batch_size=32,
        learning_rate=3e-3,
    )
    pairs = mixtures(
        key,
        events.x[test],
        noise[unseen],
        60,
        num_samples=1536,
        arrival=events.arrival[test],
        event_groups=events.group[test],
        noise_groups=events.group[unseen],
    )
    found = evaluate_denoiser(denoiser, pairs.noisy, pairs.clean)
    assert found["mean gain, dB"] > 5
    assert found["mean correlation, denoised"] > found["mean correlation, noisy"] + 0.05


def test_onsets_at_one_sample_a_second():
    """Two seconds hold too few samples: the search is as wide as the picker needs, at the ends of a record too."""
    rng = np.random.default_rng(0)
    arrival = np.array([3, 150, 298])
    clean = rng.standard_normal((3, 300)) * np.where(np.arange(300) < arrival[:, None], 0.01, 1.0)
    np.testing.assert_array_equal(onset_error(clean, clean, arrival, sampling_rate=1.0), 0)


@pytest.mark.parametrize(("share", "num_held_out"), [(0.0, 0), (0.2, 2), (0.6, 3)])
def test_as_many_stations_are_held_out_as_can_be(key, share, num_held_out):
    assert len(catalogue._held_out(key, np.arange(5), share)) == num_held_out


def test_a_single_station_left_cannot_be_trained_on(key):
    with pytest.warns(UserWarning, match="none of the 5 stations is held out"):
        assert len(catalogue._held_out(key, np.arange(5), 0.8)) == 0
