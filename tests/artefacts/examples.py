"""A small thing of each kind that can be saved."""

import functools
import tempfile
from pathlib import Path

import jax
import numpy as np

import aejax
from aejax import tables
from aejax.data.formats.tables import Table
from aejax.tables import run as runs
from aejax.tables.config import TrainConfig
from aejax.tasks import anomaly

NAMES = ("flow", "level")


@functools.cache
def table():
    values = np.random.default_rng(0).standard_normal((200, 2))
    values[3, 1] = np.nan
    return Table(NAMES, values, True, ())


@functools.cache
def run_and_record():
    config = TrainConfig("conditional_vae", num_epochs=2, hidden_dims=(3,), condition_columns=("level",))
    three = np.column_stack([table().values, table().values[:, 0] ** 2])
    with tempfile.TemporaryDirectory() as folder:
        run = tables.train(Table((*NAMES, "valve"), three, True, ()), config, folder)
        return run, aejax.load(runs.record_folder(Path(folder)))


@functools.cache
def monitor():
    return anomaly.fit_monitor(jax.random.key(0), table().values, num_lags=0, num_epochs=1, false_alarm_rate=0.05)


@functools.cache
def detector():
    rows = table().values
    found = anomaly.fit_detector(jax.random.key(0), rows[:100], num_members=2, num_steps=20, max_references=5)
    return anomaly.calibrate_detector(found, rows[100:])


EXAMPLES = {
    "run": lambda: run_and_record()[0],
    "record": lambda: run_and_record()[1],
    "monitor": monitor,
    "table monitor": lambda: tables.table_monitor(monitor(), table()),
    "detector": detector,
}
