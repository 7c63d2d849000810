"""What is done with a run: rows are encoded, reconstructed, judged, drawn and evaluated."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from aejax.cli.commands.command import Command
from aejax.cli.commands.notes import note
from aejax.cli.commands.options import Json, KeepFormulas, Quiet, Reading
from aejax.cli.commands.results import say
from aejax.cli.commands.tables import read_table
from aejax.data.formats.options import ReadOptions

if TYPE_CHECKING:
    import aejax
    from aejax.data.formats.tables import Table


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


def _notice(
    command: EncodeCommand | ReconstructCommand | DetectCommand | GenerateCommand | EvaluateCommand,
) -> Callable[[str], None]:
    return functools.partial(note, quiet=command.quiet)


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


COMMANDS = {
    "encode": Command(EncodeCommand, _encode),
    "reconstruct": Command(ReconstructCommand, _reconstruct),
    "detect": Command(DetectCommand, _detect),
    "generate": Command(GenerateCommand, _generate),
    "evaluate": Command(EvaluateCommand, _evaluate),
}
