"""Subspaces that hold maps in few numbers."""

import warnings

import jax.numpy as jnp
import numpy as np

from aejax.base import Array, ArrayLike
from aejax.models.subspaces import local_subspaces
from aejax.simulate.spectra import cutoff, widen
from aejax.tasks.surrogate.codes import Compression, expand, observed_codes
from aejax.tasks.surrogate.observed import Observed, completed, observe, product_of_profiles

_PRIOR_MAPS = 400.0
_REACH = 0.3  # in log energy: a standard deviation, over which a map counts for a region
_WEIGHT_OF_INTENSITY = 1.0  # of its errors, beside those of square roots, in what subspaces are to hold
_SPARE_DIRECTIONS, _NUM_ITERATIONS = 10, 6
_TINY = float(np.finfo(np.float32).tiny)
_NUM_COMPLETIONS = 2  # the third changes little
_SHARE_WIDENED = 0.25  # of the maps, for subspaces that only complete maps


def fit_compression(
    key: Array,
    maps: ArrayLike,
    momentum: ArrayLike,
    energy: ArrayLike,
    *,
    errors: ArrayLike | None = None,
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
    little from region to region and a place between two of them means something. Errors of pixels that are bright in a
    region count more, since subspaces are to hold intensity as well. No gradient is needed: the numbers come from
    singular vectors, and the same key gives the same.

    Pixels may be missing, and may be noise below 0. Such maps are completed first: by subspaces learned from a rough
    guess, then by those learned from the completed maps, as in expectation maximisation for principal components
    (Roweis 1998). A pixel is then what was observed or what the subspaces say, as its error and their misfit decide.

    The defaults were chosen by five-fold cross-validation over the 25 crystals of notebook 13, where 12, 24 and 48
    regions differ by 0.002 in R²; more maps of other crystals (``aejax.simulate.phonons``) do more: add them to
    ``maps``.

    Args:
        key: PRNG key, of the widening.
        maps: (n, q, e) intensities, NaN or masked where a pixel is missing: all maps of the crystals that are to be
            learned from, and none of those that the result is to be judged on.
        momentum: (q,) evenly spaced.
        energy: (e,) evenly spaced.
        errors: (n, q, e), the standard deviation of each pixel; 0 where it is missing. None takes maps as exact, or,
            where some of it lies below 0, as noisy by so much.
        num_numbers: numbers in a code: the region's, and the coefficients.
        num_regions: of cut-off energies.
        num_widened: maps to compute the subspaces from.

    Returns:
        The Compression; ``compress(compression, maps)`` gives codes, ``expand`` maps.

    Raises:
        ValueError: maps without intensity or with infinite values, axes that do not fit them, or too few maps for a
            region.

    Warns:
        UserWarning: values below 0 without errors, errors of 0, and pixels that no map observed.

    Example:
        >>> import jax
        >>> maps = np.random.default_rng(0).random((5, 6, 12))
        >>> momentum, energy = np.arange(1, 7), np.arange(1, 13)
        >>> key = jax.random.key(0)
        >>> compression = fit_compression(key, maps, momentum, energy, num_numbers=4, num_widened=300)
        >>> compression.variables["params"]["basis"].shape
        (24, 3, 6, 12)
    """
    observed, momentum, energy = check_maps(maps, momentum, energy, errors)
    return fit_observed(key, observed, momentum, energy, num_numbers, num_regions, num_widened)


def fit_observed(
    key: Array,
    observed: Observed,
    momentum: np.ndarray,
    energy: np.ndarray,
    num_numbers: int,
    num_regions: int,
    num_widened: int,
) -> Compression:
    """``fit_compression`` of maps that were checked."""
    if observed.errors is None and not np.isnan(observed.maps).any():
        return _subspaces(key, observed.maps, momentum, energy, num_numbers, num_regions, num_widened)
    num_fewer = min(max(int(_SHARE_WIDENED * num_widened), num_regions * max(num_numbers, 2)), num_widened)
    maps = completed(observed, product_of_profiles(observed.maps))
    for _ in range(_NUM_COMPLETIONS):
        compression = _subspaces(key, maps, momentum, energy, num_numbers, num_regions, num_fewer)
        maps = completed(observed, expand(compression, observed_codes(compression, observed)[0]))
    return _subspaces(key, maps, momentum, energy, num_numbers, num_regions, num_widened)


def _subspaces(
    key: Array,
    maps: np.ndarray,
    momentum: np.ndarray,
    energy: np.ndarray,
    num_numbers: int,
    num_regions: int,
    num_widened: int,
) -> Compression:
    """The Compression of complete maps."""
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
    whitening: list[np.ndarray] = []
    for rows in regions:
        near = np.exp(-0.5 * ((place - np.log(cutoffs[rows]).mean()) / _REACH) ** 2)
        some = near > 1e-3
        both = np.concatenate([np.sqrt(_PRIOR_MAPS / len(rows)) * y[rows], np.sqrt(near[some, None]) * given[some]])
        basis = _directions_of_maps(both.astype(np.float32), num_directions)
        if bases:
            left, _, right = np.linalg.svd(bases[-1] @ basis.T)
            basis = left @ right @ basis
        bases.append(basis)
        whitening.append(_whitening(both @ basis.T / max(np.linalg.norm(both), _TINY)))
    basis = np.stack(bases).reshape(num_regions, num_directions, *maps.shape[1:])
    variables = {"params": {"basis": jnp.asarray(basis, jnp.float32)}}
    return Compression(model, variables, np.stack(whitening).astype(np.float32))


def _directions_of_maps(y: np.ndarray, num: int) -> np.ndarray:
    """Orthonormal directions (num, elements) for roots y of maps that serve both the roots and the intensity.

    An error of a root is one of intensity times twice the root. So squares of errors of roots weigh by 1, plus the
    square of what roots the pixel has, in units of the mean one: bright spots have directions of their own, and dark
    pixels count as ever.
    """
    level = np.sqrt(np.mean(np.square(y), axis=0))
    weight = np.hypot(1, _WEIGHT_OF_INTENSITY * level / max(level.mean(), _TINY)).astype(y.dtype)
    return np.linalg.qr((principal_directions(y * weight, num) / weight).T)[0].T


def _whitening(coefficients: np.ndarray) -> np.ndarray:
    """The inverse root of C'C, for (n, c) coefficients C: the symmetric one, which follows as bases turn."""
    values, vectors = np.linalg.eigh(coefficients.T @ coefficients)
    return np.asarray(vectors / np.sqrt(np.maximum(values, np.finfo(np.float32).eps)) @ vectors.T)


def check_maps(
    maps: ArrayLike, momentum: ArrayLike, energy: ArrayLike, errors: ArrayLike | None = None
) -> tuple[Observed, np.ndarray, np.ndarray]:
    """Maps to learn from and their axes as arrays that fit each other.

    Raises:
        ValueError: what does not fit, by name.
    """
    momentum, energy = (np.asarray(axis, np.float32) for axis in (momentum, energy))
    shape = np.shape(maps)
    if len(shape) != 3 or shape[1:] != (momentum.size, energy.size) or not shape[0]:
        raise ValueError(
            f"maps: found shape {shape}, expected (n, {momentum.size}, {energy.size}) from momentum and energy"
            + _shape_remedy(shape, momentum, energy)
        )
    for name, axis in (("momentum", momentum), ("energy", energy)):
        steps = np.diff(axis)
        if name == "momentum" and axis.shape == (1,):
            continue
        if axis.ndim != 1 or axis.size < 2 or not (steps > 0).all() or np.ptp(steps) > 1e-2 * steps.mean():
            raise ValueError(f"{name}: found {axis[:3]}..., expected evenly spaced increasing numbers")
    observed = observe(maps, errors)
    seen = np.isfinite(observed.maps)
    if not seen.any(axis=(1, 2)).all():
        empty = np.flatnonzero(~seen.any(axis=(1, 2)))
        raise ValueError(
            f"maps: found {len(empty)} of which nothing is observed, the first in row {empty[0]}; leave these out"
        )
    never = ~seen.any(axis=0)
    if never.any():
        warnings.warn(
            f"maps: found {never.mean():.1%} of the pixels in none of the maps; what is said of them is extrapolated",
            stacklevel=3,
        )
    return observed, momentum, energy


def _shape_remedy(shape: tuple[int, ...], momentum: np.ndarray, energy: np.ndarray) -> str:
    if len(shape) == 2:
        return "; for spectra without momentum give maps[:, None] and a single momentum"
    if len(shape) != 3:
        return ""
    too_long = [
        name
        for name, axis, size in (("momentum", momentum, shape[1]), ("energy", energy, shape[2]))
        if axis.size == size + 1
    ]
    return "".join(
        f"; {name} seems to be edges of bins: give their centres, ({name}[1:] + {name}[:-1]) / 2" for name in too_long
    )


def principal_directions(y: np.ndarray, num: int) -> np.ndarray:
    """The leading right singular vectors of y, (num, elements), by subspace iteration (Halko et al. 2011, section 4.5).

    An eigendecomposition of either Gram matrix takes minutes where both maps and elements are thousands.
    """
    size = min(num + _SPARE_DIRECTIONS, *y.shape)
    basis = np.random.default_rng(0).standard_normal((y.shape[1], size)).astype(y.dtype)
    for _ in range(_NUM_ITERATIONS):
        basis = np.linalg.qr(y.T @ (y @ basis))[0]
    return np.linalg.svd(y @ basis, full_matrices=False)[2][:num] @ basis.T
