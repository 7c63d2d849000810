"""Models: factories of named tuples of pure functions."""

from aejax.models.autoencoder import AutoencoderHparams, autoencoder
from aejax.models.convolutional import (
    convolutional_autoencoder,
    convolutional_denoising_autoencoder,
    convolutional_vae,
)
from aejax.models.deep import deep_autoencoder
from aejax.models.denoising import (
    DenoisingHparams,
    denoising,
    denoising_autoencoder,
    gaussian_noise,
    masking_noise,
    salt_and_pepper_noise,
)
from aejax.models.gan import GanHparams, WganGpHparams, conditional_gan, gan, wgan_gp
from aejax.models.masking import masking_autoencoder
from aejax.models.quantised import VqHparams, fsq_autoencoder, vq_autoencoder
from aejax.models.rbm import RBM, rbm
from aejax.models.registry import MODELS
from aejax.models.sparse import SparseHparams, dictionary, sparse_autoencoder
from aejax.models.vae import VaeHparams, conditional_vae, vae

__all__ = [
    "MODELS",
    "RBM",
    "AutoencoderHparams",
    "DenoisingHparams",
    "GanHparams",
    "SparseHparams",
    "VaeHparams",
    "VqHparams",
    "WganGpHparams",
    "autoencoder",
    "conditional_gan",
    "conditional_vae",
    "convolutional_autoencoder",
    "convolutional_denoising_autoencoder",
    "convolutional_vae",
    "deep_autoencoder",
    "denoising",
    "denoising_autoencoder",
    "dictionary",
    "fsq_autoencoder",
    "gan",
    "gaussian_noise",
    "masking_autoencoder",
    "masking_noise",
    "rbm",
    "salt_and_pepper_noise",
    "sparse_autoencoder",
    "vae",
    "vq_autoencoder",
    "wgan_gp",
]
