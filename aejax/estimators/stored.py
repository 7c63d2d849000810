"""How fitted estimators are saved: ``aejax.save`` and ``aejax.load``, which never read a pickle."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from sklearn.utils.validation import check_is_fitted

from aejax.artefacts import codecs
from aejax.artefacts.codecs import Codec, Stored
from aejax.artefacts.rules import FINITE, POSITIVE, TEXT, Rule, each, fields, number, numbers, optional, whole
from aejax.base import Batch
from aejax.data.columns.scalers import Scaler
from aejax.estimators.outliers import OutlierDetector
from aejax.estimators.processes import OFFSET, ProcessMonitor
from aejax.estimators.transformers import AutoencoderTransformer, DenoisingTransformer, VAETransformer
from aejax.tasks.anomaly.stored import (
    DETECTOR_ARRAYS,
    DETECTOR_SETTINGS,
    DETECTOR_SHAPES,
    MONITOR_ARRAYS,
    MONITOR_SETTINGS,
    MONITOR_SHAPES,
    pack_detector,
    pack_monitor,
    unpack_detector,
    unpack_monitor,
)

_COUNT, _SHARE, _AMOUNT = whole(1, 2**31), number(0, 1), number(0, 1e9)
_PARAMS: dict[str, Rule] = {
    "alarm_rule": each(_COUNT, 2),
    "batch_size": _COUNT,
    "beta": _AMOUNT,
    "calibration": _SHARE,
    "false_alarm_rate": _SHARE,
    "hidden_dims": each(_COUNT, 0),
    "latent_dim": optional(_COUNT),
    "learning_rate": _AMOUNT,
    "limits": TEXT,
    "noise_level": _AMOUNT,
    "num_epochs": _COUNT,
    "num_folds": _COUNT,
    "num_lags": whole(0, 2**31),
    "num_steps": _COUNT,
    "random_state": optional(whole(0, 2**32)),
    "smoothing": _SHARE,
    "validation": _SHARE,
}


_SETTINGS: dict[str, Rule] = {
    "num_features": whole(2, 2**31),
    "names": optional(each(TEXT, 1)),
}


def _register(
    estimator: type,
    pack: Callable[[Any], Stored],
    unpack: Callable[[Stored], dict[str, Any]],
    rules: tuple[dict[str, Rule], dict[str, Rule], dict[str, str]],
    version: int = 1,
) -> None:
    """Registers an estimator; ``unpack`` gives what ``fit`` has learned, by the names of the attributes.

    What earlier versions saved has less in it; ``unpack`` knows what to do without.
    """

    def packed(thing: Any) -> Stored:
        check_is_fitted(thing)
        stored, names = pack(thing), getattr(thing, "feature_names_in_", None)
        own = {
            "params": thing.get_params(deep=False),
            "num_features": thing.n_features_in_,
            "names": None if names is None else list(names),
        }
        return stored._replace(settings=stored.settings | own)

    def unpacked(stored: Stored) -> Any:
        params, names = stored.settings["params"], stored.settings["names"]
        thing = estimator(**{name: tuple(one) if isinstance(one, list) else one for name, one in params.items()})
        num_features = stored.settings["num_features"]
        vars(thing).update(unpack(stored), n_features_in_=num_features)
        if names is not None:
            if len(names) != num_features:
                raise ValueError(f"names: found {len(names)}, expected {num_features}, one for each column")
            thing.feature_names_in_ = np.asarray(names, object)
        return thing

    kind = f"{estimator.__name__} of aejax.estimators"  # says what to import, where it is not known
    settings, arrays, shapes = rules
    own = {"params": fields({name: _PARAMS[name] for name in estimator().get_params()})}
    before: dict[int, Callable[[Stored], Stored]] = {number: lambda stored: stored for number in range(1, version)}
    known = _SETTINGS | own | settings
    codecs.register(
        Codec(kind, estimator, version, packed, unpacked, before, settings=known, arrays=arrays, shapes=shapes)
    )


def _pack_transformer(thing: Any) -> Stored:
    arrays = {"variables": thing.variables_, "scaler": thing.scaler_._asdict()}
    return Stored({"latent_dim": thing.latent_dim_}, arrays, thing.model_)


def _unpack_transformer(stored: Stored) -> dict[str, Any]:
    model, scaler = codecs.stored_model(stored), Scaler(**stored.arrays["scaler"])
    variables = codecs.fitted_variables(stored, model, Batch(jnp.zeros((1, len(scaler.mean)), jnp.float32)))
    return {
        "model_": model,
        "variables_": variables,
        "scaler_": scaler,
        "latent_dim_": stored.settings["latent_dim"],
    }


def _pack_outliers(thing: OutlierDetector) -> Stored:
    stored = pack_detector(thing.detector_)
    return stored._replace(arrays=stored.arrays | {"reference_rows": thing.reference_rows_})


def _unpack_outliers(stored: Stored) -> dict[str, Any]:
    rate = float(stored.settings["params"]["false_alarm_rate"])
    rows = np.asarray(stored.arrays["reference_rows"])
    return {"detector_": unpack_detector(stored), "reference_rows_": rows, "offset_": rate}


def _unpack_process(stored: Stored) -> dict[str, Any]:
    return {"monitor_": unpack_monitor(stored), "offset_": OFFSET}


_OF_TRANSFORMER: tuple[dict[str, Rule], dict[str, Rule], dict[str, str]] = (
    {"latent_dim": whole(1, 2**31)},
    {"variables/*": FINITE, "scaler/mean": FINITE, "scaler/scale": POSITIVE},
    {"scaler/*": "c"},
)
_OF_OUTLIERS = (
    DETECTOR_SETTINGS,
    DETECTOR_ARRAYS | {"reference_rows": numbers(nan=True)},
    DETECTOR_SHAPES | {"reference_rows": "mc"},
)
_OF_PROCESS = (MONITOR_SETTINGS, MONITOR_ARRAYS, MONITOR_SHAPES)

for _transformer in (AutoencoderTransformer, VAETransformer, DenoisingTransformer):
    _register(_transformer, _pack_transformer, _unpack_transformer, _OF_TRANSFORMER)
_register(OutlierDetector, _pack_outliers, _unpack_outliers, _OF_OUTLIERS, version=2)
_register(ProcessMonitor, lambda thing: pack_monitor(thing.monitor_), _unpack_process, _OF_PROCESS, version=2)
