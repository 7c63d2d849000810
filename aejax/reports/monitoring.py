"""What a monitor makes of a table: a few lines for the terminal, a control chart, and the sensors that stand out."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aejax import plots
from aejax.artefacts import storage
from aejax.plots.monitoring import control_chart
from aejax.reports import pages
from aejax.reports.charts import control_chart as control_chart_of_page
from aejax.reports.pages import Panel
from aejax.tables.gaps import describe
from aejax.tables.monitoring import TableMonitor, Watched

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = ("control_chart.png", "contributions.png")
PAGE = "report.html"


def summary(monitor: TableMonitor, found: Watched) -> str:
    """Alarms, false alarm rates and the sensors that stand out, as lines of text.

    Args:
        monitor: the TableMonitor.
        found: from ``tables.watch``.

    Returns:
        Four lines; one more on what the limits rest on, where it is known, and up to two where something is missing.
    """
    rate, (enough, window) = monitor.monitor.rate, monitor.monitor.alarm_rule
    alarms = np.flatnonzero(found.chart.is_alarm)
    mean = _shown(found).mean(axis=0)
    top = [monitor.columns[column] for column in np.argsort(-mean)[:3] if mean[column] > 0]
    first = f"the first in row {alarms[0]} (counted from 0)" if len(alarms) else "none"
    where = "in the rows of alarm" if len(alarms) else "over all rows, none of which is an alarm"
    if not np.isfinite(found.chart.combined).any():
        return f"none of the {len(found.top_sensor)} new rows could be judged: they hold no value in its columns"
    return "\n".join(
        [
            f"normal rows held out in turn: {len(monitor.monitor.held_out.combined)}; false alarms asked for "
            f"{rate.asked:.2%}, obtained {rate.obtained:.2%} ± {rate.standard_error:.2%}",
            f"new rows: {len(found.top_sensor)}; above the limit {found.chart.is_above.mean():.2%}",
            f"rows of alarm ({enough} of {window} above): {len(alarms)}, {first}",
            f"sensors that stand out {where}: {', '.join(top)}",
            *_about_normal(monitor),
            *_about_gaps(monitor, found),
        ]
    )


def figures(monitor: TableMonitor, found: Watched) -> dict[str, object]:
    """The same figures by name.

    Args:
        monitor: the TableMonitor.
        found: from ``tables.watch``.

    Returns:
        The figures; rows are counted from 0.
    """
    rate, alarms = monitor.monitor.rate, np.flatnonzero(found.chart.is_alarm)
    mean = _shown(found).mean(axis=0)
    return {
        "num_normal": len(monitor.monitor.held_out.combined),
        "false_alarm_rate": rate.asked,
        "obtained_rate": rate.obtained,
        "standard_error": rate.standard_error,
        "independent_stretches": monitor.monitor.num_stretches,
        "left_out": sum(monitor.monitor.left_out),
        "num_rows": len(found.top_sensor),
        "above_limit": found.chart.is_above.mean(),
        "num_alarms": len(alarms),
        "first_alarm": int(alarms[0]) if len(alarms) else None,
        "contributions": dict(zip(monitor.columns, mean.tolist(), strict=True)),
        "rows_with_gaps": found.gaps.num_with_gaps,
        "empty_rows": found.gaps.num_empty,
    }


def _about_normal(monitor: TableMonitor) -> list[str]:
    """What the limits rest on; nothing where an earlier version did not say."""
    found, (begin, end) = monitor.monitor.num_stretches, monitor.monitor.left_out
    if found is None:
        return []
    left_out = f"; left out as start-up or shutdown: the first {begin} and the last {end}" if begin + end else ""
    return [f"independent stretches among them: about {found:.1f}{left_out}"]


def _about_gaps(monitor: TableMonitor, found: Watched) -> list[str]:
    """Which rows have gaps, and for which rows the rate that was obtained holds."""
    if not (line := describe(found.gaps)):
        return []
    if not found.gaps.num_with_gaps:
        return [line]
    if monitor.monitor.whitening.moment is None:
        return [line, "this monitor knows no limit for rows with gaps and finds less there; fit it again"]
    return [
        line,
        "the rate obtained is that of the normal rows as they are; rows with gaps are compared with what is normal for "
        "rows with such gaps, as a Gaussian model has it",
    ]


def write_pictures(folder: str | Path, monitor: TableMonitor, found: Watched) -> tuple[str, ...]:
    """Draws the control chart, and what the sensors contribute to the rows of alarm.

    Args:
        folder: to write to, made if it is not there.
        monitor: the TableMonitor.
        found: from ``tables.watch``.

    Returns:
        The names of the files.
    """
    drawings = dict(zip(PICTURES, (_chart, _contributions), strict=True))
    drawn = []
    for name, draw in drawings.items():
        try:
            storage.write_figure(Path(folder) / name, draw(monitor, found))
        except OSError:
            raise
        except Exception as error:  # of whatever is drawn: what was found stays without its picture
            warnings.warn(f"{name}: {pages.not_drawn(error)}", stacklevel=2)
        else:
            drawn.append(name)
    return tuple(drawn)


def write_report(path: str | Path, monitor: TableMonitor, found: Watched, labels: Sequence[str] | None = None) -> None:
    """Writes a self-contained page: what was found, a chart that can be pointed at, what the sensors contribute.

    Args:
        path: of the HTML file.
        monitor: the TableMonitor.
        found: from ``tables.watch``.
        labels: what each row is called, such as its time; its number, counted from 0, if None.
    """
    num_rows = len(found.top_sensor)
    names = [f"row {row}" for row in range(num_rows)] if labels is None else list(labels)
    panels = [Panel("What was found", table=[("figure", "value"), *_figures_shown(monitor, found)])]
    if np.isfinite(found.chart.combined).any():
        chart = control_chart_of_page(
            found.chart.excess, found.chart.is_alarm, names, found.contribution, monitor.columns
        )
        panels += [
            Panel("Control chart", markup=chart),
            Panel("What stands out", text=_where(found), figure=_contributions(monitor, found)),
        ]
    pages.write_page(path, "Process monitor", panels, subtitle=f"{len(monitor.columns)} columns, {num_rows} new rows")


def _figures_shown(monitor: TableMonitor, found: Watched) -> list[tuple[str, object]]:
    """The figures in words."""
    words = {
        "num_normal": "normal rows, held out in turn",
        "independent_stretches": "independent stretches among them",
        "left_out": "left out as start-up or shutdown, rows",
        "false_alarm_rate": "false alarms asked for",
        "obtained_rate": "false alarms obtained",
        "standard_error": "its standard error",
        "num_rows": "new rows",
        "above_limit": "share above the limit",
        "num_alarms": "rows of alarm",
        "first_alarm": "the first one, counted from 0",
        "rows_with_gaps": "rows with gaps",
        "empty_rows": "rows without a value",
    }
    values = figures(monitor, found)
    return [(text, values[name]) for name, text in words.items()]


def _where(found: Watched) -> str:
    return "Over the rows of alarm." if found.chart.is_alarm.any() else "Over all rows, none of which is an alarm."


def _chart(monitor: TableMonitor, found: Watched) -> "Figure":
    names = {"t2": "T²", "spe": "SPE", "combined": "combined"}
    charts = control_chart(
        {name: getattr(found.chart, field) for field, name in names.items()},
        {name: float(getattr(monitor.monitor.limit, field)) for field, name in names.items()},
        found.chart.is_alarm,
    )
    figure: Figure = charts[0].figure
    return figure


def _contributions(monitor: TableMonitor, found: Watched) -> "Figure":
    label = "fall of T² and SPE in units of their limits if the sensor were free"
    normal = monitor.normal_contribution.tolist()
    names = [pages.label(name) for name in monitor.columns]
    figure = plots.contribution_bars(_shown(found), names, 15, normal=normal, label=label).figure
    assert figure is not None
    return figure.figure


def _shown(found: Watched) -> np.ndarray:
    """What the sensors contribute to the rows of alarm; to all rows where there is none."""
    is_alarm = found.chart.is_alarm
    return found.contribution[is_alarm] if is_alarm.any() else found.contribution
