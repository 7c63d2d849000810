"""Rows that lie in files: each once a pass, in an order that the key and the step tell, however a run is cut."""

import itertools
import json
import os
import threading
import time

import chex
import jax
import numpy as np
import pyarrow as arrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from aejax.data.formats.table_files.groups import npy_groups, parquet_groups
from aejax.data.formats.table_files.registry import WholeError
from aejax.data.stored import Stored, joined, leaving_out, stored_array, stored_records
from aejax.training import fit, windows
from aejax.training.sources import stored_rows, stream
from tests.conftest import VAE
from tests.training.parts import one_step_at_a_time

NAMES = [f"column_{i}" for i in range(1, 7)]


def numbered(sizes):
    """Rows that are their own numbers, in groups of these sizes."""
    ends = np.cumsum(sizes)

    def read(group):
        yield np.arange(ends[group] - sizes[group], ends[group], dtype=float)[:, None]

    return Stored(np.array(sizes, np.int64), read)


def seen(source, num_steps, step=0):
    """(num_steps, rows) the numbers of the rows."""
    return np.stack([batch.x[:, 0] for batch in itertools.islice(source.batches(step), num_steps)]).astype(int)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=12).filter(any)
    | st.lists(st.integers(0, 4), min_size=16, max_size=80).filter(any),
    batch_size=st.integers(1, 40),
    window_rows=st.integers(1, 50),
    number=st.integers(0, 2**31 - 1),
)
def test_each_pass_sees_each_row_once_whatever_the_sizes(sizes, batch_size, window_rows, number):
    num_rows = sum(sizes)
    source = stored_rows(jax.random.key(number), numbered(sizes), batch_size, window_bytes=5 * window_rows)
    num_steps = -(-3 * num_rows // batch_size)
    rows = seen(source, num_steps).ravel()
    for first in range(0, 3 * num_rows, num_rows):
        np.testing.assert_array_equal(np.sort(rows[first : first + num_rows]), np.arange(num_rows))


MANY = [5, 3, 0, 7, 1] * 9  # of which several lanes are made


@settings(max_examples=30, deadline=None)
@given(step=st.integers(0, 60), batch_size=st.integers(1, 40), sizes=st.sampled_from([[17, 30, 1, 0, 44], MANY]))
def test_what_a_step_sees_does_not_depend_on_where_a_run_began(step, batch_size, sizes):
    source = stored_rows(jax.random.key(3), numbered(sizes), batch_size, window_bytes=5 * 40)
    np.testing.assert_array_equal(seen(source, 3, step), seen(source, step + 3)[step:])


def test_the_order_is_another_in_each_pass_and_for_each_key_and_mixes_rows_of_a_window(monkeypatch):
    monkeypatch.setattr(windows, "_MOST_LANES", 1)
    sizes, num_rows = [100] * 20, 2000
    orders = [
        seen(stored_rows(jax.random.key(key), numbered(sizes), 50, window_bytes=5 * 500), 80).reshape(2, num_rows)
        for key in (0, 1)
    ]
    passes = [order for of_key in orders for order in of_key]
    for first, second in itertools.combinations(passes, 2):
        assert (first == second).mean() < 0.01
    together = {tuple(sorted(set(window // 100))) for order in passes for window in order.reshape(4, 500)}
    assert len(together) == 16, "other groups share a window in each pass, and for each key"
    for order in passes:
        of_windows = order.reshape(4, 500)
        assert [len(set(window // 100)) for window in of_windows] == [5] * 4
        # Within a window a row's place tells nothing of its number.
        ranks = of_windows.argsort(axis=1).argsort(axis=1)
        assert max(abs(np.corrcoef(np.arange(500), rank)[0, 1]) for rank in ranks) < 0.2
        # Nor does the place of a group in the pass.
        assert abs(np.corrcoef(np.arange(num_rows), order)[0, 1]) < 0.6


@pytest.mark.parametrize("sizes", [[30, 11, 40], MANY])
def test_processes_share_the_rows_of_each_batch(monkeypatch, sizes):
    def source():
        return stored_rows(jax.random.key(0), numbered(sizes), 12, window_bytes=5 * 30)

    whole = seen(source(), 9)
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    shares = []
    for index in range(3):
        monkeypatch.setattr(jax, "process_index", lambda index=index: index)
        shares.append(seen(source(), 9))
    np.testing.assert_array_equal(np.concatenate(shares, axis=1), whole)


@pytest.mark.parametrize("num_processes", [2, 3, 4])
def test_a_process_reads_the_groups_of_its_share(monkeypatch, num_processes):
    num_groups, batch_size, read = 400, 24, []

    def counted(group):
        read.append(group)
        yield np.full((10, 1), group, float)

    def groups_read():
        """In two passes, but for what is read ahead."""
        read.clear()
        source = stored_rows(jax.random.key(0), Stored(np.full(num_groups, 10), counted), batch_size, window_bytes=400)
        for _ in itertools.islice(source.batches(0), 2 * num_groups * 10 // batch_size):
            pass
        return len(read)

    assert 2 * num_groups <= groups_read() <= 2.1 * num_groups
    monkeypatch.setattr(jax, "process_count", lambda: num_processes)
    lanes_of_a_process = {2: 4, 3: 3, 4: 2}[num_processes]  # of 8
    for index in range(num_processes):
        monkeypatch.setattr(jax, "process_index", lambda index=index: index)
        most = 4 if num_processes == 3 and index == 1 else lanes_of_a_process  # it begins and ends within one
        assert groups_read() <= 2.1 * num_groups * most / 8 + 20


def test_lanes_are_mixed_from_other_groups_in_each_pass():
    """Each batch has rows of as many groups as there are lanes, and of a lane a window is shuffled."""
    source = stored_rows(jax.random.key(0), numbered([10] * 400), 40, window_bytes=5 * 160)
    (first, second), groups = seen(source, 200).reshape(2, 100, 40), seen(source, 200).reshape(2, 100, 40) // 10
    assert all(len(set(batch)) >= 8 for batch in groups.reshape(-1, 40))
    assert (first == second).mean() < 0.01
    lane = first[:, 5:10].ravel()  # the second of eight
    windows_of_lane = lane.reshape(-1, 20)
    assert max(len(set(window // 10)) for window in windows_of_lane) <= 3
    assert np.mean(np.abs(np.diff(lane)) == 1) < 0.2
    assert len(set(groups[0, :, 5:10].ravel()) & set(groups[1, :, 5:10].ravel())) < 30


def of_files(folder, rows):
    """The same rows in files of several kinds."""
    table = arrow.table(dict(zip(NAMES, rows.T, strict=True)))
    parquet.write_table(table.slice(0, 130), folder / "part_1.parquet", row_group_size=40)
    parquet.write_table(table.slice(130), folder / "part_2.parquet", row_group_size=64)
    np.save(folder / "rows.npy", rows)
    return {
        "Parquet": joined([parquet_groups(folder / f"part_{i}.parquet", NAMES) for i in (1, 2)]),
        "NPY": npy_groups(folder / "rows.npy", NAMES),
        "map": stored_array(np.load(folder / "rows.npy", mmap_mode="r"), group_rows=70),
    }


def test_files_give_the_rows_that_were_written(tmp_path, rows):
    rows = rows.astype(float)
    rows[3, 2] = np.nan
    for name, stored in of_files(tmp_path, rows).items():
        assert stored.num_rows == len(rows), name
        np.testing.assert_array_equal(np.concatenate(list(stored.rows())), rows, err_msg=name)
    some = parquet_groups(tmp_path / "part_1.parquet", ["column_4", "column_2"])
    np.testing.assert_array_equal(np.concatenate(list(some.rows())), rows[:130, [3, 1]])
    held_out = np.array([0, 129, 130, 299, 7])
    rest = leaving_out(of_files(tmp_path, rows)["Parquet"], held_out)
    np.testing.assert_array_equal(np.concatenate(list(rest.rows())), np.delete(rows, held_out, axis=0))
    assert rest.num_rows == len(rows) - 5
    for group, size in enumerate(rest.sizes):
        assert sum(map(len, rest.read(group))) == size


def decoded(record):
    return np.frombuffer(record, np.float32)


def test_records_are_read_a_group_at_a_time(rows):
    class Records(list):
        def __getitems__(self, numbers):
            asked.append(numbers)
            return [self[number] for number in numbers]

    asked = []
    records = [row.tobytes() for row in rows.astype(np.float32)]
    for held in (records, Records(records)):
        stored = stored_records(held, decoded, group_rows=70)
        np.testing.assert_array_equal(np.concatenate(list(stored.rows())), rows.astype(np.float32))
    assert asked == [list(range(begin, min(begin + 70, len(rows)))) for begin in range(0, len(rows), 70)]
    assert stored_records(records, decoded).sizes.tolist() == [len(rows)]
    assert stored_records([], decoded).num_rows == 0


def test_an_array_record_is_trained_on_by_way_of_grain(tmp_path, key, rows):
    sources = pytest.importorskip("grain.sources")
    writers = pytest.importorskip("array_record.python.array_record_module")
    rows, path = rows.astype(np.float32), str(tmp_path / "rows.array_record")
    writer = writers.ArrayRecordWriter(path)
    for row in rows:
        writer.write(row.tobytes())
    writer.close()
    stored = stored_records(sources.ArrayRecordDataSource(path), decoded, group_rows=40)
    runs = [
        fit(key, VAE, stored_rows(key, each, 50), num_epochs=3, validation=0)
        for each in (stored, stored_array(rows, group_rows=40))
    ]
    chex.assert_trees_all_equal(runs[0].variables, runs[1].variables)


def test_of_parquet_only_columns_of_numbers_are_read(tmp_path):
    path = tmp_path / "t.parquet"
    parquet.write_table(arrow.table({"a": [1, None], "b": [True, False], "c": ["x", "y"]}), path)
    np.testing.assert_array_equal(next(parquet_groups(path, ["b", "a"]).rows()), [[1, 1], [0, np.nan]])
    with pytest.raises(WholeError, match="column 'c': found no numbers"):
        parquet_groups(path, ["c"])


class StopHere(Exception):
    pass


def test_broken_off_within_a_window_and_resumed_gives_the_same_bits(tmp_path, key, rows, monkeypatch):
    stored = of_files(tmp_path, rows.astype(float))["Parquet"]
    options = {"num_epochs": 3, "validation": rows[:20]}

    def source():
        return stored_rows(key, stored, 32, window_bytes=120 * 30)

    def stop(report):
        if report.step == 14:
            raise StopHere

    whole = fit(key, VAE, source(), **options)
    one_step_at_a_time(monkeypatch)
    with pytest.raises(StopHere):
        fit(key, VAE, source(), checkpoint_dir=tmp_path / "run", checkpoint_seconds=0, progress=stop, **options)
    monkeypatch.undo()
    resumed = fit(key, VAE, source(), checkpoint_dir=tmp_path / "run", resume=True, **options)
    chex.assert_trees_all_equal((resumed.variables, resumed.state), (whole.variables, whole.state))
    np.testing.assert_array_equal(resumed.history["loss"], whole.history["loss"])
    assert whole.history["loss"].shape == (3,)
    assert int(whole.state.step) == 3 * source().steps_per_pass == 3 * 10


@pytest.mark.parametrize(
    ("number", "sizes", "window_bytes"),
    [(2, [10] * 10, 2000), (1, [20] * 5, 2000), (1, [10] * 10, 4000)],
    ids=["key", "groups", "window"],
)
def test_a_run_is_not_resumed_in_another_order(tmp_path, rows, number, sizes, window_bytes):
    def begun(number, sizes, window_bytes, **options):
        stored = joined([stored_array(part) for part in np.split(rows[:100], np.cumsum(sizes)[:-1])])
        source = stored_rows(jax.random.key(number), stored, 20, window_bytes=window_bytes)
        return fit(jax.random.key(0), VAE, source, num_epochs=1, validation=0, checkpoint_dir=tmp_path, **options)

    begun(1, [10] * 10, 2000)
    begun(1, [10] * 10, 2000, resume=True)
    with pytest.raises(ValueError, match="begun with something else: order: found '"):
        begun(number, sizes, window_bytes, resume=True)


def test_a_run_of_an_earlier_order_is_not_resumed(tmp_path, key, rows):
    options = {"num_epochs": 1, "validation": 0, "checkpoint_dir": tmp_path}
    fit(key, VAE, stored_rows(key, rows[:100], 20), **options)
    begun_with = json.loads((tmp_path / "begun_with.json").read_text())
    del begun_with["order"]
    (tmp_path / "begun_with.json").write_text(json.dumps(begun_with))
    with pytest.raises(ValueError, match=r"order: found '.*', expected nothing"):
        fit(key, VAE, stored_rows(key, rows[:100], 20), resume=True, **options)


def test_of_batches_that_a_user_makes_no_order_is_noted(tmp_path, key, rows):
    """Nothing is known of it, and runs begun before orders were noted are resumed."""
    source = stream(lambda step: itertools.repeat(rows[:20]))
    fit(key, VAE, source, num_epochs=1, steps_per_epoch=2, validation=0, checkpoint_dir=tmp_path)
    assert "order" not in json.loads((tmp_path / "begun_with.json").read_text())


def test_a_stored_table_trains_as_the_same_rows_in_memory_do(key, rows):
    stored = fit(key, VAE, stored_rows(key, stored_array(rows), 50), num_epochs=30, validation=rows[:50])
    memory = fit(key, VAE, rows, batch_size=50, num_epochs=30, validation=rows[:50])
    assert stored.history["loss"][-1] == pytest.approx(memory.history["loss"][-1], rel=0.05)


@pytest.mark.parametrize("kind", ["Parquet", "NPY"])
@pytest.mark.parametrize(
    ("break_it", "error", "message"),
    [
        (lambda path: path.unlink(), FileNotFoundError, "it was there and is gone"),
        (lambda path: os.utime(path, ns=(1, 1)), ValueError, "it has changed while it was read"),
        (lambda path: path.write_bytes(path.read_bytes()[:400]), ValueError, "it has changed while it was read"),
    ],
)
def test_a_file_that_goes_or_changes_in_the_middle_is_named(tmp_path, key, rows, kind, break_it, error, message):
    name = "part_2.parquet" if kind == "Parquet" else "rows.npy"
    source = stored_rows(key, of_files(tmp_path, rows.astype(float))[kind], 32, window_bytes=30 * 64)

    def break_off(report):
        if report.epoch == 2 and (tmp_path / name).exists():
            break_it(tmp_path / name)

    with pytest.raises(error, match=f"{name}: {message}"):
        fit(key, VAE, source, num_epochs=200, validation=0, progress=break_off)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("aejax-rows")]


def test_a_damaged_file_is_named(tmp_path, key, rows):
    path = tmp_path / "part_1.parquet"
    of_files(tmp_path, rows.astype(float))
    data = bytearray(path.read_bytes())
    data[4:2000] = b"\xff" * 1996
    path.write_bytes(data)
    source = stored_rows(key, parquet_groups(path, NAMES), 32)
    with pytest.raises(ValueError, match=r"part_1.parquet: Couldn't deserialize thrift"):
        fit(key, VAE, source, num_epochs=2, validation=0)


def test_no_more_than_two_windows_are_held(key):
    """Rows of a window are read once those of the last but one have been used."""
    used = [0]
    furthest = []

    def read(group):
        furthest.append(len(furthest) * 10 - used[0])
        yield np.zeros((10, 6))

    source = stored_rows(key, Stored(np.full(40, 10), read), 10, window_bytes=30 * 20)
    for _ in itertools.islice(source.batches(0), 40):
        used[0] += 10
    assert max(furthest) <= 40


def test_reading_ends_where_nobody_waits_any_more(key):
    def read(group):
        for _ in range(100 if group else 1):
            time.sleep(0.05)
            yield np.zeros((1 if group else 100, 6))

    source = stored_rows(key, Stored(np.full(4, 100), read), 10, window_bytes=1)
    batches = source.batches(0)
    next(batches)
    begin = time.monotonic()
    batches.close()
    assert time.monotonic() - begin < 2


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (np.empty((0, 3)), {}, "rows: found none, expected at least one"),
        (np.ones((5, 3)), {"batch_size": 0}, "batch_size: found 0, expected a positive multiple of 1 processes"),
    ],
)
def test_what_cannot_be_a_source_is_refused(key, rows, options, message):
    with pytest.raises(ValueError, match=message):
        stored_rows(key, rows, **options)


def test_an_infinite_value_is_refused_wherever_it_stands(key):
    rows = np.ones((500, 6))
    rows[432, 3] = np.inf
    with pytest.raises(ValueError, match="x: found an infinite value"):
        fit(key, VAE, stored_rows(key, stored_array(rows, 10), 50, window_bytes=30 * 20), num_epochs=2, validation=0)
