"""The page on process data as a new user follows it: each command is run, and its output is that of the page."""

import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.docs.reading import ROOT

PAGE = ROOT / "docs" / "process.md"
# Machines differ in the last digits, and so in which sensor comes second.
_NUMBER = re.compile(r"[-+]?\d[\d.]*(e[-+]?\d+)?")
_BLOCKS = re.compile(r"```(bash|text)\n(.*?)```", re.DOTALL)


def said(text):
    """The lines of a page or an output up to a colon, without numbers, rules and widths."""
    lines = [" ".join(_NUMBER.sub("#", re.split("[:;]", line)[0]).split()) for line in text.splitlines()]
    return [line for line in lines if line.strip("- ")]


def test_lines_are_compared_without_their_numbers():
    assert said("rows held out    5760\n------  -----\n\nof 12: a, b") == ["rows held out #", "of #"]
    assert said("rows held back   5760") != said("rows held out    5760")


@pytest.mark.slow
def test_the_commands_print_what_the_page_says(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    printed, outputs = "", 0
    for kind, block in _BLOCKS.findall(PAGE.read_text()):
        if kind == "text":
            expected = said(block)
            places = [said(printed).index(line) for line in expected]
            assert places == sorted(places), f"{expected} are not in the order of {printed}"
            outputs += 1
            continue
        printed = ""
        for line in block.splitlines():
            words = [sys.executable, "-m", *shlex.split(line)]
            ended = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
            assert ended.returncode == 0, f"{line}: {ended.stderr}"
            printed += ended.stderr + ended.stdout
    assert outputs >= 6
    assert (tmp_path / "runs" / "plant" / "report.html").is_file()
    assert len((tmp_path / "runs" / "plant.jsonl").read_text().splitlines()) >= 60
    assert printed.count('{"row"') == 7200, "the last command watches all rows"
