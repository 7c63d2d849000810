"""Optimizers and schedules: what makes a gradient into a step."""

import operator
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

from aejax.base import Array, PyTree
from aejax.kernels.recipes import remembered

# A transformation with a rate of its own, or a function of the rate.
Optimizer: TypeAlias = optax.GradientTransformation | optax.MultiSteps | Callable[[Any], optax.GradientTransformation]
Anneal = Callable[[Array, PyTree], PyTree]


@remembered
def adam(
    schedule: Literal["constant", "cosine"] = "constant",
    num_steps: int | None = None,
    warmup_steps: int = 0,
    clip_norm: float | None = None,
    weight_decay: float = 0.0,
    b1: float = 0.9,
    b2: float = 0.999,
) -> Callable[[Any], optax.GradientTransformation]:
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

    def anneal(step: Array, hparams: PyTree) -> PyTree:
        if name not in getattr(hparams, "_fields", ()):
            raise ValueError(f"anneal: found {name!r}, expected one of {', '.join(hparams._fields) or 'none'}")
        return hparams._replace(**{name: getattr(hparams, name) * jnp.minimum(1.0, step / num_steps)})

    return anneal


def momentum(learning_rate: Any) -> optax.GradientTransformation:
    """Stochastic gradient descent with momentum 0.9, what Boltzmann machines are trained by."""
    return optax.sgd(learning_rate, momentum=0.9)


def takes_rate(optimizer: Optimizer) -> bool:
    """Whether an optimizer is a function of the learning rate; one that was built has a rate of its own.

    Args:
        optimizer: any Optax transformation, or a function of the rate.

    Returns:
        Whether it is to be given a rate.

    Raises:
        ValueError: it is neither.

    Example:
        >>> takes_rate(optax.adam), takes_rate(optax.adam(1e-3))
        (True, False)
    """
    if isinstance(optimizer, optax.GradientTransformation | optax.MultiSteps):
        return False
    if callable(optimizer):
        return True
    raise ValueError(
        f"optimizer: found {type(optimizer).__name__}, expected an Optax transformation such as optax.adam(1e-3), or a "
        "function of the learning rate such as optax.adam"
    )


def check_rate(optimizer: Optimizer, learning_rate: object) -> None:
    """Refuses a learning rate beside an optimizer that has its own, and no rate for one that needs it.

    Args:
        optimizer: any Optax transformation, or a function of the rate.
        learning_rate: a number, an array, or None.

    Raises:
        ValueError: they do not fit together.

    Example:
        >>> check_rate(optax.adam(1e-3), 1e-2)
        Traceback (most recent call last):
        ValueError: learning_rate: found one, but the optimizer has a rate already; give one of the
        two, ...
    """
    if takes_rate(optimizer) and learning_rate is None:
        raise ValueError("learning_rate: found None, expected a number: the optimizer is a function of it")
    if not takes_rate(optimizer) and learning_rate is not None:
        raise ValueError(
            "learning_rate: found one, but the optimizer has a rate already; give one of the two, or the "
            "optimizer as a function of the rate: optax.adam, not optax.adam(1e-3)"
        )


def transformation(optimizer: Optimizer, learning_rate: float | Array | None) -> optax.GradientTransformationExtraArgs:
    """The transformation at a learning rate, for ``advance``.

    Args:
        optimizer: any Optax transformation, or a function of the rate.
        learning_rate: scalar that may be traced; None where the optimizer has its own.

    Returns:
        The transformation. Its ``update`` takes ``value``, ``grad`` and ``value_fn`` whether it uses them or not.

    Raises:
        ValueError: rate and optimizer do not fit together; the function does not return a transformation, or decides
            by the value of a rate that is traced.

    Example:
        >>> schedule = lambda rate: optax.sgd(optax.warmup_cosine_decay_schedule(0, rate, 10, 100))
        >>> state = jax.jit(lambda rate: transformation(schedule, rate).init(jnp.zeros(2)))(0.1)
    """
    check_rate(optimizer, learning_rate)
    built: Any = _called(optimizer, learning_rate) if takes_rate(optimizer) else optimizer
    if isinstance(built, optax.MultiSteps):
        built = built.gradient_transformation()
    if not isinstance(built, optax.GradientTransformation):
        raise ValueError(
            f"optimizer: found a function that returns {type(built).__name__}, expected an Optax transformation"
        )
    return optax.with_extra_args_support(built)


def _called(optimizer: Any, learning_rate: Any) -> Any:
    try:
        try:
            return optimizer(learning_rate)
        except jax.errors.TracerBoolConversionError:
            # Optax's warmup_cosine_decay_schedule asks whether its peak is zero.
            return optimizer(_PositiveRate(learning_rate))
    except jax.errors.JAXTypeError as error:
        raise ValueError(_LOOKS) from error


_LOOKS = (
    "optimizer: found a function that looks at the value of the learning rate, which is traced so that it can vary; "
    "expected one that only computes with it, or the optimizer built, such as optax.adam(1e-3)"
)


@jax.tree_util.register_pytree_node_class
class _PositiveRate:
    """A traced learning rate that answers, where it is compared with zero, as one that is positive."""

    def __init__(self, rate: Any):
        self.rate = rate

    def __jax_array__(self) -> Array:
        return self.rate

    # A constant schedule hands the rate itself to compiled functions, which take arrays and trees of them.
    def tree_flatten(self) -> tuple[tuple[Any], None]:
        return (self.rate,), None

    @classmethod
    def tree_unflatten(cls, _: None, children: tuple[Any]) -> "_PositiveRate":
        return cls(*children)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rate, name)

    def __rtruediv__(self, other: Any) -> Array:
        # The share of its peak at which a schedule ends: none for a peak of zero, as Optax has it.
        is_zero = self.rate == 0
        return jnp.where(is_zero, 0.0, other / jnp.where(is_zero, 1.0, self.rate))

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise ValueError(_LOOKS)

    __float__ = __int__ = __bool__ = __array__


def _delegated(name: str) -> Callable[..., Any]:
    def operate(self: _PositiveRate, *others: Any) -> Any:
        if name == "__truediv__" and isinstance(others[0], _PositiveRate):
            return others[0].__rtruediv__(self.rate)
        result = getattr(self.rate, name)(*others)
        # A positive multiple, such as a restart's peak, is positive too.
        is_multiple = name in ("__mul__", "__rmul__", "__truediv__") and isinstance(others[0], int | float)
        return _PositiveRate(result) if is_multiple and others[0] > 0 else result

    return operate


def _answered(compare: Callable[[float, float], bool]) -> Callable[..., bool]:
    def answer(self: _PositiveRate, other: object) -> bool:  # noqa: ARG001
        if isinstance(other, int | float) and other == 0:
            return compare(1.0, other)
        raise ValueError(_LOOKS)

    return answer


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "pow", "rpow", "neg"):
    setattr(_PositiveRate, f"__{_name}__", _delegated(f"__{_name}__"))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(_PositiveRate, f"__{_name}__", _answered(getattr(operator, _name)))


def advance(
    optimizer: Optimizer,
    learning_rate: float | Array | None,
    value_fn: Callable[[PyTree], Array],
    value: Array,
    gradient: PyTree,
    opt_state: PyTree,
    params: PyTree,
) -> tuple[PyTree, PyTree]:
    """One step of any optimizer.

    Args:
        optimizer: any Optax transformation, or a function of the rate.
        learning_rate: as in ``transformation``.
        value_fn: (params) -> scalar, what is minimised in this step, for a line search.
        value: its value at ``params``.
        gradient: its gradient there.
        opt_state: the optimizer's state.
        params: the parameters.

    Returns:
        The parameters and the optimizer's state after the step.

    Example:
        >>> optimizer = optax.lbfgs()
        >>> params, loss = jnp.ones(2), lambda params: jnp.sum(jnp.square(params))
        >>> state = transformation(optimizer, None).init(params)
        >>> params, state = advance(optimizer, None, loss, loss(params), 2 * params, state, params)
        >>> bool(loss(params) < 2.0)
        True
    """
    update = transformation(optimizer, learning_rate).update
    updates, opt_state = update(gradient, opt_state, params, value=value, grad=gradient, value_fn=value_fn)
    return optax.apply_updates(params, updates), opt_state


def averages(opt_state: PyTree) -> bool:
    """Whether an optimizer keeps an average of the parameters to evaluate, as ``optax.contrib.schedule_free`` does.

    Example:
        >>> averages(optax.contrib.schedule_free_sgd().init(jnp.zeros(2)))
        True
    """
    return bool(_schedule_free(opt_state))


def to_evaluate(opt_state: PyTree, params: PyTree) -> PyTree:
    """The parameters to evaluate: those of ``optax.contrib.schedule_free`` where it is the optimizer.

    It may be a part of ``optax.chain``, of ``optax.partition`` or of ``optax.MultiSteps``. Inside
    ``optax.contrib.mechanize``, which moves its steps elsewhere, its average means nothing and is not used.

    Args:
        opt_state: the optimizer's state.
        params: the parameters that it moves.

    Returns:
        Parameters; the same ones for other optimizers.

    Example:
        >>> params = jnp.zeros(2)
        >>> to_evaluate(optax.adam(1e-3).init(params), params) is params
        True
    """
    for state in _schedule_free(opt_state):
        # Where it moves some of the parameters, nodes stand for the others.
        def evaluated(z: PyTree, own: PyTree, state: PyTree = state) -> PyTree:
            is_other = isinstance(z, optax.MaskedNode)
            return own if is_other else optax.contrib.schedule_free_eval_params(state._replace(z=z), own)

        params = jax.tree.map(evaluated, state.z, params, is_leaf=lambda z: isinstance(z, optax.MaskedNode))
    return params


def _schedule_free(opt_state: PyTree) -> list[PyTree]:
    ends = optax.contrib.ScheduleFreeState, optax.contrib.MechanicState
    parts = jax.tree.leaves(opt_state, is_leaf=lambda part: isinstance(part, ends))
    return [part for part in parts if isinstance(part, optax.contrib.ScheduleFreeState)]
