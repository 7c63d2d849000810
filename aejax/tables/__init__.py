"""The main job on a table of named columns, in its own units: train, encode, reconstruct, detect, generate, watch."""

import aejax.tables.stored  # noqa: F401, makes runs known to aejax.save
from aejax.tables.application import detect, encode, evaluate, generate, reconstruct
from aejax.tables.monitoring import TableMonitor, Watched, fit_monitor, table_monitor, watch
from aejax.tables.run import Record, Run, record_folder
from aejax.tables.training import Split, split_rows, train

__all__ = [
    "Record",
    "Run",
    "Split",
    "TableMonitor",
    "Watched",
    "detect",
    "encode",
    "evaluate",
    "fit_monitor",
    "generate",
    "reconstruct",
    "record_folder",
    "split_rows",
    "table_monitor",
    "train",
    "watch",
]
