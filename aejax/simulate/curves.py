"""Images of curves through three random points: six numbers each, and so a code of six can hold them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from aejax.base import Array


class Curves(NamedTuple):
    """Images of curves.

    Attributes:
        x: (n, size, size) in [0, 1].
        points: (n, 3, 2), the points in pixels, (row, column).
    """

    x: Array
    points: Array


def curves(key: Array, num_rows: int, size: int = 28, thickness: float = 0.8, margin: float = 6.0) -> Curves:
    """Grey images of smooth curves through three random points, after Hinton & Salakhutdinov (2006).

    Their images are not published with the paper; these follow its description, with thickness and margin such that 18
    principal components leave the squared error of theirs, 5.9 per image. The curve is the parabola
    p(t) that passes the points at t = 0, 1/2 and 1, and a pixel's value is exp(-distance^2 / (2 thickness^2)).
    Six numbers make an image, so nothing but the network limits a code of six.

    Args:
        key: PRNG key.
        num_rows: n.
        size: pixels a side.
        thickness: of the line, in pixels.
        margin: between the points and the edge, in pixels; the curve may bend into it.

    Returns:
        Curves.

    Raises:
        ValueError: ``num_rows`` is not positive.

    Example:
        >>> curves(jax.random.key(0), 3).x.shape
        (3, 28, 28)
    """
    if num_rows < 1:
        raise ValueError(f"num_rows: found {num_rows}, expected a positive whole number")
    points = jax.random.uniform(key, (num_rows, 3, 2), jnp.float32, minval=margin, maxval=size - 1 - margin)
    # Row by row: the distances of all pixels to all curve points at once would take gigabytes.
    return Curves(jax.lax.map(lambda p: _draw(p, size, thickness), points, batch_size=64), points)


def _draw(points: Array, size: int, thickness: float, num_segments: int = 48) -> Array:
    t = jnp.linspace(0, 1, num_segments + 1, dtype=points.dtype)[:, None]
    first, middle, last = points[:, None]
    curve = first * (2 * t - 1) * (t - 1) + middle * 4 * t * (1 - t) + last * t * (2 * t - 1)
    start, step = curve[None, :-1], jnp.diff(curve, axis=0)[None]
    pixels = jnp.stack(jnp.meshgrid(jnp.arange(size), jnp.arange(size), indexing="ij"), axis=-1).reshape(-1, 1, 2)
    # The nearest point of each straight piece of the curve.
    along = jnp.sum((pixels - start) * step, axis=-1) / jnp.maximum(jnp.sum(step**2, axis=-1), 1e-12)
    nearest = start + jnp.clip(along, 0, 1)[..., None] * step
    distance = jnp.min(jnp.sum((pixels - nearest) ** 2, axis=-1), axis=-1)
    return jnp.exp(-0.5 * distance / thickness**2).reshape(size, size)
