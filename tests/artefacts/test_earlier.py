"""Folders and files that the version before wrote (0.1.0, before there was artefact.json) are still read."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import aejax
from aejax import tables
from aejax.artefacts import storage
from aejax.base import Batch
from aejax.cli.commands.monitoring import MonitorCommand
from aejax.cli.commands.monitoring import run as run_monitor
from aejax.data.formats.tables import Table, read_table
from aejax.models import conditional_vae
from aejax.reports.results import summary
from aejax.tables import Record, Run, TableMonitor
from aejax.tables import run as runs
from aejax.tasks import anomaly
from aejax.tasks.anomaly import Monitor

EARLIER = Path(__file__).parent / "earlier"
COLUMNS = ("flow", "level", "pressure", "valve")
# What the version before found in these rows.
EXPECTED = json.loads((EARLIER / "anomaly.json").read_text())
ROWS = np.array(EXPECTED["rows"])


def copied(name, tmp_path):
    return shutil.copytree(EARLIER / name, tmp_path / name)


@pytest.mark.parametrize("name", ["run", "run-gan"])
def test_a_run_scores_as_it_did(name):
    run = aejax.load(EARLIER / name)
    assert isinstance(run, Run)
    stored = safetensors.numpy.load((EARLIER / name / "variables.safetensors").read_bytes())
    for path, array in storage.flatten(run.variables).items():
        np.testing.assert_array_equal(array, stored[path])
    scores = tables.detect(run, Table(COLUMNS, ROWS, True, ()))["score"]
    np.testing.assert_allclose(scores, EXPECTED[name], rtol=1e-4)


def test_a_run_and_its_record_are_saved_anew_and_stay_the_same(tmp_path):
    folder = copied("run", tmp_path)
    run, record = aejax.load(folder, Run), aejax.load(runs.record_folder(folder), Record)
    assert len(record.history["val_loss"]) == 2
    assert record.held_out.x.shape == (12, 3)
    assert "best epoch" in summary(run, record)
    aejax.save(folder, run)
    aejax.save(runs.record_folder(folder), record)
    (folder / "variables.safetensors").unlink()
    again = aejax.load(folder)
    np.testing.assert_array_equal(again.calibration.score, run.calibration.score)
    np.testing.assert_array_equal(again.scaler.mean, run.scaler.mean)
    assert (again.config, again.source, again.model) == (run.config, run.source, run.model)
    record_again = aejax.load(runs.record_folder(folder))
    np.testing.assert_array_equal(record_again.held_out.code, record.held_out.code)


def test_a_run_that_diverged_still_says_so(tmp_path):
    folder = copied("run", tmp_path)
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | {"diverged": "in epoch 3"}))
    assert aejax.load(folder).diverged == "in epoch 3"


def test_training_that_has_not_finished_is_told_from_a_run(tmp_path):
    folder = copied("run", tmp_path)
    (folder / "variables.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"its training has not finished; resume it with aejax train --resume"):
        aejax.load(folder)
    assert runs.finished(folder) is None
    assert runs.finished(EARLIER / "run") is not None


KERNEL = "params/encoder/layer_0/kernel"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(KERNEL), f"{KERNEL} is missing"),
        (lambda t: t.__setitem__("params/extra", np.zeros(1)), "params/extra is not of this model"),
        (lambda t: t.__setitem__(KERNEL, t[KERNEL][:-1].copy()), r"found float32\[3, 4\], expected float32\[4, 4\]"),
        (lambda t: t.__setitem__(KERNEL, t[KERNEL].astype(np.float16)), r"found float16\[4, 4\], expected float32"),
    ],
)
def test_variables_that_do_not_fit_are_refused(tmp_path, change, message):
    path = copied("run", tmp_path) / "variables.safetensors"
    tensors = safetensors.numpy.load(path.read_bytes())
    change(tensors)
    path.write_bytes(safetensors.numpy.save(tensors))
    with pytest.raises(ValueError, match=message):
        aejax.load(path.parent)


RUN_FILES = ["variables.safetensors", "calibration.safetensors", "scaler.json", "config.json"]
RECORD_FILES = ["history.jsonl", "held_out.safetensors"]


@pytest.mark.parametrize("name", [*RUN_FILES, *RECORD_FILES])
def test_a_damaged_file_is_named(tmp_path, name):
    folder = copied("run", tmp_path)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2] + b"\x00{")
    with pytest.raises(ValueError, match=name):
        aejax.load(runs.record_folder(folder) if name in RECORD_FILES else folder)


@pytest.mark.parametrize("name", ["calibration.safetensors", "scaler.json"])
def test_a_missing_file_is_named(tmp_path, name):
    folder = copied("run", tmp_path)
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        aejax.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["train"].__setitem__("hidden_dims", [9]), "expected float32"),
        (lambda c: c["train"].__setitem__("model", "perceptron"), "model: found 'perceptron'"),
        (lambda c: c["train"].__setitem__("latnt_dim", 3), "did you mean 'latent_dim'"),
        (lambda c: c["train"].__setitem__("num_epochs", "many"), "num_epochs: found 'many'"),
        (lambda c: c["data"].__setitem__("columns", ["flow", "level", "x", "valve"]), "scaler.json"),
        (lambda c: c.__setitem__("format", 99), "format 99"),
        (lambda c: c.pop("data"), "data"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(tmp_path, change, message):
    folder = copied("run", tmp_path)
    content = json.loads((folder / "config.json").read_text())
    change(content)
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        aejax.load(folder)


@pytest.mark.parametrize("path", [EARLIER / "monitor", EARLIER / "monitor" / "monitor.safetensors"])
def test_a_monitor_watches_as_it_did(path):
    found = aejax.load(path)
    assert isinstance(found, TableMonitor)
    assert found.columns == COLUMNS
    table = Table(COLUMNS[::-1], ROWS[:, ::-1], True, ())
    np.testing.assert_allclose(tables.watch(found, table).chart.excess, EXPECTED["monitor"], rtol=1e-3)
    alone = aejax.load(path, Monitor)
    assert alone.rate == found.monitor.rate
    np.testing.assert_array_equal(alone.limit.spe, found.monitor.limit.spe)


def test_the_command_takes_the_file_of_an_earlier_monitor(tmp_path):
    np.savetxt(tmp_path / "new.csv", ROWS, delimiter=",", header=",".join(COLUMNS), comments="", fmt="%.17g")
    earlier, new = str(EARLIER / "monitor" / "monitor.safetensors"), str(tmp_path / "new.csv")
    run_monitor(MonitorCommand(earlier, new, tmp_path / "out", quiet=True))
    excess = read_table(tmp_path / "out" / "rows.csv", drop_columns=["top_sensor"]).values[:, 3]
    np.testing.assert_allclose(excess, EXPECTED["monitor"], rtol=1e-3)
    run_monitor(MonitorCommand(str(tmp_path / "out"), new, tmp_path / "again", quiet=True))
    assert (tmp_path / "again/rows.csv").read_bytes() == (tmp_path / "out/rows.csv").read_bytes()


def test_a_monitor_of_another_model_takes_it_from_the_caller():
    path = EARLIER / "monitor" / "conditional.safetensors"
    with pytest.raises(ValueError, match=r"expected a Model; give it to aejax\.load"):
        aejax.load(path)
    found = aejax.load(path, model=conditional_vae((4,), 2, hidden_dims=(4,), activation="tanh", shortcut=False))
    cond = (ROWS[:, :1] - 50).astype(np.float32)
    chart, _ = anomaly.watch(found, Batch(ROWS, cond=cond))
    np.testing.assert_allclose(chart.excess, EXPECTED["monitor-conditional"], rtol=1e-3)


def test_what_is_no_monitor_is_refused(tmp_path):
    for name, content, message in [
        ("a.safetensors", b"no tensors", "cannot be read"),
        ("b.safetensors", safetensors.numpy.save({"x": np.ones(1)}), "found another kind of file"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            aejax.load(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        aejax.load(tmp_path / "none.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileNotFoundError, match="does not hold a table monitor"):
        aejax.load(tmp_path / "folder", TableMonitor)


def test_a_run_that_took_an_angle_for_one_number_scores_as_it_did(tmp_path):
    """Version 2 of a run; the folder was written by the last aejax that had it."""
    shutil.unpack_archive(EARLIER / "run-2.zip", tmp_path)
    run, score = aejax.load(tmp_path), np.load(tmp_path / "score.npy")
    rng = np.random.default_rng(0)
    wind = rng.uniform(0, 360, 300)
    flow = 5 * np.cos(np.radians(wind)) + 0.3 * rng.normal(size=300)
    values = np.column_stack([wind, flow, rng.normal(60, 2, 300), rng.integers(0, 360, 300)])[:20]
    table = Table(("wind", "flow", "T", "heading"), values, True, ())
    np.testing.assert_allclose(tables.detect(run, table)["score"], score, rtol=1e-5)
    assert [column.kind for column in (*run.profile.columns, *run.conditions.columns)] == [
        "number",
        "number",
        "number",
        "whole number",
    ]
    rows = tables.generate(run, 200, {"heading": 90})
    assert rows["wind"].min() >= 0
    assert rows["wind"].max() <= 360
    aejax.save(tmp_path / "again", run)
    np.testing.assert_array_equal(
        tables.detect(aejax.load(tmp_path / "again"), table)["score"], tables.detect(run, table)["score"]
    )


def test_estimators_score_as_they_did(tmp_path):
    pytest.importorskip("sklearn", reason="the extra 'estimators' is not installed")
    import aejax.estimators

    shutil.unpack_archive(EARLIER / "estimators-1.zip", tmp_path)
    x = np.random.default_rng(0).normal(size=(400, 4))
    for name, expected in zip(("p", "o"), np.load(tmp_path / "s.npy"), strict=True):
        found = aejax.load(tmp_path / name)
        # A p-value moves by a rank, 1 in 121, where a row is as high as a normal one but for rounding.
        np.testing.assert_allclose(found.score_samples(x), expected, rtol=1e-4, atol=1 / 120)
        assert not hasattr(found, "limits") or found.limits == "rows"
