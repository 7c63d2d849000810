"""Strided and transposed convolutions against each other and against lax's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from aejax import conv

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
    assert conv.downsample(x, kernel).shape == (2, *[-(-size // 2) for size in spatial], 3)


@pytest.mark.parametrize("spatial", SIZES)
def test_upsampling_is_the_adjoint_of_downsampling(key, spatial):
    """<down(x), y> = <x, up(y)> for the same kernel, channels swapped: what a transposed convolution means."""
    x, kernel = arrays(key, spatial, spatial)
    y = jax.random.normal(key, conv.downsample(x, kernel).shape)
    up = conv.upsample(y, jnp.swapaxes(kernel, -1, -2), spatial)
    np.testing.assert_allclose(jnp.vdot(conv.downsample(x, kernel), y), jnp.vdot(x, up), rtol=1e-4)


@pytest.mark.parametrize("spatial", SIZES)
def test_upsampling_equals_the_input_dilated_convolution_in_value_and_gradient(key, spatial):
    x, kernel = arrays(key, spatial, [conv.halved(size) for size in spatial])
    num_axes = len(spatial)

    def dilated(x, kernel):
        padding = [(1, 1 + (size + 1) % 2) for size in spatial]
        letters = "DHW"[-num_axes:]
        return lax.conv_general_dilated(
            x,
            jnp.flip(kernel, range(num_axes)),
            (1,) * num_axes,
            padding,
            lhs_dilation=(2,) * num_axes,
            dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        )

    np.testing.assert_allclose(conv.upsample(x, kernel, spatial), dilated(x, kernel), atol=1e-5)
    ours, theirs = (
        jax.grad(lambda x, kernel, f=f: jnp.sum(jnp.sin(f(x, kernel))), argnums=(0, 1))(x, kernel)
        for f in (lambda x, kernel: conv.upsample(x, kernel, spatial), dilated)
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
