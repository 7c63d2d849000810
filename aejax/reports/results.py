"""Results of a run as a short table for the terminal. Nothing here draws, so that what draws need not be loaded."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from aejax.base import Model
from aejax.reports import pages
from aejax.tables.run import Record, Run
from aejax.tasks.anomaly import threshold


def summary(run: Run, record: Record) -> str:
    """The held-out results of a run as aligned text.

    Args:
        run: the Run.
        record: of the same run.

    Returns:
        A table of two columns, after a line that says so where training diverged.
    """
    table = pages.format_table([("held-out result", "value"), *results(run, record)])
    return "\n\n".join([*divergence(run), table])


def figures(run: Run, record: Record) -> dict[str, object]:
    """The same figures by name.

    Args:
        run: the Run.
        record: of the same run.

    Returns:
        The figures; NaN where one is not known.
    """
    return dict(results(run, record))


def evaluation_table(result: Mapping[str, Any]) -> str:
    """The result of ``tables.evaluate`` as aligned text.

    Args:
        result: the result.

    Returns:
        A table of two columns: the overall figures, then those of each column.
    """
    overall = {
        "num_rows": "rows",
        "mean_score": "mean score",
        "flagged": f"share flagged at a false alarm rate of {result['false_alarm_rate']:g}",
        "mse": "mean squared error, in units of the training variance",
        "explained_variance": "explained variance, mean over columns",
        "ks_distance": "KS distance of generated rows, mean over columns",
    }
    by_column = {"explained_variance_by_column": "explained variance", "ks_distance_by_column": "KS distance"}
    return pages.format_table(
        [
            ("result", "value"),
            *((words, result[name]) for name, words in overall.items() if name in result),
            *(
                (f"{words} of {column}", value)
                for name, words in by_column.items()
                for column, value in result.get(name, {}).items()
            ),
        ]
    )


def divergence(run: Run) -> list[str]:
    """A sentence that says so where training diverged."""
    if run.diverged is None:
        return []
    return [f"training diverged: {run.diverged.rstrip('.')}; the figures below are those of the last good variables"]


def results(run: Run, record: Record) -> list[tuple[str, object]]:
    """Names and values of the held-out results, in the order in which they are shown."""
    loss = record.history.get("val_loss", np.array([np.nan]))
    chosen: list[tuple[str, object]] = []
    if np.isfinite(loss).any():  # not where training diverged in its first epoch
        best = int(np.nanargmin(loss))
        chosen = [("validation loss, best epoch", float(loss[best])), ("best epoch", f"{best + 1} of {len(loss)}")]
    explained_variance = record.held_out.explained_variance
    varying = explained_variance[~np.isnan(explained_variance)]
    num_gross = int(run.profile.num_gross.sum())
    without = f", without {num_gross} gross errors" if num_gross else ""
    explained = [
        (f"explained variance, mean over columns{without}", float(varying.mean()) if varying.size else math.nan),
        (f"explained variance, worst column{without}", float(varying.min()) if varying.size else math.nan),
    ]
    return [
        ("rows held out", len(run.calibration.score)),
        *(explained if isinstance(run.model, Model) else []),
        *chosen,
        ("size of the code", run.config.latent_dim),
        (f"alarm threshold at a rate of {run.config.false_alarm_rate:g}", alarm_threshold(run)),
    ]


def alarm_threshold(run: Run) -> float:
    """The score above which a row is an anomaly."""
    return threshold(run.calibration.score, run.config.false_alarm_rate)
