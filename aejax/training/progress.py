"""A line that says how far a run is, how fast it goes and how long it will take."""

import sys
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, TextIO

import numpy as np


class Progress(NamedTuple):
    """What a run reports at the end of each epoch, and about twice a second within longer ones.

    Attributes:
        epoch: the epochs done.
        num_epochs: the most epochs that the run may take.
        seconds: since this process began the run.
        epochs_per_second: over that time, compilation left out.
        metrics: the last epoch's metrics by name; within an epoch, the means over its steps so far.
        done: whether the run has ended.
        step: the steps done.
        steps_per_epoch: of them.
        ends_epoch: False within an epoch.
        history: metrics by name, each (epoch,): those of all epochs so far. In an ensemble, means over the members.
    """

    epoch: int
    num_epochs: int
    seconds: float
    epochs_per_second: float
    metrics: dict[str, float]
    done: bool
    step: int = 0
    steps_per_epoch: int = 1
    ends_epoch: bool = True
    history: Mapping[str, np.ndarray] = MappingProxyType({})


class ProgressBar:
    """Draws reports as one line on a terminal, and nothing where standard output is not one.

    Args:
        stream: where to draw, standard error by default, so that piped results stay clean.
    """

    def __init__(self, stream: TextIO | None = None):
        self._stream = stream or sys.stderr
        self._last = 0.0

    def __call__(self, report: Progress) -> None:
        """Draws a report, at most ten times a second."""
        now = time.monotonic()
        is_watched = self._stream.isatty() and sys.stdout.isatty()
        if not is_watched or (now - self._last < 0.1 and not report.done):
            return
        self._last = now
        self._stream.write("\r\x1b[K" + describe(report) + ("\n" if report.done else ""))
        self._stream.flush()


def describe(report: Progress, width: int = 24) -> str:
    """One line: bar, epochs, loss, rate and remaining time.

    Example:
        >>> describe(Progress(5, 10, 2.0, 2.5, {"loss": 1.5}, done=False), width=4)
        '[##..] epoch 5/10  loss 1.5  2.5 epochs/s  2 s left'
    """
    within = 0.0 if report.ends_epoch else report.step % report.steps_per_epoch / report.steps_per_epoch
    epochs = report.epoch + within
    filled = int(width * epochs / max(report.num_epochs, 1))
    parts = [f"[{'#' * filled}{'.' * (width - filled)}] epoch {report.epoch}/{report.num_epochs}"]
    parts += [f"{name} {value:.4g}" for name, value in report.metrics.items() if name in ("loss", "val_loss")]
    if report.done:
        parts.append(f"done in {duration(report.seconds)}")
    elif report.epochs_per_second > 0:
        parts.append(f"{report.epochs_per_second:.3g} epochs/s")
        left = (report.num_epochs - epochs) / report.epochs_per_second
        parts.append(f"{duration(left)} left")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """Seconds in words.

    Example:
        >>> duration(3725)
        '1 h 2 min'
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
