"""What a tracker is, several as one, and how a training reports to one."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aejax.training.progress import Progress


class Tracker(NamedTuple):
    """Five functions that note what happens to a training.

    What a place holds already, from before a run was killed and resumed, is not noted twice.

    Attributes:
        hyperparameters: (values by name) -> None, before the training.
        log: (epoch from 1, metrics by name) -> None.
        summary: (figures by name) -> None, after the training.
        artefact: (path) -> None, a file or folder that the training has made.
        finish: () -> None, after which none of them is called.
    """

    hyperparameters: Callable[[Mapping[str, Any]], None]
    log: Callable[[int, Mapping[str, float]], None]
    summary: Callable[[Mapping[str, float]], None]
    artefact: Callable[[Path], None]
    finish: Callable[[], None]


def composite(trackers: Iterable[Tracker]) -> Tracker:
    """Notes to several places.

    Args:
        trackers: one for each place.

    Returns:
        The Tracker.
    """
    members = tuple(trackers)

    def each(name: str) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            for member in members:
                getattr(member, name)(*arguments)

        return call

    return Tracker(*map(each, Tracker._fields))


def log_history(tracker: Tracker, history: Mapping[str, np.ndarray], first: int = 0) -> None:
    """Notes the epochs of a history.

    Args:
        tracker: the Tracker.
        history: metrics by name, each (epochs,).
        first: so many epochs have been noted before.
    """
    num_epochs = max((len(values) for values in history.values()), default=0)
    for epoch in range(first, num_epochs):
        tracker.log(epoch + 1, {name: float(values[epoch]) for name, values in history.items()})


def reporter(tracker: Tracker) -> Callable[[Progress], None]:
    """What ``aejax.fit(progress=...)`` takes: each epoch is noted once, also those before a run was resumed.

    Args:
        tracker: the Tracker.

    Returns:
        Takes Progress values.

    Example:
        >>> found = []
        >>> nothing = lambda *arguments: None
        >>> tracker = Tracker(nothing, lambda epoch, metrics: found.append((epoch, metrics)), *[nothing] * 3)
        >>> report = reporter(tracker)
        >>> report(Progress(2, 9, 1.0, 1.0, {}, False, history={"loss": np.array([3.0, 2.0])}))
        >>> found
        [(1, {'loss': 3.0}), (2, {'loss': 2.0})]
    """
    num_noted = 0

    def report(progress: Progress) -> None:
        nonlocal num_noted
        log_history(tracker, progress.history, num_noted)
        num_noted = max(num_noted, progress.epoch)

    return report
