"""Where a record holds no signal: what is missing, what was filled in, and where it stands still."""

import numpy as np

from aejax.data.columns.sentinels import MARKS, find_sentinels

# No instrument stands still for as long as a frame of the spectrum: such a run was filled in.
_STANDSTILL = 256
# What programs write where there is no sample: INT_MIN of 32 and 16 bits, and the marks of files.
_MARKS = (*MARKS, -(2.0**31), -32768.0, -12345.0, -1e30, 1e30)
# A run of a mark; single samples may have such a value by chance.
_SHORTEST_MARK = 8


def standstills(record: np.ndarray, fewest: int) -> np.ndarray:
    """Where a record repeats one value.

    Args:
        record: (length,).
        fewest: samples of a run that counts.

    Returns:
        (runs, 2), first sample and the one behind the last.

    Example:
        >>> standstills(np.array([3, 1, 1, 1, 2]), 3).tolist()
        [[1, 4]]
    """
    edges = np.flatnonzero(np.concatenate([[True], record[1:] != record[:-1], [True]]))
    runs = np.column_stack([edges[:-1], edges[1:]])
    return runs[runs[:, 1] - runs[:, 0] >= fewest]


def find_gaps(record: np.ndarray, standstill: int = _STANDSTILL) -> np.ndarray:
    """Where a record has no samples, though the file has numbers there.

    Gaps are: NaN and infinite values; 256 or more equal samples in a row; shorter runs, from 8 samples, of the same
    value, of marks such as -999 and INT_MIN, and of a lowest or highest value further off than the others are spread;
    and such a value that repeats and lies ten times as far.

    Args:
        record: (length,), real numbers.
        standstill: how many equal samples in a row are a gap.

    Returns:
        (gaps, 2), first sample and the one behind the last, in order; neighbours are joined.

    Example:
        >>> record = np.sin(np.arange(1000.0))
        >>> record[100:120], record[500] = -999, np.nan
        >>> find_gaps(record).tolist()
        [[100, 120], [500, 501]]
    """
    record = np.asarray(record)
    is_gap = ~np.isfinite(record)
    runs = standstills(record, min(_SHORTEST_MARK, standstill))
    values, lengths = record[runs[:, 0]], runs[:, 1] - runs[:, 0]
    filled = np.isin(values, [*_MARKS, *values[lengths >= standstill]])
    for begin, end in runs[filled]:
        is_gap[begin:end] = True
    for value in _far_extremes(record[~is_gap]):
        for begin, end in runs[values == value]:
            is_gap[begin:end] = True
    for _, value, _ in find_sentinels(np.where(is_gap, np.nan, record)[:, None]):
        is_gap |= record == value
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_gap, [False]]).astype(int)))
    return edges.reshape(-1, 2)


def _far_extremes(samples: np.ndarray) -> list[float]:
    """The lowest and the highest value, where it is further from all others than these are spread."""
    found = []
    for extreme in (samples.min(), samples.max()) if len(samples) else ():
        others = samples[samples != extreme].astype(float)
        if len(others) and np.abs(others - extreme).min() > np.ptp(others):
            found.append(extreme)
    return found


def between(gaps: np.ndarray, length: int, fewest: int = 1) -> list[tuple[int, int]]:
    """The pieces of a record that its gaps leave.

    Args:
        gaps: (gaps, 2), in order.
        length: of the record.
        fewest: samples of a piece that counts.

    Returns:
        First sample of each piece, and the one behind its last.

    Example:
        >>> between(np.array([[3, 5]]), 9)
        [(0, 3), (5, 9)]
    """
    begins, ends = [0, *gaps[:, 1].tolist()], [*gaps[:, 0].tolist(), length]
    return [(begin, end) for begin, end in zip(begins, ends, strict=True) if end - begin >= fewest]
