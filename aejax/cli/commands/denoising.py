"""Denoising on the command line: train on a catalogue of events, apply to records of any length."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from aejax.cli.commands.notes import note, warnings_noted
from aejax.cli.commands.options import Quiet

if TYPE_CHECKING:
    import numpy as np

# What is written beside a denoiser.
_BESIDE = ("training.json", "history.jsonl")


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
    comes from another station than its event; none where a single one would be left to train on."""
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
    """File to denoise, ending in .mseed, .miniseed, .ms, .sgy, .segy or .npy; with another ending, its content
    decides."""
    out: Path
    """File to write, of the same format."""
    sampling_rate: float | None = None
    """Samples a second of an NPY file; that of the training by default. The other formats hold it. Traces of
    another rate than the training's are resampled, and resampled back."""
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


def _train(command: DenoiseTrainCommand) -> None:
    import jax
    import numpy as np

    from aejax.artefacts import codecs, manifest, storage
    from aejax.data.formats.traces import read_events
    from aejax.tasks.denoising import NUM_SAMPLES, fit_to_catalogue

    if not manifest.is_free(command.out, *(_BESIDE if _is_unfinished(command.out) else ())):
        raise FileExistsError(f"out: {command.out} is not empty; choose another folder")
    events = read_events(command.events)
    try:
        with warnings_noted(command.quiet):
            fitted = fit_to_catalogue(
                jax.random.key(command.seed),
                events,
                test_share=command.test_share,
                min_snr_db=command.min_snr_db,
                snr_db=command.snr_db,
                num_samples=command.num_samples,
                num_rounds=command.num_rounds,
                progress=not command.quiet,
            )
    except ValueError as error:
        raise ValueError(f"{command.events}: {error}") from error
    num_samples, length = fitted.denoiser.num_samples, events.x.shape[1]
    if command.num_samples is None and num_samples < NUM_SAMPLES:
        note(f"windows of {num_samples} samples, the longest for records of {length}", command.quiet)
    if fitted.held_out:
        count, names = len(np.unique(events.group)), ", ".join(fitted.held_out)
        note(f"held out of training, {len(fitted.held_out)} of {count} stations: {names}", command.quiet)
    training = {
        "held_out_groups": fitted.held_out,
        "measured_on_held_out_groups": fitted.measured,
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in vars(command).items()},
    }
    storage.write_json(command.out / "training.json", training)
    storage.write_history(command.out / "history.jsonl", fitted.history)
    codecs.save(command.out, fitted.denoiser)
    manifest.note_files(command.out, _BESIDE)
    for name, value in fitted.measured.items():
        print(f"{name}: {value:.4g}")
    print(f"written to {command.out}")


def _is_unfinished(folder: Path) -> bool:
    """Whether a training was killed while it wrote its results: the denoiser comes last."""
    from aejax.artefacts import storage

    path = folder / _BESIDE[0]
    return path.is_file() and "measured_on_held_out_groups" in storage.read_json(path)


def _denoise(command: DenoiseCommand) -> None:
    import sys
    import warnings

    from aejax.artefacts import codecs, storage
    from aejax.data.formats.traces import read_traces, write_traces
    from aejax.tasks.denoising import Denoiser, denoise

    storage.check_no_input(command.out, command.data)
    denoiser = codecs.load(command.run, Denoiser)
    # obspy warns of each piece of a damaged file that it passes over: one line is enough.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        recording = read_traces(command.data)
    if caught:
        note(f"{command.data}: warnings on reading: {len(caught)}, the first: {caught[0].message}", command.quiet)
    if command.out.suffix.lower() == ".npy" and command.sampling_rate is None:
        note(f"taken as {denoiser.sampling_rate:g} samples a second; --sampling-rate says otherwise", command.quiet)
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
            estimates.append(denoise(denoiser, trace, rate or command.sampling_rate))
        except ValueError as error:
            raise ValueError(f"{command.data}: trace {name}: {error}") from error
    if is_watched:
        print(file=sys.stderr)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the same file, read again
        write_traces(command.out, command.data, estimates)
    unchanged = f", {num_short} of them as they were, with fewer than two samples" if num_short else ""
    print(f"written {len(estimates)} traces to {command.out}{unchanged}")
