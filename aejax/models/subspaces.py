"""An autoencoder made of linear subspaces in a row, each for a part of the data."""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from aejax import losses
from aejax.base import Array, Aux, Batch, Latent, Model, Variables
from aejax.kernels.recipes import remembered
from aejax.models.coder import complete

# Directions that few observed elements determine are held at zero rather than blown up.
_RIDGE = 1e-6
_ROWS_AT_A_TIME = 8  # each with a copy of the bases, of which what is missing is left out


class SubspacesHparams(NamedTuple):
    """Subspaces have no hyperparameter that can be traced."""


@remembered
def local_subspaces(
    event_shape: tuple[int, ...],
    latent_dim: int,
    num_regions: int = 1,
    *,
    scale: Literal["identity", "sqrt"] = "identity",
) -> Model:
    """Local principal subspaces as an autoencoder: a place along a row of subspaces, and coefficients there.

    With y = x, or y = sqrt(x) on the scale ``"sqrt"``, the decoder is

        y(z) = sum_i c_i b_i(r),   z = (r, c_1, ..., c_d),   b_i(r) linear between b_i(0), b_i(1), ..., b_i(K - 1),

    and the encoder takes the region r and the coefficients c with the least squared error in y over the observed
    elements, in closed form. The coefficients scale with the data, so that a factor costs no number of the code. On the
    scale ``"sqrt"`` the output max(y, 0)^2 cannot be negative, and the squared error is that of counts whose variance
    is their mean, up to a constant (Anscombe 1948); zero is then its own image, so there is no offset. Noise below 0
    has a root below 0, so that on average it adds nothing to what is dark.

    ``init`` draws bases at random; ``aejax.tasks.surrogate.fit_compression`` computes them for spectra, and ``fit``
    can train them further. With one region on the identity scale the optimum is the principal subspace of the data
    without centring. Conditions are not used.

    Args:
        event_shape: shape of one example, e.g. ``(48, 96)``.
        latent_dim: numbers in a code: the region's, and the coefficients.
        num_regions: subspaces in the row.
        scale: ``"sqrt"`` for intensities and counts, at least 0.

    Returns:
        The Model. Its score is the mean squared error in y over the observed elements.

    Raises:
        ValueError: a size is too small, or an unknown scale.

    Example:
        >>> model = local_subspaces((6,), 3, num_regions=2)
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 6))))
        >>> model.encode(variables, jnp.ones((5, 6))).mean.shape
        (5, 3)

    Source: Kambhatla & Leen 1997, "Dimension reduction by local principal component analysis", for the regions.
    """
    if latent_dim < 2:
        raise ValueError(f"latent_dim: found {latent_dim}, expected at least 2: the region and one coefficient")
    if num_regions < 1:
        raise ValueError(f"num_regions: found {num_regions}, expected a positive whole number")
    if scale not in ("identity", "sqrt"):
        raise ValueError(f'scale: found {scale!r}, expected "identity" or "sqrt"')

    def transform(x: Array) -> Array:
        return jnp.sign(x) * jnp.sqrt(jnp.abs(x)) if scale == "sqrt" else x

    def init(key: Array, batch: Batch) -> Variables:
        complete(batch.x[:1], event_shape)
        drawn = jax.random.normal(key, (num_regions, math.prod(event_shape), latent_dim - 1), jnp.float32)
        basis = jnp.linalg.qr(drawn)[0].swapaxes(1, 2)
        return {"params": {"basis": basis.reshape(num_regions, latent_dim - 1, *event_shape)}}

    def flat_basis(variables: Variables) -> Array:
        basis = variables["params"]["basis"]
        return basis.reshape(*basis.shape[:2], -1)

    def encode_observed(variables: Variables, x: Array, seen: Array) -> Array:
        """(n, e) and what of it is observed -> (n, d)."""
        basis = flat_basis(variables)

        def one(row: tuple[Array, Array]) -> Array:
            x, seen = row
            y, masked = jnp.where(seen, transform(x), 0), jnp.where(seen[None, None, :], basis, 0)
            gram = masked @ masked.swapaxes(1, 2) + _RIDGE * jnp.eye(latent_dim - 1, dtype=y.dtype)[None]
            coefficients = jnp.linalg.solve(gram, (masked @ y)[..., None])[..., 0]
            error = jnp.sum(jnp.square(y[None, :] - jnp.einsum("kc,kce->ke", coefficients, masked)), axis=1)
            region = jnp.argmin(error)
            return jnp.concatenate([region[None].astype(y.dtype), coefficients[region]])

        return jax.lax.map(one, (x, seen), batch_size=_ROWS_AT_A_TIME)

    def flat(x: Array) -> tuple[Array, Array]:
        rows = complete(x, event_shape).reshape(x.shape[0], -1)
        return rows, ~jnp.isnan(jnp.asarray(x)).reshape(rows.shape)

    def encode(variables: Variables, x: Array, cond: Array | None = None) -> Latent:
        del cond
        return Latent(encode_observed(variables, *flat(x)))

    def output(variables: Variables, z: Array) -> Array:
        basis = flat_basis(variables)
        place = jnp.clip(z[:, :1], 0, num_regions - 1)
        hats = jnp.maximum(1 - jnp.abs(place - jnp.arange(num_regions)[None, :]), 0)
        # One product with all bases: gathering two of them for each row takes ten times as long.
        spread = (hats[:, :, None] * z[:, None, 1:]).reshape(z.shape[0], -1)
        return (spread @ basis.reshape(-1, basis.shape[-1])).reshape(z.shape[0], *event_shape)

    def decode(variables: Variables, z: Array, cond: Array | None = None) -> Array:
        del cond
        y = output(variables, z)
        return jnp.square(jnp.maximum(y, 0)) if scale == "sqrt" else y

    def residual(variables: Variables, batch: Batch) -> tuple[Array, Array, Array]:
        target = batch.x if batch.target is None else batch.target
        rows, seen = flat(batch.x)
        mask = losses.observed(batch)
        if mask is not None:
            seen &= jnp.broadcast_to(mask, batch.x.shape).reshape(seen.shape)
        z = encode_observed(variables, rows, seen)
        return jnp.square(transform(target) - output(variables, z)), target, decode(variables, z)

    def loss(
        key: Array, variables: Variables, batch: Batch, hparams: SubspacesHparams, train: bool = True
    ) -> tuple[Array, Aux]:
        del key, hparams, train
        error, target, reconstruction = residual(variables, batch)
        value = losses.mean_examples(losses.sum_elements(error, batch), batch)
        return value, Aux({"loss": value, "mse": losses.mse_elements(target, reconstruction, batch)}, {})

    def score(key: Array, variables: Variables, batch: Batch) -> Array:
        del key
        return losses.mean_elements(residual(variables, batch)[0], batch)

    return Model(init, loss, SubspacesHparams(), encode, decode, score)
