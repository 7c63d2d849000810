"""The parts that every autoencoder is made of: an encoder, a decoder and a likelihood over one set of variables."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypedDict, TypeVar, Unpack

import jax
import jax.numpy as jnp

from aejax import losses, nets
from aejax.base import Adversary, Array, Batch, Encode, Model, Score, Variables
from aejax.models.principal import begun

Conditional = TypeVar("Conditional", Model, Adversary)


# Of dense networks where none are asked for.
HIDDEN_DIMS = (64, 32)


class Coder(NamedTuple):
    """Pure functions of the joint variables, from which a model composes its loss and score.

    Attributes:
        init: (key, batch) -> variables with the parts ``encoder``, ``decoder`` and ``likelihood``.
        encode: (variables, x, cond=None, key=None, train=False) -> (code, encoder's collections).
        decode: (variables, z, cond=None, key=None, train=False) -> (output, decoder's collections).
        mean: (variables, z, cond=None) -> (n, *event), the mean of p(x | z) in inference mode.
        nll: (variables, batch, output) -> (n, *event), negative log-likelihood of the target's elements.
        mse: (batch, output) -> mean squared error per observed element of the target.
        sample: (key, variables, output) -> (n, *event), a draw of p(x | z).
    """

    init: Callable[..., Variables]
    encode: Callable[..., tuple[Array, Variables]]
    decode: Callable[..., tuple[Array, Variables]]
    mean: Callable[..., Array]
    nll: Callable[..., Array]
    mse: Callable[..., Array]
    sample: Callable[..., Array]


class LayerOptions(TypedDict, total=False):
    """Options of hidden layers, for type checkers."""

    activation: str
    dropout_rate: float
    batch_norm: bool
    precision: nets.Precision
    remat: bool


class DenseOptions(LayerOptions, total=False):
    """The options of ``dense_networks``, for type checkers."""

    hidden_dims: Sequence[int]
    encoder: nets.Network | None
    decoder: nets.Network | None


def dense_networks(
    event_shape: Sequence[int],
    code_size: int,
    likelihood: losses.Likelihood,
    *,
    hidden_dims: Sequence[int] = HIDDEN_DIMS,
    activation: str = "silu",
    dropout_rate: float = 0.0,
    batch_norm: bool = False,
    precision: nets.Precision = "float32",
    remat: bool = False,
    encoder: nets.Network | None = None,
    decoder: nets.Network | None = None,
) -> tuple[nets.Network, nets.Network]:
    """An encoder and a decoder: dense ones that mirror each other, unless others are given.

    Args:
        event_shape: shape of one example.
        code_size: size of the encoder's output.
        likelihood: p(x | output of the decoder).
        hidden_dims: widths of the encoder's hidden layers; the decoder mirrors them.
        activation: name of the hidden activation, one of ``aejax.nets.ACTIVATIONS``; docs/defaults.md has others beside
            it.
        dropout_rate: share of hidden units silenced in training.
        batch_norm: whether hidden layers are normalised.
        precision: ``"bfloat16"`` has the layers compute in it, which is faster on accelerators; parameters and losses
            stay float32.
        remat: whether hidden layers are computed again in the backward pass in place of being kept, see
            ``aejax.nets.recomputed``: less memory, a third more arithmetic.
        encoder: a Network from the event to the code (a VAE's: mean and log-variance) in place of the dense one.
        decoder: a Network from the code to the event in place of the dense one.

    Returns:
        Encoder and decoder.

    Raises:
        ValueError: a size is not positive, an unknown activation, or what is no Network in place of one.
    """
    if not event_shape:
        raise ValueError("event_shape: found (), expected at least one dimension, e.g. (15,)")
    for name, network in (("encoder", encoder), ("decoder", decoder)):
        _check_network(name, network)

    def dense(widths: Sequence[int], output_shape: Sequence[int]) -> nets.Network:
        return nets.mlp(widths, output_shape, activation=activation, dropout_rate=dropout_rate, batch_norm=batch_norm)

    def computed(network: nets.Network) -> nets.Network:
        return nets.recomputed(nets.computed_in(network, precision), remat)

    return (
        computed(encoder or dense(hidden_dims, (code_size,))),
        computed(decoder or dense(tuple(hidden_dims)[::-1], output_shape(event_shape, likelihood))),
    )


def coder(
    event_shape: Sequence[int],
    latent_dim: int,
    *,
    code_size: int,
    likelihood: losses.Likelihood,
    shortcut: bool | None = False,
    **options: Unpack[DenseOptions],
) -> Coder:
    """Puts encoder, decoder and likelihood together.

    Args:
        event_shape: shape of one example.
        latent_dim: size of the decoder's input.
        code_size: size of the encoder's output (a Gaussian posterior has two numbers a dimension).
        likelihood: p(x | output).
        shortcut: whether each has a linear map beside it, ``nets.with_shortcut``, which begins as the principal
            components of the first rows where the likelihood is one of standardised values; None for such
            likelihoods and dense networks with hidden layers.
        options: as in ``dense_networks``.

    Returns:
        The Coder.

    Raises:
        ValueError: a size that is not a positive whole number, or an encoder or decoder that is no Network.
    """
    check_latent_dim(latent_dim)
    encoder, decoder = dense_networks(event_shape, code_size, likelihood, **options)
    event_shape = tuple(event_shape)
    code_shape, decoded_shape = (code_size,), output_shape(event_shape, likelihood)
    begins_linear = likelihood.scaling == "standardised"
    if shortcut is None:
        is_dense = options.get("encoder") is None and options.get("decoder") is None
        shortcut = begins_linear and is_dense and len(options.get("hidden_dims", HIDDEN_DIMS)) > 0
    if shortcut:
        encoder = nets.with_shortcut(encoder, code_shape)
        decoder = nets.with_shortcut(decoder, decoded_shape)
    code_kind = f", mean and log-variance of {latent_dim} dimensions" if code_size == 2 * latent_dim else ""
    decoded_kind = f", {likelihood.num_outputs} numbers for each element" if likelihood.num_outputs > 1 else ""

    def init(key: Array, batch: Batch) -> Variables:
        encoder_key, decoder_key = jax.random.split(key)
        cond = None if batch.cond is None else batch.cond[:1]
        params = likelihood.init(event_shape)
        x = complete(batch.x, event_shape)
        variables = nets.join(
            encoder=encoder.init(encoder_key, x[:1], cond),
            decoder=decoder.init(decoder_key, jnp.zeros((1, latent_dim), jnp.float32), cond),
            likelihood={"params": params} if params else {},
        )
        if not (shortcut and begins_linear):
            return variables
        rows = batch._replace(x=x if batch.target is None else complete(batch.target, event_shape))
        return {**variables, "params": begun(variables["params"], rows, latent_dim, code_size == 2 * latent_dim)}

    def encode(
        variables: Variables,
        x: Array,
        cond: Array | None = None,
        key: Array | None = None,
        train: bool = False,
    ) -> tuple[Array, Variables]:
        rows = complete(x, event_shape)
        code, state = encoder.apply(nets.select(variables, "encoder"), rows, cond, key=key, train=train)
        _check_output("encoder", code, (rows.shape[0], *code_shape), code_kind)
        return code, state

    def decode(
        variables: Variables,
        z: Array,
        cond: Array | None = None,
        key: Array | None = None,
        train: bool = False,
    ) -> tuple[Array, Variables]:
        output, state = decoder.apply(nets.select(variables, "decoder"), z, cond, key=key, train=train)
        _check_output("decoder", output, (z.shape[0], *decoded_shape), decoded_kind)
        return output, state

    def likelihood_params(variables: Variables) -> Variables:
        return nets.select(variables, "likelihood").get("params", {})

    def mean(variables: Variables, z: Array, cond: Array | None = None) -> Array:
        return likelihood.mean(decode(variables, z, cond)[0])

    def nll(variables: Variables, batch: Batch, output: Array) -> Array:
        return likelihood.nll(likelihood_params(variables), _target(batch), output)

    def mse(batch: Batch, output: Array) -> Array:
        return losses.mse_elements(_target(batch), likelihood.mean(output), batch)

    def sample(key: Array, variables: Variables, output: Array) -> Array:
        return likelihood.sample(key, likelihood_params(variables), output)

    return Coder(init, encode, decode, mean, nll, mse, sample)


def reconstruction_score(parts: Coder, encode: Encode) -> Score:
    """The score of a model without a prior: the mean negative log-likelihood of the observed elements."""

    def score(key: Array, variables: Variables, batch: Batch) -> Array:
        del key
        output, _ = parts.decode(variables, encode(variables, batch.x, batch.cond).mean, batch.cond)
        return losses.mean_elements(parts.nll(variables, batch, output), batch)

    return score


def check_latent_dim(latent_dim: int) -> None:
    """Refuses a code without dimensions.

    Example:
        >>> check_latent_dim(0)
        Traceback (most recent call last):
        ValueError: latent_dim: found 0, expected a positive whole number
    """
    if latent_dim < 1:
        raise ValueError(f"latent_dim: found {latent_dim}, expected a positive whole number")


def conditional(model: Conditional) -> Conditional:
    """A Model or Adversary that refuses to begin without conditions.

    Example:
        >>> from aejax.models.autoencoder import autoencoder
        >>> conditional(autoencoder((5,), 2)).init(jax.random.key(0), Batch(jnp.zeros((1, 5))))
        Traceback (most recent call last):
        ValueError: cond: found None, expected (n, c) conditions for this conditional model; ...
    """

    def init(key: Array, batch: Batch) -> Variables:
        if batch.cond is None:
            raise ValueError(
                "cond: found None, expected (n, c) conditions for this conditional model; give Batch(x, cond=...), or "
                "--condition-columns on the command line"
            )
        return model.init(key, batch)

    return model._replace(init=init)


def output_shape(event_shape: Sequence[int], likelihood: losses.Likelihood) -> tuple[int, ...]:
    """The event shape of a decoder's output.

    Example:
        >>> output_shape((5,), losses.gaussian("predicted"))
        (5, 2)
    """
    return (*event_shape, likelihood.num_outputs) if likelihood.num_outputs > 1 else tuple(event_shape)


def complete(x: Array, event_shape: Sequence[int]) -> Array:
    """Checks the shape of rows and puts zero, the mean of standardised data, where a value is missing.

    Args:
        x: (n, *event), NaN where missing.
        event_shape: the expected event.

    Returns:
        (n, *event) without NaN.

    Raises:
        ValueError: another shape.

    Example:
        >>> complete(jnp.array([[1.0, jnp.nan]]), (2,))
        Array([[1., 0.]], dtype=float32)
    """
    x = jnp.asarray(x)
    if x.shape[1:] != tuple(event_shape):
        expected = ", ".join(["n", *map(str, event_shape)])
        raise ValueError(f"x: found shape {x.shape}, expected ({expected}) from event_shape")
    return jnp.where(jnp.isnan(x), 0, x)


def _check_network(name: str, network: object) -> None:
    if network is None or isinstance(network, nets.Network):
        return
    kind = getattr(network, "__name__", type(network).__name__)
    raise ValueError(
        f"{name}: found {kind}, expected a Network; give aejax.nets.as_network(module) in place of a module"
    )


def _check_output(name: str, output: Array, expected: tuple[int, ...], kind: str) -> None:
    """A wrong size would often broadcast, or be cut, without an error."""
    if output.shape != expected:
        raise ValueError(f"{name}: found an output of shape {output.shape}, expected {expected}{kind}")


def _target(batch: Batch) -> Array:
    return batch.x if batch.target is None else batch.target
