"""Inversion on the command line: a model of sections from a training image, and sections from travel times."""

import dataclasses
import math
from pathlib import Path
from typing import Any

from tyro.conf import FlagCreatePairsOff, Positional

from aejax.commands.notes import note
from aejax.commands.options import Quiet

_MOST_BETWEEN = 0.05
"""Share of an image that may be neither dark nor bright, as at edges that were smoothed."""


@dataclasses.dataclass(frozen=True)
class TrainSections:
    """Train a model of the sections of a geological training image of two facies."""

    image: Positional[Path]
    """PNG image of two greys or colours: the brighter one is facies 1. Blurred edges are split half-way between the
    darkest and the brightest; an image with more in between is refused."""
    out: Path
    """Folder to write; a run there that was interrupted is gone on with."""
    patch: tuple[int, int] = (129, 65)
    """Rows and columns of a section."""
    latent_dim: int = 20
    """Size of the code."""
    num_steps: int = 6000
    """Length of the training; the default takes a quarter of an hour on one core."""
    flips: FlagCreatePairsOff[bool] = False
    """Mirror sections at random, where the geology has no direction."""
    seed: int = 0
    """Of the training."""
    quiet: Quiet = False


@dataclasses.dataclass(frozen=True)
class Invert:
    """Find the sections that explain cross-hole travel times: their mean, spread and draws."""

    model: Positional[Path]
    """Folder of a model of sections."""
    data: Positional[str]
    """Table with columns source_depth, receiver_depth (m) and travel_time (ns); - for standard input."""
    out: Path
    """NPZ file to write: mean, spread and draws of the velocity (m/ns), misfit, r_hat, effective_sample_size."""
    noise: float
    """Standard deviation of a travel time's noise, in ns."""
    velocities: tuple[float, float] = (0.06, 0.08)
    """Of facies 0 and 1, in m/ns."""
    cell: float = 0.1
    """Side of a cell, in m."""
    num_samples: int = 500
    """Draws of each of four chains; at least 4."""
    seed: int = 0
    """Of starts and draws."""
    quiet: Quiet = False


def train(command: TrainSections) -> None:
    """Does what ``TrainSections`` says."""
    import jax
    import matplotlib.image

    from aejax import sections

    if (command.out / "variables.safetensors").is_file():
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
    found = sections.train_sections(
        jax.random.key(command.seed),
        is_bright,
        command.patch,
        command.latent_dim,
        num_steps=command.num_steps,
        flips=(0, 1) if command.flips else (),
        checkpoint_dir=command.out / "checkpoints",
        progress=not command.quiet,
    )
    sections.save_sections(command.out, found)
    print(f"written to {command.out}")


def _two_facies(path: Path, image: Any) -> Any:
    """Where an image is the brighter of two facies."""
    darkest, brightest = image.min(), image.max()
    if darkest == brightest:
        raise ValueError(f"{path}: found one brightness only, expected two facies")
    brightness = (image - darkest) / (brightest - darkest)
    between = ((brightness > 0.15) & (brightness < 0.85)).mean()
    if between > _MOST_BETWEEN:
        dark, bright = (brightness <= 0.15).mean(), (brightness >= 0.85).mean()
        raise ValueError(
            f"{path}: found {dark:.0%} of the image dark, {bright:.0%} bright and {between:.0%} in between, expected "
            "two facies; decide which cells belong together and write them in black and white"
        )
    return brightness > 0.5


def invert(command: Invert) -> None:
    """Does what ``Invert`` says."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from aejax import sections, storage
    from aejax.data import geology
    from aejax.data.files import read_table
    from aejax.tasks import inversion

    _check_options(command)
    storage.check_no_input(command.out, command.data)
    found = sections.load_sections(command.model)
    source, receiver, times = _measurements(read_table(command.data), found.patch_shape[0] * command.cell)
    width = found.patch_shape[1] * command.cell
    lengths = geology.straight_rays(
        found.patch_shape,
        command.cell,
        np.column_stack([source, np.zeros_like(source)]),
        np.column_stack([receiver, np.full_like(receiver, width)]),
    )

    def observe(x: Any) -> Any:
        return geology.travel_times(lengths, x, command.velocities)

    error = inversion.approximation_error(found.model, found.variables, observe, found.x, found.z)
    result = inversion.posterior(
        jax.random.key(command.seed),
        found.model,
        found.variables,
        observe,
        times - error.mean,
        error.covariance + command.noise**2 * np.eye(len(times)),
        found.latent_dim,
        num_samples=command.num_samples,
        progress=not command.quiet,
    )
    slow, fast = 1 / command.velocities[0], 1 / command.velocities[1]
    draws = result.z.reshape(-1, found.latent_dim)
    probability = np.concatenate(
        [np.asarray(found.model.decode(found.variables, jnp.asarray(block))) for block in np.array_split(draws, 8)]
    )
    velocity = 1 / (slow + (fast - slow) * probability)
    storage.write_npz(
        command.out,
        mean=velocity.mean(axis=0),
        spread=velocity.std(axis=0),
        draws=velocity[:: max(len(velocity) // 100, 1)],
        misfit=result.misfit,
        r_hat=result.r_hat,
        effective_sample_size=result.effective_sample_size,
    )
    print(f"misfit in units of noise and approximation error: {result.misfit.mean():.2f} (near 1 where it fits)")
    print(f"R-hat at most {result.r_hat.max():.3f}, effective draws at least {result.effective_sample_size.min():.0f}")
    if result.r_hat.max() > 1.05:
        print("the chains do not agree: take more draws, or read the spread as a lower bound")
    print(f"written to {command.out}")


def _check_options(command: Invert) -> None:
    numbers = {"noise": (command.noise,), "cell": (command.cell,), "velocities": command.velocities}
    for name, values in numbers.items():
        if not all(0 < value < math.inf for value in values):
            raise ValueError(f"{name}: found {' '.join(map(str, values))}, expected positive numbers")
    if command.num_samples < 4:
        raise ValueError(f"num_samples: found {command.num_samples}, expected at least 4 to compare the chains")


def _measurements(table: Any, depth: float) -> list[Any]:
    """The depths of sources and receivers and the travel times, all of them known and the depths in the section."""
    import numpy as np

    names = ("source_depth", "receiver_depth", "travel_time")
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise ValueError(f"DATA: found columns {', '.join(table.columns)}, expected also {', '.join(missing)}")
    columns = [table.values[:, table.columns.index(name)] for name in names]
    for name, column in zip(names, columns, strict=True):
        if np.isnan(column).any():
            row = int(np.isnan(column).argmax()) + 1
            raise ValueError(f"DATA: {name}: found no value in row {row}, expected a number; leave such rows out")
    for name, column in zip(names[:2], columns[:2], strict=True):
        # A depth on the lower edge may be off by a rounding.
        is_outside = (column < 0) | (column > depth * (1 + 1e-6))
        if is_outside.any():
            row = int(is_outside.argmax())
            raise ValueError(
                f"DATA: {name}: found {column[row]:g} m in row {row + 1}, expected 0 to {depth:g} m, the depth of the "
                "section; leave such rows out, or correct --cell"
            )
    return columns
