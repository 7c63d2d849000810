"""Optimizers and schedules: what makes a gradient into a step."""

from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
import optax

from aejax.base import Array
from aejax.recipes import remembered

Optimizer = Callable[[Any], optax.GradientTransformation]
Anneal = Callable[[Array, Any], Any]


@remembered
def adam(
    schedule: Literal["constant", "cosine"] = "constant",
    num_steps: int | None = None,
    warmup_steps: int = 0,
    clip_norm: float | None = None,
    weight_decay: float = 0.0,
    b1: float = 0.9,
    b2: float = 0.999,
) -> Optimizer:
    """Adam (Kingma & Ba 2015) with a schedule, gradient clipping and decoupled weight decay, from Optax.

    Args:
        schedule: the learning rate stays, or falls to zero along half a cosine over ``num_steps``.
        num_steps: length of the run, for the cosine.
        warmup_steps: steps over which the learning rate rises linearly from zero.
        clip_norm: largest global norm of the gradient; None for no clipping.
        weight_decay: decoupled weight decay (Loshchilov & Hutter 2019), biases included.
        b1: decay of the gradient's moving average; 0.5 or 0 for adversaries, whose gradients turn.
        b2: decay of that of its square.

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
            optax.scale_by_adam(b1, b2),
            optax.add_decayed_weights(weight_decay) if weight_decay else None,
            None if shape is None else optax.scale_by_schedule(shape),
            optax.scale_by_learning_rate(learning_rate),
        ]
        return optax.chain(*[stage for stage in stages if stage is not None])

    return optimizer


@remembered
def warm_up(name: str, num_steps: int) -> Anneal:
    """A hyperparameter that rises linearly from zero to its value over the first steps, then stays.

    For the weight of the KL term this is KL annealing (Bowman et al. 2016, section 3.1), which lets codes be of use
    before they are made to cost something.

    Args:
        name: field of the model's hyperparameters.
        num_steps: length of the rise.

    Returns:
        (step, hyperparameters) -> hyperparameters, for ``fit(..., anneal=...)``; equal arguments give the same
        function.

    Raises:
        ValueError: ``num_steps`` is not positive.

    Example:
        >>> from aejax.models import VaeHparams
        >>> float(warm_up("beta", 10)(5, VaeHparams(beta=4.0)).beta)
        2.0
    """
    if num_steps < 1:
        raise ValueError(f"num_steps: found {num_steps}, expected a positive whole number")

    def anneal(step: Array, hparams: Any) -> Any:
        if name not in getattr(hparams, "_fields", ()):
            raise ValueError(f"anneal: found {name!r}, expected one of {', '.join(hparams._fields) or 'none'}")
        return hparams._replace(**{name: getattr(hparams, name) * jnp.minimum(1.0, step / num_steps)})

    return anneal


def momentum(learning_rate: Any) -> optax.GradientTransformation:
    """Stochastic gradient descent with momentum 0.9, what Boltzmann machines are trained by."""
    return optax.sgd(learning_rate, momentum=0.9)


def check_optimizer(optimizer: Any) -> None:
    """Refuses what is no function of the learning rate."""
    if isinstance(optimizer, optax.GradientTransformation) or not callable(optimizer):
        raise ValueError(
            f"optimizer: found {type(optimizer).__name__}, expected a function of the learning rate; give optax.adam, "
            "not optax.adam(1e-3), and the rate as learning_rate"
        )
