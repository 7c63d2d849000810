"""Compressing rows to codes and back."""

import numpy as np

from aejax.base import Adversary, Array, Batch, Latent, Model, Variables, required
from aejax.data.batches import RowsLike
from aejax.models.gaps import filled
from aejax.tasks.rows import over_rows


def encode(model: Model | Adversary, variables: Variables, x: RowsLike) -> Latent:
    """The codes of any number of rows, block by block; of a row with gaps the code that what was observed asks for.

    Inside ``jit``, ``vmap`` or ``grad`` call ``model.encode``, after ``aejax.models.gaps.filled`` where rows have gaps.

    Args:
        model: a fitted Model.
        variables: its variables.
        x: (n, *event), NaN where missing, or a Batch with conditions.

    Returns:
        Latent of NumPy arrays, (n, d).

    Raises:
        ValueError: rows that do not fit the model, or a GAN, which has no encoder.

    Example:
        >>> import jax, aejax
        >>> model = aejax.models.autoencoder((5,), 2)
        >>> variables = model.init(jax.random.key(0), Batch(np.zeros((1, 5))))
        >>> encode(model, variables, np.zeros((7, 5))).mean.shape
        (7, 2)
    """
    check_encodes(model)
    return over_rows(encode_batch, model, variables, x)


def reconstruct(model: Model | Adversary, variables: Variables, x: RowsLike) -> np.ndarray:
    """Rows after the bottleneck: for a denoising model, denoised; missing values as the observed ones have them.

    Inside ``jit``, ``vmap`` or ``grad`` call ``model.decode(variables, model.encode(variables, x).mean)``.

    Args:
        model: a fitted Model.
        variables: its variables.
        x: (n, *event), NaN where missing, or a Batch with conditions.

    Returns:
        (n, *event).

    Raises:
        ValueError: rows that do not fit the model, or a GAN, which has no encoder.

    Example:
        >>> import jax, aejax
        >>> model = aejax.models.autoencoder((5,), 2)
        >>> variables = model.init(jax.random.key(0), Batch(np.zeros((1, 5))))
        >>> reconstruct(model, variables, np.zeros((7, 5))).shape
        (7, 5)
    """
    check_encodes(model)
    return over_rows(reconstruct_batch, model, variables, x)


def suggest_latent_dim(x: np.ndarray, share: float = 0.9) -> int:
    """The number of principal components that hold a share of the variance; at least 1, below the number of columns.

    Args:
        x: (n, c) scaled rows, NaN where missing.
        share: of the variance.

    Returns:
        The number of components.

    Example:
        >>> suggest_latent_dim(np.array([[1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]]))
        1
    """
    rows = np.asarray(x, float)
    seen, known = ~np.isnan(rows), np.nan_to_num(rows)
    # Over the rows that hold both columns: zeros in the gaps would look like one more component.
    together = np.maximum(seen.T.astype(float) @ seen, 1)
    variances = np.maximum(np.linalg.eigvalsh(known.T @ known / together)[::-1], 0)
    held = np.cumsum(variances) / max(variances.sum(), np.finfo(float).tiny)
    return max(1, min(int(np.searchsorted(held, share - 1e-9)) + 1, x.shape[1] - 1))


def check_encodes(model: object) -> None:
    """Refuses what has no encoder or no decoder.

    Args:
        model: a Model or an Adversary.

    Raises:
        ValueError: an Adversary, or a Model without them.

    Example:
        >>> import aejax
        >>> check_encodes(aejax.models.gan((5,), 2))
        Traceback (most recent call last):
        ValueError: model: a GAN has no encoder, so no codes nor reconstructions; train an autoencoder or a vae
    """
    if isinstance(model, Adversary):
        raise ValueError("model: a GAN has no encoder, so no codes nor reconstructions; train an autoencoder or a vae")
    for name in ("encode", "decode"):
        required(getattr(model, name, None), name)


def encode_batch(model: Model, variables: Variables, batch: Batch) -> Latent:
    """``encode`` of one Batch, inside a program."""
    return required(model.encode, "encode")(variables, filled(model, variables, batch).x, batch.cond)


def reconstruct_batch(model: Model, variables: Variables, batch: Batch) -> Array:
    """``reconstruct`` of one Batch, inside a program."""
    return required(model.decode, "decode")(variables, encode_batch(model, variables, batch).mean, batch.cond)
