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
# A piece of an event that varies less, of the record's standard deviation, is a filled gap.
_STANDSTILL = 1e-5


class Given(NamedTuple):
    """What pairs are drawn from, on the device.

    Attributes:
        events: (n, length), of mean 0 and mean square 1.
        noise: (m, longest), stretches with a standard deviation of 1, and zeros behind them.
        noise_length: (m,), in samples.
        noise_row: (m,), what each is a part of, as the caller counts.
        arrival: (n,), NaN where not known.
        own_db: (n,), the ratios of the records themselves.
        event_place: (n,), a number for each place.
        noise_place: (m,), likewise, in rising order.
        fade: samples over which one stretch is faded into the next.
        limits: the lowest and highest ratio, the range of arrivals, the shares without an event and of strong pairs.
    """

    events: Array
    noise: Array
    noise_length: Array
    noise_row: Array
    arrival: Array
    own_db: Array
    event_place: Array
    noise_place: Array
    fade: Array
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


class _Links(NamedTuple):
    """What is drawn for each stretch of a noise that is joined, each (num_links,), uniform in [0, 1)."""

    row: Array
    begin: Array
    polarity: Array


@functools.partial(jax.jit, static_argnames=("num", "num_samples", "num_links", "augment"))
def draw(key: Array, arrays: Given, num: int, num_samples: int, num_links: int, augment: bool) -> tuple[Array, ...]:
    """Draws pairs.

    Args:
        key: PRNG key.
        arrays: what they are drawn from.
        num: how many.
        num_samples: length of a piece.
        num_links: stretches of noise that a piece can be joined from.
        augment: whether speed, colour and polarity vary.

    Returns:
        Noisy and clean (num, num_samples); ratio in dB, arrival, event and noise (num,), as in ``Mixtures``.
    """
    events, arrival, own_db = arrays.events, arrays.arrival, arrays.own_db
    lowest_db, highest_db, first, last, noise_only, strong = arrays.limits
    strongest_db = jnp.maximum(highest_db, _STRONGEST_DB)
    steps = jnp.arange(num_samples)
    length = events.shape[1]

    def speed(chance: Array) -> Array:
        return _SLOWEST + (FASTEST - _SLOWEST) * chance if augment else jnp.ones_like(chance)

    def event_piece(chance: _Chances, row: Array, knots: Array) -> tuple[Array, Array, Array]:
        stretch = speed(chance.speed)
        latest = length - 1 - num_samples * stretch
        placed = arrival[row] - stretch * num_samples * (first + (last - first) * chance.begin)
        begin = jnp.clip(jnp.where(jnp.isnan(arrival[row]), latest * chance.begin, placed), 0, latest)
        begin = begin if augment else jnp.floor(begin)
        piece = _interpolate(events[row], begin + steps * stretch)
        stands_still = jnp.max(piece) - jnp.min(piece) < _STANDSTILL
        if augment:
            piece = jnp.where(chance.polarity < 0.5, 1, -1) * _colour(0.25 * knots, piece)
        return _standardise(piece), (arrival[row] - begin) / stretch, stands_still

    def noise_piece(row: Array, begin: Array, links: _Links, stretch: Array) -> Array:
        return _standardise(_joined(arrays, row, begin, links, steps * stretch))

    def pair(chances: tuple[_Chances, _Links, _Links, Array]) -> tuple[Array, ...]:
        chance, links, second_links, knots = chances
        row = jnp.int32(chance.event * len(events))
        others = jnp.cumsum(arrays.noise_place != arrays.event_place[row])

        def row_of(share: Array) -> Array:
            # The k-th row of another place is where the count of these passes k.
            return jnp.searchsorted(others, jnp.floor(share * others[-1]), side="right")

        noise_row = row_of(chance.noise)
        clean, begins, stands_still = event_piece(chance, row, knots[0])
        added = noise_piece(noise_row, chance.noise_begin, links, speed(chance.noise_speed))
        if augment:
            second_row, stretch = row_of(chance.second), speed(chance.second_speed)
            second = noise_piece(second_row, chance.second_begin, second_links, stretch)
            added = added + jnp.where(chance.has_second < 0.3, chance.second_size, 0) * second
            added = _standardise(_colour(jnp.where(chance.is_coloured < 0.7, 0.8, 0) * knots[1], added))
        # One chance says both whether a pair is strong and how strong: either part of [0, 1) is stretched to the whole.
        usual_db = lowest_db + (highest_db - lowest_db) * chance.snr / (1 - strong)
        strong_db = highest_db + (strongest_db - highest_db) * (chance.snr - 1 + strong) / jnp.maximum(strong, 1e-6)
        strong_db = jnp.minimum(strong_db, jnp.maximum(own_db[row], highest_db))
        db = jnp.where(chance.snr < 1 - strong, usual_db, strong_db)
        db = jnp.where((chance.is_silent < noise_only) | stands_still, -jnp.inf, db)
        clean = clean * 10 ** (db / 20)
        scale = jnp.sqrt(jnp.mean(jnp.square(clean + added)))
        return (clean + added) / scale, clean / scale, db, begins, row, arrays.noise_row[noise_row]

    # One draw for all: each call of a generator is compiled by itself, which would take most of the time.
    uniform_key, normal_key = jax.random.split(key)
    num_chances, num_links_each = len(_Chances._fields), len(_Links._fields) * num_links
    uniform = jax.random.uniform(uniform_key, (num_chances + 2 * num_links_each, num), events.dtype)
    of_links = uniform[num_chances:].reshape(2, len(_Links._fields), num_links, num).swapaxes(2, 3)
    knots = jax.random.normal(normal_key, (num, 2, 8), events.dtype)
    chances = (_Chances(*uniform[:num_chances]), _Links(*of_links[0]), _Links(*of_links[1]), knots)
    return jax.lax.map(pair, chances, batch_size=BLOCK)


def _joined(arrays: Given, row: Array, begin: Array, links: _Links, at: Array) -> Array:
    """Noise at rising places: of one stretch where it is long enough, else of several from the same place.

    Where one ends it is faded into the next with constant power. Which one comes next, where in its first half it
    begins and its sign are drawn, so that nothing repeats itself at a fixed distance.
    """
    place = arrays.noise_place[row]
    first = jnp.searchsorted(arrays.noise_place, place, side="left")
    behind = jnp.searchsorted(arrays.noise_place, place, side="right")
    rows = (first + jnp.floor(links.row * (behind - first))).astype(jnp.int32).at[0].set(row)
    lengths = arrays.noise_length[rows]
    to_spare = lengths[0] - 2 - at[-1]
    latest = (lengths / 2).at[0].set(jnp.where(to_spare >= 0, to_spare, lengths[0] / 2))
    begins = jnp.floor(links.begin.at[0].set(begin) * latest)
    signs = jnp.where(links.polarity < 0.5, 1.0, -1.0)
    # A stretch that is long enough lasts to the end, its last samples are not faded.
    starts = jnp.cumsum(lengths - begins - arrays.fade) - (lengths - begins - arrays.fade)
    starts = jnp.where((to_spare >= 0) & (jnp.arange(len(rows)) > 0), jnp.inf, starts)
    which = jnp.searchsorted(starts, at, side="right") - 1

    def of(link: Array) -> Array:
        inside = begins[link] + at - starts[link]
        before = jnp.clip(jnp.floor(inside), 0, lengths[link] - 2).astype(jnp.int32)
        share = jnp.clip(inside - before, 0, 1)
        record = rows[link]
        return signs[link] * (arrays.noise[record, before] * (1 - share) + arrays.noise[record, before + 1] * share)

    share = jnp.where(which == 0, 1, jnp.clip((at - starts[which]) / arrays.fade, 0, 1))
    return jnp.sqrt(share) * of(which) + jnp.sqrt(1 - share) * of(jnp.maximum(which - 1, 0))


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
