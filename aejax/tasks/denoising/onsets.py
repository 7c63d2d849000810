"""Where a wave arrives, and how much denoising moves that."""

import numpy as np

from aejax.base import ArrayLike

# Samples that the two parts of a piece need for their variances.
_FEWEST = 10


def pick_onset(traces: ArrayLike, begin: ArrayLike = 0, end: ArrayLike | None = None) -> np.ndarray:
    """The sample at which a wave arrives: where splitting a piece in two variances explains it best.

    The minimum over k of Akaike's criterion AIC(k) = k log var(x[:k]) + (n - k) log var(x[k:]) (Maeda 1985), within a
    piece of each trace that holds one arrival.

    Args:
        traces: (n, length).
        begin: first sample of the piece, one or (n,).
        end: sample behind it, likewise; the end of the traces if None.

    Returns:
        (n,), the first sample after the split, counted from the beginning of the trace.

    Raises:
        ValueError: a piece of fewer than 10 samples, or one that is not inside the trace.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> trace = rng.standard_normal(400) * np.where(np.arange(400) < 250, 0.1, 1.0)
        >>> bool(abs(pick_onset(trace[None])[0] - 250) < 4)
        True
    """
    traces = np.asarray(traces, float)
    if traces.ndim != 2:
        raise ValueError(f"traces: found shape {traces.shape}, expected (n, length)")
    num_traces, length = traces.shape
    begins = np.broadcast_to(np.asarray(begin, int), num_traces)
    ends = np.broadcast_to(np.asarray(length if end is None else end, int), num_traces)
    if (ends - begins < _FEWEST).any() or (begins < 0).any() or (ends > length).any():
        raise ValueError(
            f"begin, end: found a piece of {np.min(ends - begins)} samples or one outside of the trace, expected at "
            f"least {_FEWEST} within 0 and {length}"
        )
    return np.array(
        [first + _split(trace[first:last]) for trace, first, last in zip(traces, begins, ends, strict=True)], int
    )


def _split(piece: np.ndarray) -> int:
    count = np.arange(1, len(piece))
    forward = _running_variance(piece)[:-1]
    backward = _running_variance(piece[::-1])[:-1][::-1]
    # Silence has no logarithm: variances below 60 dB under the piece's own count as that.
    floor = 1e-6 * np.var(piece) + 1e-300
    criterion = count * np.log(forward + floor) + (len(piece) - count) * np.log(backward + floor)
    edge = 3  # a variance of fewer numbers says nothing
    return int(edge + np.argmin(criterion[edge - 1 : len(criterion) - edge + 1]))


def _running_variance(piece: np.ndarray) -> np.ndarray:
    piece = piece - piece.mean()
    count = np.arange(1, len(piece) + 1)
    return np.maximum(np.cumsum(piece**2) / count - (np.cumsum(piece) / count) ** 2, 0)


def onset_error(
    clean: ArrayLike, estimate: ArrayLike, arrival: ArrayLike, *, sampling_rate: float = 100.0, search: float = 2.0
) -> np.ndarray:
    """How much later the onset is picked in the estimate than in the clean signal, by the same picker.

    Args:
        clean: (n, length).
        estimate: (n, length).
        arrival: (n,), the sample near which the onset lies.
        sampling_rate: in samples a second.
        search: how far from there it is looked for, in seconds, cut at the ends of the trace.

    Returns:
        (n,), in seconds; positive is late.

    Raises:
        ValueError: an arrival so far outside that fewer than 10 samples are left.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> clean = rng.standard_normal((1, 400)) * np.where(np.arange(400) < 250, 0.1, 1.0)
        >>> float(onset_error(clean, np.roll(clean, 20, axis=1), [250], search=1.0)[0])
        0.2
    """
    clean, estimate = np.asarray(clean, float), np.asarray(estimate, float)
    reach = max(search * sampling_rate, _FEWEST)  # at a low rate the seconds hold too few samples
    begin = np.maximum(np.round(np.asarray(arrival, float) - reach), 0).astype(int)
    end = np.minimum(np.round(np.asarray(arrival, float) + reach), clean.shape[-1]).astype(int)
    return (pick_onset(estimate, begin, end) - pick_onset(clean, begin, end)) / sampling_rate
