"""Subspaces that hold maps in few numbers."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from aejax.base import Array, ArrayLike, Model, Variables
from aejax.models.subspaces import local_subspaces
from aejax.simulate.spectra import cutoff, widen

_PRIOR_MAPS = 400.0
_REACH = 0.3  # in log energy: a standard deviation, over which a map counts for a region
_SPARE_DIRECTIONS, _NUM_ITERATIONS = 10, 6


class Compression(NamedTuple):
    """A fitted model of maps.

    Attributes:
        model: any Model with an encoder and a decoder; from ``fit_compression`` a ``local_subspaces`` Model on the
            scale of square roots.
        variables: its variables.
    """

    model: Model
    variables: Variables


def fit_compression(
    key: Array,
    maps: ArrayLike,
    momentum: ArrayLike,
    energy: ArrayLike,
    *,
    num_numbers: int = 20,
    num_regions: int = 24,
    num_widened: int = 12000,
) -> Compression:
    """Principal subspaces of square roots of intensity, for each cut-off energy, of maps and a family around them.

    The given maps are widened (``aejax.simulate.spectra.widen``): every map is stretched to every cut-off, so that
    each region of cut-offs, evenly spaced in the logarithm, has subspaces made of all crystals rather than of the few
    that happen to lie there. Beside them count the maps themselves, each divided by its sum, and the more the nearer
    its cut-off lies to the region's: the widened maps of a region weigh together as much as 400 maps that lie there.
    Where there are few maps the stretching decides, which is a guess; where there are many, what they are like. Each
    basis is turned towards the one before it (orthogonal Procrustes; Schönemann 1966), so that coefficients change
    little from region to region and a place between two of them means something. No gradient is needed: the numbers
    come from singular vectors, and the same key gives the same.

    The defaults were chosen by five-fold cross-validation over the 25 crystals of notebook 13, where 12, 24 and 48
    regions differ by 0.002 in R²; more maps of other crystals (``aejax.simulate.phonons``) do more: add them to
    ``maps``.

    Args:
        key: PRNG key, of the widening.
        maps: (n, q, e) intensities, at least 0, complete: all maps of the crystals that are to be learned from,
            and none of those that the result is to be judged on.
        momentum: (q,) evenly spaced.
        energy: (e,) evenly spaced.
        num_numbers: numbers in a code: the region's, and the coefficients.
        num_regions: of cut-off energies.
        num_widened: maps to compute the subspaces from.

    Returns:
        The Compression; ``compress(compression, maps)`` gives codes, ``expand`` maps.

    Raises:
        ValueError: maps with negative or missing values, axes that do not fit them, or too few maps for a region.

    Example:
        >>> import jax
        >>> maps = np.random.default_rng(0).random((5, 6, 12))
        >>> momentum, energy = np.arange(1, 7), np.arange(1, 13)
        >>> key = jax.random.key(0)
        >>> compression = fit_compression(key, maps, momentum, energy, num_numbers=4, num_widened=300)
        >>> compression.variables["params"]["basis"].shape
        (24, 3, 6, 12)
    """
    maps, momentum, energy = check_maps(maps, momentum, energy)
    model = local_subspaces(maps.shape[1:], num_numbers, num_regions, scale="sqrt")
    num_directions = num_numbers - 1
    if num_widened < 2 * num_regions:
        raise ValueError(f"num_widened: found {num_widened}, expected at least {2 * num_regions}, two for each region")
    widened, cutoffs = widen(key, maps, momentum, energy, num_widened)
    y, given = (np.sqrt(array.reshape(len(array), -1)) for array in (widened, maps))
    given /= np.linalg.norm(given, axis=1, keepdims=True)
    place = np.log(cutoff(maps, energy))
    if num_directions > min(y.shape[1], num_widened // num_regions):
        raise ValueError(
            f"num_numbers: found {num_numbers}, expected at most {min(y.shape[1], num_widened // num_regions) + 1}: no "
            "more than there are elements or widened maps in a region"
        )
    regions = np.array_split(np.argsort(cutoffs), num_regions)
    bases: list[np.ndarray] = []
    for rows in regions:
        near = np.exp(-0.5 * ((place - np.log(cutoffs[rows]).mean()) / _REACH) ** 2)
        some = near > 1e-3
        both = np.concatenate([np.sqrt(_PRIOR_MAPS / len(rows)) * y[rows], np.sqrt(near[some, None]) * given[some]])
        basis = principal_directions(both.astype(np.float32), num_directions)
        if bases:
            left, _, right = np.linalg.svd(bases[-1] @ basis.T)
            basis = left @ right @ basis
        bases.append(basis)
    basis = np.stack(bases).reshape(num_regions, num_directions, *maps.shape[1:])
    return Compression(model, {"params": {"basis": jnp.asarray(basis, jnp.float32)}})


def check_maps(maps: ArrayLike, momentum: ArrayLike, energy: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maps and their axes as arrays that fit each other.

    Raises:
        ValueError: what does not fit, by name.
    """
    maps, momentum, energy = (np.asarray(array, np.float32) for array in (maps, momentum, energy))
    if maps.ndim != 3 or maps.shape[1:] != (momentum.size, energy.size) or not len(maps):
        raise ValueError(
            f"maps: found shape {maps.shape}, expected (n, {momentum.size}, {energy.size}) from momentum and energy"
            + ("; for spectra without momentum give maps[:, None] and a single momentum" if maps.ndim == 2 else "")
        )
    for name, axis in (("momentum", momentum), ("energy", energy)):
        steps = np.diff(axis)
        if name == "momentum" and axis.shape == (1,):
            continue
        if axis.ndim != 1 or axis.size < 2 or not (steps > 0).all() or np.ptp(steps) > 1e-2 * steps.mean():
            raise ValueError(f"{name}: found {axis[:3]}..., expected evenly spaced increasing numbers")
    if not np.isfinite(maps).all():
        raise ValueError(
            "maps: found missing or infinite values, expected complete maps to learn from; leave these maps out, or "
            "fill them by compress and expand of a compression learned on others"
        )
    if maps.min() < 0:
        raise ValueError(f"maps: found {maps.min():.3g}, expected intensities of at least 0; subtract less background")
    if not (maps.sum(axis=(1, 2)) > 0).all():
        raise ValueError("maps: found a map that is zero everywhere, expected some intensity; leave it out")
    return maps, momentum, energy


def principal_directions(y: np.ndarray, num: int) -> np.ndarray:
    """The leading right singular vectors of y, (num, elements), by subspace iteration (Halko et al. 2011, section 4.5).

    An eigendecomposition of either Gram matrix takes minutes where both maps and elements are thousands.
    """
    size = min(num + _SPARE_DIRECTIONS, *y.shape)
    basis = np.random.default_rng(0).standard_normal((y.shape[1], size)).astype(y.dtype)
    for _ in range(_NUM_ITERATIONS):
        basis = np.linalg.qr(y.T @ (y @ basis))[0]
    return np.linalg.svd(y @ basis, full_matrices=False)[2][:num] @ basis.T
