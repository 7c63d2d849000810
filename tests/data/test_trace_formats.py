"""Formats of traces: what cannot hold a result is not written into, flags and times stay, headers are checked."""

import numpy as np
import pytest

from aejax.data.formats.trace_files.miniseed_records import records_of
from aejax.data.formats.trace_files.registry import held_as
from aejax.data.formats.traces import read_traces, write_traces

pytestmark = pytest.mark.filterwarnings("ignore")  # of obspy's imports
RNG = np.random.default_rng(0)


def segy(path, x, code=5, endian="big", interval=4000, of_traces=None):
    """A file of traces, as segyio writes it."""
    segyio = pytest.importorskip("segyio")
    spec = segyio.spec()
    spec.samples, spec.tracecount, spec.format, spec.endian = np.arange(x.shape[1]), len(x), code, endian
    with segyio.create(path, spec) as file:
        file.bin[segyio.BinField.Interval] = interval
        for index, trace in enumerate(x):
            file.header[index] = {
                segyio.TraceField.TRACE_SAMPLE_COUNT: x.shape[1],
                segyio.TraceField.FieldRecord: 70 + index,
                segyio.TraceField.TRACE_SAMPLE_INTERVAL: (of_traces or [interval] * len(x))[index],
            }
            file.trace[index] = trace.astype(file.dtype)
    return path


@pytest.mark.parametrize(
    ("code", "dtype"), [(2, "int32"), (3, "int16"), (8, "int8"), (10, "uint32"), (11, "uint16"), (16, "uint8")]
)
@pytest.mark.parametrize("endian", ["big", "little"])
def test_whole_numbers_are_kept_where_they_hold_the_result(tmp_path, code, dtype, endian):
    middle = 0 if dtype.startswith("i") else 120
    x = np.clip(np.rint(RNG.normal(middle, 40, (3, 500))), middle - 120, middle + 120)
    source = segy(tmp_path / "in.sgy", x, code, endian)
    np.testing.assert_array_equal(np.stack(read_traces(source).traces), x)
    result = middle + 0.9 * (x - middle)
    assert write_traces(tmp_path / "out.sgy", source, list(result)) == ""
    found = read_traces(tmp_path / "out.sgy").traces
    assert found[0].dtype == dtype
    np.testing.assert_allclose(np.stack(found), result, atol=0.5001)
    for name, too_much in (("below", result - 300 if middle else 9 * result), ("small", middle + 0.01 * (x - middle))):
        if dtype in ("int16", "int32") and name == "below":
            continue  # these hold it
        changed = write_traces(tmp_path / f"{name}.sgy", source, list(too_much))
        assert f"format 5 instead of {code}" in changed
        found = read_traces(tmp_path / f"{name}.sgy")
        np.testing.assert_allclose(np.stack(found.traces), too_much, rtol=1e-6, atol=1e-6)
        assert found.sampling_rates == [250.0] * 3
        old, new = source.read_bytes(), (tmp_path / f"{name}.sgy").read_bytes()
        assert (old[:3224], old[3226:3600]) == (new[:3224], new[3226:3600])
        width = np.dtype(dtype).itemsize
        for index in range(3):
            begins = [3600 + index * (240 + 500 * size) for size in (width, 4)]
            assert old[begins[0] : begins[0] + 240] == new[begins[1] : begins[1] + 240]


def test_a_result_that_is_nothing_but_its_offset_is_exact(tmp_path):
    """A dead trace that was passed over stays in its own type."""
    assert held_as(np.int16, [np.full(9, 7.0), np.array([1000.2, -3000.1])]) is not None
    assert held_as(np.int16, [np.full(9, 7.5)]) is None
    assert held_as(np.uint8, [np.array([-1.0, 200])]) is None
    assert held_as(np.int32, [np.array([np.nan, 200])]) is None
    assert held_as(np.float32, [1e9 + RNG.normal(0, 30, 999)]) is None
    assert held_as(np.float32, [np.array([1e39, 0.0])]) is None
    with_gap = np.concatenate([RNG.normal(0, 1, 500), np.full(300, -(2.0**31))])
    assert held_as(np.int32, [with_gap]) is None  # the gap does not make the counts large
    assert held_as(np.float32, [with_gap])[0][-1] == -(2**31)
    assert held_as(np.int32, [1000 * np.where(with_gap < -99, -(2.0**31) / 1000, with_gap)])[0][-1] == -(2**31)
    assert held_as(np.int16, [np.array([32767.4, -32768.4, 0])])[0].tolist() == [32767, -32768, 0]


@pytest.mark.parametrize("num_samples", [1, 32767, 40000])
def test_long_traces_and_intervals(tmp_path, num_samples):
    x = RNG.standard_normal((2, num_samples)).astype(np.float32)
    source = segy(tmp_path / "in.sgy", x)
    content = bytearray(source.read_bytes())
    for at in (3216, 3600 + 116, 3600 + 240 + 4 * num_samples + 116):
        content[at : at + 2] = (50_000).to_bytes(2, "big")
    source.write_bytes(content)
    recording = read_traces(source)
    assert recording.sampling_rates == [20.0, 20.0]
    np.testing.assert_array_equal(np.stack(recording.traces), x)


@pytest.mark.parametrize(
    ("interval", "of_traces", "rates", "message"),
    [
        (4000, [0, 0, 0], 250.0, ""),
        (0, [4000, 4000, 4000], 250.0, ""),
        (16667, [16666, 16667, 16667], 1e6 / 16667, ""),
        (0, [0, 0, 0], None, "no sampling interval in its headers; give --sampling-rate"),
        (4000, [4000, 4000, 2000], None, "4000 us in the binary header and 2000 us in trace headers"),
        (0, [1000, 4000, 1000], None, "0 us in the binary header and 1000 us, 4000 us in trace headers"),
    ],
)
def test_intervals_that_agree_or_do_not(tmp_path, interval, of_traces, rates, message):
    source = segy(tmp_path / "in.sgy", RNG.standard_normal((3, 300)), interval=interval, of_traces=of_traces)
    recording = read_traces(source)
    assert recording.sampling_rates == [rates] * 3
    assert message in recording.rate_problem
    assert bool(message) == bool(recording.rate_problem)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-3], "which are no whole number of traces .* cut off"),
        (lambda content: content[:3224] + b"\0\4" + content[3226:], "found code 4 .fixed point with gain"),
        (lambda content: content[:3224] + b"\0\x09" + content[3226:], "found code 9 .64 bits"),
        (lambda content: content[:3224] + b"\0\x0d" + content[3226:], "found code 13 .not in use"),
        (lambda content: content[:3224] + b"\x03\x03" + content[3226:], "is not SEG-Y, or is damaged.* format 771"),
        (lambda content: content[:3220] + b"\0\0" + content[3222:], "samples by their headers, and 0 in the binary"),
        (lambda content: content[:3220] + b"\1\0" + content[3222:], "300 samples by their headers, and 256 in the"),
        (lambda content: content[:3000], "is not SEG-Y, or is damaged"),
        (lambda content: content[:3500], "is not SEG-Y, or is damaged"),
    ],
)
def test_headers_that_do_not_fit_are_named(tmp_path, change, message):
    source = segy(tmp_path / "in.sgy", RNG.standard_normal((3, 300)))
    source.write_bytes(change(source.read_bytes()))
    with pytest.raises(ValueError, match=message):
        read_traces(source)


def stream(**headers):
    obspy = pytest.importorskip("obspy")
    header = {"network": "AZ", "station": "PFO", "channel": "HHZ", "sampling_rate": 100.0} | headers
    header["starttime"] = obspy.UTCDateTime(2012, 8, 31, 8, 44, 13, 250000)
    return obspy.Stream([obspy.Trace(np.rint(RNG.normal(0, 3000, 1500)), header)])


@pytest.mark.parametrize(
    ("ending", "name", "dtype"), [(".sac", "SAC", "float32"), (".gse2", "GSE2", "int32"), (".su", "SU", "float32")]
)
def test_formats_of_the_field_there_and_back(tmp_path, ending, name, dtype):
    obspy = pytest.importorskip("obspy")
    source, out = tmp_path / f"in{ending}", tmp_path / f"out{ending}"
    given = stream()
    given[0].data = given[0].data.astype(dtype)
    given.write(str(source), format=name)
    recording = read_traces(source)
    assert recording.sampling_rates[0] == pytest.approx(100, rel=1e-6)
    np.testing.assert_array_equal(recording.traces[0], given[0].data)
    result = 0.25 * recording.traces[0].astype(float)
    assert write_traces(out, source, [result]) == ""
    (old,), (new,) = (obspy.read(str(path), format=name) for path in (source, out))
    np.testing.assert_allclose(new.data, result, atol=0.5001 if dtype == "int32" else 1e-3)
    assert (old.id, old.stats.starttime, old.stats.delta) == (new.id, new.stats.starttime, new.stats.delta)
    if name != "SU":  # nothing marks it
        renamed = tmp_path / "no ending"
        renamed.write_bytes(source.read_bytes())
        np.testing.assert_array_equal(read_traces(renamed).traces[0], given[0].data)
    if name == "GSE2":
        with pytest.raises(ValueError, match="GSE2 has int32 samples alone, which cannot hold the result"):
            write_traces(out, source, [1e-4 * result])
    source.write_bytes(b"time,value\n" * 500)
    with pytest.raises(ValueError, match=rf"is not {name}, as its name says"):
        read_traces(source)


def test_sac_keeps_what_its_header_holds(tmp_path):
    obspy = pytest.importorskip("obspy")
    from obspy.io.sac import SACTrace

    source = tmp_path / "in.sac"
    trace = SACTrace(data=RNG.standard_normal(900).astype(np.float32), delta=0.01, stla=33.6, t1=3.25, kt1="P")
    trace.write(str(source))
    write_traces(tmp_path / "out.sac", source, [2 * trace.data])
    found = obspy.read(str(tmp_path / "out.sac"))[0].stats.sac
    assert found.t1 == pytest.approx(3.25)
    assert found.stla == pytest.approx(33.6)
    assert found.kt1.strip() == "P"


@pytest.mark.parametrize("record_length", [512, 4096])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_flags_and_quality_of_data_stay(tmp_path, record_length, byteorder):
    obspy = pytest.importorskip("obspy")
    source, out = tmp_path / "in.mseed", tmp_path / "out.mseed"
    given, other = stream(), stream(channel="HHN")
    given[0].data = np.rint(RNG.normal(0, 3000, 40000)).astype(np.int32)
    other[0].data = other[0].data.astype(np.int32)
    given[0].stats.mseed = obspy.core.AttribDict(dataquality="Q")
    (given + other).write(str(source), format="MSEED", reclen=record_length, byteorder=byteorder, encoding="STEIM2")
    content = bytearray(source.read_bytes())
    of_channel = records_of(source)["AZ.PFO..HHZ"]
    for index, record in enumerate(of_channel):
        # An event for a while, a clock that is locked, a spike in the middle.
        content[record.begin + 36] = 64 if index < 4 else 0
        content[record.begin + 37] = 32
        content[record.begin + 38] = 4 if index == len(of_channel) // 2 else 0
    source.write_bytes(content)
    write_traces(out, source, [0.5 * trace for trace in read_traces(source).traces])
    before, after = (obspy.read(str(path)) for path in (source, out))
    assert [trace.stats.mseed.dataquality for trace in after] == ["Q", "D"]
    assert [trace.stats.starttime for trace in after] == [trace.stats.starttime for trace in before]
    before, after = (records_of(path) for path in (source, out))
    assert not any(any(record.flags) for record in after["AZ.PFO..HHN"])
    found = after["AZ.PFO..HHZ"]
    for record in found:
        spanned = [one for one in before["AZ.PFO..HHZ"] if one.end >= record.start and one.start <= record.end]
        for byte in range(3):
            assert record.flags[byte] == np.bitwise_or.reduce([one.flags[byte] for one in spanned])
    assert {record.flags[1] for record in found} == {32}
    for byte in (0, 2):
        assert 0 < sum(record.flags[byte] > 0 for record in found) < len(found)


def test_a_bad_minute_of_the_clock_is_the_worst_of_the_record_that_holds_it(tmp_path):
    obspy = pytest.importorskip("obspy")
    source, out = tmp_path / "in.mseed", tmp_path / "out.mseed"
    given = stream()
    given[0].data = np.rint(RNG.normal(0, 3000, 40000)).astype(np.int32)
    given[0].stats.mseed = obspy.core.AttribDict(blkt1001=obspy.core.AttribDict(timing_quality=100))
    given.write(str(source), format="MSEED", reclen=512, encoding="STEIM2")
    content = bytearray(source.read_bytes())
    begin = 512 * (len(content) // 1024)
    assert int.from_bytes(content[begin + 48 : begin + 50], "big") == 1001
    content[begin + 52] = 30
    source.write_bytes(content)
    write_traces(out, source, [trace / 3 for trace in read_traces(source).traces])
    (bad,) = (record for record in records_of(source)["AZ.PFO..HHZ"] if record.timing_quality == 30)
    found = records_of(out)["AZ.PFO..HHZ"]
    for record in found:
        expected = 30 if record.start <= bad.end and record.end >= bad.start else 100
        assert record.timing_quality == expected
    assert {record.timing_quality for record in found} == {30, 100}


def test_a_trace_that_is_as_it_was_keeps_its_samples(tmp_path):
    obspy = pytest.importorskip("obspy")
    source, out = tmp_path / "in.mseed", tmp_path / "out.mseed"
    types = (np.int32, np.int32, np.float64, np.float32)
    given = obspy.Stream()
    for index, dtype in enumerate(types):
        (trace,) = stream(channel=f"HH{index}")
        trace.data = trace.data.astype(dtype) + (2**30 if index == 1 else 0)
        given += trace
    given.write(str(source), format="MSEED")
    traces = read_traces(source).traces
    changed = write_traces(out, source, [traces[0], traces[1], traces[2] / 3, traces[3] / 3])
    assert changed == ""
    found = obspy.read(str(out))
    assert [trace.data.dtype.type for trace in found] == list(types)
    assert [trace.stats.mseed.encoding for trace in found][:2] == ["STEIM2", "STEIM2"]
    np.testing.assert_array_equal(found[1].data, traces[1])
    np.testing.assert_allclose(found[2].data, traces[2] / 3, rtol=1e-15)
    assert write_traces(out, source, [traces[0] / 7, *traces[1:]]) == "samples are float32 instead of int32"
