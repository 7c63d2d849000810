"""Denoising of signals: mixtures of events and noise, and a network that masks their spectrum."""

from aejax.tasks.denoising import stored  # noqa: F401  (registers the kind "denoiser")
from aejax.tasks.denoising.catalogue import CatalogueFit, fit_to_catalogue, window_length
from aejax.tasks.denoising.denoiser import NUM_SAMPLES, Denoiser, denoise, fit_denoiser, share_above, why_unsuitable
from aejax.tasks.denoising.mixing import Mixtures, mixtures
from aejax.tasks.denoising.onsets import onset_error, pick_onset
from aejax.tasks.denoising.quality import correlation, evaluate_denoiser, gain

__all__ = [
    "NUM_SAMPLES",
    "CatalogueFit",
    "Denoiser",
    "Mixtures",
    "correlation",
    "denoise",
    "evaluate_denoiser",
    "fit_denoiser",
    "fit_to_catalogue",
    "gain",
    "mixtures",
    "onset_error",
    "pick_onset",
    "share_above",
    "why_unsuitable",
    "window_length",
]
