"""Maps of spectra: compressed to few numbers, and predicted from properties."""

from aejax.tasks.surrogate import stored  # noqa: F401  (registers the kind "surrogate")
from aejax.tasks.surrogate.codes import Compression, compress, expand
from aejax.tasks.surrogate.compression import fit_compression
from aejax.tasks.surrogate.prediction import Prediction, Predictor, fit_predictor, predict, predictor_model
from aejax.tasks.surrogate.quality import explained, through_components
from aejax.tasks.surrogate.spread import Widening, widening
from aejax.tasks.surrogate.surrogate import (
    Surrogate,
    caution,
    compress_maps,
    evaluate_surrogate,
    fit_surrogate,
    predict_maps,
)

__all__ = [
    "Compression",
    "Prediction",
    "Predictor",
    "Surrogate",
    "Widening",
    "caution",
    "compress",
    "compress_maps",
    "evaluate_surrogate",
    "expand",
    "explained",
    "fit_compression",
    "fit_predictor",
    "fit_surrogate",
    "predict",
    "predict_maps",
    "predictor_model",
    "through_components",
    "widening",
]
