"""A denoiser in a folder."""

from pathlib import Path

import jax.numpy as jnp

from aejax.artefacts import codecs, storage
from aejax.artefacts.codecs import Stored
from aejax.artefacts.rules import FINITE, number, whole
from aejax.base import Batch
from aejax.models.masking import masking_autoencoder
from aejax.tasks.denoising.denoiser import Denoiser


def _pack(denoiser: Denoiser) -> Stored:
    settings = {"num_samples": denoiser.num_samples, "sampling_rate": float(denoiser.sampling_rate)}
    return Stored(settings, {"variables": denoiser.variables}, denoiser.model)


def _unpack(stored: Stored) -> Denoiser:
    num_samples, sampling_rate = stored.settings["num_samples"], float(stored.settings["sampling_rate"])
    model = codecs.stored_model(stored)
    variables = codecs.fitted_variables(stored, model, Batch(jnp.zeros((1, num_samples))))
    return Denoiser(model, variables, num_samples, sampling_rate)


def _earlier(folder: Path) -> Stored | None:
    """What the command wrote before there was one format: ``config.json`` and ``variables.safetensors``."""
    path = folder / "config.json"
    config = storage.read_json(path) if path.is_file() else None
    if not isinstance(config, dict) or config.get("kind") != "denoiser":
        return None
    try:
        num_samples, sampling_rate = int(config["num_samples"]), float(config["sampling_rate"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: num_samples or sampling_rate is absent or no number") from error
    variables = storage.unflatten(storage.read_arrays(folder / "variables.safetensors"))
    settings = {"num_samples": num_samples, "sampling_rate": sampling_rate}
    return Stored(settings, {"variables": variables}, masking_autoencoder((num_samples,)))


_SETTINGS = {"num_samples": whole(1, 1 << 24), "sampling_rate": number(1e-9, 1e12)}

codecs.register(codecs.Codec("denoiser", Denoiser, 1, _pack, _unpack, {}, _earlier, _SETTINGS, {"variables/*": FINITE}))
