"""Draws the picture of docs/spectra.md, maps with gaps and noise: ``python docs/images/spectra.py`` (AEJAX_DATA)."""

import os
from pathlib import Path

import jax
import numpy as np

from aejax.artefacts.storage import write_figure
from aejax.plots.surrogate import maps_side_by_side
from aejax.tasks import surrogate

_WAVE_VECTOR_SQUARED = 2.0721  # meV Å²


def measured(maps: np.ndarray, momentum: np.ndarray, energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps as a spectrometer gives them, and their errors: kinematics, a gap, dead pixels, a background subtracted."""
    rng = np.random.default_rng(1)
    seen = rng.random(maps.shape) > 0.08
    for of in seen:
        incident, highest, gap = rng.uniform(210, 400), rng.uniform(115, 140), rng.integers(0, len(momentum) - 2)
        before, after = (np.sqrt(np.maximum(e, 0) / _WAVE_VECTOR_SQUARED) for e in (incident, incident - energy))
        low, high = (
            np.sqrt(before**2 + after**2 - 2 * before * after * np.cos(np.radians(angle))) for angle in (3, highest)
        )
        of &= (momentum[:, None] >= low) & (momentum[:, None] <= high)
        of[gap : gap + 2] = False
    level = np.array([one[of].mean() for one, of in zip(maps, seen, strict=True)])[:, None, None]
    errors = np.sqrt(0.02 * level * (maps + 2 * level))
    return np.where(seen, maps + errors * rng.standard_normal(maps.shape), np.nan), np.where(seen, errors, np.nan)


def main() -> None:
    """Trains on four crystals of five, and draws three of the others."""
    file = np.load(Path(os.environ.get("AEJAX_DATA", "../shared/data")) / "neutron" / "sqe_maps.npz")
    maps, momentum, energy, crystal = file["S"], file["Q"].astype(float), file["E"].astype(float), file["crystal"]
    test = np.isin(crystal, np.unique(crystal)[1::5])
    given, errors = measured(maps, momentum, energy)
    learned = surrogate.fit_surrogate(
        jax.random.key(0), given[~test], momentum, energy, errors=errors[~test], num_regions=8, num_widened=1200
    )
    shown = np.flatnonzero(test)[[0, 24, 48]]
    answer = surrogate.expand(learned.compression, surrogate.compress_maps(learned, given[shown], errors=errors[shown]))
    titles = [
        f"{crystal[row].split('_')[0]}: {what}"
        for row in shown
        for what in ("as it was", "as measured", "code of 20 numbers")
    ]
    rows = np.stack([maps[shown], given[shown], answer], axis=1)
    axes = maps_side_by_side(rows, momentum, energy, titles=titles)
    write_figure(Path(__file__).with_name("spectra.png"), axes[0, 0].figure)


if __name__ == "__main__":
    main()
