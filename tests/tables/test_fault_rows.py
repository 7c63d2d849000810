"""New rows of a fault, given its label, checked by a detector that knows normal operation alone."""

import jax
import numpy as np
import pytest

from aejax import tables
from aejax.data.formats.tables import as_table
from aejax.simulate import plant
from aejax.tables.config import TrainConfig

LABELS = {
    "normal": "none",
    "fouled": "fouled_jacket",
    "drift": "concentration_sensor_drift",
    "bias": "temperature_sensor_bias",
}
COLUMNS = (*plant.SENSORS, *plant.CONDITIONS)


def rows(seed, label, num_trajectories=6):
    data = plant.plant(jax.random.key(seed), num_trajectories, 120, LABELS[label], 30)
    values = np.concatenate([data.x, data.cond], axis=-1)
    values = values[np.asarray(data.faulty)] if label != "normal" else values.reshape(-1, len(COLUMNS))
    return {**dict(zip(COLUMNS, values.T.astype(float), strict=True)), "fault": np.full(len(values), label)}


def sensors(columns):
    return as_table({name: columns[name] for name in COLUMNS})


@pytest.mark.slow
def test_a_detector_flags_new_rows_of_a_fault_as_often_as_real_ones(tmp_path):
    known = [rows(seed, label) for seed, label in enumerate(LABELS)]
    table = as_table({name: np.concatenate([part[name] for part in known]) for name in known[0]})
    detector = tables.train(sensors(rows(10, "normal", 20)), TrainConfig(), tmp_path / "normal")
    config = TrainConfig(model="conditional_vae", condition_columns=("fault",))
    run = tables.train(table, config, tmp_path / "faults")
    codes = tables.fit_codes(run, table, num_steps=5000)
    shares = {}
    for seed, label in enumerate(LABELS):
        new = sensors(tables.generate(run, 1000, {"fault": label}, codes=codes))
        real = sensors(rows(20 + seed, label))
        shares[label] = [tables.detect(detector, each)["is_anomaly"].mean() for each in (new, real)]
    assert shares["normal"][0] < 0.04
    assert shares["bias"][0] < shares["fouled"][0]
    for label in ("fouled", "drift", "bias"):
        new, real = shares[label]
        assert abs(new - real) < 0.15, shares
