"""Interpolation between grids, as layers without parameters."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from aejax.base import Array, Variables
from aejax.kernels.recipes import remembered
from aejax.nets.network import Network


@remembered
def resize(spatial: Sequence[int], resized: Sequence[int]) -> Network:
    """Linear interpolation onto a finer grid, its transpose onto a coarser one: a layer without parameters.

    The corner points of both grids coincide. Onto a coarser grid each value is a mean of those around it, weighted by a
    tent; the other way round values between grid points lie on straight lines, so that an edge, where a field of
    logits crosses zero, can fall anywhere between them.

    Args:
        spatial: sizes of the input's spatial axes, each at least 2.
        resized: those of the output, all at least as large or all at most as large.

    Returns:
        The Network, (n, *spatial) -> (n, *resized).

    Raises:
        ValueError: sizes that are not as above.

    Example:
        >>> up = resize((3,), (5,))
        >>> up.apply({}, jnp.array([[0.0, 2.0, 0.0]]))[0]
        Array([[0., 1., 2., 1., 0.]], dtype=float32)
    """
    pairs = list(zip(spatial, resized, strict=False))
    is_finer = all(b >= a for a, b in pairs)
    if len(spatial) != len(resized) or min(*spatial, *resized) < 2 or not (is_finer or all(b <= a for a, b in pairs)):
        raise ValueError(
            f"resized: found {tuple(resized)} from {tuple(spatial)}, expected as many axes, all finer or all coarser"
        )
    if is_finer:
        weights = [_interpolation(a, b) for a, b in pairs]
    else:
        weights = [_interpolation(b, a).T for a, b in pairs]
        weights = [weight / weight.sum(axis=1, keepdims=True) for weight in weights]
    # The axis that changes the size of what follows least goes first in both directions.
    order = range(len(pairs)) if is_finer else range(len(pairs))[::-1]

    def apply(
        collections: Variables, x: Array, cond: Array | None = None, key: Array | None = None, train: bool = False
    ) -> tuple[Array, Variables]:
        del collections, cond, key, train
        for axis in order:
            x = jnp.moveaxis(jnp.tensordot(x, weights[axis], ((axis + 1,), (1,))), -1, axis + 1)
        return x, {}

    return Network(lambda *_: {}, apply)


def _interpolation(num_coarse: int, num_fine: int) -> np.ndarray:
    """(num_fine, num_coarse) weights of linear interpolation between grids whose ends coincide."""
    position = np.linspace(0, num_coarse - 1, num_fine)
    return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(num_coarse))).astype(np.float32)
