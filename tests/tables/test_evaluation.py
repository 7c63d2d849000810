"""How well a run represents rows: figures of one piece, of blocks, and of the formulas themselves."""

import jax
import numpy as np
import pytest

from aejax import metrics, tables, tasks
from aejax.data.columns.features import decoded
from aejax.data.columns.gross import fit_limits, gross_errors
from aejax.data.columns.kinds import Column, keep
from aejax.data.formats import blocks as file_blocks
from aejax.data.formats.tables import Table, read_table, write_table
from aejax.tables import evaluation, files
from aejax.tables.application import batch_of
from aejax.tables.quality import Distances
from aejax.tables.survey import rows_of
from aejax.tasks import rows as task_rows
from tests.tables.test_files import ROW, columns_of, odd_rows, run_of, values_of


def with_gross_errors(name):
    """A run, and new rows with so many gross errors side by side that they are rare in the whole alone."""
    run = run_of(name, gaps=True)
    run = run._replace(profile=run.profile._replace(limits=fit_limits(values_of(400, 0)[:, :6])))
    values = odd_rows()
    values[100:120, 0] = 1e9
    return run, columns_of(run, values)


def table_of(columns):
    return Table(tuple(columns), np.column_stack(list(columns.values())), True, ())


@pytest.mark.parametrize("name", ["conditional_vae", "gan", "vae"])
def test_blocks_have_the_figures_and_the_notes_of_one_piece(name, tmp_path, monkeypatch):
    monkeypatch.setitem(task_rows._SIZES, "cpu", task_rows._Sizes(64, 2**22))
    monkeypatch.setattr(files, "PART", 1)
    monkeypatch.setattr(file_blocks, "_HEAD", 1 << 12)
    monkeypatch.setattr(evaluation, "ROWS_A_BLOCK", 128)
    run, columns = with_gross_errors(name)
    write_table(tmp_path / "new.parquet", columns)
    notes = []
    whole = tables.evaluate(run, read_table(tmp_path / "new.parquet"), notes.append)
    assert any(text.startswith("all figures but the share flagged are without 2") for text in notes)
    for num_rows in (7, 300):
        said = []
        size = num_rows * ROW
        assert file_blocks.read_blocks(tmp_path / "new.parquet", run.config.reading, run.columns, size=size)
        assert tables.evaluate_files(run, tmp_path / "new.parquet", notice=said.append, size=size) == whole
        assert said == notes


@pytest.mark.parametrize("name", ["conditional_vae", "gan", "vae"])
def test_the_figures_are_those_of_their_formulas(name):
    run, columns = with_gross_errors(name)
    found = tables.evaluate(run, table_of(columns))
    rows = rows_of(run, table_of(columns)).known()
    batch, key, rate = batch_of(run, rows), jax.random.key(run.config.seed), run.config.false_alarm_rate
    is_gross = gross_errors(run.profile.limits, rows.x)
    assert is_gross[:, 0].sum() > 15
    detected = tasks.detect(key, run.model, run.variables, batch, run.calibration, rate)
    score = detected.score.astype(float)[~is_gross.any(axis=1)]
    assert found["num_rows"] == len(rows.x)
    assert found["flagged"] == detected.is_anomaly.mean()
    np.testing.assert_allclose(found["mean_score"], np.nanmean(score), rtol=1e-12)
    if name != "gan":
        x = np.where(is_gross, np.nan, np.asarray(batch.x, float))
        left = tasks.reconstruct(run.model, run.variables, batch._replace(x=x.astype(np.float32))).astype(float)
        np.testing.assert_allclose(found["mse"], np.nanmean(np.square(x - left)), rtol=1e-12)
        expected = metrics.explained_variance(x, left)
        by_column = np.array(list(found["explained_variance_by_column"].values()), float)
        np.testing.assert_allclose(by_column, expected, rtol=1e-12)
    drawn = tasks.generate(key, run.model, run.variables, len(rows.x), batch.cond)
    expected = metrics.ks_distance(
        keep(run.profile.columns, decoded(run.coding, drawn)), np.where(is_gross, np.nan, rows.x)
    )
    np.testing.assert_array_equal(list(found["ks_distance_by_column"].values()), expected)


def test_distances_of_many_rows_are_near_the_exact_ones():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(400_000, 2)), rng.normal(0.01, 1.01, size=(400_000, 2))
    first[:, 1], second[:, 1] = rng.integers(0, 50, 400_000), rng.integers(0, 51, 400_000)
    first[::7, 0] = np.nan
    distances = Distances([Column("number", {})] * 2)
    for begin in range(0, 400_000, 100_000):
        distances.add(first[begin : begin + 100_000], second[begin : begin + 100_000])
    found, exact = distances.found(), metrics.ks_distance(first, second)
    assert found[1] == exact[1]
    assert 0 <= exact[0] - found[0] < 1e-5
    assert found[0] > 0.003


def test_a_column_without_a_value_has_no_distance():
    grade = Column("category", {"levels": ["A", "B"], "has_missing": False, "rare": 0.0})
    distances = Distances([Column("number", {}), grade])
    distances.add(np.full((3, 2), np.nan), np.zeros((3, 2)))
    assert np.isnan(distances.found()).all()


def test_rows_of_the_training_are_named(tmp_path):
    run, columns = with_gross_errors("vae")
    write_table(tmp_path / "new.parquet", columns)
    for num_rows in (100, 10**6):  # in blocks, and as the small table that it is
        notes = []
        sha256 = read_table(tmp_path / "new.parquet").reading.sha256
        told = run._replace(source=run.source._replace(sha256=sha256))
        tables.evaluate_files(told, tmp_path / "new.parquet", notice=notes.append, size=num_rows * ROW)
        assert any(text.startswith("these rows include those that the run was trained on") for text in notes)
