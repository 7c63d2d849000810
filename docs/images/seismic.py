"""Draws the picture of docs/seismic.md: ``python docs/images/seismic.py [MODEL]`` (AEJAX_DATA).

MODEL is a folder that ``aejax denoise-train`` wrote from ncedc_traces.npz; without it a denoiser is trained first, for
a quarter of the usual rounds.
"""

import json
import os
import sys
from pathlib import Path

import jax
import numpy as np

import aejax
from aejax.artefacts.storage import write_figure
from aejax.data.formats.events import noise_before, read_events
from aejax.plots.denoising import wiggles_and_spectrograms
from aejax.tasks import denoising


def main(folder: str | None = None) -> None:
    """Mixes events and noise of stations held out, and draws the pair whose gain is the median."""
    events = read_events(Path(os.environ.get("AEJAX_DATA", "../shared/data")) / "seismic" / "ncedc_traces.npz")
    if folder is None:
        fitted = denoising.fit_to_catalogue(jax.random.key(0), events, num_rounds=24)
        denoiser, names = fitted.denoiser, fitted.held_out
    else:
        denoiser = aejax.load(folder, denoising.Denoiser)
        names = json.loads((Path(folder) / "training.json").read_text())["held_out_groups"]
    held_out = np.isin(events.group, names)
    clean = held_out & (events.snr_db >= 25)
    noise = [piece for piece, is_chosen in zip(noise_before(events), held_out, strict=True) if is_chosen]
    pairs = denoising.mixtures(
        jax.random.key(1),
        events.x[clean],
        noise,
        101,
        (0.0, 0.0),
        num_samples=2944,
        arrival=events.arrival[clean],
        event_groups=events.group[clean],
        noise_groups=events.group[held_out],
    )
    estimate = denoising.denoise(denoiser, pairs.noisy)
    gains = denoising.gain(pairs.noisy, pairs.clean, estimate)
    row = int(np.argsort(gains)[len(gains) // 2])
    states = {
        "earthquake and noise, 0 dB": pairs.noisy[row],
        f"denoised, {gains[row]:.1f} dB gained": estimate[row],
        "the earthquake alone": pairs.clean[row],
    }
    axes = wiggles_and_spectrograms(states, events.sampling_rate, float(pairs.arrival[row]), max_frequency=25)
    write_figure(Path(__file__).with_name("seismic.png"), axes[0, 0].figure)


if __name__ == "__main__":
    main(*sys.argv[1:])
