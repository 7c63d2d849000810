"""Strided and transposed convolutions in any number of dimensions, written for speed on a CPU.

Both take kernels of width 3 with stride 2, padding 1: what halves and doubles a grid. ``lax``'s input-dilated
convolution, the usual way to double, multiplies mostly by zeros on a CPU; here the output's phases (even and odd
positions along each axis) are the channels of a stride-1 convolution of width 2, interleaved afterwards.
"""

import itertools
from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax

from aejax.base import Array

WIDTH = 3


def halved(size: int) -> int:
    """The length of an axis after ``downsample``.

    Example:
        >>> halved(7), halved(8)
        (4, 4)
    """
    return -(-size // 2)


def downsample(x: Array, kernel: Array) -> Array:
    """A convolution of width 3, stride 2 and padding 1 along each spatial axis.

    Args:
        x: (n, *spatial, in_channels).
        kernel: (3, ..., 3, in_channels, out_channels).

    Returns:
        (n, *halved spatial, out_channels).

    Example:
        >>> downsample(jnp.ones((1, 5, 1)), jnp.ones((3, 1, 1)))[0, :, 0]
        Array([2., 3., 2.], dtype=float32)
    """
    num_axes = x.ndim - 2
    return lax.conv_general_dilated(
        x, kernel, (2,) * num_axes, [(1, 1)] * num_axes, dimension_numbers=_dimension_numbers(num_axes)
    )


def upsample(x: Array, kernel: Array, spatial: Sequence[int]) -> Array:
    """The transposed convolution of width 3, stride 2 and padding 1 onto a grid of given size.

    Along an axis, output o is the sum of x[i] kernel[k] over 2 i - 1 + k = o: even outputs see one input, odd ones
    two. That is PyTorch's ``ConvTranspose(3, stride=2, padding=1)`` with the output padding that gives this size.

    Args:
        x: (n, *halved spatial, in_channels).
        kernel: (3, ..., 3, in_channels, out_channels).
        spatial: sizes of the output, which ``halved`` takes to those of x.

    Returns:
        (n, *spatial, out_channels).

    Example:
        >>> upsample(jnp.ones((1, 3, 1)), jnp.ones((3, 1, 1)), (5,))[0, :, 0]
        Array([1., 2., 1., 2., 1.], dtype=float32)
    """
    num_axes = x.ndim - 2
    phases = [_phase(kernel, phase) for phase in itertools.product((0, 1), repeat=num_axes)]
    joined = jnp.concatenate(phases, axis=-1)
    y = lax.conv_general_dilated(
        x, joined, (1,) * num_axes, [(0, 1)] * num_axes, dimension_numbers=_dimension_numbers(num_axes)
    )
    return _interleave(y, num_axes, kernel.shape[-1])[(slice(None), *(slice(size) for size in spatial))]


def _phase(kernel: Array, phase: tuple[int, ...]) -> Array:
    """The width-2 kernel of one output phase: over (x[i], x[i + 1]) it is (k1, 0) if even, (k2, k0) if odd."""
    for axis, is_odd in enumerate(phase):
        first, middle, last = jnp.split(kernel, WIDTH, axis=axis)
        taps = [last, first] if is_odd else [middle, jnp.zeros_like(middle)]
        kernel = jnp.concatenate(taps, axis=axis)
    return kernel


def _interleave(y: Array, num_axes: int, num_channels: int) -> Array:
    """(n, *spatial, 2^num_axes channels) -> (n, *2 spatial, channels)."""
    num_rows, *spatial, _ = y.shape
    y = y.reshape(num_rows, *spatial, *(2,) * num_axes, num_channels)
    order = [0]
    for axis in range(num_axes):
        order += [1 + axis, 1 + num_axes + axis]
    return y.transpose(*order, y.ndim - 1).reshape(num_rows, *(2 * size for size in spatial), num_channels)


def _dimension_numbers(num_axes: int) -> lax.ConvDimensionNumbers:
    axes = tuple(range(1, num_axes + 1))
    kernel_axes = tuple(range(num_axes))
    return lax.ConvDimensionNumbers(
        lhs_spec=(0, num_axes + 1, *axes),
        rhs_spec=(num_axes + 1, num_axes, *kernel_axes),
        out_spec=(0, num_axes + 1, *axes),
    )
