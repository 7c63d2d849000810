"""The library's models as estimators of scikit-learn: for pipelines, searches and frames (extra ``estimators``)."""

from aejax.data.formats.libraries import library

library("sklearn", "aejax.estimators", "estimators")

import aejax.estimators.stored  # noqa: E402, F401, makes them known to aejax.save
from aejax.estimators.outliers import OutlierDetector  # noqa: E402
from aejax.estimators.processes import ProcessMonitor  # noqa: E402
from aejax.estimators.transformers import (  # noqa: E402
    AutoencoderTransformer,
    DenoisingTransformer,
    VAETransformer,
)

__all__ = [
    "AutoencoderTransformer",
    "DenoisingTransformer",
    "OutlierDetector",
    "ProcessMonitor",
    "VAETransformer",
]
