"""Autoencoders with a discrete code: a learned codebook (VQ), and a fixed grid (FSQ)."""

from collections.abc import Sequence
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from aejax import losses, nets
from aejax.base import Array, Aux, Batch, Latent, Model, PyTree, Variables
from aejax.kernels.options import options_of
from aejax.models.autoencoder import autoencoder
from aejax.models.coder import DenseOptions, check_latent_dim, coder, dense_networks, reconstruction_score
from aejax.models.gaps import filled_in_training
from aejax.models.registry import factory

# How many times what a code saves must another place save, for the code to move there: both are estimates.
_MARGIN = 4.0


class VqHparams(NamedTuple):
    """Hyperparameters of a vector-quantised autoencoder.

    Attributes:
        commitment: weight of the squared distance between the encoder's output and its code.
        ema_decay: of the moving averages that the codebook is made of, in [0, 1).
    """

    commitment: float | Array
    ema_decay: float | Array


@factory
@options_of(dense_networks)
def vq_autoencoder(
    event_shape: Sequence[int],
    latent_dim: int,
    *,
    num_codes: int = 64,
    num_groups: int = 1,
    commitment: float = 1.0,
    ema_decay: float = 0.99,
    likelihood: losses.Likelihood | None = None,
    **options: Unpack[DenseOptions],
) -> Model:
    """An autoencoder whose code is the nearest vector of a learned codebook (van den Oord, Vinyals & Kavukcuoglu 2017).

    The loss is -log p(x | e) + ``commitment`` |z - sg(e)|^2, where z is the encoder's output, e the nearest code and
    sg stops the gradient (eq. 3). The decoder's gradient passes from e straight to z. Codes have no gradient: each is a
    moving average of the z that chose it (appendix A.1), kept in the collection ``codebook`` beside the parameters.

    An average does not go far: a code that no row chooses is lost, and so is one of two that share a cluster while two
    other clusters share one. So each step of training tries the z of one row, drawn with a probability in proportion to
    the squared distance from its code (k-means++; Arthur & Vassilvitskii 2007). Where a code there saved more squared
    distance than the least useful code does, by a margin, that code moves there (as in LBG-U; Fritzke 1997). At first
    none is of use: one step for each code chooses the whole codebook. Rows of which nothing is observed move nothing.

    Args:
        event_shape: shape of one example, e.g. ``(15,)``.
        latent_dim: size of the code.
        num_codes: vectors in each codebook.
        num_groups: how many parts of equal size the code has, each with a codebook of its own: product quantisation,
            ``num_codes ** num_groups`` codes in all (Jegou, Douze & Schmid 2011).
        commitment: default weight of the commitment; a hyperparameter, so that a sweep over it compiles once. The paper
            takes 0.25 and finds 0.1 to 2 alike; where the likelihood learns how small the noise is, more is better.
        ema_decay: default decay of the codebook's moving averages; likewise. It is not that of ``fit``, which averages
            parameters.
        likelihood: p(x | z); a Gaussian with a learned scale for each element if None.
        options: as in ``dense_networks``.

    Returns:
        The Model. ``encode`` gives codes of the codebook. ``sample`` draws codes as often as training rows chose them;
        groups are drawn independently of each other, which they are not in the data. Conditions in the batch, if any,
        are appended to the input of encoder and decoder.

    Raises:
        ValueError: a dimension is not positive, groups of unequal size, a hyperparameter out of range, or an unknown
            activation.

    Example:
        >>> model = vq_autoencoder((15,), 4, num_codes=8)
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 15))))
        >>> codes = model.encode(variables, jax.random.normal(jax.random.key(1), (100, 15))).mean
        >>> len(jnp.unique(codes, axis=0)) <= 8
        True
    """
    if num_codes < 1:
        raise ValueError(f"num_codes: found {num_codes}, expected a positive whole number")
    if num_groups < 1 or latent_dim % num_groups:
        raise ValueError(f"num_groups: found {num_groups}, expected a divisor of latent_dim ({latent_dim})")
    if commitment < 0:
        raise ValueError(f"commitment: found {commitment}, expected a weight of at least 0")
    if not 0 <= ema_decay < 1:
        raise ValueError(f"ema_decay: found {ema_decay}, expected a number in [0, 1)")
    parts = coder(
        event_shape,
        latent_dim,
        code_size=latent_dim,
        likelihood=likelihood or losses.gaussian(),
        **options,
    )
    group_shape = (num_groups, latent_dim // num_groups)

    def init(key: Array, batch: Batch) -> Variables:
        parts_key, codes_key = jax.random.split(key)
        dtype = jnp.result_type(batch.x, jnp.float32)
        unused = jnp.zeros((num_groups, num_codes), dtype)
        codes = jax.random.normal(codes_key, (*unused.shape, group_shape[1]), dtype)
        return {**parts.init(parts_key, batch), "codebook": {"codes": codes, "rates": unused, "savings": unused}}

    def in_groups(z: Array) -> Array:
        return jnp.swapaxes(z.reshape(-1, *group_shape), 0, 1)

    def encode(variables: Variables, x: Array, cond: Array | None = None) -> Latent:
        codes = variables["codebook"]["codes"]
        return Latent(_look_up(codes, _nearest(codes, in_groups(parts.encode(variables, x, cond)[0]))))

    def loss(
        key: Array, variables: Variables, batch: Batch, hparams: VqHparams, train: bool = True
    ) -> tuple[Array, Aux]:
        encoder_key, decoder_key, move_key = jax.random.split(key, 3)
        batch = filled_in_training(encode, parts.mean, variables, batch)
        z, encoder_state = parts.encode(variables, batch.x, batch.cond, encoder_key, train)
        codebook, fixed = variables["codebook"], in_groups(jax.lax.stop_gradient(z))
        weight = _weight(batch).astype(z.dtype)
        if train:
            keys = jax.random.split(move_key, num_groups)
            codebook = jax.vmap(_moved, in_axes=(0, 0, 0, None))(keys, codebook, fixed, weight)
        chosen = _nearest(codebook["codes"], fixed)
        code = _look_up(codebook["codes"], chosen)
        # (g, n, k): the weight of each row, at the code that it chose.
        choices = jax.nn.one_hot(chosen, num_codes, dtype=z.dtype) * weight[None, :, None]
        if train:
            decay = jnp.where(weight.any(), hparams.ema_decay, 1)
            codebook = jax.vmap(_averaged, in_axes=(0, 0, 0, None))(codebook, choices, fixed, decay)
        output, decoder_state = parts.decode(variables, _straight_through(code, z), batch.cond, decoder_key, train)
        nll = losses.mean_examples(losses.sum_elements(parts.nll(variables, batch, output), batch), batch)
        distance = losses.mean_examples(jnp.sum(jnp.square(z - jax.lax.stop_gradient(code)), axis=1), batch)
        value = nll + hparams.commitment * distance
        rates = choices.sum(axis=1)
        entropy = -jnp.sum(rates * _log(rates), axis=1)
        metrics = {
            "loss": value,
            "nll": nll,
            "mse": parts.mse(batch, output),
            "commitment": distance,
            "perplexity": jnp.mean(jnp.exp(entropy)),
            "unused": jnp.mean(rates == 0),
        }
        collections = nets.join(encoder=encoder_state, decoder=decoder_state)
        return value, Aux(metrics, {**collections, "codebook": codebook})

    def sample(
        key: Array, variables: Variables, num_samples: int, cond: Array | None = None, z: Array | None = None
    ) -> Array:
        prior_key, noise_key = jax.random.split(key)
        if z is None:
            codes, rates = variables["codebook"]["codes"], variables["codebook"]["rates"]
            drawn = jax.random.categorical(prior_key, _log(rates)[:, None, :], shape=(num_groups, num_samples))
            z = _look_up(codes, drawn)
        return parts.sample(noise_key, variables, parts.decode(variables, z, cond)[0])

    score = reconstruction_score(parts, encode)
    return Model(init, loss, VqHparams(commitment, ema_decay), encode, parts.mean, score, sample)


@jax.vmap
def _nearest(codes: Array, z: Array) -> Array:
    """The numbers (g, n) of the codes (g, k, s) nearest to z (g, n, s)."""
    return jnp.argmin(_square_distances(codes, z), axis=1)


def _look_up(codes: Array, chosen: Array) -> Array:
    """(n, d) from codes (g, k, d / g) and their numbers (g, n)."""
    return jnp.concatenate([group[numbers] for group, numbers in zip(codes, chosen, strict=True)], axis=1)


def _square_distances(codes: Array, z: Array) -> Array:
    """(n, k) from (k, s) and (n, s); by differences, since what is left of a difference of products is rounding."""
    return jnp.sum(jnp.square(z[:, None, :] - codes[None, :, :]), axis=2)


def _moved(key: Array, codebook: Variables, z: Array, weight: Array) -> Variables:
    """Moves the least useful code of a group to one of z (n, s), if it saves more there."""
    distance = jnp.min(_square_distances(codebook["codes"], z), axis=1)
    drawn = jax.random.categorical(key, jnp.where(weight > 0, _log(distance), -jnp.inf))
    nearer = distance - jnp.sum(jnp.square(z - z[drawn][None, :]), axis=1)
    won = jnp.where(nearer > 0, weight, 0)
    # What the drawn row would save itself says nothing of other rows.
    saving = jnp.sum((won * nearer).at[drawn].set(0))
    weakest = jnp.argmin(codebook["savings"])
    moves = saving > _MARGIN * codebook["savings"][weakest]
    found = {"codes": z[drawn], "rates": won.sum(), "savings": saving}
    return {
        name: old.at[weakest].set(jnp.where(moves, found[name], old[weakest]).astype(old.dtype))
        for name, old in codebook.items()
    }


def _averaged(codebook: Variables, choices: Array, z: Array, decay: Array) -> Variables:
    """The moving averages of a group after a batch of z (n, s) whose weight (n, k) is at the codes that they chose."""
    codes, distance = codebook["codes"], _square_distances(codebook["codes"], z)
    # What a code saves is how much farther its rows have it to the second nearest.
    second = jnp.where(choices > 0, jnp.finfo(distance.dtype).max, distance).min(axis=1)
    now = {
        "rates": choices.sum(axis=0),
        "savings": jnp.sum(choices * (second[:, None] - distance), axis=0),
    }
    new = {name: decay * codebook[name] + (1 - decay) * value for name, value in now.items()}
    # The sums that appendix A.1 averages are rates times codes: there is no need to keep them too.
    change = jnp.matmul(choices.T, z, precision="highest") - now["rates"][:, None] * codes
    new["codes"] = codes + (1 - decay) * change / _positive(new["rates"])[:, None]
    return {name: new[name].astype(old.dtype) for name, old in codebook.items()}


def _weight(batch: Batch) -> Array:
    """(n,): equal parts of one for the rows of which something is observed, 0 for the others."""
    if batch.mask is None:
        return jnp.full(batch.x.shape[:1], 1 / batch.x.shape[0])
    seen = jnp.any(batch.mask, axis=tuple(range(1, batch.mask.ndim)))
    return seen / jnp.maximum(seen.sum(), 1)


def _positive(values: Array) -> Array:
    return jnp.maximum(values, jnp.finfo(values.dtype).tiny)


def _log(values: Array) -> Array:
    """The logarithm of numbers of at least 0, finite at 0."""
    return jnp.log(_positive(values))


@factory
@options_of(dense_networks)
def fsq_autoencoder(
    event_shape: Sequence[int],
    latent_dim: int,
    *,
    levels: int | Sequence[int] = 8,
    likelihood: losses.Likelihood | None = None,
    **options: Unpack[DenseOptions],
) -> Model:
    """An autoencoder whose code lies on a fixed grid: finite scalar quantisation (Mentzer et al. 2023).

    Each dimension of the encoder's output is bounded, (L - 1) / 2 tanh(z), and rounded to one of L levels; the gradient
    passes straight through the rounding (section 3.1). There is no codebook to learn, hence no code to lose and no term
    in the loss beside the reconstruction's.

    Levels lie one apart and symmetric about zero, which for an even number of them is half-way between whole numbers.
    The paper (appendix A.1) keeps whole numbers and moves the bound by a half: the same cells, about another origin.

    Args:
        event_shape: shape of one example, e.g. ``(15,)``.
        latent_dim: number of dimensions of the grid.
        levels: how many values each dimension takes, or one number for each; at least 2. The paper takes 5 to 8.
        likelihood: what the decoder's output means; the squared error if None.
        options: as in ``dense_networks``.

    Returns:
        The Model. ``encode`` gives points of the grid, scaled to [-1, 1]. It defines no distribution to draw from.
        Conditions in the batch, if any, are appended to the input of encoder and decoder.

    Raises:
        ValueError: a dimension is not positive, levels below 2 or not one for each dimension, or an unknown activation.

    Example:
        >>> model = fsq_autoencoder((15,), 2, levels=(3, 2))
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 15))))
        >>> codes = model.encode(variables, 9 * jax.random.normal(jax.random.key(1), (100, 15))).mean
        >>> [jnp.unique(values).tolist() for values in codes.T]
        [[-1.0, 0.0, 1.0], [-1.0, 1.0]]
    """
    check_latent_dim(latent_dim)
    per_dim = (levels,) * latent_dim if isinstance(levels, int) else tuple(levels)
    if len(per_dim) != latent_dim or any(number < 2 for number in per_dim):
        raise ValueError(f"levels: found {levels}, expected one number of at least 2, or one for each of {latent_dim}")
    likelihood = likelihood or losses.squared_error()
    encoder, decoder = dense_networks(event_shape, latent_dim, likelihood, **options)
    return autoencoder(
        event_shape, latent_dim, likelihood=likelihood, encoder=_on_grid(encoder, per_dim), decoder=decoder
    )


def _on_grid(network: nets.Network, levels: tuple[int, ...]) -> nets.Network:
    """The network with its output (n, d) rounded to so many levels in each dimension, -1 and 1 the outermost."""

    def apply(*args: PyTree, **options: PyTree) -> tuple[Array, Variables]:
        z, collections = network.apply(*args, **options)
        half_width = (jnp.asarray(levels, z.dtype)[None, :] - 1) / 2
        offset = half_width % 1
        bounded = half_width * jnp.tanh(z)
        grid = jnp.round(bounded - offset) + offset
        return _straight_through(grid, bounded) / half_width, collections

    return nets.Network(network.init, apply)


def _straight_through(value: Array, source: Array) -> Array:
    """The value exactly, with the gradient of its source."""
    return jax.lax.stop_gradient(value) + (source - jax.lax.stop_gradient(source))
