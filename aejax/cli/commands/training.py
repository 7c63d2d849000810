"""``aejax train`` and ``aejax report``: a run folder from a table, and its page of pictures."""

import contextlib
import dataclasses
import functools
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, arg

from aejax.artefacts.outside import reading
from aejax.cli.commands import tracking
from aejax.cli.commands.command import Command
from aejax.cli.commands.notes import note
from aejax.cli.commands.options import Json, Quiet, flags_that_differ
from aejax.cli.commands.results import say
from aejax.cli.commands.tables import training_table
from aejax.data.formats.options import ReadOptions
from aejax.tables.config import TrainConfig

if TYPE_CHECKING:
    from aejax.data.formats.tables import Table
    from aejax.reports.pages import Panel
    from aejax.tables.large import LargeTable
    from aejax.tables.run import Run

# What belongs to a run beside the run itself; ``aejax verify`` compares it.
BESIDE = ("config.json", "record/artefact.json", "report.html")
# Only the folder of a demo holds it.
DEMO = "demo.json"


@dataclasses.dataclass(frozen=True)
class TrainCommand:
    """Train a model on a table, or resume a run that was interrupted."""

    data: Positional[Annotated[str | None, arg(metavar="DATA")]] = None
    """File, folder of files or pattern such as 'day_*.csv'; - for standard input."""
    out: Path | None = None
    """Run folder to write; it must not hold a run yet."""
    resume: Path | None = None
    """Run folder to resume; all options come from its config."""
    config: Path | None = None
    """JSON file with options, such as the config.json of a run; options given on the command line override it."""
    train: OmitArgPrefixes[TrainConfig] = dataclasses.field(default_factory=TrainConfig)
    checkpoint_seconds: float = 30.0
    """Time between two checkpoints."""
    distributed: FlagCreatePairsOff[bool] = False
    """Train with the other processes that were started so, on all devices: by SLURM, Open MPI, Kubernetes, or by the
    environment's JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID."""
    track: tuple[str, ...] = ()
    """Where the figures of each epoch go too: jsonl:FILE, tensorboard:FOLDER, mlflow:ADDRESS#RUN."""
    json: Json = False
    quiet: Quiet = False


@dataclasses.dataclass(frozen=True)
class ReportCommand:
    """Write report.html of a run again, or a page of two runs beside each other."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Run folder."""
    against: Path | None = None
    """Folder of another run: both beside each other, in a page of its own."""
    out: Path | None = None
    """HTML file to write; RUN/report.html by default, with --against RUN/against-OTHER.html."""
    quiet: Quiet = False


def config_of(words: list[str]) -> TrainConfig:
    """The options of ``--config FILE``, which are the defaults of those on the command line."""
    from aejax.tables import config as configs

    for index, word in enumerate(words):
        name, separator, value = word.partition("=")
        if name == "--config":
            path = Path(value if separator else next(iter(words[index + 1 :]), ""))
            with reading(f"config: {path}"):
                content = json.loads(path.read_bytes())
                if not isinstance(content, dict):
                    raise ValueError(f"found {type(content).__name__}, expected an object of options")
                return configs.from_dict(content.get("train", content), f"config: {path}")
    return TrainConfig()


def _defaults(words: list[str]) -> TrainCommand:
    return TrainCommand(train=config_of(words))


def folder_of(command: TrainCommand) -> Path | None:
    """The folder that this process writes."""
    from aejax.training.processes import is_first

    return (command.resume or command.out) if not command.distributed or is_first() else None


def train(command: TrainCommand) -> None:
    """Trains a model and writes its run folder.

    Args:
        command: the options.

    Raises:
        ValueError: options or a table that do not fit; the message names the option.
        OSError: a file cannot be read or written, or the folder holds something.
        RuntimeError: training diverged.
        KeyboardInterrupt: it was interrupted; the message says how to resume it.
    """
    from aejax.tables import run as runs
    from aejax.training.processes import agreed, by_the_first, is_first

    folder = command.resume or command.out
    if folder is None:
        raise ValueError("out: found none, expected the run folder to write, such as --out runs/first")
    source: runs.Source | None = None
    path = command.data
    if command.resume:
        config, source = runs.load_config(folder)
        if is_first():
            _say_what_is_ignored(command, config)
        (is_finished,) = agreed(bool(by_the_first(lambda: _is_finished(folder))))
        if is_finished and is_first():
            _finish(folder)
            tracking.complete(command.track, folder)
            print(f"{folder} is complete: nothing is left to train")
        if is_finished:
            return
        path = path or source.path
    else:
        by_the_first(lambda: _check_free(folder))
        config, path = command.train, path or _data_of(command.config)
    if path is None:
        raise ValueError("DATA: found none, expected a CSV, Parquet, NPY or NPZ file, or - for standard input")
    notice = functools.partial(note, quiet=command.quiet or not is_first())
    columns = source.columns if source else None
    with contextlib.ExitStack() as in_use:
        # What processes other than the first would write is thrown away.
        own = folder if is_first() else Path(in_use.enter_context(tempfile.TemporaryDirectory()))
        table = in_use.enter_context(training_table(path, config, columns, own, notice))
        sha256 = table.reading.sha256
        if source and sha256 != source.sha256:
            raise ValueError(
                f"DATA: {path} is not the table that {folder} was begun with (its SHA-256 is {sha256[:12]}..., "
                f"expected {source.sha256[:12]}...); give that table as DATA, or train anew"
            )
        if not is_first():
            command = dataclasses.replace(command, quiet=True, track=())
        run = _train(command, own, config, path, table)
    if not is_first():
        return
    text, figures = _write_report(folder, run)
    written = f"\nwritten to {folder}, pictures in {folder / 'report.html'}"
    say({"figures": figures, "written": str(folder)}, [text, written], command.json)


def _check_free(folder: Path) -> None:
    from aejax.artefacts import manifest

    if not manifest.is_free(folder):
        raise FileExistsError(
            f"out: {folder} is not empty; resume it by aejax train --resume {folder}, or choose another folder"
        )


def _train(command: TrainCommand, folder: Path, config: TrainConfig, path: str, table: "Table | LargeTable") -> "Run":
    """Trains, and says what to do where that comes to no end."""
    import jax

    from aejax import tables
    from aejax.tables import run as runs
    from aejax.training import DivergenceError, Interrupted, mesh

    notice = functools.partial(note, quiet=command.quiet)
    try:
        with tracking.tracked(command.track, config, folder, command.quiet) as progress:
            return tables.train(
                table,
                config,
                folder,
                path=path if path == "-" else str(Path(path).resolve()),
                checkpoint_seconds=command.checkpoint_seconds,
                resume=command.resume is not None,
                progress=progress,
                mesh=mesh(data=jax.device_count()) if command.distributed else None,
                notice=notice,
            )
    except Interrupted as interrupt:
        again = f"{path} " if path == "-" else ""
        raise KeyboardInterrupt(f"{interrupt}\nresume with: aejax train {again}--resume {folder}") from None
    except DivergenceError as error:
        if runs.finished(folder) is None:
            raise RuntimeError(f"{error}. It was the first epoch: no run was written") from None
        _write_report(folder)
        raise RuntimeError(f"{error}. The last good variables are in {folder}, marked as diverged") from None


def _is_finished(folder: Path) -> bool:
    """Whether nothing is left to train; refuses a run that diverged, and gives up one that is damaged."""
    from aejax.artefacts import manifest
    from aejax.tables import run as runs
    from aejax.training import checkpoint

    try:
        run = runs.finished(folder)
    except (ValueError, FileNotFoundError) as error:
        if not checkpoint.are_in(folder / "checkpoints"):
            raise
        note(f"{error}. The training is resumed from its checkpoints", quiet=False)
        manifest.discard(folder)
        return False
    if run and run.diverged:
        raise RuntimeError(f"{folder} cannot be resumed, its training diverged: {run.diverged}")
    return run is not None


def _finish(folder: Path) -> None:
    """Does what a training that was killed at its very end has left undone."""
    from aejax.artefacts import manifest
    from aejax.artefacts.locking import locked
    from aejax.tables import run as runs
    from aejax.training import checkpoint

    checkpoint.remove(folder / "checkpoints")
    with locked(runs.record_folder(folder)):
        pass  # which removes what a killed writer left there
    if not all(manifest.is_noted(folder, name) for name in BESIDE):
        _write_report(folder)


def report(command: ReportCommand) -> None:
    """Writes the report of a run again, or a page of two.

    Args:
        command: the options.
    """
    if command.against is not None:
        print(_write_comparison(command, command.against))
        return
    out = command.out or command.run / "report.html"
    _write_report(command.run, out=out)
    print(out)


def _write_comparison(command: ReportCommand, other: Path) -> Path:
    import aejax
    from aejax.reports.comparison import Side, write_comparison
    from aejax.tables import run as runs

    folders = (command.run, other)
    # Two folders of one name are told apart by where they are.
    names = [folder.resolve().name for folder in folders]
    if names[0] == names[1]:
        names = [str(folder) for folder in folders]
    sides = [
        Side(name, aejax.load(folder, runs.Run), aejax.load(runs.record_folder(folder), runs.Record))
        for name, folder in zip(names, folders, strict=True)
    ]
    out = command.out or command.run / f"against-{other.resolve().name}.html"
    write_comparison(out, *sides)
    return out


def _write_report(folder: Path, run: "Run | None" = None, out: Path | None = None) -> tuple[str, dict[str, object]]:
    """Writes the report of a run, which is in the folder, and returns its summary as text and as figures."""
    import aejax
    from aejax.artefacts import manifest
    from aejax.reports.results import figures, summary
    from aejax.reports.run import write_report
    from aejax.tables import run as runs

    run, record = run or aejax.load(folder, runs.Run), aejax.load(runs.record_folder(folder), runs.Record)
    write_report(out or folder / "report.html", run, record, _parts_of_a_demo(folder, run))
    if out is None and (folder / manifest.MANIFEST).is_file():  # a folder of an earlier version has none
        manifest.note_files(folder, BESIDE)
    return summary(run, record), figures(run, record)


def _parts_of_a_demo(folder: Path, run: "Run") -> "list[Panel]":
    if not (folder / DEMO).is_file():
        return []
    from aejax.cli import demo

    return demo.panels_of(folder, run)


def _say_what_is_ignored(command: TrainCommand, config: TrainConfig) -> None:
    names = [field.name for field in dataclasses.fields(TrainConfig) if field.name != "reading"]
    reading = [field.name for field in dataclasses.fields(ReadOptions)]
    flags = (
        flags_that_differ(command.train, names, TrainConfig, config),
        flags_that_differ(command.train.reading, reading, ReadOptions(), config.reading),
    )
    if ignored := ", ".join(filter(None, flags)):
        note(f"a run is resumed with the options it began with; ignored: {ignored}", command.quiet)


def _data_of(config: Path | None) -> str | None:
    """The table that a run's config.json names."""
    content = json.loads(config.read_text()) if config else {}
    return content.get("data", {}).get("path") if isinstance(content, dict) else None


COMMANDS = {
    "train": Command(TrainCommand, train, folder=folder_of, defaults=_defaults),
    "report": Command(ReportCommand, report, folder=lambda command: command.run),
}
