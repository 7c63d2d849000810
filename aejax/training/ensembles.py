"""Many fits in one compiled program: over keys, over hyperparameters, or over both."""

from collections.abc import Mapping
from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Array, ArrayLike, Fitted
from aejax.kernels.options import options_of
from aejax.training.arguments import check_key, keys_ndim
from aejax.training.fitting import FitOptions, Fittable, SourceLike, fit, fit_members


@options_of(fit)
def ensemble(keys: Array, model: Fittable, x: SourceLike, **options: Unpack[FitOptions]) -> Fitted:
    """Trains one model for each of several keys, in one compiled program.

    Args:
        keys: (members,) stack of PRNG keys, ``jax.random.split(key, members)``. Each member has its own initial
            variables, validation rows, order of rows and noise.
        model: as in ``fit``.
        x: as in ``fit``.
        options: as in ``fit``.

    Returns:
        Fitted, every leaf with a leading axis (members,). Members stop and choose their best variables each for
        itself; what belongs to member ``i`` is ``member(fitted, i)``.

    Raises:
        ValueError: a single key, or as in ``fit``.

    Example:
        >>> from aejax.models import autoencoder
        >>> x = jax.random.normal(jax.random.key(0), (200, 5))
        >>> keys = jax.random.split(jax.random.key(1), 3)
        >>> ensemble(keys, autoencoder((5,), 2, hidden_dims=(8,)), x, num_epochs=2).history["loss"].shape
        (3, 2)
    """
    check_key(keys)
    if keys_ndim(keys) != 1:
        raise ValueError(f"keys: found shape {keys.shape}, expected a stack of keys, jax.random.split(key, members)")
    return fit_members(keys, model, x, ("key",), {}, options)


@options_of(fit)
def sweep(
    key: Array, model: Fittable, x: SourceLike, *, over: Mapping[str, ArrayLike], **options: Unpack[FitOptions]
) -> Fitted:
    """Trains one model for each of several hyperparameters, in one compiled program.

    Args:
        key: a PRNG key, the same for every setting, or a stack of them for an ensemble of each setting.
        model: as in ``fit``.
        x: as in ``fit``.
        over: the values of hyperparameters by name, lists or arrays of one length: ``{"beta": [0.5, 1.0]}``,
            ``{"learning_rate": [1e-3, 1e-2]}``, or both side by side. The others are those of ``hparams``.
        options: as in ``fit``.

    Returns:
        Fitted, every leaf with a leading axis (settings,), followed by (members,) where keys are stacked.

    Raises:
        ValueError: no such hyperparameter, values of several lengths, or as in ``fit``.

    Example:
        >>> from aejax.models import vae
        >>> x = jax.random.normal(jax.random.key(0), (200, 5))
        >>> model = vae((5,), 2, hidden_dims=(8,))
        >>> sweep(jax.random.key(1), model, x, over={"beta": [0.5, 1.0, 4.0]}, num_epochs=2).history["kl"].shape
        (3, 2)
    """
    check_key(key)
    num_axes = keys_ndim(key)
    if num_axes > 1:
        raise ValueError(f"key: found shape {key.shape}, expected one key or a stack of them, (members,)")
    return fit_members(key, model, x, ("hparams", "key") if num_axes else ("hparams",), over, options)


def member(fitted: Fitted, *index: int) -> Fitted:
    """One of the fits that an ensemble or a sweep did together.

    Args:
        fitted: what ``ensemble`` or ``sweep`` returned.
        *index: its place on each leading axis: one number, or setting and member where a sweep had a stack of keys.

    Returns:
        Fitted without these axes, as ``fit`` returns it.

    Raises:
        IndexError: no such place.

    Example:
        >>> from aejax.models import autoencoder
        >>> x = jax.random.normal(jax.random.key(0), (200, 5))
        >>> keys = jax.random.split(jax.random.key(1), 3)
        >>> fitted = ensemble(keys, autoencoder((5,), 2, hidden_dims=(8,)), x, num_epochs=2)
        >>> member(fitted, 2).history["loss"].shape
        (2,)
    """
    shape = jnp.shape(fitted.state.step)
    if len(index) != len(shape) or any(not -size <= place < size for place, size in zip(index, shape, strict=True)):
        raise IndexError(f"index: found {index}, expected a place in each leading axis of these fits, {shape}")

    def one(leaf: Array | np.ndarray) -> Array | np.ndarray:
        if not isinstance(leaf, jax.Array):
            return leaf[index]
        for place in index:
            leaf = jax.lax.index_in_dim(leaf, place, keepdims=False)  # no transfer, as leaf[index] would be
        return leaf

    return jax.tree.map(one, fitted)
