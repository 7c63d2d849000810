"""Denoising on the command line: train on a catalogue of events, apply to records of any length."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from aejax.cli.commands.notes import note
from aejax.cli.commands.options import Quiet

if TYPE_CHECKING:
    import numpy as np

    from aejax.base import Array, Model, Variables
    from aejax.data.formats.traces import Events
    from aejax.tasks.denoising.mixing import Mixtures

_FORMAT = 1
_KIND = "denoiser"
# Those of masking_autoencoder: the shortest window, and what the length of one should be a multiple of.
_FRAME, _HOP = 256, 64
# At such a ratio little is to be gained and much to be spoiled: measured beside the usual ones.
_STRONG_DB = 25.0


@dataclasses.dataclass(frozen=True)
class DenoiseTrainCommand:
    """Train a denoiser of signals: clean events, mixed with the noise that other stations recorded before theirs."""

    events: Positional[Path]
    """NPZ file: x (records, samples), arrival or itp (the sample where each event begins), group or station (names), or
    trace (NETWORK_STATION_TIME); optional sampling_rate (100 by default), snr_db, and scale for int16 numbers."""
    out: Path
    """Folder to write; it must not hold anything yet."""
    test_share: float = 0.2
    """Share of the stations that is kept out of training, to measure the gain on; 0 for none. At least two, since noise
    comes from another station than its event; none where fewer than three would be left to train on."""
    min_snr_db: float = 20.0
    """Signal-to-noise ratio above which a record counts as clean."""
    snr_db: tuple[float, float] = (-5.0, 10.0)
    """Lowest and highest signal-to-noise ratio of the mixtures; a fifth of them are stronger, up to 40 dB or the ratio
    of the record, so that strong events stay as they are."""
    num_samples: int | None = None
    """Length of the windows that the model sees; by default 3072, about 30 s at 100 samples a second, or less: the
    largest multiple of 64 whose 1.25-fold fits into a record. Files to denoise should be as long, or gain less."""
    num_rounds: int = 96
    """Rounds of training; each draws 512 new mixtures. The defaults take three and a half minutes on one core."""
    seed: int = 0
    """Of the stations kept out, the mixtures and the training."""
    quiet: Quiet = False


@dataclasses.dataclass(frozen=True)
class DenoiseCommand:
    """Denoise a miniSEED, SEG-Y or NPY file; the result has the same format and headers.

    Give traces at least as long as the windows of the training, 3072 samples by default: shorter ones gain less, a
    quarter as long 8 dB where 13 are gained, a twelfth as long 1. Gaps of 256 or more zeros stay as they are.
    """

    run: Positional[Path]
    """Folder that denoise-train wrote."""
    data: Positional[Path]
    """File to denoise, ending in .mseed, .miniseed, .ms, .sgy, .segy or .npy; what ends otherwise is looked into."""
    out: Path
    """File to write, of the same format."""
    sampling_rate: float | None = None
    """Samples a second of an NPY file; that of the training by default. The other formats say it themselves. Traces of
    another rate than the training's are resampled and back again."""
    quiet: Quiet = False


def run(command: DenoiseTrainCommand | DenoiseCommand) -> None:
    """Does what the command says.

    Args:
        command: one of the two.

    Raises:
        ValueError: options or files that do not fit; the message says which, and what to do.
        OSError: a file that cannot be read or written.
        ImportError: the extra ``seismic`` is needed and not installed.
    """
    if isinstance(command, DenoiseTrainCommand):
        _train(command)
    else:
        _denoise(command)


def load_denoiser(folder: str | Path) -> tuple["Model", "Variables", dict[str, Any]]:
    """Reads a folder that ``denoise-train`` wrote.

    Args:
        folder: the folder.

    Returns:
        The Model, its variables, and its config: ``num_samples`` and ``sampling_rate`` among others.

    Raises:
        FileNotFoundError: no such folder, or one whose training has not finished.
        ValueError: a file that cannot be read, or variables that do not fit the model.
    """
    import jax
    import jax.numpy as jnp

    from aejax.artefacts import storage
    from aejax.base import Batch
    from aejax.models.masking import masking_autoencoder

    folder = Path(folder)
    path = folder / "variables.safetensors"
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no trained denoiser: it has no {path.name}; aejax denoise-train makes one"
        )
    config = storage.read_json(folder / "config.json")
    if not isinstance(config, dict) or config.get("kind") != _KIND or config.get("format") != _FORMAT:
        raise ValueError(f"{folder / 'config.json'} is not the config of a denoiser of format {_FORMAT}")
    try:
        num_samples = int(config["num_samples"])
        float(config["sampling_rate"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / 'config.json'}: num_samples or sampling_rate is absent or no number") from error
    model = masking_autoencoder((num_samples,))
    expected = jax.eval_shape(model.init, jax.random.key(0), Batch(jnp.zeros((1, num_samples))))
    return model, storage.read_variables(path, expected), config


def _train(command: DenoiseTrainCommand) -> None:
    import jax
    import numpy as np

    from aejax.artefacts import storage
    from aejax.data.formats.traces import noise_before, read_events
    from aejax.models.masking import masking_autoencoder
    from aejax.tasks.denoising import fit_denoiser

    if command.out.exists() and any(command.out.iterdir()):
        raise FileExistsError(f"out: {command.out} is not empty; choose another folder")
    if not 0 <= command.test_share < 1:
        raise ValueError(f"test_share: found {command.test_share}, expected a share in [0, 1)")
    events = read_events(command.events)
    try:
        noise = noise_before(events)
    except ValueError as error:
        raise ValueError(f"{command.events}: {error}") from error
    split_key, fit_key, test_key = jax.random.split(jax.random.key(command.seed), 3)
    num_samples = _num_samples(command, events.x.shape[1])
    groups = np.unique(events.group)
    order = groups[np.asarray(jax.random.permutation(split_key, len(groups)))]
    num_held_out = _num_held_out(command.test_share, len(groups))
    held_out = np.isin(events.group, order[:num_held_out])
    if num_held_out:
        names = ", ".join(sorted(map(str, order[:num_held_out])))
        note(f"held out of training, {num_held_out} of {len(groups)} stations: {names}", command.quiet)
    elif command.test_share > 0:
        note(
            f"none of the {len(groups)} stations is held out, so no gain will be measured: that takes two, and three "
            "to train on; give events of more stations, or a larger --test-share",
            command.quiet,
        )
    is_clean = events.snr_db >= command.min_snr_db
    kept = is_clean & ~held_out
    if not kept.any():
        raise ValueError(
            f"min_snr_db: found no record for training above {command.min_snr_db} dB, expected some; lower it, or "
            "test_share"
        )
    model = masking_autoencoder((num_samples,))
    fitted = fit_denoiser(
        fit_key,
        events.x[kept],
        noise[~held_out],
        model=model,
        num_samples=num_samples,
        arrival=events.arrival[kept],
        event_groups=events.group[kept],
        noise_groups=events.group[~held_out],
        snr_db=command.snr_db,
        event_snr_db=events.snr_db[kept],
        num_rounds=command.num_rounds,
        progress=not command.quiet,
    )
    measured = {}
    if (is_clean & held_out).any():
        measured = _measure(test_key, command, num_samples, events, noise, held_out, model, fitted.variables)
    elif num_held_out:
        note(
            f"no gain was measured: found no record above {command.min_snr_db} dB at the {num_held_out} stations held "
            "out, expected at least one; lower --min-snr-db, or give another --seed or --test-share",
            command.quiet,
        )
    config = {
        "format": _FORMAT,
        "kind": _KIND,
        "num_samples": num_samples,
        "sampling_rate": events.sampling_rate,
        "held_out_groups": sorted(map(str, order[:num_held_out])),
        "measured_on_held_out_groups": measured,
        "train": {name: str(value) if isinstance(value, Path) else value for name, value in vars(command).items()},
        "environment": storage.environment(),
    }
    storage.write_json(command.out / "config.json", config)
    storage.write_history(command.out / "history.jsonl", fitted.history)
    storage.write_arrays(command.out / "variables.safetensors", fitted.variables)
    for name, value in measured.items():
        print(f"{name}: {value:.4g}")
    print(f"written to {command.out}")


def _num_samples(command: DenoiseTrainCommand, length: int) -> int:
    """The length of the windows; where none is given, the longest up to the usual one for which records suffice."""
    from aejax.tasks.denoising import NUM_SAMPLES
    from aejax.tasks.denoising.mixing import longest_piece, shortest_record

    if command.num_samples is not None:
        if command.num_samples < _FRAME:
            raise ValueError(
                f"num_samples: found {command.num_samples}, expected at least {_FRAME}, one frame of the spectrum"
            )
        return command.num_samples
    num_samples = min(longest_piece(length) // _HOP * _HOP, NUM_SAMPLES)
    if num_samples < _FRAME:
        raise ValueError(
            f"{command.events}: x: found records of {length} samples, expected {shortest_record(_FRAME)} or more, for "
            f"pieces of one frame of {_FRAME} samples; give longer ones"
        )
    if num_samples < NUM_SAMPLES:
        note(f"windows of {num_samples} samples, the longest for records of {length}", command.quiet)
    return num_samples


def _num_held_out(share: float, num_groups: int) -> int:
    """One station alone cannot be measured on, and one alone cannot be trained on: noise is of another."""
    count = round(share * num_groups)
    if share == 0 or count > 1:
        return count
    return 2 if num_groups >= 5 else 0


def _measure(
    key: "Array",
    command: DenoiseTrainCommand,
    num_samples: int,
    events: "Events",
    noise: "np.ndarray",
    held_out: "np.ndarray",
    model: "Model",
    variables: "Variables",
) -> dict[str, float]:
    """What the denoiser does to mixtures of events and noise from stations that it was not trained on."""
    import numpy as np

    from aejax.tasks.denoising import correlation, denoise, gain, onset_error
    from aejax.tasks.denoising.mixing import mixtures

    def draw(rows: "np.ndarray", num: int, snr_db: tuple[float, float]) -> "Mixtures":
        return mixtures(
            key,
            events.x[rows],
            noise[held_out],
            num,
            snr_db,
            num_samples=num_samples,
            arrival=events.arrival[rows],
            event_groups=events.group[rows],
            noise_groups=events.group[held_out],
        )

    pairs = draw(held_out & (events.snr_db >= command.min_snr_db), 200, command.snr_db)
    estimate = denoise(model, variables, pairs.noisy, num_samples=num_samples)
    late, late_noisy = (
        onset_error(pairs.clean, traces, pairs.arrival, sampling_rate=events.sampling_rate)
        for traces in (estimate, pairs.noisy)
    )
    measured = {
        "held-out stations": float(len(np.unique(events.group[held_out]))),
        "mean gain, dB": float(gain(pairs.noisy, pairs.clean, estimate).mean()),
        "mean correlation, noisy": float(correlation(pairs.clean, pairs.noisy).mean()),
        "mean correlation, denoised": float(correlation(pairs.clean, estimate).mean()),
        "onset error, noisy, median of the absolute, s": float(np.median(np.abs(late_noisy))),
        "onset error, denoised, median of the absolute, s": float(np.median(np.abs(late))),
        "onset error, noisy, median, s": float(np.median(late_noisy)),
        "onset error, denoised, median, s": float(np.median(late)),
    }
    # The own noise of weaker records would count as signal, and taking it as an error.
    strong = held_out & (events.snr_db >= _STRONG_DB + 10)
    if strong.any():
        pairs = draw(strong, 100, (_STRONG_DB, _STRONG_DB))
        estimate = denoise(model, variables, pairs.noisy, num_samples=num_samples)
        gains = gain(pairs.noisy, pairs.clean, estimate)
        measured[f"mean gain at {_STRONG_DB:g} dB, dB"] = float(gains.mean())
    return measured


def _denoise(command: DenoiseCommand) -> None:
    import sys
    import warnings

    from aejax.artefacts import storage
    from aejax.data.formats.traces import read_traces, write_traces
    from aejax.models.masking import masking_autoencoder
    from aejax.tasks.denoising import denoise

    storage.check_no_input(command.out, command.data)
    model, variables, config = load_denoiser(command.run)
    # obspy warns of each piece of a damaged file that it passes over: one line is enough.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        recording = read_traces(command.data)
    if caught:
        note(f"{command.data}: warnings on reading: {len(caught)}, the first: {caught[0].message}", command.quiet)
    if command.out.suffix.lower() == ".npy" and command.sampling_rate is None:
        note(f"taken as {config['sampling_rate']:g} samples a second; --sampling-rate says otherwise", command.quiet)
    is_watched = not command.quiet and sys.stderr.isatty()
    estimates: list[np.ndarray] = []
    num_short = 0
    for trace, rate, name in zip(*recording, strict=True):
        if is_watched:
            print(f"\rtrace {len(estimates) + 1} of {len(recording.traces)}", end="", file=sys.stderr, flush=True)
        if len(trace) < 2:  # between gaps; there is nothing to denoise
            estimates.append(trace)
            num_short += 1
            continue
        try:
            estimates.append(
                denoise(
                    model,
                    variables,
                    trace,
                    num_samples=config["num_samples"],
                    sampling_rate=rate or command.sampling_rate or config["sampling_rate"],
                    model_rate=config["sampling_rate"],
                    shorter=lambda length: masking_autoencoder((length,)),
                )
            )
        except ValueError as error:
            raise ValueError(f"{command.data}: trace {name}: {error}") from error
    if is_watched:
        print(file=sys.stderr)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the same file, read again
        write_traces(command.out, command.data, estimates)
    unchanged = f", {num_short} of them as they were, with fewer than two samples" if num_short else ""
    print(f"written {len(estimates)} traces to {command.out}{unchanged}")
