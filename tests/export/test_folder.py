"""``aejax export``: what is written, what is refused, and that it runs without aejax."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

import aejax
from aejax.cli import main as cli
from aejax.data.formats import libraries
from aejax.export import checking, export_run, folder
from tests.export.measuring import COLUMNS, expected, new_rows

WITHOUT_AEJAX = """
import json, sys
from pathlib import Path
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
folder = Path(sys.argv[1])
about = json.loads((folder / "export.json").read_text())
graph = jax.export.deserialize(bytearray((folder / about["tasks"]["detect"]["file"]).read_bytes()))
score, p_value, is_anomaly = graph.call(np.load(sys.argv[2]))
np.save(sys.argv[2], np.stack([score, p_value, is_anomaly]))
assert "aejax" not in sys.modules
"""


@pytest.fixture
def wrong(monkeypatch, stablehlo_extra):
    """A format whose files give another first output by some share of it."""

    def by(share, rows=slice(None)):
        def run(path, x):
            first, *others = stablehlo.run(path, x)
            wrong_first = first.copy()
            wrong_first[rows] *= 1 + share
            return [wrong_first, *others]

        monkeypatch.setitem(folder.FORMATS, "stablehlo", stablehlo._replace(run=run))

    stablehlo = folder.FORMATS["stablehlo"]
    return by


def run(capsys, *words):
    with pytest.raises(SystemExit) as caught:
        cli.main([str(word) for word in words])
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


def test_a_folder_says_what_goes_in_and_what_comes_out(plant_run, tmp_path, capsys, stablehlo_extra):
    aejax.save(tmp_path / "run", plant_run)
    code, out, _ = run(capsys, "export", tmp_path / "run", "--format", "stablehlo")
    assert code == 0
    about = json.loads((tmp_path / "run/stablehlo/export.json").read_text())
    assert about["input"]["columns"] == list(COLUMNS)
    assert {task: [output["name"] for output in entry["outputs"]] for task, entry in about["tasks"].items()} == {
        "encode": ["code"],
        "reconstruct": ["reconstruction"],
        "detect": ["score", "p_value", "is_anomaly"],
    }
    assert "detect.stablehlo: score, largest difference" in out
    assert about["tasks"]["detect"]["outputs"][1]["compared_rows"] == 80
    # A calibration row's own score may round to either side of it.
    assert about["tasks"]["detect"]["outputs"][1]["largest_difference"] < 1.01 / 81
    assert out.splitlines()[-1].startswith(f"written to {tmp_path / 'run' / 'stablehlo'}")


def test_tasks_that_are_not_asked_for_go(plant_run, tmp_path, stablehlo_extra):
    export_run(plant_run, tmp_path, "stablehlo", ["encode"])
    export_run(plant_run, tmp_path, "stablehlo", ["reconstruct"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export.json", "reconstruct.stablehlo"]


def test_what_differs_is_not_kept(plant_run, tmp_path, wrong):
    wrong(1e-3)
    with pytest.raises(ValueError, match=r"encode: the exported code differs .* in 80 of 80 calibration rows"):
        export_run(plant_run, tmp_path, "stablehlo", ["encode"])
    assert list(tmp_path.iterdir()) == []


def test_the_largest_difference_is_measured(plant_run, tmp_path, wrong):
    wrong(0.25, rows=slice(20, 21))
    (found,) = export_run(plant_run, tmp_path, "stablehlo", ["reconstruct"])
    mean, scale = plant_run.scaler.mean, plant_run.scaler.scale
    assert found.largest == pytest.approx(0.25 * np.max(np.abs(mean / scale)), rel=0.2)
    assert found.num_rows == 80


def test_p_values_are_compared_where_they_depend_on_no_other_row(plant_run):
    """Of 80 calibration rows 40 hold all: too few for 2 %, for which aejax pools rows."""
    normal = plant_run.calibration.rows
    assert not checking._is_pooled(plant_run, checking._rows(plant_run)).any()
    with_gaps = np.where((np.arange(80) % 2 == 0)[:, None] & (np.arange(7) == 0), np.nan, normal.x)
    calibration = plant_run.calibration._replace(rows=normal._replace(x=with_gaps))
    config = dataclasses.replace(plant_run.config, false_alarm_rate=0.02)
    run = plant_run._replace(calibration=calibration, config=config)
    rows = checking._rows(run)
    np.testing.assert_array_equal(checking._is_pooled(run, rows), ~np.isnan(rows[:, 0]))


def test_a_missing_result_is_a_difference(plant_run):
    errors = checking._errors(plant_run, "encode", "code", np.array([[np.nan], [1.0]]), np.array([[2.0], [1.0]]))
    assert errors.tolist() == [np.inf, 0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tflite"], "format: found 'tflite', expected one of onnx, stablehlo"),
        (["stablehlo", "--tasks", "sing"], "tasks: found 'sing', expected some of encode, reconstruct, detect"),
        (["stablehlo", "--false-alarm-rate", "2"], "false_alarm_rate: found 2.0, expected a number in (0, 1)"),
    ],
)
def test_bad_words_are_refused_in_a_sentence(plant_run, tmp_path, capsys, words, said):
    aejax.save(tmp_path / "run", plant_run)
    code, _, error = run(capsys, "export", tmp_path / "run", "--format", *words)
    assert code == 1
    assert said in error
    assert not (tmp_path / "run/stablehlo").exists()


def test_a_gan_has_no_codes_to_export(plant_run, tmp_path):
    gan = plant_run._replace(model=aejax.models.gan((7,), 2))
    with pytest.raises(ValueError, match="a GAN has no encoder"):
        export_run(gan, tmp_path, "stablehlo", ["encode"])


def test_a_run_without_calibration_rows_is_refused(plant_run, tmp_path, stablehlo_extra):
    old = plant_run._replace(calibration=plant_run.calibration._replace(rows=None))
    for task in ("encode", "detect"):
        with pytest.raises(ValueError, match=r"found no calibration rows, .* train it again"):
            export_run(old, tmp_path, "stablehlo", [task])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["onnx", "stablehlo"])
def test_without_its_library_a_format_names_the_extra(plant_run, tmp_path, monkeypatch, format):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(libraries.importlib, "import_module", absent)
    with pytest.raises(ImportError, match=rf'pip install "aejax\[{format}\]"'):
        export_run(plant_run, tmp_path, format, ["encode"])


@pytest.mark.slow
def test_stablehlo_runs_without_aejax(plant_run, tmp_path, stablehlo_extra):
    export_run(plant_run, tmp_path, "stablehlo")
    x = new_rows(60)
    np.save(tmp_path / "rows.npy", x)
    subprocess.run([sys.executable, "-c", WITHOUT_AEJAX, tmp_path, tmp_path / "rows.npy"], check=True)
    for got, want in zip(np.load(tmp_path / "rows.npy"), expected(plant_run, "detect", x), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.slow
def test_onnx_runs_in_onnxruntime(plant_run, tmp_path, onnx_extra):
    import onnxruntime

    export_run(plant_run, tmp_path, "onnx")
    x = new_rows(60)
    session = onnxruntime.InferenceSession(tmp_path / "detect.onnx")
    assert [each.name for each in session.get_inputs()] == ["rows"]
    assert session.get_inputs()[0].shape == ["rows", 7]
    for got, want in zip(session.run(None, {"rows": x}), expected(plant_run, "detect", x), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)
