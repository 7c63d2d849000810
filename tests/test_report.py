"""The page of a run says what its pictures show."""

import dataclasses

import numpy as np
import pytest

from aejax import pages, report, tables
from aejax.config import TrainConfig
from aejax.data.files import Table


@pytest.fixture(scope="module")
def run(rows, tmp_path_factory):
    table = Table(tuple("abcdef"), rows.astype(float), True, ())
    config = TrainConfig(num_epochs=2, hidden_dims=(8,))
    return tables.train(table, config, tmp_path_factory.mktemp("report") / "run")


@pytest.fixture
def sections_of(monkeypatch):
    """The sections of a run's page by title."""

    def sections(run):
        written = {}
        keep = lambda path, title, sections, subtitle: written.update({part.title: part for part in sections})  # noqa: E731
        monkeypatch.setattr(pages, "write_page", keep)
        report.write_report("unused", run)
        return written

    return sections


def test_rows_held_out_at_random_are_not_joined_by_a_line(run, sections_of):
    section = sections_of(run)["Reconstructions"]
    assert section.figure.get_supxlabel() == "measured"
    assert "All columns, those hardest to reconstruct first" in section.caption
    in_time = run._replace(config=dataclasses.replace(run.config, split="time"))
    section = sections_of(in_time)["Reconstructions"]
    assert section.figure.axes[-1].get_xlabel() == "row, in the order of time"
    assert section.caption.startswith("The first ")


def test_a_caption_says_how_many_columns_are_left_out(run, sections_of):
    many = tuple(f"c{i}" for i in range(15))
    wide = run._replace(
        source=run.source._replace(columns=many),
        held_out=run.held_out._replace(
            **{name: np.resize(getattr(run.held_out, name), (20, 15)) for name in ("x", "reconstruction")},
            explained_variance=np.linspace(0, 1, 15),
        ),
    )
    assert "The 12 of 15 columns hardest to reconstruct;" in report._reconstructed_rows(wide).caption
    assert "All columns, those that agree worst first" in sections_of(run)["Samples"].caption


class Diverged:
    """A run as it is where training diverged in its first epoch."""

    def __init__(self, run):
        self.run = run._replace(history={name: np.array([np.nan]) for name in run.history})
        self.diverged = "the loss is not finite in epoch 1. Try a smaller rate."

    def __getattr__(self, name):
        return getattr(self.run, name)


def test_a_run_that_diverged_says_so_first(run, sections_of):
    sentence = (
        "training diverged: the loss is not finite in epoch 1. Try a smaller rate; "
        "the figures below are those of the last good variables"
    )
    written = sections_of(Diverged(run))
    assert next(iter(written)) == "Warning"
    assert written["Warning"].text == sentence
    assert "Training" not in written
    assert "best epoch" not in [name for name, _ in written["Held-out results"].table]
    text = report.summary(Diverged(run))
    assert text.startswith(sentence)
    assert "best epoch" not in text
    assert next(iter(sections_of(run))) == "Held-out results"
    assert "best epoch" in report.summary(run)
    assert "diverged" not in report.summary(run)
