"""The step of a monitor as StableHLO: row by row, with a state in and out, as ``watch`` judges the whole."""

import json

import jax
import numpy as np
import pytest

import aejax
from aejax import tables
from aejax.cli.main import main
from aejax.data.formats.tables import Table
from aejax.export import export_monitor, monitors

pytest.importorskip("flatbuffers", reason="the extra 'stablehlo' is not installed")

COLUMNS = ("flow", "level", "pressure", "temperature")
_MIXING = np.random.default_rng(1).standard_normal((2, 4))


def plant(num_rows, seed):
    rng = np.random.default_rng(seed)
    return 50 + rng.standard_normal((num_rows, 2)) @ _MIXING + 0.3 * rng.standard_normal((num_rows, 4))


@pytest.fixture(scope="module")
def monitor():
    normal = Table(COLUMNS, plant(400, 2), True, ())
    return tables.fit_monitor(jax.random.key(0), normal, num_epochs=2, false_alarm_rate=0.05, num_lags=2)


@pytest.fixture(scope="module")
def folder(monitor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("step")
    export_monitor(monitor, folder)
    return folder


def judged(folder, rows):
    """What the files alone make of rows: nothing here is of aejax."""
    about = json.loads((folder / "export.json").read_text())
    step = jax.export.deserialize(bytearray((folder / about["file"]).read_bytes()))
    state = [np.array(part["begins_with"], part["type"]).reshape(part["shape"]) for part in about["state"]]
    found = []
    with jax.enable_x64(True):
        for row in rows:
            results = [np.asarray(result) for result in step.call(row, *state)]
            state = results[-len(state) :]
            found.append(results[: -len(state)])
    return dict(zip(about["outputs"], map(np.array, zip(*found, strict=True)), strict=False))


def test_row_by_row_it_judges_as_watch_does_with_a_fault_and_gaps(monitor, folder):
    rows = plant(60, 3)
    rows[30:, 1] += 6
    rows[10, 2] = rows[11, 0] = rows[40, 3] = np.nan
    rows[20] = np.nan
    found = judged(folder, rows)
    chart, _ = aejax.tasks.anomaly.watch(monitor.monitor, rows)
    for name in ("t2", "spe", "combined", "excess"):
        np.testing.assert_allclose(found[name], getattr(chart, name), rtol=1e-4)
    np.testing.assert_allclose(found["p_value"], chart.p_value, atol=1 / 400)
    np.testing.assert_array_equal(found["is_alarm"], chart.is_alarm)
    assert found["is_alarm"][40:].all()
    assert np.isnan(found["excess"][20])


def test_the_command_exports_a_monitor(monitor, tmp_path, capsys):
    aejax.save(tmp_path / "monitor", monitor)

    def run(*words):
        with pytest.raises(SystemExit) as ended:
            main(["export", str(tmp_path / "monitor"), "--format", *words])
        return ended.value.code

    assert run("stablehlo") == 0
    assert "a row and a state in, a verdict and the next state out" in capsys.readouterr().out
    assert judged(tmp_path / "monitor" / "stablehlo", plant(3, 4))["is_alarm"].shape == (3,)
    assert main_error(run("onnx"), capsys) == "format: found 'onnx' for a monitor, expected stablehlo"
    assert "--tasks: found for a monitor" in main_error(run("stablehlo", "--tasks", "detect"), capsys)


def main_error(code, capsys):
    assert code == 1
    return capsys.readouterr().err.strip().removeprefix("aejax: error: ")


def test_a_step_that_gives_something_else_is_not_kept(monitor, tmp_path, monkeypatch):
    advance = monitors.advance
    monkeypatch.setattr(
        monitors, "advance", lambda state, window, values, *rest: advance(state, window, 1.01 * values, *rest)
    )
    with pytest.raises(ValueError, match="the exported step differs from aejax"):
        export_monitor(monitor, tmp_path)
    assert not list(tmp_path.iterdir())
