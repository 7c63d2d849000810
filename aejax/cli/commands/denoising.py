"""Denoising on the command line: train on a catalogue of events, apply to records of any length."""

import dataclasses
import fnmatch
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from aejax.cli.commands.command import Command
from aejax.cli.commands.notes import note, warnings_noted
from aejax.cli.commands.options import Json, Quiet
from aejax.cli.commands.results import say

if TYPE_CHECKING:
    import numpy as np

    from aejax.data.formats.traces import Recording
    from aejax.tasks.denoising import Denoiser

# What is written beside a denoiser.
_BESIDE = ("training.json", "history.jsonl")
# Of a trace's energy: less above the band that was trained is not worth a note.
_MUCH_ABOVE = 1e-3


@dataclasses.dataclass(frozen=True)
class DenoiseTrainCommand:
    """Train a denoiser of signals: clean events, mixed with the noise that other stations recorded before theirs."""

    events: Positional[Path]
    """NPZ file: x (records, samples), arrival or itp (the sample where each event begins), group or station (names), or
    trace (NETWORK_STATION_TIME); optional sampling_rate (100 by default), snr_db, and scale for int16 numbers. x may be
    (records, components, samples)."""
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
    json: Json = False
    quiet: Quiet = False


@dataclasses.dataclass(frozen=True)
class DenoiseCommand:
    """Denoise a file of traces; the result has the same format and headers.

    MiniSEED, SEG-Y, SAC, GSE2, SU and NPY. Traces that cannot be denoised are written as they are, and named. Gaps
    stay: missing values, marks such as -999, 256 equal samples or more. Give traces at least as long as the windows of
    the training, 3072 samples by default: shorter ones gain less, a quarter as long 8 dB where 13 are gained, a twelfth
    as long 1.
    """

    run: Positional[Path]
    """Folder that denoise-train wrote."""
    data: Positional[Path]
    """File to denoise, ending in .mseed, .miniseed, .ms, .sgy, .segy, .sac, .gse2, .gse, .su or .npy; with another
    ending, its content decides."""
    out: Path
    """File to write, of the same format."""
    sampling_rate: float | None = None
    """Samples a second of all traces, whatever the file says. Without it: what the file says, and for NPY that of the
    training. Traces of another rate than the training's are resampled, and resampled back."""
    channels: tuple[str, ...] = ()
    """Channels to denoise, such as HHZ or 'HH?'; the others are written as they are. All by default."""
    stations: tuple[str, ...] = ()
    """Stations to denoise, such as PFO, AZ.PFO or 'AZ.*'; the others are written as they are. All by default."""
    remove_offset: bool = False
    """Take the mean from each trace that is denoised."""
    remove_above: bool = False
    """Remove what lies above half of the training's rate. Without it that stays as it is, noise included: the denoiser
    has not learned it."""
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
    stretches = fitted.noise.lengths()
    note(
        f"noise: {len(stretches)} stretches of {stretches.min()} to {stretches.max()} samples before events, "
        f"{int(np.median(stretches))} in the middle",
        command.quiet,
    )
    if command.num_samples is None and num_samples < NUM_SAMPLES:
        note(f"windows of {num_samples} samples, the longest for records of {length}", command.quiet)
    if fitted.held_out:
        count, names = len(np.unique(events.group)), ", ".join(fitted.held_out)
        note(f"held out of training, {len(fitted.held_out)} of {count} stations: {names}", command.quiet)
    training = {
        "held_out_groups": fitted.held_out,
        "measured_on_held_out_groups": fitted.measured,
        "noise": {"stretches": len(stretches), "fewest_samples": int(stretches.min()), "samples": int(stretches.sum())},
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in vars(command).items()},
    }
    storage.write_json(command.out / "training.json", training)
    storage.write_history(command.out / "history.jsonl", fitted.history)
    codecs.save(command.out, fitted.denoiser)
    manifest.note_files(command.out, _BESIDE)
    lines = [f"{name}: {value:.4g}" for name, value in fitted.measured.items()]
    found = {"figures": fitted.measured, "held_out": fitted.held_out, "written": str(command.out)}
    say(found, [*lines, f"written to {command.out}"], command.json)


def _is_unfinished(folder: Path) -> bool:
    """Whether a training was killed while it wrote its results: the denoiser comes last."""
    from aejax.artefacts import storage

    path = folder / _BESIDE[0]
    return path.is_file() and "measured_on_held_out_groups" in storage.read_json(path)


def _denoise(command: DenoiseCommand) -> None:
    from aejax.artefacts import codecs, storage
    from aejax.data.formats.traces import check_ending, write_traces
    from aejax.tasks.denoising import Denoiser

    storage.check_no_input(command.out, command.data)
    if command.data.is_file():
        check_ending(command.out, command.data)
    denoiser = codecs.load(command.run, Denoiser)
    recording = _read(command)
    rates = _rates(command, recording, denoiser)
    left = _left(command, recording, rates, denoiser)
    if len(left) == len(recording.traces):
        name, reason = next(iter(left.items()))
        raise ValueError(f"{command.data}: found no trace to denoise: trace {recording.names[name]}: {reason}")
    for reason in dict.fromkeys(left.values()):
        names = [recording.names[index] for index, why in left.items() if why == reason]
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        note(f"{len(names)} traces stay as they are, {reason}: {shown}", command.quiet)
    estimates = _denoised(command, recording.traces, rates, set(left), denoiser)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the same file, read again
        changed = write_traces(command.out, command.data, estimates)
    if changed:
        note(f"{command.out}: {changed}", command.quiet)
    unchanged = f", {len(left)} of them as they were" if left else ""
    print(f"written {len(estimates)} traces to {command.out}{unchanged}")


def _read(command: DenoiseCommand) -> "Recording":
    from aejax.data.formats.traces import read_traces

    # obspy warns of each piece of a damaged file that it passes over: one line is enough.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        recording = read_traces(command.data)
    if caught:
        note(f"{command.data}: warnings on reading: {len(caught)}, the first: {caught[0].message}", command.quiet)
    return recording


def _rates(command: DenoiseCommand, recording: "Recording", denoiser: "Denoiser") -> list[float]:
    """Samples a second of each trace: what was asked for, else what the file says, else that of the training."""
    asked, said = command.sampling_rate, sorted({rate for rate in recording.sampling_rates if rate is not None})
    if asked is not None:
        if not 0 < asked < float("inf"):
            raise ValueError(f"--sampling-rate: found {asked}, expected a positive number of samples a second")
        if any(abs(rate / asked - 1) > 1e-3 for rate in said):
            others = ", ".join(f"{rate:g}" for rate in said)
            note(f"taken as {asked:g} samples a second, as --sampling-rate says; the file says {others}", command.quiet)
        return [asked] * len(recording.traces)
    if recording.rate_problem:
        raise ValueError(recording.rate_problem)
    if None in recording.sampling_rates:
        note(f"taken as {denoiser.sampling_rate:g} samples a second; --sampling-rate says otherwise", command.quiet)
    return [denoiser.sampling_rate if rate is None else rate for rate in recording.sampling_rates]


def _left(command: DenoiseCommand, recording: "Recording", rates: list[float], denoiser: "Denoiser") -> dict[int, str]:
    """Why a trace stays as it is, by its number."""
    from aejax.tasks.denoising import why_unsuitable

    if command.channels or command.stations:
        unnamed = [name for name in recording.names if name.count(".") != 3]
        if unnamed:
            raise ValueError(
                f"--channels, --stations: found traces without names of channels in {command.data}, expected "
                "NETWORK.STATION.LOCATION.CHANNEL, as in miniSEED; leave these options out"
            )
    found = {}
    for index, (trace, name) in enumerate(zip(recording.traces, recording.names, strict=True)):
        reason = _not_chosen(name, command) or why_unsuitable(denoiser, trace, rates[index])
        if reason:
            found[index] = reason
    return found


def _not_chosen(name: str, command: DenoiseCommand) -> str:
    network, station, _, channel = name.split(".") if name.count(".") == 3 else ("", "", "", "")
    if command.channels and not any(fnmatch.fnmatchcase(channel, one) for one in command.channels):
        return "not of --channels"
    if command.stations and not any(
        fnmatch.fnmatchcase(shown, one) for one in command.stations for shown in (station, f"{network}.{station}")
    ):
        return "not of --stations"
    return ""


def _denoised(
    command: DenoiseCommand, traces: "list[np.ndarray]", rates: list[float], left: set[int], denoiser: "Denoiser"
) -> "list[np.ndarray]":
    import sys

    from aejax.data.gaps import find_gaps
    from aejax.tasks.denoising import denoise, share_above

    is_watched = not command.quiet and sys.stderr.isatty()
    options = {"keep_offset": not command.remove_offset, "keep_above": not command.remove_above}
    estimates, missing, above = [], 0, 0.0
    for index, (trace, rate) in enumerate(zip(traces, rates, strict=True)):
        if is_watched:
            print(f"\rtrace {index + 1} of {len(traces)}", end="", file=sys.stderr, flush=True)
        if index in left:
            estimates.append(trace)
            continue
        estimates.append(denoise(denoiser, trace, rate, **options))
        missing += int(sum(end - begin for begin, end in find_gaps(trace)))
        above = max(above, share_above(denoiser, trace, rate))
    if is_watched:
        print(file=sys.stderr)
    if missing:
        note(f"gaps of {missing} samples in all stay as they are", command.quiet)
    if above > _MUCH_ABOVE:
        what = "is removed" if command.remove_above else "stays as it is (--remove-above removes it)"
        note(
            f"what lies above {denoiser.sampling_rate / 2:g} Hz, up to {100 * above:.2g} % of a trace's energy, "
            f"{what}: the denoiser was trained at {denoiser.sampling_rate:g} samples a second",
            command.quiet,
        )
    return estimates


COMMANDS = {
    "denoise-train": Command(DenoiseTrainCommand, run, folder=lambda command: command.out),
    "denoise": Command(DenoiseCommand, run),
}
