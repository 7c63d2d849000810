"""Velocities of cells and of blocks from draws of codes, with intervals that allow for the decoder."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Array, ArrayLike, required
from aejax.simulate import geology
from aejax.tasks.inversion.accuracy import quantities, truths_alike
from aejax.tasks.inversion.sections import Sections

_MOST_PICTURES = 100
_DRAWS_AT_ONCE = 256


def cell_velocities(
    sections: Sections, z: ArrayLike, velocities: tuple[float, float], level: float = 0.9
) -> dict[str, np.ndarray]:
    """Velocities of cells, each of which is of one facies or the other: their probability says all.

    Args:
        sections: the Sections.
        z: (..., latent_dim), draws from the posterior.
        velocities: of facies 0 and 1, in m/ns.
        level: of the interval.

    Returns:
        In m/ns, each (*patch_shape): mean, spread (standard deviation), low and high (the interval). Also the
        probability of facies 1, and draws, up to 100 sections of velocities.

    Example:
        >>> import jax
        >>> from aejax.base import Batch
        >>> from aejax.tasks.inversion.sections import section_vae
        >>> model = section_vae((5, 5), 2)
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 5, 5))))
        >>> sections = Sections(model, variables, (5, 5), 2, np.zeros((3, 5, 5)), np.zeros((3, 2)))
        >>> cell_velocities(sections, np.zeros((7, 2)), (0.06, 0.08))["mean"].shape
        (5, 5)
    """
    codes = np.asarray(z, np.float32).reshape(-1, sections.latent_dim)
    x = np.concatenate(list(_decoded(sections, codes)))
    probability = x.mean(axis=0, dtype=float)
    slow, fast = sorted(velocities)
    of_fast = probability if velocities[1] == fast else 1 - probability
    outside = (1 - level) / 2
    few = x[:: -(-len(x) // _MOST_PICTURES)]
    return {
        "mean": slow + of_fast * (fast - slow),
        "spread": np.sqrt(of_fast * (1 - of_fast)) * (fast - slow),
        "low": np.where(1 - of_fast > outside, slow, fast),
        "high": np.where(of_fast > outside, fast, slow),
        "probability": probability,
        "draws": 1 / ((1 - few) / velocities[0] + few / velocities[1]),
    }


def block_velocities(
    key: Array,
    sections: Sections,
    z: ArrayLike,
    velocities: tuple[float, float],
    block: int = 4,
    level: float = 0.9,
) -> dict[str, np.ndarray]:
    """What the draws of ``block_draws`` say of each block.

    Args:
        key: PRNG key, of the truths.
        sections: the Sections, whose held-out rows say what the decoder leaves out.
        z: (..., latent_dim), draws from the posterior.
        velocities: of facies 0 and 1, in m/ns.
        block: side of a block, in cells; cells below and to the right that fill no block belong to none.
        level: of the interval.

    Returns:
        In m/ns, each (rows // block, columns // block): block_mean, block_spread (standard deviation), block_low and
        block_high (the interval).

    Raises:
        ValueError: a block that does not fit.
    """
    draws = block_draws(key, sections, z, velocities, block)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {"block_mean": draws.mean(axis=0), "block_spread": draws.std(axis=0), "block_low": low, "block_high": high}


def block_draws(
    key: Array, sections: Sections, z: ArrayLike, velocities: tuple[float, float], block: int = 4
) -> np.ndarray:
    """Velocities of square blocks, the inverse of their mean slowness, with what the decoder leaves out of them.

    Each block of a draw is replaced by the truth of a block like it in the held-out rows. Inside a facies the decoder
    is nearly always right, and on an edge it is off by much: one error for both would be wrong twice.

    Args:
        key: PRNG key, of the truths.
        sections: the Sections, whose held-out rows say what the decoder leaves out.
        z: (..., latent_dim), draws from the posterior.
        velocities: of facies 0 and 1, in m/ns.
        block: side of a block, in cells; cells below and to the right that fill no block belong to none.

    Returns:
        (n, rows // block, columns // block) in m/ns, a row for each of the n draws, chains joined.

    Raises:
        ValueError: a block that does not fit.
    """
    check_block(block, sections)

    def quantity(x: Array) -> Array:
        return geology.block_velocities(x, (block, block), velocities).ravel()

    def predicted(z: ArrayLike) -> np.ndarray:
        codes = jnp.asarray(z, jnp.float32).reshape(-1, sections.latent_dim)
        return np.asarray(quantities(sections.model, quantity, sections.variables, codes))

    truth = np.asarray(jax.vmap(quantity)(jnp.asarray(sections.x, jnp.float32)))
    draws = truths_alike(key, predicted(z), predicted(sections.z), truth)
    return draws.reshape(-1, *(size // block for size in sections.patch_shape))


def check_block(block: int, sections: Sections) -> None:
    """Refuses blocks of a single cell, and those that no section holds.

    Raises:
        ValueError: such a block.
    """
    narrower = min(sections.patch_shape)
    if not 2 <= block <= narrower:
        raise ValueError(f"block: found {block} cells, expected 2 to {narrower}, the narrower side of a section")


def _decoded(sections: Sections, codes: np.ndarray) -> Iterator[np.ndarray]:
    decode = required(sections.model.decode, "decode")
    for begin in range(0, len(codes), _DRAWS_AT_ONCE):
        yield np.asarray(decode(sections.variables, jnp.asarray(codes[begin : begin + _DRAWS_AT_ONCE])))
