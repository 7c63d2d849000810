"""The command line: typed options in, the functions of ``aejax.tables`` called, tables and reports out."""

import contextlib
import dataclasses
import functools
import operator
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional, arg, subcommand

from aejax.cli.commands import (
    augmenting,
    comparing,
    denoising,
    exporting,
    imputation,
    inspection,
    inversion,
    monitoring,
    sections,
    surrogate,
    training,
    verification,
    watching,
)
from aejax.cli.commands.notes import note
from aejax.cli.commands.options import Json, KeepFormulas, Quiet, Reading
from aejax.cli.commands.results import say
from aejax.cli.commands.tables import read_table
from aejax.cli.ending import exit_code
from aejax.data.formats.options import ReadOptions

if TYPE_CHECKING:
    import aejax
    from aejax.data.formats.tables import Table


@dataclasses.dataclass(frozen=True)
class DemoCommand:
    """Simulate a chemical plant, train on it, find its faults, draw the pictures."""

    out: Path = Path("runs/demo")
    """Run folder to write; an earlier demo there is replaced."""
    seed: int = 0
    """Of the plant and of the training."""
    quiet: Quiet = False


@dataclasses.dataclass(frozen=True)
class _OnTable:
    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Run folder."""
    data: Positional[Annotated[str, arg(metavar="DATA")]]
    """File, folder of files or pattern such as 'day_*.csv'; - for standard input."""


@dataclasses.dataclass(frozen=True)
class EncodeCommand(_OnTable):
    """Write the code of each row."""

    out: str = "-"
    """CSV, Parquet, NPY or NPZ file to write; - for standard output."""
    reading: Reading = ReadOptions()
    keep_formulas: KeepFormulas = False
    quiet: Quiet = False


@dataclasses.dataclass(frozen=True)
class ReconstructCommand(_OnTable):
    """Write each row after the bottleneck, in the units of the table; a denoising model removes noise."""

    out: str = "-"
    """CSV, Parquet, NPY or NPZ file to write; - for standard output."""
    reading: Reading = ReadOptions()
    keep_formulas: KeepFormulas = False
    quiet: Quiet = False


@dataclasses.dataclass(frozen=True)
class DetectCommand(_OnTable):
    """Write score, p_value, is_anomaly, the sensor that contributed most and the reason for each row."""

    out: str = "-"
    """CSV or Parquet file to write; - for standard output."""
    false_alarm_rate: float | None = None
    """Share of normal rows that may be flagged; that of the run by default."""
    reading: Reading = ReadOptions()
    keep_formulas: KeepFormulas = False
    quiet: Quiet = False


@dataclasses.dataclass(frozen=True)
class GenerateCommand:
    """Write new rows in the units of the training table."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Run folder."""
    num_samples: int
    """Number of rows."""
    condition: tuple[str, ...] = ()
    """NAME=VALUE for each condition column of the run."""
    sampler: Literal["prior", "mixture", "flow"] = "prior"
    """What codes are drawn from: the model's prior, or a mixture of Gaussians or a flow fitted to the codes of the
    training rows. What was fitted is kept in the run folder."""
    flow_steps: int | None = None
    """Steps of the flow's training; 5,000 to 20,000 by default, by the number of rows. More come nearer to large
    tables."""
    data: str | None = None
    """The table that the run was trained on, if it is no longer where it was; to fit a mixture or a flow."""
    out: str = "-"
    """CSV, Parquet, NPY or NPZ file to write; - for standard output."""
    seed: int = 0
    """Of the draw."""
    keep_formulas: KeepFormulas = False
    quiet: Quiet = False


@dataclasses.dataclass(frozen=True)
class EvaluateCommand(_OnTable):
    """Print how well a run represents the rows of a table."""

    json: Json = False
    reading: Reading = ReadOptions()
    quiet: Quiet = False


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Args:
        arguments: the words after ``aejax``; those of the process by default.

    Raises:
        SystemExit: always; 0 if all went well, 1 for an error that was explained, 2 for words that are not a command,
            130 after Ctrl-C.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    words = [word for word in given if word != "--debug"]
    sys.exit(exit_code(functools.partial(_main, words), is_debug="--debug" in given))


def _main(words: list[str]) -> int:
    if words == ["--version"]:
        import aejax

        print(f"aejax {aejax.__version__}")
        return 0
    command = _parse(words)
    _use_compilation_cache()
    with _others(command):
        _check_platform()
        return _run(command)


def _others(command: object) -> contextlib.AbstractContextManager[None]:
    """With the other processes of a run, if the command is one of several."""
    if not (isinstance(command, training.TrainCommand) and command.distributed):
        return contextlib.nullcontext()
    from aejax.training import processes

    return processes.joined()


def _run(command: object) -> int:
    """Does what a command says, alone in the folder that it writes."""
    from aejax.artefacts.locking import locked

    folder_of = _FOLDERS.get(type(command))
    folder = folder_of(command) if folder_of else None
    with contextlib.nullcontext() if folder is None else locked(folder):
        return _RUNS[type(command)](command) or 0


def _parse(words: list[str]) -> object:
    given: dict[str, Any] = {}
    if words[:1] == ["train"]:
        given["train"] = {"default": training.TrainCommand(train=training.config_of(words))}
    commands: Any = functools.reduce(
        operator.or_,
        (Annotated[kind, subcommand(name, **given.get(name, {}))] for name, (kind, _) in _COMMANDS.items()),
    )
    return tyro.cli(commands, args=words, prog="aejax", description=_DESCRIPTION)


_DESCRIPTION = """Learn compressed and generative representations of sensor tables.

The compiled programs are kept in the user's cache folder; AEJAX_CACHE names another folder, AEJAX_CACHE=off none.
Errors are one sentence; --debug shows where they happened."""


def _use_compilation_cache() -> None:
    """Keeps compiled programs between processes: for small work, compiling is most of the wait."""
    import jax

    choice = os.environ.get("AEJAX_CACHE", "")
    if choice.lower() in ("off", "0", "none") or os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    caches = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    try:
        folder = Path(choice) if choice else Path(caches or Path.home() / ".cache") / "aejax" / "xla"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no such user, no home, or one that takes nothing: it is only for speed
        return
    if not os.access(folder, os.W_OK):
        return
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def _check_platform() -> None:
    """Refuses a device that was asked for and is not there, before anything is read or written."""
    if not (asked := os.environ.get("JAX_PLATFORMS")):
        return
    import jax

    try:
        jax.devices()
    except Exception as error:
        raise RuntimeError(
            f"JAX_PLATFORMS: found {asked!r}, which this JAX or this machine does not have ({type(error).__name__}"
            f"{f': {error}' if str(error) else ''}); set it to cpu, or unset it"
        ) from error


def _notice(
    command: EncodeCommand | ReconstructCommand | DetectCommand | GenerateCommand | EvaluateCommand,
) -> Callable[[str], None]:
    return functools.partial(note, quiet=command.quiet)


def _demo(command: DemoCommand) -> None:
    from aejax.cli.demo import demo

    print(demo(command.out, command.seed, progress=not command.quiet))


def _encode(command: EncodeCommand) -> None:
    _transform(command, "encode")


def _reconstruct(command: ReconstructCommand) -> None:
    _transform(command, "reconstruct")


def _detect(command: DetectCommand) -> None:
    from aejax.reports.detections import DetectionCounts

    counts = DetectionCounts()
    _transform(command, "detect", note=counts.add, false_alarm_rate=command.false_alarm_rate)
    _notice(command)(counts.sentence())


def _transform(command: EncodeCommand | ReconstructCommand | DetectCommand, task: str, **options: Any) -> None:
    """Writes what a task makes of each row, beside the row's time or number."""
    import aejax
    from aejax import tables
    from aejax.artefacts import storage

    storage.check_no_input(command.out, command.data)
    run = aejax.load(command.run, aejax.Run)
    formulas, notice = command.keep_formulas, _notice(command)
    tables.write_results(
        run, task, command.data, command.out, command.reading, keep_formulas=formulas, notice=notice, **options
    )


def _generate(command: GenerateCommand) -> None:
    import aejax
    from aejax import tables
    from aejax.data.formats.tables import write_blocks

    conditions = {}
    for word in command.condition:
        name, separator, value = word.rpartition("=")
        if not separator:
            raise ValueError(f"condition: found {word!r}, expected NAME=VALUE")
        conditions[name] = value
    run = aejax.load(command.run, aejax.Run)
    notice, codes = _notice(command), None
    if command.flow_steps is not None and command.sampler != "flow":
        raise ValueError(f"flow_steps: found {command.flow_steps} beside --sampler {command.sampler}, expected flow")
    if command.sampler != "prior":
        codes = tables.kept_codes(
            run,
            command.run,
            command.sampler,
            lambda: _training_table(command, run),
            not command.quiet,
            notice,
            command.flow_steps,
        )
    blocks = tables.generated_blocks(run, command.num_samples, conditions, command.seed, notice, codes)
    write_blocks(command.out, blocks, keep_formulas=command.keep_formulas)


def _training_table(command: GenerateCommand, run: "aejax.Run") -> "Table":
    path, config = command.data or run.source.path, run.config
    what = f"--sampler {command.sampler} is fitted to the rows that the run was trained on; give their file by --data"
    if command.data is None and path == "-":
        raise ValueError(f"data: found none, since the run was trained on standard input; {what}")
    try:
        return read_table(path, config.reading, config.drop_columns, run.source.columns, config.condition_columns)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; {what}") from None


def _evaluate(command: EvaluateCommand) -> None:
    import aejax
    from aejax import tables
    from aejax.reports.results import evaluation_table

    run = aejax.load(command.run, aejax.Run)
    result = tables.evaluate_files(run, command.data, command.reading, _notice(command))
    say(result, [evaluation_table(result)], command.json)


_COMMANDS: dict[str, tuple[type, Callable[[Any], int | None]]] = {
    "demo": (DemoCommand, _demo),
    "inspect": (inspection.InspectCommand, inspection.run),
    "train": (training.TrainCommand, training.train),
    "encode": (EncodeCommand, _encode),
    "reconstruct": (ReconstructCommand, _reconstruct),
    "detect": (DetectCommand, _detect),
    "generate": (GenerateCommand, _generate),
    "evaluate": (EvaluateCommand, _evaluate),
    "report": (training.ReportCommand, training.report),
    "monitor": (monitoring.MonitorCommand, monitoring.run),
    "watch": (watching.WatchCommand, watching.run),
    "compare": (comparing.CompareCommand, comparing.run),
    "augment": (augmenting.AugmentCommand, augmenting.run),
    "impute": (imputation.ImputeCommand, imputation.run),
    "export": (exporting.ExportCommand, exporting.run),
    "denoise-train": (denoising.DenoiseTrainCommand, denoising.run),
    "denoise": (denoising.DenoiseCommand, denoising.run),
    "surrogate": (surrogate.SurrogateCommand, surrogate.run),
    "surrogate-compress": (surrogate.SurrogateCompressCommand, surrogate.run_compress),
    "surrogate-predict": (surrogate.SurrogatePredictCommand, surrogate.run_predict),
    "sections": (sections.TrainSectionsCommand, sections.train),
    "invert": (inversion.InvertCommand, inversion.invert),
    "verify": (verification.VerifyCommand, verification.run),
}
_RUNS = dict(_COMMANDS.values())
# The folder that a command writes; its lock is taken before anything is read.
_FOLDERS: dict[type, Callable[[Any], Path | None]] = {
    DemoCommand: lambda command: command.out,
    training.TrainCommand: training.folder_of,
    training.ReportCommand: lambda command: command.run,
    monitoring.MonitorCommand: lambda command: command.out,
    exporting.ExportCommand: exporting.folder_of,
    denoising.DenoiseTrainCommand: lambda command: command.out,
    surrogate.SurrogateCommand: lambda command: command.out,
    sections.TrainSectionsCommand: lambda command: command.out,
}
