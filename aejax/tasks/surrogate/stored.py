"""A surrogate in a folder."""

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aejax.artefacts import codecs, storage
from aejax.artefacts.codecs import Stored
from aejax.artefacts.rules import FINITE, POSITIVE, TEXT, each, fields, number, numbers
from aejax.base import Array, Batch, Model, Variables
from aejax.models.subspaces import local_subspaces
from aejax.tasks.surrogate.codes import Compression
from aejax.tasks.surrogate.prediction import Predictor, predictor_model
from aejax.tasks.surrogate.spread import Widening
from aejax.tasks.surrogate.surrogate import Surrogate


def _pack(surrogate: Surrogate) -> Stored:
    predictor = surrogate.predictor
    settings: dict[str, Any] = {"names": list(surrogate.names), "measured": surrogate.measured}
    arrays: dict[str, Any] = {
        "momentum": surrogate.momentum,
        "energy": surrogate.energy,
        "compression": surrogate.compression.variables,
    }
    if surrogate.compression.whitening is not None:
        arrays["whitening"] = surrogate.compression.whitening
    if predictor is not None:
        settings["widening"] = [float(number) for number in predictor.widening]
        frozen = predictor.variables["frozen"]
        arrays["predictor"] = {"params": predictor.variables["params"]}
        arrays["codes"] = {"mean": frozen["mean"], "scale": frozen["scale"]}
        arrays["properties"] = {
            "mean": predictor.mean,
            "scale": predictor.scale,
            "least": surrogate.least,
            "most": surrogate.most,
        }
    return Stored(settings, arrays, surrogate.compression.model)


def _unpack(stored: Stored) -> Surrogate:
    settings, arrays, model = stored.settings, stored.arrays, codecs.stored_model(stored)
    momentum, energy = arrays["momentum"], arrays["energy"]
    rows = Batch(jnp.zeros((1, len(momentum), len(energy))))
    variables = codecs.fitted_variables(stored, model, rows, "compression")
    compression = Compression(model, variables, arrays.get("whitening"))
    names, measured = tuple(settings["names"]), dict(settings["measured"])
    if not names:
        nothing = np.zeros(0)
        return Surrogate(momentum, energy, compression, None, names, nothing, nothing, measured)
    properties = arrays["properties"]
    predictor = Predictor(
        *_networks(stored, compression), properties["mean"], properties["scale"], Widening(*settings["widening"])
    )
    return Surrogate(momentum, energy, compression, predictor, names, properties["least"], properties["most"], measured)


def _networks(stored: Stored, compression: Compression) -> tuple[Model, Variables]:
    """The Model of the predictor, whose sizes the arrays tell, and the variables of its members."""
    codes, properties = stored.arrays["codes"], stored.arrays["properties"]
    params = stored.arrays["predictor"]["params"]
    num_members = len(params["layer_0"]["bias"])
    hidden_dims = tuple(params[f"layer_{i}"]["bias"].shape[-1] for i in range(len(params) - 1))
    model = predictor_model(compression.model, len(codes["mean"]), hidden_dims)

    def init(key: Array, batch: Batch) -> Variables:
        return jax.vmap(lambda key: model.init(key, batch))(jax.random.split(key, num_members))

    rows = Batch(jnp.zeros((1, 1)), cond=jnp.zeros((1, len(properties["mean"]))))
    variables = codecs.fitted_variables(stored, model._replace(init=init), rows, "predictor")
    frozen = {"model": compression.variables, "mean": codes["mean"], "scale": codes["scale"]}
    return model, {**variables, "frozen": frozen}


def _earlier(folder: Path) -> Stored | None:
    """What the command wrote before there was one format: ``config.json`` and ``variables.safetensors``."""
    path = folder / "config.json"
    config = storage.read_json(path) if path.is_file() else None
    needed = {"format", "num_regions", "num_numbers", "properties"}
    if not isinstance(config, dict) or not needed <= config.keys():
        return None
    tensors = storage.unflatten(storage.read_arrays(folder / "variables.safetensors"))
    basis = tensors.get("basis", np.zeros((1, 1, 1, 1)))
    arrays = {"momentum": tensors["Q"], "energy": tensors["E"], "compression": {"params": {"basis": basis}}}
    if config["properties"]:
        mean = tensors["properties_mean"]
        arrays["predictor"] = {"params": tensors["predictor"]["params"]}
        arrays["codes"] = {name: tensors["predictor"]["frozen"][name] for name in ("mean", "scale")}
        arrays["properties"] = {
            "mean": mean,
            "scale": tensors["properties_scale"],
            # The first folders kept no range.
            "least": tensors.get("properties_min", np.full(mean.shape, -np.inf)),
            "most": tensors.get("properties_max", np.full(mean.shape, np.inf)),
        }
    settings = {
        "names": config["properties"],
        "measured": config.get("measured", {}),
        "widening": config.get("widening", list(Widening())),
    }
    model = local_subspaces(basis.shape[2:], config["num_numbers"], config["num_regions"], scale="sqrt")
    return Stored(settings, arrays, model)


_SETTINGS = {
    "names": each(TEXT),
    "measured": fields({"*": number(-math.inf, math.inf)}),
    "widening": each(number(0, 1e30), len(Widening._fields), len(Widening._fields)),
}
_ARRAYS = {
    "momentum": numbers(least=1),
    "energy": numbers(least=1),
    "codes/scale": POSITIVE,
    "properties/scale": POSITIVE,
    "properties/least": numbers(infinite=True),  # the first folders kept no range
    "properties/most": numbers(infinite=True),
    "*": FINITE,
}
_SHAPES = {
    "momentum": "q",
    "energy": "e",
    "compression/params/basis": "kcqe",
    "whitening": "kcc",
    "codes/*": "d",
    "properties/*": "p",
}


def _without_whitening(stored: Stored) -> Stored:
    """Version 1 knew nothing of how large the numbers of a code are."""
    return stored


def _spread_as_whitening(stored: Stored) -> Stored:
    """Version 2 had one size of each number for all regions; the first, the region's, may be of any size."""
    arrays = dict(stored.arrays)
    if (spread := arrays.pop("spread", None)) is not None:
        num_regions = len(arrays["compression"]["params"]["basis"])
        arrays["whitening"] = np.tile(np.diag(1 / spread[1:]), (num_regions, 1, 1))
    return stored._replace(arrays=arrays)


codecs.register(
    codecs.Codec(
        "surrogate",
        Surrogate,
        3,
        _pack,
        _unpack,
        {1: _without_whitening, 2: _spread_as_whitening},
        _earlier,
        _SETTINGS,
        _ARRAYS,
        _SHAPES,
    )
)
