"""Maps of spectra: compressed to few numbers, and predicted from properties."""

from aejax.tasks.surrogate.compression import (
    Compression,
    compress,
    expand,
    explained,
    fit_compression,
    through_components,
)
from aejax.tasks.surrogate.prediction import (
    Prediction,
    Surrogate,
    Widening,
    fit_surrogate,
    predict,
    predictor_model,
    widening,
)

__all__ = [
    "Compression",
    "Prediction",
    "Surrogate",
    "Widening",
    "compress",
    "expand",
    "explained",
    "fit_compression",
    "fit_surrogate",
    "predict",
    "predictor_model",
    "through_components",
    "widening",
]
