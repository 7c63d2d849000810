"""What was found in new rows, in a sentence. Nothing here draws, so that what draws need not be loaded."""

from collections import Counter
from collections.abc import Mapping

import numpy as np


def detection_summary(found: Mapping[str, np.ndarray]) -> str:
    """How many rows are anomalies, and which columns stand out in them.

    Args:
        found: from ``tables.detect``.

    Returns:
        A line of text.

    Example:
        >>> detection_summary({"is_anomaly": np.array([True, False]), "top_sensor": np.array(["flow", "level"])})
        '1 of 2 rows are anomalies; what stands out in them: flow (1)'
    """
    counts = DetectionCounts()
    counts.add(found)
    return counts.sentence()


class DetectionCounts:
    """The same of rows that are judged block by block.

    Example:
        >>> counts = DetectionCounts()
        >>> for name in ("flow", "level"):
        ...     counts.add({"is_anomaly": np.array([True, False]), "top_sensor": np.array([name, ""])})
        >>> counts.sentence()
        '2 of 4 rows are anomalies; what stands out in them: flow (1), level (1)'
    """

    def __init__(self) -> None:
        self._num_rows = self._num_judged = self._num_flagged = 0
        self._sensors: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()

    def add(self, found: Mapping[str, np.ndarray]) -> None:
        """Counts what was found in some rows."""
        flagged = found["is_anomaly"]
        self._num_rows += len(flagged)
        self._num_flagged += int(flagged.sum())
        self._num_judged += int(np.isfinite(found["score"]).sum()) if "score" in found else len(flagged)
        self._sensors.update(found["top_sensor"][flagged].tolist())
        reasons = found.get("reason", np.array([], str))
        told = (part for text in reasons[reasons != ""].tolist() for part in text.split("; "))
        self._reasons.update(part for part in told if part != "score")

    def sentence(self) -> str:
        """A line of text."""
        if not self._num_judged and not self._num_flagged:
            return f"none of the {self._num_rows} rows could be judged: they hold no value in the columns of the run"
        without = self._num_rows - self._num_judged
        often = ", ".join(f"{name} ({count})" for name, count in self._sensors.most_common(3) if name)
        return "; ".join(
            [
                f"{self._num_flagged} of {self._num_rows} rows are anomalies",
                *([f"{without} without a verdict"] if without else []),
                *([f"what stands out in them: {often}"] if often else []),
                *(f"{what} ({count} rows)" for what, count in self._reasons.most_common(3)),
            ]
        )
