"""What a run looks like: a page with its pictures."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from aejax import metrics, plots
from aejax.artefacts.outside import shortened
from aejax.base import Model
from aejax.data.columns.kinds import CATEGORY, KINDS
from aejax.data.formats.options import ReadOptions
from aejax.plots.style import BLUE, new_figure, tidy
from aejax.reports import pages
from aejax.reports.pages import Panel
from aejax.reports.results import alarm_threshold, divergence, results
from aejax.tables.generation import draw_rows, scaled_conditions
from aejax.tables.run import HeldOut, Record, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Bars that a picture can hold, and how many of the worst are shown where there are more.
_MOST_BARS, _NUM_WORST = 60, 20
_MOST_NAMES, _LONGEST_NAME = 60, 40  # of columns, that are listed
_MOST_CATEGORIES = 8  # of a column, that are listed


def write_report(path: str | Path, run: Run, record: Record, extra: list[Panel] | None = None) -> None:
    """Writes a self-contained page: results, loss curves, reconstructions, codes, scores, samples.

    Where training diverged, the page says so first.

    Args:
        path: of the HTML file.
        run: the Run.
        record: of the same run.
        extra: panels to put after the results.
    """
    pages.write_page(
        path,
        title=f"{run.config.model} of {Path(run.source.path).name or 'a table'}",
        panels=[
            *(Panel("Warning", text=text) for text in divergence(run)),
            _overview(run, record),
            *(extra or []),
            _table(run),
            *_columns(run),
            *_pictures(run, record),
        ],
        subtitle=f"{len(run.columns)} columns, a code of {run.config.latent_dim}",
    )


def _overview(run: Run, record: Record) -> Panel:
    return Panel(
        "Held-out results",
        text="Measured on rows that neither training nor the choice of the best epoch has seen.",
        table=[("result", "value"), *results(run, record)],
    )


def _table(run: Run) -> Panel:
    """What the run was trained on, and how it was read where that was told or found."""
    told = dataclasses.asdict(run.config.reading)
    usual = dataclasses.asdict(ReadOptions())
    lists = {
        "columns": run.columns,
        "conditions": run.config.condition_columns,
        "left out as asked": run.config.drop_columns,
    }
    return Panel(
        "Table",
        table=[
            ("what was read", ""),
            ("file", shortened(run.source.path) if run.source.path != "-" else "standard input"),
            ("SHA-256", run.source.sha256),
            ("names of columns", "in the file" if run.source.has_header else "none in the file"),
            *((name, _listed(names)) for name, names in lists.items() if names),
            *((name.replace("_", " "), _listed(value)) for name, value in told.items() if value != usual[name]),
        ],
    )


def _listed(value: object) -> str:
    """Names one after the other; of many the first ones."""
    if not isinstance(value, list | tuple):
        return shortened(str(value))
    more = f" and {len(value) - _MOST_NAMES} more" if len(value) > _MOST_NAMES else ""
    return ", ".join(shortened(str(name), _LONGEST_NAME) for name in value[:_MOST_NAMES]) + more


def _columns(run: Run) -> list[Panel]:
    """What was recognised in the training rows; nothing of a run that has noted none."""
    profile = run.profile
    rows = [
        (name, column.kind, text, int(num_gross))
        for name, column, num_gross in zip(run.columns, profile.columns, profile.num_gross, strict=True)
        if (text := KINDS[column.kind].describe(column.facts)) or num_gross
    ]
    if not rows:
        return []
    return [
        Panel(
            "Columns",
            text="Generated rows keep to these kinds. Gross errors lie far beyond the tail of their column, and "
            "counted as missing in training. The limit is set without their rows. "
            f"{100 * profile.standing_out:.2g} % of the training rows stand out from the others.",
            table=[("column", "kind", "values", "gross errors"), *rows],
        )
    ]


def _pictures(run: Run, record: Record) -> list[Panel]:
    held_out, has_numbers = record.held_out, not _are_categories(run).all()
    new = functools.cache(lambda: _new_rows(run, held_out))
    drawings: list[tuple[str, Callable[[], Panel]]] = []
    if np.isfinite(record.history["loss"]).any():
        drawings.append(("Training", lambda: _training(record.history)))
    if isinstance(run.model, Model):
        drawings += [
            ("Explained variance", lambda: _explained_variance(run, held_out)),
            *([("Reconstructions", lambda: _reconstructed_rows(run, held_out))] if has_numbers else []),
            ("Codes", lambda: _codes(run, held_out)),
        ]
    drawings.append(("Anomaly scores", lambda: _scores(run)))
    if run.model.sample is not None and has_numbers:
        drawings.append(("Samples", lambda: _samples(run, held_out, new)))
    if _are_categories(run).any():
        drawings.append(("Categories", lambda: _categories(run, held_out, new)))
    return [_drawn(title, draw) for title, draw in drawings]


def _drawn(title: str, draw: Callable[[], Panel]) -> Panel:
    """A panel, or what kept it from being drawn: it costs nobody his page."""
    try:
        return draw()
    except Exception as error:
        return Panel(title, text=pages.not_drawn(error))


def _training(history: Mapping[str, np.ndarray]) -> Panel:
    return Panel(
        "Training",
        figure=_figure(plots.loss_curves(history)),
        caption="Loss by epoch. The variables kept are those of the lowest validation loss.",
    )


def _scores(run: Run) -> Panel:
    return Panel(
        "Anomaly scores",
        figure=_figure(plots.score_histogram(run.calibration.score, alarm_threshold(run))),
        caption="Scores of held-out normal rows. A row above the threshold is called an anomaly; "
        "scores beyond the axis are counted in the legend.",
    )


def _explained_variance(run: Run, held_out: HeldOut) -> Panel:
    r2, names = held_out.explained_variance, _labels(run)
    caption = "R² of each column on held-out rows: 1 is a perfect reconstruction, 0 no better than the mean."
    if len(r2) <= _MOST_BARS:
        return Panel("Explained variance", figure=_figure(plots.explained_variance_bars(r2, names)), caption=caption)
    worst = np.argsort(np.nan_to_num(r2, nan=np.inf))[:_NUM_WORST]
    bars, of_all = new_figure(height=6, width=10).subplots(1, 2)
    plots.explained_variance_bars(r2[worst], [names[index] for index in worst], bars)
    of_all.hist(np.clip(r2[~np.isnan(r2)], -0.5, 1), 30, color=BLUE)
    of_all.set(xlabel="explained variance, R²", ylabel="columns")
    return Panel(
        "Explained variance",
        figure=_figure(tidy(of_all)),
        caption=f"{caption} The {len(worst)} lowest, and how many columns have which; below -0.5 counts as -0.5.",
    )


def _codes(run: Run, held_out: HeldOut) -> Panel:
    # The codes are coloured by the column that they hold best.
    is_told = np.where(_are_categories(run), np.nan, held_out.explained_variance)
    told = int(np.argmax(np.nan_to_num(is_told, nan=-np.inf)))
    return Panel(
        "Codes",
        figure=_figure(plots.latent_scatter(held_out.code, held_out.x[:, told], _labels(run)[told])),
        caption=f"The two dimensions of the code that vary most, coloured by {run.columns[told]}.",
    )


def _reconstructed_rows(run: Run, held_out: HeldOut) -> Panel:
    chosen, columns = _numbers(run)
    x, reconstruction = held_out.x[:, chosen], held_out.reconstruction[:, chosen]
    if run.config.split == "time":
        draw, num_rows = plots.reconstructions, 200
        what = f"The first {min(num_rows, len(held_out.x))} held-out rows and what the model makes of them."
    else:
        # Rows held out at random do not follow each other: over a row number they would only look as if they did.
        draw, num_rows = plots.parity, None
        what = "Each point is a held-out row; on the line the model gives back what was measured."
    r2 = held_out.explained_variance[chosen]
    panels = draw(x[:num_rows], reconstruction[:num_rows], list(map(pages.label, columns)), r2)
    return Panel(
        "Reconstructions",
        figure=_figure(panels),
        caption=f"{what} {_which(panels, columns, 'hardest to reconstruct')}",
    )


def _which(panels: np.ndarray, columns: Sequence[str], worst: str) -> str:
    some = f"The {len(panels)} of {len(columns)} columns {worst}"
    shown = some if len(panels) < len(columns) else f"All columns, those {worst} first"
    return f"{shown}; rows too far out for a panel are counted in its title."


def _new_rows(run: Run, held_out: HeldOut) -> np.ndarray:
    """As many as were held out, at their conditions."""
    cond = scaled_conditions(run, held_out.cond)
    return draw_rows(run, jax.random.key(run.config.seed), len(held_out.x), cond)


def _samples(run: Run, held_out: HeldOut, new: Callable[[], np.ndarray]) -> Panel:
    chosen, columns = _numbers(run)
    rows, x = new()[:, chosen], held_out.x[:, chosen]
    panels = plots.samples_against_data(rows, x, list(map(pages.label, columns)), metrics.ks_distance(rows, x))
    at = ", at the same conditions" if run.config.condition_columns else ""
    return Panel(
        "Samples",
        figure=_figure(panels),
        caption=f"Generated rows beside held-out ones{at}. KS is their Kolmogorov-Smirnov distance, 0 at best, 1 at "
        f"worst. {_which(panels, columns, 'that agree worst')}",
    )


def _categories(run: Run, held_out: HeldOut, new: Callable[[], np.ndarray]) -> Panel:
    """How often each category comes in held-out rows, in what is made of them, and in new ones."""
    rows = {"held out": held_out.x}
    if isinstance(run.model, Model):
        rows["reconstructed"] = held_out.reconstruction
    if run.model.sample is not None:
        rows["generated"] = new()
    table: list[tuple[object, ...]] = [("column", "category", *rows)]
    for place in np.flatnonzero(_are_categories(run)):
        levels = run.profile.columns[place].facts["levels"]
        shares = [[float((of[:, place] == number).mean()) for number in range(len(levels))] for of in rows.values()]
        often = np.argsort(-np.array(shares[0]), kind="stable")[:_MOST_CATEGORIES]
        table += [(run.columns[place], levels[n], *(f"{share[n]:.1%}" for share in shares)) for n in often]
    return Panel("Categories", text="The share of rows; the most frequent categories of each column.", table=table)


def _numbers(run: Run) -> tuple[np.ndarray, list[str]]:
    """The places and the names of the columns that are no categories."""
    chosen = np.flatnonzero(~_are_categories(run))
    return chosen, [run.columns[place] for place in chosen]


def _are_categories(run: Run) -> np.ndarray:
    return np.array([column.kind == CATEGORY for column in run.profile.columns], bool)


def _labels(run: Run) -> list[str]:
    return [pages.label(name) for name in run.columns]


def _figure(axes: "Axes | np.ndarray") -> "Figure":
    return np.asarray(axes, object).ravel()[0].figure
