"""Denoising signals: training on mixtures, applying to records of any length, and measuring what was gained."""

from collections.abc import Callable

import numpy as np

from aejax.base import Array, ArrayLike, Fitted, Model, Variables
from aejax.data.resampling import resample
from aejax.models.masking import masking_autoencoder
from aejax.tasks.denoising.mixing import mixture_source
from aejax.tasks.reduction import check_encodes, reconstruct
from aejax.training import Progress, fit
from aejax.training.optimizers import adam

NUM_SAMPLES = 3072
_WINDOWS_AT_ONCE = 128
# So many zeros in a row are a gap that was filled: no instrument is silent for as long as a frame of the spectrum.
_GAP = 256
# Shorter windows have a frame at least, and few lengths: each is compiled by itself.
_SHORTEST_WINDOW, _WINDOW_STEP = 256, 64


def fit_denoiser(
    key: Array,
    events: ArrayLike,
    noise: ArrayLike,
    *,
    model: Model | None = None,
    num_samples: int = NUM_SAMPLES,
    arrival: ArrayLike | None = None,
    arrival_range: tuple[float, float] = (-0.3, 0.9),
    event_groups: ArrayLike | None = None,
    noise_groups: ArrayLike | None = None,
    snr_db: tuple[float, float] = (-5.0, 10.0),
    noise_only: float = 0.05,
    strong: float = 0.2,
    event_snr_db: ArrayLike | None = None,
    num_rounds: int = 96,
    num_pairs: int = 512,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    progress: bool | Callable[[Progress], None] = False,
) -> Fitted:
    """Trains a denoiser on mixtures that are drawn afresh in each step, with augmentation (see ``mixtures``).

    It is one call of ``aejax.fit``, whose epochs are rounds: Adam with clipping and weight decay, a learning rate that
    falls by a cosine, and a moving average of the parameters, which is returned.

    Args:
        key: PRNG key; all mixtures, initial variables and the order of pairs follow from it.
        events: (n, length) records of a high signal-to-noise ratio.
        noise: (m, length) records of noise.
        model: any Model of events of shape (num_samples,) that maps rows to rows; ``masking_autoencoder`` if None.
        num_samples: length of the windows that the model sees.
        arrival: (n,), as for ``mixtures``.
        arrival_range: as for ``mixtures``; wide, since a window of a long record may begin anywhere.
        event_groups: (n,), as for ``mixtures``.
        noise_groups: (m,), likewise.
        snr_db: lowest and highest signal-to-noise ratio in training, but for the strong pairs.
        noise_only: share of pairs without an event, from which the model learns to be silent.
        strong: share of pairs above ``snr_db``, up to 40 dB, from which the model learns to leave strong events as they
            are. On earthquakes of stations not seen, added noise of 30 and 40 dB changed the ratio by 3.5 and 0.1 dB,
            by -1.3 and -10.2 dB without such pairs; that of -5 to 10 dB by 12.8 and 12.9 dB.
        event_snr_db: (n,), the ratios of the records themselves, as for ``mixtures``; without them strong pairs teach
            to keep some of the noise that the records hold.
        num_rounds: how many rounds.
        num_pairs: mixtures in a round, rounded up to whole steps.
        batch_size: mixtures a step.
        learning_rate: the first one.
        progress: True for a bar on a terminal, or a function that takes a ``Progress``, whose epochs are rounds.

    Returns:
        Fitted: ``variables`` for ``denoise`` with the same model, and the history by round.

    Raises:
        ValueError: records that do not fit (see ``mixtures``), a GAN, or a number that is not positive.
        DivergenceError: a loss or gradient was not finite.

    Example:
        >>> import jax
        >>> rng = np.random.default_rng(0)
        >>> events, noise = rng.standard_normal((3, 500)), rng.standard_normal((4, 300))
        >>> model = masking_autoencoder((256,), frame_length=64, hop=32, hidden_dim=8, dilations=(1,))
        >>> options = {"num_samples": 256, "num_rounds": 2, "num_pairs": 64}
        >>> fitted = fit_denoiser(jax.random.key(0), events, noise, model=model, **options)
        >>> fitted.history["loss"].shape
        (2,)
    """
    model = model or masking_autoencoder((num_samples,))
    check_encodes(model)
    if num_rounds < 1:
        raise ValueError(f"num_rounds: found {num_rounds}, expected a positive whole number")
    steps_per_round = -(-num_pairs // min(batch_size, num_pairs))
    source = mixture_source(
        events,
        noise,
        snr_db,
        num_samples=num_samples,
        arrival=arrival,
        arrival_range=arrival_range,
        event_groups=event_groups,
        noise_groups=noise_groups,
        noise_only=noise_only,
        strong=strong,
        event_snr_db=event_snr_db,
    )
    return fit(
        key,
        model,
        source,
        validation=0,
        num_epochs=num_rounds,
        steps_per_epoch=steps_per_round,
        batch_size=min(batch_size, num_pairs),
        learning_rate=learning_rate,
        optimizer=adam("cosine", steps_per_round * num_rounds, clip_norm=1.0, weight_decay=1e-2),
        ema_decay=0.998,
        progress=progress,
    )


def denoise(
    model: Model,
    variables: Variables,
    traces: ArrayLike,
    *,
    num_samples: int = NUM_SAMPLES,
    sampling_rate: float = 100.0,
    model_rate: float | None = None,
    shorter: Callable[[int], Model] | None = None,
) -> np.ndarray:
    """Denoises records of any length, by windows that overlap by half and are cross-faded.

    Each window is given to the model without its mean and with mean square 1, and put back in its own units; the
    output has no offset. Where 256 or more samples in a row are exactly zero, as in gaps that were filled, they stay
    so, and the pieces between them are denoised each by itself: a window over an edge would gain less.

    A piece shorter than a window is given to ``shorter``, or continued by its reflection, and gains less: earthquakes
    with a model of 3,072 samples 12.9 dB at its length, with ``shorter`` or without 10 dB at half of it, 7.8 or 5.3 at
    a quarter, 1 or -2 at a twelfth. Give long records, and cut out what is needed afterwards.

    A record of another sampling rate than the model's, by more than 1 %, is resampled and back again: nothing is left
    above half of the lower rate. One more than 5 times as high or low is refused, since the model learned other
    frequencies.

    Args:
        model: a fitted Model of events of shape (num_samples,).
        variables: its variables.
        traces: (..., length), real and finite, in any unit.
        num_samples: length of the model's windows.
        sampling_rate: of the traces, in samples a second.
        model_rate: of what the model was trained on; ``sampling_rate`` if None.
        shorter: from a number of samples, 256 or more, to a Model of such windows with the same variables, as
            ``lambda n: masking_autoencoder((n,))``.

    Returns:
        (..., length), float32, or float64 where the traces are.

    Raises:
        ValueError: traces that are not finite or shorter than two samples, a model of other events or a GAN, or
            sampling rates that are too far apart or in no simple ratio.

    Example:
        >>> import aejax, jax
        >>> model = masking_autoencoder((256,), frame_length=64, hop=32, hidden_dim=8, dilations=(1,))
        >>> variables = model.init(jax.random.key(0), aejax.Batch(np.zeros((1, 256))))
        >>> denoise(model, variables, np.ones((2, 1000)), num_samples=256).shape
        (2, 1000)
    """
    check_encodes(model)
    traces = np.asarray(traces)
    if traces.ndim == 0 or traces.shape[-1] < 2:
        raise ValueError(f"traces: found shape {traces.shape}, expected (..., length) with at least 2 samples")
    if not np.isfinite(traces).all():
        raise ValueError("traces: found a missing or infinite value; split the record at its gaps, or fill them")
    dtype = np.float64 if traces.dtype == np.float64 else np.float32
    if traces.size == 0:
        return traces.astype(dtype)
    length = traces.shape[-1]
    records = traces.reshape(-1, length).astype(np.float64)
    # One part in a hundred of speed is less than what the model was trained to bear.
    model_rate = sampling_rate if model_rate is None else model_rate
    if not 0.2 <= sampling_rate / model_rate <= 5:
        raise ValueError(
            f"sampling_rate: found {sampling_rate}, expected 0.2 to 5 times that of the model, {model_rate}; "
            "train one on records of such a rate"
        )
    is_other_rate = not 0.99 < sampling_rate / model_rate < 1.01
    clean = np.zeros(records.shape)
    for record, found in zip(records, clean, strict=True):
        for begin, end in _between_gaps(record):
            piece = record[begin:end] - record[begin:end].mean()
            if is_other_rate:
                piece = resample(piece[None], sampling_rate, model_rate)[0]
            piece = _denoise_record(model, variables, piece, num_samples, shorter)
            if is_other_rate:
                piece = resample(piece[None], model_rate, sampling_rate)[0]
            found[begin:end] = piece[: end - begin]
    return clean.reshape(traces.shape).astype(dtype)


def _between_gaps(record: np.ndarray) -> list[tuple[int, int]]:
    """Where the pieces of at least two samples between long runs of zeros begin and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], record == 0, [False]]).astype(int)))
    gaps = [(begin, end) for begin, end in edges.reshape(-1, 2) if end - begin >= _GAP]
    begins, ends = [0, *(end for _, end in gaps)], [*(begin for begin, _ in gaps), len(record)]
    return [(begin, end) for begin, end in zip(begins, ends, strict=True) if end - begin >= 2]


def _denoise_record(
    model: Model,
    variables: Variables,
    record: np.ndarray,
    num_samples: int,
    shorter: Callable[[int], Model] | None,
) -> np.ndarray:
    length = len(record)
    if shorter and length < num_samples:
        num_samples = min(max(length // _WINDOW_STEP * _WINDOW_STEP, _SHORTEST_WINDOW), num_samples)
        model = shorter(num_samples)
    record = np.pad(record, (0, max(num_samples - length, 0)), mode="reflect")
    num_windows = 1 + -(-2 * (len(record) - num_samples) // num_samples)
    begins = np.linspace(0, len(record) - num_samples, num_windows).round().astype(int)
    # A Hann window that does not vanish at its ends: the first and last samples lie in one window only.
    fade = np.sin(np.pi * (np.arange(num_samples) + 0.5) / num_samples) ** 2
    total, weight = np.zeros(len(record)), np.zeros(len(record))
    for first in range(0, num_windows, _WINDOWS_AT_ONCE):
        some = begins[first : first + _WINDOWS_AT_ONCE]
        windows = record[some[:, None] + np.arange(num_samples)]
        windows = windows - windows.mean(axis=1, keepdims=True)
        scale = np.sqrt(np.mean(windows**2, axis=1, keepdims=True))
        scale = np.where(scale > 0, scale, 1.0)
        estimates = reconstruct(model, variables, windows / scale)
        for begin, estimate in zip(some, estimates * scale, strict=True):
            total[begin : begin + num_samples] += fade * estimate
            weight[begin : begin + num_samples] += fade
    return (total / weight)[:length]


def gain(noisy: ArrayLike, clean: ArrayLike, estimate: ArrayLike) -> np.ndarray:
    """The rise of the signal-to-noise ratio, 10 log10(sum (noisy - clean)^2 / sum (estimate - clean)^2).

    Args:
        noisy: (..., length).
        clean: (..., length).
        estimate: (..., length).

    Returns:
        (...), in dB: the ratio of the estimate less that of the input.

    Example:
        >>> round(float(gain(np.array([1.0, 1.0]), np.zeros(2), np.array([0.1, 0.1]))), 6)
        20.0
    """
    noisy, clean, estimate = (np.asarray(array, float) for array in (noisy, clean, estimate))
    before, after = (np.sum((array - clean) ** 2, axis=-1) for array in (noisy, estimate))
    with np.errstate(divide="ignore", invalid="ignore"):
        return 10 * np.log10(before / after)


def correlation(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """The correlation coefficient of waveforms at zero lag.

    Args:
        first: (..., length).
        second: (..., length).

    Returns:
        (...), between -1 and 1; NaN where one does not vary.

    Example:
        >>> round(float(correlation([1.0, 2.0, 3.0], [2.0, 4.0, 6.5])), 3)
        0.998
    """
    arrays = (np.asarray(array, float) for array in (first, second))
    one, other = (array - array.mean(axis=-1, keepdims=True) for array in arrays)
    size = np.sqrt(np.sum(one**2, axis=-1) * np.sum(other**2, axis=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sum(one * other, axis=-1) / size


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
    if (ends - begins < 10).any() or (begins < 0).any() or (ends > length).any():
        raise ValueError(
            f"begin, end: found a piece of {np.min(ends - begins)} samples or one outside of the trace, expected at "
            f"least 10 within 0 and {length}"
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
    reach = search * sampling_rate
    begin = np.maximum(np.round(np.asarray(arrival, float) - reach), 0).astype(int)
    end = np.minimum(np.round(np.asarray(arrival, float) + reach), clean.shape[-1]).astype(int)
    return (pick_onset(estimate, begin, end) - pick_onset(clean, begin, end)) / sampling_rate
