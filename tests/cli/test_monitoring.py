"""``aejax monitor``: tables in, a table and pictures out."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tyro

from aejax.cli.commands.monitoring import MonitorCommand, run
from aejax.data.formats.options import ReadOptions
from aejax.data.formats.tables import read_table


def write(path, rows, columns):
    np.savetxt(path, rows, delimiter=",", header=",".join(columns), comments="", fmt="%.6g")
    return str(path)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(0)
    rows = 50 + rng.standard_normal((400, 2)) @ rng.standard_normal((2, 5)) + 0.3 * rng.standard_normal((400, 5))
    columns = ["flow", "level", "pressure", "temperature", "valve"]
    new = rows[300:].copy()
    new[50:, 2] += 4
    # The new table has its columns in another order.
    order = [4, 3, 2, 1, 0]
    return write(folder / "normal.csv", rows[:300], columns), write(
        folder / "new.csv", new[:, order], [columns[i] for i in order]
    )


def test_it_writes_rows_and_pictures_and_says_both_rates(tables, tmp_path, capsys):
    words = [*tables, "--out", str(tmp_path / "a" / "b"), "--num-epochs", "20", "--false-alarm-rate", "0.02", "--quiet"]
    run(tyro.cli(MonitorCommand, args=words))
    text = capsys.readouterr().out
    assert "asked for 2.00%, obtained" in text
    assert "pressure" in text.splitlines()[3]
    with (tmp_path / "a/b/rows.csv").open() as file:
        found = list(csv.DictReader(file))
    assert len(found) == 100
    assert list(found[0]) == ["t2", "spe", "combined", "excess", "p_value", "is_above", "is_alarm", "top_sensor"]
    assert np.mean([row["top_sensor"] == "pressure" for row in found[60:]]) > 0.9
    assert np.mean([row["is_alarm"] == "True" for row in found[60:]]) > 0.9
    files = sorted(path.name for path in (tmp_path / "a/b").iterdir())
    assert files[0].startswith("arrays-")
    assert files[1:] == ["artefact.json", "contributions.png", "control_chart.png", "report.html", "rows.csv"]
    # The saved monitor judges the same rows the same way, without the normal table.
    run(MonitorCommand(str(tmp_path / "a/b"), tables[1], tmp_path / "again", quiet=True))
    assert (tmp_path / "again/rows.csv").read_bytes() == (tmp_path / "a/b/rows.csv").read_bytes()


def test_a_sensor_that_stood_still_is_noted_and_not_among_those_that_stand_out(tmp_path, capsys):
    rows = np.random.default_rng(0).standard_normal((200, 3))
    rows[:, 1:] = 7.1
    normal = write(tmp_path / "normal.csv", rows, ["flow", "level", "valve"])
    rows[100:, 2] = 8
    times = np.arange(1, 201.0)
    new = write(tmp_path / "new.csv", np.column_stack([times, rows]), ["time", "flow", "level", "valve"])
    run(MonitorCommand(normal, new, tmp_path / "out", num_epochs=1))
    said = capsys.readouterr()
    assert said.out.splitlines()[3].endswith(": flow")
    judged = read_table(tmp_path / "out" / "rows.csv", drop_columns=["top_sensor"])
    np.testing.assert_array_equal(judged.labels["time"], times)
    notes = [line for line in said.err.splitlines() if line.startswith("note:")]
    assert notes[-2].startswith("note: level: constant in the normal rows, so the monitor")
    assert notes[-1].startswith("note: valve: constant in the normal rows, not in the new ones")


def test_options_that_an_earlier_monitor_makes_void_are_noted(tables, tmp_path, capsys):
    run(MonitorCommand(*tables, tmp_path / "out", num_epochs=1, quiet=True))
    earlier = str(tmp_path / "out")
    assert not capsys.readouterr().err
    run(MonitorCommand(earlier, tables[1], tmp_path / "out", num_lags=5, alarm_rule=(1, 1)))
    assert "note: --num-lags, --alarm-rule: ignored, those of" in capsys.readouterr().err
    run(MonitorCommand(earlier, tables[1], tmp_path / "out"))
    run(MonitorCommand(earlier, tables[1], tmp_path / "out", num_lags=5, quiet=True))
    assert not capsys.readouterr().err


def test_an_earlier_monitor_reads_new_tables_as_it_read_its_own(tables, tmp_path):
    def german(path):
        lines = Path(path).read_text().replace(",", ";").replace(".", ",").splitlines()
        lines[1] = lines[1].rsplit(";", 1)[0] + ";aus"
        file = tmp_path / f"german_{path.rsplit('/', 1)[-1]}"
        file.write_text("\n".join(lines) + "\n")
        return str(file)

    normal, new = map(german, tables)
    told = ReadOptions(decimal="comma", missing=("aus",))
    run(MonitorCommand(normal, new, tmp_path / "out", num_epochs=1, reading=told, quiet=True))
    run(MonitorCommand(str(tmp_path / "out"), new, tmp_path / "again", quiet=True))
    assert (tmp_path / "again/rows.csv").read_bytes() == (tmp_path / "out/rows.csv").read_bytes()
    dotted = tmp_path / "dotted.csv"
    dotted.write_text(Path(new).read_text().replace(",", "."))
    run(MonitorCommand(str(tmp_path / "out"), str(dotted), tmp_path / "dots", reading=ReadOptions(decimal="point")))
    assert (tmp_path / "dots/rows.csv").read_bytes() == (tmp_path / "out/rows.csv").read_bytes()


def test_errors_name_what_is_wrong(tables, tmp_path):
    rows = write(tmp_path / "rows.csv", np.ones((3, 2)), ["flow", "level"])
    with pytest.raises(ValueError, match=r"--out: found .*rows\.csv, which is the file that is read"):
        run(MonitorCommand(tables[0], rows, tmp_path, quiet=True))
    other = write(tmp_path / "other.csv", np.ones((3, 2)), ["flow", "level"])
    with pytest.raises(ValueError, match="3 of the 5 training columns missing"):
        run(MonitorCommand(tables[0], other, tmp_path / "out", quiet=True))
    with pytest.raises(ValueError, match=r"false_alarm_rate: found 0\.001, but 300 rows"):
        run(MonitorCommand(*tables, tmp_path / "out", false_alarm_rate=0.001, quiet=True))


def test_what_trust_in_limits_rests_on_is_said_to_the_quiet_too(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((600, 3))
    columns = ["flow", "level", "valve"]
    new = write(tmp_path / "new.csv", rows[500:], columns)
    started = rows[:500] + np.exp(-np.arange(500) / 20)[:, None] * [20, -20, 20]
    normal = write(tmp_path / "normal.csv", started, columns)
    options = {"num_epochs": 30, "num_lags": 0, "false_alarm_rate": 0.05, "quiet": True}
    run(MonitorCommand(normal, new, tmp_path / "out", **options))
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("note: x: the first ")
    assert "rows stand out from the others, as a start-up" in line
    assert "independent stretches among them: about " in said.out
    assert "; left out as start-up or shutdown: the first " in said.out
    # As figures, and of the monitor that was saved.
    run(MonitorCommand(str(tmp_path / "out"), new, tmp_path / "again", json=True, **options))
    figures = json.loads(capsys.readouterr().out)
    assert 40 < figures["left_out"] < 140
    assert figures["independent_stretches"] > 3
    run(MonitorCommand(normal, new, tmp_path / "kept", keep_transients=True, json=True, **options))
    assert json.loads(capsys.readouterr().out)["left_out"] == 0
    slow = rows[:500].copy()
    slow[:, 1] = np.repeat(rng.standard_normal(10), 50)
    run(MonitorCommand(write(tmp_path / "slow.csv", slow, columns), new, tmp_path / "slow", **options))
    (line,) = capsys.readouterr().err.splitlines()
    assert "rows hold only about" in line
    slow[:, 1] = np.arange(500) + rng.standard_normal(500)  # without noise it would be taken for the row number
    ramp = write(tmp_path / "ramp.csv", slow, columns)
    with pytest.raises(ValueError, match=r"column 1, counted from 0, is the slowest\), expected at least 3"):
        run(MonitorCommand(ramp, new, tmp_path / "ramp", **options))


def test_a_monitor_is_rebased_on_rows_of_a_new_state(tables, tmp_path, capsys):
    """The old monitor alarms for ever, the new one as often as asked, and it finds a fault."""
    columns = ["flow", "level", "pressure", "temperature", "valve"]
    rng = np.random.default_rng(1)
    rows = read_table(tables[0]).values
    twice = np.concatenate([rows, rows[::-1] + 0.05 * rng.standard_normal(rows.shape)])
    moved = twice + np.array([0, 20, 0, 0, -20])
    faulty = moved[400:].copy()
    faulty[100:, 2] += 4
    state, new = write(tmp_path / "state.csv", moved[:400], columns), write(tmp_path / "new.csv", faulty, columns)
    words = ["--num-epochs", "20", "--false-alarm-rate", "0.02", "--quiet", "--json"]

    def alarms(*words):
        run(tyro.cli(MonitorCommand, args=list(words)))
        found = read_table(tmp_path / words[words.index("--out") + 1] / "rows.csv", drop_columns=["top_sensor"])
        return found.values[:, found.columns.index("is_alarm")], json.loads(capsys.readouterr().out)

    old, again = str(tmp_path / "old"), str(tmp_path / "again")
    is_alarm, _ = alarms(tables[0], new, "--out", old, *words)
    assert is_alarm[10:].all()
    is_alarm, figures = alarms(old, new, "--rebase", state, "--out", again, "--quiet", "--json")
    assert is_alarm[:100].mean() < 0.1
    assert is_alarm[110:].mean() > 0.9
    assert figures["false_alarm_rate"] == 0.02
    assert figures["num_normal"] == 400
    saved, _ = alarms(again, new, "--out", str(tmp_path / "third"), "--quiet", "--json")
    np.testing.assert_array_equal(saved, is_alarm)
    with pytest.raises(
        ValueError, match=r"rebase: found .* beside the table .*, expected the folder of an earlier call"
    ):
        run(MonitorCommand(tables[0], new, tmp_path / "none", rebase=state, quiet=True))
