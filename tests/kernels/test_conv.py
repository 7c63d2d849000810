"""Strided and transposed convolutions against each other and against lax's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from aejax.kernels import conv

SIZES = [(7,), (8,), (5, 6), (4, 5, 3)]


def arrays(key, spatial, grid):
    """An input on a grid and a kernel from 2 channels to 3."""
    x_key, kernel_key = jax.random.split(key)
    return (
        jax.random.normal(x_key, (2, *grid, 2)),
        jax.random.normal(kernel_key, (*(3,) * len(spatial), 2, 3)),
    )


@pytest.mark.parametrize("spatial", SIZES)
def test_downsampling_halves_rounding_up(key, spatial):
    x, kernel = arrays(key, spatial, spatial)
    assert conv.downsample(x, kernel, jnp.zeros(3)).shape == (2, *[-(-size // 2) for size in spatial], 3)


@pytest.mark.parametrize("spatial", SIZES)
def test_upsampling_is_the_adjoint_of_downsampling(key, spatial):
    """<down(x), y> = <x, up(y)> for the same kernel, channels swapped: what a transposed convolution means."""
    x, kernel = arrays(key, spatial, spatial)
    down = conv.downsample(x, kernel, jnp.zeros(3))
    y = jax.random.normal(key, down.shape)
    up = conv.upsample(y, jnp.swapaxes(kernel, -1, -2), jnp.zeros(2), spatial)
    np.testing.assert_allclose(jnp.vdot(down, y), jnp.vdot(x, up), rtol=1e-4)


def dimension_numbers(num_axes):
    letters = "DHW"[-num_axes:]
    return (f"N{letters}C", f"{letters}IO", f"N{letters}C")


def strided(spatial):
    """``lax``'s own convolution of stride 2."""
    num_axes = len(spatial)
    return lambda x, kernel: lax.conv_general_dilated(
        x, kernel, (2,) * num_axes, [(1, 1)] * num_axes, dimension_numbers=dimension_numbers(num_axes)
    )


def dilated(spatial):
    """``lax``'s own transposed convolution, by dilating the input."""
    num_axes = len(spatial)
    return lambda x, kernel: lax.conv_general_dilated(
        x,
        jnp.flip(kernel, range(num_axes)),
        (1,) * num_axes,
        [(1, 1 + (size + 1) % 2) for size in spatial],
        lhs_dilation=(2,) * num_axes,
        dimension_numbers=dimension_numbers(num_axes),
    )


@pytest.fixture(params=["cpu", "gpu"])
def backend(request, monkeypatch):
    """The path of each kind of device; that of others runs on a CPU too, only slowly."""
    monkeypatch.setattr(conv.jax, "default_backend", lambda: request.param)


@pytest.mark.parametrize("direction", ["down", "up"])
@pytest.mark.parametrize("spatial", SIZES)
def test_they_equal_those_of_lax_in_value_and_derivatives(key, spatial, direction, backend):
    grid = spatial if direction == "down" else [conv.halved(size) for size in spatial]
    x, kernel = arrays(key, spatial, grid)
    bias = jnp.array([0.5, -1.0, 2.0])
    function, options = (conv.downsample, ()) if direction == "down" else (conv.upsample, (spatial,))
    lax_function = strided(spatial) if direction == "down" else dilated(spatial)

    def ours(x, kernel):
        return function(x, kernel, bias, *options)

    def theirs(x, kernel):
        return lax_function(x, kernel) + bias

    def results(function):
        def total(x, kernel):
            return jnp.sum(jnp.sin(function(x, kernel)))

        yield function(x, kernel)
        yield from jax.grad(total, argnums=(0, 1))(x, kernel)
        yield jax.jvp(total, (x, kernel), (jnp.cos(x), kernel))[1]
        yield jax.vmap(jax.grad(total), in_axes=(1, None), out_axes=1)(jnp.stack([x, 2 * x], axis=1), kernel)
        yield jax.vmap(jax.grad(total, argnums=1), in_axes=(None, 0))(x, jnp.stack([kernel, 2 * kernel]))
        yield jax.grad(lambda kernels: jax.vmap(total, in_axes=(None, 0))(x, kernels).sum())(kernel[None])
        yield jax.jvp(jax.grad(total), (x, kernel), (jnp.cos(x), kernel))[1]

    found, expected = (jax.jit(lambda function=function: list(results(function)))() for function in (ours, theirs))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
