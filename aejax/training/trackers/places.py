"""Trackers as the command line names them."""

from aejax.training.trackers.event_files import tensorboard
from aejax.training.trackers.json_file import json_lines
from aejax.training.trackers.mlflow_server import mlflow
from aejax.training.trackers.tracker import Tracker

_KINDS = {"jsonl": json_lines, "tensorboard": tensorboard, "mlflow": mlflow}


def tracker_of(place: str) -> Tracker:
    """The tracker of a place as the command line names it.

    Args:
        place: ``jsonl:FILE``, ``tensorboard:FOLDER`` or ``mlflow:ADDRESS#RUN``.

    Returns:
        The Tracker.

    Raises:
        ValueError: another kind, or no place.

    Example:
        >>> tracker_of("wandb:plant")
        Traceback (most recent call last):
        ValueError: track: found 'wandb:plant', expected jsonl:FILE, tensorboard:FOLDER or mlflow:ADDRESS#RUN
    """
    kind, _, where = place.partition(":")
    if kind not in _KINDS or not where:
        raise ValueError(f"track: found {place!r}, expected jsonl:FILE, tensorboard:FOLDER or mlflow:ADDRESS#RUN")
    return _KINDS[kind](where)
