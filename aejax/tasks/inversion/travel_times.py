"""From travel times between boreholes to velocities: times that no ground gives are refused, the fit is judged."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Array, ArrayLike
from aejax.simulate import geology
from aejax.tasks.inversion.accuracy import approximation_error, quantities
from aejax.tasks.inversion.density import Problem, problem
from aejax.tasks.inversion.maxima import Optima, chain_starts, maximum_a_posteriori
from aejax.tasks.inversion.noise import heavy_tailed_weights, time_covariance, time_zero
from aejax.tasks.inversion.rays import Rays, travel_time_limits
from aejax.tasks.inversion.sampling import Posterior, posterior
from aejax.tasks.inversion.sections import Sections
from aejax.tasks.inversion.sentences import impossible_times, verdict_sentences
from aejax.tasks.inversion.velocities import block_velocities, cell_velocities, check_block
from aejax.tasks.inversion.verdict import Verdict, judge, usual
from aejax.training import Progress

_NUM_ROUNDS = 3
"""Of fitting, and of weighing rays by what the fit leaves over."""
_DRAWS_TO_JUDGE = 100


class TravelTimeInversion(NamedTuple):
    """What travel times say of the ground.

    Attributes:
        posterior: the draws.
        verdict: what is to be thought of the fit.
        warnings: the same in sentences; none where the data are explained.
        cells: from ``cell_velocities``.
        blocks: from ``block_velocities``.
        weight: (n,) how much each ray counted; 1 without heavy tails.
        time_zero: its mean and standard deviation in ns; 0 and 0 where it was known.
    """

    posterior: Posterior
    verdict: Verdict
    warnings: tuple[str, ...]
    cells: dict[str, np.ndarray]
    blocks: dict[str, np.ndarray]
    weight: np.ndarray
    time_zero: tuple[float, float]


def invert_travel_times(
    key: Array,
    sections: Sections,
    rays: Rays,
    *,
    noise: float,
    velocities: tuple[float, float] = (0.06, 0.08),
    cell: float = 0.1,
    block: int = 4,
    estimate_time_zero: bool = False,
    heavy_tails: bool = False,
    is_distance_known: bool = False,
    num_starts: int = 16,
    num_chains: int = 4,
    num_samples: int = 500,
    num_warmup: int = 300,
    notice: Callable[[str], None] = lambda text: None,  # noqa: ARG005
    progress: bool | Callable[[Progress], None] = False,
) -> TravelTimeInversion:
    """The velocities between boreholes that explain travel times, with intervals that allow for the decoder.

    Args:
        key: PRNG key.
        sections: what the ground looks like.
        rays: the Rays, inside the section.
        noise: standard deviation of a time, in ns.
        velocities: of facies 0 and 1, in m/ns.
        cell: side of a cell, in m.
        block: side of a block, in cells.
        estimate_time_zero: whether a time that all rays share is unknown too, whatever its size.
        heavy_tails: whether single times may be wrong: noise of Student's t distribution, see ``heavy_tailed_weights``.
        is_distance_known: whether the distance between the boreholes was measured.
        num_starts: of the search for maxima.
        num_chains: at least 2.
        num_samples: draws of each chain.
        num_warmup: steps of adaptation.
        notice: takes what a user should know.
        progress: as for ``posterior``.

    Returns:
        The TravelTimeInversion.

    Raises:
        ImportError: BlackJAX is not installed.
        ValueError: times that no ground of these velocities gives, or a block that does not fit.
    """
    check_block(block, sections)
    limits = travel_time_limits(rays, velocities, noise)
    sentence = impossible_times(rays, limits, velocities, noise, is_distance_known)
    is_explained_by_options = heavy_tails or estimate_time_zero
    if sentence and not is_explained_by_options:
        raise ValueError(sentence)
    lengths = geology.straight_rays(sections.patch_shape, cell, rays.source, rays.receiver)

    def observe(x: Array) -> Array:
        return geology.travel_times(lengths, x, velocities)

    start_key, draw_key, block_key, limit_key = jax.random.split(key, 4)
    error = approximation_error(sections.model, sections.variables, observe, sections.x, sections.z)
    a_ray = np.sqrt(np.diagonal(error.covariance).mean())
    notice(
        f"error of the decoder on {len(sections.x)} sections that it was not trained on: {a_ray:.2g} ns a ray, beside "
        f"{noise:g} ns of noise"
    )
    spread = float(np.max(rays.time)) if estimate_time_zero else 0.0
    measured = rays.time - error.mean

    def stated(weight: np.ndarray) -> Problem:
        covariance = time_covariance(error, noise, weight, spread)
        return problem(sections.model, sections.variables, observe, measured, covariance, sections.latent_dim)

    def predicted(z: ArrayLike) -> np.ndarray:
        return np.asarray(quantities(sections.model, observe, sections.variables, jnp.asarray(z)), float)

    weight = np.ones(len(measured))
    if heavy_tails:
        weight = heavy_tailed_weights(limits.excess(rays.time), error, noise, spread)
    start: Optima = maximum_a_posteriori(start_key, stated(weight), num_starts=num_starts, progress=progress)
    for _ in range(_NUM_ROUNDS if heavy_tails else 0):
        weight = heavy_tailed_weights(measured - predicted(start.z[:1])[0], error, noise, spread)
        start = maximum_a_posteriori(start_key, stated(weight), num_starts=num_starts, progress=progress)
    notice(
        f"highest of {num_starts} maxima: misfit {start.misfit[0]:.2f}; now {num_chains} chains adapt, then draw "
        f"{num_samples} sections each"
    )
    result = posterior(
        draw_key,
        stated(weight),
        start=chain_starts(start, num_chains),
        num_chains=num_chains,
        num_warmup=num_warmup,
        num_samples=num_samples,
        progress=progress,
    )
    draws = result.z.reshape(-1, sections.latent_dim)
    some = predicted(draws[:: -(-len(draws) // _DRAWS_TO_JUDGE)])
    covariance = time_covariance(error, noise, weight, spread)
    verdict = judge(
        stated(weight),
        start.z[0],
        float(result.misfit.mean()),
        usual(limit_key, error, covariance),
        some.mean(axis=0),
        covariance,
    )
    found = (0.0, 0.0)
    if estimate_time_zero:
        each, deviation = time_zero(measured - some, time_covariance(error, noise, weight), spread)
        found = (float(each.mean()), float(np.hypot(deviation, each.std())))
    return TravelTimeInversion(
        result,
        verdict,
        verdict_sentences(verdict, rays, weight),
        cell_velocities(sections, result.z, velocities),
        block_velocities(block_key, sections, result.z, velocities, block),
        weight,
        found,
    )
