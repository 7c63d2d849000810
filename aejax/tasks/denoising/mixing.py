"""Pairs to learn denoising from: clean signals and the same with another place's noise."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Array, ArrayLike, Batch, Draw, Drawn, PyTree

# The ends of a noise record are faded into each other over this many samples, at most.
_FADE = 256
_BLOCK = 64
_SLOWEST, _FASTEST = 0.8, 1.25
# The highest ratio of strong pairs: records are hardly cleaner themselves.
_STRONGEST_DB = 40.0


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
    noise: ArrayLike,
    num: int,
    snr_db: tuple[float, float] = (-5.0, 10.0),
    *,
    num_samples: int = 3072,
    arrival: ArrayLike | None = None,
    arrival_range: tuple[float, float] = (0.05, 0.5),
    event_groups: ArrayLike | None = None,
    noise_groups: ArrayLike | None = None,
    augment: bool = False,
    noise_only: float = 0.0,
    strong: float = 0.0,
    event_snr_db: ArrayLike | None = None,
) -> Mixtures:
    """Draws pairs: a piece of a clean event, and the same with noise from another place.

    Event, noise, the piece of each and the signal-to-noise ratio are drawn uniformly. The noise, a record of any
    length, is closed to a ring by fading its end into its beginning, and turned by a random angle. Both pieces lose
    their mean.

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
        augment=augment,
        noise_only=noise_only,
        strong=strong,
        event_snr_db=event_snr_db,
    )
    drawn = _draw(key, arrays, -(-num // _BLOCK) * _BLOCK, num_samples, augment)
    return Mixtures(*(np.asarray(field)[:num] for field in drawn))


def mixture_source(
    events: ArrayLike,
    noise: ArrayLike,
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
        >>> rng = np.random.default_rng(0)
        >>> source = mixture_source(rng.standard_normal((3, 500)), rng.standard_normal((4, 300)), num_samples=256)
        >>> source.draw(source.arrays, jax.random.key(0), 64).target.shape
        (64, 256)
    """
    arrays = _arrays(events, noise, snr_db, num_samples=num_samples, augment=True, **options)
    return Drawn(arrays, _pairs_of(num_samples))


@functools.lru_cache(maxsize=64)
def _pairs_of(num_samples: int) -> Draw:
    """The very same function for equal lengths, so that a second training compiles nothing."""

    def draw(arrays: PyTree, key: Array, num_rows: int) -> Batch:
        noisy, clean, *_ = _draw(key, arrays, num_rows, num_samples, True)
        return Batch(noisy, target=clean)

    return draw


class _Arrays(NamedTuple):
    """What pairs are drawn from, on the device.

    Attributes:
        events: (n, length), of mean 0 and mean square 1.
        noise: (m, period), rings.
        arrival: (n,), NaN where not known.
        own_db: (n,), the ratios of the records themselves.
        event_place: (n,), a number for each place.
        noise_place: (m,), likewise.
        limits: the lowest and highest ratio, the range of arrivals, the shares without an event and of strong pairs.
    """

    events: Array
    noise: Array
    arrival: Array
    own_db: Array
    event_place: Array
    noise_place: Array
    limits: Array


def _arrays(
    events: ArrayLike,
    noise: ArrayLike,
    snr_db: tuple[float, float],
    *,
    num_samples: int,
    augment: bool,
    arrival: ArrayLike | None = None,
    arrival_range: tuple[float, float] = (0.05, 0.5),
    event_groups: ArrayLike | None = None,
    noise_groups: ArrayLike | None = None,
    noise_only: float = 0.0,
    strong: float = 0.0,
    event_snr_db: ArrayLike | None = None,
) -> _Arrays:
    events, noise = _records("events", events), _records("noise", noise)
    needed = shortest_record(num_samples) if augment else num_samples + 1
    if events.shape[1] < needed:
        raise ValueError(
            f"events: found records of {events.shape[1]} samples, expected at least {needed} for pieces of "
            f"{num_samples}; give longer records, or a smaller num_samples"
        )
    if noise.shape[1] < 16:
        raise ValueError(f"noise: found records of {noise.shape[1]} samples, expected at least 16")
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
    event_place, noise_place = _places(event_groups, noise_groups, len(events), len(noise))
    return _Arrays(
        jnp.asarray(events, jnp.float32),
        _ring(jnp.asarray(noise, jnp.float32)),
        jnp.asarray(np.full(len(events), np.nan) if arrival is None else arrival, jnp.float32),
        jnp.asarray(own_db, jnp.float32),
        jnp.asarray(event_place),
        jnp.asarray(noise_place),
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
    return int(np.ceil(_FASTEST * num_samples)) + 2


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
    return max(int((length - 2) / _FASTEST), 0)


def _records(name: str, records: ArrayLike) -> np.ndarray:
    """Checks records and takes their mean from them, in double precision: offsets can be large."""
    records = np.asarray(records)
    if records.ndim != 2 or len(records) == 0:
        raise ValueError(f"{name}: found shape {records.shape}, expected (records, samples)")
    # By its extremes: the mean of equal numbers need not be that number.
    varies = records.max(axis=1) > records.min(axis=1)
    centred = records - records.mean(axis=1, keepdims=True, dtype=np.float64)
    spread = np.sqrt(np.mean(centred**2, axis=1, keepdims=True))
    bad = np.flatnonzero(~(np.isfinite(spread[:, 0]) & varies))
    if len(bad):
        raise ValueError(
            f"{name}: record {bad[0]} is constant or not finite ({len(bad)} such); leave dead channels and gaps out"
        )
    return (centred / spread).astype(np.float32)


def _places(
    event_groups: ArrayLike | None, noise_groups: ArrayLike | None, num_events: int, num_noises: int
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
    if len(set(of_noises)) == 1 and of_noises[0] in of_events:
        raise ValueError(f"noise_groups: found {names[of_noises[0]]} alone, expected noise of another place as well")
    return of_events, of_noises


def _ring(noise: Array) -> Array:
    """Fades the end of each record into its beginning with constant power."""
    fade = min(_FADE, noise.shape[1] // 4)
    length = noise.shape[1] - fade
    share = jnp.linspace(0, 1, fade, dtype=noise.dtype)[None, :]
    head = noise[:, :fade] * jnp.sqrt(share) + noise[:, length:] * jnp.sqrt(1 - share)
    return jnp.concatenate([head, noise[:, fade:length]], axis=1)


class _Chances(NamedTuple):
    """What is drawn for a pair, each uniform in [0, 1)."""

    event: Array
    begin: Array
    speed: Array
    polarity: Array
    noise: Array
    noise_begin: Array
    noise_speed: Array
    second: Array
    second_begin: Array
    second_speed: Array
    second_size: Array
    has_second: Array
    is_coloured: Array
    snr: Array
    is_silent: Array


@functools.partial(jax.jit, static_argnames=("num", "num_samples", "augment"))
def _draw(key: Array, arrays: _Arrays, num: int, num_samples: int, augment: bool) -> tuple[Array, ...]:
    events, noise, arrival, own_db, event_place, noise_place, limits = arrays
    lowest_db, highest_db, first, last, noise_only, strong = limits
    strongest_db = jnp.maximum(highest_db, _STRONGEST_DB)
    steps = jnp.arange(num_samples)
    length, period = events.shape[1], noise.shape[1]
    noise = jnp.concatenate([noise, noise[:, :1]], axis=1)  # the sample after the last one, to interpolate towards

    def speed(chance: Array) -> Array:
        return _SLOWEST + (_FASTEST - _SLOWEST) * chance if augment else jnp.ones_like(chance)

    def event_piece(chance: _Chances, row: Array, knots: Array) -> tuple[Array, Array]:
        stretch = speed(chance.speed)
        latest = length - 1 - num_samples * stretch
        placed = arrival[row] - stretch * num_samples * (first + (last - first) * chance.begin)
        begin = jnp.clip(jnp.where(jnp.isnan(arrival[row]), latest * chance.begin, placed), 0, latest)
        begin = begin if augment else jnp.floor(begin)
        piece = _interpolate(events[row], begin + steps * stretch)
        if augment:
            piece = jnp.where(chance.polarity < 0.5, 1, -1) * _colour(0.25 * knots, piece)
        return _standardise(piece), (arrival[row] - begin) / stretch

    def noise_piece(row: Array, begin: Array, stretch: Array) -> Array:
        return _standardise(_interpolate(noise[row], (jnp.floor(begin * period) + steps * stretch) % period))

    def pair(chances: tuple[_Chances, Array]) -> tuple[Array, ...]:
        chance, knots = chances
        row = jnp.int32(chance.event * len(events))
        others = jnp.cumsum(noise_place != event_place[row])

        def row_of(share: Array) -> Array:
            # The k-th row of another place is where the count of these passes k.
            return jnp.searchsorted(others, jnp.floor(share * others[-1]), side="right")

        noise_row = row_of(chance.noise)
        clean, begins = event_piece(chance, row, knots[0])
        added = noise_piece(noise_row, chance.noise_begin, speed(chance.noise_speed))
        if augment:
            second = noise_piece(row_of(chance.second), chance.second_begin, speed(chance.second_speed))
            added = added + jnp.where(chance.has_second < 0.3, chance.second_size, 0) * second
            added = _standardise(_colour(jnp.where(chance.is_coloured < 0.7, 0.8, 0) * knots[1], added))
        # One chance says both whether a pair is strong and how strong: either part of [0, 1) is stretched to the whole.
        usual_db = lowest_db + (highest_db - lowest_db) * chance.snr / (1 - strong)
        strong_db = highest_db + (strongest_db - highest_db) * (chance.snr - 1 + strong) / jnp.maximum(strong, 1e-6)
        strong_db = jnp.minimum(strong_db, jnp.maximum(own_db[row], highest_db))
        db = jnp.where(chance.snr < 1 - strong, usual_db, strong_db)
        db = jnp.where(chance.is_silent < noise_only, -jnp.inf, db)
        clean = clean * 10 ** (db / 20)
        scale = jnp.sqrt(jnp.mean(jnp.square(clean + added)))
        return (clean + added) / scale, clean / scale, db, begins, row, noise_row

    # One draw for all: each call of a generator is compiled by itself, which would take most of the time.
    uniform_key, normal_key = jax.random.split(key)
    chances = _Chances(*jax.random.uniform(uniform_key, (len(_Chances._fields), num), events.dtype))
    knots = jax.random.normal(normal_key, (num, 2, 8), events.dtype)
    return jax.lax.map(pair, (chances, knots), batch_size=_BLOCK)


def _interpolate(record: Array, at: Array) -> Array:
    before = jnp.clip(jnp.floor(at), 0, len(record) - 2).astype(jnp.int32)
    share = at - before
    return record[before] * (1 - share) + record[before + 1] * share


def _standardise(x: Array) -> Array:
    x = x - jnp.mean(x)
    return x / jnp.sqrt(jnp.mean(jnp.square(x)) + 1e-12)


def _colour(knots: Array, x: Array) -> Array:
    """Multiplies the spectrum by a smooth curve, whose logarithm is given at equal distances; phases stay."""
    at, given = (jnp.linspace(0, 1, num, dtype=x.dtype) for num in (len(x) // 2 + 1, len(knots)))
    log_gain = jnp.interp(at, given, knots)
    return jnp.fft.irfft(jnp.fft.rfft(x) * jnp.exp(log_gain), len(x))
