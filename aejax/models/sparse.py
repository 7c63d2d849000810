"""The sparse autoencoder: a code of many units of which few are active."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Unpack

import jax
import jax.numpy as jnp

from aejax import losses, nets
from aejax.base import Array, Aux, Batch, Latent, Model, PyTree, Variables
from aejax.kernels.options import options_of
from aejax.models.coder import LayerOptions, coder, dense_networks, reconstruction_score
from aejax.models.gaps import filled_in_training
from aejax.models.registry import factory

# Width of the rectangle through which JumpReLU's threshold gets a gradient, in units of the code.
_BANDWIDTH = 0.1
_FIRST_THRESHOLD = 0.1


class SparseHparams(NamedTuple):
    """Hyperparameters of a sparse autoencoder.

    Attributes:
        sparsity: weight of the penalty; TopK has none.
        target_rate: the mean activity that the KL penalty asks of each unit, in (0, 1).
    """

    sparsity: float | Array
    target_rate: float | Array


class _Code(NamedTuple):
    """How pre-activations become a code, and what a code costs.

    Attributes:
        init: (latent_dim) -> parameters of its own.
        activate: (params, pre-activation) -> (n, d) code.
        penalty: (params of the model, pre-activation, code, batch, hparams) -> scalar.
    """

    init: Callable[[int], dict[str, Array]]
    activate: Callable[..., Array]
    penalty: Callable[..., Array]


@factory
@options_of(dense_networks)
def sparse_autoencoder(
    event_shape: Sequence[int],
    latent_dim: int,
    *,
    hidden_dims: Sequence[int] = (),
    penalty: Literal["kl", "l1", "topk", "jumprelu"] = "kl",
    sparsity: float = 1.0,
    target_rate: float = 0.05,
    num_active: int | None = None,
    encoder: nets.Network | None = None,
    decoder: nets.Network | None = None,
    **options: Unpack[LayerOptions],
) -> Model:
    """An autoencoder whose code, which may be wider than the event, is sparse.

    The loss is the squared error plus ``sparsity`` times a penalty on the code:

    - ``"kl"``: KL(target_rate || rate), summed over units, where a unit's rate is the mean of its sigmoid over the
      batch (Ng 2011). It lies in (0, 1) by construction. A source text takes the mean of a ReLU, which does not: its
      loss is NaN from the first batch in which one passes 1.
    - ``"l1"``: the ReLU's activity, times the norm of the decoder weights that read it, so that the penalty cannot be
      evaded by small codes and large weights.
    - ``"topk"``: the ``num_active`` largest ReLU activities are kept and all others are zero (Makhzani & Frey 2014; Gao
      et al. 2024); nothing is left to weigh.
    - ``"jumprelu"``: the number of units above a threshold of their own, which is learned through a rectangle of finite
      width (Rajamanoharan et al. 2024, eq. 9 to 12).

    Args:
        event_shape: shape of one example.
        latent_dim: number of units of the code.
        hidden_dims: widths of the encoder's hidden layers; with none the decoder is a dictionary of ``latent_dim``
            atoms (``dictionary``), and begins with the encoder as its transpose.
        penalty: as above.
        sparsity: default weight of the penalty; a hyperparameter, so that a sweep over it compiles once.
        target_rate: default rate of ``"kl"``; likewise.
        num_active: k of ``"topk"``; a tenth of the units, at least one, by default.
        encoder: a Network from the event to (latent_dim,) in place of the dense one.
        decoder: a Network from (latent_dim,) to the event in place of the dense one; not with ``"l1"``, which weighs
            the dense one's weights.
        options: as in ``dense_networks``.

    Returns:
        The Model.

    Raises:
        ValueError: an unknown penalty, one that does not go with the decoder, or a number out of range.

    Example:
        >>> model = sparse_autoencoder((10,), 32, penalty="topk", num_active=3)
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 10))))
        >>> code = model.encode(variables, jax.random.normal(jax.random.key(1), (5, 10))).mean
        >>> int((code > 0).sum(axis=1).max())
        3
    """
    num_active = max(1, latent_dim // 10) if num_active is None else num_active
    if not 1 <= num_active <= max(latent_dim, 1):
        raise ValueError(f"num_active: found {num_active}, expected 1 to latent_dim ({latent_dim})")
    if not 0 < target_rate < 1:
        raise ValueError(f"target_rate: found {target_rate}, expected a rate in (0, 1), such as 0.05")
    if sparsity < 0:
        raise ValueError(f"sparsity: found {sparsity}, expected a weight of at least 0")
    codes = {"kl": _kl, "l1": _l1, "topk": lambda: _topk(num_active), "jumprelu": _jumprelu}
    if penalty not in codes:
        raise ValueError(f"penalty: found {penalty!r}, expected one of {', '.join(codes)}")
    if penalty == "l1" and decoder is not None:
        raise ValueError('penalty: found "l1" with a decoder of one\'s own, expected "kl", "topk" or "jumprelu"')
    code = codes[penalty]()
    parts = coder(
        event_shape,
        latent_dim,
        code_size=latent_dim,
        hidden_dims=hidden_dims,
        likelihood=losses.squared_error(),
        encoder=encoder,
        decoder=decoder,
        **options,
    )

    def init(key: Array, batch: Batch) -> Variables:
        variables = parts.init(key, batch)
        params = dict(variables["params"])
        if not hidden_dims and encoder is None and decoder is None:
            params = _tied(params, latent_dim)
        if own := code.init(latent_dim):
            params["code"] = own
        return {**variables, "params": params}

    def activate(variables: Variables, pre: Array) -> Array:
        return code.activate(variables["params"].get("code", {}), pre)

    def encode(variables: Variables, x: Array, cond: Array | None = None) -> Latent:
        return Latent(activate(variables, parts.encode(variables, x, cond)[0]))

    def loss(
        key: Array, variables: Variables, batch: Batch, hparams: SparseHparams, train: bool = True
    ) -> tuple[Array, Aux]:
        encoder_key, decoder_key = jax.random.split(key)
        batch = filled_in_training(encode, parts.mean, variables, batch)
        pre, encoder_state = parts.encode(variables, batch.x, batch.cond, encoder_key, train)
        z = activate(variables, pre)
        output, decoder_state = parts.decode(variables, z, batch.cond, decoder_key, train)
        error = losses.mean_examples(losses.sum_elements(parts.nll(variables, batch, output), batch), batch)
        cost = code.penalty(variables["params"], pre, z, batch, hparams)
        value = error + hparams.sparsity * cost
        # In how many units a row is seen to be active: a sigmoid's above one half.
        threshold = 0.5 if penalty == "kl" else 0.0
        active = losses.mean_examples(jnp.sum(z > threshold, axis=1).astype(jnp.float32), batch)
        metrics = {"loss": value, "mse": parts.mse(batch, output), "penalty": cost, "num_active": active}
        return value, Aux(metrics, nets.join(encoder=encoder_state, decoder=decoder_state))

    score = reconstruction_score(parts, encode)
    return Model(init, loss, SparseHparams(sparsity, target_rate), encode, parts.mean, score)


def dictionary(variables: Variables) -> Array:
    """The atoms of a sparse autoencoder without hidden layers: the decoder's rows, scaled to unit length.

    Args:
        variables: of the model.

    Returns:
        (latent_dim, c).

    Raises:
        ValueError: a decoder with hidden layers.

    Example:
        >>> model = sparse_autoencoder((10,), 32)
        >>> dictionary(model.init(jax.random.key(0), Batch(jnp.zeros((1, 10))))).shape
        (32, 10)
    """
    layers = variables["params"]["decoder"]
    if set(layers) != {"layer_0"}:
        raise ValueError(f"variables: found a decoder of {len(layers)} layers, expected one; use hidden_dims=()")
    kernel = layers["layer_0"]["kernel"]
    return kernel / jnp.maximum(jnp.linalg.norm(kernel, axis=1, keepdims=True), 1e-12)


def _tied(params: PyTree, latent_dim: int) -> PyTree:
    """Atoms of unit length, and the encoder their transpose: each unit begins by reading what it writes."""
    kernel = params["encoder"]["layer_0"]["kernel"]
    num_inputs = params["decoder"]["layer_0"]["kernel"].shape[1]
    atoms = kernel[:num_inputs] / jnp.linalg.norm(kernel[:num_inputs], axis=0, keepdims=True)
    encoder = {**params["encoder"]["layer_0"], "kernel": kernel.at[:num_inputs].set(atoms)}
    old = params["decoder"]["layer_0"]
    decoder = {**old, "kernel": old["kernel"].at[:latent_dim].set(atoms.T)}
    return {**params, "encoder": {"layer_0": encoder}, "decoder": {"layer_0": decoder}}


def _kl() -> _Code:
    def penalty(params: PyTree, pre: Array, z: Array, batch: Batch, hparams: SparseHparams) -> Array:
        del params, pre
        rate = jax.vmap(lambda unit: losses.mean_examples(unit, batch), in_axes=1)(z)
        return jnp.sum(losses.kl_sparsity(rate, hparams.target_rate))

    return _Code(lambda size: {}, lambda params, pre: jax.nn.sigmoid(pre), penalty)  # noqa: ARG005


def _l1() -> _Code:
    def penalty(params: PyTree, pre: Array, z: Array, batch: Batch, hparams: SparseHparams) -> Array:
        del pre, hparams
        norms = jnp.linalg.norm(params["decoder"]["layer_0"]["kernel"][: z.shape[1]], axis=1)
        return losses.mean_examples(jnp.sum(z * norms[None, :], axis=1), batch)

    return _Code(lambda size: {}, lambda params, pre: jax.nn.relu(pre), penalty)  # noqa: ARG005


def _topk(num_active: int) -> _Code:
    def activate(params: dict[str, Array], pre: Array) -> Array:
        del params
        largest, units = jax.lax.top_k(pre, num_active)
        rows = jnp.arange(pre.shape[0])[:, None]
        return jnp.zeros_like(pre).at[rows, units].set(jax.nn.relu(largest))

    def penalty(params: PyTree, pre: Array, z: Array, batch: Batch, hparams: SparseHparams) -> Array:
        del params, pre, batch, hparams
        return jnp.zeros((), z.dtype)

    return _Code(lambda size: {}, activate, penalty)  # noqa: ARG005


def _jumprelu() -> _Code:
    def init(size: int) -> dict[str, Array]:
        return {"log_threshold": jnp.full((size,), jnp.log(_FIRST_THRESHOLD), jnp.float32)}

    def activate(params: dict[str, Array], pre: Array) -> Array:
        threshold = jnp.exp(params["log_threshold"])[None, :]
        return jax.nn.relu(pre) * _step(pre, threshold)

    def penalty(params: PyTree, pre: Array, z: Array, batch: Batch, hparams: SparseHparams) -> Array:
        del z, hparams
        active = _step(jax.lax.stop_gradient(pre), jnp.exp(params["code"]["log_threshold"])[None, :])
        return losses.mean_examples(jnp.sum(active, axis=1), batch)

    return _Code(init, activate, penalty)


@jax.custom_jvp
def _step(pre: Array, threshold: Array) -> Array:
    """1 where pre is above its threshold; the threshold's derivative is that of a ramp of finite width."""
    return (pre > threshold).astype(pre.dtype)


@_step.defjvp
def _step_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (pre, threshold), (_, change) = primals, tangents
    near = (jnp.abs(pre - threshold) < _BANDWIDTH / 2) / _BANDWIDTH
    return _step(pre, threshold), -near * change
