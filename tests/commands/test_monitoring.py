"""``aejax monitor``: tables in, a table and pictures out."""

import csv

import numpy as np
import pytest
import tyro

from aejax.commands.monitoring import Monitor, run


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


def test_it_writes_rows_and_pictures_and_says_both_rates(tables, tmp_path):
    words = [*tables, "--out", str(tmp_path / "a" / "b"), "--num-epochs", "20", "--false-alarm-rate", "0.02", "--quiet"]
    text = run(tyro.cli(Monitor, args=words))
    assert "asked for 2.00%, obtained" in text
    assert "pressure" in text.splitlines()[3]
    with (tmp_path / "a/b/rows.csv").open() as file:
        found = list(csv.DictReader(file))
    assert len(found) == 100
    assert list(found[0]) == ["t2", "spe", "combined", "p_value", "is_above", "is_alarm", "top_sensor"]
    assert np.mean([row["top_sensor"] == "pressure" for row in found[60:]]) > 0.9
    assert np.mean([row["is_alarm"] == "True" for row in found[60:]]) > 0.9
    files = sorted(path.name for path in (tmp_path / "a/b").iterdir())
    assert files == ["contributions.png", "control_chart.png", "monitor.safetensors", "rows.csv"]
    # The saved monitor judges the same rows the same way, without the normal table.
    run(Monitor(str(tmp_path / "a/b/monitor.safetensors"), tables[1], tmp_path / "again", quiet=True))
    assert (tmp_path / "again/rows.csv").read_bytes() == (tmp_path / "a/b/rows.csv").read_bytes()


def test_errors_name_what_is_wrong(tables, tmp_path):
    other = write(tmp_path / "other.csv", np.ones((3, 2)), ["flow", "level"])
    with pytest.raises(ValueError, match="3 of the 5 training columns missing"):
        run(Monitor(tables[0], other, tmp_path / "out", quiet=True))
    with pytest.raises(ValueError, match=r"false_alarm_rate: found 0\.001, but 300 rows"):
        run(Monitor(*tables, tmp_path / "out", false_alarm_rate=0.001, quiet=True))
