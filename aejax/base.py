"""The types that everything else is made of: named tuples of arrays or of pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import numpy as np
import numpy.typing

Array = jax.Array
# Whatever NumPy makes an array of: arrays of NumPy and JAX, numbers, nested lists, frames of pandas and polars.
ArrayLike = numpy.typing.ArrayLike
# A tree of arrays whose structure is the business of whoever made it.
PyTree = Any
Variables = dict[str, PyTree]
Metrics = dict[str, Array]
Function = TypeVar("Function", bound=Callable[..., object])


class Batch(NamedTuple):
    """Rows of data; every field but ``x`` may be None. ``as_batch`` turns fields of other kinds into arrays.

    Attributes:
        x: (n, *event), float. What the model sees.
        target: (n, *event), what to reconstruct where it is not ``x`` (denoising pairs).
        cond: (n, c), conditions such as a temperature or a set point.
        mask: (n, *event) or (n,), True where observed. Entries that are not observed enter neither loss nor
            score, whatever value ``x`` has there.
        weight: (n, *event), at least 0: how much each element's error counts in loss and score; 1 if None.
    """

    x: Array
    target: Array | None = None
    cond: Array | None = None
    mask: Array | None = None
    weight: Array | None = None


class Latent(NamedTuple):
    """A code, or the Gaussian posterior over codes.

    Attributes:
        mean: (n, d).
        log_var: (n, d), or None for a deterministic code.
    """

    mean: Array
    log_var: Array | None = None


class Aux(NamedTuple):
    """What a loss returns beside its value.

    Attributes:
        metrics: scalars by name.
        collections: the linen collections other than ``params`` (BatchNorm's running statistics), updated.
    """

    metrics: Metrics
    collections: Variables


class Init(Protocol):
    """Draws variables for rows like those of the batch: a dictionary of collections (``params``, ``batch_stats``)."""

    def __call__(self, key: Array, batch: Batch) -> Variables: ...  # noqa: D102


class Loss(Protocol):
    """The objective of a batch: a scalar, and further metrics.

    The scalar is summed over event dimensions and averaged over observed examples. It is what is minimised, what
    history records as ``loss``, and what the best epoch is chosen by. ``train=False`` is inference mode.
    """

    def __call__(  # noqa: D102
        self, key: Array, variables: Variables, batch: Batch, hparams: PyTree, train: bool = True
    ) -> tuple[Array, Aux]: ...


class PlayerLoss(Protocol):
    """The loss of one of two players, in training."""

    def __call__(self, key: Array, variables: Variables, batch: Batch, hparams: PyTree) -> tuple[Array, Aux]: ...  # noqa: D102


class Discriminate(Protocol):
    """One number for each row, (n,), higher where it looks more like data, in inference mode."""

    def __call__(self, variables: Variables, x: Array, cond: Array | None = None) -> Array: ...  # noqa: D102


class Encode(Protocol):
    """From (n, *event), NaN where a value is missing, to codes, in inference mode."""

    def __call__(self, variables: Variables, x: Array, cond: Array | None = None) -> Latent: ...  # noqa: D102


class Decode(Protocol):
    """From codes (n, d) to (n, *event), the mean of p(x | z), in inference mode."""

    def __call__(self, variables: Variables, z: Array, cond: Array | None = None) -> Array: ...  # noqa: D102


class Score(Protocol):
    """One number for each example, (n,), higher is more anomalous."""

    def __call__(self, key: Array, variables: Variables, batch: Batch) -> Array: ...  # noqa: D102


class Sample(Protocol):
    """Draws (num_samples, *event) of the model's distribution, observation noise included.

    From codes ``z`` where they are given, from the prior where not.
    """

    def __call__(  # noqa: D102
        self, key: Array, variables: Variables, num_samples: int, cond: Array | None = None, z: Array | None = None
    ) -> Array: ...


class LogLikelihood(Protocol):
    """An estimate of log p(x | cond) of the observed elements, (n,), in nats, from below on average."""

    def __call__(self, key: Array, variables: Variables, batch: Batch, num_samples: int) -> Array: ...  # noqa: D102


class Objective(NamedTuple):
    """All that minimising needs. Whatever has these three fields can be fitted.

    Attributes:
        init: (key, batch) -> variables, a dictionary of collections (``params``, ``batch_stats``). ``fit`` gives it the
            first training rows, of which a model may also take only the shape.
        loss: (key, variables, batch, hparams, train=True) -> (scalar, Aux).
        hparams: the defaults, a pytree of numbers or arrays that may be traced and vmapped.
    """

    init: Init
    loss: Loss
    hparams: PyTree = ()


class Model(NamedTuple):
    """An Objective with capabilities, each of which may be absent.

    Attributes:
        init: as in ``Objective``.
        loss: as in ``Objective``.
        hparams: as in ``Objective``.
        encode: (variables, x, cond=None) -> Latent, in inference mode. A NaN in ``x`` is a missing value.
        decode: (variables, z, cond=None) -> (n, *event), the mean of p(x | z), in inference mode.
        score: (key, variables, batch) -> (n,), per example, higher is more anomalous.
        sample: (key, variables, num_samples, cond=None, z=None) -> (n, *event), draws from the model's
            distribution, observation noise included, from codes z where they are given and from the prior where not;
            None where the model defines no distribution.
        log_likelihood: (key, variables, batch, num_samples) -> (n,), an estimate of log p(x | cond) of the observed
            elements, in nats, from below on average; None where the model defines none.
    """

    init: Init
    loss: Loss
    hparams: PyTree = ()
    encode: Encode | None = None
    decode: Decode | None = None
    score: Score | None = None
    sample: Sample | None = None
    log_likelihood: LogLikelihood | None = None


def required(function: Function | None, name: str) -> Function:
    """A capability of a Model that is needed now.

    Args:
        function: ``model.encode``, say.
        name: ``"encode"``.

    Returns:
        The function.

    Raises:
        ValueError: the model does not have it.

    Example:
        >>> required(None, "encode")
        Traceback (most recent call last):
        ValueError: model: found one without encode, expected a Model that has it
    """
    if function is None:
        raise ValueError(f"model: found one without {name}, expected a Model that has it")
    return function


class Adversary(NamedTuple):
    """A generator and the discriminator that it plays against: pure functions of joint variables.

    Attributes:
        init: (key, batch) -> variables, whose ``params`` have the parts ``generator`` and ``discriminator``.
        generate: (variables, z, cond=None) -> (n, *event), in inference mode.
        discriminate: (variables, x, cond=None) -> (n,), higher where x looks more like data, in inference mode.
        generator_loss: (key, variables, batch, hparams) -> (scalar, Aux).
        discriminator_loss: (key, variables, batch, hparams) -> (scalar, Aux).
        evaluate: (key, variables, batch, hparams) -> metrics in inference mode; ``loss`` chooses the best epoch.
        score: (key, variables, batch) -> (n,), per example, higher is more anomalous.
        sample: (key, variables, num_samples, cond=None, z=None) -> (n, *event).
        num_discriminator_steps: the discriminator's steps before each of the generator's.
        hparams: the defaults, a pytree of numbers or arrays that may be traced and vmapped.
    """

    init: Init
    generate: Decode
    discriminate: Discriminate
    generator_loss: PlayerLoss
    discriminator_loss: PlayerLoss
    evaluate: Evaluate
    score: Score
    sample: Sample
    num_discriminator_steps: int
    hparams: PyTree


class TrainState(NamedTuple):
    """What the next training step needs.

    Attributes:
        step: int32 scalar, the number of steps taken.
        variables: the linen collections.
        opt_state: the optimizer's state.
        key: the run's key; step ``t`` draws from ``fold_in(key, t)``.
    """

    step: Array
    variables: Variables
    opt_state: PyTree
    key: Array


class InitState(Protocol):
    """The state before the first step, from the variables where they are given."""

    def __call__(  # noqa: D102
        self, key: Array, batch: Batch, hparams: PyTree, variables: Variables | None = None
    ) -> TrainState: ...


class Step(Protocol):
    """One step on one batch, and its metrics, which hold ``loss``."""

    def __call__(self, state: TrainState, batch: Batch, hparams: PyTree) -> tuple[TrainState, Metrics]: ...  # noqa: D102


class Evaluate(Protocol):
    """Metrics of a batch in inference mode; ``loss`` is among them."""

    def __call__(self, key: Array, variables: Variables, batch: Batch, hparams: PyTree) -> Metrics: ...  # noqa: D102


class VariablesOf(Protocol):
    """The variables to evaluate and to return: the moving average, where one is kept."""

    def __call__(self, state: TrainState) -> Variables: ...  # noqa: D102


class Algorithm(NamedTuple):
    """How variables move.

    Attributes:
        init: (key, batch, hparams, variables=None) -> TrainState; it begins from the variables, where given.
        step: (state, batch, hparams) -> (TrainState, metrics), which hold ``loss`` where there are no validation rows.
        evaluate: (key, variables, batch, hparams) -> metrics, in inference mode; holds at least ``loss``.
        variables: (state) -> the variables to evaluate and to return (their moving average, where one is kept).
        hparams: the defaults, a pytree of numbers or arrays that may be traced and vmapped.
    """

    init: InitState
    step: Step
    evaluate: Evaluate
    variables: VariablesOf
    hparams: PyTree


class Take(Protocol):
    """The rows of some numbers, (n,) int32."""

    def __call__(self, arrays: PyTree, rows: Array) -> Batch: ...  # noqa: D102


class Draw(Protocol):
    """So many rows, drawn by the key."""

    def __call__(self, arrays: PyTree, key: Array, num_rows: int) -> Batch: ...  # noqa: D102


class Rows(NamedTuple):
    """A Source of rows by number, all of which lie on the device.

    Attributes:
        arrays: pytree of arrays.
        take: (arrays, rows) -> Batch of these rows, traced; the same function for the same computation.
        num_rows: how many there are.
    """

    arrays: PyTree
    take: Take
    num_rows: int


class Drawn(NamedTuple):
    """A Source of rows that are drawn by a key inside the compiled step: a simulator, patches of a volume, mixtures.

    Attributes:
        arrays: pytree of arrays that are drawn from; () for none.
        draw: (arrays, key, num_rows) -> Batch, traced; the same function for the same computation.
    """

    arrays: PyTree
    draw: Draw


class Stream(NamedTuple):
    """A Source of batches that the host makes one after the other.

    Attributes:
        batches: (step) -> the batches from that step on, without an end. A run that is resumed asks for those of the
            step at which it stood.
        first: () -> the first batch, from which shapes and types are known; ``batches`` yields it as well.
        steps_per_pass: the steps that see all rows once, 0 where there is no last row.
        order: what the order of the rows follows from, in words: a run is not resumed in another order. None where
            nothing is known of it.
    """

    batches: Callable[[int], Iterator[Batch]]
    first: Callable[[], Batch]
    steps_per_pass: int = 0
    order: str | None = None


Source = Rows | Drawn | Stream


class Fitted(NamedTuple):
    """The result of a fit: arrays only. An ensemble or a sweep returns the same with leading axes.

    Attributes:
        variables: the best on validation; the last ones where there is no validation.
        state: the TrainState at the end, from which a run can continue.
        history: metrics by name, each (num_epochs_run,): means over the epoch's steps, and ``val_*`` measured
            at its end. In an ensemble NaN follows the epoch at which a member stopped.
    """

    variables: Variables
    state: TrainState
    history: dict[str, np.ndarray]
