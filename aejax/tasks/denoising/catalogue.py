"""A denoiser from a catalogue of events: whom to train on, how long the windows are, what was gained on others."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from aejax.base import Array
from aejax.data.formats.traces import Events, noise_before
from aejax.tasks.denoising.denoiser import NUM_SAMPLES, Denoiser, fit_denoiser
from aejax.tasks.denoising.mixing import Mixtures, longest_piece, mixtures, shortest_record
from aejax.tasks.denoising.quality import evaluate_denoiser
from aejax.training import Progress

# Those of masking_autoencoder: the shortest window, and what the length of one should be a multiple of.
_FRAME, _HOP = 256, 64
# At such a ratio little is to be gained and much to be spoiled: measured beside the usual ones.
_STRONG_DB = 25.0
_NUM_PAIRS, _NUM_STRONG_PAIRS = 200, 100


class CatalogueFit(NamedTuple):
    """A denoiser and how it was made.

    Attributes:
        denoiser: the Denoiser.
        history: metrics by name, each (num_rounds,).
        held_out: names of the groups that it was not trained on.
        measured: numbers by name, on pairs of these groups; empty where none could be measured.
    """

    denoiser: Denoiser
    history: dict[str, np.ndarray]
    held_out: tuple[str, ...]
    measured: dict[str, float]


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

    Clean are the events above ``min_snr_db``; noise is what other groups recorded before theirs.

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
        UserWarning: nothing could be held out or measured; says why.

    Raises:
        ValueError: events that do not fit, or a number out of range; the message says which.
    """
    if not 0 <= test_share < 1:
        raise ValueError(f"test_share: found {test_share}, expected a share in [0, 1)")
    noise = noise_before(events)
    if num_samples is None:
        num_samples = window_length(events.x.shape[1])
    elif num_samples < _FRAME:
        raise ValueError(f"num_samples: found {num_samples}, expected at least {_FRAME}, one frame of the spectrum")
    split_key, fit_key, test_key = jax.random.split(key, 3)
    names = _held_out(split_key, np.unique(events.group), test_share)
    is_held_out = np.isin(events.group, names)
    is_clean = events.snr_db >= min_snr_db
    train = is_clean & ~is_held_out
    if not train.any():
        raise ValueError(
            f"min_snr_db: found no record for training above {min_snr_db} dB, expected some; lower it, or test_share"
        )
    denoiser, history = fit_denoiser(
        fit_key,
        events.x[train],
        noise[~is_held_out],
        sampling_rate=events.sampling_rate,
        num_samples=num_samples,
        arrival=events.arrival[train],
        event_groups=events.group[train],
        noise_groups=events.group[~is_held_out],
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
    return CatalogueFit(denoiser, history, tuple(sorted(map(str, names))), measured)


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
    noise: np.ndarray,
    is_held_out: np.ndarray,
    min_snr_db: float,
    snr_db: tuple[float, float],
) -> dict[str, float]:
    """What the denoiser does to mixtures of events and noise from groups that it was not trained on."""

    def draw(rows: np.ndarray, num: int, snr_db: tuple[float, float]) -> Mixtures:
        return mixtures(
            key,
            events.x[rows],
            noise[is_held_out],
            num,
            snr_db,
            num_samples=denoiser.num_samples,
            arrival=events.arrival[rows],
            event_groups=events.group[rows],
            noise_groups=events.group[is_held_out],
        )

    pairs = draw(is_held_out & (events.snr_db >= min_snr_db), _NUM_PAIRS, snr_db)
    measured = {"held-out stations": float(len(np.unique(events.group[is_held_out])))}
    measured |= evaluate_denoiser(denoiser, pairs.noisy, pairs.clean, pairs.arrival)
    # The own noise of weaker records would count as signal, and taking it as an error.
    strong = is_held_out & (events.snr_db >= _STRONG_DB + 10)
    if strong.any():
        pairs = draw(strong, _NUM_STRONG_PAIRS, (_STRONG_DB, _STRONG_DB))
        found = evaluate_denoiser(denoiser, pairs.noisy, pairs.clean)
        measured[f"mean gain at {_STRONG_DB:g} dB, dB"] = found["mean gain, dB"]
    return measured
