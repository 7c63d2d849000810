"""Strided and transposed convolutions in any number of dimensions, written for speed on a CPU too.

Both take kernels of width 3 with stride 2, padding 1: what halves and doubles a grid. ``lax``'s own convolutions are
slow on a CPU: the input-dilated one, the usual way to double and the gradient of halving, multiplies mostly by zeros,
and inside a compiled loop of training steps some take a hundred times as long as outside. On a CPU a convolution is
therefore one matrix product: halving gathers the 3^d values under each kernel position, the taps, and multiplies;
doubling multiplies and scatters the taps. Gathering and scattering are each other's transpose, and are declared so,
since XLA's own transpose of a strided slice takes several times as long.

On other devices they are those of the device's library, in the form that it computes fast.
"""

import contextlib
import contextvars
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from aejax.base import Array

WIDTH = 3
# A GPU's matrix units take so many channels at a time. For other numbers its library copies whole arrays, or does
# without the units.
_CHANNELS_AT_ONCE = 8
_is_plain = contextvars.ContextVar("_is_plain", default=False)


def halved(size: int) -> int:
    """The length of an axis after ``downsample``.

    Example:
        >>> halved(7), halved(8)
        (4, 4)
    """
    return -(-size // 2)


def downsample(x: Array, kernel: Array, bias: Array) -> Array:
    """A convolution of width 3, stride 2 and padding 1 along each spatial axis.

    Args:
        x: (n, *spatial, in_channels).
        kernel: (3, ..., 3, in_channels, out_channels).
        bias: (out_channels,), added everywhere.

    Returns:
        (n, *halved spatial, out_channels).

    Example:
        >>> downsample(jnp.ones((1, 5, 1)), jnp.ones((3, 1, 1)), jnp.zeros(1))[0, :, 0]
        Array([2., 3., 2.], dtype=float32)
    """
    if not _takes_taps():
        return _plus(_convolved(_in_whole_units(x, -1), _in_whole_units(kernel, -2), 2, (1, 1)), bias)
    taps = _gather.bind(x, spatial=x.shape[1:-1])
    return _plus(_product(taps, kernel.reshape(-1, kernel.shape[-1])), bias)


def upsample(x: Array, kernel: Array, bias: Array, spatial: Sequence[int]) -> Array:
    """The transposed convolution of width 3, stride 2 and padding 1 onto a grid of given size.

    Along an axis, output o is the sum of x[i] kernel[k] over 2 i - 1 + k = o: even outputs see one input, odd ones
    two. That is PyTorch's ``ConvTranspose(3, stride=2, padding=1)`` with the output padding that gives this size.

    Args:
        x: (n, *halved spatial, in_channels).
        kernel: (3, ..., 3, in_channels, out_channels).
        bias: (out_channels,), added everywhere.
        spatial: sizes of the output, which ``halved`` takes to those of x.

    Returns:
        (n, *spatial, out_channels).

    Example:
        >>> upsample(jnp.ones((1, 3, 1)), jnp.ones((3, 1, 1)), jnp.zeros(1), (5,))[0, :, 0]
        Array([1., 2., 1., 2., 1.], dtype=float32)
    """
    if not _takes_taps():
        return _upsample_by_phases(x, kernel, bias, tuple(spatial))
    taps = _product(x, jnp.moveaxis(kernel, -2, 0).reshape(kernel.shape[-2], -1))
    return _plus(_scatter.bind(taps, spatial=tuple(spatial)), bias)


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """Within it convolutions are traced as those of ``lax`` on a CPU too: other programs than XLA know no taps.

    Example:
        >>> with plain():
        ...     made = jax.make_jaxpr(downsample)(jnp.ones((1, 5, 1)), jnp.ones((3, 1, 1)), jnp.zeros(1))
        >>> "gather_taps" in str(made), "conv_general_dilated" in str(made)
        (False, True)
    """
    before = _is_plain.set(True)
    try:
        yield
    finally:
        _is_plain.reset(before)


def _takes_taps() -> bool:
    return jax.default_backend() == "cpu" and not _is_plain.get()


def _plus(y: Array, bias: Array) -> Array:
    return y + jnp.expand_dims(bias, range(y.ndim - 1))


def _product(x: Array, weights: Array) -> Array:
    """``x @ weights`` of two axes each: from more axes XLA copies x, transposed, for the gradient by the weights."""
    return (x.reshape(-1, x.shape[-1]) @ weights).reshape(*x.shape[:-1], -1)


def _taps(num_axes: int) -> list[tuple[int, ...]]:
    return list(itertools.product(range(WIDTH), repeat=num_axes))


def _gather_taps(x: Array, spatial: tuple[int, ...]) -> Array:
    """(n, *spatial, channels) -> (n, *halved spatial, 3^d channels): output i has the values at 2 i - 1 + k."""
    padded = jnp.pad(x, [(0, 0), *[(1, 1)] * len(spatial), (0, 0)])
    ends = [2 * halved(size) - 1 for size in spatial]
    windows = [tuple(slice(k, k + end, 2) for k, end in zip(tap, ends, strict=True)) for tap in _taps(len(spatial))]
    return jnp.concatenate([padded[(slice(None), *window)] for window in windows], axis=-1)


def _scatter_taps(taps: Array, spatial: tuple[int, ...]) -> Array:
    """(n, *halved spatial, 3^d channels) -> (n, *spatial, channels): the taps of input i are added at 2 i - 1 + k."""
    num_axes = len(spatial)
    parts = dict(zip(_taps(num_axes), jnp.split(taps, WIDTH**num_axes, axis=-1), strict=True))

    def shifted(tap: tuple[int, ...]) -> Array:
        # Tap 0 of input i + 1 falls on the same odd output as tap 2 of input i.
        start = (slice(None), *(slice(1, None) if k == 0 else slice(None) for k in tap))
        return jnp.pad(parts[tap][start], [(0, 0), *((0, int(k == 0)) for k in tap), (0, 0)])

    phases = []
    for phase in itertools.product((False, True), repeat=num_axes):
        on_phase = itertools.product(*((0, 2) if is_odd else (1,) for is_odd in phase))
        phases.append(functools.reduce(jnp.add, map(shifted, on_phase)))
    grid = _interleave(jnp.concatenate(phases, axis=-1), num_axes, taps.shape[-1] // WIDTH**num_axes)
    return grid[(slice(None), *(slice(size) for size in spatial))]


def _linear_primitive(name: str, function: Callable[..., Array]) -> Primitive:
    """A linear map of arrays (n, ...), whose vectorised version is itself on more rows."""
    primitive = Primitive(name)
    primitive.def_impl(jax.jit(function, static_argnames="spatial"))

    def abstract(x: jax.core.ShapedArray, *, spatial: tuple[int, ...]) -> jax.core.ShapedArray:
        found = jax.eval_shape(functools.partial(function, spatial=spatial), jax.ShapeDtypeStruct(x.shape, x.dtype))
        return jax.core.ShapedArray(found.shape, found.dtype)

    def batched(operands: tuple[Array], axes: tuple[int], *, spatial: tuple[int, ...]) -> tuple[Array, int]:
        x = jnp.moveaxis(operands[0], axes[0], 0)
        y = primitive.bind(x.reshape(-1, *x.shape[2:]), spatial=spatial)
        return y.reshape(*x.shape[:2], *y.shape[1:]), 0

    primitive.def_abstract_eval(abstract)
    batching.primitive_batchers[primitive] = batched
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))
    return primitive


_gather = _linear_primitive("gather_taps", _gather_taps)
_scatter = _linear_primitive("scatter_taps", _scatter_taps)
ad.deflinear2(_gather, lambda cotangent, _, *, spatial: [_scatter.bind(cotangent, spatial=spatial)])
ad.deflinear2(_scatter, lambda cotangent, _, *, spatial: [_gather.bind(cotangent, spatial=spatial)])


def _upsample_by_phases(x: Array, kernel: Array, bias: Array, spatial: tuple[int, ...]) -> Array:
    """The output's phases, even and odd positions along each axis, as channels of one convolution of width 2.

    The bias is added before they are interleaved: XLA adds it while it convolves.
    """
    num_axes, num_channels = x.ndim - 2, 2 ** (x.ndim - 2) * kernel.shape[-1]
    phases = [_phase(kernel, phase) for phase in itertools.product((0, 1), repeat=num_axes)]
    joined = _in_whole_units(jnp.concatenate(phases, axis=-1), -1)
    y = _plus(_convolved(x, joined, 1, (0, 1)), _in_whole_units(jnp.tile(bias, 2**num_axes), -1))
    grid = _interleave(y[..., :num_channels], num_axes, kernel.shape[-1])
    return grid[(slice(None), *(slice(size) for size in spatial))]


def _convolved(x: Array, kernel: Array, stride: int, padding: tuple[int, int]) -> Array:
    """The library's convolution, the same along each axis."""
    num_axes = x.ndim - 2
    return lax.conv_general_dilated(
        x, kernel, (stride,) * num_axes, [padding] * num_axes, dimension_numbers=_dimension_numbers(num_axes)
    )


def _in_whole_units(array: Array, axis: int) -> Array:
    """Channels of zeros behind those that there are, so that the matrix units have whole ones to do."""
    if _is_plain.get():
        return array
    widths = [(0, 0)] * array.ndim
    widths[axis] = (0, -array.shape[axis] % _CHANNELS_AT_ONCE)
    return jnp.pad(array, widths)


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
