"""Fitting: the engine's chunks driven from Python, with progress, checkpoints, Ctrl-C and divergence between them."""

import contextlib
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aejax.algorithms import (
    AdversarialHparams,
    Anneal,
    MinimiseHparams,
    Optimizer,
    adam,
    adversarial,
    minimise,
)
from aejax.base import Adversary, Algorithm, Array, Fitted, Model, Objective, Variables
from aejax.batches import as_batch
from aejax.training import engine
from aejax.training.arguments import (
    check_key,
    check_observed,
    check_variables,
    data_and_plan,
    hparams_of,
    leading_axes,
    learning_rate_of,
    refuse_with_an_algorithm,
)
from aejax.training.checkpoint import Checkpoints
from aejax.training.fingerprints import fingerprint
from aejax.training.progress import ProgressBar, Report
from aejax.training.sharding import gathered

# A chunk ends about this often: seldom enough to cost nothing, often enough for a bar that moves and for Ctrl-C.
_SECONDS_PER_CHUNK = 0.5


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
    """Some members of an ensemble or a sweep diverged; the others went on."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C arrived; the chunk was finished, and a checkpoint written where there is a folder for it.

    Attributes:
        fitted: the result up to there.
    """

    def __init__(self, message: str, fitted: Fitted):
        self.fitted = fitted
        super().__init__(message)


def fit(
    key: Array,
    model: Objective | Model | Adversary | Algorithm,
    x: Any,
    *,
    validation: float | Any = 0.1,
    num_epochs: int = 100,
    batch_size: int = 64,
    learning_rate: Any = None,
    hparams: Any = None,
    optimizer: Optimizer | None = None,
    ema_decay: float | None = None,
    anneal: Anneal | None = None,
    patience: int | None = None,
    variables: Variables | None = None,
    state: Any = None,
    checkpoint_dir: str | Path | None = None,
    checkpoint_seconds: float = 30.0,
    resume: bool = False,
    progress: bool | Callable[[Report], None] = False,
) -> Fitted:
    """Trains a model.

    The same key, data and options give the same bits on the same backend, JAX version and device count, however
    often the run is checkpointed, killed and resumed.

    It compiles programs of its own and cannot be called inside ``jit``, ``vmap`` or ``grad``; ``ensemble`` and
    ``sweep`` train many at once. A second call compiles nothing new where model, optimizer and shapes are the same:
    vary what ``hparams`` and ``learning_rate`` hold, since another ``beta=`` handed to a factory makes another model.

    Args:
        key: PRNG key; initial variables, the split, the order of rows and all noise follow from it. A stack of keys
            trains an ensemble, see ``ensemble``.
        model: an Objective or a Model, which is then minimised by ``optimizer``, an Adversary, whose players take
            turns, or any Algorithm.
        x: (n, *event) array, NaN where a value is missing, or a Batch with conditions, targets or a mask.
        validation: the share of rows to hold out, drawn by the key, or the rows themselves, or 0 for none.
            The variables with the lowest validation loss are returned.
        num_epochs: the most passes over the training rows.
        batch_size: rows a step; all of them where there are fewer. The last batch of an epoch is filled up with
            rows of the same epoch, so that each row is seen at least once.
        learning_rate: the optimizer's, 1e-3 by default; for a Model or an Adversary. An Algorithm has its rate in
            ``hparams``.
        hparams: the hyperparameters, ``model.hparams`` by default: ``model.hparams._replace(beta=4.0)``. Arrays or
            lists in the place of scalars, here or in ``learning_rate``, train a sweep, see ``sweep``.
        optimizer: (learning_rate) -> optax.GradientTransformation; Adam by default, with b1 = 0.5 for an
            Adversary. ``aejax.adam`` has schedules, clipping and weight decay. An Algorithm was made with its own.
        ema_decay: if given, a moving average of the parameters is evaluated and returned; not with an Algorithm.
        anneal: (step, hyperparameters) -> hyperparameters of that step, for a Model: ``aejax.warm_up("beta", 1000)``.
        patience: epochs without a better validation loss after which the run stops; None for never.
        variables: what to begin from in place of variables drawn by the key: those of ``pretrain``, of a model from
            PyTorch, of another fit. With a stack of keys each leaf has their leading axis.
        state: a TrainState to go on from, such as ``fitted.state``; with the same key the epochs then follow those
            before as if the run had not been cut.
        checkpoint_dir: where to write checkpoints between chunks; None for none.
        checkpoint_seconds: the time between two of them.
        resume: go on from the newest readable checkpoint in ``checkpoint_dir``. Key, data, options and
            hyperparameters must be those that the run was begun with; only ``num_epochs`` may be raised, to go on for
            longer. Functions (``optimizer``, ``anneal``, the
            model's own) and what it began from (``variables``, ``state``) are not compared.
        progress: True for a bar on a terminal, or a function that takes a ``Report``.

    Returns:
        Fitted: variables, state and history, arrays only.

    Raises:
        ValueError: bad data or options; the message names the field. Checkpoints of a run begun with others.
        DivergenceError: a loss or gradient was not finite; it carries the last good variables.
        Interrupted: Ctrl-C, after the chunk at hand was finished and checkpointed.

    Example:
        >>> from aejax.models import autoencoder
        >>> x = jax.random.normal(jax.random.key(0), (200, 5))
        >>> fitted = fit(jax.random.key(1), autoencoder((5,), 2, hidden_dims=(8,)), x, num_epochs=3)
        >>> fitted.history["loss"].shape
        (3,)
    """
    if resume and checkpoint_dir is None:
        raise ValueError("checkpoint_dir: found None, expected the folder to resume from")
    check_key(key)
    data, plan = data_and_plan(as_batch(x), validation, num_epochs, batch_size, patience)
    own_hparams = hparams_of(model, hparams)
    if anneal is not None and not isinstance(model, Objective | Model):
        raise ValueError("anneal: found one with an Adversary or an Algorithm, expected it with a Model only")
    if isinstance(model, Objective | Model):
        algorithm = minimise(model, optimizer or adam(), ema_decay, anneal)
        hparams = MinimiseHparams(learning_rate_of(learning_rate), own_hparams)
    elif isinstance(model, Adversary):
        algorithm = adversarial(model, optimizer or adam(b1=0.5), ema_decay)
        hparams = AdversarialHparams(learning_rate_of(learning_rate), own_hparams)
    else:
        refuse_with_an_algorithm(learning_rate=learning_rate, optimizer=optimizer, ema_decay=ema_decay)
        algorithm, hparams = model, own_hparams
    axes, hparams = leading_axes(key, hparams)
    if variables is not None:
        check_variables(variables, algorithm, axes, key, data, hparams)
    run = engine.start(algorithm, plan, axes, key, data, hparams, variables)
    check_observed(data, run)
    if state is not None:
        # The state's buffers stay the caller's: the chunks give up those that they are handed.
        run = run._replace(state=jax.tree.map(jnp.copy, state))

    def advance(run: engine.Run, until_epoch: int) -> engine.Run:
        return engine.advance(algorithm, plan, axes, run, data, hparams, until_epoch)

    if checkpoint_dir is None:
        return _drive(run, advance, plan, None, checkpoint_seconds, progress)
    with contextlib.closing(Checkpoints(checkpoint_dir)) as checkpoints:
        begun_with = fingerprint(data, plan, hparams, run.best, ema_decay=ema_decay)
        if checkpoints.is_empty():
            checkpoints.begin(begun_with)
        elif resume:
            checkpoints.check(begun_with)
            run = checkpoints.restore(run) or run
        else:
            raise ValueError(
                f"checkpoint_dir: {checkpoint_dir} holds the checkpoints of an earlier run; pass resume=True to go "
                "on with it, or choose another folder"
            )
        return _drive(run, advance, plan, checkpoints, checkpoint_seconds, progress)


def _drive(
    run: engine.Run,
    advance: Callable[[engine.Run, int], engine.Run],
    plan: engine.Plan,
    checkpoints: Checkpoints | None,
    checkpoint_seconds: float,
    progress: bool | Callable[[Report], None],
) -> Fitted:
    """Runs chunk after chunk until the run has ended."""
    report = ProgressBar() if progress is True else progress or None
    began = saved = time.monotonic()
    first_epoch = epoch = int(np.max(run.epoch))
    compiled = began  # when the first chunk, which compiles, was done
    chunk = 1
    with _interruptible() as interrupted:
        while not (ended := _ended(run, plan)):
            chunk_began = time.monotonic()
            run = jax.block_until_ready(advance(run, min(epoch + chunk, plan.num_epochs)))
            now = time.monotonic()
            done, epoch = int(np.max(run.epoch)) - epoch, int(np.max(run.epoch))
            if compiled == began:
                compiled, first_epoch = now, epoch
            else:
                # Long enough to cost nothing, and never more than doubling on one noisy measurement.
                pace = _SECONDS_PER_CHUNK * done / max(now - chunk_began, 1e-6)
                chunk = max(1, min(2 * chunk, int(pace)))
            ended = _ended(run, plan)
            if checkpoints and (ended or interrupted.is_set() or now - saved > checkpoint_seconds):
                checkpoints.save(run)
                saved = time.monotonic()
            if report:
                rate = (epoch - first_epoch) / (now - compiled) if now > compiled else 0.0
                report(Report(epoch, plan.num_epochs, now - began, rate, _last_metrics(run), ended))
            if interrupted.is_set() and not ended:
                where = f"; checkpoint written to {checkpoints.directory}" if checkpoints else ""
                raise Interrupted(f"interrupted after epoch {epoch}{where}", _fitted(run))
    _raise_if_diverged(run)
    return _fitted(run)


def _ended(run: engine.Run, plan: engine.Plan) -> bool:
    return bool(np.all((np.asarray(run.status) != engine.RUNNING) | (np.asarray(run.epoch) >= plan.num_epochs)))


def _last_metrics(run: engine.Run) -> dict[str, float]:
    """The newest metrics; the mean over the members of an ensemble."""
    last = int(np.max(run.epoch)) - 1
    means = {}
    for name, values in run.history.items():
        newest = np.asarray(values)[..., last]
        finite = newest[np.isfinite(newest)]
        means[name] = float(finite.mean()) if finite.size else float("nan")
    return means


def _fitted(run: engine.Run) -> Fitted:
    num_epochs = int(np.max(run.epoch))
    history = {name: np.asarray(values)[..., :num_epochs] for name, values in run.history.items()}
    return Fitted(gathered(run.best), gathered(run.state), history)


def _raise_if_diverged(run: engine.Run) -> None:
    diverged = np.asarray(run.status) == engine.DIVERGED
    if not diverged.any():
        return
    if diverged.ndim == 0:
        raise DivergenceError(int(run.epoch), int(run.failed_step), _fitted(run))
    members = ", ".join(
        f"{tuple(map(int, index))} in epoch {int(run.epoch[tuple(index)])}, step {int(run.failed_step[tuple(index)])}"
        for index in np.argwhere(diverged)
    )
    warnings.warn(
        f"{diverged.sum()} of {diverged.size} members diverged and keep their last good variables: {members}. "
        "Try a smaller learning rate for them",
        DivergenceWarning,
        stacklevel=5,
    )


@contextlib.contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Ctrl-C sets an event instead of breaking off in the middle of a chunk; a second one breaks off all the same."""
    event = threading.Event()
    default = signal.default_int_handler
    is_ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is default
    if not is_ours:
        yield event
        return

    def handle(signum: int, frame: Any) -> None:  # noqa: ARG001
        event.set()
        signal.signal(signal.SIGINT, default)

    signal.signal(signal.SIGINT, handle)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, default)
