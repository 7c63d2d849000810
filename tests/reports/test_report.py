"""The page of a run says what its pictures show."""

import dataclasses

import numpy as np
import pytest

import aejax
from aejax import tables
from aejax.data.columns.kinds import PLAIN
from aejax.data.formats.tables import Table
from aejax.reports import detections, pages, results
from aejax.reports import run as report
from aejax.tables.config import TrainConfig


@pytest.fixture(scope="module")
def folder(rows, tmp_path_factory):
    table = Table(tuple("abcdef"), rows.astype(float), True, ())
    folder = tmp_path_factory.mktemp("report") / "run"
    tables.train(table, TrainConfig(num_epochs=2, hidden_dims=()), folder)
    return folder


@pytest.fixture(scope="module")
def run(folder):
    return aejax.load(folder)


@pytest.fixture(scope="module")
def record(folder):
    return aejax.load(tables.record_folder(folder))


@pytest.fixture
def panels_of(monkeypatch, record):
    """The panels of a run's page by title."""

    def panels(run, record=record):
        written = {}
        keep = lambda path, title, panels, subtitle: written.update({part.title: part for part in panels})  # noqa: E731
        monkeypatch.setattr(pages, "write_page", keep)
        report.write_report("unused", run, record)
        return written

    return panels


def test_rows_held_out_at_random_are_not_joined_by_a_line(run, panels_of):
    panel = panels_of(run)["Reconstructions"]
    assert panel.figure.get_supxlabel() == "measured"
    assert "All columns, those hardest to reconstruct first" in panel.caption
    in_time = run._replace(config=dataclasses.replace(run.config, split="time"))
    panel = panels_of(in_time)["Reconstructions"]
    assert panel.figure.axes[-1].get_xlabel() == "row, in the order of time"
    assert panel.caption.startswith("The first ")


def test_a_caption_says_how_many_columns_are_left_out(run, record, panels_of):
    many = tuple(f"c{i}" for i in range(15))
    profile = run.profile._replace(columns=(PLAIN,) * 15)
    wide = run._replace(source=run.source._replace(columns=many), profile=profile)
    held_out = record.held_out._replace(
        **{name: np.resize(getattr(record.held_out, name), (20, 15)) for name in ("x", "reconstruction")},
        explained_variance=np.linspace(0, 1, 15),
    )
    assert "The 12 of 15 columns hardest to reconstruct;" in report._reconstructed_rows(wide, held_out).caption
    assert "All columns, those that agree worst first" in panels_of(run)["Samples"].caption


def test_an_evaluation_is_told_in_words_with_units(run, record):
    lines = results.evaluation_table(
        tables.evaluate(run, Table(tuple("abcdef"), record.held_out.x, True, ()))
    ).splitlines()
    assert [line.rsplit("  ", 1)[0].strip() for line in lines[2:9]] == [
        "rows",
        "mean score",
        "share flagged at a false alarm rate of 0.01",
        "mean squared error, in units of the training variance",
        "explained variance, mean over columns",
        "KS distance of generated rows, mean over columns",
        "explained variance of a",
    ]
    assert lines[-1].startswith("KS distance of f ")
    assert "_" not in "".join(lines)


def test_every_figure_of_an_evaluation_is_told(run, record):
    result = tables.evaluate(run, Table(tuple("abcdef"), record.held_out.x, True, ()))
    num_values = sum(len(value) if isinstance(value, dict) else 1 for value in result.values())
    # The false alarm rate is told beside the share that is flagged at it.
    assert len(results.evaluation_table(result).splitlines()) - 2 == num_values - 1


def test_a_run_that_diverged_says_so_first(run, record, panels_of):
    sentence = (
        "training diverged: the loss is not finite in epoch 1. Try a smaller rate; "
        "the figures below are those of the last good variables"
    )
    diverged = run._replace(diverged="the loss is not finite in epoch 1. Try a smaller rate.")
    without_losses = record._replace(history={name: np.array([np.nan]) for name in record.history})
    written = panels_of(diverged, without_losses)
    assert next(iter(written)) == "Warning"
    assert written["Warning"].text == sentence
    assert "Training" not in written
    assert "best epoch" not in [name for name, _ in written["Held-out results"].table]
    text = results.summary(diverged, without_losses)
    assert text.startswith(sentence)
    assert "best epoch" not in text
    assert next(iter(panels_of(run))) == "Held-out results"
    assert "best epoch" in results.summary(run, record)
    assert "diverged" not in results.summary(run, record)


def test_rows_without_a_verdict_are_not_called_normal():
    nothing = np.array([np.nan, np.nan])
    found = {"score": nothing, "is_anomaly": np.zeros(2, bool), "top_sensor": np.array(["", ""])}
    assert detections.detection_summary(found).startswith("none of the 2 rows could be judged")
    some = found | {"score": np.array([np.nan, 1.0])}
    assert detections.detection_summary(some) == "0 of 2 rows are anomalies; 1 without a verdict"


def test_the_page_says_what_was_read(folder, tmp_path):
    run = aejax.load(folder, aejax.Run)
    reading = dataclasses.replace(run.config.reading, separator=";", missing=("Bad", "No Data"))
    told = run._replace(config=dataclasses.replace(run.config, reading=reading, drop_columns=("remarks",)))
    record = aejax.load(tables.record_folder(folder), tables.Record)
    report.write_report(tmp_path / "page.html", told, record)
    page = (tmp_path / "page.html").read_text()
    for name, value in {
        "file": run.source.path.replace("-", "standard input"),
        "SHA-256": run.source.sha256,
        "columns": "a, b, c, d, e, f",
        "left out as asked": "remarks",
        "separator": ";",
        "missing": "Bad, No Data",
    }.items():
        assert f"<td>{name}</td><td>{value}</td>" in page, name
    assert "<td>decimal</td>" not in page  # nobody told it
