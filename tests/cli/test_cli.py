"""The command line as a user meets it: in-process where speed matters, as a process where that is the point."""

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import aejax
from aejax.cli import main as cli
from aejax.models import MODELS
from aejax.tables.config import TrainConfig, is_adversarial

COLUMNS = ["pressure", "flow", "level", "temperature", "speed"]


def write_csv(path, columns, values):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([["" if np.isnan(v) else repr(float(v)) for v in row] for row in values])
    return path


def plant_rows(num_rows, seed=0):
    rng = np.random.default_rng(seed)
    load, ambient = rng.standard_normal((2, num_rows))
    mixed = np.stack([load, load + ambient, ambient, load - ambient, 2 * load], axis=1)
    offsets = np.array([3.0, 50.0, 1.2, 400.0, 1500.0])
    return offsets + np.array([0.1, 5.0, 0.2, 10.0, 100.0]) * (mixed + 0.1 * rng.standard_normal(mixed.shape))


def run(*words):
    with pytest.raises(SystemExit) as caught:
        cli.main([str(word) for word in words])
    return caught.value.code


def read_csv(path):
    with Path(path).open() as file:
        header, *rows = list(csv.reader(file))
    return header, rows


def numbers(path):
    return np.array(read_csv(path)[1], float)


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    """Compiled programs are shared by the processes of these tests and by nothing else."""
    before = os.environ.get("AEJAX_CACHE")
    os.environ["AEJAX_CACHE"] = "off"
    yield
    if before is None:
        del os.environ["AEJAX_CACHE"]
    else:
        os.environ["AEJAX_CACHE"] = before


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_csv(tmp_path_factory.mktemp("data") / "plant.csv", COLUMNS, plant_rows(500))


@pytest.fixture(scope="module")
def new_table(tmp_path_factory):
    return write_csv(tmp_path_factory.mktemp("data") / "new.csv", COLUMNS, plant_rows(300, seed=1))


@pytest.fixture(scope="module")
def trained(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "vae"
    assert run("train", table, "--model", "vae", "--out", folder, "--num-epochs", 300, "--quiet") == 0
    return folder


def arrays_of(folder):
    """The bytes of all arrays of a run and its record; their names have their SHA-256."""
    found = {path.relative_to(folder): path.read_bytes() for path in folder.glob("**/arrays-*.safetensors")}
    assert len(found) == 2
    return found


def test_train_writes_a_run_folder_without_pickle(trained):
    names = {path.name for path in trained.iterdir()}
    (arrays,) = (path.name for path in trained.glob("arrays-*.safetensors"))
    assert names == {"config.json", "artefact.json", arrays, "record", "report.html"}
    assert len(list((trained / "record").iterdir())) == 2
    config = json.loads((trained / "config.json").read_text())
    assert config["train"]["latent_dim"] == 2  # two factors made the table
    assert {"versions", "backend", "device"} <= set(config["environment"])
    assert len(aejax.load(trained / "record").history["loss"]) <= 300


def test_the_report_needs_nothing_from_outside(trained):
    page = (trained / "report.html").read_text()
    assert page.count("<img") >= 5
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)
    assert run("report", trained) == 0
    assert (trained / "report.html").read_text() == page


@pytest.mark.as_users
def test_training_again_from_the_config_gives_the_same_bits(trained, tmp_path):
    assert run("train", "--config", trained / "config.json", "--out", tmp_path / "again", "--quiet") == 0
    assert arrays_of(tmp_path / "again") == arrays_of(trained)


def test_encode(trained, new_table, tmp_path):
    assert run("encode", trained, new_table, "--out", tmp_path / "codes.csv") == 0
    header, rows = read_csv(tmp_path / "codes.csv")
    assert header == ["z1", "z2"]
    assert len(rows) == 300


def test_reconstruct_is_in_the_original_units(trained, new_table, tmp_path):
    assert run("reconstruct", trained, new_table, "--out", tmp_path / "clean.csv") == 0
    assert read_csv(tmp_path / "clean.csv")[0] == COLUMNS
    x, clean = numbers(new_table), numbers(tmp_path / "clean.csv")
    assert (1 - ((x - clean) ** 2).mean(axis=0) / x.var(axis=0)).min() > 0.9


def test_detect_keeps_its_false_alarm_rate_and_names_the_sensor(trained, new_table, tmp_path):
    assert run("detect", trained, new_table, "--out", tmp_path / "scores.csv", "--false-alarm-rate", 0.05) == 0
    header, rows = read_csv(tmp_path / "scores.csv")
    assert header == ["score", "p_value", "is_anomaly", "top_sensor", "reason"]
    flagged = np.mean([row[2].lower() in ("true", "1") for row in rows])
    # 100 calibration rows: the rate itself is random, Beta(5, 96) around 0.05
    assert flagged < 0.13
    broken = plant_rows(300, seed=2)
    broken[:, 3] += 60
    write_csv(tmp_path / "broken.csv", COLUMNS, broken)
    assert run("detect", trained, tmp_path / "broken.csv", "--out", tmp_path / "found.csv") == 0
    _, rows = read_csv(tmp_path / "found.csv")
    assert np.mean([row[2].lower() in ("true", "1") for row in rows]) > 0.9
    assert max(COLUMNS, key=[row[3] for row in rows].count) == "temperature"


def test_generate_keeps_names_and_units(trained, table, tmp_path):
    assert run("generate", trained, "--num-samples", 2000, "--out", tmp_path / "new.csv") == 0
    header, _ = read_csv(tmp_path / "new.csv")
    assert header == COLUMNS
    drawn, x = numbers(tmp_path / "new.csv"), numbers(table)
    np.testing.assert_array_less(np.abs(drawn.mean(axis=0) - x.mean(axis=0)), 0.3 * x.std(axis=0))
    np.testing.assert_allclose(drawn.std(axis=0), x.std(axis=0), rtol=0.2)


def test_evaluate_json(trained, new_table, capsys):
    capsys.readouterr()
    assert run("evaluate", trained, new_table, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["num_rows"] == 300
    assert result["explained_variance"] > 0.9
    assert set(result["explained_variance_by_column"]) == set(COLUMNS)
    assert run("evaluate", trained, new_table) == 0
    assert "explained variance" in capsys.readouterr().out


def test_conditions(table, tmp_path):
    folder = tmp_path / "conditional"
    words = ["--num-epochs", 300, "--condition-columns", "temperature", "speed", "--quiet"]
    assert run("train", table, "--out", folder, *words) == 0
    given = ["--condition", "temperature=405", "speed=1600"]
    assert run("generate", folder, "--num-samples", 500, *given, "--out", tmp_path / "new.csv") == 0
    header, _ = read_csv(tmp_path / "new.csv")
    assert header == COLUMNS
    drawn = numbers(tmp_path / "new.csv")
    assert (drawn[:, 3] == 405).all()
    # speed = 1500 + 200 load, pressure = 3 + 0.1 load: load is half a unit
    assert drawn[:, 0].mean() == pytest.approx(3.05, abs=0.03)
    assert run("reconstruct", folder, table, "--out", tmp_path / "clean.csv") == 0
    np.testing.assert_allclose(numbers(tmp_path / "clean.csv")[:, 3:], numbers(table)[:, 3:], rtol=1e-6)


def test_conditions_that_are_missing_or_far_away_are_named(table, tmp_path, capsys):
    folder = tmp_path / "conditional"
    assert run("train", table, "--out", folder, "--num-epochs", 1, "--condition-columns", "speed", "--quiet") == 0
    assert run("generate", folder, "--num-samples", 5) == 1
    assert "--condition speed=" in capsys.readouterr().err
    assert run("generate", folder, "--num-samples", 5, "--condition", "speed=fast") == 1
    assert "found speed=fast, expected a finite number" in capsys.readouterr().err
    assert run("generate", folder, "--num-samples", 5, "--condition", "speed") == 1
    assert "condition: found 'speed', expected NAME=VALUE" in capsys.readouterr().err
    for speed, is_far in (("1600", False), ("9000", True)):
        given = ["--condition", f"speed={speed}", "--out", tmp_path / "new.csv"]
        assert run("generate", folder, "--num-samples", 5, *given) == 0
        assert ("extrapolation" in capsys.readouterr().err) == is_far


def test_a_model_that_cannot_generate_says_so(table, tmp_path, capsys):
    folder = tmp_path / "plain"
    assert run("train", table, "--model", "autoencoder", "--out", folder, "--num-epochs", 2, "--quiet") == 0
    assert run("generate", folder, "--num-samples", 5) == 1
    assert "defines no distribution" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(MODELS))
def test_every_model_of_the_registry_goes_from_training_to_scores(model, table, tmp_path, capsys):
    conditions = ["--condition-columns", "temperature"] if model.startswith("conditional") else []
    hidden = ["--hidden-dims", "8"]
    out = tmp_path / "run"
    assert run("train", table, "--model", model, "--out", out, "--num-epochs", 2, *hidden, *conditions, "--quiet") == 0
    assert (out / "report.html").stat().st_size > 10_000
    assert run("detect", out, table, "--out", tmp_path / "scores.csv") == 0
    assert len(read_csv(tmp_path / "scores.csv")[1]) == len(read_csv(table)[1])
    capsys.readouterr()
    assert run("evaluate", out, table, "--json", "--quiet") == 0
    result = json.loads(capsys.readouterr().out)
    assert ("ks_distance" in result) == (aejax.load(out).model.sample is not None)
    if is_adversarial(model):
        assert run("encode", out, table) == 1
        assert "a GAN has no encoder" in capsys.readouterr().err
    else:
        assert run("encode", out, table, "--out", tmp_path / "codes.csv") == 0
        assert np.isfinite(result["explained_variance"])


def test_a_deep_autoencoder_begins_from_boltzmann_machines(table, tmp_path, capsys):
    words = ["train", table, "--num-epochs", 2, "--hidden-dims", 8, "--pretrain-epochs", 2, "--quiet"]
    assert run(*words, "--model", "deep_autoencoder", "--out", tmp_path / "deep") == 0
    assert aejax.load(tmp_path / "deep").config.pretrain_epochs == 2
    assert run(*words, "--model", "vae", "--out", tmp_path / "vae") == 1
    assert "expected it with deep_autoencoder only" in capsys.readouterr().err


def test_denoising_model_with_options(table, tmp_path):
    folder = tmp_path / "denoising"
    options = ["--options", "noise_level=0.5", "corruption=masking", "dropout_rate=0.1"]
    words = ["--model", "denoising_autoencoder", "--num-epochs", 5, *options, "--quiet"]
    assert run("train", table, "--out", folder, *words) == 0
    assert aejax.load(folder).model.hparams.noise_level == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--model", "perceptron"], "model: found 'perceptron', expected one of autoencoder"),
        (["--options", "gamma=3"], "options: found 'gamma=3', expected NAME=VALUE with one of beta"),
        (["--num-epochs", 0], "num_epochs: found 0"),
        (["--drop-columns", "presure"], "pressure"),
        (["--condition-columns", "heat"], "condition_columns: found no column 'heat'"),
        (["--false-alarm-rate", 2], "false_alarm_rate: found 2"),
        (["--config", "nowhere.json"], "nowhere.json"),
    ],
)
def test_bad_options_are_named(table, tmp_path, capsys, change, message):
    assert run("train", table, "--out", tmp_path / "run", *change) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def awkward(change):
    """A table with one thing wrong, as CSV text."""
    values = [[f"{v:.6g}" for v in row] for row in plant_rows(60)]
    header = list(COLUMNS)
    change(header, values)
    return "\n".join(",".join(row) for row in [header, *values] if row) + "\n"


def _all(index, text):
    return lambda header, values: [row.__setitem__(index, text) for row in values]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header, values: values[5].__setitem__(1, "inf"), "flow"),
        (lambda header, values: values[5].__setitem__(2, "broken"), "level"),
        (_all(2, ""), "level"),
        (lambda header, values: values.__setitem__(slice(None), []), "no rows"),
        (lambda header, values: values.__setitem__(slice(1, None), []), "found 1 row"),
        (lambda header, values: header.__setitem__(1, "pressure"), "pressure"),
        (lambda header, values: values[7].append("1"), "found 6"),
    ],
)
def test_bad_tables_name_the_column_and_write_nothing(tmp_path, capsys, change, message):
    (tmp_path / "bad.csv").write_text(awkward(change))
    assert run("train", tmp_path / "bad.csv", "--out", tmp_path / "run", "--num-epochs", 1) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "change",
    [
        _all(2, "7.5"),  # a constant column
        lambda header, values: [values[i].__setitem__(i % 5, "") for i in range(0, 60, 3)],
        lambda header, values: values.__delitem__(slice(12, None)),  # fewer rows than a batch
        lambda header, values: [values[4].__setitem__(i, "") for i in range(5)],  # a row of which nothing is known
    ],
)
def test_awkward_tables_work_from_end_to_end(tmp_path, change):
    data, folder = tmp_path / "awkward.csv", tmp_path / "run"
    data.write_text(awkward(change))
    assert run("train", data, "--out", folder, "--num-epochs", 2, "--quiet") == 0
    for command in ("encode", "reconstruct", "detect"):
        assert run(command, folder, data, "--out", tmp_path / f"{command}.csv", "--quiet") == 0
    assert np.isfinite(numbers(tmp_path / "reconstruct.csv")).all()
    assert run("evaluate", folder, data, "--quiet") == 0


def test_columns_that_differ_from_the_training_columns(trained, tmp_path, capsys):
    rows = plant_rows(20, seed=3)
    plain = write_csv(tmp_path / "plain.csv", COLUMNS, rows)
    assert run("encode", trained, plain, "--out", tmp_path / "expected.csv") == 0
    order = [3, 1, 4, 0, 2]
    reordered = write_csv(tmp_path / "reordered.csv", [COLUMNS[i] for i in order], rows[:, order])
    assert run("encode", trained, reordered, "--out", tmp_path / "codes.csv") == 0
    np.testing.assert_array_equal(numbers(tmp_path / "codes.csv"), numbers(tmp_path / "expected.csv"))

    # an extra column is ignored, even one of text that training has never seen
    (tmp_path / "extra.csv").write_text(
        "".join(f"{line},{'operator' if i == 0 else 'Jo'}\n" for i, line in enumerate(plain.read_text().splitlines()))
    )
    capsys.readouterr()
    assert run("encode", trained, tmp_path / "extra.csv", "--out", tmp_path / "codes.csv") == 0
    assert "operator" in capsys.readouterr().err
    np.testing.assert_array_equal(numbers(tmp_path / "codes.csv"), numbers(tmp_path / "expected.csv"))

    missing = write_csv(tmp_path / "missing.csv", COLUMNS[:-1], rows[:, :-1])
    assert run("encode", trained, missing) == 1
    assert "speed" in capsys.readouterr().err


def test_one_row_can_be_scored(trained, tmp_path):
    one = write_csv(tmp_path / "one.csv", COLUMNS, plant_rows(1))
    assert run("detect", trained, one, "--out", tmp_path / "scores.csv") == 0
    assert len(read_csv(tmp_path / "scores.csv")[1]) == 1


@pytest.mark.parametrize("suffix", ["parquet", "npy", "npz"])
def test_other_formats(trained, new_table, tmp_path, suffix):
    assert run("reconstruct", trained, new_table, "--out", tmp_path / f"clean.{suffix}") == 0
    assert run("encode", trained, tmp_path / f"clean.{suffix}", "--out", tmp_path / "codes.csv") == 0
    assert len(read_csv(tmp_path / "codes.csv")[1]) == 300


def test_a_run_is_not_written_over(trained, table, capsys):
    before = arrays_of(trained)
    assert run("train", table, "--out", trained, "--num-epochs", 1) == 1
    assert "--resume" in capsys.readouterr().err
    assert arrays_of(trained) == before
    assert run("train", "--resume", trained, "--batch-size", 17) == 0
    said = capsys.readouterr()
    assert "complete" in said.out
    assert "ignored: --batch-size" in said.err


def test_results_stand_beside_their_times_and_never_replace_what_was_read(trained, tmp_path, capsys):
    data = tmp_path / "timed.csv"
    rows = [f"2024-01-0{i + 1},{','.join(map(str, row))}" for i, row in enumerate(plant_rows(3))]
    data.write_text("\n".join([",".join(["when", *COLUMNS]), *rows]))
    for command in ("encode", "reconstruct", "detect"):
        assert run(command, trained, data, "--out", tmp_path / "out.csv") == 0
        header, written = read_csv(tmp_path / "out.csv")
        assert header[0] == "when"
        assert [row[0] for row in written] == ["2024-01-01", "2024-01-02", "2024-01-03"]
    assert "of 3 rows are anomalies" in capsys.readouterr().err
    before = data.read_text()
    assert run("detect", trained, data, "--out", data) == 1
    assert "the file that is read" in capsys.readouterr().err
    assert data.read_text() == before
    assert run("encode", trained, data, "--out", tmp_path / "codes.npy") == 0


def test_divergence_is_explained(table, tmp_path, capsys):
    words = ["--num-epochs", 20, "--quiet"]
    assert run("train", table, "--out", tmp_path / "first", "--learning-rate", "1e12", *words) == 1
    error = capsys.readouterr().err
    assert re.search(r"not finite in epoch 1, step \d+", error)
    assert "smaller learning rate" in error
    assert "no run was written" in error
    assert not (tmp_path / "first").exists()
    folder = tmp_path / "later"
    words += ["--options", "shortcut=false", "activation=tanh"]  # a linear map diverges at once
    assert run("train", table, "--out", folder, "--learning-rate", 4, "--batch-size", 512, *words) == 1
    assert "marked as diverged" in capsys.readouterr().err
    assert (folder / "report.html").exists()
    assert run("encode", folder, table, "--out", tmp_path / "codes.csv") == 0
    assert "diverged" in capsys.readouterr().err
    assert np.isfinite(numbers(tmp_path / "codes.csv")).all()
    assert run("train", "--resume", folder) == 1
    assert "cannot be resumed" in capsys.readouterr().err


def process(*words, **options):
    environment = {**os.environ, **options.pop("env", {})}
    return subprocess.Popen([sys.executable, "-m", "aejax", *map(str, words)], env=environment, **options)


def wait_for(path, seconds=120):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.02)


@pytest.mark.as_users
@pytest.mark.slow
def test_killed_at_random_moments_and_resumed_gives_the_same_bits(table, tmp_path):
    environment = {"AEJAX_CACHE": str(tmp_path / "cache")}
    words = ["--num-epochs", 1500, "--patience", 1500, "--checkpoint-seconds", 0, "--quiet"]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert process("train", table, "--out", whole, *words, **silent).wait() == 0

    moments = random.Random(0)
    kills = 0
    child = process("train", table, "--out", killed, *words, **silent)
    while kills < 4:
        wait_for(killed / "config.json")
        time.sleep(moments.uniform(0.5, 3.0))
        if child.poll() is not None:
            break  # it was done before it could be killed
        child.send_signal(signal.SIGKILL)
        child.wait()
        kills += 1
        child = process("train", "--resume", killed, *words[-3:], **silent)
    assert child.wait() == 0
    assert kills >= 2
    assert arrays_of(killed) == arrays_of(whole)


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_resume(table, tmp_path):
    folder = tmp_path / "run"
    words = ["train", table, "--out", folder, "--num-epochs", 100_000, "--patience", 100_000]
    child = process(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(folder / "checkpoints")
    time.sleep(4)
    child.send_signal(signal.SIGINT)
    output, error = child.communicate(timeout=60)
    assert child.returncode == 130
    assert f"aejax train --resume {folder}" in error
    assert "Traceback" not in error
    assert any(path.name.isdigit() for path in (folder / "checkpoints").iterdir())
    assert output == ""
    assert "\r" not in error  # no bar where there is no terminal


def test_the_version(capsys):
    assert run("--version") == 0
    assert re.fullmatch(r"aejax \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_the_help_names_every_model():
    assert all(name in TrainConfig.__doc__ for name in MODELS)


def test_standard_input_and_output(trained, new_table):
    child = process(
        "detect", trained, "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    output, error = child.communicate(new_table.read_text())
    assert child.returncode == 0, error
    assert len(output.splitlines()) == 301
    assert re.fullmatch(r"note: \d+ of 300 rows are anomalies.*\n", error)


@pytest.mark.slow
def test_the_compilation_cache_is_on_and_can_be_turned_off(table, tmp_path):
    words = ["train", table, "--num-epochs", 1, "--quiet", "--out"]
    environment = {"XDG_CACHE_HOME": str(tmp_path / "caches"), "AEJAX_CACHE": "", "JAX_COMPILATION_CACHE_DIR": ""}
    assert process(*words, tmp_path / "on", stdout=subprocess.DEVNULL, env=environment).wait() == 0
    assert any((tmp_path / "caches" / "aejax" / "xla").iterdir())
    environment = {"XDG_CACHE_HOME": str(tmp_path / "none"), "AEJAX_CACHE": "off"}
    assert process(*words, tmp_path / "off", stdout=subprocess.DEVNULL, env=environment).wait() == 0
    assert not (tmp_path / "none" / "aejax").exists()
