"""Geological models: patches of an image or a volume, and straight rays between two boreholes."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Array, ArrayLike, Batch, Draw, Drawn

_ROUNDING = 1e-4
"""Of a position, in cells."""


def random_corners(
    key: Array, volume_shape: Sequence[int], patch_shape: Sequence[int], num_patches: int, flips: Sequence[int] = ()
) -> Array:
    """Where to cut patches at random: what ``cut`` takes, four numbers a patch in the place of all its pixels.

    Patches that train and patches that test must not overlap: cut them from two parts of a volume,
    ``image[:, :2000]`` and ``image[:, 2000:]``, never at random from the whole.

    Args:
        key: PRNG key.
        volume_shape: of the image or volume, (rows, columns) or (layers, rows, columns).
        patch_shape: of a patch, likewise.
        num_patches: how many.
        flips: axes along which half of the patches are mirrored; right only where the geology has no direction there.

    Returns:
        (num_patches, 2 k) for k axes: the first index along each axis, then 1 along each axis that is mirrored, else 0.

    Raises:
        ValueError: the patch is larger than the volume, or no such axis.

    Example:
        >>> random_corners(jax.random.key(0), (100, 80), (10, 80), 5).shape
        (5, 4)
    """
    if len(volume_shape) != len(patch_shape) or any(p > v for p, v in zip(patch_shape, volume_shape, strict=False)):
        raise ValueError(f"patch_shape: found {tuple(patch_shape)}, expected at most {tuple(volume_shape)}")
    if not set(flips) <= set(range(len(patch_shape))):
        raise ValueError(f"flips: found axes {tuple(flips)}, expected some of {tuple(range(len(patch_shape)))}")
    corner_key, flip_key = jax.random.split(key)
    ends = jnp.array([v - p + 1 for p, v in zip(patch_shape, volume_shape, strict=True)])
    shape = (num_patches, len(patch_shape))
    may_flip = jnp.array([axis in flips for axis in range(len(patch_shape))])
    flipped = jax.random.bernoulli(flip_key, 0.5, shape) & may_flip[None, :]
    return jnp.concatenate([jax.random.randint(corner_key, shape, 0, ends[None, :]), flipped], axis=1).astype(
        jnp.float32
    )


def cut(volume: ArrayLike, corners: ArrayLike, patch_shape: Sequence[int]) -> Array:
    """Patches of an image or a volume.

    Args:
        volume: k axes of any length.
        corners: (n, 2 k), as ``random_corners`` gives them.
        patch_shape: k lengths.

    Returns:
        (n, *patch_shape), float32.

    Example:
        >>> cut(np.arange(12).reshape(3, 4), [[1, 2, 0, 1]], (2, 2))[0]
        Array([[ 7.,  6.],
               [11., 10.]], dtype=float32)
    """
    volume = jnp.asarray(volume)

    def one(corner: Array) -> Array:
        begin, flipped = jnp.split(corner, 2)
        patch = jax.lax.dynamic_slice(volume, begin, patch_shape)
        for axis in range(patch.ndim):
            patch = jnp.where(flipped[axis] > 0, jnp.flip(patch, axis), patch)
        return patch

    return jax.vmap(one)(jnp.asarray(corners).astype(jnp.int32)).astype(jnp.float32)


def patches(volume: ArrayLike, patch_shape: Sequence[int], flips: Sequence[int] = ()) -> Drawn:
    """A Source of patches that are cut at random places inside the compiled step.

    A million overlapping patches would fill the memory; the volume that they are cut from does not. A value of NaN in
    the volume is masked, as in the rows that ``fit`` is given.

    Args:
        volume: k axes of any length; keep its type small (uint8 for facies).
        patch_shape: k lengths, the model's event.
        flips: axes along which half of the patches are mirrored.

    Returns:
        The Source, for ``fit(..., num_epochs=..., steps_per_epoch=...)``.

    Raises:
        ValueError: as in ``random_corners``.

    Example:
        >>> import aejax
        >>> model, image = aejax.models.autoencoder((8, 8), 2), np.zeros((40, 40), np.uint8)
        >>> options = {"num_epochs": 2, "steps_per_epoch": 5, "validation": 0}
        >>> aejax.fit(jax.random.key(1), model, patches(image, (8, 8)), **options).history["loss"].shape
        (2,)
    """
    volume = jnp.asarray(volume)
    has_missing = jnp.issubdtype(volume.dtype, jnp.floating) and bool(jnp.isnan(volume).any())
    draw = _patches_of(tuple(patch_shape), tuple(flips), has_missing)
    jax.eval_shape(lambda key: random_corners(key, volume.shape, patch_shape, 1, flips), jax.random.key(0))  # checks
    return Drawn(volume, draw)


@functools.lru_cache(maxsize=64)
def _patches_of(patch_shape: tuple[int, ...], flips: tuple[int, ...], has_missing: bool) -> Draw:
    """The very same function for equal arguments, so that a second training compiles nothing."""

    def draw(arrays: Array, key: Array, num_rows: int) -> Batch:
        x = cut(arrays, random_corners(key, arrays.shape, patch_shape, num_rows, flips), patch_shape)
        return Batch(jnp.nan_to_num(x), mask=~jnp.isnan(x)) if has_missing else Batch(x)

    return draw


def straight_rays(shape: Sequence[int], cell: float, sources: ArrayLike, receivers: ArrayLike) -> Array:
    """The length of each straight ray in each cell of a vertical section: travel times are this times slowness.

    t_i = sum_j L_ij s_j, with s_j = 1 / v_j the slowness of cell j. Straight rays are the limit of weak contrasts;
    real rays bend towards fast regions. L is found from where a ray crosses the grid's lines (Siddon 1985).

    Args:
        shape: (rows, columns) of the section.
        cell: side of a cell, in m.
        sources: (n, 2) positions (depth, distance) in m from the section's upper left corner.
        receivers: (n, 2), one for each source: ray i goes from source i to receiver i.

    Returns:
        (n, rows * columns) lengths in m, row by row. A ray counts only inside the section, whose four edges belong to
        it. A ray along the line between two cells is in the lower or the right one of them.

    Raises:
        ValueError: positions of another shape.

    Example:
        >>> straight_rays((2, 2), 1.0, [[0.5, 0.0]], [[0.5, 2.0]])
        Array([[1., 1., 0., 0.]], dtype=float32)
    """
    sources, receivers = (jnp.asarray(ends, jnp.float32) / cell for ends in (sources, receivers))
    if sources.ndim != 2 or sources.shape[1:] != (2,) or sources.shape != receivers.shape:
        raise ValueError(f"sources, receivers: found {sources.shape} and {receivers.shape}, expected (n, 2) for both")
    rows, columns = shape
    ends = jnp.array([[rows, columns]], jnp.float32)
    lines = [jnp.arange(size + 1, dtype=jnp.float32) for size in (rows, columns)]

    def one(start: Array, end: Array) -> Array:
        step = end - start
        # A ray along an axis crosses none of the lines beside it: its parameter there is put at the ray's end.
        crossings = [
            jnp.where(step[axis] == 0, 1.0, (lines[axis] - start[axis]) / jnp.where(step[axis] == 0, 1.0, step[axis]))
            for axis in range(2)
        ]
        at = jnp.sort(
            jnp.clip(jnp.concatenate([jnp.zeros(1, step.dtype), *crossings, jnp.ones(1, step.dtype)]), 0.0, 1.0)
        )
        middle = start[None, :] + 0.5 * (at[1:] + at[:-1])[:, None] * step[None, :]
        # Positions divided by the cell's side are rounded: a ray along an edge may come to lie just beside it.
        inside = jnp.all((middle >= -_ROUNDING) & (middle <= ends + _ROUNDING), axis=1)
        length = jnp.where(inside, jnp.diff(at) * jnp.linalg.norm(step) * cell, 0.0)
        row, column = jnp.clip(jnp.floor(middle), 0, ends - 1).astype(jnp.int32).T
        return jnp.zeros(rows * columns, length.dtype).at[row * columns + column].add(length)

    return jax.vmap(one)(sources, receivers)


def cross_hole_survey(shape: Sequence[int], cell: float, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Sources down the left side of a section, receivers down the right side, a ray from each to each.

    Args:
        shape: (rows, columns).
        cell: side of a cell, in m.
        spacing: between neighbouring sources, and receivers, in m; half of it above the first.

    Returns:
        sources, receivers: (n, 2) positions (depth, distance) in m, one pair for each ray, source by source.

    Raises:
        ValueError: a spacing that is not positive or longer than the section is deep.

    Example:
        >>> [len(ends) for ends in cross_hole_survey((129, 65), 0.1, 1.0)]
        [169, 169]
    """
    depth, width = shape[0] * cell, shape[1] * cell
    if not 0 < spacing <= depth:
        raise ValueError(f"spacing: found {spacing}, expected a positive number of at most {depth:g}, in m")
    number = math.floor(depth / spacing + 0.5)
    depths = (np.arange(number) + 0.5) * spacing
    above, below = np.meshgrid(depths, depths, indexing="ij")
    return (
        np.column_stack([above.ravel(), np.zeros(number**2)]),
        np.column_stack([below.ravel(), np.full(number**2, width)]),
    )


def travel_times(lengths: ArrayLike, x: ArrayLike, velocities: tuple[float, float]) -> Array:
    """Travel times through a section of two facies: the forward function of cross-hole radar.

    A cell's slowness is (1 - x) / velocities[0] + x / velocities[1]: exact for x of 0 and 1; for a probability x in
    between the expected slowness.

    Args:
        lengths: (n, rows * columns) in m, from ``straight_rays``.
        x: (rows, columns), in [0, 1].
        velocities: where x is 0 and where it is 1, in m/ns.

    Returns:
        (n,) in ns, a smooth function of x.

    Example:
        >>> rays = straight_rays((2, 2), 1.0, [[0.5, 0.0]], [[0.5, 2.0]])
        >>> travel_times(rays, np.zeros((2, 2)), (0.05, 0.1))
        Array([40.], dtype=float32)
    """
    low, high = 1 / velocities[0], 1 / velocities[1]
    return jnp.asarray(lengths) @ (low + (high - low) * jnp.asarray(x, jnp.float32).ravel())


def block_velocities(x: ArrayLike, block: Sequence[int], velocities: tuple[float, float]) -> Array:
    """The velocities of blocks of cells, each the inverse of the mean slowness of its cells.

    A block is what a survey resolves; a single cell of two facies has no mean to be sure of.

    Args:
        x: (rows, columns), in [0, 1].
        block: (rows, columns) of a block; rows and columns of cells that fill no block are left out.
        velocities: where x is 0 and where it is 1, in m/ns.

    Returns:
        (rows // block rows, columns // block columns) in m/ns, a smooth function of x.

    Raises:
        ValueError: a block that is empty or larger than the section.

    Example:
        >>> block_velocities([[0, 0, 1, 1, 0], [0, 0, 1, 1, 0]], (2, 2), (0.05, 0.1)).round(3)
        Array([[0.05, 0.1 ]], dtype=float32)
    """
    x = jnp.asarray(x, jnp.float32)
    if len(block) != 2 or any(not 1 <= b <= n for b, n in zip(block, x.shape, strict=False)):
        raise ValueError(f"block: found {tuple(block)} cells, expected 1 to {x.shape[0]} by 1 to {x.shape[1]}")
    (height, width), (rows, columns) = block, (n // b for b, n in zip(block, x.shape, strict=True))
    share = x[: rows * height, : columns * width].reshape(rows, height, columns, width).mean(axis=(1, 3))
    return 1 / ((1 - share) / velocities[0] + share / velocities[1])
