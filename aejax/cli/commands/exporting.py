"""``aejax export``: a run as graphs that are used without aejax."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from aejax.cli.commands.command import Command
from aejax.cli.commands.notes import note
from aejax.cli.commands.options import Json, Quiet, flags_that_differ
from aejax.cli.commands.results import say

if TYPE_CHECKING:
    from aejax.tables import TableMonitor


@dataclasses.dataclass(frozen=True)
class ExportCommand:
    """Write a run or a monitor as StableHLO, a run as ONNX too: raw rows in, codes, rows or verdicts out."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Folder of a run or of a monitor."""
    format: str
    """onnx or stablehlo."""
    out: Path | None = None
    """Folder to write; RUN/FORMAT by default."""
    tasks: tuple[str, ...] = ()
    """Some of encode, reconstruct and detect; all that the model can do by default."""
    false_alarm_rate: float | None = None
    """Share of normal rows that may be flagged; that of the run by default."""
    json: Json = False
    quiet: Quiet = False


def folder_of(command: ExportCommand) -> Path:
    """The folder that the command writes.

    Raises:
        ValueError: an unknown format.
        FileNotFoundError: there is no such run folder.
    """
    from aejax.export.folder import check_format

    check_format(command.format)
    if not command.run.is_dir():
        raise FileNotFoundError(f"{command.run}: there is no such run folder")
    return command.out or command.run / command.format


def run(command: ExportCommand) -> None:
    """Exports, and prints what was written and how far it is from what aejax gives.

    Args:
        command: the options.

    Raises:
        ValueError: what cannot be exported; the message says why.
        ImportError: the extra of the format is not installed.
    """
    import aejax
    from aejax.export import export_run
    from aejax.tables import TableMonitor
    from aejax.tables.columns import say_divergence

    folder = folder_of(command)
    fitted = aejax.load(command.run)
    if isinstance(fitted, TableMonitor):
        _export_monitor(command, fitted, folder)
        return
    if not isinstance(fitted, aejax.Run):
        fitted = aejax.load(command.run, aejax.Run)  # which says what it found
    say_divergence(fitted, lambda text: note(text, command.quiet))
    found = export_run(fitted, folder, command.format, command.tasks, command.false_alarm_rate)
    columns = fitted.source.columns
    lines = [f"rows: (n, {len(columns)}) float64, NaN where missing: {', '.join(columns)}"]
    for each in found:
        file = f"{each.task}.{command.format}"
        lines.append(f"{file}: {each.output}, largest difference {each.largest:.2g} on {each.num_rows} rows")
    lines.append(f"written to {folder}; the differences are those to aejax on the calibration rows of the run")
    differences = [each._asdict() for each in found]
    say({"columns": columns, "differences": differences, "written": str(folder)}, lines, command.json)


def _export_monitor(command: ExportCommand, monitor: "TableMonitor", folder: Path) -> None:
    from aejax.export import export_monitor

    if command.format != "stablehlo":
        raise ValueError(f"format: found {command.format!r} for a monitor, expected stablehlo")
    if ignored := flags_that_differ(command, ("tasks", "false_alarm_rate"), ExportCommand):
        raise ValueError(f"{ignored}: found for a monitor, whose step has all outputs and its own rate; expected none")
    largest = export_monitor(monitor, folder)
    columns = monitor.columns
    lines = [
        f"row: ({len(columns)},) float64, NaN where missing: {', '.join(columns)}",
        f"step.stablehlo: a row and a state in, a verdict and the next state out; largest difference {largest:.2g}",
        f"written to {folder}; export.json says what the state begins with",
    ]
    say({"columns": columns, "largest_difference": largest, "written": str(folder)}, lines, command.json)


COMMANDS = {"export": Command(ExportCommand, run, folder=folder_of)}
