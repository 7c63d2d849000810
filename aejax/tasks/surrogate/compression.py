"""Compressing maps to few numbers, with codes that fit the decoder and not only the encoder."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax import losses
from aejax.base import Array, ArrayLike, Batch, Model, Variables, required
from aejax.data.batches import RowsLike
from aejax.models.subspaces import local_subspaces
from aejax.simulate.spectra import cutoff, widen
from aejax.tasks.reduction import check_encodes
from aejax.tasks.rows import over_rows

Error = Literal["intensity", "sqrt"]

_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-2, 1e-6, 1e6
_PRIOR_MAPS = 400.0
_REACH = 0.3  # in log energy: a standard deviation, over which a map counts for a region
_SPARE_DIRECTIONS, _NUM_ITERATIONS = 10, 6
_LEAST_INTENSITY = 1e-10  # of a map's largest
_ROWS_AT_A_TIME = 8  # Jacobians in memory


class Compression(NamedTuple):
    """A model of maps and its variables.

    Attributes:
        model: a ``local_subspaces`` Model on the scale of square roots.
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

    The maps at hand are widened (``aejax.simulate.spectra.widen``): every map is stretched to every cut-off, so that
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
        The Compression; ``compress(*compression, maps)`` gives codes, ``expand`` maps.

    Raises:
        ValueError: maps with negative or missing values, axes that do not fit them, or too few maps for a region.

    Example:
        >>> maps = np.random.default_rng(0).random((5, 6, 12))
        >>> momentum, energy = np.arange(1, 7), np.arange(1, 13)
        >>> key = jax.random.key(0)
        >>> model, variables = fit_compression(key, maps, momentum, energy, num_numbers=4, num_widened=300)
        >>> compress(model, variables, maps).shape
        (5, 4)
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
        basis = _principal_directions(both.astype(np.float32), num_directions)
        if bases:
            left, _, right = np.linalg.svd(bases[-1] @ basis.T)
            basis = left @ right @ basis
        bases.append(basis)
    basis = np.stack(bases).reshape(num_regions, num_directions, *maps.shape[1:])
    return Compression(model, {"params": {"basis": jnp.asarray(basis, jnp.float32)}})


def compress(
    model: Model, variables: Variables, x: RowsLike, *, error: Error = "sqrt", num_steps: int = 10
) -> np.ndarray:
    """Codes of maps: the encoder's, refined so that the decoder fits each map best.

    An encoder answers for all maps at once and is off for each by a little (the amortisation gap; Cremer, Li & Duvenaud
    2018). From its code on, Levenberg-Marquardt steps (Marquardt 1963) minimise the error of the decoder's output
    against the observed elements; a step that does not lessen it is not taken, so that on the observed elements, on the
    scale of ``error``, a code is never worse than the encoder's. Of the elements that are missing this says nothing:
    where much is, compare with ``num_steps=0`` on maps of which you know all. The unit of the maps does not matter.
    Works for any Model with an encoder and a decoder.

    Args:
        model: a fitted Model.
        variables: its variables.
        x: (n, *event), NaN where missing, or a Batch with conditions or a mask.
        error: ``"sqrt"`` for squared differences of square roots, which suit counts and give weak bands their weight;
            ``"intensity"`` for squared differences as they are, which any data allow.
        num_steps: of refinement; 0 leaves the encoder's codes.

    Returns:
        (n, d) codes; NaN for a row of which nothing is observed.

    Raises:
        ValueError: a GAN, rows that do not fit the model, negative values where square roots are asked for.

    Example:
        >>> from aejax.models import autoencoder
        >>> model = autoencoder((5,), 2)
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 5))))
        >>> compress(model, variables, np.ones((7, 5)), error="intensity").shape
        (7, 2)
    """
    return codes_and_metrics(model, variables, x, error=error, num_steps=num_steps)[0]


def codes_and_metrics(
    model: Model, variables: Variables, x: RowsLike, *, error: Error = "sqrt", num_steps: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """The codes of ``compress``, and what changing them costs: J'J, with the decoder's Jacobian on the error's scale.

    To first order a code that is off by dz adds dz'J'J dz to the squared error of its map over the observed elements.

    Args:
        model: a fitted Model.
        variables: its variables.
        x: as in ``compress``.
        error: as in ``compress``.
        num_steps: as in ``compress``.

    Returns:
        (n, d) codes and (n, d, d) metrics.

    Raises:
        ValueError: as in ``compress``.
    """
    check_encodes(model)
    if error not in ("intensity", "sqrt"):
        raise ValueError(f'error: found {error!r}, expected "intensity" or "sqrt"')
    if num_steps < 0:
        raise ValueError(f"num_steps: found {num_steps}, expected at least 0")
    rows = np.asarray(x.x if isinstance(x, Batch) else x)
    if error == "sqrt" and np.nanmin(rows, initial=0) < 0:
        raise ValueError(
            f'x: found {np.nanmin(rows):.3g}, expected at least 0 for square roots; give error="intensity" for '
            "data that may be negative"
        )
    return over_rows(_refine, model, variables, x, error=error, num_steps=num_steps)


def expand(model: Model, variables: Variables, z: ArrayLike, cond: ArrayLike | None = None) -> np.ndarray:
    """Maps of codes: the decoder, for any number of rows.

    Args:
        model: a fitted Model.
        variables: its variables.
        z: (n, d) codes, NaN where there is none.
        cond: (n, c) conditions, for a conditional model.

    Returns:
        (n, *event); NaN where the code is.

    Example:
        >>> model = local_subspaces((6,), 3)
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 6))))
        >>> expand(model, variables, np.zeros((4, 3))).shape
        (4, 6)
    """
    check_encodes(model)
    z = np.asarray(z, np.float32)
    maps = np.array(over_rows(_decode, model, variables, Batch(z, cond=cond)))  # type: ignore[arg-type]
    maps[np.isnan(z).any(axis=1)] = np.nan
    return maps


def through_components(train: ArrayLike, maps: ArrayLike, num_components: int) -> np.ndarray:
    """Maps through principal components of others: the plain answer that a compression is to be compared with.

    Args:
        train: (m, *event), complete.
        maps: (n, *event), complete.
        num_components: beside the mean; of few maps there are no more than one less than maps.

    Returns:
        (n, *event). On another scale, such as that of square roots, give both on it.

    Example:
        >>> rows = np.outer(np.arange(5.0), np.ones(3))
        >>> bool(np.allclose(through_components(rows[:3], rows, 1), rows, atol=1e-4))
        True
    """
    train, maps = np.asarray(train, np.float32), np.asarray(maps, np.float32)
    mean = train.mean(axis=0)
    directions = _principal_directions((train - mean).reshape(len(train), -1), min(num_components, len(train) - 1))
    return mean + ((maps - mean).reshape(len(maps), -1) @ directions.T @ directions).reshape(maps.shape)


def explained(maps: ArrayLike, reconstruction: ArrayLike, mean: ArrayLike, mask: ArrayLike | None = None) -> float:
    """R² = 1 - sum (x - x̂)² / sum (x - mean)², over all elements of all maps together.

    Args:
        maps: (n, *event).
        reconstruction: (n, *event).
        mean: (*event), the mean map of the training crystals: what would be said without looking; (n, *event) where
            maps were held out from different trainings.
        mask: (n, *event), True where observed; everything if None.

    Returns:
        R², at most 1.

    Example:
        >>> explained(np.array([[0.0, 2.0]]), np.array([[0.0, 1.0]]), np.array([1.0, 1.0]))
        0.5
    """
    maps, seen = np.asarray(maps, float), True if mask is None else np.asarray(mask, bool)
    left = np.sum(np.square(maps - reconstruction), where=seen)
    return float(1 - left / np.sum(np.square(maps - mean), where=seen))


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


def _principal_directions(y: np.ndarray, num: int) -> np.ndarray:
    """The leading right singular vectors of y, (num, elements), by subspace iteration (Halko et al. 2011, section 4.5).

    An eigendecomposition of either Gram matrix takes minutes where both maps and elements are thousands.
    """
    size = min(num + _SPARE_DIRECTIONS, *y.shape)
    basis = np.random.default_rng(0).standard_normal((y.shape[1], size)).astype(y.dtype)
    for _ in range(_NUM_ITERATIONS):
        basis = np.linalg.qr(y.T @ (y @ basis))[0]
    return np.linalg.svd(y @ basis, full_matrices=False)[2][:num] @ basis.T


def _refine(model: Model, variables: Variables, batch: Batch, *, error: Error, num_steps: int) -> tuple[Array, Array]:
    mask = losses.observed(batch)
    x = batch.x if mask is None else jnp.where(mask, batch.x, jnp.nan)
    z = required(model.encode, "encode")(variables, x, batch.cond).mean

    def refined(row: tuple[Array, Array, Array | None]) -> tuple[Array, Array]:
        x, z, cond = row
        seen = ~jnp.isnan(x)
        # The gradient of a square root is infinite at 0, where much of a map is.
        least = _LEAST_INTENSITY * jnp.max(jnp.where(seen, x, 0)) + jnp.finfo(x.dtype).tiny

        def transform(x: Array) -> Array:
            return jnp.sqrt(jnp.maximum(x, least)) if error == "sqrt" else x

        target = jnp.where(seen, transform(x), 0)

        def residual(z: Array) -> Array:
            given = None if cond is None else cond[None]
            decoded = required(model.decode, "decode")(variables, z[None], given)[0]
            return jnp.where(seen, target - transform(decoded), 0).ravel()

        def step(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
            z, damping, squares = carry
            left, jacobian = residual(z), jax.jacfwd(residual)(z)
            # Each number of the code by its own scale: a coefficient has the unit of the data, a region has none.
            sizes = jnp.linalg.norm(jacobian, axis=0)
            sizes = jnp.where(sizes > 0, sizes, 1)
            jacobian = jacobian / sizes[None, :]
            gram = jacobian.T @ jacobian + damping * jnp.eye(z.size, dtype=z.dtype)
            moved = z - jnp.linalg.solve(gram, jacobian.T @ left) / sizes
            now = jnp.sum(jnp.square(residual(moved)))
            better = now < squares
            damping = jnp.clip(jnp.where(better, damping / 4, damping * 6), _LEAST_DAMPING, _MOST_DAMPING)
            return (jnp.where(better, moved, z), damping, jnp.where(better, now, squares)), None

        begin = (z, jnp.asarray(_DAMPING, z.dtype), jnp.sum(jnp.square(residual(z))))
        z = jax.lax.scan(step, begin, None, length=num_steps)[0][0]
        jacobian = jax.jacfwd(residual)(z)
        return jnp.where(jnp.any(seen), z, jnp.nan), jacobian.T @ jacobian

    return jax.lax.map(refined, (x, z, batch.cond), batch_size=_ROWS_AT_A_TIME)


def _decode(model: Model, variables: Variables, batch: Batch) -> Array:
    return required(model.decode, "decode")(variables, batch.x, batch.cond)
