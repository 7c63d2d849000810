"""Driving the engine from Python: how far each part goes, and what happens between two parts.

Between two parts are reports, checkpoints, Ctrl-C and the next batches of a stream; none of them changes the result.
"""

import contextlib
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NamedTuple

import jax
import numpy as np

from aejax.artefacts.interruption import raise_then_end
from aejax.base import Fitted, PyTree
from aejax.training.engine import DIVERGED, RUNNING, Clock, RunState, last_good
from aejax.training.pace import Pace
from aejax.training.plans import Plan
from aejax.training.processes import agreed, is_any, is_first
from aejax.training.progress import Progress
from aejax.training.sharding import gathered
from aejax.training.shared_checkpoints import SharedCheckpoints
from aejax.training.sources import Blocks

# Within an epoch; each end of one is reported.
_SECONDS_BETWEEN_REPORTS = 0.5


class DivergenceError(RuntimeError):
    """A loss or gradient was not finite.

    Attributes:
        epoch: the epoch in which it happened, counted from 1.
        step: the step of the run, counted from 0.
        fitted: the result up to there; its ``variables`` are the last good ones.
    """

    def __init__(self, epoch: int, step: int, fitted: Fitted):
        self.epoch, self.step, self.fitted = epoch, step, fitted
        super().__init__(
            f"the loss or its gradient is not finite in epoch {epoch}, step {step}. The variables from before that "
            "epoch are kept. Try a smaller learning rate, gradient clipping (clip_norm=1), and check that the data "
            "are scaled (mean 0, standard deviation 1)"
        )


class DivergenceWarning(RuntimeWarning):
    """Some members of an ensemble or a sweep diverged; the others finished."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C arrived; the running steps were finished, and a checkpoint written if there is a folder for it.

    It is raised after the last steps of a run as well, whose result is then complete.

    Attributes:
        fitted: the result up to there.
    """

    def __init__(self, message: str, fitted: Fitted):
        self.fitted = fitted
        super().__init__(message)


class Place(NamedTuple):
    """Where a run stands, on the host.

    Attributes:
        origin: the step at which its first epoch began.
        step: the steps done.
        epoch: the epochs done.
        block: the blocks of validation rows done at the end of the present epoch.
        is_over: whether no member runs any more.
    """

    origin: int
    step: int
    epoch: int
    block: int
    is_over: bool


def drive(
    run: RunState,
    advance: Callable[[RunState, PyTree, Clock], RunState],
    plan: Plan,
    pace: Pace,
    origin: int,
    blocks: Blocks | None,
    checkpoints: SharedCheckpoints | None,
    checkpoint_seconds: float,
    report: Callable[[Progress], None] | None,
) -> Fitted:
    """Runs part after part until the run has ended.

    Args:
        run: the RunState to begin or resume.
        advance: (run, what the source reads from, clock) -> run.
        plan: the Plan.
        pace: how long a part may be.
        origin: the step at which the run's first epoch began.
        blocks: of a stream; None for other sources.
        checkpoints: where to keep the run; None for nowhere.
        checkpoint_seconds: the time between two checkpoints.
        report: takes Progress values.

    Returns:
        Fitted.

    Raises:
        DivergenceError: the run diverged, a single one.
        Interrupted: Ctrl-C. SIGTERM ends the process, once a checkpoint is written.
    """
    place = _place(run, plan, origin)
    teller = _Teller(report, plan, place) if report and is_first() else None
    saved = time.monotonic()
    with _interruptible(checkpoints is not None) as stop:
        while not (place.is_over or is_any(stop.is_asked())):
            until, num_blocks = agreed(*pace.next_part(place.step - origin))
            until += origin
            reads, limit = blocks.at(place.step) if blocks else ((), until)
            numbers = (*place[:-1], min(until, limit), num_blocks)
            clock = Clock(*jax.device_put([np.int32(number) for number in numbers]))
            began = time.monotonic()
            run = advance(run, reads, clock)
            if blocks:
                blocks.prepare()
            jax.block_until_ready(run.status)
            before, place = place, _place(run, plan, origin)
            seconds = time.monotonic() - began
            pace.measure(seconds, place.step - before.step, (place.epoch, place.block) != (before.epoch, before.block))
            if checkpoints:
                is_due = time.monotonic() - saved > checkpoint_seconds and checkpoints.is_ready()
                if place.is_over or is_any(stop.is_asked() or is_due):
                    checkpoints.save(run)
                    saved = time.monotonic()
            if teller:
                teller.tell(run, place)
        was_stopped = is_any(stop.is_asked())
        if checkpoints:
            if was_stopped:  # it may have come after the last part was saved
                checkpoints.save(run)
            checkpoints.wait()
    if stop.signum == signal.SIGTERM:
        signal.raise_signal(signal.SIGTERM)
    if was_stopped or stop.is_asked():
        # After the last part too: what called this run would begin the next one otherwise.
        where = f"; checkpoint written to {checkpoints.directory}" if checkpoints else ""
        raise Interrupted(f"interrupted after epoch {place.epoch}, step {place.step}{where}", fitted_of(run))
    _raise_if_diverged(run, plan, origin)
    return fitted_of(run)


def fitted_of(run: RunState) -> Fitted:
    """The result of a run so far."""
    epochs, status = (np.asarray(found) for found in jax.device_get((run.epoch, run.status)))
    state = last_good(run) if (status == DIVERGED).any() else run.state
    return Fitted(gathered(run.best), gathered(state), _history(run, epochs))


def _place(run: RunState, plan: Plan, origin: int) -> Place:
    steps, epochs, blocks, status = (
        np.asarray(found) for found in jax.device_get((run.state.step, run.epoch, run.block, run.status))
    )
    step, epoch = int(steps.max()), int(epochs.max())
    return Place(origin, step, epoch, int(blocks.max()), bool((status != RUNNING).all()) or epoch >= plan.num_epochs)


def _history(run: RunState, epochs: np.ndarray) -> dict[str, np.ndarray]:
    """What was recorded; behind the last epoch of a member that ended before others stands NaN."""
    num_epochs = int(epochs.max())
    was_run = np.arange(num_epochs) < epochs[..., None]
    history = jax.device_get(run.history)
    return {name: np.where(was_run, values[..., :num_epochs], np.float32(np.nan)) for name, values in history.items()}


class _Teller:
    """Progress values each epoch that a part has finished, and how far the present one is."""

    def __init__(self, report: Callable[[Progress], None], plan: Plan, place: Place):
        self._report, self._plan = report, plan
        self._began = time.monotonic()
        self._told, self._last = place.epoch, self._began
        self._compiled: tuple[float, int] | None = None  # when the first part, which compiles, was done, and its step

    def tell(self, run: RunState, place: Place) -> None:
        now = time.monotonic()
        is_first = self._compiled is None
        if self._compiled is None:
            self._compiled = now, place.step
        seconds, steps = now - self._compiled[0], place.step - self._compiled[1]
        per_epoch = self._plan.steps_per_epoch
        told = Progress(
            epoch=self._told,
            num_epochs=self._plan.num_epochs,
            seconds=now - self._began,
            epochs_per_second=steps / per_epoch / seconds if seconds > 0 else 0.0,
            metrics={},
            done=False,
            steps_per_epoch=per_epoch,
        )
        history = _mean_over_members(_history(run, np.asarray(jax.device_get(run.epoch))))
        for epoch in range(self._told + 1, place.epoch + 1):
            so_far = {name: values[:epoch] for name, values in history.items()}
            self._report(
                told._replace(
                    epoch=epoch,
                    step=place.origin + epoch * per_epoch,
                    metrics={name: float(values[-1]) for name, values in so_far.items()},
                    history=so_far,
                    done=place.is_over and epoch == place.epoch,
                )
            )
        is_late = now - self._last >= _SECONDS_BETWEEN_REPORTS and not is_first
        if place.epoch == self._told and (place.is_over or is_late):
            means = {name: float(np.mean(value)) for name, value in jax.device_get(run.means).items()}
            self._report(
                told._replace(step=place.step, metrics=means, history=history, done=place.is_over, ends_epoch=False)
            )
            self._last = now
        if is_first or place.epoch > self._told:
            self._last = now
        self._told = place.epoch


def _mean_over_members(history: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """(epochs,) of each metric, of those members that were still running."""
    means = {}
    for name, values in history.items():
        members = values.reshape(math.prod(values.shape[:-1]), values.shape[-1])
        is_known = np.isfinite(members)
        count = is_known.sum(axis=0)
        total = np.where(is_known, members, 0).sum(axis=0)
        means[name] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return means


def _raise_if_diverged(run: RunState, plan: Plan, origin: int) -> None:
    status, failed_step = (np.asarray(found) for found in jax.device_get((run.status, run.failed_step)))
    diverged = status == DIVERGED
    if not diverged.any():
        return
    epoch = (failed_step - origin) // plan.steps_per_epoch + 1
    if diverged.ndim == 0:
        raise DivergenceError(int(epoch), int(failed_step), fitted_of(run))
    members = ", ".join(
        f"{tuple(map(int, index))} in epoch {epoch[tuple(index)]}, step {failed_step[tuple(index)]}"
        for index in np.argwhere(diverged)
    )
    warnings.warn(
        f"{diverged.sum()} of {diverged.size} members diverged and keep their last good variables: {members}. "
        "Try a smaller learning rate for them",
        DivergenceWarning,
        stacklevel=5,
    )


# The handlers that a run replaces by its own, and what a second signal finds in their place.
_SECOND: dict[int, dict[Any, Any]] = {
    signal.SIGINT: {signal.default_int_handler: signal.default_int_handler, raise_then_end: signal.SIG_DFL},
    signal.SIGTERM: {signal.SIG_DFL: signal.SIG_DFL},
}


class _Stop:
    """The signal that asked to stop after this part; None where none has."""

    signum: int | None = None

    def is_asked(self) -> bool:
        return self.signum is not None


@contextlib.contextmanager
def _interruptible(has_checkpoints: bool) -> Iterator[_Stop]:
    """Ctrl-C stops after a part instead of in the middle; a second one stops at once.

    So does SIGTERM, by which a cluster announces that it takes the machine, where there are checkpoints to write.
    """
    stop = _Stop()
    signums = [signal.SIGINT, signal.SIGTERM] if has_checkpoints else [signal.SIGINT]
    is_ours = threading.current_thread() is threading.main_thread()
    before: dict[int, Any] = {signum: signal.getsignal(signum) for signum in signums if is_ours}
    before = {signum: handler for signum, handler in before.items() if handler in _SECOND[signum]}

    def handle(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        stop.signum = signum
        signal.signal(signum, _SECOND[signum][before[signum]])

    for signum in before:
        signal.signal(signum, handle)
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
