"""Rows at the beginning or the end of normal operation that are none: a start-up that settles, a shutdown."""

import numpy as np

from aejax.tasks.anomaly.correlation import num_stretches

# Of 390 tables of stationary processes, those of ``benchmarks.monitor_limits`` with seeds 0 to 9, one lost rows. Chosen
# on these and on simulated start-ups; with 1e-2, and without the deviations below, 10 % lost rows.
_LEVEL = 1e-3
_FEWEST_ROWS, _SHORTEST_TABLE = 5, 40
# A transient takes at most this share of the rows: beside more of it nothing says what is normal.
_LONGEST = 1 / 4
_FEWEST_STRETCHES = 3
# Scores of the blocks of a table come from different models. So what stands out must do so by one deviation of the
# other rows, and by five of the means of four parts of them: models that are hardly trained differ by less.
_PARTS, _DEVIATIONS = 4, 5


def transients(score: np.ndarray, rows: np.ndarray) -> tuple[int, int]:
    """How many rows at the beginning and at the end stand out from all others.

    The mean logarithm of the scores of the first d rows is compared with that of the rows behind the first quarter, by
    Student's t for as many independent stretches as these hold; d is the number that stands out most, five to a quarter
    of the rows. What is left is compared again, since a process that settles fades away.

    Args:
        score: (n,) scores of rows in time, by models that were trained on others; NaN where there is none.
        rows: (n, c) themselves.

    Returns:
        (rows at the beginning, rows at the end); of the end nothing is said while the beginning stands out.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> rows, settling = rng.standard_normal((400, 3)), np.exp(-np.arange(400) / 20)
        >>> score = np.square(rows).mean(axis=1)
        >>> transients(score, rows), 80 < transients(score + 50 * settling, rows)[0] < 120
        ((0, 0), True)
    """
    begin = _first(score, rows)
    # The models that scored the last rows learned from those at the beginning: the end waits for their scores anew.
    return begin, 0 if begin else _first(score[::-1], rows[::-1])


def _first(score: np.ndarray, rows: np.ndarray) -> int:
    """How many rows at the beginning stand out."""
    seen = np.flatnonzero(np.isfinite(score))
    logs = np.log(np.maximum(score[seen], np.finfo(float).tiny))
    rows, found = rows[seen], 0
    while len(logs) - found >= max(_SHORTEST_TABLE, len(logs) / 2):
        more = _run(logs[found:], rows[found:])
        if not more:
            break
        found += more
    return int(seen[found - 1]) + 1 if found else 0


def _run(logs: np.ndarray, rows: np.ndarray) -> int:
    """How many first rows stand out most, or 0 where that is no more than chance."""
    from scipy import special

    longest = int(_LONGEST * len(logs))
    others = logs[longest:]
    stretches = num_stretches(others, *rows[longest:].T)
    if stretches < _FEWEST_STRETCHES or others.std() == 0:
        return 0
    numbers = np.arange(_FEWEST_ROWS, longest + 1)
    means = np.cumsum(logs[:longest])[numbers - 1] / numbers
    independent = np.maximum(numbers * stretches / len(others), 1)
    variance = others.var() * stretches / (stretches - 1)
    distance = (means - others.mean()) / np.sqrt(variance * (1 / independent + 1 / stretches))
    farthest = int(distance.argmax())
    is_chance = special.stdtr(stretches - 1, -distance[farthest]) > _LEVEL
    spread = np.std([part.mean() for part in np.array_split(others, _PARTS)], ddof=1)
    is_usual = means[farthest] - others.mean() < max(_DEVIATIONS * spread, others.std())
    return 0 if is_chance or is_usual else int(numbers[farthest])
