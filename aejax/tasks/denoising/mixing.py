"""Pairs to learn denoising from: clean signals and the same with another place's noise."""

import functools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import jax.numpy as jnp
import numpy as np

from aejax.base import Array, ArrayLike, Batch, Draw, Drawn, PyTree
from aejax.data.gaps import between, standstills
from aejax.tasks.denoising.drawing import BLOCK, FASTEST, Given
from aejax.tasks.denoising.drawing import draw as draw_pairs

# Stretches of noise are faded into each other over this many samples, at most.
_FADE = 64
# Fewer samples of noise say nothing.
_FEWEST = 16
# Noise that stands still for as long is none; a window of it would make a mixture without noise.
STANDSTILL = 64
# From the mean of a stretch to its zero line, in standard deviations: beyond is another record's.
_FARTHEST_LINE = 3.0


class Mixtures(NamedTuple):
    """Signals with noise, and the same without.

    Attributes:
        noisy: (num, num_samples), mean square 1.
        clean: (num, num_samples), in the same units; zero where there is noise only.
        snr_db: (num,), 10 log10(sum clean^2 / sum (noisy - clean)^2); -inf where there is noise only.
        arrival: (num,), the sample at which the event begins, outside [0, num_samples) where it does so before or
            after; NaN where it is not known.
        event: (num,), the row of the event.
        noise: (num,), the row of the noise.
    """

    noisy: np.ndarray
    clean: np.ndarray
    snr_db: np.ndarray
    arrival: np.ndarray
    event: np.ndarray
    noise: np.ndarray


def mixtures(
    key: Array,
    events: ArrayLike,
    noise: ArrayLike | Sequence[ArrayLike],
    num: int,
    snr_db: tuple[float, float] = (-5.0, 10.0),
    *,
    num_samples: int = 3072,
    arrival: ArrayLike | None = None,
    arrival_range: tuple[float, float] = (0.05, 0.5),
    event_groups: ArrayLike | None = None,
    noise_groups: ArrayLike | None = None,
    noise_offset: ArrayLike | None = None,
    augment: bool = False,
    noise_only: float = 0.0,
    strong: float = 0.0,
    event_snr_db: ArrayLike | None = None,
) -> Mixtures:
    """Draws pairs: a piece of a clean event, and the same with noise from another place.

    Event, noise, the piece of each and the signal-to-noise ratio are drawn uniformly. A piece of noise is cut from one
    stretch where that is long enough. Else others from the same place are joined to it, each faded into the next with
    constant power over 64 samples; which ones, where they begin and their signs are drawn. Both pieces lose their mean.
    A piece in which the event's record stands still is a pair without an event.

    With ``augment``, for training, each of the two is played at 0.8 to 1.25 times its speed (by linear
    interpolation, so other dominant frequencies), coloured by a random smooth frequency response (noise: a standard
    deviation of 0.8 in the log-amplitude, in 7 of 10 pairs; event: 0.25) and, the event, turned upside down by chance;
    in 3 of 10 pairs the noise is the sum of two.

    Args:
        key: PRNG key.
        events: (n, length) records of a high signal-to-noise ratio, at least 1.25 ``num_samples`` long.
        noise: (m, length), records of noise alone, at least 16 samples long.
        num: how many pairs.
        snr_db: lowest and highest signal-to-noise ratio of the piece.
        num_samples: length of a piece.
        arrival: (n,), the sample of each record where its event begins; if None, a piece may begin anywhere.
        arrival_range: where in the piece the event begins, as shares of its length, drawn uniformly in between: below 0
            the piece begins in the event. Near the ends of a record it is moved so as to stay inside.
        event_groups: (n,), the place of each event: a station, a machine. A pair's noise is from another one.
        noise_groups: (m,), the place of each noise.
        noise_offset: (m,), the zero line of each noise, such as the median of a longer record; its own mean if None. A
            short stretch less its own mean has lost what varies slowly. A zero line further from that mean than three
            standard deviations is moved to there.
        augment: whether to vary what is drawn, as above.
        noise_only: share of pairs without an event.
        strong: share of the others whose ratio is drawn between the highest of ``snr_db`` and 40 dB instead.
        event_snr_db: (n,), the ratios of the records themselves. A strong pair is no stronger than its record, whose
            own noise would pass for a part of the event.

    Returns:
        The Mixtures, NumPy arrays. The same key gives the same ones.

    Raises:
        ValueError: records too short, not finite or without any variation, groups for one side only, or an event
            for which no other place has noise.

    Example:
        >>> import jax
        >>> rng = np.random.default_rng(0)
        >>> events, noise = rng.standard_normal((3, 500)), rng.standard_normal((4, 300))
        >>> pairs = mixtures(jax.random.key(0), events, noise, 10, num_samples=256)
        >>> pairs.noisy.shape, bool((np.abs(pairs.snr_db - 2.5) <= 7.5).all())
        ((10, 256), True)
    """
    if num < 1:
        raise ValueError(f"num: found {num}, expected a positive whole number")
    arrays = _arrays(
        events,
        noise,
        snr_db,
        num_samples=num_samples,
        arrival=arrival,
        arrival_range=arrival_range,
        event_groups=event_groups,
        noise_groups=noise_groups,
        noise_offset=noise_offset,
        augment=augment,
        noise_only=noise_only,
        strong=strong,
        event_snr_db=event_snr_db,
    )
    num_links = _num_links(arrays, num_samples, augment)
    drawn = draw_pairs(key, arrays, -(-num // BLOCK) * BLOCK, num_samples, num_links, augment)
    return Mixtures(*(np.asarray(field)[:num] for field in drawn))


def mixture_source(
    events: ArrayLike,
    noise: ArrayLike | Sequence[ArrayLike],
    snr_db: tuple[float, float] = (-5.0, 10.0),
    *,
    num_samples: int = 3072,
    **options: Any,
) -> Drawn:
    """A Source of pairs that are drawn afresh in each step, with augmentation: ``x`` is noisy, ``target`` is clean.

    Args:
        events: as in ``mixtures``.
        noise: as in ``mixtures``.
        snr_db: as in ``mixtures``.
        num_samples: as in ``mixtures``.
        **options: the others of ``mixtures``, but for ``augment``.

    Returns:
        The Source, for ``fit``.

    Raises:
        ValueError: as in ``mixtures``.

    Example:
        >>> import jax
        >>> rng = np.random.default_rng(0)
        >>> source = mixture_source(rng.standard_normal((3, 500)), rng.standard_normal((4, 300)), num_samples=256)
        >>> source.draw(source.arrays, jax.random.key(0), 64).target.shape
        (64, 256)
    """
    arrays = _arrays(events, noise, snr_db, num_samples=num_samples, augment=True, **options)
    return Drawn(arrays, _pairs_of(num_samples, _num_links(arrays, num_samples, True)))


@functools.lru_cache(maxsize=64)
def _pairs_of(num_samples: int, num_links: int) -> Draw:
    """The very same function for equal lengths, so that a second training compiles nothing."""

    def draw(arrays: PyTree, key: Array, num_rows: int) -> Batch:
        noisy, clean, *_ = draw_pairs(key, arrays, num_rows, num_samples, num_links, True)
        return Batch(noisy, target=clean)

    return draw


def _num_links(arrays: Given, num_samples: int, augment: bool) -> int:
    """How many stretches a piece of noise may take: the shortest is at worst begun in its middle."""
    shortest = int(arrays.noise_length.min())
    needed = FASTEST * num_samples if augment else num_samples
    return 1 + int(np.ceil((needed + 2) / (shortest / 2 - float(arrays.fade))))


def _arrays(
    events: ArrayLike,
    noise: ArrayLike | Sequence[ArrayLike],
    snr_db: tuple[float, float],
    *,
    num_samples: int,
    augment: bool,
    arrival: ArrayLike | None = None,
    arrival_range: tuple[float, float] = (0.05, 0.5),
    event_groups: ArrayLike | None = None,
    noise_groups: ArrayLike | None = None,
    noise_offset: ArrayLike | None = None,
    noise_only: float = 0.0,
    strong: float = 0.0,
    event_snr_db: ArrayLike | None = None,
) -> Given:
    events = _records("events", events)
    records = [np.asarray(record) for record in cast(Iterable[ArrayLike], noise)]
    stretches, rows = _stretches(records, noise_offset)
    needed = shortest_record(num_samples) if augment else num_samples + 1
    if events.shape[1] < needed:
        raise ValueError(
            f"events: found records of {events.shape[1]} samples, expected at least {needed} for pieces of "
            f"{num_samples}; give longer records, or a smaller num_samples"
        )
    if not snr_db[0] <= snr_db[1]:
        raise ValueError(f"snr_db: found {snr_db}, expected (lowest, highest)")
    if not 0 <= noise_only < 1:
        raise ValueError(f"noise_only: found {noise_only}, expected a share in [0, 1)")
    if not 0 <= strong < 1:
        raise ValueError(f"strong: found {strong}, expected a share in [0, 1)")
    own_db = np.full(len(events), np.inf) if event_snr_db is None else np.asarray(event_snr_db, float)
    if own_db.shape != (len(events),) or np.isnan(own_db).any():
        raise ValueError(
            f"event_snr_db: found shape {own_db.shape} with {np.isnan(own_db).sum()} missing, expected "
            f"({len(events)},), one number for each event"
        )
    if arrival is not None and np.shape(arrival) != (len(events),):
        raise ValueError(f"arrival: found shape {np.shape(arrival)}, expected ({len(events)},), one for each event")
    event_place, noise_place = _places(event_groups, noise_groups, len(events), len(records), rows)
    by_place = np.argsort(noise_place[rows], kind="stable")
    stretches, rows = [stretches[index] for index in by_place], rows[by_place]
    lengths = np.array([len(stretch) for stretch in stretches])
    padded = np.zeros((len(stretches), lengths.max()), np.float32)
    for row, stretch in zip(padded, stretches, strict=True):
        row[: len(stretch)] = stretch
    return Given(
        jnp.asarray(events, jnp.float32),
        jnp.asarray(padded),
        jnp.asarray(lengths),
        jnp.asarray(rows),
        jnp.asarray(np.full(len(events), np.nan) if arrival is None else arrival, jnp.float32),
        jnp.asarray(own_db, jnp.float32),
        jnp.asarray(event_place),
        jnp.asarray(noise_place[rows]),
        jnp.asarray(min(_FADE, lengths.min() // 4), jnp.float32),
        jnp.asarray([*snr_db, *arrival_range, noise_only, strong], jnp.float32),
    )


def shortest_record(num_samples: int) -> int:
    """The length of events from which ``mixtures`` can draw pieces with augmentation.

    Args:
        num_samples: length of a piece.

    Returns:
        The number of samples.

    Example:
        >>> shortest_record(3072)
        3842
    """
    return int(np.ceil(FASTEST * num_samples)) + 2


def longest_piece(length: int) -> int:
    """The longest piece that ``mixtures`` can draw, with augmentation, from events of a length.

    Args:
        length: of the events, in samples.

    Returns:
        The number of samples; 0 where there is no such piece.

    Example:
        >>> longest_piece(3842), longest_piece(3841)
        (3072, 3071)
    """
    return max(int((length - 2) / FASTEST), 0)


def _records(name: str, records: ArrayLike) -> np.ndarray:
    """Checks records and standardises them, in double precision: offsets can be large."""
    records = np.asarray(records)
    if records.ndim != 2 or len(records) == 0:
        raise ValueError(f"{name}: found shape {records.shape}, expected (records, samples)")
    # By its extremes: the mean of equal numbers need not be that number.
    lowest, highest = records.min(axis=1), records.max(axis=1)
    bad = np.flatnonzero(~(np.isfinite(lowest) & np.isfinite(highest) & (highest > lowest)))
    if len(bad):
        raise ValueError(
            f"{name}: record {bad[0]} is constant or not finite ({len(bad)} such); leave dead channels and gaps out"
        )
    return _standardised(records)


def _standardised(records: np.ndarray) -> np.ndarray:
    centred = records - records.mean(axis=1, keepdims=True, dtype=np.float64)
    return (centred / np.sqrt(np.mean(centred**2, axis=1, keepdims=True))).astype(np.float32)


def _stretches(records: list[np.ndarray], offset: ArrayLike | None) -> tuple[list[np.ndarray], np.ndarray]:
    """What records of noise hold between standstills, of the size of one, and the row of each."""
    if not records or any(record.ndim != 1 for record in records):
        raise ValueError(f"noise: found {len(records)} records, expected (records, samples), or arrays of samples")
    if offset is not None and np.shape(offset) != (len(records),):
        raise ValueError(
            f"noise_offset: found shape {np.shape(offset)}, expected ({len(records)},), one for each record"
        )
    offsets = [None] * len(records) if offset is None else np.asarray(offset, float)
    found: list[np.ndarray] = []
    rows: list[int] = []
    for row, record in enumerate(records):
        if not np.isfinite(record).all():
            raise ValueError(f"noise: record {row} is not finite; leave gaps out")
        for begin, end in between(standstills(record, STANDSTILL), len(record), _FEWEST):
            stretch = record[begin:end]
            if stretch.max() > stretch.min():
                found.append(_from_zero_line(stretch, offsets[row]))
                rows.append(row)
    if not found:
        longest = max(record.size for record in records)
        raise ValueError(
            f"noise: found no stretch of at least {_FEWEST} samples that varies, in {len(records)} records of up to "
            f"{longest} samples; leave dead channels and gaps out"
        )
    return found, np.array(rows)


def _from_zero_line(stretch: np.ndarray, offset: float | None) -> np.ndarray:
    """A stretch in its standard deviations, from its zero line."""
    mean, deviation = stretch.mean(dtype=np.float64), stretch.std(dtype=np.float64)
    line = 0.0 if offset is None else np.clip((offset - mean) / deviation, -_FARTHEST_LINE, _FARTHEST_LINE)
    return ((stretch - mean) / deviation - line).astype(np.float32)


def _places(
    event_groups: ArrayLike | None,
    noise_groups: ArrayLike | None,
    num_events: int,
    num_noises: int,
    used: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Groups as numbers; without any, each event is of a place where there is no noise."""
    if (event_groups is None) != (noise_groups is None):
        raise ValueError("event_groups, noise_groups: found one of them, expected both or neither")
    if event_groups is None:
        return np.full(num_events, -1), np.zeros(num_noises, int)
    event_groups, noise_groups = np.asarray(event_groups), np.asarray(noise_groups)
    for name, groups, count in (("event", event_groups, num_events), ("noise", noise_groups, num_noises)):
        if groups.shape != (count,):
            raise ValueError(f"{name}_groups: found shape {groups.shape}, expected ({count},), one for each record")
    names, numbers = np.unique(np.concatenate([event_groups, noise_groups]), return_inverse=True)
    of_events, of_noises = numbers[:num_events], numbers[num_events:]
    places = set(of_noises[used])
    if len(places) == 1 and places <= set(of_events):
        (only,) = places
        raise ValueError(f"noise_groups: found {names[only]} alone, expected noise of another place as well")
    return of_events, of_noises
