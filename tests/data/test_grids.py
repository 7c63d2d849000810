"""Training images as they come: pictures of any kind, NPY, GSLIB."""

import gzip
import lzma

import numpy as np
import pytest
from PIL import Image

from aejax.data.formats.grids import read_grid

CELLS = (np.arange(48).reshape(6, 8) % 5 < 2).astype(np.uint8)


def gslib(title="8 6 1", names=("facies",), columns=(CELLS,)):
    lines = [title, str(len(names)), *names]
    return "\n".join(lines + [" ".join(map(str, line)) for line in zip(*(c.ravel() for c in columns), strict=True)])


@pytest.mark.parametrize(
    ("mode", "colours"),
    [
        ("L", {0: 0, 1: 255}),
        ("1", {0: 0, 1: 1}),
        ("P", {0: 0, 1: 1}),
        ("RGB", {0: (0, 0, 0), 1: (255, 255, 255)}),
        ("LA", {0: (0, 255), 1: (0, 0)}),
        ("RGBA", {0: (0, 0, 0, 255), 1: (9, 9, 9, 0)}),
    ],
)
def test_a_picture_of_any_kind_is_read_and_what_is_transparent_is_white(tmp_path, mode, colours):
    image = Image.new(mode, (8, 6))
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 255, 255])
    for row, line in enumerate(CELLS):
        for column, cell in enumerate(line):
            image.putpixel((column, row), colours[int(cell)])
    image.save(tmp_path / "image.png")
    found = read_grid(tmp_path / "image.png")
    np.testing.assert_array_equal(found.cells, np.repeat(255.0 * CELLS[..., None], 3, axis=2))
    assert found.format == "PNG picture"


def test_a_picture_of_16_bits_is_numbers(tmp_path):
    Image.fromarray(CELLS.astype(np.uint16) * 60000).save(tmp_path / "image.png")
    np.testing.assert_array_equal(read_grid(tmp_path / "image.png").cells, CELLS * 60000.0)


@pytest.mark.parametrize("title", ["8 6 1", "training image 8x6x1", "8 6", "facies of 1998, 8 1 6", "(8 6 1) 0.5 m"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_gslib_says_its_sizes(tmp_path, title, pack):
    path = tmp_path / "image.dat"
    path.write_bytes(pack(gslib(title).encode()))
    np.testing.assert_array_equal(read_grid(path).cells, CELLS)


def test_gslib_that_does_not_say_all_is_told(tmp_path):
    path = tmp_path / "image.gslib"
    path.write_text(gslib("channels"))
    with pytest.raises(ValueError, match=r"image\.gslib: found GSLIB of 48 cells without .* --shape"):
        read_grid(path)
    np.testing.assert_array_equal(read_grid(path, shape=(6, 8)).cells, CELLS)
    with pytest.raises(ValueError, match="shape: found 5 x 8, expected rows and columns of 48 cells"):
        read_grid(path, shape=(5, 8))
    path.write_text(gslib(names=("porosity", "facies"), columns=(CELLS * 0.1, CELLS)))
    with pytest.raises(ValueError, match="variable: found None, expected one of porosity, facies; choose with --var"):
        read_grid(path)
    np.testing.assert_array_equal(read_grid(path, variable="facies").cells, CELLS)
    path.write_text(gslib("4 6 2"))
    with pytest.raises(ValueError, match=r"found a grid of \[4, 6, 2\] cells"):
        read_grid(path)
    path.write_text(gslib() + " 7")
    with pytest.raises(ValueError, match="found GSLIB that cannot be read"):
        read_grid(path)


def test_npy_is_a_plane_of_numbers(tmp_path):
    path = tmp_path / "image.npy"
    np.save(path, CELLS)
    np.testing.assert_array_equal(read_grid(path).cells, CELLS)
    np.save(path, np.where(CELLS, np.nan, 1.0))
    with pytest.raises(ValueError, match=rf"image\.npy: found {CELLS.sum()} cells without a number"):
        read_grid(path)
    np.save(path, CELLS[None])
    with pytest.raises(ValueError, match=r"found an array of uint8 of shape \(1, 6, 8\), expected numbers of two axes"):
        read_grid(path)


def test_a_damaged_picture_is_named(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(np.tile(CELLS, (40, 40)) * 255).save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"image\.png: found a damaged picture"):
        read_grid(path)
