"""Pairs to learn denoising from: clean signals and the same with another place's noise."""

import functools
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from aejax.base import Array, ArrayLike, Batch, Draw, Drawn, PyTree
from aejax.tasks.denoising.drawing import BLOCK, FASTEST, Given
from aejax.tasks.denoising.drawing import draw as draw_pairs

# The ends of a noise record are faded into each other over this many samples, at most.
_FADE = 256


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
        augment=augment,
        noise_only=noise_only,
        strong=strong,
        event_snr_db=event_snr_db,
    )
    drawn = draw_pairs(key, arrays, -(-num // BLOCK) * BLOCK, num_samples, augment)
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
        >>> import jax
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
        noisy, clean, *_ = draw_pairs(key, arrays, num_rows, num_samples, True)
        return Batch(noisy, target=clean)

    return draw


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
) -> Given:
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
    return Given(
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
