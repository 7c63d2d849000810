"""Two runs on one page: what is equal, what differs, and whether they can be compared."""

import re

import numpy as np
import pytest

import aejax
from aejax import tables
from aejax.cli.main import main
from aejax.data.formats.tables import Table
from aejax.reports import comparison, pages
from aejax.reports.comparison import Side
from aejax.tables.config import TrainConfig


@pytest.fixture(scope="module")
def folders(rows, tmp_path_factory):
    """Two runs on one table that differ in beta."""
    table = Table(tuple("abcdef"), rows.astype(float), True, ())
    folder = tmp_path_factory.mktemp("two")
    for name, beta in (("plain", 1), ("strong", 4)):
        config = TrainConfig(num_epochs=2, hidden_dims=(), options=(f"beta={beta}",))
        tables.train(table, config, folder / name, sha256="1" * 64)
    return folder / "plain", folder / "strong"


def run(*words):
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    return ended.value.code


def side(folder):
    return Side(folder.name, aejax.load(folder), aejax.load(tables.record_folder(folder)))


@pytest.fixture
def panels(monkeypatch, tmp_path):
    """The parts of a page by title."""

    def of(first, second):
        written = {}
        keep = lambda path, title, panels, subtitle: written.update({part.title: part for part in panels})  # noqa: E731
        monkeypatch.setattr(pages, "write_page", keep)
        comparison.write_comparison(tmp_path / "page.html", first, second)
        return written

    return of


def test_the_figures_of_both_stand_beside_each_other(folders, panels):
    plain, strong = map(side, folders)
    found = panels(plain, strong)
    rows = {name: of_both for name, *of_both in found["Held-out results"].table[1:]}
    (explained,) = (of_both for name, of_both in rows.items() if "mean over columns" in name)
    for value, one in zip(explained, (plain, strong), strict=True):
        assert value == pytest.approx(np.nanmean(one.record.held_out.explained_variance))
    assert "on the same rows" in found["Held-out results"].text
    assert found["Options that differ"].table == [
        ("option", "plain", "strong"),
        ("options", "('beta=1',)", "('beta=4',)"),
    ]
    differences = [abs(first - second) for _, first, second in found["Explained variance"].table[1:]]
    assert differences == sorted(differences, reverse=True)
    assert "Training" not in found, "losses with another beta do not measure the same"


def test_runs_on_other_rows_models_or_columns_are_said_to_be_so(folders, panels):
    plain, strong = map(side, folders)
    other = strong._replace(run=strong.run._replace(config=strong.run.config.__class__(model="autoencoder", seed=5)))
    found = panels(plain, other)
    assert "are not the same" in found["Held-out results"].text
    assert "Training" not in found, "losses of two models do not measure the same"
    twice = panels(plain, plain)
    assert twice["Options"].text == "The two runs have the same options."
    (axes,) = twice["Training"].figure.axes
    assert [len(line.get_xdata()) for line in axes.get_lines()] == [2, 2]


def test_the_command_writes_the_page_and_leaves_the_report(folders, tmp_path, capsys):
    plain, strong = folders
    assert run("report", plain, "--against", strong) == 0
    page = plain / "against-strong.html"
    assert capsys.readouterr().out.strip() == str(page)
    text = page.read_text()
    assert "plain beside strong" in text
    assert not re.search(r"(?:src|href)=\"(?!data:)", text), "nothing comes from outside"
    assert not (plain / "report.html").exists()
    assert run("verify", plain) == 0
    assert run("report", plain, "--out", tmp_path / "again.html") == 0
    assert "Held-out results" in (tmp_path / "again.html").read_text()
    assert run("report", plain, "--against", tmp_path) == 1
