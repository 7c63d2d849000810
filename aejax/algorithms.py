"""How variables move: a model and an optimizer make an Algorithm, which the engine runs."""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from aejax.base import Algorithm, Array, Batch, Metrics, Model, TrainState, Variables

Optimizer = Callable[[Any], optax.GradientTransformation]


class MinimiseHparams(NamedTuple):
    """Hyperparameters of ``minimise``, all of them traced.

    Attributes:
        learning_rate: the optimizer's.
        model: the model's.
    """

    learning_rate: Any
    model: Any


@functools.cache
def adam(
    schedule: Literal["constant", "cosine"] = "constant",
    num_steps: int | None = None,
    warmup_steps: int = 0,
    clip_norm: float | None = None,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Adam (Kingma & Ba 2015) with a schedule, gradient clipping and decoupled weight decay, from Optax.

    Args:
        schedule: the learning rate stays, or falls to zero along half a cosine over ``num_steps``.
        num_steps: length of the run, for the cosine.
        warmup_steps: steps over which the learning rate rises linearly from zero.
        clip_norm: largest global norm of the gradient; None for no clipping.
        weight_decay: decoupled weight decay (Loshchilov & Hutter 2019), biases included.

    Returns:
        (learning_rate) -> GradientTransformation; the rate may be traced. Equal arguments give the very same
        function, so that a second fit compiles nothing.

    Raises:
        ValueError: a cosine without its length, or an unknown schedule.

    Example:
        >>> optimizer = adam("cosine", num_steps=1000, clip_norm=1.0)
        >>> state = optimizer(1e-3).init({"w": jnp.zeros(3)})
    """
    if schedule == "cosine":
        if num_steps is None or num_steps <= warmup_steps:
            raise ValueError(
                f"num_steps: found {num_steps}, expected more than warmup_steps ({warmup_steps}) for a cosine"
            )
        shape = optax.warmup_cosine_decay_schedule(
            0.0 if warmup_steps else 1.0, 1.0, warmup_steps, decay_steps=num_steps
        )
    elif schedule == "constant":
        shape = optax.linear_schedule(0.0, 1.0, warmup_steps) if warmup_steps else None
    else:
        raise ValueError(f'schedule: found {schedule!r}, expected "constant" or "cosine"')

    def optimizer(learning_rate: Any) -> optax.GradientTransformation:
        stages = [
            None if clip_norm is None else optax.clip_by_global_norm(clip_norm),
            optax.scale_by_adam(),
            optax.add_decayed_weights(weight_decay) if weight_decay else None,
            None if shape is None else optax.scale_by_schedule(shape),
            optax.scale_by_learning_rate(learning_rate),
        ]
        return optax.chain(*[stage for stage in stages if stage is not None])

    return optimizer


@functools.cache
def minimise(model: Model, optimizer: Optimizer = optax.adam, ema_decay: float | None = None) -> Algorithm:
    """Gradient descent on the model's loss.

    Args:
        model: the Model.
        optimizer: (learning_rate) -> GradientTransformation, such as ``optax.adam`` itself or ``adam(...)``. It
            is built inside the traced step, so that learning rates can be swept without compiling again.
        ema_decay: if given, the moving average of the parameters with this decay is what is evaluated and
            returned (Polyak & Juditsky 1992); early on it forgets faster: the decay is at most (1 + t) / (10 + t).

    Returns:
        The Algorithm. Its metrics are the model's and ``grad_norm``, the global norm before clipping.

    Raises:
        ValueError: ``ema_decay`` is not in [0, 1).
    """
    if ema_decay is not None and not 0 <= ema_decay < 1:
        raise ValueError(f"ema_decay: found {ema_decay}, expected a number in [0, 1)")

    def init(key: Array, batch: Batch, hparams: MinimiseHparams) -> TrainState:
        init_key, run_key = jax.random.split(key)
        variables = model.init(init_key, batch)
        params = variables["params"]
        average = None if ema_decay is None else params
        opt_state = (optimizer(hparams.learning_rate).init(params), average)
        return TrainState(jnp.zeros((), jnp.int32), variables, opt_state, run_key)

    def step(state: TrainState, batch: Batch, hparams: MinimiseHparams) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        params = state.variables["params"]

        def loss(params: Any) -> tuple[Array, Any]:
            return model.loss(key, {**state.variables, "params": params}, batch, hparams.model)

        (_, aux), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        opt_state, average = state.opt_state
        updates, opt_state = optimizer(hparams.learning_rate).update(gradient, opt_state, params)
        params = optax.apply_updates(params, updates)
        if ema_decay is not None:
            decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
            average = optax.incremental_update(params, average, 1 - decay)
        metrics = {**aux.metrics, "grad_norm": optax.tree.norm(gradient)}
        variables = {**aux.collections, "params": params}
        return TrainState(state.step + 1, variables, (opt_state, average), state.key), metrics

    def evaluate(key: Array, variables: Variables, batch: Batch, hparams: MinimiseHparams) -> Metrics:
        _, aux = model.loss(key, variables, batch, hparams.model, train=False)
        return aux.metrics

    def variables(state: TrainState) -> Variables:
        average = state.opt_state[1]
        return state.variables if average is None else {**state.variables, "params": average}

    return Algorithm(init, step, evaluate, variables, MinimiseHparams(1e-3, model.hparams))
