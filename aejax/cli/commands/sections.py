"""``aejax sections``: a model of sections from a training image."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import FlagCreatePairsOff, Positional

from aejax.cli.commands.command import Command
from aejax.cli.commands.notes import note
from aejax.cli.commands.options import Quiet

if TYPE_CHECKING:
    import numpy as np


@dataclasses.dataclass(frozen=True)
class TrainSectionsCommand:
    """Train a model of the sections of a geological training image of two facies."""

    image: Positional[Path]
    """Training image: PNG or another picture, NPY with two axes, GSLIB; also in a GZ, XZ or ZIP file. Colours on
    smoothed edges count to the nearer facies; what is transparent is white."""
    out: Path
    """Folder to write; a run there that was interrupted is resumed."""
    patch: tuple[int, int] = (129, 65)
    """Rows and columns of a section."""
    facies_1: tuple[str, ...] = ()
    """Colours (red, '#ff0000') or numbers (2, '>0.5') of the image that are facies 1; all others are facies 0. Unless
    told, it is the brighter of two colours, or the larger of two numbers."""
    shape: tuple[int, int] | None = None
    """Rows and columns of the image, where GSLIB does not say them."""
    variable: str | None = None
    """Which variable of a GSLIB file that has several."""
    held_out: float | None = None
    """Share of the image's columns, the last ones, that is held out; unless told 7.5 %, or as many columns as a section
    has where these are more."""
    latent_dim: int = 20
    """Size of the code."""
    num_steps: int = 6000
    """Length of the training; the default takes about ten minutes on one core."""
    flips: FlagCreatePairsOff[bool] = False
    """Mirror sections at random, where the geology has no direction."""
    seed: int = 0
    """Of the training."""
    quiet: Quiet = False


def train(command: TrainSectionsCommand) -> None:
    """Trains on the sections of an image and writes the folder."""
    import jax

    from aejax.artefacts import codecs
    from aejax.tasks import inversion

    if any((command.out / name).is_file() for name in (codecs.MANIFEST, "variables.safetensors")):
        found = codecs.load(command.out, inversion.Sections)
        asked, there = (tuple(command.patch), command.latent_dim), (found.patch_shape, found.latent_dim)
        if asked != there:
            raise ValueError(f"out: {command.out} holds sections of {there}, expected {asked}; choose another folder")
        print(f"{command.out} is complete: nothing is left to train")
        return
    image = _image(command)
    found = inversion.fit_sections(
        jax.random.key(command.seed),
        image,
        command.patch,
        command.latent_dim,
        num_steps=command.num_steps,
        held_out=command.held_out,
        flips=(0, 1) if command.flips else (),
        checkpoint_dir=command.out / "checkpoints",
        progress=not command.quiet,
    )
    codecs.save(command.out, found)
    print(f"written to {command.out}")


def _image(command: TrainSectionsCommand) -> "np.ndarray":
    """The two facies of the file, and which is which said."""
    from aejax.data.facies import two_facies
    from aejax.data.formats.grids import read_grid

    grid = read_grid(command.image, command.shape, command.variable)
    try:
        facies = two_facies(grid.cells, command.facies_1)
    except ValueError as error:
        raise ValueError(f"{command.image}: {error}") from None
    rows, columns = facies.cells.shape
    zero, one = facies.names
    between = (
        f"; {facies.between:.2g} of the cells are of other colours, and count to the nearer" if facies.between else ""
    )
    note(
        f"{command.image}: {grid.format} of {rows} x {columns} cells; facies 1 is {one}, {facies.cells.mean():.0%} of "
        f"the image, facies 0 is {zero}{between}",
        command.quiet,
    )
    return facies.cells


COMMANDS = {"sections": Command(TrainSectionsCommand, train, folder=lambda command: command.out)}
