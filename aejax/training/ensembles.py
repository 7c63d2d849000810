"""Many fits in one compiled program: ``vmap`` over keys, and over hyperparameters."""

import inspect
from collections.abc import Callable
from typing import Any, ParamSpec

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Fitted
from aejax.training.arguments import check_key
from aejax.training.fitting import fit

_Fit = ParamSpec("_Fit")


def _signature_of(
    source: Callable[_Fit, Fitted],
) -> Callable[[Callable[..., Fitted]], Callable[_Fit, Fitted]]:
    def decorate(function: Callable[..., Fitted]) -> Callable[_Fit, Fitted]:
        function.__signature__ = inspect.signature(source)  # type: ignore[attr-defined]
        return function

    return decorate


@_signature_of(fit)
def ensemble(key: Any, *args: Any, **options: Any) -> Fitted:
    """Trains one model for each of several keys, in one compiled program.

    Args:
        key: (members,) stack of PRNG keys, ``jax.random.split(key, members)``. Each member has its own initial
            variables, validation rows, order of rows and noise.
        *args: as in ``fit``.
        **options: as in ``fit``.

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
    check_key(key)
    is_typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    if jnp.ndim(key) != (1 if is_typed else 2):
        raise ValueError(f"key: found shape {key.shape}, expected a stack of keys, jax.random.split(key, members)")
    return fit(key, *args, **options)


@_signature_of(fit)
def sweep(key: Any, *args: Any, **options: Any) -> Fitted:
    """Trains one model for each of several hyperparameters, in one compiled program.

    Args:
        key: a PRNG key, the same for every setting, or a stack of them for an ensemble of each setting.
        *args: as in ``fit``.
        **options: as in ``fit``; ``learning_rate`` and fields of ``hparams`` may be arrays or lists of one common
            length.

    Returns:
        Fitted, every leaf with a leading axis (settings,), followed by (members,) where keys are stacked.

    Raises:
        ValueError: no hyperparameter is an array, their lengths differ, or as in ``fit``.

    Example:
        >>> from aejax.models import vae
        >>> x = jax.random.normal(jax.random.key(0), (200, 5))
        >>> model = vae((5,), 2, hidden_dims=(8,))
        >>> hparams = model.hparams._replace(beta=jnp.array([0.5, 1.0, 4.0]))
        >>> sweep(jax.random.key(1), model, x, hparams=hparams, num_epochs=2).history["kl"].shape
        (3, 2)
    """
    given = (options.get("hparams"), options.get("learning_rate"))
    values = jax.tree.leaves(given, is_leaf=lambda value: isinstance(value, list))
    if all(np.ndim(value) == 0 for value in values):
        raise ValueError(
            "hparams: found scalars only, expected an array in hparams or learning_rate, such as "
            "learning_rate=jnp.array([1e-3, 3e-3])"
        )
    return fit(key, *args, **options)


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
    return jax.tree.map(lambda leaf: leaf[index], fitted)
