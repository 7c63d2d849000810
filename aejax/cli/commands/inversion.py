"""Inversion on the command line: a model of sections from a training image, and sections from travel times."""

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import FlagCreatePairsOff, Positional

from aejax.cli.commands.notes import note
from aejax.cli.commands.options import Quiet, Reading
from aejax.data.formats.options import ReadOptions

if TYPE_CHECKING:
    import jax
    import numpy as np

    from aejax.data.formats.tables import Table
    from aejax.tasks.inversion import ApproximationError, Sections

_MOST_BETWEEN = 0.05
"""Share of an image that may be neither dark nor bright, as at edges that were smoothed."""
_NUM_CHAINS = 4
_NUM_STARTS = 16
_COLUMNS = ("source_depth", "receiver_depth", "travel_time")


@dataclasses.dataclass(frozen=True)
class TrainSectionsCommand:
    """Train a model of the sections of a geological training image of two facies."""

    image: Positional[Path]
    """PNG image of two greys or colours: the brighter one is facies 1. Blurred edges are split half-way between the
    darkest and the brightest; an image with more in between is refused."""
    out: Path
    """Folder to write; a run there that was interrupted is resumed."""
    patch: tuple[int, int] = (129, 65)
    """Rows and columns of a section."""
    latent_dim: int = 20
    """Size of the code."""
    num_steps: int = 6000
    """Length of the training; the default takes about ten minutes on one core."""
    flips: FlagCreatePairsOff[bool] = False
    """Mirror sections at random, where the geology has no direction."""
    seed: int = 0
    """Of the training."""
    quiet: Quiet = False


@dataclasses.dataclass(frozen=True)
class InvertCommand:
    """Find the velocities between boreholes that explain travel times, with intervals that allow for the decoder."""

    model: Positional[Path]
    """Folder of a model of sections."""
    data: Positional[str]
    """Table with columns source_depth, receiver_depth (m) and travel_time (ns); - for standard input."""
    out: Path
    """NPZ file to write: of the velocities (m/ns) of cells mean, spread (standard deviation), low and high (90 %
    interval), of those of blocks block_mean, block_spread, block_low and block_high; probability of facies 1 in a cell;
    draws, up to 100 sections; misfit, r_hat, effective_sample_size. All but draws allow for what the decoder leaves out
    of sections that it was not trained on. A cell is of one facies or the other, with the mean of the decoder's
    probabilities over the draws. The velocity of a block is the inverse of its mean slowness; to that of each draw a
    Gaussian error is added that has the mean and covariance of the decoder's on those sections. Intervals are to hold
    the truth nine times in ten on average over a section: more often in single cells and inside a facies, less often in
    small blocks on its edge."""
    noise: float
    """Standard deviation of a travel time's noise, in ns."""
    velocities: tuple[float, float] = (0.06, 0.08)
    """Of facies 0 and 1, in m/ns."""
    cell: float = 0.1
    """Side of a cell, in m."""
    block: int = 4
    """Side of a block, in cells; at least 2. Cells below and to the right that fill no block belong to none."""
    num_samples: int = 500
    """Draws of each of four chains, after 300 steps of adaptation; at least 4. The default takes some ten minutes of
    one core for a section of 129 x 65 cells and 169 rays, two for 41 x 33 cells; up to a minute of this compiles, once
    for each survey."""
    seed: int = 0
    """Of starts and draws."""
    reading: Reading = ReadOptions()
    quiet: Quiet = False


def train(command: TrainSectionsCommand) -> None:
    """Trains on the sections of an image and writes the folder."""
    import jax
    import matplotlib.image

    from aejax.artefacts import codecs
    from aejax.tasks import inversion

    if any((command.out / name).is_file() for name in (codecs.MANIFEST, "variables.safetensors")):
        found = codecs.load(command.out, inversion.Sections)
        asked, there = (tuple(command.patch), command.latent_dim), (found.patch_shape, found.latent_dim)
        if asked != there:
            raise ValueError(f"out: {command.out} holds sections of {there}, expected {asked}; choose another folder")
        print(f"{command.out} is complete: nothing is left to train")
        return
    if not command.image.is_file():
        raise FileNotFoundError(f"{command.image}: there is no such file")
    try:
        image = matplotlib.image.imread(command.image)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{command.image}: found no image that can be read ({error}), expected a PNG file") from error
    is_bright = _two_facies(command.image, image[..., :3].mean(axis=-1) if image.ndim == 3 else image)
    note(f"{command.image}: {is_bright.mean():.0%} of the image is facies 1, the brighter one", command.quiet)
    found = inversion.fit_sections(
        jax.random.key(command.seed),
        is_bright,
        command.patch,
        command.latent_dim,
        num_steps=command.num_steps,
        flips=(0, 1) if command.flips else (),
        checkpoint_dir=command.out / "checkpoints",
        progress=not command.quiet,
    )
    codecs.save(command.out, found)
    print(f"written to {command.out}")


def _two_facies(path: Path, image: "np.ndarray") -> "np.ndarray":
    """Where an image is the brighter of two facies."""
    darkest, brightest = image.min(), image.max()
    if darkest == brightest:
        raise ValueError(f"{path}: found one brightness, expected two, one for each facies")
    brightness = (image - darkest) / (brightest - darkest)
    between = ((brightness > 0.15) & (brightness < 0.85)).mean()
    if between > _MOST_BETWEEN:
        dark, bright = (brightness <= 0.15).mean(), (brightness >= 0.85).mean()
        raise ValueError(
            f"{path}: found {dark:.0%} of the image dark, {bright:.0%} bright and {between:.0%} in between, expected "
            "two facies; decide which cells belong together and write them in black and white"
        )
    return brightness > 0.5


def invert(command: InvertCommand) -> None:
    """Does what ``InvertCommand`` says."""
    import jax
    import numpy as np

    from aejax.artefacts import codecs, storage
    from aejax.data.formats.tables import read_table
    from aejax.simulate import geology
    from aejax.tasks import inversion

    _check_options(command)
    storage.check_no_input(command.out, command.data)
    found = codecs.load(command.model, inversion.Sections)
    inversion.check_block(command.block, found)
    source, receiver, times = _measurements(
        read_table(command.data, command.reading, _COLUMNS), found.patch_shape[0] * command.cell
    )
    width = found.patch_shape[1] * command.cell
    lengths = geology.straight_rays(
        found.patch_shape,
        command.cell,
        np.column_stack([source, np.zeros_like(source)]),
        np.column_stack([receiver, np.full_like(receiver, width)]),
    )

    def observe(x: "jax.Array") -> "jax.Array":
        return geology.travel_times(lengths, x, command.velocities)

    error = inversion.approximation_error(found.model, found.variables, observe, found.x, found.z)
    start_key, draw_key, block_key = jax.random.split(jax.random.key(command.seed), 3)
    _say_error(found, error, command)
    problem = inversion.problem(
        found.model,
        found.variables,
        observe,
        times - error.mean,
        error.covariance + command.noise**2 * np.eye(len(times)),
        found.latent_dim,
    )
    start = inversion.maximum_a_posteriori(start_key, problem, num_starts=_NUM_STARTS)
    note(
        f"highest of {_NUM_STARTS} maxima: misfit {start.misfit[0]:.2f}; now {_NUM_CHAINS} chains adapt, then draw "
        f"{command.num_samples} sections each",
        command.quiet,
    )
    result = inversion.posterior(
        draw_key,
        problem,
        start=inversion.chain_starts(start, _NUM_CHAINS),
        num_chains=_NUM_CHAINS,
        num_samples=command.num_samples,
        progress=not command.quiet,
    )
    storage.write_npz(
        command.out,
        **inversion.cell_velocities(found, result.z, command.velocities),
        **inversion.block_velocities(block_key, found, result.z, command.velocities, command.block),
        misfit=result.misfit,
        r_hat=result.r_hat,
        effective_sample_size=result.effective_sample_size,
    )
    print(f"misfit in units of noise and approximation error: {result.misfit.mean():.2f} (near 1 where it fits)")
    print(f"R-hat at most {result.r_hat.max():.3f}, effective draws at least {result.effective_sample_size.min():.0f}")
    if result.r_hat.max() > 1.05:
        print("the chains do not agree: take more draws, or read spreads and intervals as lower bounds")
    print(f"written to {command.out}")


def _say_error(found: "Sections", error: "ApproximationError", command: InvertCommand) -> None:
    """What the decoder leaves out, beside the noise: where it is much larger, a longer training is worth more."""
    import numpy as np

    a_ray = np.sqrt(np.diagonal(error.covariance).mean())
    note(
        f"error of the decoder on {len(found.x)} sections that it was not trained on: {a_ray:.2g} ns a ray, beside "
        f"{command.noise:g} ns of noise",
        command.quiet,
    )


def _check_options(command: InvertCommand) -> None:
    numbers = {"noise": (command.noise,), "cell": (command.cell,), "velocities": command.velocities}
    for name, values in numbers.items():
        if not all(0 < value < math.inf for value in values):
            raise ValueError(f"{name}: found {' '.join(map(str, values))}, expected positive numbers")
    if command.num_samples < 4:
        raise ValueError(f"num_samples: found {command.num_samples}, expected at least 4 to compare the chains")


def _measurements(table: "Table", depth: float) -> "list[np.ndarray]":
    """The depths of sources and receivers and the travel times, all of them known and the depths in the section."""
    import numpy as np

    if not table.has_header:
        raise ValueError(f"DATA: found no line of names, expected one with {', '.join(_COLUMNS)}")
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing:
        names = ", ".join((*table.columns, *table.left_out))
        raise ValueError(f"DATA: found columns {names}, expected also {', '.join(missing)}")
    columns = [table.values[:, table.columns.index(name)] for name in _COLUMNS]
    for name, column in zip(_COLUMNS, columns, strict=True):
        if np.isnan(column).any():
            row = int(np.isnan(column).argmax()) + 1
            raise ValueError(f"DATA: {name}: found no value in row {row}, expected a number; leave such rows out")
    for name, column in zip(_COLUMNS[:2], columns[:2], strict=True):
        # A depth on the lower edge may be off by a rounding.
        is_outside = (column < 0) | (column > depth * (1 + 1e-6))
        if is_outside.any():
            row = int(is_outside.argmax())
            raise ValueError(
                f"DATA: {name}: found {column[row]:g} m in row {row + 1}, expected 0 to {depth:g} m, the depth of the "
                "section; leave such rows out, or correct --cell"
            )
    if (columns[2] <= 0).any():
        row = int((columns[2] <= 0).argmax())
        raise ValueError(
            f"DATA: travel_time: found {columns[2][row]:g} ns in row {row + 1}, expected a positive time; leave such "
            "rows out"
        )
    return columns
