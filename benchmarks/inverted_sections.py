"""Whether intervals of 90 % hold sections that nobody has looked at, and whether what is right is called explained.

python -m benchmarks.inverted_sections [--truths N] [--seed S] [--samples N] [--model FOLDER] [--out FOLDER]

A decoder is trained on the upper left corner of the channels in AEJAX_DATA: sections of 41 x 33 cells, 20 numbers.
Truths come from rows 700 to 2,500 of the same image, none of which trained; no two of them overlap. Each gives travel
times of 100 rays with noise of 0.3 ns, which are inverted. Blocks are of 4 x 4 cells. Means are over truths.
"""

import argparse
import os
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from aejax.artefacts import codecs
from aejax.artefacts.storage import write_json
from aejax.data.facies import two_facies
from aejax.data.formats.grids import read_grid
from aejax.simulate import geology
from aejax.tasks import inversion
from benchmarks.measuring import environment

FOLDER = Path(__file__).parent / "results"
SHAPE, CELL, SPACING, BLOCK = (41, 33), 0.1, 0.4, 4
VELOCITIES, NOISE, LEVEL = (0.06, 0.08), 0.3, 0.9
CORNER, TRUTHS_BELOW = (600, 700), 700
ROUNDING = 1e-6  # of a velocity
SHARES = (
    "cells of the right facies",
    "blocks of both facies",
    "held, of blocks of both facies",
    "held, of all blocks",
    "randomised",
    "randomised, of blocks left open",
)


def trained(image: np.ndarray) -> inversion.Sections:
    """The decoder, from the corner of the image."""
    rows, columns = CORNER
    return inversion.fit_sections(jax.random.key(0), image[:rows, :columns], SHAPE, 20, num_steps=1200, flips=())


def places(image_shape: tuple[int, int], num_truths: int, seed: int) -> np.ndarray:
    """(num_truths, 2) first row and column of truths, none of which overlaps another; more of them begin with these."""
    rng, found = np.random.default_rng(seed), np.zeros((0, 2), int)
    ends = np.subtract(image_shape, SHAPE) + 1
    while len(found) < num_truths:
        place = rng.integers((TRUTHS_BELOW, 0), ends)
        if not (np.abs(found - place) < SHAPE).all(axis=1).any():
            found = np.vstack([found, place])
    return found


def randomised_coverage(draws: np.ndarray, truth: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """The chance that the truth is inside the central interval, its place among draws equal to it drawn at random.

    Args:
        draws: (n, ...).
        truth: (...).
        level: of the interval.

    Returns:
        (...). Its mean is ``level`` if truth and draws are of one distribution, whatever values it repeats.
    """
    below = (draws < truth - ROUNDING).sum(axis=0)
    equal = (np.abs(draws - truth) <= ROUNDING).sum(axis=0)
    begin, end = (place / (len(draws) + 1) for place in (below, below + equal + 1))
    inside = np.minimum(end, (1 + level) / 2) - np.maximum(begin, (1 - level) / 2)
    return np.asarray(np.maximum(inside, 0) / (end - begin))


def inverted(key: jax.Array, sections: inversion.Sections, truth: np.ndarray, num_samples: int) -> dict[str, Any]:
    """Travel times through a truth, and what their inversion says of it; shares in %."""
    noise_key, inversion_key, draw_key = jax.random.split(key, 3)
    sources, receivers = geology.cross_hole_survey(SHAPE, CELL, SPACING)
    lengths = geology.straight_rays(SHAPE, CELL, sources, receivers)
    noise = NOISE * np.asarray(jax.random.normal(noise_key, (len(sources),)))
    times = np.asarray(geology.travel_times(lengths, truth, VELOCITIES)) + noise
    found = inversion.invert_travel_times(
        inversion_key, sections, inversion.Rays(sources, receivers, times), noise=NOISE, num_samples=num_samples
    )
    velocity = np.asarray(geology.block_velocities(truth, (BLOCK, BLOCK), VELOCITIES))
    is_of_both = (velocity > min(VELOCITIES) + ROUNDING) & (velocity < max(VELOCITIES) - ROUNDING)
    low, high = found.blocks["block_low"] - ROUNDING, found.blocks["block_high"] + ROUNDING
    is_held = (low <= velocity) & (velocity <= high)
    is_open = high - low > 4 * ROUNDING  # by the draws alone, as the truth must not choose what is to be 90 %
    draws = inversion.block_draws(draw_key, sections, found.posterior.z, VELOCITIES, BLOCK)
    randomised = randomised_coverage(draws, velocity)
    parts = (
        (found.cells["probability"] > 0.5) == (truth > 0.5),
        is_of_both,
        is_held[is_of_both],
        is_held,
        randomised,
        randomised[is_open],
    )
    # A truth of one facies has no blocks of both, and says nothing of them.
    shares = [100 * float(np.mean(part)) if part.size else None for part in parts]
    return dict(zip(SHARES, shares, strict=True)) | {
        "blocks left open": 100 * float(is_open.mean()),
        "misfit": found.verdict.misfit,
        "usual misfit": found.verdict.most,
        "R-hat": float(found.posterior.r_hat.max()),
        "warnings": list(found.warnings),
    }


def mean_and_error(values: Iterable[float | None]) -> tuple[float, float]:
    """The mean over truths, and its standard error; those that say nothing are left out."""
    known = [value for value in values if value is not None]
    return statistics.mean(known), statistics.stdev(known) / len(known) ** 0.5


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truths", type=int, default=8, help="at least 2, for a spread")
    parser.add_argument("--seed", type=int, default=19, help="of the truths' places, the noise and the draws")
    parser.add_argument("--samples", type=int, default=100, help="of each of four chains")
    parser.add_argument("--model", type=Path, help="folder of the decoder; it is trained and written there if new")
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    path = Path(os.environ.get("AEJAX_DATA", "../shared/data")) / "geology" / "channels_2500.png"
    image = two_facies(read_grid(path).cells).cells
    if arguments.model and arguments.model.exists():
        sections = codecs.load(arguments.model, inversion.Sections)
    else:
        sections = trained(image)
        if arguments.model:
            codecs.save(arguments.model, sections)
    where, results = environment(), []
    rows, columns = SHAPE
    for index, (row, column) in enumerate(places(image.shape, arguments.truths, arguments.seed).tolist()):
        key = jax.random.fold_in(jax.random.key(arguments.seed), index)
        truth = image[row : row + rows, column : column + columns]
        found = inverted(key, sections, truth, arguments.samples)
        results.append({"row": row, "column": column} | found)
        print(results[-1], flush=True)
        name = f"inverted-sections-{where['backend']}-{where['date']}-seed-{arguments.seed}.json"
        settings = {"seed": arguments.seed, "samples": arguments.samples}
        write_json(arguments.out / name, {"environment": where, **settings, "results": results})
    for name in SHARES:
        mean, error = mean_and_error(one[name] for one in results)
        print(f"{name}: {mean:.1f} ± {error:.1f} %")
    print(f"called unexplained: {sum(bool(one['warnings']) for one in results)} of {len(results)}")


if __name__ == "__main__":
    main()
