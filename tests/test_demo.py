"""The demo at a small size: its page, and the room that it takes."""

import dataclasses

import pytest

from aejax import demo, pages
from aejax.data import plant


@pytest.mark.slow
def test_the_control_chart_names_each_fault(tmp_path, monkeypatch):
    for name, number in (("_TRAINING_TRAJECTORIES", 6), ("_TEST_TRAJECTORIES", 1), ("_FAULTY_TRAJECTORIES", 1)):
        monkeypatch.setattr(demo, name, number)
    monkeypatch.setattr(demo, "CONFIG", dataclasses.replace(demo.CONFIG, num_epochs=1, hidden_dims=(8,)))
    written = {}
    keep = lambda path, title, sections, subtitle: written.update({part.title: part for part in sections})  # noqa: E731
    monkeypatch.setattr(pages, "write_page", keep)
    text = demo.demo(tmp_path / "demo")
    (chart,) = written["Control chart"].figure.axes
    labels = [label.get_text().replace("\n", "_") for label in chart.get_xticklabels()]
    assert tuple(labels) == plant.FAULTS[1:]
    assert chart.get_yscale() in ("log", "symlog")
    assert chart.get_legend() is not None
    assert all(fault in text for fault in plant.FAULTS[1:])


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("chapter 1")
    with pytest.raises(FileExistsError, match="no earlier demo"):
        demo.demo(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "chapter 1"
