"""Files that are read, judged and written some rows at a time give the bytes, and the notes, of one piece."""

import functools
import itertools
import os
import tracemalloc

import jax
import numpy as np
import pyarrow as arrow
import pyarrow.parquet
import pytest

from aejax import tables, tasks
from aejax.base import Batch
from aejax.data.columns.conditions import fit_conditions
from aejax.data.columns.features import Coding
from aejax.data.columns.scalers import fit_scaler
from aejax.data.formats import blocks as file_blocks
from aejax.data.formats.tables import read_table, write_table
from aejax.data.formats.text import parts as text_parts
from aejax.tables import evaluation, files, survey
from aejax.tables.columns import scaled_batch
from aejax.tables.config import TrainConfig
from aejax.tables.profiles import fit_profile, pinned
from aejax.tables.run import Run, Source
from aejax.tasks import rows as task_rows
from tests.conftest import CODING, NUM_COLUMNS, REGISTRY

NAMES = ("pressure", "flow", "level", "pump", "fixed", "leak")
LOAD = "load"
ROW = 8 * (NUM_COLUMNS + 1)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Small tables are read in parts, and judged in blocks, as large ones are."""
    monkeypatch.setitem(task_rows._SIZES, "cpu", task_rows._Sizes(32, 2**22))
    monkeypatch.setattr(files, "PART", 1)
    monkeypatch.setattr(file_blocks, "_HEAD", 1 << 12)
    monkeypatch.setattr(text_parts, "_HEAD", 1 << 12)


def values_of(num_rows, seed):
    """Six columns, one of few values and two that never change, and a condition."""
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((num_rows, 2)) @ np.random.default_rng(0).standard_normal((2, 4))
    x = 300 + 10 * (factors + 0.1 * rng.standard_normal((num_rows, 4)))
    constants = np.column_stack([rng.choice([0.0, 1.0], num_rows), np.full(num_rows, 3.5), np.zeros(num_rows)])
    return np.column_stack([x[:, :3], constants, x[:, 3]])


def odd_rows(num_rows=510, seed=1):
    """New rows with gaps, changed constants, new levels and odd conditions, some of them near the end alone."""
    values = values_of(num_rows, seed)
    rng = np.random.default_rng(seed)
    values[rng.random(values.shape) < 0.02] = np.nan
    values[5, 6], values[-3, 6], values[200:204, 6] = 400, -400, np.nan
    values[30, 3], values[-7:-2, 3], values[-20, 4], values[-30, 5] = 7, 4, 9, 1
    values[500, :6] = np.nan
    values[-1, :3] = np.nan  # a pattern of gaps that no row above has
    return values


@functools.cache
def run_of(name, gaps=False):
    """A run of a model that was not trained, which tells as much of the bits."""
    conditional = name.startswith("conditional")
    config = TrainConfig(model=name, condition_columns=(LOAD,) if conditional else ())
    columns = (*NAMES, LOAD) if conditional else NAMES
    values = values_of(400, 0)
    x, cond = values[:, :6], values[:, 6:] if conditional else values[:, :0]
    if gaps:
        x[np.random.default_rng(2).random(x.shape) < 0.02] = np.nan
    profile, _ = fit_profile(x, np.arange(400), keeps_gross=True)
    x = pinned(profile, x)
    scaler, cond_scaler, conditions = fit_scaler(x), fit_scaler(cond), fit_conditions(cond)
    batch = scaled_batch(x, cond, Coding(profile.columns, scaler), Coding(conditions.columns, cond_scaler))
    model = REGISTRY[name]
    variables = model.init(jax.random.key(3), Batch(np.nan_to_num(batch.x), cond=batch.cond))
    calibration = tasks.calibrate(jax.random.key(0), model, variables, batch)
    source = Source("rows.csv", "", columns, True)
    return Run(config, source, model, variables, scaler, cond_scaler, calibration, profile, conditions)


def columns_of(run, values):
    return (
        dict(zip((*NAMES, LOAD), values.T, strict=True))
        if LOAD in run.source.columns
        else dict(zip(NAMES, values[:, :6].T, strict=True))
    )


def in_one_piece(run, task, path, out):
    notes = []
    table = read_table(path, run.config.reading, run.source.columns)
    notes += table.reading.notes
    result = getattr(tables, task)(run, table, notice=notes.append)
    write_table(out, {**table.labels, **result})
    return notes


def in_blocks(run, task, path, out, size):
    """What is written where the table is read in parts, which is looked at on the way."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "read_blocks", lambda *given: found.append(file_blocks.read_blocks(*given)) or found[-1])
        result = written(run, task, path, out, size)
    assert found[-1] is not None
    return result


def written(run, task, path, out, size):
    notes, taken = [], []
    tables.write_results(
        run, task, path, out, notice=notes.append, size=size, note=lambda found: taken.append(len(found))
    )
    return notes, len(taken)


_OTHERS = [name for name in sorted(REGISTRY) if name not in ("gan", "vae")]


@pytest.mark.parametrize(
    ("name", "gaps"),
    [
        ("gan", True),
        ("vae", True),
        pytest.param("vae", False, marks=pytest.mark.slow),
        *(pytest.param(name, True, marks=pytest.mark.slow) for name in _OTHERS),
    ],
)
def test_blocks_of_any_size_give_the_bytes_of_one_piece(name, gaps, tmp_path):
    run = run_of(name, gaps)
    write_table(tmp_path / "new.parquet", columns_of(run, odd_rows()))
    for task in ("detect", "encode", "reconstruct") if name in CODING else ("detect",):
        notes = in_one_piece(run, task, tmp_path / "new.parquet", tmp_path / "whole.csv")
        assert len(notes) >= (4 if task == "detect" else 0)
        for num_rows in (1, 7, 300):
            said, num_blocks = in_blocks(run, task, tmp_path / "new.parquet", tmp_path / "parts.csv", num_rows * ROW)
            assert num_blocks == 16, num_rows
            assert said == notes
            assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes(), (task, num_rows)


def with_labels(run, num_rows=1500):
    """A table as a historian writes it: a time, an id, a text and a sensor that the run does not know."""
    values = odd_rows(num_rows)
    rng = np.random.default_rng(4)
    times = np.datetime_as_string(np.datetime64("2024-01-01T00:00") + np.arange(num_rows), unit="m")
    return {
        "time": np.char.replace(times, "T", " "),
        "id": 7.0 + np.arange(num_rows),
        **columns_of(run, values),
        "shift": np.array(["day", "night"])[np.arange(num_rows) // 240 % 2],
        "T9": rng.standard_normal(num_rows),
    }


ENDINGS = [".csv", ".parquet", ".feather"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("out", [".csv", ".parquet", ".feather"])
def test_labels_and_notes_are_those_of_one_piece(ending, out, tmp_path):
    run = run_of("conditional_vae", True)
    write_table(tmp_path / f"new{ending}", with_labels(run))
    notes = in_one_piece(run, "detect", tmp_path / f"new{ending}", tmp_path / f"whole{out}")
    said, num_blocks = in_blocks(run, "detect", tmp_path / f"new{ending}", tmp_path / f"parts{out}", 1 << 12)
    assert num_blocks > 40
    assert said == notes
    assert any("ignored: T9" in note and "shift" in note for note in notes)
    assert (tmp_path / f"parts{out}").read_bytes() == (tmp_path / f"whole{out}").read_bytes()
    assert list(read_table(tmp_path / f"parts{out}", columns=["score"]).labels) == ["time", "id"]


def test_the_rows_of_an_array_are_taken_by_their_place(tmp_path):
    run = run_of("vae")
    np.save(tmp_path / "new.npy", odd_rows()[:, :6].astype(np.float32))
    notes = in_one_piece(run, "encode", tmp_path / "new.npy", tmp_path / "whole.csv")
    said, num_blocks = in_blocks(run, "encode", tmp_path / "new.npy", tmp_path / "parts.csv", 100)
    assert num_blocks == 16
    assert said == notes
    assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_the_files_of_a_folder_follow_each_other(tmp_path):
    run = run_of("vae")
    (tmp_path / "days").mkdir()
    whole = with_labels(run)
    for number, begin in enumerate(range(0, 1500, 350)):
        part = {name: cells[begin : begin + 350] for name, cells in whole.items()}
        write_table(tmp_path / "days" / f"day_{number}{ENDINGS[number % 2]}", part)
    notes = in_one_piece(run, "detect", tmp_path / "days", tmp_path / "whole.csv")
    said, num_blocks = in_blocks(run, "detect", tmp_path / "days", tmp_path / "parts.csv", 1 << 12)
    assert num_blocks > 40
    assert said == notes
    assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_more_patterns_than_are_treated_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr("aejax.tasks.anomaly.patterns._MOST_PATTERNS", 3)
    run = run_of("vae", True)
    values = odd_rows()
    values[np.random.default_rng(8).random(values.shape) < 0.3] = np.nan
    write_table(tmp_path / "new.parquet", columns_of(run, values))
    notes = in_one_piece(run, "detect", tmp_path / "new.parquet", tmp_path / "whole.csv")
    assert any("of so many patterns" in note for note in notes)
    said, _ = in_blocks(run, "detect", tmp_path / "new.parquet", tmp_path / "parts.csv", 20 * ROW)
    assert said == notes
    assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_run_without_rows_to_compare_with_says_so_of_all_rows(tmp_path):
    run = run_of("vae")
    run = run._replace(calibration=run.calibration._replace(rows=None))
    write_table(tmp_path / "new.parquet", columns_of(run, odd_rows()))
    notes = in_one_piece(run, "detect", tmp_path / "new.parquet", tmp_path / "whole.csv")
    assert any("for which the run's alarm limit does not hold" in note for note in notes)
    assert in_blocks(run, "detect", tmp_path / "new.parquet", tmp_path / "parts.csv", 20 * ROW)[0] == notes
    assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("cell", ["Bad", "1,234.5", "true", "12:00"])
@pytest.mark.parametrize("row", [3, 1499])
def test_a_cell_that_is_no_number_gets_its_sentence(cell, row, tmp_path):
    """Wherever it stands: the row is counted from the first of the file."""
    run = run_of("vae")
    columns = with_labels(run)
    columns["flow"] = columns["flow"].astype(object)
    columns["flow"][row] = cell
    write_table(tmp_path / "new.csv", columns)
    wanted, found = (
        said_or_raised(lambda: in_one_piece(run, "detect", tmp_path / "new.csv", tmp_path / "whole.csv")),
        said_or_raised(lambda: written(run, "detect", tmp_path / "new.csv", tmp_path / "parts.csv", 1 << 12)[0]),
    )
    assert found == wanted
    if cell == "1,234.5":  # which is one
        assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    else:
        assert f"found '{cell}' in row {row + 1} (line {row + 2}), expected a number" in wanted
        assert not (tmp_path / "parts.csv").exists()


def said_or_raised(call):
    try:
        return call()
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("number", [np.inf, 1e39])
def test_a_number_that_cannot_be_is_refused_as_in_one_piece(number, tmp_path):
    run = run_of("vae")
    values = odd_rows()
    values[-1, 0] = number
    write_table(tmp_path / "new.parquet", columns_of(run, values))
    path = tmp_path / "new.parquet"
    wanted = said_or_raised(lambda: in_one_piece(run, "detect", path, tmp_path / "whole.csv"))
    assert said_or_raised(lambda: written(run, "detect", path, tmp_path / "parts.csv", 20 * ROW)[0]) == wanted


def test_a_file_that_changes_or_goes_is_named(tmp_path):
    run = run_of("vae")
    path = tmp_path / "new.parquet"
    for happen, kind, message in (
        (lambda: os.utime(path, (1, 1)), ValueError, r"new\.parquet: it has changed while it was read"),
        (path.unlink, FileNotFoundError, r"new\.parquet: it was there and is gone"),
    ):
        for when in ("first", "second"):
            write_table(path, columns_of(run, odd_rows()))
            done = []

            def meddle(*_, happen=happen, done=done):
                if not done:
                    happen()
                done.append(True)

            given = {"note": meddle} if when == "second" else {}
            with pytest.MonkeyPatch.context() as patch:
                if when == "first":
                    patch.setattr(survey, "find_gaps", lambda *w, real=survey.find_gaps: (meddle(), real(*w))[1])
                with pytest.raises(kind, match=message):
                    tables.write_results(run, "detect", path, tmp_path / "out.csv", size=20 * ROW, **given)
            assert not (tmp_path / "out.csv").exists()


def test_parquet_is_written_in_the_groups_of_one_piece(tmp_path, monkeypatch):
    from aejax.data.formats.table_files import parquet as format_of
    from aejax.data.formats.tables import write_blocks

    monkeypatch.setattr(format_of, "_GROUP", 100)
    columns = {"a": np.arange(250.0), "b": np.array([None] * 240 + ["x"] * 10, object)}
    with (tmp_path / "whole.parquet").open("wb") as file:
        pyarrow.parquet.write_table(arrow.table({k: arrow.array(v) for k, v in columns.items()}), file, 100)
    cuts = [0, 3, 120, 121, 249, 250]
    write_blocks(
        tmp_path / "parts.parquet",
        ({"a": columns["a"][i:j], "b": columns["b"][i:j].astype(str)} for i, j in itertools.pairwise(cuts)),
    )
    found = pyarrow.parquet.read_metadata(tmp_path / "parts.parquet")
    assert [found.row_group(i).num_rows for i in range(found.num_row_groups)] == [100, 100, 50]
    assert pyarrow.parquet.read_table(tmp_path / "parts.parquet")["a"].to_pylist() == columns["a"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detect", "evaluate"])
def test_memory_does_not_grow_with_the_rows(task, tmp_path, monkeypatch):
    monkeypatch.setitem(task_rows._SIZES, "cpu", task_rows._Sizes(4096, 2**22))
    monkeypatch.setattr(evaluation, "ROWS_A_BLOCK", 4096)
    run = run_of("vae")
    taken = []
    for num_rows in (40_000, 120_000):
        write_table(tmp_path / "new.parquet", columns_of(run, values_of(num_rows, 1)))
        tracemalloc.start()  # of Python and NumPy; what pyarrow takes is not counted
        if task == "detect":
            tables.write_results(run, task, tmp_path / "new.parquet", tmp_path / "out.csv", size=1 << 20)
        else:
            assert tables.evaluate_files(run, tmp_path / "new.parquet", size=1 << 20)["num_rows"] == num_rows
        taken.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert taken[1] < 1.2 * taken[0]
    assert task == "evaluate" or len(read_table(tmp_path / "out.csv", columns=["score"]).values) == 120_000


def test_a_small_table_is_read_whole(tmp_path):
    run = run_of("vae")
    write_table(tmp_path / "new.csv", columns_of(run, odd_rows()))
    assert file_blocks.read_blocks(tmp_path / "new.csv", run.config.reading, run.source.columns) is None
