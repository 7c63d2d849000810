"""Likelihoods p(x | output of a decoder), by name: what the command line offers and what the laws run over."""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp

from aejax.base import Array
from aejax.kernels.recipes import remembered

__all__ = [
    "LIKELIHOODS",
    "Likelihood",
    "Scaling",
    "bernoulli",
    "gaussian",
    "likelihood",
    "poisson",
    "register",
    "squared_error",
    "student_t",
]

_LOG_2PI = 1.8378770664093453

Scale: TypeAlias = float | Literal["shared", "per_element", "predicted"]
Scaling: TypeAlias = Literal["standardised", "unit_interval", "counts"]


class Likelihood(NamedTuple):
    """A distribution p(x | output of a decoder), independent over the elements of an event.

    Attributes:
        init: (event_shape) -> parameters of its own, a dictionary that may be empty.
        nll: (params, x, output) -> (n, *event), the negative log-likelihood of each element, in nats.
        mean: (output) -> (n, *event), the mean of x.
        sample: (key, params, output) -> (n, *event), one draw of x.
        num_outputs: how many numbers a decoder gives for each element; where more than one, along a last axis.
        scaling: what it needs of the data, a word that ``aejax.data.columns.scalers.fit_scaler`` takes.
    """

    init: Callable[[tuple[int, ...]], dict[str, Array]]
    nll: Callable[[dict[str, Array], Array, Array], Array]
    mean: Callable[[Array], Array]
    sample: Callable[[Array, dict[str, Array], Array], Array]
    num_outputs: int = 1
    scaling: Scaling = "standardised"


LIKELIHOODS: dict[str, Callable[..., Likelihood]] = {}

Factory = TypeVar("Factory", bound=Callable[..., Likelihood])


def register(function: Factory) -> Factory:
    """Registers a factory of likelihoods under its name; equal arguments give the very same Likelihood.

    Args:
        function: a factory. It can be called without arguments.

    Returns:
        The factory.
    """
    LIKELIHOODS[function.__name__] = remembers = remembered(function)
    return remembers  # type: ignore[return-value]


def likelihood(name: str, **options: Any) -> Likelihood:
    """The likelihood of that name.

    Args:
        name: one of ``LIKELIHOODS``.
        options: arguments of its factory.

    Returns:
        The Likelihood.

    Raises:
        ValueError: an unknown name, or an argument that the factory refuses.

    Example:
        >>> likelihood("gaussian", scale="shared") is gaussian("shared")
        True
        >>> likelihood("poisson").scaling
        'counts'
    """
    if name not in LIKELIHOODS:
        raise ValueError(f"likelihood: found {name!r}, expected one of {', '.join(LIKELIHOODS)}")
    return LIKELIHOODS[name](**options)


@register
def gaussian(scale: Scale = "per_element") -> Likelihood:
    """X ~ Normal(output, scale^2).

    A fixed scale of 1 on standardised data claims that the noise is as large as the signal: the KL term then
    wins and codes collapse. So the scale is learned unless one is given (Rybkin, Daniilidis & Levine 2021,
    "Simple and effective VAE training with calibrated decoders").

    Args:
        scale: a number in the units of x, ``"shared"`` to learn one for all elements (as in probabilistic PCA;
            Tipping & Bishop 1999), ``"per_element"`` to learn one for each (as in factor analysis), or
            ``"predicted"`` where the noise depends on code and conditions: the decoder gives mean and log-scale
            (Kingma & Welling 2014, appendix C.2). A learned scale is bounded below by 0.01, since the likelihood is
            unbounded where it vanishes.

    Returns:
        The Likelihood.

    Raises:
        ValueError: ``scale`` is not positive or not one of the three words.

    Example:
        >>> normal = gaussian(scale=1.0)
        >>> round(float(normal.nll({}, jnp.zeros(()), jnp.zeros(()))), 4)
        0.9189
    """
    return _location_scale(scale, lambda square: square, _LOG_2PI, jax.random.normal)


@register
def student_t(degrees: float = 4.0, scale: Scale = "per_element") -> Likelihood:
    """X ~ output + scale * Student's t: noise with outliers, which pull far less than they do on a Gaussian.

    Args:
        degrees: of freedom; fewer have heavier tails, and infinitely many are the Gaussian. 4 is a usual choice where
            it is not estimated (Lange, Little & Taylor 1989, "Robust statistical modeling using the t distribution").
        scale: as in ``gaussian``. It is less than the standard deviation, by sqrt(1 - 2 / degrees).

    Returns:
        The Likelihood.

    Raises:
        ValueError: ``degrees`` is not above 1, where there is no mean, or a bad scale.

    Example:
        >>> heavy = student_t(degrees=4.0, scale=1.0)
        >>> round(float(heavy.nll({}, jnp.asarray(10.0), jnp.zeros(()))), 4)
        9.1261
    """
    if not 1 < degrees < math.inf:
        raise ValueError(f"degrees: found {degrees}, expected a number above 1, such as 4")
    constant = math.log(degrees * math.pi) + 2 * (math.lgamma(degrees / 2) - math.lgamma((degrees + 1) / 2))
    return _location_scale(
        scale,
        deviance=lambda square: (degrees + 1) * jnp.log1p(square / degrees),
        constant=constant,
        draw=lambda key, shape, dtype: jax.random.t(key, degrees, shape, dtype),
    )


def _location_scale(
    scale: Scale,
    deviance: Callable[[Array], Array],
    constant: float,
    draw: Callable[[Array, tuple[int, ...], Any], Array],
) -> Likelihood:
    """X = output + scale * noise.

    Args:
        scale: as in ``gaussian``.
        deviance: of the squared noise: -2 log p less the constant.
        constant: -2 log p at zero.
        draw: (key, shape, dtype) -> noise.
    """
    if isinstance(scale, str):
        if scale not in ("shared", "per_element", "predicted"):
            raise ValueError(f'scale: found {scale!r}, expected a number, "shared", "per_element" or "predicted"')
    elif not scale > 0:
        raise ValueError(f"scale: found {scale}, expected a positive number")

    def init(event_shape: tuple[int, ...]) -> dict[str, Array]:
        if scale == "shared":
            return {"log_scale": jnp.zeros((), jnp.float32)}
        if scale == "per_element":
            return {"log_scale": jnp.zeros(event_shape, jnp.float32)}
        return {}

    def mean(output: Array) -> Array:
        return output[..., 0] if scale == "predicted" else output

    def variance(params: dict[str, Array], output: Array) -> float | Array:
        if not isinstance(scale, str):
            return scale**2
        # A predicted scale is bounded above too, or a first wild step is one that no later gradient undoes.
        if scale == "predicted":
            log_scale = 5 * jnp.tanh(output[..., 1] / 5)
        else:
            log_scale = jnp.expand_dims(params["log_scale"], range(output.ndim - jnp.ndim(params["log_scale"])))
        return jnp.exp(2 * log_scale) + 1e-4

    def nll(params: dict[str, Array], x: Array, output: Array) -> Array:
        var = variance(params, output)
        return 0.5 * (deviance(jnp.square(x - mean(output)) / var) + jnp.log(var) + constant)

    def sample(key: Array, params: dict[str, Array], output: Array) -> Array:
        centre = mean(output)
        return centre + jnp.sqrt(variance(params, output)) * draw(key, centre.shape, centre.dtype)

    return Likelihood(init, nll, mean, sample, num_outputs=2 if scale == "predicted" else 1)


@register
def squared_error() -> Likelihood:
    """The squared error as a likelihood's ``nll``: what a plain autoencoder minimises; it draws no noise.

    Example:
        >>> float(squared_error().nll({}, jnp.ones(()), jnp.zeros(())))
        1.0
    """
    return Likelihood(
        init=lambda event_shape: {},  # noqa: ARG005
        nll=lambda params, x, output: jnp.square(x - output),  # noqa: ARG005
        mean=lambda output: output,
        sample=lambda key, params, output: output,  # noqa: ARG005
    )


@register
def bernoulli() -> Likelihood:
    """X in [0, 1] ~ Bernoulli(sigmoid(output)).

    Example:
        >>> round(float(bernoulli().nll({}, jnp.ones(()), jnp.zeros(()))), 4)
        0.6931
    """

    def nll(params: dict[str, Array], x: Array, output: Array) -> Array:  # noqa: ARG001
        # softplus; that of jax.nn takes three times as long on a CPU, since it also handles infinite outputs
        return jnp.maximum(output, 0) + jnp.log1p(jnp.exp(-jnp.abs(output))) - x * output

    def sample(key: Array, params: dict[str, Array], output: Array) -> Array:  # noqa: ARG001
        return jax.random.bernoulli(key, jax.nn.sigmoid(output)).astype(output.dtype)

    return Likelihood(lambda event_shape: {}, nll, jax.nn.sigmoid, sample, scaling="unit_interval")  # noqa: ARG005


@register
def poisson() -> Likelihood:
    """Counts x ~ Poisson(exp(output)).

    Example:
        >>> round(float(poisson().nll({}, jnp.asarray(2.0), jnp.zeros(()))), 4)
        1.6931
    """

    def nll(params: dict[str, Array], x: Array, output: Array) -> Array:  # noqa: ARG001
        return jnp.exp(output) - x * output + jax.scipy.special.gammaln(x + 1)

    def sample(key: Array, params: dict[str, Array], output: Array) -> Array:  # noqa: ARG001
        return jax.random.poisson(key, jnp.exp(output), output.shape).astype(output.dtype)

    return Likelihood(lambda event_shape: {}, nll, jnp.exp, sample, scaling="counts")  # noqa: ARG005
