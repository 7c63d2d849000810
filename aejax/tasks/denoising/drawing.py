"""One draw of pairs, compiled: which event, which noise, which piece of each, and how loud."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from aejax.base import Array

BLOCK = 64
_SLOWEST, FASTEST = 0.8, 1.25
# The highest ratio of strong pairs: records are hardly cleaner themselves.
_STRONGEST_DB = 40.0


class Given(NamedTuple):
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
def draw(key: Array, arrays: Given, num: int, num_samples: int, augment: bool) -> tuple[Array, ...]:
    """Draws pairs.

    Args:
        key: PRNG key.
        arrays: what they are drawn from.
        num: how many.
        num_samples: length of a piece.
        augment: whether speed, colour and polarity vary.

    Returns:
        Noisy and clean (num, num_samples); ratio in dB, arrival, event and noise (num,), as in ``Mixtures``.
    """
    events, noise, arrival, own_db, event_place, noise_place, limits = arrays
    lowest_db, highest_db, first, last, noise_only, strong = limits
    strongest_db = jnp.maximum(highest_db, _STRONGEST_DB)
    steps = jnp.arange(num_samples)
    length, period = events.shape[1], noise.shape[1]
    noise = jnp.concatenate([noise, noise[:, :1]], axis=1)  # the sample after the last one, to interpolate towards

    def speed(chance: Array) -> Array:
        return _SLOWEST + (FASTEST - _SLOWEST) * chance if augment else jnp.ones_like(chance)

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
    return jax.lax.map(pair, (chances, knots), batch_size=BLOCK)


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
