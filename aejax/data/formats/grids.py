"""Grids of cells from files: pictures, NPY and GSLIB."""

import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aejax.artefacts import sizes
from aejax.artefacts.outside import reading
from aejax.data.formats.contents import files_of, unpacked

_NPY = b"\x93NUMPY"
_XZ = b"\xfd7zXZ"


class Grid(NamedTuple):
    """Cells of a plane, the upper row first.

    Attributes:
        cells: (rows, columns) numbers, or (rows, columns, 3) red, green and blue from 0 to 255.
        format: what the file is.
    """

    cells: np.ndarray
    format: str


def read_grid(path: str | Path, shape: tuple[int, int] | None = None, variable: str | None = None) -> Grid:
    r"""Reads a grid: a picture that Pillow can read, NPY with two axes, or GSLIB; also in a GZ, XZ or ZIP file.

    The content decides the format, not the name. What is transparent in a picture is white. A picture of 16 or 32 bits
    a pixel is read as numbers. The cells of GSLIB run along rows first, and its first row is taken for the upper one.

    Args:
        path: of the file.
        shape: rows and columns, for GSLIB that does not say them.
        variable: which one, for GSLIB of several.

    Returns:
        The Grid.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no such format, a grid that is no plane, a shape that does not fit, or cells without a number.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "image.gslib"
        >>> _ = file.write_text("3 2 1\n1\nfacies\n0\n0\n1\n1\n1\n1\n")
        >>> read_grid(file).cells
        array([[0., 0., 1.],
               [1., 1., 1.]])
    """
    (file,) = files_of(path)[:1]
    data = file.read_bytes()
    with reading(path):
        data = sizes.unpacked_xz(data) if data.startswith(_XZ) else unpacked(data, "")
        grid = _grid(data, shape, variable)
        if not np.isfinite(grid.cells).all():
            number = int((~np.isfinite(grid.cells)).sum())
            raise ValueError(f"found {number} cells without a number, expected a number in each; cut them away")
    return grid


def _grid(data: bytes, shape: tuple[int, int] | None, variable: str | None) -> Grid:
    if data.startswith(_NPY):
        sizes.header(io.BytesIO(data), len(data))
        cells = np.load(io.BytesIO(data), allow_pickle=False)
        if cells.ndim != 2 or cells.dtype.kind not in "buif":
            raise ValueError(f"found an array of {cells.dtype} of shape {cells.shape}, expected numbers of two axes")
        return Grid(cells.astype(float), "NPY")
    for read in (_picture, lambda data: _gslib(data, shape, variable)):
        if (grid := read(data)) is not None:
            return grid
    raise ValueError("found no image that can be read, expected a picture such as PNG, NPY, or GSLIB")


def _picture(data: bytes) -> Grid | None:
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data))
        sizes.check_packed(4 * math.prod(image.size), len(data))
        image.load()
    except UnidentifiedImageError:
        return None
    except (OSError, SyntaxError) as error:
        raise ValueError(f"found a damaged picture ({error}), expected a whole one") from None
    name = f"{image.format} picture"
    if image.mode.startswith(("I", "F")):
        return Grid(np.asarray(image, float), name)
    over_white = Image.new("RGBA", image.size, "white")
    over_white.alpha_composite(image.convert("RGBA"))
    return Grid(np.asarray(over_white.convert("RGB"), float), name)


def _gslib(data: bytes, shape: tuple[int, int] | None, variable: str | None) -> Grid | None:
    """A title, the number of variables, their names, a line a cell; sizes are in the title or in the second line."""
    lines = data.decode("utf-8", "replace").splitlines()
    words = lines[1].split() if len(lines) > 2 else []
    if not words or not words[0].isdigit() or not 0 < int(words[0]) <= len(lines) - 3:
        return None
    number = int(words[0])
    names = [name.strip() for name in lines[2 : 2 + number]]
    try:
        values = np.array([line.split() for line in lines[2 + number :] if line.strip()], float)
    except ValueError as error:
        raise ValueError(f"found GSLIB that cannot be read ({error}), expected {number} numbers a line") from None
    if values.ndim != 2 or values.shape[1] != number:
        raise ValueError(f"found {values.shape[-1]} numbers a line, expected {number}, one for each of {names}")
    variable = names[0] if variable is None and number == 1 else variable
    if variable not in names:
        raise ValueError(f"variable: found {variable}, expected one of {', '.join(names)}; choose with --variable")
    shape = shape or _plane(lines[:2], len(values))
    if math.prod(shape) != len(values):
        raise ValueError(f"shape: found {shape[0]} x {shape[1]}, expected rows and columns of {len(values)} cells")
    return Grid(values[:, names.index(variable)].reshape(shape), "GSLIB")


def _plane(header: list[str], num_cells: int) -> tuple[int, int]:
    """Rows and columns, from the sizes along x, y and z of which one is 1."""
    for line in header:
        for lengths in _in_turn([int(word) for word in re.findall(r"\d+", line)]):
            if math.prod(lengths) == num_cells:
                columns, *rows = [size for size in lengths if size > 1] or [1]
                if len(rows) > 1:
                    raise ValueError(f"found a grid of {lengths} cells along x, y and z, expected 1 along one of them")
                return (rows[0] if rows else 1), columns
    raise ValueError(
        f"found GSLIB of {num_cells} cells without their numbers along x and y in the first line, expected them "
        "there; give rows and columns with --shape"
    )


def _in_turn(numbers: list[int]) -> Iterator[list[int]]:
    for count in (3, 2):
        yield from (numbers[i : i + count] for i in range(len(numbers) - count + 1))
