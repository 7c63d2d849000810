"""Likelihoods of events whose elements are of different kinds: products of others, and categories."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Array
from aejax.kernels.recipes import remembered
from aejax.losses.likelihoods import Likelihood, Scaling

__all__ = ["categorical", "product"]


@remembered
def categorical() -> Likelihood:
    """One of several categories: x is one where the category is and zero elsewhere, along the last axis.

    The negative log-likelihood stands at the category itself, and the mean is the probability of each. A category that
    is not known is masked throughout.

    Returns:
        The Likelihood.

    Example:
        >>> chances = categorical()
        >>> chances.mean(jnp.zeros((1, 4)))
        Array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)
        >>> round(float(chances.nll({}, jnp.array([0.0, 1.0]), jnp.zeros(2)).sum()), 4)
        0.6931
    """

    def nll(params: dict[str, Array], x: Array, output: Array) -> Array:  # noqa: ARG001
        return -x * jax.nn.log_softmax(output)

    def sample(key: Array, params: dict[str, Array], output: Array) -> Array:  # noqa: ARG001
        drawn = jax.random.categorical(key, output)
        return jax.nn.one_hot(drawn, output.shape[-1], dtype=output.dtype)

    return Likelihood(lambda event_shape: {}, nll, jax.nn.softmax, sample)  # noqa: ARG005


@remembered
def product(parts: Sequence[tuple[Likelihood, int]]) -> Likelihood:
    """Independent parts along the last axis of an event, each with a likelihood of its own.

    Args:
        parts: (likelihood, how many elements) in their order; each likelihood takes one output an element.

    Returns:
        The Likelihood, of events whose last axis has as many elements as the parts together.

    Raises:
        ValueError: no part, one without elements, or a likelihood that takes more than one output an element.

    Example:
        >>> from aejax.losses import gaussian
        >>> mixed = product([(gaussian(1.0), 2), (categorical(), 3)])
        >>> mixed.mean(jnp.zeros((1, 5)))[0, 1:3].round(4)
        Array([0.    , 0.3333], dtype=float32)
    """
    likelihoods, sizes = tuple(part for part, _ in parts), tuple(size for _, size in parts)
    if not sizes or min(sizes) < 1:
        raise ValueError(f"parts: found sizes {sizes}, expected at least one part, each of at least one element")
    if many := [index for index, part in enumerate(likelihoods, start=1) if part.num_outputs > 1]:
        raise ValueError(
            f"parts: found more than one output an element in part {many[0]}, expected one; a scale can be shared or "
            "per_element"
        )
    ends = np.cumsum(sizes)

    def cut(array: Array) -> list[Array]:
        return jnp.split(array, ends[:-1], axis=-1)

    def init(event_shape: tuple[int, ...]) -> dict[str, Array]:
        if event_shape[-1] != ends[-1]:
            raise ValueError(
                f"parts: found {ends[-1]} elements, expected the {event_shape[-1]} of an event's last axis"
            )
        own = [part.init((*event_shape[:-1], size)) for part, size in zip(likelihoods, sizes, strict=True)]
        return {f"{name}_{index}": array for index, params in enumerate(own) for name, array in params.items()}

    def params_of(params: dict[str, Array], index: int) -> dict[str, Array]:
        ending = f"_{index}"
        return {name.removesuffix(ending): array for name, array in params.items() if name.endswith(ending)}

    def nll(params: dict[str, Array], x: Array, output: Array) -> Array:
        each = enumerate(zip(likelihoods, cut(x), cut(output), strict=True))
        return jnp.concatenate([of.nll(params_of(params, i), *pair) for i, (of, *pair) in each], axis=-1)

    def mean(output: Array) -> Array:
        return jnp.concatenate([of.mean(piece) for of, piece in zip(likelihoods, cut(output), strict=True)], axis=-1)

    def sample(key: Array, params: dict[str, Array], output: Array) -> Array:
        each = enumerate(zip(likelihoods, jax.random.split(key, len(sizes)), cut(output), strict=True))
        drawn = [of.sample(own_key, params_of(params, i), piece) for i, (of, own_key, piece) in each]
        return jnp.concatenate(drawn, axis=-1)

    scaling: Scaling = next((part.scaling for part in likelihoods if part.scaling != "standardised"), "standardised")
    return Likelihood(init, nll, mean, sample, scaling=scaling)
