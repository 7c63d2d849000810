"""Travel times that no ground gives, before any is inverted: distance over time beside the velocities."""

from typing import NamedTuple

import numpy as np
from jax.scipy.special import ndtri

from aejax.base import ArrayLike

_CHANCE = 1e-3
"""Of a survey without fault, that noise makes one of its times impossible."""
_MOST = 0.9
"""Share of the rays that an explanation must make possible."""
_UNITS = {"s": 1e9, "ms": 1e6, "us": 1e3, "ps": 1e-3}


class Rays(NamedTuple):
    """Measured travel times, one a ray.

    Attributes:
        source: (n, 2) depth and distance in m, from the upper left corner of the section.
        receiver: (n, 2), likewise.
        time: (n,) in ns.
    """

    source: np.ndarray
    receiver: np.ndarray
    time: np.ndarray

    @property
    def distance(self) -> np.ndarray:
        """(n,) from source to receiver, in m."""
        return np.asarray(np.linalg.norm(self.receiver - self.source, axis=1))


class Limits(NamedTuple):
    """Between which a travel time lies, noise included, if the ray is straight and the ground of two velocities.

    Attributes:
        earliest: (n,) in ns.
        latest: (n,) in ns.
    """

    earliest: np.ndarray
    latest: np.ndarray

    def excess(self, time: ArrayLike) -> np.ndarray:
        """(n,) ns beyond the limits: positive if too late, negative if too early, else 0."""
        return np.maximum(time - self.latest, 0) - np.maximum(self.earliest - time, 0)


class Explanation(NamedTuple):
    """What would make the times possible.

    Attributes:
        of: "unit", "time zero" or "distance".
        low: least value that does: of the time zero in ns, of the distance between the boreholes in m.
        high: largest value.
        unit: s, ms, us or ps.
    """

    of: str
    low: float = np.nan
    high: float = np.nan
    unit: str = ""


def travel_time_limits(rays: Rays, velocities: tuple[float, float], noise: float) -> Limits:
    """The times of a ground that is all fast, and of one that is all slow, noise allowed for.

    Args:
        rays: the Rays.
        velocities: of facies 0 and 1, in m/ns.
        noise: standard deviation of a time, in ns. As many are allowed as one survey in a thousand exceeds.

    Returns:
        The Limits.

    Example:
        >>> rays = Rays(np.array([[1.0, 0.0]]), np.array([[1.0, 3.0]]), np.array([70.0]))
        >>> limits = travel_time_limits(rays, (0.06, 0.08), noise=1.0)
        >>> limits.excess(rays.time).round(1)
        array([16.7])
    """
    slack = noise * float(-ndtri(0.5 * _CHANCE / len(rays.time)))
    return Limits(rays.distance / max(velocities) - slack, rays.distance / min(velocities) + slack)


def explanations(
    rays: Rays, velocities: tuple[float, float], noise: float, is_distance_known: bool = False
) -> list[Explanation]:
    """What one value for all rays would make nine in ten of them possible: another unit, time zero or distance.

    Args:
        rays: the Rays.
        velocities: of facies 0 and 1, in m/ns.
        noise: standard deviation of a time, in ns.
        is_distance_known: whether the distance between the boreholes was measured, and is no explanation.

    Returns:
        The explanations, which may be several, or none; none that are the values of the rays as they are.

    Example:
        >>> depth = np.linspace(0.5, 4, 8)
        >>> ends = [np.column_stack([depth, np.full(8, x)]) for x in (0.0, 3.0)]
        >>> explanations(Rays(*ends, np.full(8, 45e-9)), (0.06, 0.08), 0.5)[0].unit
        's'
    """
    limits = travel_time_limits(rays, velocities, noise)
    for unit, factor in _UNITS.items():
        if np.mean(limits.excess(rays.time * factor) == 0) >= _MOST:
            return [Explanation("unit", unit=unit)]
    time_zero = _in_most(rays.time - limits.latest, rays.time - limits.earliest, 0.0)
    found = [Explanation("time zero", *time_zero)] if time_zero else []
    if not is_distance_known:
        slack = limits.latest - rays.distance / min(velocities)
        down, across = (rays.receiver - rays.source).T
        low, high = (
            np.square(np.maximum(rays.time + side * slack, 0) * velocity) - down**2
            for side, velocity in ((-1, min(velocities)), (1, max(velocities)))
        )
        squared = _in_most(low, high, float(np.mean(across**2)))
        found += [Explanation("distance", *np.sqrt(np.maximum(squared, 0)))] if squared else []
    return found


def _in_most(low: np.ndarray, high: np.ndarray, now: float) -> tuple[float, float] | None:
    """From where to where a value lies in as many intervals as it can; None if these are few, or it may be as now."""
    number = np.searchsorted(np.sort(low), low, side="right") - np.searchsorted(np.sort(high), low, side="left")
    begin = low[number.argmax()]
    end = high[high >= begin].min()
    return None if number.max() < _MOST * len(low) or begin <= now <= end else (float(begin), float(end))
