"""``aejax watch``: rows one by one, judged as the table at once is, over restarts, and however the stream behaves."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
import types

import jax
import numpy as np
import pytest

import aejax
from aejax import tables
from aejax.artefacts import storage
from aejax.cli.commands.watching import WatchCommand, run
from aejax.data.formats.tables import Table
from aejax.tables.config import TrainConfig

COLUMNS = ("flow", "level", "pressure", "temperature")
HEADER = ",".join(("time", *COLUMNS)) + "\n"
_MIXING = np.random.default_rng(1).standard_normal((2, 4))


def plant(num_rows, seed):
    rng = np.random.default_rng(seed)
    return 50 + rng.standard_normal((num_rows, 2)) @ _MIXING + 0.3 * rng.standard_normal((num_rows, 4))


@pytest.fixture(scope="module")
def monitor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watch") / "monitor"
    normal = Table(COLUMNS, plant(300, 2), True, ())
    options = {"num_epochs": 3, "false_alarm_rate": 0.05, "num_lags": 2}
    aejax.save(folder, tables.fit_monitor(jax.random.key(0), normal, **options))
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watch") / "run"
    values = plant(400, 3)
    values[:, 3] = 7.0  # a constant, whose change is an alarm of its own
    config = TrainConfig(model="autoencoder", latent_dim=2, num_epochs=3, hidden_dims=(8,))
    tables.train(Table(COLUMNS, values, True, ()), config, folder)
    return folder


def new_rows(num_rows=40):
    """Rows with a fault, a gap, an empty row and a mark such as -999."""
    rows = plant(num_rows, 4)
    rows[20:, 1] += 5
    rows[5, 2] = rows[6, 0] = np.nan
    rows[9] = np.nan
    rows[12, 3] = -999
    return rows


def clock(row):
    return f"2024-03-01T{row // 60:02d}:{row % 60:02d}:00"


def csv_lines(rows, times=None):
    times = [clock(row) for row in range(len(rows))] if times is None else times
    cells = [["" if np.isnan(value) else repr(float(value)) for value in row] for row in rows]
    return [",".join([time, *row]) + "\n" for time, row in zip(times, cells, strict=True)]


def json_lines(rows):
    values = [{n: None if np.isnan(v) else v for n, v in zip(COLUMNS, row, strict=True)} for row in rows.tolist()]
    return [json.dumps({"time": clock(row), **named}) + "\n" for row, named in enumerate(values)]


@pytest.fixture
def watched(capsys, monkeypatch):
    """Runs the command on lines of standard input; gives the records that it writes."""

    def watched(folder, lines, **options):
        stream = types.SimpleNamespace(buffer=io.BytesIO("".join(lines).encode()))
        monkeypatch.setattr(sys, "stdin", stream)
        assert run(WatchCommand(folder, "-", quiet=True, **options)) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return watched


def column(records, name):
    return np.array([np.nan if record[name] is None else record[name] for record in records], float)


def test_a_monitor_judges_row_by_row_as_it_judges_the_table(watched, monitor):
    rows = new_rows()
    records = watched(monitor, [HEADER, *csv_lines(rows)])
    expected = tables.watch(aejax.load(monitor), Table(COLUMNS, rows, True, ()))
    for name, values in (("score", expected.chart.excess), ("p_value", expected.chart.p_value)):
        np.testing.assert_array_equal(column(records, name), values)
    for name in ("t2", "spe"):
        np.testing.assert_array_equal(column(records, name), getattr(expected.chart, name))
    assert [record["alarm"] for record in records] == expected.chart.is_alarm.tolist()
    assert any(record["alarm"] for record in records)
    found = np.array([[record["contributions"][name] for name in COLUMNS] for record in records])
    np.testing.assert_allclose(found, expected.contribution, rtol=1e-5, atol=1e-6)
    assert [record["top_sensor"] for record in records] == expected.top_sensor.tolist()
    assert [record["row"] for record in records] == list(range(1, 41))
    assert records[3]["time"] == clock(3)
    assert records[5]["missing"] == ["pressure"]


@pytest.mark.parametrize("lines", [csv_lines, json_lines])
def test_a_run_judges_row_by_row_as_it_judges_the_table(watched, trained, lines):
    rows = new_rows()
    rows[:, 3] = 7.0
    rows[30, 3] = 8.0
    header = [HEADER] if lines is csv_lines else []
    records = watched(trained, [*header, *lines(rows)], false_alarm_rate=0.05)
    expected = tables.detect(aejax.load(trained), Table(COLUMNS, rows, True, ()), 0.05)
    # Rounding of float32, in units of a squared standard deviation.
    np.testing.assert_allclose(column(records, "score"), expected["score"], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(column(records, "p_value"), expected["p_value"], rtol=1e-6)
    assert [record["alarm"] for record in records] == expected["is_anomaly"].tolist()
    assert [record["top_sensor"] for record in records] == expected["top_sensor"].tolist()
    assert records[30]["reason"].endswith("temperature was always 7 in training")


@pytest.mark.parametrize("cut", [1, 2, 10, 21])
def test_a_restart_changes_nothing(watched, monitor, tmp_path, cut):
    lines = csv_lines(new_rows())
    whole = watched(monitor, [HEADER, *lines])
    first = watched(monitor, [HEADER, *lines[:cut]], state=tmp_path / "state.json")
    # The header may come again, or not.
    header = [HEADER] if cut % 2 else []
    second = watched(monitor, [*header, *lines[cut:]], state=tmp_path / "state.json")
    assert first + second == whole


def test_a_file_is_read_on_where_it_was_left(monitor, tmp_path, capsys):
    lines, path = csv_lines(new_rows()), tmp_path / "rows.csv"
    command = WatchCommand(monitor, str(path), stop_at_end=True, state=tmp_path / "state.json", quiet=True)
    found = []
    for end in (7, 25, 25, 40):
        path.write_text("".join([HEADER, *lines[:end]]))
        run(command)
        found += capsys.readouterr().out.splitlines()
    path.write_text("".join([HEADER, *lines]))
    run(WatchCommand(monitor, str(path), stop_at_end=True, quiet=True))
    assert found == capsys.readouterr().out.splitlines()
    # A log that is begun anew is read from its beginning, with its columns in another order.
    order = [3, 2, 1, 0]
    rows = new_rows()[:3]
    later = [clock(row) for row in range(50, 53)]
    header = ",".join(["time", *(COLUMNS[i] for i in order)]) + "\n"
    path.write_text("".join([header, *csv_lines(rows[:, order], later)]))
    run(command)
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["row"] for record in records] == [41, 42, 43]
    assert [record["missing"] for record in records] == [[], [], []]


def test_late_repeated_and_stray_rows_are_told_and_do_not_disturb_a_monitor(watched, monitor):
    rows = plant(8, 5)
    minutes = [0, 1, 2, 3, 3, 1, 4, 8]
    records = watched(monitor, [HEADER, *csv_lines(rows, [clock(minute) for minute in minutes])])
    statuses = [record["status"] for record in records]
    assert statuses == ["ok", "ok", "ok", "ok", "repeated", "out of order", "ok", "late"]
    assert [record["score"] is None for record in records[4:6]] == [True, True]
    assert records[7]["message"] == "240 s after the row before, usually 60 s"
    kept = [0, 1, 2, 3, 6, 7]
    chart = tables.watch(aejax.load(monitor), Table(COLUMNS, rows[kept], True, ())).chart
    np.testing.assert_array_equal(column([records[row] for row in kept], "score"), chart.excess)


def test_what_cannot_be_read_is_said_and_the_next_row_is_judged(watched, monitor):
    good = csv_lines(plant(3, 6))
    lines = [
        HEADER,
        good[0],
        "2024-03-01T00:00:30,1,2\n",
        "2024-03-01T00:00:40,50,Bad,50,50\n",
        "2024-03-01T00:00:50,50,inf,1e300,50\n",
        "\n",
        good[1],
    ]
    records = watched(monitor, lines)
    assert [record["row"] for record in records] == [1, 2, 3, 4, 5]
    assert records[1]["status"] == "unreadable"
    assert records[1]["message"] == "found 3 cells, expected 5 as in the header"
    assert records[2]["missing"] == ["level"]
    assert records[2]["message"] == "level: found 'Bad', expected a number with a decimal point"
    assert records[3]["status"] == "refused"
    assert records[4]["score"] is not None
    from aejax.data.formats.options import ReadOptions

    records = watched(monitor, lines, reading=ReadOptions(missing=("Bad",)))
    assert (records[2]["missing"], records[2]["message"]) == (["level"], "")


def test_lines_of_json_may_lack_names(watched, monitor):
    lines = ['{"flow": 50.1, "level": 49.0, "time": 3}\n', '{"flow": [1]}\n', "[1]\n", '{"flow": 1\n']
    records = watched(monitor, lines)
    assert records[0]["missing"] == ["pressure", "temperature"]
    assert records[0]["score"] is not None
    assert records[1]["message"] == "flow: found list, expected a number"
    assert [record["status"] for record in records[2:]] == ["unreadable", "unreadable"]


def test_other_streams_and_folders_are_refused(watched, monitor, trained, tmp_path):
    with pytest.raises(ValueError, match=r"found the columns x, y, expected flow, level, .* the first line of CSV"):
        watched(monitor, ["x,y\n", "1,2\n"])
    with pytest.raises(ValueError, match="but the limits of a monitor are set"):
        watched(monitor, [], false_alarm_rate=0.1)
    state = tmp_path / "state.json"
    watched(monitor, [HEADER, *csv_lines(plant(2, 0))], state=state)
    with pytest.raises(ValueError, match="was not written for this RUN"):
        watched(trained, [], state=state)
    content = json.loads(state.read_text())
    content["memory"][0].pop()
    storage.write_json(state, content)
    with pytest.raises(ValueError, match="is damaged"):
        watched(monitor, [], state=state)
    aejax.save(tmp_path / "other", aejax.load(monitor).monitor)
    with pytest.raises(ValueError, match="holds a Monitor, expected a run of aejax train or a monitor"):
        watched(tmp_path / "other", [])


def test_no_row_compiles_anything(watched, monitor, trained, caplog):
    rows = plant(12, 7)
    rows[::3, 1] = np.nan
    for folder in (monitor, trained):
        watched(folder, [HEADER, *csv_lines(rows[:4])])
        caplog.clear()
        with caplog.at_level(logging.WARNING), jax.log_compiles():
            watched(folder, [HEADER, *csv_lines(rows)])
        assert [record for record in caplog.records if "Finished XLA compilation" in record.getMessage()] == []


def started(folder, *words, **options):
    command = [sys.executable, "-m", "aejax", "watch", str(folder), *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "bufsize": 1}
    return subprocess.Popen(command, env=os.environ | {"AEJAX_CACHE": "off"}, **pipes, **options)


def alike(found, expected):
    """The same verdicts, but for the roundings of another process, whose compiler has other flags."""
    assert [record.keys() for record in found] == [record.keys() for record in expected]
    for name in ("score", "p_value", "t2", "spe"):
        np.testing.assert_allclose(column(found, name), column(expected, name), rtol=1e-5)
    for name in ("row", "time", "status", "alarm", "missing", "message"):
        assert [record[name] for record in found] == [record[name] for record in expected]


def test_as_a_process_it_answers_each_row_before_the_next_and_ends_by_sigterm(watched, monitor, tmp_path):
    lines = csv_lines(new_rows())
    with started(monitor, "-", "--state", tmp_path / "state.json", stdin=subprocess.PIPE) as process:
        process.stdin.write(HEADER)
        found = []
        for line in lines[:3]:
            process.stdin.write(line)
            process.stdin.flush()
            found.append(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, process.stderr.read()
    alike(found, watched(monitor, [HEADER, *lines[:3]]))
    assert json.loads((tmp_path / "state.json").read_text())["num_rows"] == 3


def test_as_a_process_it_follows_a_file_over_ctrl_c_and_a_reader_that_goes_away(watched, monitor, tmp_path):
    lines, path, state = csv_lines(new_rows()), tmp_path / "rows.csv", tmp_path / "state.json"
    path.write_text(HEADER + "".join(lines[:2]) + lines[2][:9])  # the last line is not whole yet
    with started(monitor, path, "--state", state) as process:
        found = [json.loads(process.stdout.readline()) for _ in range(2)]
        with path.open("a") as file:
            file.write(lines[2][9:])
        found.append(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert "stopped after 3 rows" in process.stderr.read()
    path.write_text("".join([HEADER, *lines]))
    with started(monitor, path, "--state", state) as process:
        found.append(json.loads(process.stdout.readline()))
        process.stdout.close()
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            with path.open("a") as file:
                file.write(lines[-1])
            time.sleep(0.3)
        assert process.returncode == 0, process.stderr.read()
    alike(found, watched(monitor, [HEADER, *lines])[:4])
    assert json.loads(state.read_text())["num_rows"] >= 3
