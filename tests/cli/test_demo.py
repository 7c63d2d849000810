"""The demo at a small size: its page, and the room that it takes."""

import dataclasses

import pytest

from aejax.cli import demo
from aejax.cli.main import main
from aejax.reports import pages
from aejax.simulate import plant
from aejax.training import checkpoint


@pytest.mark.slow
def test_the_control_chart_names_each_fault(tmp_path, monkeypatch):
    for name, number in (("_TRAINING_TRAJECTORIES", 6), ("_TEST_TRAJECTORIES", 1), ("_FAULTY_TRAJECTORIES", 1)):
        monkeypatch.setattr(demo, name, number)
    monkeypatch.setattr(demo, "CONFIG", dataclasses.replace(demo.CONFIG, num_epochs=1, hidden_dims=(8,)))
    written = {}
    write_page = pages.write_page

    def kept(path, title, panels, subtitle):
        written.update({part.title: part for part in panels})
        write_page(path, title, panels, subtitle)

    monkeypatch.setattr(pages, "write_page", kept)
    text = demo.demo(tmp_path / "demo")
    (chart,) = written["Control chart"].figure.axes
    labels = [label.get_text().replace("\n", "_") for label in chart.get_xticklabels()]
    assert tuple(labels) == plant.FAULTS[1:]
    assert chart.get_yscale() in ("log", "symlog")
    assert chart.get_legend() is not None
    assert all(fault in text for fault in plant.FAULTS[1:])
    # The report written again is the same one, the demo's own parts included.
    page = (tmp_path / "demo" / "report.html").read_bytes()
    written.clear()
    (tmp_path / "demo" / "report.html").unlink()
    with pytest.raises(SystemExit, match="0"):
        main(["report", str(tmp_path / "demo")])
    assert {"New trajectories", "Faults", "Control chart"} < set(written)
    assert (tmp_path / "demo" / "report.html").read_bytes() == page


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("chapter 1")
    with pytest.raises(FileExistsError, match=r"holds thesis.tex, which no demo wrote"):
        demo.demo(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "chapter 1"


def earlier_demo(folder):
    """What a demo leaves, without the training."""
    folder.mkdir(exist_ok=True)
    (folder / "plant.csv").write_text("a,b\n1,2\n")
    demo._note(folder, "plant.csv")
    return folder


@pytest.mark.parametrize("marker", [None, "{}", "[]", '{"written_by": "somebody"}'])
def test_a_folder_of_the_users_is_no_demo_for_holding_a_table_of_that_name(tmp_path, marker):
    (tmp_path / "plant.csv").write_text("a,b\n1,2\n")
    if marker:
        (tmp_path / "demo.json").write_text(marker)
    with pytest.raises(FileExistsError, match=r"holds .*plant.csv, which no demo wrote"):
        demo.demo(tmp_path)
    assert (tmp_path / "plant.csv").read_text() == "a,b\n1,2\n"


@pytest.mark.parametrize("foreign", ["notes.txt", "results/scores.csv", "report.html"])
def test_what_was_put_beside_a_demo_is_kept(tmp_path, foreign):
    earlier_demo(tmp_path)
    (tmp_path / foreign).parent.mkdir(exist_ok=True)
    (tmp_path / foreign).write_text("mine")
    with pytest.raises(FileExistsError, match=f"holds {foreign.split('/')[0]}, which no demo wrote"):
        demo.demo(tmp_path)
    assert (tmp_path / foreign).read_text() == "mine"
    assert (tmp_path / "demo.json").exists()


def test_a_table_of_an_earlier_demo_that_was_changed_is_kept(tmp_path):
    earlier_demo(tmp_path)
    demo._refuse_others(tmp_path)
    (tmp_path / "plant.csv").write_text("my own rows")
    with pytest.raises(FileExistsError, match=r"plant.csv, which .* has changed since"):
        demo.demo(tmp_path)
    assert (tmp_path / "plant.csv").read_text() == "my own rows"


def test_what_a_link_in_an_earlier_demo_points_to_is_kept(tmp_path):
    elsewhere, folder = tmp_path / "elsewhere", earlier_demo(tmp_path / "demo")
    (elsewhere / "17").mkdir(parents=True)
    (elsewhere / "17" / "results.csv").write_text("mine")
    (folder / "checkpoints").symlink_to(elsewhere)
    checkpoint.remove(folder / "checkpoints")
    assert (elsewhere / "17" / "results.csv").read_text() == "mine"
