"""A denoiser of signals: trained on mixtures, applied to records of any length."""

import functools
import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

import jax
import numpy as np

from aejax.artefacts.described import describe, made
from aejax.base import Array, ArrayLike, Batch, Model, Variables
from aejax.data.gaps import between, find_gaps
from aejax.data.resampling import resample
from aejax.models.masking import masking_autoencoder
from aejax.tasks.denoising.mixing import mixture_source
from aejax.tasks.reduction import check_encodes, reconstruct
from aejax.training import Progress, fit
from aejax.training.optimizers import adam

NUM_SAMPLES = 3072
_WINDOWS_AT_ONCE = 128
# How far a record's rate may be from the model's; and how near it is the same.
_FARTHEST_RATE, _SAME_RATE = 5.0, 0.01
# Shorter windows have a frame at least, and few lengths: each is compiled by itself.
_SHORTEST_WINDOW, _WINDOW_STEP = 256, 64


class Denoiser(NamedTuple):
    """A model that keeps the signal of what it sees, and what it was trained on.

    Attributes:
        model: any Model of events of shape (num_samples,) that maps rows to rows.
        variables: its variables.
        num_samples: length of the windows that the model sees.
        sampling_rate: of the records that it was trained on, in samples a second.
    """

    model: Model
    variables: Variables
    num_samples: int
    sampling_rate: float


def fit_denoiser(
    key: Array,
    events: ArrayLike,
    noise: ArrayLike | Sequence[ArrayLike],
    *,
    sampling_rate: float = 100.0,
    model: Model | None = None,
    num_samples: int = NUM_SAMPLES,
    arrival: ArrayLike | None = None,
    arrival_range: tuple[float, float] = (-0.3, 0.9),
    event_groups: ArrayLike | None = None,
    noise_groups: ArrayLike | None = None,
    noise_offset: ArrayLike | None = None,
    snr_db: tuple[float, float] = (-5.0, 10.0),
    noise_only: float = 0.05,
    strong: float = 0.2,
    event_snr_db: ArrayLike | None = None,
    num_rounds: int = 96,
    num_pairs: int = 512,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    progress: bool | Callable[[Progress], None] = False,
) -> tuple[Denoiser, dict[str, np.ndarray]]:
    """Trains a denoiser on mixtures that are drawn afresh in each step, with augmentation (see ``mixtures``).

    It is one call of ``aejax.fit``, whose epochs are rounds: Adam with clipping and weight decay, a learning rate that
    falls by a cosine, and a moving average of the parameters, which is returned.

    Args:
        key: PRNG key; all mixtures, initial variables and the order of pairs follow from it.
        events: (n, length) records of a high signal-to-noise ratio.
        noise: (m, length) records of noise, or m arrays of any lengths, as for ``mixtures``.
        sampling_rate: of all records, in samples a second.
        model: any Model of events of shape (num_samples,) that maps rows to rows; ``masking_autoencoder`` if None.
        num_samples: length of the windows that the model sees.
        arrival: (n,), as for ``mixtures``.
        arrival_range: as for ``mixtures``; wide, since a window of a long record may begin anywhere.
        event_groups: (n,), as for ``mixtures``.
        noise_groups: (m,), likewise.
        noise_offset: (m,), likewise.
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
        The Denoiser, and the history: metrics by name, each (num_rounds,).

    Raises:
        ValueError: records that do not fit (see ``mixtures``), a GAN, or a number that is not positive.
        DivergenceError: a loss or gradient was not finite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> events, noise = rng.standard_normal((3, 500)), rng.standard_normal((4, 300))
        >>> model = masking_autoencoder((256,), frame_length=64, hop=32, hidden_dim=8, dilations=(1,))
        >>> options = {"num_samples": 256, "num_rounds": 2, "num_pairs": 64}
        >>> denoiser, history = fit_denoiser(jax.random.key(0), events, noise, model=model, **options)
        >>> history["loss"].shape
        (2,)
    """
    model = model or masking_autoencoder((num_samples,))
    check_encodes(model)
    if num_rounds < 1:
        raise ValueError(f"num_rounds: found {num_rounds}, expected a positive whole number")
    if not 0 < sampling_rate < np.inf:
        raise ValueError(f"sampling_rate: found {sampling_rate}, expected a positive number of samples a second")
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
        noise_offset=noise_offset,
        noise_only=noise_only,
        strong=strong,
        event_snr_db=event_snr_db,
    )
    fitted = fit(
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
    return Denoiser(model, fitted.variables, num_samples, sampling_rate), fitted.history


def denoise(
    denoiser: Denoiser,
    traces: ArrayLike,
    sampling_rate: float | None = None,
    *,
    keep_offset: bool = True,
    keep_above: bool = True,
) -> np.ndarray:
    """Denoises records of any length, by windows that overlap by half and are cross-faded.

    Each window is given to the model without its mean and with mean square 1, and put back in its own units. Gaps stay
    as they are: missing and infinite values, marks such as -999, 256 or more equal samples in a row (see
    ``aejax.data.gaps.find_gaps``). The pieces between them are denoised each by itself: a window over an edge would
    gain less.

    A piece shorter than a window gains less. A model whose variables do not depend on its window's length, such as
    ``masking_autoencoder``, then sees a shorter window, of 256 samples or more; for any other the piece is continued by
    its reflection. Gains in dB on earthquakes, model of 3,072 samples:

        length of the piece      shorter window   reflection
        3,072 samples            12.9             12.9
        a half                   10               10
        a quarter                7.8              5.3
        a twelfth                1                -2

    Give long records, and cut out what is needed afterwards.

    A record of another sampling rate than the model's, by more than 1 %, is resampled and back again, in the nearest
    simple ratio. What lies above half of the model's rate was not trained on: it stays as it is. A rate more than 5
    times as high or low is refused, since the model learned other frequencies.

    Args:
        denoiser: the Denoiser.
        traces: (..., length), real, in any unit.
        sampling_rate: of the traces, in samples a second; that of the training if None.
        keep_offset: whether the mean of each piece stays; without it the output has none.
        keep_above: whether what lies above half of the model's rate stays; without it nothing is left there.

    Returns:
        (..., length), float64, or float32 where the traces are, or whole numbers of at most 16 bits.

    Raises:
        ValueError: traces shorter than two samples or without a finite value, a model of other events or a GAN, or
            sampling rates that are too far apart.

    Example:
        >>> import aejax
        >>> model = masking_autoencoder((256,), frame_length=64, hop=32, hidden_dim=8, dilations=(1,))
        >>> variables = model.init(jax.random.key(0), aejax.Batch(np.zeros((1, 256))))
        >>> denoise(Denoiser(model, variables, 256, 100.0), np.ones((2, 1000))).shape
        (2, 1000)
    """
    check_encodes(denoiser.model)
    traces = np.asarray(traces)
    if traces.ndim == 0 or traces.shape[-1] < 2:
        raise ValueError(f"traces: found shape {traces.shape}, expected (..., length) with at least 2 samples")
    # Whole numbers of more bits, and their offset, have more digits than a float32.
    dtype = np.result_type(traces.dtype, np.float32)
    if traces.size == 0:
        return traces.astype(dtype)
    if not np.isfinite(traces).any(axis=-1).all():
        raise ValueError("traces: found a record without a finite value, expected some; leave it out")
    to_model = _to_model(denoiser, sampling_rate)
    clean = traces.reshape(-1, traces.shape[-1]).astype(np.float64)
    for record in clean:
        for begin, end in between(find_gaps(record), len(record), 2):
            offset = record[begin:end].mean()
            piece, above = _split_band(record[begin:end] - offset, to_model)
            piece = _resampled(_denoise_record(denoiser, piece), 1 / to_model)[: end - begin]
            record[begin:end] = piece + keep_above * above + keep_offset * offset
    return clean.reshape(traces.shape).astype(dtype)


def why_unsuitable(denoiser: Denoiser, trace: ArrayLike, sampling_rate: float) -> str:
    """Why a record cannot be denoised.

    Args:
        denoiser: the Denoiser.
        trace: (length,).
        sampling_rate: of the trace, in samples a second.

    Returns:
        The reason; empty where it can.

    Example:
        >>> denoiser = Denoiser(masking_autoencoder((256,)), {}, 256, 100.0)
        >>> why_unsuitable(denoiser, np.zeros(900), 100), why_unsuitable(denoiser, np.arange(900), 1)
        ('without a piece of two samples that is no gap', 'at 1 samples a second, expected 20 to 500')
    """
    lowest, highest = denoiser.sampling_rate / _FARTHEST_RATE, denoiser.sampling_rate * _FARTHEST_RATE
    if not lowest <= sampling_rate <= highest:
        return f"at {sampling_rate:g} samples a second, expected {lowest:g} to {highest:g}"
    record = np.asarray(trace)
    if not between(find_gaps(record), len(record), 2):
        return "without a piece of two samples that is no gap"
    return ""


def share_above(denoiser: Denoiser, trace: ArrayLike, sampling_rate: float | None = None) -> float:
    """The share of a record's energy above half of the model's rate, where it was not trained.

    Args:
        denoiser: the Denoiser.
        trace: (length,).
        sampling_rate: of the trace, in samples a second; that of the training if None.

    Returns:
        Between 0 and 1, offsets and gaps apart.

    Raises:
        ValueError: sampling rates that are too far apart.

    Example:
        >>> denoiser = Denoiser(masking_autoencoder((256,)), {}, 256, 100.0)
        >>> time = np.arange(2000) / 250
        >>> round(share_above(denoiser, np.sin(2 * np.pi * 80 * time) + np.sin(2 * np.pi * 10 * time), 250), 2)
        0.5
    """
    to_model = _to_model(denoiser, sampling_rate)
    if to_model >= 1:
        return 0.0
    record = np.asarray(trace, np.float64)
    energy = np.zeros(2)
    for begin, end in between(find_gaps(record), len(record), 2):
        piece = record[begin:end] - record[begin:end].mean()
        energy += [np.sum(_split_band(piece, to_model)[1] ** 2), np.sum(piece**2)]
    return float(min(energy[0] / energy[1], 1.0)) if energy[1] > 0 else 0.0


def _to_model(denoiser: Denoiser, sampling_rate: float | None) -> Fraction:
    """The model's rate over that of a record, as the simplest ratio within a half of a hundredth."""
    sampling_rate = denoiser.sampling_rate if sampling_rate is None else sampling_rate
    if not 1 / _FARTHEST_RATE <= sampling_rate / denoiser.sampling_rate <= _FARTHEST_RATE:
        raise ValueError(
            f"sampling_rate: found {sampling_rate:g}, expected {1 / _FARTHEST_RATE:g} to {_FARTHEST_RATE:g} times that "
            f"of the model, {denoiser.sampling_rate:g}; train one on records of such a rate"
        )
    exact = denoiser.sampling_rate / sampling_rate
    # One part in a hundred of speed is less than what the model was trained to bear.
    if abs(exact - 1) < _SAME_RATE:
        return Fraction(1)
    ratios = (Fraction(round(exact * below), below) for below in itertools.count(1))
    return next(ratio for ratio in ratios if abs(float(ratio) / exact - 1) < _SAME_RATE / 2)


def _split_band(piece: np.ndarray, to_model: Fraction) -> tuple[np.ndarray, np.ndarray]:
    """A piece at the model's rate, and what it holds above that, at its own rate."""
    at_model = _resampled(piece, to_model)
    if to_model >= 1:
        return at_model, np.zeros(len(piece))
    return at_model, piece - _resampled(at_model, 1 / to_model)[: len(piece)]


def _resampled(piece: np.ndarray, ratio: Fraction) -> np.ndarray:
    return resample(piece[None], ratio.denominator, ratio.numerator)[0]


def _denoise_record(denoiser: Denoiser, record: np.ndarray) -> np.ndarray:
    length = len(record)
    model, variables, num_samples, _ = denoiser
    if length < num_samples:
        model, num_samples = _of_shorter_windows(model, num_samples, length // _WINDOW_STEP * _WINDOW_STEP)
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


@functools.lru_cache(maxsize=64)
def _of_shorter_windows(model: Model, num_samples: int, wanted: int) -> tuple[Model, int]:
    """The model that takes the same variables for shorter windows; itself where its factory makes none."""
    length = min(max(wanted, _SHORTEST_WINDOW), num_samples)
    try:
        description = describe(model)
        description["args"][0] = [length]
        shorter = made(description)
        is_same = _shapes(shorter, length) == _shapes(model, num_samples)
    except (KeyError, IndexError, TypeError, ValueError):
        return model, num_samples
    return (shorter, length) if is_same else (model, num_samples)


def _shapes(model: Model, num_samples: int) -> object:
    rows = Batch(jax.ShapeDtypeStruct((1, num_samples), np.float32))  # type: ignore[arg-type]
    return jax.eval_shape(model.init, jax.random.key(0), rows)
