"""Pages are self-contained, escaped, reproducible and never half-written."""

import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from aejax.reports import pages
from aejax.reports.pages import Panel


def example():
    figure = Figure()
    figure.subplots().plot(np.arange(3))
    return [
        Panel("A <b>", text="1 < 2 & 3", table=[("name", "value"), ("x<y", 0.123456)]),
        Panel("Picture", figure=figure, caption="a > b"),
    ]


def test_a_page_is_escaped_and_needs_nothing_from_outside(tmp_path):
    pages.write_page(tmp_path / "page.html", "<title>", example())
    page = (tmp_path / "page.html").read_text()
    assert "A &lt;b&gt;" in page
    assert "x&lt;y" in page
    assert "0.1235" in page
    assert "<title>&lt;title&gt;</title>" in page
    assert re.findall(r'src="(?!data:image/png;base64,)', page) == []
    assert "http" not in page
    assert "<script" not in page


def test_equal_content_gives_equal_bytes(tmp_path):
    for name in ("one.html", "two.html"):
        pages.write_page(tmp_path / name, "title", example())
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_an_interruption_leaves_the_old_page(tmp_path):
    pages.write_page(tmp_path / "page.html", "title", example())
    before = (tmp_path / "page.html").read_bytes()

    class Broken:
        def savefig(self, *args, **options):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pages.write_page(tmp_path / "page.html", "title", [Panel("x", figure=Broken())])
    assert (tmp_path / "page.html").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_text_tables_are_aligned():
    text = pages.format_table([("name", "value"), ("a", 1.0), ("long name", float("nan")), ("b", 12345)])
    lines = text.splitlines()
    assert lines[0].index("value") + len("value") == len(lines[2])
    assert lines[3].endswith("-")
