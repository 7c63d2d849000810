"""Denoising of signals: mixtures of events and noise, and a network that masks their spectrum."""

from aejax.tasks.denoising.denoising import (
    NUM_SAMPLES,
    correlation,
    denoise,
    fit_denoiser,
    gain,
    onset_error,
    pick_onset,
)

__all__ = ["NUM_SAMPLES", "correlation", "denoise", "fit_denoiser", "gain", "onset_error", "pick_onset"]
