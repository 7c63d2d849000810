"""A denoiser from a catalogue of events: whom to train on, how long the windows are, what was gained on others."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from aejax.base import Array
from aejax.data.formats.events import Events, noise_before
from aejax.data.gaps import between, find_gaps
from aejax.tasks.denoising.denoiser import NUM_SAMPLES, Denoiser, fit_denoiser
from aejax.tasks.denoising.mixing import STANDSTILL, Mixtures, longest_piece, mixtures, shortest_record
from aejax.tasks.denoising.quality import evaluate_denoiser
from aejax.training import Progress

# Those of masking_autoencoder: the shortest window, and what the length of one should be a multiple of.
_FRAME, _HOP = 256, 64
# Fewer samples of noise say nothing.
_FEWEST = 16
# At such a ratio little is to be gained and much to be spoiled: measured beside the usual ones.
_STRONG_DB = 25.0
# Gains of pairs differ by 7 dB: their mean is known to 0.12 dB.
_NUM_PAIRS, _NUM_STRONG_PAIRS = 3000, 100
# Records that are shorter than a window by so little gain as much.
_NEARLY = 0.9


class NoiseStretches(NamedTuple):
    """What the records of a catalogue hold before their events, between gaps.

    Attributes:
        pieces: arrays, each without a gap.
        row: (pieces,), the record of each.
        offset: (records,), the zero line of each record.
        left_out: rows of the records that give none.
    """

    pieces: list[np.ndarray]
    row: np.ndarray
    offset: np.ndarray
    left_out: np.ndarray

    def lengths(self) -> np.ndarray:
        """Samples of each piece."""
        return np.array([len(piece) for piece in self.pieces])

    def chosen(self, is_chosen: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """The pieces for which it is true, and their rows."""
        return [piece for piece, keep in zip(self.pieces, is_chosen, strict=True) if keep], self.row[is_chosen]


class CatalogueFit(NamedTuple):
    """A denoiser and how it was made.

    Attributes:
        denoiser: the Denoiser.
        history: metrics by name, each (num_rounds,).
        held_out: names of the groups that it was not trained on.
        measured: numbers by name, on pairs of these groups; empty where none could be measured.
        noise: the NoiseStretches of the catalogue.
    """

    denoiser: Denoiser
    history: dict[str, np.ndarray]
    held_out: tuple[str, ...]
    measured: dict[str, float]
    noise: NoiseStretches


def fit_to_catalogue(
    key: Array,
    events: Events,
    *,
    test_share: float = 0.2,
    min_snr_db: float = 20.0,
    snr_db: tuple[float, float] = (-5.0, 10.0),
    num_samples: int | None = None,
    num_rounds: int = 96,
    progress: bool | Callable[[Progress], None] = False,
) -> CatalogueFit:
    """Trains on a part of a catalogue's groups, and measures the gain on the others.

    Clean are the events above ``min_snr_db``; noise is what other groups recorded before theirs. Where that is shorter
    than a window, stretches of one group are joined (see ``mixtures``). The gain is measured on noise that is not
    joined, as in records to come, where there is enough of it; else on joined noise, and once more on short records.

    Args:
        key: PRNG key, of the groups held out, the mixtures and the training.
        events: the catalogue.
        test_share: share of the groups that is kept out of training; 0 for none. At least two are, since noise is of
            another group than its event; none where a single one would be left to train on.
        min_snr_db: ratio above which a record counts as clean.
        snr_db: lowest and highest ratio of the mixtures, as in ``fit_denoiser``.
        num_samples: length of the windows; ``window_length`` of the records if None.
        num_rounds: of training.
        progress: as in ``fit_denoiser``.

    Returns:
        The CatalogueFit.

    Warns:
        UserWarning: nothing could be held out or measured, noise was left out, or most of it is shorter than a window;
            says why.

    Raises:
        ValueError: events that do not fit, or a number out of range; the message says which.
    """
    if not 0 <= test_share < 1:
        raise ValueError(f"test_share: found {test_share}, expected a share in [0, 1)")
    noise = noise_stretches(events)
    if num_samples is None:
        num_samples = window_length(events.x.shape[1])
    elif num_samples < _FRAME:
        raise ValueError(f"num_samples: found {num_samples}, expected at least {_FRAME}, one frame of the spectrum")
    _warn_of_noise(events, noise, num_samples)
    split_key, fit_key, test_key = jax.random.split(key, 3)
    names = _held_out(split_key, np.unique(events.group[noise.row]), test_share)
    is_held_out = np.isin(events.group, names)
    is_clean = events.snr_db >= min_snr_db
    train = is_clean & ~is_held_out
    if not train.any():
        raise ValueError(
            f"min_snr_db: found no record for training above {min_snr_db} dB, expected some; lower it, or test_share"
        )
    pieces, rows = noise.chosen(~is_held_out[noise.row])
    denoiser, history = fit_denoiser(
        fit_key,
        events.x[train],
        pieces,
        sampling_rate=events.sampling_rate,
        num_samples=num_samples,
        arrival=events.arrival[train],
        event_groups=events.group[train],
        noise_groups=events.group[rows],
        noise_offset=noise.offset[rows],
        snr_db=snr_db,
        event_snr_db=events.snr_db[train],
        num_rounds=num_rounds,
        progress=progress,
    )
    measured = {}
    if (is_clean & is_held_out).any():
        measured = _measured(test_key, denoiser, events, noise, is_held_out, min_snr_db, snr_db)
    elif len(names):
        warnings.warn(
            f"no gain was measured: found no record above {min_snr_db} dB at the {len(names)} stations held out, "
            "expected at least one; lower min_snr_db, or give another key or test_share",
            stacklevel=2,
        )
    return CatalogueFit(denoiser, history, tuple(sorted(map(str, names))), measured, noise)


def noise_stretches(events: Events) -> NoiseStretches:
    """The noise before the events, without gaps; pieces shorter than a frame of the spectrum are left out.

    Where most are as short, those of less than half of the median are.

    Args:
        events: the catalogue.

    Returns:
        The NoiseStretches.

    Raises:
        ValueError: no record has 16 samples of noise.

    Example:
        >>> x = np.random.default_rng(0).standard_normal((2, 900))
        >>> found = noise_stretches(Events(x, np.array([600, 200]), np.array(["A", "B"]), np.zeros(2), 100.0))
        >>> found.lengths(), found.left_out
        (array([550]), array([1]))
    """
    pieces: list[np.ndarray] = []
    rows: list[int] = []
    noise = noise_before(events)
    fewest = int(np.clip(np.median([len(record) for record in noise]) / 2, _FEWEST, _FRAME))
    for row, record in enumerate(noise):
        for begin, end in between(find_gaps(record, STANDSTILL), len(record), fewest):
            pieces.append(record[begin:end])
            rows.append(row)
    if not pieces:
        longest = max(noise, key=len)
        raise ValueError(
            f"arrival: found at most {len(longest)} samples of noise before an event, or noise that stands still, "
            f"expected {fewest} without a gap before some; give longer records, or arrivals in samples if these are "
            "seconds"
        )
    offset = np.median(events.x, axis=1)
    return NoiseStretches(pieces, np.array(rows), offset, np.setdiff1d(np.arange(len(events.x)), rows))


def _warn_of_noise(events: Events, noise: NoiseStretches, num_samples: int) -> None:
    if len(noise.left_out):
        first = noise.left_out[0]
        warnings.warn(
            f"noise of {len(noise.left_out)} of {len(events.x)} records is left out, as too few samples without a gap "
            f"come before the event: the first is record {first} (counted from 0) of "
            f"{events.group[first]}, whose event begins at sample {events.arrival[first]}",
            stacklevel=3,
        )
    lengths, rate = noise.lengths(), events.sampling_rate
    if np.median(lengths) < _NEARLY * num_samples:
        warnings.warn(
            f"noise is short: stretches of {lengths.min()} to {lengths.max()} samples ({lengths.min() / rate:.3g} to "
            f"{lengths.max() / rate:.3g} s) are joined to windows of {num_samples} ({num_samples / rate:.3g} s)"
            f"{', and shorter than a frame, so that the gain may be wrong' if np.median(lengths) < _FRAME else ''}; "
            "give records that begin earlier if you have them",
            stacklevel=3,
        )


def window_length(record_length: int) -> int:
    """The length of windows that suits records: the usual 3,072 samples, or the longest that they are enough for.

    Args:
        record_length: in samples.

    Returns:
        A multiple of 64, at least 256.

    Raises:
        ValueError: records too short for any window.

    Example:
        >>> window_length(6000), window_length(600)
        (3072, 448)
    """
    num_samples = min(longest_piece(record_length) // _HOP * _HOP, NUM_SAMPLES)
    if num_samples < _FRAME:
        raise ValueError(
            f"x: found records of {record_length} samples, expected {shortest_record(_FRAME)} or more, for pieces of "
            f"one frame of {_FRAME} samples; give longer ones"
        )
    return num_samples


def _held_out(key: Array, groups: np.ndarray, share: float) -> np.ndarray:
    """One group alone cannot be measured on, and one alone cannot be trained on: noise is of another."""
    count = round(share * len(groups))
    if share > 0 and (count <= 1 or len(groups) - count < 2):
        count = 2 if count <= 1 and len(groups) >= 5 else 0
        if not count:
            warnings.warn(
                f"none of the {len(groups)} stations is held out, so no gain will be measured: that takes two, and "
                "others to train on; give events of more stations, or another test_share",
                stacklevel=3,
            )
    return groups[np.asarray(jax.random.permutation(key, len(groups)))][:count]


def _measured(
    key: Array,
    denoiser: Denoiser,
    events: Events,
    noise: NoiseStretches,
    is_held_out: np.ndarray,
    min_snr_db: float,
    snr_db: tuple[float, float],
) -> dict[str, float]:
    """What the denoiser does to mixtures of events and noise from groups that it was not trained on."""
    window, lengths = denoiser.num_samples, noise.lengths()
    of_others = is_held_out[noise.row]

    def draw(rows: np.ndarray, num: int, snr_db: tuple[float, float], length: int, is_chosen: np.ndarray) -> Mixtures:
        pieces, of_pieces = noise.chosen(is_chosen)
        drawn = mixtures(
            key,
            events.x[rows],
            pieces,
            num,
            snr_db,
            num_samples=length,
            arrival=events.arrival[rows],
            event_groups=events.group[rows],
            noise_groups=events.group[of_pieces],
            noise_offset=noise.offset[of_pieces],
        )
        return Mixtures(*(field[np.isfinite(drawn.snr_db)] for field in drawn))

    clean = is_held_out & (events.snr_db >= min_snr_db)
    unbroken = _unbroken_length(events.group[noise.row][of_others], lengths[of_others], window)
    is_joined = unbroken < _NEARLY * window
    length = window if is_joined else unbroken
    chosen = of_others if is_joined else of_others & (lengths > length)
    pairs = draw(clean, _NUM_PAIRS, snr_db, length, chosen)
    measured = {"held-out stations": float(len(np.unique(events.group[is_held_out]))), "samples of a record": length}
    measured |= evaluate_denoiser(denoiser, pairs.noisy, pairs.clean, pairs.arrival)
    if is_joined and unbroken:
        short = draw(clean, _NUM_PAIRS, snr_db, unbroken, of_others & (lengths > unbroken))
        found = evaluate_denoiser(denoiser, short.noisy, short.clean)
        measured[f"mean gain on records of {unbroken} samples, dB"] = found["mean gain, dB"]
    # The own noise of weaker records would count as signal, and taking it as an error.
    strong = is_held_out & (events.snr_db >= _STRONG_DB + 10)
    if strong.any():
        pairs = draw(strong, _NUM_STRONG_PAIRS, (_STRONG_DB, _STRONG_DB), length, chosen)
        found = evaluate_denoiser(denoiser, pairs.noisy, pairs.clean)
        measured[f"mean gain at {_STRONG_DB:g} dB, dB"] = found["mean gain, dB"]
    return measured


def _unbroken_length(groups: np.ndarray, lengths: np.ndarray, window: int) -> int:
    """The longest records, up to a window, whose noise half of the groups have in one piece; 0 where none is."""
    longest = np.sort([lengths[groups == group].max() for group in np.unique(groups)])[::-1]
    half = max(-(-len(longest) // 2), 2)
    if len(longest) < half:
        return 0
    length = min(int(longest[half - 1]) - 1, window) // _HOP * _HOP
    return length if length >= _FRAME else 0
