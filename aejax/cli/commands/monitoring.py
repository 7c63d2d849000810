"""``aejax monitor``: learn normal operation from one table, judge another, draw the control chart."""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import FlagCreatePairsOff, Positional

from aejax.cli.commands.command import Command
from aejax.cli.commands.notes import note, warnings_noted
from aejax.cli.commands.options import Json, KeepFormulas, Quiet, Reading, flags_that_differ
from aejax.cli.commands.results import say
from aejax.cli.commands.tables import read_table
from aejax.data.formats.options import ReadOptions, told_last

if TYPE_CHECKING:
    from aejax.tables import TableMonitor

_OF_LIMITS = ("false_alarm_rate", "limits")
_OF_TRAINING = (
    "false_alarm_rate",
    "limits",
    "keep_transients",
    "num_lags",
    "smoothing",
    "alarm_rule",
    "latent_dim",
    "num_epochs",
    "seed",
)


@dataclasses.dataclass(frozen=True)
class MonitorCommand:
    """Learn normal operation of a process from one table and judge the rows of another, in the order of time."""

    normal: Positional[str]
    """CSV, Parquet, NPY or NPZ file with rows of normal operation; or the folder of an earlier call, whose options then
    hold."""
    new: Positional[str]
    """File with the rows to judge, of the same columns."""
    out: Path = Path("runs/monitor")
    """Folder to write the monitor, rows.csv, report.html and pictures to; those of an earlier call there
    are replaced."""
    false_alarm_rate: float = 0.01
    """Share of normal rows that may be above the limit."""
    limits: Literal["auto", "rows", "blocks"] = "auto"
    """By the rows, and wider where they hold few independent stretches; by the rows alone; or by whole blocks of them,
    which need many more rows."""
    keep_transients: FlagCreatePairsOff[bool] = False
    """Keep first and last normal rows that stand out as a start-up does."""
    rebase: str | None = None
    """File with rows of a new state that is normal from now on: the monitor of an earlier call is centred on them, and
    its limits are set anew, without training. --false-alarm-rate and --limits hold for them."""
    num_lags: int = 2
    """Earlier rows that are judged together with each row."""
    smoothing: float = 0.2
    """Weight of the newest row in the moving averages; 1 for none."""
    alarm_rule: tuple[int, int] = (2, 3)
    """K N: an alarm where K of the last N rows are above the limit."""
    latent_dim: int | None = None
    """Size of the code; by default as many numbers as hold 90 % of the variance."""
    num_epochs: int = 200
    """Passes over the normal rows."""
    drop_columns: tuple[str, ...] = ()
    """Columns to leave out."""
    reading: Reading = ReadOptions()
    seed: int = 0
    """Of the training."""
    keep_formulas: KeepFormulas = False
    json: Json = False
    quiet: Quiet = False


def run(command: MonitorCommand) -> None:
    """Trains, judges, writes, and prints what was found.

    Args:
        command: the options.

    Raises:
        ValueError: tables or options that do not fit; the message names the option.
        OSError: a file cannot be read or written.
    """
    import aejax
    from aejax import tables
    from aejax.artefacts import codecs, storage
    from aejax.data.formats.tables import write_table
    from aejax.reports import monitoring as report

    inputs = [command.normal, command.new, *filter(None, [command.rebase])]
    storage.check_no_input(command.out / "rows.csv", *inputs)
    codecs.check_folder(command.out, tables.TableMonitor, ("rows.csv", report.PAGE, *report.PICTURES))
    monitor = _monitor(command)
    notice = functools.partial(note, quiet=command.quiet)
    reading = told_last(command.reading, monitor.reading)
    new = read_table(command.new, reading, command.drop_columns, monitor.columns, notice=notice)
    found = tables.watch(monitor, new, notice)
    aejax.save(command.out, monitor)
    columns = {**new.labels, **found.chart._asdict(), "top_sensor": found.top_sensor}
    write_table(command.out / "rows.csv", columns, keep_formulas=command.keep_formulas)
    pictures = report.write_pictures(command.out, monitor, found)
    labels = next(iter(new.labels.values()), None)
    report.write_report(command.out / report.PAGE, monitor, found, None if labels is None else list(map(str, labels)))
    lines = [
        report.summary(monitor, found),
        f"written to {command.out}: the monitor, rows.csv, {report.PAGE}, {', '.join(pictures)}",
    ]
    say(report.figures(monitor, found) | {"written": str(command.out)}, lines, command.json)


def _monitor(command: MonitorCommand) -> "TableMonitor":
    """The monitor, loaded or fitted."""
    import jax

    import aejax
    from aejax import tables
    from aejax.artefacts import codecs

    notice = functools.partial(note, quiet=command.quiet)
    if (Path(command.normal) / codecs.MANIFEST).is_file() or command.normal.endswith(".safetensors"):
        of_training = [name for name in _OF_TRAINING if not (command.rebase and name in _OF_LIMITS)]
        if ignored := flags_that_differ(command, of_training, MonitorCommand):
            notice(f"{ignored}: ignored, those of {command.normal} hold; give the table to learn anew")
        monitor: TableMonitor = aejax.load(command.normal, tables.TableMonitor)
        return _rebased(command, monitor) if command.rebase else monitor
    if command.rebase:
        raise ValueError(
            f"rebase: found {command.rebase} beside the table {command.normal}, expected the folder of an earlier "
            "call; to learn from both, put their rows into one table"
        )
    normal = read_table(command.normal, command.reading, command.drop_columns, notice=notice)
    with warnings_noted(quiet=False):  # what trust in the limits rests on
        fitted = tables.fit_monitor(
            jax.random.key(command.seed),
            normal,
            notice,
            latent_dim=command.latent_dim,
            num_lags=command.num_lags,
            smoothing=command.smoothing,
            alarm_rule=command.alarm_rule,
            false_alarm_rate=command.false_alarm_rate,
            limits=command.limits,
            keep_transients=command.keep_transients,
            num_epochs=command.num_epochs,
            progress=not command.quiet,
        )
    return fitted._replace(reading=told_last(command.reading, fitted.reading))


def _rebased(command: MonitorCommand, monitor: "TableMonitor") -> "TableMonitor":
    """The monitor of an earlier call, with the rows of ``--rebase`` as its normal state."""
    from aejax import tables

    assert command.rebase is not None
    notice = functools.partial(note, quiet=command.quiet)
    reading = told_last(command.reading, monitor.reading)
    normal = read_table(command.rebase, reading, command.drop_columns, monitor.columns, notice=notice)
    differs = command.false_alarm_rate != MonitorCommand.false_alarm_rate
    with warnings_noted(quiet=False):
        return tables.rebase_monitor(
            monitor,
            normal,
            notice,
            limits=command.limits,
            false_alarm_rate=command.false_alarm_rate if differs else None,
        )


COMMANDS = {"monitor": Command(MonitorCommand, run, folder=lambda command: command.out)}
