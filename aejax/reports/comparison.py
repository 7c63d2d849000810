"""Two runs on one page, beside each other."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aejax.plots.style import new_figure, tidy
from aejax.reports import pages
from aejax.reports.pages import Panel, Rows
from aejax.reports.results import figures
from aejax.tables.run import Record, Run

# Columns that are listed: those in which the runs differ most.
_MOST_COLUMNS = 40


class Side(NamedTuple):
    """One of the two runs.

    Attributes:
        name: what it is called on the page.
        run: the Run.
        record: of the same run.
    """

    name: str
    run: Run
    record: Record


def write_comparison(path: str | Path, first: Side, second: Side) -> None:
    """Writes a self-contained page: results, losses, columns and options of two runs beside each other.

    Args:
        path: of the HTML file.
        first: a run.
        second: another one.
    """
    pages.write_page(
        path,
        title=f"{first.name} beside {second.name}",
        panels=[_results(first, second), *_losses(first, second), *_columns(first, second), _options(first, second)],
        subtitle="The same figures as in the report of each.",
    )


def _results(first: Side, second: Side) -> Panel:
    of_first, of_second = (figures(side.run, side.record) for side in (first, second))
    names = list(dict.fromkeys([*of_first, *of_second]))
    return Panel(
        "Held-out results",
        text="Both were measured on the same rows, which neither training has seen."
        if _have_the_same_rows(first.run, second.run)
        else "The held-out rows of the two are not the same: compare with care, or measure both on rows of your own by "
        "aejax evaluate.",
        table=[
            ("result", first.name, second.name),
            *((name, of_first.get(name), of_second.get(name)) for name in names),
        ],
    )


def _have_the_same_rows(first: Run, second: Run) -> bool:
    """Whether both held out the same rows of the same table: these options decide which."""
    names = ("seed", "split", "calibration_fraction", "validation_fraction")
    of_first, of_second = ([getattr(run.config, name) for name in names] for run in (first, second))
    return of_first == of_second and first.source.sha256 == second.source.sha256


def _losses(first: Side, second: Side) -> list[Panel]:
    """Validation losses in one picture, where they measure the same: one model and its options, the same columns."""
    same = ("model", "likelihood", "numbers", "options")
    of_first, of_second = ([getattr(side.run.config, name) for name in same] for side in (first, second))
    if of_first != of_second or first.run.columns != second.run.columns:
        return []
    axes = new_figure().subplots()
    for side, style in ((first, "-"), (second, "--")):
        loss = side.record.history.get("val_loss", side.record.history["loss"])
        axes.plot(np.arange(1, len(loss) + 1), loss, style, label=pages.label(side.name))
    axes.set(xlabel="epoch", ylabel="validation loss")
    axes.legend()
    return [Panel("Training", figure=tidy(axes).figure, caption="Validation loss by epoch.")]


def _columns(first: Side, second: Side) -> list[Panel]:
    """The explained variance of the columns that both have, the most different ones first."""
    of_first, of_second = (
        dict(zip(side.run.columns, side.record.held_out.explained_variance, strict=True)) for side in (first, second)
    )
    both = [name for name in of_first if name in of_second]
    if not both or not np.isfinite([of_first[name] - of_second[name] for name in both]).any():
        return []
    far = sorted(both, key=lambda name: -np.nan_to_num(abs(of_first[name] - of_second[name]), nan=-1.0))
    rows: Rows = [(name, float(of_first[name]), float(of_second[name])) for name in far[:_MOST_COLUMNS]]
    which = f"The {_MOST_COLUMNS} of {len(both)} columns that differ most." if len(both) > _MOST_COLUMNS else ""
    return [
        Panel(
            "Explained variance",
            text=f"R² of each column on held-out rows. {which}".strip(),
            table=[("column", first.name, second.name), *rows],
        )
    ]


def _options(first: Side, second: Side) -> Panel:
    of_first, of_second = (
        {**dataclasses.asdict(side.run.config), "table": side.run.source.path} for side in (first, second)
    )
    rows = [(name, str(of_first[name]), str(of_second[name])) for name in of_first if of_first[name] != of_second[name]]
    if not rows:
        return Panel("Options", text="The two runs have the same options.")
    return Panel("Options that differ", table=[("option", first.name, second.name), *rows])
