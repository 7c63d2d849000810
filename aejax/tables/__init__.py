"""The main job on a table of named columns, in its own units: train, encode, reconstruct, detect, generate, watch."""

import aejax.tables.stored  # noqa: F401, makes runs known to aejax.save
from aejax.data.formats.tables import as_table, read_table
from aejax.tables.application import detect, encode, reconstruct
from aejax.tables.augmentation import augment
from aejax.tables.codes import fit_codes, kept_codes
from aejax.tables.evaluation import evaluate, evaluate_files
from aejax.tables.files import write_results
from aejax.tables.generation import generate, generated_blocks
from aejax.tables.likeness.comparison import Comparison, compare
from aejax.tables.monitoring import TableMonitor, Watched, fit_monitor, rebase_monitor, table_monitor, watch
from aejax.tables.preparation import Split, split_rows
from aejax.tables.run import Record, Run, record_folder
from aejax.tables.training import train

__all__ = [
    "Comparison",
    "Record",
    "Run",
    "Split",
    "TableMonitor",
    "Watched",
    "as_table",
    "augment",
    "compare",
    "detect",
    "encode",
    "evaluate",
    "evaluate_files",
    "fit_codes",
    "fit_monitor",
    "generate",
    "generated_blocks",
    "kept_codes",
    "read_table",
    "rebase_monitor",
    "reconstruct",
    "record_folder",
    "split_rows",
    "table_monitor",
    "train",
    "watch",
    "write_results",
]
