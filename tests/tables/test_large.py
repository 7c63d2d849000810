"""Tables that stay in their files are known, scaled and trained on as those in memory are, however a run is cut."""

import os
import signal
import subprocess
import sys
import time

import chex
import numpy as np
import pyarrow as arrow
import pytest
from pyarrow import parquet

import aejax
from aejax.data.formats import stored_files
from aejax.data.formats.options import ReadOptions
from aejax.data.formats.tables import read_table, write_table
from aejax.tables import large, preparation
from aejax.tables.config import TrainConfig
from aejax.tables.large import prepared_large, read_large
from aejax.tables.preparation import Split, prepared, run_keys
from aejax.tables.run import Run, Source
from aejax.tables.training import train

NAMES = ("pressure", "flow", "level", "pump", "fixed", "leak", "load")
QUICK = TrainConfig(num_epochs=2, latent_dim=2, hidden_dims=(), batch_size=64)


def messy(num_rows=1200, seed=1):
    """Correlated columns, one of few values and two that seldom or never change; with gaps and gross errors."""
    rng = np.random.default_rng(seed)
    x = 300 + 10 * rng.standard_normal((num_rows, 2)) @ rng.standard_normal((2, 4)) + rng.standard_normal((num_rows, 4))
    pump, fixed, leak = rng.choice([0.0, 1.0], num_rows), np.full(num_rows, 3.5), np.zeros(num_rows)
    values = np.column_stack([x[:, :3], pump, fixed, leak, x[:, 3]])
    values[rng.random(values.shape) < 0.02] = np.nan
    values[[3, 700, 1100], 0], values[[40, 900], 6], values[1190, 4] = 1e7, -1e9, 9.0
    return values


def of_kind(kind, num_rows=1200):
    values = messy(num_rows)
    if kind == "counts":
        return np.round(100 * np.abs(np.where(np.abs(values) > 1e6, np.nan, values)))
    if kind == "angle":
        values[:, 1] = np.random.default_rng(3).uniform(0, 360, num_rows)
        return values
    if kind == "whole":
        return np.random.default_rng(0).normal(size=values.shape) @ np.random.default_rng(1).normal(size=(7, 7))
    return values


def written(path, values):
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".csv":
        write_table(path, dict(zip(NAMES, values.T, strict=True)))
    else:
        columns = [arrow.array(column, from_pandas=True) for column in values.T]
        parquet.write_table(arrow.table(dict(zip(NAMES, columns, strict=True))), path, row_group_size=170)
    return path


CASES = {
    "a table with gaps": ("messy", TrainConfig()),
    "without gaps": ("whole", TrainConfig()),
    "the last rows are held out": ("messy", TrainConfig(split="time")),
    "with conditions": ("messy", TrainConfig(model="conditional_vae", condition_columns=("load", "pump"))),
    "gross errors are kept": ("messy", TrainConfig(gross_errors="keep")),
    "counts": ("counts", TrainConfig(likelihood="poisson")),
    "an angle": ("angle", TrainConfig()),
    "ranks and levels": ("messy", TrainConfig(numbers="ranked")),
}


@pytest.mark.parametrize(("kind", "config"), CASES.values(), ids=list(CASES))
def test_a_table_in_files_is_known_and_scaled_as_one_in_memory(tmp_path, monkeypatch, kind, config):
    values = of_kind(kind)
    path = written(tmp_path / "t.parquet", values)
    monkeypatch.setattr(large, "_SHARE", 1)
    table = read_large(path, config, size=values.nbytes)
    whole = read_table(path, config.reading)
    assert table.columns == whole.columns == NAMES
    held_out = Split(*(np.flatnonzero(_is_in(values, table.excerpt.values[part])) for part in table.split))
    assert len(held_out.train) == table.training.num_rows, "all training rows are looked at"

    def same_split(key, num_rows, config):
        cond = whole.values[:, [NAMES.index(name) for name in config.condition_columns]]
        limits = preparation.fit_limits(cond)
        is_gross = preparation.gross_errors(limits, cond) & (config.gross_errors != "keep")
        is_known = ~(np.isnan(cond) | is_gross).any(axis=1)
        assert num_rows == is_known.sum()
        return preparation._among(is_known, held_out)

    monkeypatch.setattr(preparation, "split_rows", same_split)
    source, key = Source("", "", NAMES, True), run_keys(config)[0]
    said, said_of_large = [], []
    expected = prepared(key, whole, source, config, said.append)
    ready, training = prepared_large(key, table, source, config, said_of_large.append)
    assert [kinds_of(line) for line in said_of_large[1:]] == [kinds_of(line) for line in said]
    assert ready.profile.columns == expected.profile.columns
    np.testing.assert_array_equal(ready.profile.num_gross, expected.profile.num_gross)
    for name in ("scaler", "cond_scaler"):
        for found, known in zip(getattr(ready, name), getattr(expected, name), strict=True):
            np.testing.assert_allclose(found, known, rtol=1e-9, atol=1e-9)
    batches = [training.transform(rows) for rows in training.stored.rows()]
    x = np.concatenate([batch.x if batch.mask is None else np.where(batch.mask, batch.x, np.nan) for batch in batches])
    rows = ~np.isnan(x).all(axis=1) if config.condition_columns else np.full(len(x), True)
    np.testing.assert_allclose(x[rows], expected.batch.x[expected.split.train], rtol=1e-5, atol=1e-5)
    if config.condition_columns:
        cond = np.concatenate([batch.cond for batch in batches])
        np.testing.assert_allclose(cond[rows], expected.batch.cond[expected.split.train], rtol=1e-5, atol=1e-5)
        assert np.isfinite(cond).all()
    assert (batches[0].mask is None) == (kind == "whole")


def kinds_of(line):
    return line.replace("  ", " ")


def _is_in(values, rows):
    """Which rows are among these; each row of the table is another one."""
    keys = {row.tobytes() for row in rows}
    return np.array([row.tobytes() in keys for row in values])


@pytest.mark.parametrize("split", ["random", "time"])
@pytest.mark.parametrize("most", [40, 500])
def test_each_row_trains_validates_or_calibrates(split, most):
    config = TrainConfig(split=split)
    parts = large._split(config, 1000, most)
    held_out = np.concatenate(parts[1:])
    assert [len(part) for part in parts] == [min(most, 700), min(most, 100), min(most, 200)]
    assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts))
    assert np.isin(parts.train, held_out).sum() == 0
    for part, again in zip(parts, large._split(config, 1000, most), strict=True):
        np.testing.assert_array_equal(part, again)
    if split == "time":
        assert parts.train.max() < parts.validation.min() <= parts.validation.max() < parts.calibration.min()
    else:
        other = large._split(TrainConfig(seed=1), 1000, most)
        assert not np.array_equal(other.validation, parts.validation)
        # At random: each third of the table has about its share.
        counts = np.bincount(held_out // 334, minlength=3)
        assert counts.min() > 0.6 * counts.mean()


def test_a_small_table_is_read_whole(tmp_path):
    assert read_large(written(tmp_path / "t.parquet", messy()), TrainConfig()) is None


@pytest.mark.parametrize("name", ["t.csv", "t.npz", "absent.npy"])
def test_what_is_not_read_in_any_order_is_read_whole(tmp_path, name):
    if name == "t.csv":
        write_table(tmp_path / name, dict(zip(NAMES, messy().T, strict=True)))
    elif name == "t.npz":
        np.savez(tmp_path / name, x=messy())
    assert read_large(tmp_path / name, TrainConfig(), size=1000) is None


def test_columns_that_are_left_out_are_so_here_too(tmp_path):
    values = messy()
    columns = {"time": np.arange(1200) * 60.0, **dict(zip(NAMES, values.T, strict=True))}
    path = tmp_path / "t.parquet"
    parquet.write_table(arrow.table(columns), path, row_group_size=300)
    config = TrainConfig(drop_columns=("flow",), reading=ReadOptions(time_column="level"))
    table, whole = read_large(path, config, size=8 * 1200), read_table(path, config.reading, None, ("flow",))
    assert table.columns == whole.columns == ("pressure", "pump", "fixed", "leak", "load")
    assert table.reading == whole.reading
    rows = np.concatenate(list(table.training.rows()))
    assert _is_in(whole.values, rows).sum() == table.training.num_rows


def test_a_column_of_text_is_named_before_all_is_read(tmp_path):
    path = tmp_path / "t.parquet"
    columns = {"a": messy()[:500, 1], "site": [f"remark {i}" for i in range(500)], "b": messy()[:500, 2]}
    parquet.write_table(arrow.table(columns), path)
    sentences = []
    for read in (lambda: read_large(path, TrainConfig(), size=4000), lambda: read_table(path)):
        with pytest.raises(ValueError, match="column 'site': found 'remark 0' in row 1, expected a number") as caught:
            read()
        sentences.append(str(caught.value))
    assert sentences[0] == sentences[1]
    assert read_large(path, TrainConfig(drop_columns=("site",)), size=4000).columns == ("a", "b")


def test_a_table_with_categories_is_read_whole(tmp_path):
    columns = {"a": messy()[:500, 1], "site": ["north", "south"] * 250, "b": messy()[:500, 2]}
    parquet.write_table(arrow.table(columns), tmp_path / "t.parquet")
    assert read_large(tmp_path / "t.parquet", TrainConfig(), size=4000) is None


@pytest.mark.parametrize("is_folder", [pytest.param(False, marks=pytest.mark.slow), True])
def test_csv_is_trained_on_as_its_numbers_in_parquet_are(tmp_path, monkeypatch, is_folder):
    """Columns, rows held out, scales and steps are those of the Parquet file that is written of it."""
    values, source, copy = messy(), tmp_path / "t.csv", tmp_path / "copy.parquet"
    if is_folder:
        source = tmp_path / "days"
        source.mkdir()
        written(source / "1.csv", values[:500])
        written(source / "2.csv", values[500:])
    else:
        written(source, values)
    monkeypatch.setattr(stored_files, "_GROUP_NUMBERS", 7 * 130)
    table = read_large(source, QUICK, size=8 * 7 * 300, copy=lambda: copy)
    known = read_large(copy, QUICK, size=8 * 7 * 300)
    assert len(table.training.sizes) >= 10
    assert table.reading.sha256 == large.sha256_of(sorted(source.iterdir()) if is_folder else [source])
    assert (table.columns, table.has_header) == (NAMES, True)
    np.testing.assert_array_equal(
        np.concatenate(list(table.training.rows())), np.concatenate(list(known.training.rows()))
    )
    np.testing.assert_array_equal(table.excerpt.values, known.excerpt.values)
    runs = [train(each, QUICK, tmp_path / f"run{place}") for place, each in enumerate((table, known))]
    chex.assert_trees_all_equal(runs[0].variables, runs[1].variables)
    columns = parquet.read_table(copy).to_pydict()
    np.testing.assert_array_equal(np.array(list(columns.values())).T, values)


def test_a_small_csv_is_not_copied(tmp_path):
    def copy():
        raise AssertionError

    assert read_large(written(tmp_path / "t.csv", messy()), QUICK, copy=copy) is None


class StopHere(Exception):
    pass


@pytest.mark.parametrize("suffix", [".parquet", ".npy", ".csv"])
def test_broken_off_and_resumed_writes_the_same_run(tmp_path, suffix):
    path = written(tmp_path / f"t{suffix}", messy())

    def run(folder, **options):
        table = read_large(path, QUICK, size=8 * 7 * 300, copy=lambda: tmp_path / f"{folder}.copy")
        return train(table, QUICK, tmp_path / folder, **options)

    def stop(report):
        if report.epoch == 1:
            raise StopHere

    whole = run("whole")
    with pytest.raises(StopHere):
        run("cut", checkpoint_seconds=0, progress=stop)
    run("cut", resume=True)
    cut, expected = (
        {str(path.relative_to(tmp_path / folder)): path.read_bytes() for path in (tmp_path / folder).rglob("arrays-*")}
        for folder in ("cut", "whole")
    )
    assert cut == expected
    assert len(cut) == 2
    assert len(whole.source.columns) == 7
    found = aejax.load(tmp_path / "whole", Run)
    scores = aejax.tables.detect(found, read_table(path))
    assert 0 <= scores["is_anomaly"].mean() < 0.2


@pytest.mark.slow
def test_it_learns_what_the_same_table_in_memory_teaches(tmp_path):
    path = written(tmp_path / "t.npy", of_kind("whole", 4000))
    config = TrainConfig(num_epochs=30, latent_dim=4, hidden_dims=(), batch_size=64)
    stored = train(read_large(path, config, size=8 * 7 * 1000), config, tmp_path / "stored")
    memory = train(read_table(path), config, tmp_path / "memory")
    errors = [aejax.tables.evaluate(run, read_table(path))["mse"] for run in (stored, memory)]
    assert errors[0] == pytest.approx(errors[1], rel=0.15)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (lambda values: np.where(np.arange(7) == 2, np.nan, values), "column 'level' holds no value at all"),
        (lambda values: np.full_like(values, 3.0), "found the same value in all training rows"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_by_the_same_sentence(tmp_path, values, message):
    path = written(tmp_path / "t.parquet", np.asarray(values(messy())))
    with pytest.raises(ValueError, match=message):
        train(read_large(path, QUICK, size=8 * 7 * 100), QUICK, tmp_path / "run")
    with pytest.raises(ValueError, match=message):
        train(read_table(path), QUICK, tmp_path / "run")


def test_a_file_that_changes_before_it_is_trained_on_is_named(tmp_path):
    path = written(tmp_path / "t.parquet", messy())
    table = read_large(path, QUICK, size=8 * 7 * 100)
    os.utime(path, ns=(1, 1))
    with pytest.raises(ValueError, match=r"t.parquet: it has changed while it was read"):
        train(table, QUICK, tmp_path / "run")


ON_THE_COMMAND_LINE = """
import sys
from aejax.data.formats import blocks
from aejax.tables import large
large.read_large.__defaults__ = (None, 240_000, 2000, None)
from aejax.cli.main import main
main(sys.argv[1:])
"""


def begun(path, folder, num_epochs):
    words = ["train", path, "--out", folder, "--num-epochs", num_epochs, "--latent-dim", 2, "--checkpoint-seconds", 0.1]
    words = [sys.executable, "-c", ON_THE_COMMAND_LINE, *map(str, words)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.05)


def run_of(folder):
    return {path.name: path.read_bytes() for path in folder.glob("arrays-*")}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_killed_at_any_time_and_resumed_gives_the_same_bytes(tmp_path, suffix):
    path = written(tmp_path / f"t{suffix}", of_kind("whole", 40_000))
    whole = begun(path, tmp_path / "whole", 6)
    said, _ = whole.communicate(timeout=300)
    assert whole.returncode == 0, said
    assert "the rows stay in their files: 36000 train, 2000 validate, 2000 calibrate" in said
    assert (f"the rows were copied to {tmp_path / 'whole'}, 3 MB of Parquet, which are" in said) == (suffix == ".csv")
    killed = begun(path, tmp_path / "killed", 6)
    checkpoints = tmp_path / "killed" / "checkpoints"
    wait_for(lambda: checkpoints.is_dir() and any(name.name.isdigit() for name in checkpoints.iterdir()), killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    assert not run_of(tmp_path / "killed")
    words = [sys.executable, "-c", ON_THE_COMMAND_LINE, "train", "--resume", str(tmp_path / "killed")]
    subprocess.run(words, check=True, timeout=300, capture_output=True)
    assert run_of(tmp_path / "killed") == run_of(tmp_path / "whole")
    assert run_of(tmp_path / "whole")
    for folder in ("killed", "whole"):
        assert not list((tmp_path / folder).glob(".aejax*"))


@pytest.mark.slow
def test_ctrl_c_ends_it_within_two_seconds_and_says_how_to_resume(tmp_path):
    path = written(tmp_path / "t.parquet", of_kind("whole", 40_000))
    process = begun(path, tmp_path / "run", 2000)
    checkpoints = tmp_path / "run" / "checkpoints"
    wait_for(lambda: checkpoints.is_dir() and any(name.name.isdigit() for name in checkpoints.iterdir()), process)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert time.monotonic() - begin < 2
    assert process.returncode == 130
    assert f"resume with: aejax train --resume {tmp_path / 'run'}" in said
