"""Reconstruction likelihoods, divergences and how they are reduced: arrays in, arrays out."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from aejax.base import Array, Batch
from aejax.kernels.recipes import remembered

_LOG_2PI = 1.8378770664093453


class Likelihood(NamedTuple):
    """A distribution p(x | output of a decoder), independent over the elements of an event.

    Attributes:
        init: (event_shape) -> parameters of its own, a dictionary that may be empty.
        nll: (params, x, output) -> (n, *event), the negative log-likelihood of each element, in nats.
        mean: (output) -> (n, *event), the mean of x.
        sample: (key, params, output) -> (n, *event), one draw of x.
        num_outputs: how many numbers a decoder gives for each element; where more than one, along a last axis.
    """

    init: Callable[[tuple[int, ...]], dict[str, Array]]
    nll: Callable[[dict[str, Array], Array, Array], Array]
    mean: Callable[[Array], Array]
    sample: Callable[[Array, dict[str, Array], Array], Array]
    num_outputs: int = 1


@remembered
def gaussian(scale: float | Literal["shared", "per_element", "predicted"] = "per_element") -> Likelihood:
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
        return 0.5 * (jnp.square(x - mean(output)) / var + jnp.log(var) + _LOG_2PI)

    def sample(key: Array, params: dict[str, Array], output: Array) -> Array:
        centre = mean(output)
        return centre + jnp.sqrt(variance(params, output)) * jax.random.normal(key, centre.shape, centre.dtype)

    return Likelihood(init, nll, mean, sample, num_outputs=2 if scale == "predicted" else 1)


@remembered
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


@remembered
def bernoulli() -> Likelihood:
    """X in [0, 1] ~ Bernoulli(sigmoid(output)).

    Example:
        >>> round(float(bernoulli().nll({}, jnp.ones(()), jnp.zeros(()))), 4)
        0.6931
    """

    def nll(params: dict[str, Array], x: Array, output: Array) -> Array:  # noqa: ARG001
        # softplus, which as jax.nn has it takes three times as long on a CPU: it also cares for infinite outputs
        return jnp.maximum(output, 0) + jnp.log1p(jnp.exp(-jnp.abs(output))) - x * output

    def sample(key: Array, params: dict[str, Array], output: Array) -> Array:  # noqa: ARG001
        return jax.random.bernoulli(key, jax.nn.sigmoid(output)).astype(output.dtype)

    return Likelihood(lambda event_shape: {}, nll, jax.nn.sigmoid, sample)  # noqa: ARG005


@remembered
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

    return Likelihood(lambda event_shape: {}, nll, jnp.exp, sample)  # noqa: ARG005


def kl_standard_normal(mean: Array, log_var: Array) -> Array:
    """KL(Normal(mean, exp(log_var)) || Normal(0, 1)), summed over the code (Kingma & Welling 2014, appendix B).

    Args:
        mean: (n, d).
        log_var: (n, d).

    Returns:
        (n,), in nats.

    Example:
        >>> kl_standard_normal(jnp.ones((1, 2)), jnp.zeros((1, 2)))
        Array([1.], dtype=float32)
    """
    return 0.5 * jnp.sum(jnp.square(mean) + jnp.exp(log_var) - 1 - log_var, axis=-1)


def kl_sparsity(rate: Array, target: float | Array) -> Array:
    """KL(Bernoulli(target) || Bernoulli(rate)), how far each unit's mean activity is from the one asked for (Ng 2011).

    A rate is a mean of numbers in (0, 1), such as those of a sigmoid. A source text puts the mean of a ReLU here, whose
    log(1 - rate) is that of a negative number once the mean passes 1.

    Args:
        rate: (d,) in (0, 1).
        target: in (0, 1).

    Returns:
        (d,), in nats, at least 0.

    Example:
        >>> [round(float(value), 3) for value in kl_sparsity(jnp.array([0.05, 0.5]), 0.05)]
        [0.0, 0.495]
    """
    rate = jnp.clip(rate, 1e-6, 1 - 1e-6)  # a sigmoid rounds to 0 and 1
    return target * jnp.log(target / rate) + (1 - target) * jnp.log((1 - target) / (1 - rate))


def energy_distance(first: Array, second: Array) -> Array:
    """The squared energy distance of two samples, 2 E|X - Y| - E|X - X'| - E|Y - Y'| (Szekely & Rizzo 2013, eq. 5).

    Args:
        first: (n, c).
        second: (m, c).

    Returns:
        Scalar; zero in expectation if and only if both are of one distribution. The estimate is unbiased: pairs of a
        row with itself are left out. Rows that coincide have a gradient of zero.

    Example:
        >>> float(energy_distance(jnp.array([[0.0], [0.0]]), jnp.array([[1.0], [1.0]])))
        2.0
    """
    # Distances do not depend on the origin, but what is left of squares far larger than they are is rounding.
    centre = jax.lax.stop_gradient(jnp.concatenate([first, second]).mean(axis=0, keepdims=True))
    first, second = first - centre, second - centre

    def distances(a: Array, b: Array) -> Array:
        squares = jnp.sum(a**2, axis=1)[:, None] + jnp.sum(b**2, axis=1)[None, :] - 2 * a @ b.T
        # The slope of a root at zero is infinite, and infinity times the zero that follows is not a number.
        apart = squares > 0
        return jnp.where(apart, jnp.sqrt(jnp.where(apart, squares, 1)), 0)

    def within(a: Array) -> Array:
        apart = distances(a, a) * (1 - jnp.eye(a.shape[0], dtype=a.dtype))
        return apart.sum() / max(a.shape[0] * (a.shape[0] - 1), 1)

    return 2 * distances(first, second).mean() - within(first) - within(second)


def observed(batch: Batch) -> Array | None:
    """The mask of a batch, shaped to multiply its elements; None where everything is observed.

    Example:
        >>> observed(Batch(jnp.zeros((2, 3)), mask=jnp.array([True, False]))).shape
        (2, 1)
    """
    if batch.mask is None:
        return None
    return batch.mask.reshape(batch.mask.shape + (1,) * (batch.x.ndim - batch.mask.ndim))


def sum_elements(values: Array, batch: Batch) -> Array:
    """Sums (n, *event) over the observed elements of each example, weighted where the batch has weights.

    Example:
        >>> sum_elements(jnp.ones((1, 3)), Batch(jnp.zeros((1, 3)), mask=jnp.array([[True, True, False]])))
        Array([2.], dtype=float32)
    """
    mask = observed(batch)
    kept = values if mask is None else jnp.where(mask, values, 0)
    kept = kept if batch.weight is None else kept * batch.weight
    return jnp.sum(kept, axis=tuple(range(1, kept.ndim)))


def mean_elements(values: Array, batch: Batch) -> Array:
    """Averages (n, *event) over the observed elements of each example; NaN where an example has none.

    Example:
        >>> mean_elements(jnp.ones((1, 3)), Batch(jnp.zeros((1, 3)), mask=jnp.array([[True, True, False]])))
        Array([1.], dtype=float32)
    """
    if batch.mask is None and batch.weight is None:
        return jnp.mean(values, axis=tuple(range(1, values.ndim)))
    return sum_elements(values, batch) / sum_elements(jnp.ones_like(values), batch)


def num_observed(batch: Batch) -> Array:
    """The number of examples with at least one observed element.

    Example:
        >>> num_observed(Batch(jnp.zeros((2, 3)), mask=jnp.array([True, False])))
        Array(1., dtype=float32)
    """
    if batch.mask is None:
        return jnp.full((), batch.x.shape[0], jnp.float32)
    return jnp.sum(jnp.any(batch.mask, axis=tuple(range(1, batch.mask.ndim)))).astype(jnp.float32)


def mean_examples(values: Array, batch: Batch) -> Array:
    """Averages (n,) over the examples that have at least one observed element.

    Example:
        >>> mean_examples(jnp.array([4.0, 0.0]), Batch(jnp.zeros((2, 3)), mask=jnp.array([True, False])))
        Array(4., dtype=float32)
    """
    if batch.mask is None:
        return jnp.mean(values)
    seen = jnp.any(batch.mask, axis=tuple(range(1, batch.mask.ndim)))
    return jnp.sum(jnp.where(seen, values, 0)) / jnp.maximum(jnp.sum(seen), 1)


def mse_elements(x: Array, reconstruction: Array, batch: Batch) -> Array:
    """The mean squared error per observed element of a batch.

    Example:
        >>> mse_elements(jnp.ones((1, 2)), jnp.zeros((1, 2)), Batch(jnp.ones((1, 2))))
        Array(1., dtype=float32)
    """
    mask = observed(batch)
    error = jnp.square(x - reconstruction)
    if mask is None:
        return jnp.mean(error)
    weight = jnp.broadcast_to(mask, error.shape)
    return jnp.sum(jnp.where(weight, error, 0)) / jnp.maximum(jnp.sum(weight), 1)
