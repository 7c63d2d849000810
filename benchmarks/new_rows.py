"""New rows of tables with categories, beside the published generators.

python -m benchmarks.new_rows [--tables adult diamonds ...] [--keys N] [--peers TVAE CTGAN] [--out FOLDER]

``adult`` is ``AEJAX_DATA``/tabular/adult.data.gz: 26,048 rows to train on, 6,513 held out, by a fixed seed. Its figures
of keys 0 and 11 were looked at when the settings were chosen; those that are printed begin with key 1. The other tables
were named before any of their figures was seen: ``fair`` and ``randhie`` of statsmodels, ``diamonds`` (20,000 rows) and
``txhousing`` (rows without gaps) of plotnine, ``faults`` of the outlier sets, whose label is a category here. A fifth
of their rows is held out. As many new rows as training rows are judged. Peers are those of the package ``ctgan``.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aejax import tables
from aejax.artefacts.storage import finite, write_json
from aejax.data.columns.categories import texts_of
from aejax.data.formats.options import ReadOptions, with_categories
from aejax.data.formats.tables import Table, as_table, read_table
from aejax.tables.config import for_new_rows
from aejax.tables.likeness.classifiers import learned, told_apart
from aejax.tables.likeness.privacy import share_nearer, share_of_copies
from aejax.tables.likeness.samples import samples_of
from aejax.tables.likeness.shapes import column_errors, pair_errors
from benchmarks.measuring import environment

FOLDER = Path(__file__).parent / "results"
DATA = Path(os.environ.get("AEJAX_DATA", "../shared/data"))
SPLIT_SEED = 0
FLOW_STEPS = 60_000
# The published generators are told which columns are discrete: texts, and numbers of so few values.
_MOST_DISCRETE = 10


class Rows(NamedTuple):
    """A table, the column that is learned from new rows, and how many rows train."""

    whole: Table
    target: str
    num_train: int


def adult() -> Rows:
    """Census: fifteen columns, of which nine are texts; the last one, the income, is learned."""
    return Rows(read_table(DATA / "tabular" / "adult.data.gz"), "column_15", 26_048)


def of_frame(frame: Any, target: str) -> Rows:
    """Four fifths of a frame train."""
    return Rows(as_table(frame), target, round(0.8 * len(frame)))


def fair() -> Rows:
    """A survey: nine columns of few values."""
    import statsmodels.api

    return of_frame(statsmodels.api.datasets.fair.load_pandas().data, "affairs")


def randhie() -> Rows:
    """A health insurance's experiment: counts, shares and 0/1."""
    import statsmodels.api

    return of_frame(statsmodels.api.datasets.randhie.load_pandas().data, "mdvis")


def diamonds() -> Rows:
    """Sizes, prices and three grades."""
    from plotnine import data

    return of_frame(data.diamonds.sample(20_000, random_state=SPLIT_SEED), "price")


def txhousing() -> Rows:
    """Sales of houses by city and month; the date, which repeats year and month, and rows with gaps are left out."""
    from plotnine import data

    return of_frame(data.txhousing.drop(columns="date").dropna(), "sales")


def faults() -> Rows:
    """Faults of steel plates: 27 numbers of the outlier sets, and the label as a category."""
    import pandas as pd

    with np.load(DATA / "adbench" / "12_fault.npz", allow_pickle=True) as found:
        frame = pd.DataFrame(found["X"]).rename(columns="x{}".format)
        return of_frame(frame.assign(label=np.where(found["y"] == 1, "fault", "whole")), "label")


TABLES = {made.__name__: made for made in (adult, diamonds, randhie, txhousing, fair, faults)}


def of_flow(train: Table, key: int) -> tuple[Table, float]:
    """New rows by a VAE and a flow over its codes, and the seconds of their training."""
    begin = time.perf_counter()
    run = tables.train(train, for_new_rows(len(train.values), seed=key), Path(tempfile.mkdtemp()) / "run")
    codes = tables.fit_codes(run, train, "flow", num_steps=FLOW_STEPS)
    seconds = time.perf_counter() - begin
    rows = tables.generate(run, len(train.values), seed=key, codes=codes)
    return as_table(rows, run.config.reading, train.columns), seconds


def of_peer(name: str) -> Callable[[Table, int], tuple[Table, float]]:
    """The same by a generator of the package ``ctgan``."""

    def generate(train: Table, key: int) -> tuple[Table, float]:
        import ctgan
        import pandas as pd

        frame = {column: train.values[:, place] for place, column in enumerate(train.columns)}
        frame |= {column: texts_of(frame[column], levels) for column, levels in train.categories.items()}
        model = getattr(ctgan, name)()
        model.set_random_state(key)
        begin = time.perf_counter()
        discrete = [
            name for name, values in frame.items() if len(pd.unique(pd.Series(values).dropna())) <= _MOST_DISCRETE
        ]
        model.fit(pd.DataFrame(frame), sorted({*train.categories, *discrete}))
        seconds = time.perf_counter() - begin
        told = with_categories(ReadOptions(), train.categories)
        return as_table(model.sample(len(train.values)), told, train.columns), seconds

    return generate


def figures(train: Table, new: Table, held_out: Table, target: str) -> dict[str, float]:
    """How good new rows are."""
    real, rows, test = samples_of([train, new, held_out])
    some = real.rows(np.random.default_rng(0).permutation(len(real.values))[: len(rows.values)])
    return {
        "column error, %": 100 * float(np.nanmean(column_errors(real, rows))),
        "pair error, %": 100 * float(np.nanmean(pair_errors(real, rows))),
        "learned from them": learned(rows, test, target),
        "two-sample AUC, trees": told_apart(some, rows, "trees"),
        "nearer to training, %": 100 * share_nearer(real, test, rows),
        "copies, %": 100 * share_of_copies(real, rows),
    }


def measured(
    rows: Rows, generators: dict[str, Callable[[Table, int], tuple[Table, float]]], keys: int
) -> dict[str, Any]:
    """The figures of real rows and of each generator, key by key; a line for each is printed."""
    order = np.random.default_rng(SPLIT_SEED).permutation(len(rows.whole.values))
    parts = np.split(order, [rows.num_train])
    train, held_out = (rows.whole._replace(values=rows.whole.values[part]) for part in parts)
    real = figures(train, held_out, held_out, rows.target) | {"seconds": np.nan}
    of_train, test = samples_of([train, held_out])
    real["learned from them"] = learned(of_train, test, rows.target)
    print("| rows | " + " | ".join(real) + " |\n" + "| --- " * (1 + len(real)) + "|")
    print(line("real: held out; learned from training rows", [real]), flush=True)
    found: dict[str, Any] = {"real": [real]}
    for name, generate in generators.items():
        found[name] = []
        for key in range(1, 1 + keys):
            new, seconds = generate(train, key)
            found[name].append(figures(train, new, held_out, rows.target) | {"seconds": seconds})
        print(line(name, found[name]), flush=True)
    return found


def main() -> None:
    """Prints a table for each table, a line for each generator, mean and spread over keys, and writes them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="*", default=["adult"], choices=list(TABLES))
    parser.add_argument("--keys", type=int, default=3)
    parser.add_argument("--peers", nargs="*", default=[], choices=["TVAE", "CTGAN"])
    parser.add_argument("--out", type=Path, default=FOLDER)
    words = parser.parse_args()
    generators = {"aejax": of_flow, **{peer: of_peer(peer) for peer in words.peers}}
    for name in words.tables:
        print(f"\n{name}\n")
        found = measured(TABLES[name](), generators, words.keys)
        write_json(words.out / f"new-rows-{name}.json", {"environment": environment(), "found": finite(found)})


def line(name: str, found: list[dict[str, float]]) -> str:
    """A line of the table."""
    cells = []
    for figure in found[0]:
        values = [each[figure] for each in found]
        spread = f" ± {np.std(values):.2g}" if len(values) > 1 else ""
        cells.append(f"{np.mean(values):.4g}{spread}" if np.isfinite(values).all() else "")
    return f"| {name} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
