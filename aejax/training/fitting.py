"""Fitting: the engine run from Python (``fit``), and the same as a pure function (``train``)."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from aejax.base import (
    Adversary,
    Algorithm,
    Array,
    ArrayLike,
    Batch,
    Drawn,
    Fitted,
    Model,
    Objective,
    PyTree,
    Rows,
    Source,
    Stream,
    TrainState,
    Variables,
)
from aejax.data.batches import RowsLike
from aejax.training import engine, plans
from aejax.training.algorithms import AdversarialHparams, MinimiseHparams, adversarial, minimise
from aejax.training.arguments import (
    check_key,
    check_observed,
    check_variables,
    data_and_plan,
    hparams_as_arrays,
    hparams_over,
    keys_ndim,
    learning_rate_of,
    refuse_with_an_algorithm,
)
from aejax.training.contracts import as_fittable, check_shapes, hparams_of
from aejax.training.driver import drive
from aejax.training.engine import Clock, RunState
from aejax.training.fingerprints import fingerprint
from aejax.training.meshes import check_mesh, laid_out, placed
from aejax.training.optimizers import Anneal, Optimizer, adam, check_rate, takes_rate
from aejax.training.pace import pace_of
from aejax.training.processes import naming_the_lost
from aejax.training.progress import Progress, ProgressBar
from aejax.training.scales import warn_if_unscaled
from aejax.training.shared_checkpoints import SharedCheckpoints
from aejax.training.sources import Blocks, on_device, rows, stream

Fittable = Objective | Model | Adversary | Algorithm
# Whatever ``as_source`` takes.
SourceLike: TypeAlias = Source | RowsLike | Iterator[RowsLike]


class FitOptions(TypedDict, total=False):
    """The options of ``fit``, which ``ensemble`` and ``sweep`` take as well; described there."""

    validation: float | RowsLike
    num_epochs: int
    batch_size: int
    steps_per_epoch: int | None
    learning_rate: float | Array | None
    hparams: PyTree
    optimizer: Optimizer | None
    ema_decay: float | None
    anneal: Anneal | None
    patience: int | None
    variables: Variables | None
    state: TrainState | None
    checkpoint_dir: str | Path | None
    checkpoint_seconds: float
    resume: bool
    progress: bool | Callable[[Progress], None]
    mesh: Mesh | None


def fit(
    key: Array,
    model: Fittable,
    x: SourceLike,
    *,
    validation: float | RowsLike = 0.1,
    num_epochs: int = 100,
    batch_size: int = 64,
    steps_per_epoch: int | None = None,
    learning_rate: float | Array | None = None,
    hparams: PyTree = None,
    optimizer: Optimizer | None = None,
    ema_decay: float | None = None,
    anneal: Anneal | None = None,
    patience: int | None = None,
    variables: Variables | None = None,
    state: TrainState | None = None,
    checkpoint_dir: str | Path | None = None,
    checkpoint_seconds: float = 30.0,
    resume: bool = False,
    progress: bool | Callable[[Progress], None] = False,
    mesh: Mesh | None = None,
) -> Fitted:
    """Trains a model.

    The same key, data and options give the same bits on the same backend, JAX version and device count, however
    often the run is checkpointed, killed and resumed.

    It is one run, driven from Python. ``ensemble`` and ``sweep`` train many at once; ``train`` is the same as a pure
    function, for use inside ``jit`` and ``vmap``. A second call compiles nothing new where model, optimizer and shapes
    are the same, whatever its number of epochs up to 128 (then 256, 512 ...): vary what ``hparams`` and
    ``learning_rate`` hold, since another ``beta=`` given to a factory makes another model.

    Args:
        key: PRNG key; initial variables, the split, the order of rows and all noise follow from it.
        model: an Objective or a Model, which is then minimised by ``optimizer``, an Adversary, whose players take
            turns, or any Algorithm.
        x: (n, *event) array, NaN where a value is missing, or a Batch with conditions, targets or a mask; or a Source:
            ``aejax.rows``, ``aejax.drawn``, ``aejax.stream``, or an iterator of batches.
        validation: the share of rows to hold out, drawn by the key, or the rows themselves, or 0 for none.
            The variables with the lowest validation loss are returned.
        num_epochs: the most epochs.
        batch_size: rows a step; all of them where there are fewer. The last batch of a pass over the rows is filled up
            with rows of the same pass, so that each row is seen at least once. A stream has its own.
        steps_per_epoch: the steps after which the run is validated and reported; those of one pass over the training
            rows if None. A source without a last row needs it.
        learning_rate: the optimizer's, 1e-3 by default; for a Model or an Adversary. An Algorithm has its rate in
            ``hparams``.
        hparams: the hyperparameters, ``model.hparams`` by default: ``model.hparams._replace(beta=4.0)``. Each is a
            number or an array.
        optimizer: any Optax transformation, built (it then has its own rate) or as a function of the learning rate;
            Adam by default, with b1 = 0.5 for an Adversary. ``aejax.adam`` has schedules, clipping and weight decay. An
            Algorithm was made with its own.
        ema_decay: if given, a moving average of the parameters is evaluated and returned; not with an Algorithm.
        anneal: (step, hyperparameters) -> hyperparameters of that step, for a Model: ``aejax.warm_up("beta", 1000)``.
        patience: epochs without a better validation loss after which the run stops; None for never.
        variables: what to begin from in place of variables drawn by the key: those of ``pretrain``, of a model from
            PyTorch, of another fit. In an ensemble each leaf has a leading axis of members.
        state: a TrainState to continue from, such as ``fitted.state``; with the same key the steps then follow those
            before as if the run had not been cut.
        checkpoint_dir: where to write checkpoints, which may lie within an epoch; None for none.
        checkpoint_seconds: the time between two of them.
        resume: continue from the newest readable checkpoint in ``checkpoint_dir``. Key, data, options and
            hyperparameters must be those that the run began with; only ``num_epochs`` may be raised, to train for
            longer. Functions (``optimizer``, ``anneal``, the
            model's own) and what it began from (``variables``, ``state``) are not compared.
        progress: True for a bar on a terminal, or a function that takes a ``Progress``: of each epoch, with the history
            so far, and about twice a second within longer ones (``report.ends_epoch`` is False there).
        mesh: ``aejax.mesh(data=8)`` spreads the rows of each batch over eight devices: the same rows in the same steps,
            and the same result up to rounding. One device if None; members are spread over all devices there are.

    Returns:
        Fitted: variables, state and history, arrays only.

    Raises:
        ValueError: bad data or options; the message names the field. Checkpoints of a run begun with others. A call
            inside ``jit``, ``vmap`` or ``grad``.
        DivergenceError: a loss or gradient was not finite; it carries the last good variables.
        Interrupted: Ctrl-C, after the running steps (about half a second) were finished and checkpointed.

    Example:
        >>> from aejax.models import autoencoder
        >>> x = jax.random.normal(jax.random.key(0), (200, 5))
        >>> fitted = fit(jax.random.key(1), autoencoder((5,), 2, hidden_dims=(8,)), x, num_epochs=3)
        >>> fitted.history["loss"].shape
        (3,)
    """
    check_key(key)
    if keys_ndim(key):
        raise ValueError(f"key: found a stack of keys, {key.shape}, expected one; call aejax.ensemble(keys, ...)")
    options = FitOptions(
        validation=validation,
        num_epochs=num_epochs,
        batch_size=batch_size,
        steps_per_epoch=steps_per_epoch,
        learning_rate=learning_rate,
        hparams=hparams,
        optimizer=optimizer,
        ema_decay=ema_decay,
        anneal=anneal,
        patience=patience,
        variables=variables,
        state=state,
        checkpoint_dir=checkpoint_dir,
        checkpoint_seconds=checkpoint_seconds,
        resume=resume,
        progress=progress,
        mesh=mesh,
    )
    return fit_members(key, model, x, (), {}, options)


@naming_the_lost()
def fit_members(
    key: Array, model: Fittable, x: SourceLike, axes: tuple[str, ...], over: Mapping[str, ArrayLike], given: FitOptions
) -> Fitted:
    """What ``fit``, ``ensemble`` and ``sweep`` share.

    Args:
        key: one PRNG key, or a stack of them where ``axes`` has ``"key"``.
        model: as in ``fit``.
        x: as in ``fit``.
        axes: the leading axes, as ``engine.start`` takes them.
        over: values of hyperparameters by name where ``axes`` has ``"hparams"``.
        given: options, as in ``fit``.

    Returns:
        Fitted, with the leading axes.
    """
    defaults: dict[str, object] = dict(fit.__kwdefaults__ or {})
    if unknown := given.keys() - defaults.keys():
        raise TypeError(f"found option {', '.join(sorted(unknown))}, expected one of {', '.join(defaults)}")
    options = SimpleNamespace(**{**defaults, **given})
    check_mesh(options.mesh, axes)
    model, source = as_fittable(model), as_source(x)
    arrays = () if isinstance(source, Stream) else source.arrays
    if isinstance(arrays, Batch):
        warn_if_unscaled(arrays)
    _refuse_tracers(key, arrays, options.hparams, options.learning_rate, options.variables)
    if options.resume and options.checkpoint_dir is None:
        raise ValueError("checkpoint_dir: found None, expected the folder to resume from")
    algorithm, hparams = _algorithm(
        model, options.hparams, options.learning_rate, options.optimizer, options.ema_decay, options.anneal
    )
    # What is static is hashed, and the defaults, which may be arrays, are no longer used.
    algorithm, hparams = algorithm._replace(hparams=()), hparams_as_arrays(hparams)
    if "hparams" in axes:
        hparams = hparams_over(hparams, over)
    data, plan = data_and_plan(
        source,
        options.validation,
        options.num_epochs,
        options.batch_size,
        options.patience,
        options.steps_per_epoch,
    )
    data, plan = placed(options.mesh, data), plan._replace(mesh=options.mesh)
    origin = 0 if options.state is None else int(np.max(jax.device_get(options.state.step)))
    if isinstance(source, Stream):
        first = source.first()
        plan = plan._replace(batch_size=first.x.shape[0] * jax.process_count())
        data = data._replace(train=on_device(origin, [first], plan.mesh))
    batch = plans.batch_shapes(plan, data)
    check_shapes(model, batch, options.hparams)
    if options.variables is not None:
        check_variables(options.variables, algorithm, axes, key, batch, hparams)
    compiled = plan.with_room()
    run = engine.start(algorithm, compiled, axes, key, data, hparams, options.variables)
    check_observed(data, compiled, run.keys)
    if options.state is not None:
        # The state's buffers stay the caller's: the engine donates those that it is given.
        run = run._replace(**{name: jax.tree.map(jnp.copy, options.state) for name in ("state", "kept")})
        run = run._replace(best=jax.tree.map(jnp.copy, algorithm.variables(options.state)))
        run = laid_out(plan.mesh, run, len(axes))

    def advance(run: RunState, reads: PyTree, clock: Clock) -> RunState:
        now = data._replace(train=reads) if isinstance(source, Stream) else data
        return engine.advance(algorithm, compiled, axes, run, now, hparams, clock)

    report = ProgressBar() if options.progress is True else options.progress or None

    def go_on(run: RunState, checkpoints: SharedCheckpoints | None) -> Fitted:
        blocks = None
        if isinstance(source, Stream):
            step = int(np.max(jax.device_get(run.state.step)))
            blocks = Blocks(source, step, origin + plan.num_steps, plan.steps_per_epoch, plan.mesh)
        pace = pace_of(algorithm, plan, run.status.shape)
        return drive(run, advance, plan, pace, origin, blocks, checkpoints, options.checkpoint_seconds, report)

    if options.checkpoint_dir is None:
        return go_on(run, None)
    with contextlib.closing(SharedCheckpoints(options.checkpoint_dir)) as checkpoints:
        own, order = data, {}
        if isinstance(source, Stream):
            own, order = data._replace(train=()), {"order": source.order} if source.order else {}
        begun_with = fingerprint(own, plan, hparams, run.best, ema_decay=options.ema_decay, **order)
        if checkpoints.is_empty():
            checkpoints.begin(begun_with)
        elif options.resume:
            checkpoints.check(begun_with)
            run = laid_out(plan.mesh, checkpoints.restore(run, plan.num_epochs) or run, len(axes))
        else:
            raise ValueError(
                f"checkpoint_dir: {options.checkpoint_dir} holds the checkpoints of an earlier run; pass resume=True "
                "to resume it, or choose another folder"
            )
        return go_on(run, checkpoints)


def train(
    key: Array,
    model: Fittable,
    x: SourceLike,
    hparams: PyTree = None,
    *,
    validation: float | RowsLike = 0,
    num_epochs: int = 100,
    batch_size: int = 64,
    steps_per_epoch: int | None = None,
    learning_rate: float | Array | None = None,
    optimizer: Optimizer | None = None,
    ema_decay: float | None = None,
    anneal: Anneal | None = None,
    patience: int | None = None,
    variables: Variables | None = None,
) -> Fitted:
    """Trains a model as one pure function, to be compiled, or mapped over keys, data or hyperparameters.

    The same steps as ``fit`` takes, without what the host does between them: no checkpoints, no reports, no Ctrl-C, no
    checks of values, no error where a run diverges (its history ends there). Gradients pass forward (``jax.jvp``,
    ``jax.jacfwd``), not in reverse.

    Args:
        key: PRNG key, which may be traced, as all arrays here.
        model: as in ``fit``.
        x: (n, *event) rows, a Batch, or a Source but a stream.
        hparams: as in ``fit``.
        validation: as in ``fit``; none by default.
        num_epochs: as in ``fit``.
        batch_size: as in ``fit``.
        steps_per_epoch: as in ``fit``.
        learning_rate: as in ``fit``.
        optimizer: as in ``fit``.
        ema_decay: as in ``fit``.
        anneal: as in ``fit``.
        patience: as in ``fit``.
        variables: as in ``fit``.

    Returns:
        Fitted. History is (num_epochs,) in any case; behind the epoch at which a run stopped stands NaN.

    Raises:
        ValueError: options or shapes that do not fit.

    Example:
        >>> from aejax.models import autoencoder
        >>> model, x = autoencoder((5,), 2, hidden_dims=(8,)), jax.random.normal(jax.random.key(0), (200, 5))
        >>> def last_loss(key, rate):
        ...     return train(key, model, x, learning_rate=rate, num_epochs=2).history["loss"][-1]
        >>> keys = jax.random.split(jax.random.key(1), 3)
        >>> jax.jit(jax.vmap(last_loss, (0, None)))(keys, 1e-3).shape
        (3,)
    """
    check_key(key)
    model = as_fittable(model)
    algorithm, all_hparams = _algorithm(model, hparams, learning_rate, optimizer, ema_decay, anneal)
    source = as_source(x)
    if isinstance(source, Stream):
        raise ValueError("x: found a stream, expected rows or a source that is drawn from; call aejax.fit for a stream")
    data, plan = data_and_plan(source, validation, num_epochs, batch_size, patience, steps_per_epoch)
    check_shapes(model, plans.batch_shapes(plan, data), hparams)
    hparams = hparams_as_arrays(all_hparams)
    run = engine.begin(algorithm, plan, (key, variables), data, hparams)
    numbers = (0, 0, 0, 0, plan.num_steps, np.iinfo(np.int32).max)
    clock = Clock(*(jnp.asarray(number, jnp.int32) for number in numbers))
    run = engine.run_until(algorithm, plan, run, data, hparams, clock)
    was_run = jnp.arange(plan.num_epochs) < run.epoch
    history: Any = {name: jnp.where(was_run, values, jnp.nan) for name, values in run.history.items()}
    return Fitted(run.best, engine.last_good(run), history)


def as_source(x: SourceLike) -> Source:
    """A Source unchanged, an iterator as a stream, anything else as rows.

    Example:
        >>> as_source([[1.0], [2.0]]).num_rows
        2
    """
    if isinstance(x, Rows | Drawn | Stream):
        return x
    return stream(x) if isinstance(x, Iterator) else rows(x)


def _algorithm(
    model: Fittable,
    hparams: PyTree,
    learning_rate: float | Array | None,
    optimizer: Optimizer | None,
    ema_decay: float | None,
    anneal: Anneal | None,
) -> tuple[Algorithm, PyTree]:
    """What moves the variables, and its hyperparameters."""
    own_hparams = hparams_of(model, hparams)
    if anneal is not None and not isinstance(model, Objective | Model):
        raise ValueError("anneal: found one with an Adversary or an Algorithm, expected it with a Model only")
    if isinstance(model, Objective | Model):
        optimizer = adam() if optimizer is None else optimizer
        rate = _rate(optimizer, learning_rate)
        return minimise(model, optimizer, ema_decay, anneal), MinimiseHparams(rate, own_hparams)
    if isinstance(model, Adversary):
        optimizer = adam(b1=0.5) if optimizer is None else optimizer
        rate = _rate(optimizer, learning_rate)
        return adversarial(model, optimizer, ema_decay), AdversarialHparams(rate, own_hparams)
    refuse_with_an_algorithm(learning_rate=learning_rate, optimizer=optimizer, ema_decay=ema_decay)
    return model, own_hparams


def _rate(optimizer: Optimizer, learning_rate: float | Array | None) -> Array | None:
    """The learning rate as an array; None for an optimizer that has its own."""
    if takes_rate(optimizer):
        return learning_rate_of(learning_rate)
    check_rate(optimizer, learning_rate)
    return None


def _refuse_tracers(*arguments: PyTree) -> None:
    # Inside jit even a constant is traced.
    leaves = jax.tree.leaves((arguments, jax.device_put(np.float32(0))))
    if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
        raise ValueError(
            "fit: found traced arrays, expected a call outside of jit, vmap and grad; call aejax.train there, which is "
            "a pure function, and for gradients in reverse scan the step of an Algorithm"
        )
