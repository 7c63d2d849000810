"""A model of sections in a folder."""

from pathlib import Path

import numpy as np

from aejax.artefacts import codecs, storage
from aejax.artefacts.codecs import Stored
from aejax.artefacts.rules import FINITE, each, numbers, whole
from aejax.base import Batch
from aejax.tasks.inversion.sections import Sections, section_vae


def _pack(sections: Sections) -> Stored:
    settings = {"patch_shape": list(sections.patch_shape), "latent_dim": sections.latent_dim}
    held_out = {"x": np.asarray(sections.x, np.uint8), "z": np.asarray(sections.z, np.float32)}
    return Stored(settings, {"variables": sections.variables, "held_out": held_out}, sections.model)


def _unpack(stored: Stored) -> Sections:
    patch_shape, latent_dim = tuple(stored.settings["patch_shape"]), stored.settings["latent_dim"]
    model = codecs.stored_model(stored)
    nothing = Batch(np.broadcast_to(np.float32(0), (1, *patch_shape)))  # type: ignore[arg-type]  # takes no memory
    variables = codecs.fitted_variables(stored, model, nothing)
    x, z = stored.arrays["held_out"]["x"], stored.arrays["held_out"]["z"]
    if x.shape[1:] != patch_shape or z.shape != (len(x), latent_dim):
        raise ValueError(
            f"held_out: found shapes {x.shape}, {z.shape}, expected (n, *{patch_shape}), (n, {latent_dim}) as the "
            "model; train it again"
        )
    return Sections(model, variables, patch_shape, latent_dim, x.astype(np.float32), z)


def _earlier(folder: Path) -> Stored | None:
    """What was written before there was one format: ``sections.json`` and two files of arrays."""
    path = folder / "sections.json"
    if not path.is_file():
        return None
    content = storage.read_json(path)
    try:
        patch_shape, latent_dim = tuple(map(int, content["patch_shape"])), int(content["latent_dim"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not that of a model of sections: {error}") from error
    arrays = {
        "variables": storage.unflatten(storage.read_arrays(folder / "variables.safetensors")),
        "held_out": storage.read_arrays(folder / "held_out.safetensors"),
    }
    settings = {"patch_shape": list(patch_shape), "latent_dim": latent_dim}
    return Stored(settings, arrays, section_vae(patch_shape, latent_dim))


_SETTINGS = {"patch_shape": each(whole(1, 1 << 16), 2, 2), "latent_dim": whole(1, 1 << 16)}
_ARRAYS = {"variables/*": FINITE, "held_out/x": numbers(low=0, high=1, least=1), "held_out/z": numbers(least=1)}

codecs.register(codecs.Codec("sections", Sections, 1, _pack, _unpack, {}, _earlier, _SETTINGS, _ARRAYS))
