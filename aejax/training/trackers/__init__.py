"""Where the figures of a training go while it runs: JSON lines, TensorBoard, MLflow, several at once."""

from aejax.training.trackers.event_files import tensorboard
from aejax.training.trackers.json_file import json_lines
from aejax.training.trackers.mlflow_server import mlflow
from aejax.training.trackers.places import tracker_of
from aejax.training.trackers.tracker import Tracker, composite, log_history, reporter

__all__ = [
    "Tracker",
    "composite",
    "json_lines",
    "log_history",
    "mlflow",
    "reporter",
    "tensorboard",
    "tracker_of",
]
