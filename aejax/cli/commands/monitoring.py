"""``aejax monitor``: learn normal operation from one table, judge another, draw the control chart."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from aejax.cli.commands.notes import note, warnings_noted
from aejax.cli.commands.options import Quiet, flags_that_differ

if TYPE_CHECKING:
    import numpy as np

    from aejax.tasks.anomaly import Chart, Statistics
    from aejax.tasks.anomaly import Monitor as Fitted

_OF_TRAINING = (
    "false_alarm_rate",
    "limits",
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
    """CSV, Parquet, NPY or NPZ file with rows of normal operation; or the monitor.safetensors of an earlier call, whose
    options then hold."""
    new: Positional[str]
    """File with the rows to judge, of the same columns."""
    out: Path = Path("runs/monitor")
    """Folder to write rows.csv, control_chart.png, contributions.png and monitor.safetensors to; files of an earlier
    call there are replaced."""
    false_alarm_rate: float = 0.01
    """Share of normal rows that may be above the limit."""
    limits: Literal["rows", "blocks"] = "rows"
    """Whether rows or whole blocks of rows are taken to be exchangeable; blocks need many more rows."""
    num_lags: int = 2
    """Earlier rows that are looked at together with each row."""
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
    seed: int = 0
    """Of the training."""
    quiet: Quiet = False


def run(command: MonitorCommand) -> str:
    """Trains, judges and writes.

    Args:
        command: the options.

    Returns:
        What was found, a few lines of text.

    Raises:
        ValueError: tables or options that do not fit; the message names the option.
        OSError: a file cannot be read or written.
    """
    import numpy as np

    from aejax.artefacts import storage
    from aejax.data.formats.tables import read_table, select_columns, write_table
    from aejax.tasks import anomaly

    storage.check_no_input(command.out / "rows.csv", command.normal, command.new)
    monitor, notes = _monitor(command)
    new = read_table(command.new, command.drop_columns, notes["columns"])
    rows = select_columns(new, notes["columns"], notes["has_header"]).values
    _note_constant(command, monitor, notes["columns"], rows)
    chart, _ = anomaly.watch(monitor, rows)
    contribution = anomaly.contributions(monitor, rows)
    columns = np.array(notes["columns"])
    is_seen = np.isfinite(chart.combined)
    top_sensor = np.where(is_seen, columns[contribution.argmax(axis=1)], "")
    write_table(command.out / "rows.csv", {**new.labels, **chart._asdict(), "top_sensor": top_sensor})
    shown = contribution[chart.is_alarm] if chart.is_alarm.any() else contribution
    _draw(command.out, chart, monitor.limit, shown, notes["normal_contribution"], notes["columns"])
    anomaly.save_monitor(command.out / "monitor.safetensors", monitor, notes)
    return _summary(command, chart, monitor, shown, columns)


def _monitor(command: MonitorCommand) -> "tuple[Fitted, dict[str, Any]]":
    """The monitor, trained or read, and what its file notes about the table."""
    import jax

    from aejax.data.formats.tables import read_table
    from aejax.tasks import anomaly

    if command.normal.endswith(".safetensors"):
        if ignored := flags_that_differ(command, _OF_TRAINING, MonitorCommand):
            note(f"{ignored}: ignored, those of {command.normal} hold; give the table to learn anew", command.quiet)
        settings = anomaly.read_settings(command.normal)
        notes = settings["notes"]
        num_inputs = (settings["num_lags"] + 1) * len(notes["columns"])
        model = anomaly.linear_autoencoder((num_inputs,), settings["latent_dim"])
        return anomaly.load_monitor(command.normal, model), notes
    normal = read_table(command.normal, command.drop_columns)
    with warnings_noted(command.quiet):
        monitor = anomaly.fit_monitor(
            jax.random.key(command.seed),
            normal.values,
            latent_dim=command.latent_dim,
            num_lags=command.num_lags,
            smoothing=command.smoothing,
            alarm_rule=command.alarm_rule,
            false_alarm_rate=command.false_alarm_rate,
            limits=command.limits,
            num_epochs=command.num_epochs,
            progress=not command.quiet,
        )
    contribution = anomaly.contributions(monitor, normal.values).mean(axis=0)
    return monitor, {
        "columns": list(normal.columns),
        "has_header": normal.has_header,
        "normal_contribution": contribution.tolist(),
    }


def _note_constant(command: MonitorCommand, monitor: "Fitted", columns: Sequence[str], rows: "np.ndarray") -> None:
    """Says which columns the monitor knows nothing of, since they stood still in the normal rows."""
    import numpy as np

    is_constant = np.isinf(monitor.scaler.scale)
    is_moved = is_constant & (~np.isclose(rows, monitor.scaler.mean) & np.isfinite(rows)).any(axis=0)
    for chosen, what in (
        (is_constant & ~is_moved, "constant in the normal rows, so that it takes no part"),
        (is_moved, "constant in the normal rows and not in the new ones; it takes no part, look at it by other means"),
    ):
        if chosen.any():
            note(f"{', '.join(np.array(columns)[chosen])}: {what}", command.quiet)


def _draw(
    folder: Path,
    chart: "Chart",
    limit: "Statistics",
    contribution: "np.ndarray",
    normal: list[float],
    columns: Sequence[str],
) -> None:
    from aejax import plots
    from aejax.artefacts import storage
    from aejax.plots.monitoring import control_chart

    names = {"t2": "T²", "spe": "SPE", "combined": "combined"}
    panels = control_chart(
        {name: getattr(chart, field) for field, name in names.items()},
        {name: float(getattr(limit, field)) for field, name in names.items()},
        chart.is_alarm,
    )
    label = "fall of T² and SPE in units of their limits if the sensor were free"
    bars = plots.contribution_bars(contribution, columns, 15, normal=normal, label=label)
    storage.write_figure(folder / "control_chart.png", panels[0].figure)
    storage.write_figure(folder / "contributions.png", bars.figure)


def _summary(
    command: MonitorCommand, chart: "Chart", monitor: "Fitted", shown: "np.ndarray", columns: "np.ndarray"
) -> str:
    import numpy as np

    rate = monitor.rate
    alarms = np.flatnonzero(chart.is_alarm)
    mean = shown.mean(axis=0)
    top = [column for column in np.argsort(-mean)[:3] if mean[column] > 0]
    first = f"the first in row {alarms[0]} (counted from 0)" if len(alarms) else "none"
    where = "in the rows of alarm" if len(alarms) else "over all rows, none of which is an alarm"
    return "\n".join(
        [
            f"normal rows held out in turn: {len(monitor.held_out.combined)}; false alarms asked for {rate.asked:.2%}, "
            f"obtained {rate.obtained:.2%} ± {rate.standard_error:.2%}",
            f"new rows: {len(chart.combined)}; above the limit {chart.is_above.mean():.2%}",
            f"rows of alarm ({monitor.alarm_rule[0]} of {monitor.alarm_rule[1]} above): {len(alarms)}, {first}",
            f"sensors that stand out {where}: {', '.join(columns[top])}",
            f"written to {command.out}: rows.csv, control_chart.png, contributions.png, monitor.safetensors",
        ]
    )
