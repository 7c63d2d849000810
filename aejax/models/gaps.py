"""Rows with gaps as a model sees them: what is missing follows from what was observed."""

import functools
from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp

from aejax import losses
from aejax.base import Array, Batch, Decode, Encode, Model, Variables, required

# With half of 50 columns of ten factors missing so many come within 0.08 standard deviations of the least squares.
_NUM_STEPS = 16
_NUM_STEPS_IN_TRAINING = 4
# A code that changes by less than this share of itself has come to its fixed point.
_ROUNDING = 1e-6
# What is filled in is drawn so much towards zero, the mean of standardised columns: where the observed elements leave a
# direction of the code open, the fixed point would be far away or nowhere.
_SHRINKAGE = 0.02
# A secant along which hardly anything changes says little of the way left, which it would make long.
_CAUTION = 0.01

Carry: TypeAlias = tuple[Array, ...]


def filled(model: Model, variables: Variables, batch: Batch) -> Batch:
    """A batch whose missing elements are those of its own reconstruction.

    They are, nearly, the fixed point of encoding the row, decoding the code and filling the gaps anew. A linear
    autoencoder comes to the code with the least squared error over the observed elements, a linear VAE to the mean of
    the posterior given them, as expectation maximisation does (Rezende, Mohamed & Wierstra 2014, section 5.4, without
    the draws).

    Args:
        model: a Model.
        variables: its variables.
        batch: rows as from ``as_batch``.

    Returns:
        The batch, its mask as it was; the very same one where it has no mask of elements. Rows without gaps stay as
        they are.

    Raises:
        ValueError: a Model without an encoder or a decoder.

    Example:
        >>> from aejax.models import autoencoder
        >>> model, batch = autoencoder((3,), 1), Batch(jnp.ones((2, 3)), mask=jnp.array([[True, True, False]] * 2))
        >>> variables = model.init(jax.random.key(0), batch)
        >>> found = filled(model, variables, batch).x
        >>> again = model.decode(variables, model.encode(variables, found).mean)
        >>> bool(jnp.allclose(found[:, 2], again[:, 2], atol=0.1)), found[:, :2].tolist()
        (True, [[1.0, 1.0], [1.0, 1.0]])
    """
    encode, decode = required(model.encode, "encode"), required(model.decode, "decode")
    return _filled(encode, decode, variables, batch, _NUM_STEPS)


def filled_in_training(encode: Encode, decode: Decode, variables: Variables, batch: Batch) -> Batch:
    """The batch as ``filled`` has it after few steps, without a gradient: what a loss gives to its encoder.

    An encoder that was trained on zeros in the gaps makes up for them, and is wrong for rows that are filled.

    Args:
        encode: of the Model.
        decode: of the Model.
        variables: as they are in this step.
        batch: rows as from ``as_batch``.

    Returns:
        The batch, the very same one where it has no mask of elements.
    """
    return _filled(encode, decode, jax.lax.stop_gradient(variables), batch, _NUM_STEPS_IN_TRAINING)


def _filled(encode: Encode, decode: Decode, variables: Variables, batch: Batch, num_steps: int) -> Batch:
    mask = losses.observed(batch)
    if mask is None or mask.shape != batch.x.shape:  # nothing, or nothing but whole rows, is missing
        return batch

    def rows(decoded: Array) -> Array:
        return jnp.where(mask, batch.x, (1 - _SHRINKAGE) * decoded)

    def again(z: Array) -> Array:
        return encode(variables, rows(decode(variables, z, batch.cond)), batch.cond).mean

    def misfit(decoded: Array) -> Array:
        left = jnp.where(mask, jnp.square(batch.x - decoded), 0)
        return jnp.sum(left, axis=tuple(range(1, left.ndim)), keepdims=True)

    first = encode(variables, jnp.where(mask, batch.x, 0), batch.cond).mean
    plain, found = (decode(variables, z, batch.cond) for z in (first, _fixed_point(again, first, num_steps)))
    # An untrained model may have its fixed point far from all rows.
    return batch._replace(x=rows(jnp.where(misfit(found) <= misfit(plain), found, plain)))


def _fixed_point(function: Callable[[Array], Array], z: Array, num_steps: int) -> Array:
    """Of (n, d), row by row, by secants (Anderson 1965, with one step before); the row nearest to it is kept."""

    def step(_: int, carry: Carry) -> Carry:
        value, change, secant_value, secant_change, best, least = carry
        length = _dot(secant_change, secant_change) + _CAUTION * _dot(secant_value, secant_value)
        share = _dot(secant_change, change) / jnp.where(length > 0, length, 1)
        z = value - share * secant_value
        new_value = function(z)
        new_change = new_value - z
        left = _dot(new_change, new_change)
        best = jnp.where(left < least, new_value, best)
        return new_value, new_change, new_value - value, new_change - change, best, jnp.minimum(left, least)

    value = function(z)
    change, nothing = value - z, jnp.zeros_like(z)
    start = (value, change, nothing, nothing, value, _dot(change, change))
    take = step if num_steps <= _NUM_STEPS_IN_TRAINING else functools.partial(_unless_found, step)
    return jax.lax.fori_loop(0, num_steps, take, start)[4]


def _unless_found(step: Callable[[int, Carry], Carry], number: int, carry: Carry) -> Carry:
    """A step of the rows that still move, each by itself; none where no row does."""
    value, *_, least = carry
    moves = least > _ROUNDING**2 * _dot(value, value)

    def of_rows() -> Carry:
        return jax.tree.map(lambda new, old: jnp.where(moves, new, old), step(number, carry), carry)

    return jax.lax.cond(jnp.any(moves), of_rows, lambda: carry)


def _dot(a: Array, b: Array) -> Array:
    return jnp.sum(a * b, axis=tuple(range(1, a.ndim)), keepdims=True)
