"""Records as they come: each file of the cases has the right answer, or one sentence."""

import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tyro

from aejax.artefacts import codecs
from aejax.base import Batch
from aejax.cli.commands.denoising import DenoiseCommand, run
from aejax.data.formats.traces import read_traces
from aejax.models.masking import masking_autoencoder
from aejax.tasks.denoising import Denoiser, denoise, gain

pytestmark = pytest.mark.filterwarnings("ignore")  # of obspy's imports
PLACE = {"network": "XX", "station": "AAA"}


@pytest.fixture(scope="module")
def folder(cases):
    return cases / "seismic"


@pytest.fixture(scope="module")
def denoiser():
    """One that was not trained, whose mask is near a half: what comes out is known from what goes in."""
    model = masking_autoencoder((3072,), hidden_dim=8, dilations=(1,))
    variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 3072))))
    return Denoiser(model, variables, 3072, 100.0)


@pytest.fixture(scope="module")
def trained(denoiser, tmp_path_factory):
    path = tmp_path_factory.mktemp("denoiser")
    codecs.save(path, denoiser)
    return path


@pytest.fixture
def denoised(trained, tmp_path, capsys):
    """Runs the command; gives what was written, and the notes."""

    def command(source, *words, name=None):
        out = tmp_path / (name or f"out-{source.name}")
        run(tyro.cli(DenoiseCommand, args=list(map(str, (trained, source, "--out", out, *words)))))
        return read_traces(out), capsys.readouterr().err

    return command


def needs(path):
    pytest.importorskip("segyio" if path.suffix == ".sgy" else "obspy")


def close(found, expected):
    """To a thousandth of its size: rounding and 32-bit floats."""
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.ptp(expected) + 1e-12)


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("rate-199.99998.mseed", 200.0),
        ("rate-49.9986.mseed", 50.0),
        ("dt-16667us.sgy", 60.0),
        ("dt-40000us.sgy", 25.0),
    ],
)
def test_rates_that_differ_by_rounding_are_one(folder, denoised, denoiser, name, rate):
    needs(folder / name)
    recording = read_traces(folder / name)
    assert recording.sampling_rates[0] == pytest.approx(rate, rel=1e-4)
    found, _ = denoised(folder / name)
    assert found.sampling_rates == recording.sampling_rates
    for new, old in zip(found.traces, recording.traces, strict=True):
        close(new, denoise(denoiser, old, rate))


def test_an_option_overrules_a_wrong_header_and_says_so(folder, denoised, denoiser):
    source = folder / "header-says-500Hz.mseed"
    needs(source)
    (trace,) = read_traces(source).traces
    found, notes = denoised(source, "--sampling-rate", 100)
    close(found.traces[0], denoise(denoiser, trace, 100))
    assert "taken as 100 samples a second, as --sampling-rate says; the file says 500" in notes
    assert np.ptp(found.traces[0] - denoise(denoiser, trace, 500)) > 0.1 * np.ptp(trace)
    _, notes = denoised(source, "--sampling-rate", 499.9999)
    assert "taken as" not in notes


def test_headers_that_disagree_are_both_named(folder, denoised, denoiser):
    source = folder / "dt-headers-disagree.sgy"
    needs(source)
    with pytest.raises(ValueError, match=r"10000 us in the binary header and 2000 us in trace headers.* 100 or 500"):
        denoised(source)
    recording = read_traces(source)
    assert recording.sampling_rates == [None] * 3
    found, _ = denoised(source, "--sampling-rate", 100)
    for new, old in zip(found.traces, recording.traces, strict=True):
        close(new, denoise(denoiser, old, 100))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("format-4-gain.sgy", r"sample format: found code 4 \(fixed point with gain\), expected one of 1, 2, 3, 5"),
        ("format-4-code-only.sgy", r"sample format: found code 4 .* or correct the code"),
        ("variable-lengths-that-add-up.sgy", "traces of 9001, 6001, 12001 samples by their headers, and 9001 in the"),
        ("samples-first.npy", r"shape \(9001, 3\), 9001 traces of 3 samples, which looks like \(samples, channels\)"),
    ],
)
def test_what_would_be_guessed_is_named(folder, denoised, tmp_path, name, message):
    needs(folder / name)
    with pytest.raises(ValueError, match=f"{re.escape(str(folder / name))}: .*{message}"):
        denoised(folder / name)
    assert list(tmp_path.iterdir()) == []


def test_unsigned_samples_keep_both_halves_of_the_wave(folder, denoised, denoiser):
    source = folder / "unsigned-format.sgy"
    needs(source)
    (trace,) = read_traces(source).traces
    expected = denoise(denoiser, trace)
    found, _ = denoised(source)
    assert found.traces[0].dtype == np.uint16
    np.testing.assert_allclose(found.traces[0], expected, atol=0.5)
    swing = expected - expected.mean()
    assert swing.min() < -100
    assert swing.max() > 100


def test_few_counts_become_floats(folder, denoised, denoiser):
    source = folder / "int16-small-counts.sgy"
    needs(source)
    recording = read_traces(source)
    found, notes = denoised(source)
    assert "32-bit floats, format 5 instead of 3, which cannot hold the result" in notes
    assert found.traces[0].dtype == np.float32
    assert found.sampling_rates == recording.sampling_rates
    for new, old in zip(found.traces, recording.traces, strict=True):
        np.testing.assert_allclose(new, denoise(denoiser, old), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("one-slow-channel.mseed", "1 traces stay as they are, at 1 samples a second, expected 20 to 500: XX.AAA..LHZ"),
        ("one-nan-trace.mseed", ""),
        ("one-odd-rate.mseed", ""),
        ("gaps-overlaps.mseed", "without a piece of two samples that is no gap: XX.AAA.00.HHE"),
    ],
)
def test_one_unsuitable_trace_does_not_refuse_a_day(folder, denoised, denoiser, name, reason):
    obspy = pytest.importorskip("obspy")
    recording = read_traces(folder / name)
    found, notes = denoised(folder / name)
    assert reason in notes
    for old, new, rate in zip(recording.traces, found.traces, recording.sampling_rates, strict=True):
        expected = denoise(denoiser, old, rate) if len(old) > 100 else old
        close(new[np.isfinite(expected)], expected[np.isfinite(expected)])
        np.testing.assert_array_equal(np.isfinite(new), np.isfinite(old))
    for old, new in zip(*(obspy.read(str(path)) for path in (folder / name, folder / name)), strict=True):
        assert (old.id, old.stats.starttime, old.stats.endtime) == (new.id, new.stats.starttime, new.stats.endtime)


@pytest.mark.parametrize("name", ["gap-minus999.npy", "gap-nan.npy"])
def test_gaps_are_found_and_stay(folder, denoised, denoiser, name):
    record = np.load(folder / name)
    is_gap = np.isnan(record) | (record == -999)
    assert is_gap.sum() == 1200
    found, notes = denoised(folder / name)
    assert "gaps of 1200 samples in all stay as they are" in notes
    np.testing.assert_array_equal(found.traces[0][is_gap], record[is_gap])
    begin, end = np.flatnonzero(is_gap)[[0, -1]]
    for piece in (slice(0, begin), slice(end + 1, None)):
        np.testing.assert_allclose(found.traces[0][piece], denoise(denoiser, record[piece]), rtol=1e-9)


def test_nothing_is_lost_above_the_band_that_was_trained(folder, denoised):
    source = folder / "250Hz.mseed"
    needs(source)
    (trace,) = read_traces(source).traces
    found, notes = denoised(source)
    assert "what lies above 50 Hz, up to 97 % of a trace's energy, stays as it is" in notes
    middle = slice(1000, -1000)
    for new, share in ((found, 1.0), (denoised(source, "--remove-above", name="b.mseed")[0], 0.0)):
        before, after = (np.fft.rfft(np.hanning(len(x[middle])) * x[middle]) for x in (trace, new.traces[0]))
        above = np.fft.rfftfreq(len(trace[middle]), 1 / 250) > 55
        kept = np.sum(np.abs(after[above]) ** 2) / np.sum(np.abs(before[above]) ** 2)
        assert kept == pytest.approx(share, abs=0.01)


def test_the_mixture_of_the_cases_is_made_no_worse(folder, denoiser):
    clean, noisy = np.load(folder / "clean.npy"), np.load(folder / "noisy.npy")
    assert gain(noisy, clean, noisy) == 0
    assert np.isfinite(gain(noisy, clean, denoise(denoiser, noisy)))


@pytest.mark.parametrize("offset", [1_000_000_000, -2_000_000_000])
def test_a_large_offset_is_no_constant_record(tmp_path, denoised, denoiser, offset):
    obspy = pytest.importorskip("obspy")
    counts = np.random.default_rng(0).integers(-40, 40, 5000).astype(np.int32)
    source = tmp_path / "in.mseed"
    obspy.Trace(counts + np.int32(offset), PLACE | {"sampling_rate": 100.0}).write(str(source), "MSEED")
    found, _ = denoised(source)
    np.testing.assert_allclose(found.traces[0] - offset, denoise(denoiser, counts), atol=0.01)
    removed, _ = denoised(source, "--remove-offset", name="b.mseed")
    np.testing.assert_allclose(removed.traces[0], denoise(denoiser, counts, keep_offset=False), atol=0.01)


@pytest.mark.parametrize("filling", [-(2**31), -32768, -12345, 0])
@pytest.mark.parametrize("length", [20, 300])
def test_gaps_of_any_filling_stay(tmp_path, denoised, denoiser, filling, length):
    counts = np.random.default_rng(0).integers(9000, 11000, 5000).astype(np.int32)
    record = counts.copy()
    record[2000 : 2000 + length] = filling
    source = tmp_path / "in.npy"
    np.save(source, record)
    found, notes = denoised(source)
    assert f"gaps of {length} samples in all" in notes
    np.testing.assert_array_equal(found.traces[0][2000 : 2000 + length], filling)
    close(found.traces[0][:2000], denoise(denoiser, counts[:2000]))


@pytest.mark.parametrize(("filling", "length"), [(-999, 20), (-12345, 8), (1234, 256), (0, 256)])
def test_gaps_among_samples_of_their_size_stay(tmp_path, denoised, filling, length):
    """Marks in a row, and a last value that is repeated for as long as a frame."""
    record = np.rint(np.random.default_rng(0).normal(0, 9000, 5000))
    record[2000 : 2000 + length] = filling
    np.save(tmp_path / "in.npy", record)
    found, notes = denoised(tmp_path / "in.npy")
    assert f"gaps of {length} samples in all" in notes
    np.testing.assert_array_equal(found.traces[0][2000 : 2000 + length], filling)


def test_quiet_counts_are_no_gaps(tmp_path, denoised):
    """Values repeat themselves in runs, -1 and 0 most of all; a clipped wave stays at its highest value."""
    rng = np.random.default_rng(0)
    wave = np.clip(np.rint(3000 * np.sin(np.arange(5000) / 20) + rng.standard_normal(5000)), -2500, 2500)
    np.save(tmp_path / "in.npy", np.stack([rng.integers(-1, 2, 5000), wave]))
    _, notes = denoised(tmp_path / "in.npy")
    assert "gaps of" not in notes


def test_channels_and_stations_choose(tmp_path, denoised, denoiser):
    obspy = pytest.importorskip("obspy")
    rng = np.random.default_rng(0)
    ids = [("AZ", "PFO", "HHZ"), ("AZ", "PFO", "BHZ"), ("AZ", "KNW", "HHN"), ("CI", "PFO", "HHE")]
    source = tmp_path / "day.mseed"
    traces = [
        obspy.Trace(rng.standard_normal(900), {"network": n, "station": s, "channel": c, "sampling_rate": 100.0})
        for n, s, c in ids
    ]
    obspy.Stream(traces).write(str(source), "MSEED")
    before = {trace.id: trace.data for trace in obspy.read(str(source))}
    for words, chosen in [
        (("--channels", "HH?"), "023"),
        (("--channels", "HHZ", "BHZ"), "01"),
        (("--stations", "KNW"), "2"),
        (("--stations", "AZ.*", "--channels", "?HZ"), "01"),
        (("--stations", "CI.PFO"), "3"),
    ]:
        found, notes = denoised(source, *words, name=f"{chosen}.mseed")
        assert "stay as they are, not of --" in notes
        for (network, station, channel), name, new in zip(ids, found.names, found.traces, strict=True):
            assert name == f"{network}.{station}..{channel}"
            is_chosen = str(ids.index((network, station, channel))) in chosen
            np.testing.assert_allclose(new, denoise(denoiser, before[name], 100) if is_chosen else before[name])
    with pytest.raises(ValueError, match=r"found no trace to denoise: trace AZ\.PFO\.\.HHZ: not of --channels"):
        denoised(source, "--channels", "LHZ", name="none.mseed")
    np.save(tmp_path / "in.npy", np.zeros(900))
    with pytest.raises(ValueError, match=r"--channels, --stations: found traces without names"):
        denoised(tmp_path / "in.npy", "--channels", "HHZ")


def test_the_ending_is_checked_before_anything_is_read(tmp_path):
    np.save(tmp_path / "in.npy", np.zeros(900))
    words = (tmp_path / "no run", tmp_path / "in.npy", "--out", tmp_path / "out.mseed")
    with pytest.raises(ValueError, match=r"out\.mseed: found the ending of miniSEED, expected .* like in\.npy"):
        run(tyro.cli(DenoiseCommand, args=list(map(str, words))))


@pytest.mark.parametrize("shape", [(4, 700), (2, 3, 700), (700,)])
def test_arrays_of_components(tmp_path, denoised, denoiser, shape):
    x = np.random.default_rng(0).standard_normal(shape)
    np.save(tmp_path / "in.npy", x)
    denoised(tmp_path / "in.npy", name="out.npy")
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), denoise(denoiser, x))


def test_many_channels_in_the_place_of_samples(tmp_path, denoised):
    """By how rough each axis is: as many traces as samples may well be right."""
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.standard_normal((100, 900)), axis=1)
    np.save(tmp_path / "in.npy", x.T)
    with pytest.raises(ValueError, match=r"900 traces of 100 samples, which looks like \(samples, channels\)"):
        denoised(tmp_path / "in.npy")
    for name, right in (("few", x), ("many", np.cumsum(rng.standard_normal((900, 300)), axis=1))):
        np.save(tmp_path / f"{name}.npy", right)
        found, _ = denoised(tmp_path / f"{name}.npy")
        assert len(found.traces) == len(right)


def test_the_source_of_a_case_is_as_it_was(folder, denoised, tmp_path):
    """What is written through is written to another file."""
    source = tmp_path / "clean.npy"
    shutil.copyfile(folder / "clean.npy", source)
    before = source.read_bytes()
    denoised(source)
    assert source.read_bytes() == before
