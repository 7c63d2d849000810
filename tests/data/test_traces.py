"""Catalogues and files of traces: what is written holds the headers of what was read."""

import numpy as np
import pytest

from aejax.data.formats.traces import Events, noise_before, read_events, read_traces, signal_to_noise, write_traces


@pytest.fixture
def catalogue(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 3000)) * np.where(np.arange(3000) < 1000, 0.1, 1) + 5
    fields = {"x": x, "arrival": np.array([1000, 1000, 1000]), "group": np.array(["A", "B", "B"])}
    return tmp_path / "events.npz", fields


def test_a_catalogue_is_read(catalogue):
    path, fields = catalogue
    np.savez(path, **fields)
    events = read_events(path)
    np.testing.assert_allclose(events.x, fields["x"], rtol=1e-6)
    np.testing.assert_allclose(events.snr_db, 20, atol=1)
    assert events.sampling_rate == 100
    assert list(events.group) == ["A", "B", "B"]


def test_integers_with_a_scale_and_names_of_traces(catalogue):
    path, fields = catalogue
    whole = np.int16(fields["x"] * 100)
    np.savez(path, x=whole, scale=np.full(3, 32767.0), itp=fields["arrival"], trace=["N_S1_0", "N_S2_1", "N_S2_2"])
    events = read_events(path)
    np.testing.assert_allclose(events.x, whole, rtol=1e-5)
    assert list(events.group) == ["N_S1", "N_S2", "N_S2"]


@pytest.mark.parametrize("absent", ["x", "arrival", "group"])
def test_an_absent_field_is_named(catalogue, absent):
    path, fields = catalogue
    del fields[absent]
    np.savez(path, **fields)
    with pytest.raises(ValueError, match=absent):
        read_events(path)


def test_a_field_of_another_length_is_named(catalogue):
    path, fields = catalogue
    np.savez(path, **fields | {"group": np.array(["A"])})
    with pytest.raises(ValueError, match=r"group: found shape \(1,\), expected \(3,\)"):
        read_events(path)


@pytest.mark.parametrize("arrival", [0, -5, 3000, np.nan])
def test_an_event_that_begins_outside_of_its_record_is_named(catalogue, arrival):
    path, fields = catalogue
    np.savez(path, **fields | {"arrival": np.array([1000, arrival, 1000])})
    with pytest.raises(ValueError, match=rf"arrival: found {arrival}.* in record 1 .*, 1 to 2999; leave"):
        read_events(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arrival": np.array(["a", "b", "c"])}, "arrival: found <U1, expected real numbers"),
        ({"x": np.full((3, 3000), "1.5")}, "x: found <U3, expected real numbers"),
        ({"x": np.zeros((0, 3000))}, r"found x of shape \(0, 3000\).*, expected x of shape .*, at least one"),
        ({"x": np.zeros((2, 2, 2, 9))}, r"found x of shape \(2, 2, 2, 9\)"),
        ({"sampling_rate": "fifty"}, "sampling_rate: found <U5, expected real numbers"),
        ({"sampling_rate": -50.0}, r"sampling_rate: found -50\.0, expected one positive number"),
        ({"sampling_rate": np.full(3, 50.0)}, r"sampling_rate: found shape \(3,\), expected one positive"),
        (
            {"arrival": np.array([10.5, 11, 12])},
            "arrival: found 10.5 to 12, not whole and within the 30 seconds",
        ),
    ],
)
def test_a_field_that_is_not_what_it_should_be_is_named(catalogue, changes, message):
    path, fields = catalogue
    np.savez(path, **fields | changes)
    with pytest.raises(ValueError, match=rf"^{path}: {message}"):
        read_events(path)


def test_arrivals_between_samples_are_rounded(catalogue):
    path, fields = catalogue
    np.savez(path, **fields | {"arrival": np.array([1000.4, 1000.6, 999.0])})
    np.testing.assert_array_equal(read_events(path).arrival, [1000, 1001, 999])


@pytest.mark.parametrize("value", [np.nan, 0.1])
def test_a_bad_record_is_named_by_its_row_and_its_station(catalogue, value):
    path, fields = catalogue
    bad = fields["x"].copy()
    bad[2] = value
    np.savez(path, **fields | {"x": bad})
    with pytest.raises(ValueError, match=rf"^{path}: x: record 2 .* of B is constant or not finite \(1 such"):
        read_events(path)


@pytest.mark.parametrize("content", [b"time,value", b"", b"PK\x03\x04 cut off"])
def test_what_is_no_catalogue_is_refused(tmp_path, content):
    path = tmp_path / "events.npz"
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_events(path)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no NPZ file"):
        read_events(path)


def test_noise_ends_before_each_arrival_and_keeps_its_length():
    """One early arrival does not cut the noise of the others."""
    x = np.tile(np.arange(600.0), (3, 1))
    events = Events(x, np.array([300, 200, 15]), np.array(["A", "B", "B"]), np.zeros(3), 100.0)
    first, second, third = noise_before(events, guard=0.2)
    np.testing.assert_array_equal(first, np.arange(280))
    np.testing.assert_array_equal(second, np.arange(180))
    assert len(third) == 0


@pytest.mark.parametrize("shape", [(2,), (2, 3)])
def test_three_components_are_records_of_one_arrival(tmp_path, shape):
    path = tmp_path / "events.npz"
    x = np.random.default_rng(0).standard_normal((2, 3, 900)) * np.where(np.arange(900) < 400, 0.1, 1)
    snr_db = np.arange(np.prod(shape)).reshape(shape) + 20.0
    np.savez(path, x=x, arrival=[400, 500], group=["A", "B"], snr_db=snr_db)
    events = read_events(path)
    np.testing.assert_allclose(events.x, x.reshape(6, 900), rtol=1e-6)
    np.testing.assert_array_equal(events.arrival, [400, 400, 400, 500, 500, 500])
    assert "".join(events.group) == "AAABBB"
    np.testing.assert_array_equal(events.snr_db, np.broadcast_to(snr_db.reshape(2, -1), (2, 3)).ravel())
    np.savez(path, x=x.swapaxes(1, 2), arrival=[400, 500], group=["A", "B"])
    with pytest.raises(ValueError, match=r"x: found shape \(2, 900, 3\), .* looks like \(samples, channels\)"):
        read_events(path)


def test_counts_with_a_large_offset_are_no_constant_records(catalogue):
    """Not after they became 32-bit floats."""
    path, fields = catalogue
    x = np.int32(fields["x"] * 20) + np.int32(1_000_000_000)
    np.savez(path, **fields | {"x": x})
    np.testing.assert_array_equal(read_events(path).x, x)


def test_a_ratio_that_is_not_finite_is_measured(catalogue):
    path, fields = catalogue
    np.savez(path, **fields, snr_db=[7.0, np.nan, -np.inf])
    snr_db = read_events(path).snr_db
    assert snr_db[0] == 7
    np.testing.assert_allclose(snr_db[1:], 20, atol=1)


def test_signal_to_noise_ignores_an_offset():
    x = np.random.default_rng(0).standard_normal((1, 2000)) * np.where(np.arange(2000) < 1000, 0.1, 1)
    np.testing.assert_allclose(signal_to_noise(x + 1e4, [1000], 100), signal_to_noise(x, [1000], 100), atol=1e-3)


@pytest.mark.parametrize("shape", [(500,), (3, 500)])
def test_npy_there_and_back(tmp_path, shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    np.save(tmp_path / "in.npy", x)
    recording = read_traces(tmp_path / "in.npy")
    assert recording.sampling_rates[0] is None
    write_traces(tmp_path / "out.npy", tmp_path / "in.npy", [2 * trace for trace in recording.traces])
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), 2 * x)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.npy", "out.npy"]


@pytest.mark.filterwarnings("ignore")  # of obspy's imports
def test_miniseed_keeps_its_headers(tmp_path):
    obspy = pytest.importorskip("obspy")
    rng = np.random.default_rng(0)
    begin = obspy.UTCDateTime(2012, 8, 31, 8, 44, 13, 250000)
    headers = [
        {"network": "AZ", "station": "PFO", "channel": f"HH{c}", "starttime": begin, "sampling_rate": rate}
        for c, rate in (("E", 100.0), ("Z", 40.0))
    ]
    stream = obspy.Stream([obspy.Trace(rng.integers(-99, 99, 1000).astype(np.int32), header) for header in headers])
    stream.write(str(tmp_path / "in.mseed"), format="MSEED", encoding="STEIM2")
    recording = read_traces(tmp_path / "in.mseed")
    assert recording.names == ["AZ.PFO..HHE", "AZ.PFO..HHZ"]
    assert recording.sampling_rates == [100.0, 40.0]
    np.testing.assert_array_equal(recording.traces[0], stream[0].data)
    write_traces(tmp_path / "out.mseed", tmp_path / "in.mseed", [trace / 3 for trace in recording.traces])
    written = obspy.read(str(tmp_path / "out.mseed"))
    for old, new in zip(stream, written, strict=True):
        assert (old.id, old.stats.starttime, old.stats.sampling_rate) == (
            new.id,
            new.stats.starttime,
            new.stats.sampling_rate,
        )
        np.testing.assert_allclose(new.data, old.data / 3, rtol=1e-6)


@pytest.mark.parametrize("sample_format", [1, 3, 5])  # IBM float, 16-bit integers, IEEE float
def test_segy_changes_nothing_but_samples(tmp_path, sample_format):
    segyio = pytest.importorskip("segyio")
    spec = segyio.spec()
    spec.samples, spec.tracecount, spec.format = np.arange(300) * 4.0, 5, sample_format
    rng = np.random.default_rng(0)
    x = rng.integers(-1000, 1000, (5, 300))
    with segyio.create(tmp_path / "in.sgy", spec) as file:
        file.text[0] = segyio.tools.create_text_header({1: "A line"})
        file.bin[segyio.BinField.Interval] = 4000
        file.bin[segyio.BinField.Format] = sample_format
        for index in range(5):
            file.header[index] = {
                segyio.TraceField.FieldRecord: 70 + index,
                segyio.TraceField.TRACE_SAMPLE_INTERVAL: 4000,
                segyio.TraceField.TRACE_SAMPLE_COUNT: 300,
            }
            file.trace[index] = x[index].astype(file.dtype)
    recording = read_traces(tmp_path / "in.sgy")
    assert recording.sampling_rates == [250.0] * 5
    np.testing.assert_allclose(np.stack(recording.traces), x)
    write_traces(tmp_path / "out.sgy", tmp_path / "in.sgy", [trace / 4 for trace in recording.traces])
    np.testing.assert_allclose(np.stack(read_traces(tmp_path / "out.sgy").traces), x / 4, atol=0.5)
    old, new = ((tmp_path / name).read_bytes() for name in ("in.sgy", "out.sgy"))
    assert old[:3600] == new[:3600]
    length = (len(old) - 3600) // 5
    for begin in range(3600, len(old), length):
        assert old[begin : begin + 240] == new[begin : begin + 240]
        assert old[begin + 240 : begin + length] != new[begin + 240 : begin + length]


@pytest.mark.filterwarnings("ignore")
def test_names_of_archives_text_and_pieces_without_samples(tmp_path):
    obspy = pytest.importorskip("obspy")
    parts = [np.arange(50, dtype=np.int32), np.frombuffer(b"clock locked", "|S1"), np.zeros(1, np.int32)]
    header = {"network": "BW", "station": "UH3", "channel": "EHZ"}
    stream = obspy.Stream([obspy.Trace(part, header | {"location": str(i)}) for i, part in enumerate(parts)])
    stream[1].stats.channel = "LOG"
    source, written = (tmp_path / name for name in ("BW.UH3..EHZ.D.2010.171", "BW.UH3..EHZ.D.2010.172"))
    stream.write(str(source), format="MSEED")
    recording = read_traces(source)
    assert [len(trace) for trace in recording.traces] == [50, 1]
    write_traces(written, source, [2.5 * trace for trace in recording.traces])
    first, text, last = obspy.read(str(written))
    np.testing.assert_array_equal(first.data, 2.5 * parts[0])
    assert text.data.tobytes() == b"clock locked"
    assert len(last) == 1
    stream[1:2].write(str(source), format="MSEED")
    with pytest.raises(ValueError, match=r"LOG, text alone"):
        read_traces(source)


def test_segy_of_the_other_order_of_bytes(tmp_path):
    segyio = pytest.importorskip("segyio")
    spec = segyio.spec()
    spec.samples, spec.tracecount, spec.format, spec.endian = np.arange(300), 2, 5, "little"
    x = np.random.default_rng(0).standard_normal((2, 300)).astype(np.float32)
    source, written = tmp_path / "line_7", tmp_path / "out.sgy"
    with segyio.create(source, spec) as file:
        file.bin[segyio.BinField.Interval] = 4000
        file.trace[:] = x
    recording = read_traces(source)
    np.testing.assert_array_equal(recording.traces, x)
    assert recording.sampling_rates == [250, 250]
    write_traces(written, source, 2 * x)
    np.testing.assert_array_equal(read_traces(written).traces, 2 * x)
    assert source.read_bytes()[:3600] == written.read_bytes()[:3600]


def test_what_cannot_work_is_refused(tmp_path):
    np.save(tmp_path / "in.npy", np.zeros((2, 9)))
    (tmp_path / "in.txt").write_text("time,value\n" * 500)
    with pytest.raises(ValueError, match=r"ending '\.txt' and no known content"):
        read_traces(tmp_path / "in.txt")
    (tmp_path / "in.txt").unlink()
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_traces(tmp_path / "absent.npy")
    with pytest.raises(ValueError, match=r"ends like in\.npy"):
        write_traces(tmp_path / "out.mseed", tmp_path / "in.npy", [np.zeros(9)] * 2)
    with pytest.raises(ValueError, match="found 1 traces, expected 2"):
        write_traces(tmp_path / "out.npy", tmp_path / "in.npy", [np.zeros(9)])
    np.save(tmp_path / "in.npy", np.zeros((0, 9)))
    with pytest.raises(ValueError, match=r"shape \(0, 9\), .* at least one"):
        read_traces(tmp_path / "in.npy")
    assert [path.name for path in tmp_path.iterdir()] == ["in.npy"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "library", "message"),
    [
        ("in.mseed", "obspy", "is not miniSEED, as its name says"),
        ("in.sgy", "segyio", "is not SEG-Y"),
        ("in.npy", "numpy", "no array of numbers, expected an NPY"),
    ],
)
def test_a_file_that_is_not_what_its_name_says(tmp_path, name, library, message):
    pytest.importorskip(library)
    (tmp_path / name).write_bytes(b"time,value\n" * 500)
    with pytest.raises(ValueError, match=message):
        read_traces(tmp_path / name)


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_miniseed_file_is_called_so(tmp_path):
    obspy = pytest.importorskip("obspy")
    path = tmp_path / "in.mseed"
    obspy.Trace(np.arange(999, dtype=np.int32) ** 2).write(str(path), format="MSEED", encoding="STEIM2")
    content = path.read_bytes()
    path.write_bytes(content[:64] + np.random.default_rng(0).bytes(len(content) - 64))
    with pytest.raises(ValueError, match="damaged miniSEED"):
        read_traces(path)
