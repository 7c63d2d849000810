"""New rows: from a model's prior, from a distribution fitted to its codes, along lines between codes."""

import functools

import jax
import jax.numpy as jnp

from aejax.base import Adversary, Array, ArrayLike, Model, Variables, required
from aejax.tasks.flow import Flow, sample_flow
from aejax.tasks.mixture import Mixture, sample_mixture
from aejax.tasks.reduction import check_encodes


def generate(
    key: Array,
    model: Model | Adversary,
    variables: Variables,
    num_samples: int,
    cond: ArrayLike | None = None,
    codes: Mixture | Flow | None = None,
) -> Array:
    """Draws new rows, observation noise included where the model has any.

    Args:
        key: PRNG key.
        model: a fitted Model or Adversary.
        variables: its variables.
        num_samples: how many rows.
        cond: (num_samples, c) conditions, or (c,) for the same ones in each row; for a conditional model.
        codes: what codes are drawn from in the place of the prior, from ``fit_mixture`` or ``fit_flow``. A model
            without a distribution of its own, such as an autoencoder, needs it; its rows are without observation noise.

    Returns:
        (num_samples, *event).

    Raises:
        ValueError: a model without a distribution, a number that is not positive, or conditions that do not fit.

    Example:
        >>> import aejax
        >>> model = aejax.models.vae((5,), 2)
        >>> variables = model.init(jax.random.key(0), aejax.Batch(jnp.zeros((1, 5))))
        >>> generate(jax.random.key(1), model, variables, num_samples=10).shape
        (10, 5)
    """
    if codes is not None:
        check_encodes(model)
    elif model.sample is None:
        raise ValueError(
            "model: this one defines no distribution to draw from; fit one to its codes by fit_flow, on the command "
            "line by --sampler flow, or train a generative model, such as vae"
        )
    if num_samples < 1:
        raise ValueError(f"num_samples: found {num_samples}, expected a positive whole number")
    if cond is not None:
        cond = jnp.atleast_1d(jnp.asarray(cond, jnp.float32))
        cond = jnp.broadcast_to(cond, (num_samples, cond.shape[-1]))
    code_key, sample_key = jax.random.split(key)
    z = None if codes is None else _draw_codes(code_key, codes, num_samples, cond)
    if isinstance(model, Model) and model.sample is None:
        assert z is not None  # or it was refused
        return _decode(model, variables, z, cond)
    return _sample(model, num_samples, sample_key, variables, cond, z)


def _draw_codes(key: Array, codes: Mixture | Flow, num_samples: int, cond: Array | None) -> Array:
    if isinstance(codes, Flow):
        return sample_flow(key, codes, num_samples, cond)
    return sample_mixture(key, codes, num_samples)


def interpolate(
    model: Model,
    variables: Variables,
    first: ArrayLike,
    second: ArrayLike,
    num_steps: int = 9,
    cond: ArrayLike | None = None,
) -> Array:
    """The rows that lie between two rows in the code: the decoder along the straight line from one code to the other.

    Args:
        model: a fitted Model.
        variables: its variables.
        first: (*event), scaled.
        second: (*event), scaled.
        num_steps: how many rows, both ends included.
        cond: (c,) conditions, for a conditional model.

    Returns:
        (num_steps, *event), the mean of p(x | z); the ends are reconstructions of the two rows.

    Raises:
        ValueError: a GAN, which has no encoder, or fewer than two steps.

    Example:
        >>> import aejax
        >>> model = aejax.models.vae((5,), 2)
        >>> variables = model.init(jax.random.key(0), aejax.Batch(jnp.zeros((1, 5))))
        >>> interpolate(model, variables, jnp.zeros(5), jnp.ones(5), num_steps=4).shape
        (4, 5)
    """
    check_encodes(model)
    if num_steps < 2:
        raise ValueError(f"num_steps: found {num_steps}, expected at least 2")
    ends = jnp.stack([jnp.asarray(first, jnp.float32), jnp.asarray(second, jnp.float32)])
    z = _encode(model, variables, ends, _repeated(cond, 2))
    return _decode(model, variables, _line(num_steps, z), _repeated(cond, num_steps))


def traverse(
    model: Model, variables: Variables, z: ArrayLike, dim: int, values: ArrayLike, cond: ArrayLike | None = None
) -> Array:
    """What one dimension of the code does: the decoder while it takes the given values and the others stay.

    Args:
        model: a fitted Model.
        variables: its variables.
        z: (d,), where the others stay; zeros are the centre of a VAE's prior.
        dim: which one moves, from 0.
        values: (m,), such as -3 to 3.
        cond: (c,) conditions, for a conditional model.

    Returns:
        (m, *event), the mean of p(x | z).

    Raises:
        ValueError: no such dimension.

    Example:
        >>> import aejax
        >>> model = aejax.models.vae((5,), 2)
        >>> variables = model.init(jax.random.key(0), aejax.Batch(jnp.zeros((1, 5))))
        >>> traverse(model, variables, jnp.zeros(2), dim=0, values=jnp.linspace(-3, 3, 7)).shape
        (7, 5)
    """
    check_encodes(model)
    z, values = jnp.asarray(z, jnp.float32), jnp.asarray(values, jnp.float32)
    if not 0 <= dim < z.shape[0]:
        raise ValueError(f"dim: found {dim}, expected 0 to {z.shape[0] - 1}")
    return _decode(model, variables, _varied(dim, z, values), _repeated(cond, values.shape[0]))


def _repeated(cond: ArrayLike | None, num_rows: int) -> Array | None:
    return None if cond is None else jnp.tile(jnp.asarray(cond, jnp.float32), (num_rows, 1))


@functools.partial(jax.jit, static_argnames="num_steps")
def _line(num_steps: int, ends: Array) -> Array:
    share = jnp.linspace(0, 1, num_steps, dtype=ends.dtype)[:, None]
    return (1 - share) * ends[:1] + share * ends[1:]


@functools.partial(jax.jit, static_argnames="dim")
def _varied(dim: int, z: Array, values: Array) -> Array:
    return jnp.tile(z, (values.shape[0], 1)).at[:, dim].set(values)


@functools.partial(jax.jit, static_argnames="model")
def _encode(model: Model, variables: Variables, x: Array, cond: Array | None) -> Array:
    return required(model.encode, "encode")(variables, x, cond).mean


@functools.partial(jax.jit, static_argnames="model")
def _decode(model: Model, variables: Variables, z: Array, cond: Array | None) -> Array:
    return required(model.decode, "decode")(variables, z, cond)


@functools.partial(jax.jit, static_argnames=("model", "num_samples"))
def _sample(
    model: Model | Adversary, num_samples: int, key: Array, variables: Variables, cond: Array | None, z: Array | None
) -> Array:
    return required(model.sample, "sample")(key, variables, num_samples, cond, z)
