"""``--track`` of ``aejax train``: the figures of a training go to other tools while it runs."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aejax.tables.config import TrainConfig
    from aejax.training import Progress
    from aejax.training.trackers import Tracker


@contextlib.contextmanager
def tracked(
    places: Sequence[str], config: "TrainConfig", folder: Path, is_quiet: bool
) -> "Iterator[bool | Callable[[Progress], None]]":
    """Notes a training to some places.

    Args:
        places: as ``trackers.tracker_of`` takes them; none for no tracking.
        config: of the training.
        folder: of the run.
        is_quiet: whether no bar is drawn.

    Yields:
        What ``tables.train`` takes as its ``progress``.
    """
    from aejax.training import ProgressBar
    from aejax.training.trackers import reporter

    if not places:
        yield not is_quiet
        return
    with _opened(places) as tracker:
        tracker.hyperparameters(dataclasses.asdict(config))
        reports = [reporter(tracker)] + ([] if is_quiet else [ProgressBar()])

        def report(progress: "Progress") -> None:
            for one in reports:
                one(progress)

        yield report
        _complete(tracker, folder)


def complete(places: Sequence[str], folder: Path) -> None:
    """Notes what is left of a run that has come to its end: a process may have been killed just before.

    Args:
        places: as in ``tracked``.
        folder: of the run.
    """
    if places:
        with _opened(places) as tracker:
            _complete(tracker, folder)


@contextlib.contextmanager
def _opened(places: Sequence[str]) -> "Iterator[Tracker]":
    from aejax.training.trackers import composite, tracker_of

    tracker = composite([tracker_of(place) for place in places])
    try:
        yield tracker
    finally:
        tracker.finish()


def _complete(tracker: "Tracker", folder: Path) -> None:
    import numpy as np

    import aejax
    from aejax.tables import run as runs
    from aejax.training.trackers import log_history

    record = aejax.load(runs.record_folder(folder), runs.Record)
    log_history(tracker, record.history)
    figures = {f"lowest_{name}": float(np.nanmin(values)) for name, values in record.history.items() if "loss" in name}
    explained = record.held_out.explained_variance
    if np.isfinite(explained).any():
        figures["explained_variance"] = float(np.nanmean(explained[np.isfinite(explained)]))
    tracker.summary(figures)
    tracker.artefact(folder)
