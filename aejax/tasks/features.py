"""What the units of a code mean, which of them are dead, and how likely rows are."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aejax.base import Array, ArrayLike, Batch, Model, Variables, required
from aejax.data.batches import RowsLike
from aejax.models.gaps import filled
from aejax.tasks.reduction import check_encodes
from aejax.tasks.rows import over_rows


class Sensitivity(NamedTuple):
    """How each unit of a code answers to each input, over data.

    Attributes:
        mean: (d, *event), mean of dz / dx: its sign says which way.
        rms: (d, *event), root mean square of dz / dx: its size says how much, also where the sign changes.
    """

    mean: np.ndarray
    rms: np.ndarray


def sensitivity(model: Model, variables: Variables, x: RowsLike) -> Sensitivity:
    """The Jacobian of the code by the inputs, averaged over rows: it names the input variables of each unit.

    A source text reads the weights of a layer in the middle of the network instead; their rows are hidden units, not
    input variables.

    Args:
        model: a fitted Model.
        variables: its variables.
        x: (n, *event) rows, scaled so that one step of each input is comparable; NaN where missing, or a Batch.

    Returns:
        The Sensitivity, in units of the code by units of x. A missing value has derivative zero and does not count.

    Raises:
        ValueError: a GAN, which has no encoder.

    Example:
        >>> import aejax
        >>> x = jax.random.normal(jax.random.key(0), (20, 5))
        >>> model = aejax.models.autoencoder((5,), 2)
        >>> sensitivity(model, model.init(jax.random.key(1), Batch(x)), x).rms.shape
        (2, 5)
    """
    check_encodes(model)
    mean, square, seen = (np.asarray(part, float) for part in over_rows(_jacobian_moments, model, variables, x))
    count = np.maximum(seen.sum(axis=0), 1)
    return Sensitivity(mean.sum(axis=0) / count, np.sqrt(square.sum(axis=0) / count))


def name_units(found: Sensitivity, columns: Sequence[str], num_columns: int = 3) -> list[list[tuple[str, float]]]:
    """The inputs that each unit of a code answers to most.

    Args:
        found: from ``sensitivity``, of rows of columns.
        columns: their names.
        num_columns: how many to name.

    Returns:
        For each unit pairs (column, mean derivative), largest root mean square first.

    Raises:
        ValueError: another number of columns.

    Example:
        >>> name_units(Sensitivity(np.array([[0.1, -2.0]]), np.array([[0.1, 2.0]])), ["a", "b"], num_columns=1)
        [[('b', -2.0)]]
    """
    if found.rms.ndim != 2 or found.rms.shape[1] != len(columns):
        raise ValueError(f"columns: found {len(columns)}, expected one for each input of {found.rms.shape[1:]}")
    order = np.argsort(-found.rms, axis=1)[:, :num_columns]
    return [[(columns[i], float(mean[i])) for i in inputs] for inputs, mean in zip(order, found.mean, strict=True)]


def dead_units(z: ArrayLike, tolerance: float = 1e-3) -> np.ndarray:
    """Units whose code is the same for all rows, and so tells nothing about any.

    Args:
        z: (n, d) codes of rows, many enough that a unit of use would show.
        tolerance: the largest difference between two rows that counts as the same.

    Returns:
        (d,) bool.

    Example:
        >>> dead_units(np.array([[0.0, 1.0], [0.0, 2.0]]))
        array([ True, False])
    """
    return np.ptp(np.asarray(z), axis=0) <= tolerance


def log_likelihood(key: Array, model: Model, variables: Variables, x: RowsLike, num_samples: int = 100) -> np.ndarray:
    """The importance-weighted bound on log p(x) of each row (Burda, Grosse & Salakhutdinov 2016, eq. 8).

    It rises to log p(x) with the number of samples, and is the evidence lower bound, by one draw, at 1.

    Args:
        key: PRNG key.
        model: a fitted Model that defines a likelihood, such as a VAE.
        variables: its variables.
        x: (n, *event), NaN where missing, or a Batch with conditions.
        num_samples: draws of the code for each row.

    Returns:
        (n,), in nats, of the observed elements.

    Raises:
        ValueError: a model without a likelihood, or a number that is not positive.

    Example:
        >>> import aejax
        >>> model = aejax.models.vae((5,), 2)
        >>> variables = model.init(jax.random.key(0), Batch(np.zeros((1, 5))))
        >>> log_likelihood(jax.random.key(1), model, variables, np.zeros((7, 5))).shape
        (7,)
    """
    if getattr(model, "log_likelihood", None) is None:
        raise ValueError("model: this one defines no likelihood of rows; train a variational one, such as vae")
    if num_samples < 1:
        raise ValueError(f"num_samples: found {num_samples}, expected a positive whole number")
    # The draws' number is static; it rides along as the length of an array.
    return over_rows(_log_likelihood, model, (key, variables, jnp.zeros(num_samples, jnp.float32)), x)


def _jacobian_moments(model: Model, variables: Variables, batch: Batch) -> tuple[Array, Array, Array]:
    def code(x: Array, cond: Array | None) -> Array:
        rows = None if cond is None else cond[None]
        return required(model.encode, "encode")(variables, x[None], rows).mean[0]

    jacobian = jax.vmap(jax.jacrev(code))(filled(model, variables, batch).x, batch.cond)
    mask = jnp.ones(batch.x.shape, bool) if batch.mask is None else batch.mask
    mask = jnp.broadcast_to(mask.reshape(mask.shape + (1,) * (batch.x.ndim - mask.ndim)), batch.x.shape)[:, None]
    kept = jnp.where(mask, jacobian, 0)
    return kept, jnp.square(kept), mask


def _log_likelihood(model: Model, arguments: tuple[Array, Variables, Array], batch: Batch) -> Array:
    key, variables, draws = arguments
    assert model.log_likelihood is not None  # the caller's check, repeated for the type checker
    return model.log_likelihood(key, variables, filled(model, variables, batch), draws.shape[0])
