"""The command line: typed options in, the functions of ``aejax.tables`` called, tables and reports out."""

import dataclasses
import functools
import hashlib
import io
import json
import operator
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, arg, subcommand

from aejax.cli.commands import denoising, inversion, monitoring, surrogate
from aejax.cli.commands.notes import note
from aejax.cli.commands.options import Quiet, flags_that_differ
from aejax.tables.config import TrainConfig

if TYPE_CHECKING:
    import numpy as np

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
class TrainCommand:
    """Train a model on a table, or resume a run that was interrupted."""

    data: Positional[Annotated[str | None, arg(metavar="DATA")]] = None
    """CSV, Parquet, NPY or NPZ file; - for standard input."""
    out: Path | None = None
    """Run folder to write; it must not hold a run yet."""
    resume: Path | None = None
    """Run folder to resume; all options come from its config."""
    config: Path | None = None
    """JSON file with options, such as the config.json of a run; options given here go before it."""
    train: OmitArgPrefixes[TrainConfig] = dataclasses.field(default_factory=TrainConfig)
    checkpoint_seconds: float = 30.0
    """Time between two checkpoints."""
    quiet: Quiet = False


@dataclasses.dataclass(frozen=True)
class _OnTable:
    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Run folder."""
    data: Positional[Annotated[str, arg(metavar="DATA")]]
    """CSV, Parquet, NPY or NPZ file; - for standard input."""


@dataclasses.dataclass(frozen=True)
class EncodeCommand(_OnTable):
    """Write the code of each row."""

    out: str = "-"
    """CSV, Parquet, NPY or NPZ file to write; - for standard output."""
    quiet: Quiet = False


@dataclasses.dataclass(frozen=True)
class ReconstructCommand(_OnTable):
    """Write each row after the bottleneck, in its own units: denoised by a denoising model."""

    out: str = "-"
    """CSV, Parquet, NPY or NPZ file to write; - for standard output."""
    quiet: Quiet = False


@dataclasses.dataclass(frozen=True)
class DetectCommand(_OnTable):
    """Write score, p_value, is_anomaly and the sensor that contributed most for each row."""

    out: str = "-"
    """CSV or Parquet file to write; - for standard output."""
    false_alarm_rate: float | None = None
    """Share of normal rows that may be flagged; that of the run by default."""
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
    out: str = "-"
    """CSV, Parquet, NPY or NPZ file to write; - for standard output."""
    seed: int = 0
    """Of the draw."""
    quiet: Quiet = False


@dataclasses.dataclass(frozen=True)
class EvaluateCommand(_OnTable):
    """Print how well a run represents the rows of a table."""

    json: FlagCreatePairsOff[bool] = False
    """Print JSON in place of a table."""
    quiet: Quiet = False


@dataclasses.dataclass(frozen=True)
class ReportCommand:
    """Write report.html of a run again."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Run folder."""
    quiet: Quiet = False


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Args:
        arguments: the words after ``aejax``; those of the process by default.

    Raises:
        SystemExit: always; 0 if all went well, 1 for an error that was explained, 2 for words that are not a command,
            130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words == ["--version"]:
            import aejax

            print(f"aejax {aejax.__version__}")
            sys.exit(0)
        command = _parse(words)
        _use_compilation_cache()
        _RUNS[type(command)](command)
    except KeyboardInterrupt as interrupt:
        sys.exit(_say(str(interrupt) or "interrupted", 130))
    except BrokenPipeError:
        # The reader of our standard output (head, say) has gone; nothing is left to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        sys.exit(_say(f"error: {error}", 1))
    sys.exit(0)


def _say(text: str, code: int) -> int:
    print(f"aejax: {text}", file=sys.stderr)
    return code


def _parse(words: list[str]) -> object:
    given: dict[str, Any] = {}
    if words[:1] == ["train"]:
        given["train"] = {"default": TrainCommand(train=_config_file(words))}
    commands: Any = functools.reduce(
        operator.or_,
        (Annotated[kind, subcommand(name, **given.get(name, {}))] for name, (kind, _) in _COMMANDS.items()),
    )
    return tyro.cli(commands, args=words, prog="aejax", description=_DESCRIPTION)


_DESCRIPTION = """Learn compressed and generative representations of sensor tables.

The compiled programs are kept in the user's cache folder; AEJAX_CACHE names another folder, AEJAX_CACHE=off none."""


def _config_file(words: list[str]) -> TrainConfig:
    """The options of ``--config FILE``, which are the defaults of those on the command line."""
    from aejax.tables import config as configs

    for index, word in enumerate(words):
        name, separator, value = word.partition("=")
        if name == "--config":
            path = Path(value if separator else next(iter(words[index + 1 :]), ""))
            try:
                content = json.loads(path.read_text())
            except json.JSONDecodeError as error:
                raise ValueError(f"config: {path} is not JSON: {error}") from error
            if not isinstance(content, dict):
                raise ValueError(f"config: {path}: found {type(content).__name__}, expected an object of options")
            return configs.from_dict(content.get("train", content), f"config: {path}")
    return TrainConfig()


def _use_compilation_cache() -> None:
    """Keeps compiled programs between processes: for small work, compiling is most of the wait."""
    import jax

    choice = os.environ.get("AEJAX_CACHE", "")
    if choice.lower() in ("off", "0", "none") or os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    caches = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    jax.config.update("jax_compilation_cache_dir", choice or str(Path(caches) / "aejax" / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def _notice(
    command: TrainCommand | EncodeCommand | ReconstructCommand | DetectCommand | GenerateCommand | EvaluateCommand,
) -> Callable[[str], None]:
    return functools.partial(note, quiet=command.quiet)


def _demo(command: DemoCommand) -> None:
    from aejax.cli.demo import demo

    print(demo(command.out, command.seed, progress=not command.quiet))


def _train(command: TrainCommand) -> None:
    from aejax import tables
    from aejax.tables import run as runs
    from aejax.training import DivergenceError, Interrupted

    resuming = command.resume is not None
    folder = command.resume or command.out
    if folder is None:
        raise ValueError("out: found none, expected the run folder to write, such as --out runs/first")
    config, path = command.train, command.data
    if resuming:
        config, source = runs.load_config(folder)
        _say_what_is_ignored(command, config)
        if finished := runs.finished(folder):
            if finished.diverged:
                raise RuntimeError(f"{folder} cannot be resumed, its training diverged: {finished.diverged}")
            print(f"{folder} is complete: nothing is left to train")
            return
        path = path or source.path
    elif any(folder.glob("*")):
        raise FileExistsError(
            f"out: {folder} is not empty; resume it by aejax train --resume {folder}, or choose another folder"
        )
    path = path or _data_of(command.config)
    if path is None:
        raise ValueError("DATA: found none, expected a CSV, Parquet, NPY or NPZ file, or - for standard input")
    table, sha256 = _read(path, config.drop_columns, source.columns if resuming else None)
    if resuming and sha256 != source.sha256:
        raise ValueError(
            f"DATA: {path} is not the table that {folder} was begun with (its SHA-256 is {sha256[:12]}..., expected "
            f"{source.sha256[:12]}...); give that table as DATA, or train anew"
        )
    notice = _notice(command)
    if table.left_out:
        notice(f"left out as time or row number: {', '.join(table.left_out)}")
    try:
        tables.train(
            table,
            config,
            folder,
            path=path if path == "-" else str(Path(path).resolve()),
            sha256=sha256,
            checkpoint_seconds=command.checkpoint_seconds,
            resume=resuming,
            progress=not command.quiet,
            notice=notice,
        )
    except Interrupted as interrupt:
        again = f"{path} " if path == "-" else ""
        raise KeyboardInterrupt(f"{interrupt}\nresume with: aejax train {again}--resume {folder}") from None
    except DivergenceError as error:
        if runs.finished(folder) is None:
            raise RuntimeError(f"{error}. It was the first epoch: no run was written") from None
        _write_report(folder)
        raise RuntimeError(f"{error}. They are in {folder}, which says that it diverged") from None
    print(_write_report(folder))
    print(f"\nwritten to {folder}, pictures in {folder / 'report.html'}")


def _write_report(folder: Path) -> str:
    """Writes the report of a run, and returns its summary."""
    import aejax
    from aejax.reports.run import summary, write_report
    from aejax.tables import run as runs

    run, record = aejax.load(folder, runs.Run), aejax.load(runs.record_folder(folder), runs.Record)
    write_report(folder / "report.html", run, record)
    return summary(run, record)


def _say_what_is_ignored(command: TrainCommand, config: TrainConfig) -> None:
    names = [field.name for field in dataclasses.fields(TrainConfig)]
    if ignored := flags_that_differ(command.train, names, TrainConfig, config):
        note(f"a run is resumed with its own options; ignored: {ignored}", command.quiet)


def _data_of(config: Path | None) -> str | None:
    """The table that a run's config.json names."""
    content = json.loads(config.read_text()) if config else {}
    return content.get("data", {}).get("path") if isinstance(content, dict) else None


def _encode(command: EncodeCommand) -> None:
    _transform(command, "encode")


def _reconstruct(command: ReconstructCommand) -> None:
    _transform(command, "reconstruct")


def _detect(command: DetectCommand) -> None:
    found = _transform(command, "detect", false_alarm_rate=command.false_alarm_rate)
    sensors = Counter(found["top_sensor"][found["is_anomaly"]].tolist()).most_common(3)
    often = ", ".join(f"{name} ({count})" for name, count in sensors if name)
    _notice(command)(
        f"{found['is_anomaly'].sum()} of {len(found['score'])} rows are anomalies"
        + (f"; what stands out in them: {often}" if often else "")
    )


def _transform(
    command: EncodeCommand | ReconstructCommand | DetectCommand, task: str, **options: object
) -> dict[str, "np.ndarray"]:
    """Writes what a task makes of each row, beside the row's time or number, and returns it."""
    import aejax
    from aejax import tables
    from aejax.artefacts import storage
    from aejax.data.formats.tables import write_table

    storage.check_no_input(command.out, command.data)
    run = aejax.load(command.run, aejax.Run)
    table, _ = _read(command.data, run.config.drop_columns, run.source.columns)
    result = getattr(tables, task)(run, table, notice=_notice(command), **options)
    holds_text = Path(command.out).suffix.lower() not in (".npy", ".npz")
    write_table(command.out, {**table.labels, **result} if holds_text else result)
    return result


def _generate(command: GenerateCommand) -> None:
    import aejax
    from aejax import tables
    from aejax.data.formats.tables import write_table

    conditions = {}
    for word in command.condition:
        name, _, value = word.rpartition("=")
        try:
            conditions[name] = float(value)
        except ValueError:
            raise ValueError(f"condition: found {word!r}, expected NAME=NUMBER") from None
    run = aejax.load(command.run, aejax.Run)
    rows = tables.generate(run, command.num_samples, conditions, command.seed, _notice(command))
    write_table(command.out, rows)


def _evaluate(command: EvaluateCommand) -> None:
    import aejax
    from aejax import tables
    from aejax.reports.run import evaluation_table

    run = aejax.load(command.run, aejax.Run)
    table, sha256 = _read(command.data, run.config.drop_columns, run.source.columns)
    notice = _notice(command)
    if sha256 == run.source.sha256:
        notice("these rows include those that the run was trained on: the figures are not those of new rows")
    result = tables.evaluate(run, table, notice)
    print(json.dumps(result, indent=2) if command.json else evaluation_table(result))


def _report(command: ReportCommand) -> None:
    _write_report(command.run)
    print(command.run / "report.html")


def _monitor(command: monitoring.MonitorCommand) -> None:
    print(monitoring.run(command))


def _read(path: str, drop_columns: Sequence[str], columns: Sequence[str] | None = None) -> tuple["Table", str]:
    """A table and the SHA-256 of its bytes."""
    from aejax.data.formats.tables import read_table

    content = sys.stdin.buffer.read() if path == "-" else None
    table = read_table(path if content is None else io.BytesIO(content), drop_columns, columns)
    return table, hashlib.sha256(Path(path).read_bytes() if content is None else content).hexdigest()


_COMMANDS: dict[str, tuple[type, Callable[[Any], None]]] = {
    "demo": (DemoCommand, _demo),
    "train": (TrainCommand, _train),
    "encode": (EncodeCommand, _encode),
    "reconstruct": (ReconstructCommand, _reconstruct),
    "detect": (DetectCommand, _detect),
    "generate": (GenerateCommand, _generate),
    "evaluate": (EvaluateCommand, _evaluate),
    "report": (ReportCommand, _report),
    "monitor": (monitoring.MonitorCommand, _monitor),
    "denoise-train": (denoising.DenoiseTrainCommand, denoising.run),
    "denoise": (denoising.DenoiseCommand, denoising.run),
    "surrogate": (surrogate.SurrogateCommand, surrogate.run),
    "surrogate-compress": (surrogate.SurrogateCompressCommand, surrogate.run_compress),
    "surrogate-predict": (surrogate.SurrogatePredictCommand, surrogate.run_predict),
    "sections": (inversion.TrainSectionsCommand, inversion.train),
    "invert": (inversion.InvertCommand, inversion.invert),
}
_RUNS = dict(_COMMANDS.values())
