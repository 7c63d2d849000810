"""Draws the picture of docs/inversion.md: ``python docs/images/draw_inversion.py CHANNELS [MODEL]``.

CHANNELS is the training image channels_2500.png of Laloy et al. (2018). MODEL is a folder that ``aejax sections``
wrote; without it a model is trained first.
"""

import sys
from pathlib import Path

import jax
import numpy as np

import aejax
from aejax.data.facies import two_facies
from aejax.data.formats.grids import read_grid
from aejax.plots.inversion import apparent_velocities, posterior_sections
from aejax.plots.style import new_figure
from aejax.simulate import geology
from aejax.tasks import inversion

SHAPE, CELL, VELOCITIES, NOISE = (41, 33), 0.1, (0.06, 0.08), 0.3


def main(channels: str, folder: str | None = None) -> None:
    """Trains on one corner of the image, inverts the travel times of a section elsewhere, draws both."""
    image = two_facies(read_grid(channels).cells).cells
    if folder is None:
        size = {"num_steps": 1200, "flips": ()}
        sections = inversion.fit_sections(jax.random.key(0), image[:600, :700], SHAPE, 20, **size)
    else:
        sections = aejax.load(folder, inversion.Sections)
    truth = image[300:341, 1500:1533]
    sources, receivers = geology.cross_hole_survey(SHAPE, CELL, 0.4)
    lengths = geology.straight_rays(SHAPE, CELL, sources, receivers)
    noise = NOISE * np.asarray(jax.random.normal(jax.random.key(1), (len(sources),)))
    times = np.asarray(geology.travel_times(lengths, truth, VELOCITIES)) + noise
    rays = inversion.Rays(sources, receivers, times)
    found = inversion.invert_travel_times(
        jax.random.key(2), sections, rays, noise=NOISE, num_samples=100, num_warmup=150, num_chains=2
    )
    draw(rays, np.where(truth, VELOCITIES[1], VELOCITIES[0]), found)


def draw(rays: inversion.Rays, truth: np.ndarray, found: inversion.TravelTimeInversion) -> None:
    """Sections on the left; on the right the apparent velocities of the same times, 10 ns too late."""
    figure = new_figure(3.4, 11)
    left, right = figure.subfigures(1, 2, width_ratios=(2.6, 1))
    cells = found.cells
    posterior_sections(truth, cells["mean"], cells["spread"], cells["draws"][:1], CELL, "m/ns", figure=left)
    ax = apparent_velocities(rays.source, rays.receiver, rays.time + 10, VELOCITIES, right.subplots())
    ax.set_title("a time zero of 10 ns: refused", fontsize=9)
    figure.savefig(Path(__file__).with_name("inversion.png"), dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
