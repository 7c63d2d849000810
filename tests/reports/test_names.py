"""A page is written whatever the columns are called, however many there are, and whatever cannot be drawn."""

import re
import time
import warnings

import numpy as np
import pytest

from aejax import plots
from aejax.data.columns.kinds import PLAIN
from aejax.reports import monitoring, pages
from aejax.reports import run as report
from aejax.tables import Watched
from tests.artefacts.examples import EXAMPLES, run_and_record

NAMES = ["$x^{", "a$b$c", r"$\frac{$", "\ud800", "\0\x07", "\x1b[31m", "<b>&", "x" * 100_000, "\n" * 50, "\\$", "漢字"]


@pytest.fixture(scope="module")
def run():
    return run_and_record()[0]


def named(run, names):
    """The run and the record of more columns of these names."""
    record = run_and_record()[1]
    count = len(names)
    held_out = record.held_out._replace(
        x=np.resize(record.held_out.x, (len(record.held_out.x), count)),
        reconstruction=np.resize(record.held_out.reconstruction, (len(record.held_out.x), count)),
        explained_variance=np.linspace(-3, 1, count),
    )
    source = run.source._replace(columns=(*names, "level"))
    profile = run.profile._replace(columns=(PLAIN,) * count)
    return run._replace(source=source, profile=profile), record._replace(held_out=held_out)


def page(run, record, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of glyphs that the font has not
        panels = [report._drawn(title, draw) for title, draw in drawings(run, record)]
        pages.write_page(folder / "page.html", str(run.columns[0]), panels, "names")
    return (folder / "page.html").read_text(encoding="utf-8")


def drawings(run, record):
    yield "Explained variance", lambda: report._explained_variance(run, record.held_out)
    yield "Reconstructions", lambda: report._reconstructed_rows(run, record.held_out)
    yield "Codes", lambda: report._codes(run, record.held_out)


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:9]))
def test_any_name_is_drawn(name, run, tmp_path):
    text = page(*named(run, [name, "flow"]), tmp_path)
    assert text.count("<img") == 3
    assert "could not be drawn" not in text


def test_many_columns_take_seconds_and_few_bytes(run, tmp_path):
    began = time.process_time()
    text = page(*named(run, [f"sensor {i}" for i in range(5000)]), tmp_path)
    assert time.process_time() - began < 20
    assert len(text) < 500_000
    assert "The 20 lowest" in text
    assert text.count("<img") == 3


def test_what_cannot_be_drawn_is_said_and_the_rest_is_there(run, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no <font>")

    monkeypatch.setattr(plots, "latent_scatter", broken)
    monkeypatch.setattr(plots, "score_histogram", broken)
    report.write_report(tmp_path / "report.html", *run_and_record())
    text = (tmp_path / "report.html").read_text()
    assert text.count("could not be drawn (RuntimeError: no &lt;font&gt;)") == 2
    assert text.count("<img") >= 3
    assert re.findall("<h2>(.*?)</h2>", text)[-1] == "Samples"


def test_a_monitor_keeps_what_it_found_without_its_picture(tmp_path, monkeypatch):
    from aejax import tables
    from tests.artefacts.examples import table

    monitor = EXAMPLES["table monitor"]()._replace(columns=("$x^{", "\ud800"))
    found = tables.watch(monitor, table()._replace(columns=monitor.columns))
    assert isinstance(found, Watched)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert monitoring.write_pictures(tmp_path, monitor, found) == monitoring.PICTURES
    monkeypatch.setattr(plots, "contribution_bars", lambda *_, **__: 1 / 0)
    with pytest.warns(UserWarning, match=r"contributions\.png: This picture could not be drawn \(ZeroDivisionError"):
        assert monitoring.write_pictures(tmp_path, monitor, found) == monitoring.PICTURES[:1]
