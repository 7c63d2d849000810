"""Models: factories of named tuples of pure functions."""

from aejax.models.autoencoder import (
    AutoencoderHparams,
    DenoisingHparams,
    autoencoder,
    denoising,
    denoising_autoencoder,
    gaussian_noise,
    masking_noise,
)
from aejax.models.registry import MODELS
from aejax.models.vae import VaeHparams, vae

__all__ = [
    "MODELS",
    "AutoencoderHparams",
    "DenoisingHparams",
    "VaeHparams",
    "autoencoder",
    "denoising",
    "denoising_autoencoder",
    "gaussian_noise",
    "masking_noise",
    "vae",
]
