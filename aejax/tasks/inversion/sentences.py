"""What is wrong with travel times, in sentences: which rays, what they have in common, what to do."""

from collections.abc import Iterator

import numpy as np

from aejax.tasks.inversion.rays import Explanation, Limits, Rays, explanations
from aejax.tasks.inversion.verdict import Verdict

_MOST_ROWS = 5
_FEW = 0.1
"""Share of the rays up to which they are named one by one, as if each had an error of its own."""
_HARDLY = 0.1
"""Weight below which a ray hardly counts."""
_REMEDIES = {
    "unit": "times in {unit} (--time-unit {unit})",
    "time zero": "a time zero of {low:.3g} to {high:.3g} ns (--estimate-time-zero)",
    "distance": "boreholes {low:.3g} to {high:.3g} m apart (columns source_x and receiver_x)",
}


def impossible_times(
    rays: Rays, limits: Limits, velocities: tuple[float, float], noise: float, is_distance_known: bool
) -> str:
    """What is wrong with times that no ground of two velocities gives; nothing if all are possible.

    Example:
        >>> from aejax.tasks.inversion.rays import travel_time_limits
        >>> depth = np.arange(1.0, 21.0)
        >>> ends = [np.column_stack([depth, np.full(20, x)]) for x in (0.0, 3.0)]
        >>> rays = Rays(*ends, np.where(depth == 7, 90.0, 45.0))
        >>> print(impossible_times(rays, travel_time_limits(rays, (0.06, 0.08), 0.5), (0.06, 0.08), 0.5, False))
        travel_time: found 1 of 20 that no ground of 0.06 to 0.08 m/ns gives, too late: row 7 (source 7 m, receiver ...
    """
    excess = limits.excess(rays.time)
    is_wrong = excess != 0
    if not is_wrong.any():
        return ""
    slow, fast = sorted(velocities)
    apparent = rays.distance / rays.time
    found = explanations(rays, velocities, noise, is_distance_known)
    number = int(is_wrong.sum())
    text = f"travel_time: found {number} of {len(excess)} that no ground of {slow:g} to {fast:g} m/ns gives, "
    text += _side(excess[is_wrong])
    if number > _FEW * len(excess):
        text += (
            f": distance over time is {apparent.min():.3g} to {apparent.max():.3g} m/ns{_in_common(rays, is_wrong)}, "
            f"expected {slow:g} to {fast:g}"
        )
    else:
        rows = [
            f"row {i + 1} ({_ends(rays, i)}): {rays.time[i]:.4g} ns, expected {limits.earliest[i]:.3g} to "
            f"{limits.latest[i]:.3g}"
            for i in _worst(excess)
        ]
        text += f": {'; '.join(rows)}{_in_common(rays, is_wrong)}"
    return f"{text}; {_remedy(found, number / len(excess))}"


def verdict_sentences(verdict: Verdict, rays: Rays, weight: np.ndarray) -> tuple[str, ...]:
    """What a user should know of a fit; nothing if the data are explained.

    Args:
        verdict: the Verdict.
        rays: the Rays.
        weight: (n,) how much each counted.

    Returns:
        The sentences.
    """
    return tuple(_of_verdict(verdict, rays, weight))


def _of_verdict(verdict: Verdict, rays: Rays, weight: np.ndarray) -> Iterator[str]:
    hardly = weight < _HARDLY
    if hardly.any():
        rows = ", ".join(str(i + 1) for i in np.nonzero(hardly)[0][:_MOST_ROWS])
        more = " and others" if hardly.sum() > _MOST_ROWS else ""
        yield f"{int(hardly.sum())} of {len(weight)} rays hardly count, rows {rows}{more}{_in_common(rays, hardly)}"
    if verdict.misfit > verdict.most:
        yield (
            f"the data are not explained: misfit {verdict.misfit:.2f}, expected at most {verdict.most:.2f}; intervals "
            "are not to be believed"
        )
    for name in verdict.stands_out:
        yield _EFFECTS[name].format(*getattr(verdict, name), *(100 * part for part in getattr(verdict, name)))
    if verdict.is_off.any():
        which = [
            f"row {i + 1} ({_ends(rays, i)}): {abs(verdict.residual[i]):.3g} ns too "
            f"{'late' if verdict.residual[i] > 0 else 'early'}"
            for i in _worst(np.where(verdict.is_off, verdict.residual, 0))
        ]
        remedy = "" if verdict.stands_out else "; leave such rows out, or give --heavy-tails"
        yield (
            f"{int(verdict.is_off.sum())} of {len(weight)} times do not fit the others, {'; '.join(which)}"
            f"{_in_common(rays, verdict.is_off)}{remedy}"
        )


_EFFECTS = {
    "shift": "all times are {0:.2f} ± {1:.2f} ns too late: is the time zero right? --estimate-time-zero",
    "factor": "all times are {2:.1f} ± {3:.1f} % too long: are the positions of the boreholes and --velocities right?",
}


def _remedy(found: list[Explanation], share: float) -> str:
    if found:
        return "explained by " + ", or ".join(_REMEDIES[one.of].format(**one._asdict()) for one in found)
    if share <= _FEW:
        return "leave such rows out, or give --heavy-tails, which allows single times to be wrong"
    return "correct the positions, the times or --velocities"


def _side(excess: np.ndarray) -> str:
    late = (excess > 0).mean()
    return "too late" if late == 1 else "too early" if late == 0 else "too late or too early"


def _worst(excess: np.ndarray) -> list[int]:
    order = np.argsort(-np.abs(excess), kind="stable")[:_MOST_ROWS]
    return [int(i) for i in order if excess[i] != 0]


def _ends(rays: Rays, row: int) -> str:
    return f"source {rays.source[row, 0]:g} m, receiver {rays.receiver[row, 0]:g} m"


def _in_common(rays: Rays, is_wrong: np.ndarray) -> str:
    """The source or receiver that all of several rays have and few others, or that they are the steepest ones."""
    if is_wrong.sum() < 2 or is_wrong.all():
        return ""
    for name, ends in (("source", rays.source), ("receiver", rays.receiver)):
        depth = ends[:, 0]
        first = depth[is_wrong.argmax()]
        if (depth[is_wrong] == first).all() and is_wrong[depth == first].mean() > 0.5:
            return f"; all have the {name} at {first:g} m"
    down, across = np.abs(rays.receiver - rays.source).T
    steepness = np.degrees(np.arctan2(down, across))
    if steepness[is_wrong].min() > steepness[~is_wrong].max():
        return f"; all are steeper than {steepness[~is_wrong].max():.0f} degrees, and no others are"
    return ""
