"""A model of geological sections, made from one training image."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax import losses
from aejax.base import ArrayLike, Model, Variables, required
from aejax.models import convolutional_vae
from aejax.simulate import geology
from aejax.tasks.inversion.maxima import refine
from aejax.tasks.reduction import encode
from aejax.training import Progress, fit
from aejax.training.optimizers import adam

_NUM_VALIDATION = 500
_HELD_OUT = 0.075


class Sections(NamedTuple):
    """A VAE of the sections of a training image.

    Attributes:
        model: the Model, whose prior is standard normal.
        variables: its variables.
        patch_shape: (rows, columns) of a section.
        latent_dim: size of the code.
        x: (n, *patch_shape) in {0, 1}, sections that were not trained on, for ``approximation_error``.
        z: (n, latent_dim), the codes that represent them best.
    """

    model: Model
    variables: Variables
    patch_shape: tuple[int, ...]
    latent_dim: int
    x: np.ndarray
    z: np.ndarray


def section_vae(patch_shape: Sequence[int], latent_dim: int) -> Model:
    """The VAE of binary sections: convolutions on a grid of every fourth cell, Bernoulli pixels.

    Example:
        >>> from aejax.base import Batch
        >>> model = section_vae((29, 17), 4)
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 29, 17))))
        >>> model.decode(variables, jnp.zeros((2, 4))).shape
        (2, 29, 17)
    """
    return convolutional_vae(
        tuple(patch_shape),
        latent_dim,
        hidden_dims=(32, 64, 64),
        dense_dims=(512,),
        grid=tuple(-(-(size - 1) // 4) + 1 for size in patch_shape),
        activation="gelu",
        batch_norm=False,
        likelihood=losses.bernoulli(),
    )


def fit_sections(
    key: jax.Array,
    image: ArrayLike,
    patch_shape: Sequence[int] = (129, 65),
    latent_dim: int = 20,
    *,
    num_steps: int = 6000,
    batch_size: int = 128,
    learning_rate: float = 2e-3,
    held_out: float | None = None,
    num_held_out: int = 200,
    flips: Sequence[int] = (0, 1),
    checkpoint_dir: str | Path | None = None,
    progress: bool | Callable[[Progress], None] = False,
) -> Sections:
    """Trains a VAE on the overlapping sections of one binary training image.

    Adam, its learning rate falling to half along a cosine; the moving average of the weights is kept. The last columns
    are held out: sections from there choose among three stages of the training, and say afterwards what the decoder
    cannot represent.

    Args:
        key: PRNG key.
        image: (rows, columns) of two facies, 0 and 1.
        patch_shape: of a section.
        latent_dim: size of the code.
        num_steps: length of the training, at least 3, rounded down to a multiple of three.
        batch_size: sections a step.
        learning_rate: at its highest.
        held_out: share of the columns; these must be at least as many as those of a section. 7.5 % of them if None, or
            as many as a section has where these are more.
        num_held_out: how many sections from there are kept with the model, at most 500; the code of each is refined.
        flips: axes along which sections are mirrored at random; none where the geology has a direction.
        checkpoint_dir: where checkpoints are kept; an interrupted run is resumed from there.
        progress: as for ``fit``.

    Returns:
        Sections.

    Raises:
        ValueError: an image that is not binary or smaller than a section, columns held out or left to train on that
            hold no section, or numbers out of range.
    """
    for name, found, least, most in (
        ("num_steps", num_steps, 3, np.inf),
        ("batch_size", batch_size, 1, np.inf),
        ("num_held_out", num_held_out, 1, _NUM_VALIDATION),
    ):
        if not least <= found <= most:
            expected = f"at least {least}" if most == np.inf else f"{least} to {most}"
            raise ValueError(f"{name}: found {found}, expected {expected}")
    image = np.asarray(image)
    if image.ndim != len(patch_shape) or not np.isin(image, (0, 1)).all():
        raise ValueError(
            f"image: found shape {image.shape}, expected {len(patch_shape)} axes and values of 0 and 1 only"
        )
    patch_shape = tuple(patch_shape)
    if not all(2 <= size <= most for size, most in zip(patch_shape, image.shape, strict=True)):
        raise ValueError(
            f"patch_shape: found {patch_shape}, expected at least 2 and at most {image.shape}, the image; choose "
            "smaller sections with --patch"
        )
    begin = _columns_to_train_on(image.shape[-1], patch_shape[-1], held_out)
    rest = (*image.shape[:-1], image.shape[-1] - begin)
    model = section_vae(patch_shape, latent_dim)
    num_epochs = 3
    steps = num_steps // num_epochs
    _, validation_key, fit_key = jax.random.split(key, 3)
    image = image.astype(np.uint8)
    source = geology.patches(image[..., :begin], patch_shape, flips)
    corners = geology.random_corners(validation_key, rest, patch_shape, _NUM_VALIDATION)
    validation = geology.cut(image[..., begin:], corners, patch_shape)
    # The gradient of a sum over all pixels is large; the clip holds back the rare one that is far larger.
    optimizer = adam("cosine", 2 * num_epochs * steps, warmup_steps=min(200, steps), clip_norm=1000)
    fitted = fit(
        fit_key,
        model,
        source,
        validation=validation,
        num_epochs=num_epochs,
        steps_per_epoch=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        optimizer=optimizer,
        ema_decay=0.999,
        checkpoint_dir=checkpoint_dir,
        resume=checkpoint_dir is not None,
        progress=progress,
    )
    x = np.asarray(validation[:num_held_out])
    z = refine(model, fitted.variables, x, encode(model, fitted.variables, x).mean)
    return Sections(model, fitted.variables, patch_shape, latent_dim, x, np.asarray(z))


def _columns_to_train_on(num_columns: int, width: int, held_out: float | None) -> int:
    if held_out is None:
        held_out = max(_HELD_OUT, width / num_columns)
    elif not 0 < held_out < 1:
        raise ValueError(f"held_out: found {held_out}, expected a share between 0 and 1")
    rest = round(held_out * num_columns)
    if min(num_columns - rest, rest) < width:
        raise ValueError(
            f"held_out: found {held_out:.3g}, {rest} columns of {num_columns}; expected at least the {width} of a "
            "section, and as many left to train on; give a wider image, narrower sections with --patch, or another "
            "share with --held-out"
        )
    return num_columns - rest


def evaluate_sections(sections: Sections, x: ArrayLike, num_steps: int = 25) -> dict[str, float]:
    """Measures how well codes represent sections that were not trained on.

    Args:
        sections: the Sections.
        x: (n, *patch_shape) in {0, 1}, from other columns or another image than the training.
        num_steps: of the refinement of codes.

    Returns:
        The root mean square error of the decoder's probabilities with the encoder's codes and with refined ones, and
        the share of the cells whose facies the refined codes give right.

    Raises:
        ValueError: sections of another shape, or other values than 0 and 1.
    """
    x = np.asarray(x)
    if x.ndim != 1 + len(sections.patch_shape) or x.shape[1:] != sections.patch_shape or not np.isin(x, (0, 1)).all():
        raise ValueError(
            f"x: found shape {x.shape}, expected (n, {', '.join(map(str, sections.patch_shape))}) of 0 and 1 only"
        )
    x = x.astype(np.float32)
    model, variables = sections.model, sections.variables
    encoded = encode(model, variables, x).mean
    refined = np.asarray(refine(model, variables, x, encoded, num_steps=num_steps))
    decode = required(model.decode, "decode")
    by_encoder, by_refining = (np.asarray(decode(variables, jnp.asarray(z))) for z in (encoded, refined))
    return {
        "root mean square error, encoder": float(np.sqrt(np.mean(np.square(x - by_encoder)))),
        "root mean square error, refined": float(np.sqrt(np.mean(np.square(x - by_refining)))),
        "cells of the right facies, refined": float(np.mean((by_refining > 0.5) == (x == 1))),
    }
