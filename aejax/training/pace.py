"""How long a part of a run is, between two looks at the host's concerns."""

import functools

from aejax.base import Algorithm
from aejax.training.plans import Plan

# A part ends about this often: seldom enough to cost nothing, often enough for a bar that moves and for Ctrl-C.
_SECONDS_PER_PART = 0.5
# A part grows by this factor at most, so that one wrong measurement does not make it last for minutes.
_GROWTH = 8


class Pace:
    """How many steps, and blocks of validation rows, take about half a second. It learns from each part."""

    def __init__(self, plan: Plan):
        self._plan, self._steps, self._blocks = plan, 1, 1

    def next_part(self, step: int) -> tuple[int, int]:
        """The step to stop at, counted from the run's first one, and the most blocks of validation rows before that."""
        per_epoch = self._plan.steps_per_epoch
        until = min(step + self._steps, self._plan.num_steps)
        # What is computed ahead for a block of steps is computed again where an epoch is cut: better between epochs.
        last_end = until // per_epoch * per_epoch
        next_end = (step // per_epoch + 1) * per_epoch
        if last_end > step:
            until = last_end
        elif next_end - step <= 2 * self._steps:
            until = min(next_end, self._plan.num_steps)  # at the last end blocks of validation rows may be left
        return until, self._blocks

    def measure(self, seconds: float, num_steps: int, has_validated: bool) -> None:
        """Learns from a part. One that compiles makes the next one short.

        Args:
            seconds: how long it took.
            num_steps: the steps done.
            has_validated: whether it evaluated validation rows.
        """
        share = _SECONDS_PER_PART / max(seconds, 1e-6)
        if num_steps:
            self._steps = max(1, min(_GROWTH * self._steps, int(share * num_steps)))
        elif has_validated:
            self._blocks = max(1, int(min(_GROWTH, share) * self._blocks))


@functools.lru_cache(maxsize=256)
def pace_of(algorithm: Algorithm, plan: Plan, members: tuple[int, ...]) -> Pace:
    """The Pace of a program: another run of the same one begins with what the last one learned.

    Args:
        algorithm: the Algorithm.
        plan: the Plan.
        members: the leading axes.

    Returns:
        The Pace.
    """
    del algorithm, members
    return Pace(plan)
