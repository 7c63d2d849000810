"""Maps of intensity over momentum and energy transfer: how they are stretched, and a wider family made of them."""

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Array, ArrayLike

# Where stretched maps may have their highest band, in units of the largest energy: most of what solids have.
_LOWEST_CUTOFF, _HIGHEST_CUTOFF = 0.05, 1.05
_CUTOFF_SHARE = 0.95
_CUTOFF_REACH = 0.6  # how far, in log energy, a map is stretched as a rule
_JITTER = 0.1  # of the logarithms of energy and momentum, beside the stretch to a cut-off
_SHARE_MIXED = 0.3
_BLOCK = 512


def cutoff(maps: ArrayLike, energy: ArrayLike) -> np.ndarray:
    """The energy under which 95 % of the first moment of the intensity lies: where the highest strong band ends.

    The first moment, since the Bose factor puts most of the intensity itself at low energies. Energy gain counts as
    loss does, by its size |E|: an axis may begin below 0.

    Args:
        maps: (n, q, e) intensities, at least 0.
        energy: (e,) centres of bins, evenly spaced and increasing.

    Returns:
        (n,), in the unit of ``energy``.

    Example:
        >>> maps = np.zeros((1, 2, 4)); maps[:, :, 1] = 1
        >>> float(cutoff(maps, np.array([1.0, 3.0, 5.0, 7.0]))[0])
        3.9
    """
    maps, energy = np.asarray(maps, float), np.asarray(energy, float)
    half = (energy[1] - energy[0]) / 2
    size = np.abs(energy)
    outwards = np.argsort(size, kind="stable")
    size = size[outwards]
    moment = np.cumsum(maps.sum(axis=1)[:, outwards] * size, axis=1)
    share = moment / np.maximum(moment[:, -1:], np.finfo(float).tiny)
    edges = np.append(size[0] - half, size + half)
    return np.array([np.interp(_CUTOFF_SHARE, np.append(0, row), edges) for row in share])


@jax.jit
def stretch(maps: Array, momentum: Array, energy: Array, momentum_factor: Array, energy_factor: Array) -> Array:
    """Maps with their axes stretched, linearly interpolated: what was at (Q, E) is then at (a Q, b E).

    Force constants times f stretch the energies of harmonic phonons by sqrt(f); a lattice that shrinks stretches Q.

    Args:
        maps: (n, q, e).
        momentum: (q,) evenly spaced; a single one, for spectra, is not stretched.
        energy: (e,) evenly spaced.
        momentum_factor: (n,), a.
        energy_factor: (n,), b.

    Returns:
        (n, q, e): beyond the ends of the momentum axis its end value; beyond the largest energy 0, and below the
        smallest one 0 if it is negative, and its end value otherwise.

    Example:
        >>> axis = jnp.arange(1.0, 4.0)
        >>> stretch(jnp.array([[[1.0, 3.0, 5.0]] * 3]), axis, axis, jnp.ones(1), 2 * jnp.ones(1))[0, 0]
        Array([1., 1., 2.], dtype=float32)
    """

    def along(axis: Array, factor: Array) -> tuple[Array, Array, Array]:
        place = (axis / factor - axis[0]) / (axis[1] - axis[0])
        left = jnp.clip(jnp.floor(place).astype(int), 0, axis.shape[0] - 2)
        inside = (place <= axis.shape[0] - 1) & ((place >= 0) | (axis[0] >= 0))
        return left, jnp.clip(place - left, 0, 1), inside

    def one(image: Array, momentum_factor: Array, energy_factor: Array) -> Array:
        left, share, inside = along(energy, energy_factor)
        inside, share = inside[None, :], share[None, :]
        image = jnp.where(inside, image[:, left] * (1 - share) + image[:, left + 1] * share, 0)
        if momentum.shape[0] == 1:
            return image
        left, share, _ = along(momentum, momentum_factor)
        return image[left] * (1 - share)[:, None] + image[left + 1] * share[:, None]

    return jax.vmap(one)(maps, momentum_factor, energy_factor)


def widen(
    key: Array, maps: ArrayLike, momentum: ArrayLike, energy: ArrayLike, num_maps: int
) -> tuple[np.ndarray, np.ndarray]:
    """A wider family of maps: stretched to any cut-off, jittered, and mixed with one another.

    Each new map is a given one whose energies are stretched so that its cut-off falls where it was drawn (uniform in
    the logarithm; near maps are preferred), with Q and E stretched by some 10 % more; three in ten are convex mixtures
    of two. Each has a sum of 1. This replaces crystals that the data lack: other masses and bonds stretch
    energies, other lattices stretch Q.

    Args:
        key: PRNG key.
        maps: (n, q, e) intensities, at least 0, complete.
        momentum: (q,) evenly spaced.
        energy: (e,) evenly spaced.
        num_maps: how many to make.

    Returns:
        The maps, (num_maps, q, e) float32, and the cut-off each was stretched to, (num_maps,).

    Example:
        >>> maps, cutoffs = widen(jax.random.key(0), np.ones((3, 4, 8)), np.arange(1, 5), np.arange(1, 9), 10)
        >>> maps.shape, cutoffs.shape
        ((10, 4, 8), (10,))
    """
    maps = np.asarray(maps, np.float32)
    momentum, energy = np.asarray(momentum, np.float32), np.asarray(energy, np.float32)
    given = cutoff(maps, energy)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    target = energy[-1] * np.exp(rng.uniform(np.log(_LOWEST_CUTOFF), np.log(_HIGHEST_CUTOFF), num_maps))

    def draw(target: np.ndarray) -> np.ndarray:
        distance = np.log(target[:, None] / given)
        # Gumbel's trick draws each row from its own weights.
        chosen = np.argmax(-0.5 * (distance / _CUTOFF_REACH) ** 2 + rng.gumbel(size=distance.shape), axis=1)
        jitter = np.exp(rng.uniform(-_JITTER, _JITTER, (2, len(target))))
        factors = jitter[0], target / given[chosen] * jitter[1]
        blocks = [
            stretch(maps[chosen[block]], momentum, energy, *(jnp.asarray(f[block], jnp.float32) for f in factors))
            for block in np.array_split(np.arange(len(target)), -(-len(target) // _BLOCK))
        ]
        return _normalised(np.concatenate([np.asarray(block) for block in blocks]))

    widened = draw(target)
    mixed = np.flatnonzero(rng.random(num_maps) < _SHARE_MIXED)
    if len(mixed):
        share = rng.random((len(mixed), 1, 1), np.float32)
        widened[mixed] = share * widened[mixed] + (1 - share) * draw(target[mixed])
    return widened, target


def _normalised(maps: np.ndarray) -> np.ndarray:
    return maps / np.maximum(maps.sum(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)
