"""What a campaign found, in a line."""

import time
from collections import Counter


class Figures:
    """Counts what came of each attempt.

    Args:
        name: of the campaign.
    """

    def __init__(self, name):
        self.name, self.began = name, time.monotonic()
        self.outcomes, self.faults = Counter(), []

    def add(self, outcome):
        """An attempt that ended as it should."""
        self.outcomes[outcome] += 1

    def fault(self, what):
        """An attempt that did not."""
        self.faults.append(what)

    @property
    def count(self):
        return sum(self.outcomes.values()) + len(self.faults)

    def __str__(self):
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        seconds = time.monotonic() - self.began
        return f"{self.name}: {self.count} attempts, {outcomes}; {len(self.faults)} faults; {seconds:.0f} s"
