"""Generative adversarial networks: the original, Wasserstein with gradient penalty, and conditional ones."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from aejax import losses, nets
from aejax.base import Adversary, Array, Aux, Batch, Metrics, Variables
from aejax.kernels.options import options_of
from aejax.models.coder import check_latent_dim, complete, conditional
from aejax.models.registry import factory

# Rows of each kind in the distance that chooses the best epoch; it takes their square in memory.
_MOST_COMPARED = 1024


class GanHparams(NamedTuple):
    """Hyperparameters of a GAN.

    Attributes:
        real_label: what the discriminator is asked to say of data; below 1 for one-sided label smoothing (Salimans
            et al. 2016, section 3.4).
    """

    real_label: float | Array = 1.0


class WganGpHparams(NamedTuple):
    """Hyperparameters of a WGAN-GP.

    Attributes:
        gradient_penalty: its weight.
    """

    gradient_penalty: float | Array = 10.0


@factory
def gan(
    event_shape: Sequence[int],
    latent_dim: int,
    *,
    hidden_dims: Sequence[int] = (64, 64),
    activation: str = "relu",
    output_activation: str = "identity",
    dropout_rate: float = 0.3,
    batch_norm: bool = True,
    real_label: float = 1.0,
    num_discriminator_steps: int = 2,
) -> Adversary:
    """A generative adversarial network with the non-saturating loss (Goodfellow et al. 2014, section 3).

    The generator is a dense network with BatchNorm, the discriminator one with leaky ReLU and Dropout. The source
    text's generator ends in a tanh: ``output_activation="tanh"`` is for rows scaled to [-1, 1]; a linear output, the
    default, can give standardised rows.

    The best epoch is the one whose samples have the smallest energy distance to the validation rows: neither player's
    loss says how good the samples are. The score is the discriminator's logit, negated.

    Args:
        event_shape: shape of one example.
        latent_dim: size of the noise that the generator is fed.
        hidden_dims: widths of the hidden layers of both.
        activation: name of the generator's hidden activation.
        output_activation: name of the activation of its output.
        dropout_rate: of the discriminator.
        batch_norm: of the generator.
        real_label: default of the hyperparameter.
        num_discriminator_steps: the discriminator's steps before each of the generator's, on the same rows with new
            noise.

    Returns:
        The Adversary, which ``aejax.fit`` trains like a Model.

    Raises:
        ValueError: a dimension is not positive, or an unknown activation.

    Example:
        >>> adversary = gan(event_shape=(5,), latent_dim=8)
        >>> variables = adversary.init(jax.random.key(0), Batch(jnp.zeros((1, 5))))
        >>> adversary.sample(jax.random.key(1), variables, 3).shape
        (3, 5)
    """
    players = _players(event_shape, latent_dim, hidden_dims, activation, output_activation, dropout_rate, batch_norm)

    def generator_loss(key: Array, variables: Variables, batch: Batch, hparams: GanHparams) -> tuple[Array, Aux]:
        del hparams
        return players.fool(key, variables, batch, lambda logit: jax.nn.softplus(-logit))

    def discriminator_loss(key: Array, variables: Variables, batch: Batch, hparams: GanHparams) -> tuple[Array, Aux]:
        real, fake, _, _ = players.judge(key, variables, batch)
        on_real = jax.nn.softplus(real) - hparams.real_label * real
        value = losses.mean_examples(on_real + jax.nn.softplus(fake), batch)
        right = losses.mean_examples(0.5 * ((real > 0) + (fake < 0)).astype(jnp.float32), batch)
        return value, Aux({"discriminator_loss": value, "discriminator_accuracy": right}, _collections(variables))

    return _adversary(players, generator_loss, discriminator_loss, num_discriminator_steps, GanHparams(real_label))


@factory
def wgan_gp(
    event_shape: Sequence[int],
    latent_dim: int,
    *,
    hidden_dims: Sequence[int] = (64, 64),
    activation: str = "relu",
    output_activation: str = "identity",
    batch_norm: bool = False,
    gradient_penalty: float = 10.0,
    one_sided: bool = True,
    num_discriminator_steps: int = 5,
) -> Adversary:
    """A Wasserstein GAN with gradient penalty (Gulrajani et al. 2017, algorithm 1).

    The discriminator estimates the Wasserstein distance between data and samples, so its loss falls as samples get
    better; the penalty keeps the norm of its gradient at 1 or less between the two. Dropout and BatchNorm would break
    the penalty, which is on single rows, so the discriminator has neither.

    Algorithm 1 also penalises norms below 1. For a single variable that is a wall: a slope must pass through zero to
    change its sign, and a discriminator that begins with the wrong one keeps it (a standard normal variable, 60
    epochs: each of 3 keys missed it with a penalty on both sides, each of 5 found it with one). The authors name the
    one-sided penalty as an alternative in section 4; Petzka, Fischer & Lukovnicov (2018) argue for it.

    Args:
        event_shape: shape of one example.
        latent_dim: size of the noise that the generator is fed.
        hidden_dims: widths of the hidden layers of both.
        activation: name of the generator's hidden activation.
        output_activation: name of the activation of its output.
        batch_norm: of the generator.
        gradient_penalty: default of the hyperparameter.
        one_sided: whether only norms above 1 are penalised; False is algorithm 1 to the letter.
        num_discriminator_steps: as for ``gan``.

    Returns:
        The Adversary.

    Raises:
        ValueError: a dimension is not positive, or an unknown activation.

    Example:
        >>> wgan_gp(event_shape=(5,), latent_dim=8).num_discriminator_steps
        5
    """
    players = _players(event_shape, latent_dim, hidden_dims, activation, output_activation, 0.0, batch_norm)

    def generator_loss(key: Array, variables: Variables, batch: Batch, hparams: WganGpHparams) -> tuple[Array, Aux]:
        del hparams
        return players.fool(key, variables, batch, lambda value: -value)

    def discriminator_loss(key: Array, variables: Variables, batch: Batch, hparams: WganGpHparams) -> tuple[Array, Aux]:
        judge_key, between_key = jax.random.split(key)
        real, fake, x, generated = players.judge(judge_key, variables, batch)
        share = jax.random.uniform(between_key, (x.shape[0],) + (1,) * (x.ndim - 1), x.dtype)
        between = share * x + (1 - share) * generated

        def value_of(x: Array) -> Array:
            return players.discriminate(variables, x, batch.cond).sum()

        slope = jax.grad(value_of)(between).reshape(x.shape[0], -1)
        # Under the root something positive: the norm has no derivative at zero.
        excess = jnp.sqrt(jnp.sum(jnp.square(slope), axis=1) + 1e-12) - 1
        excess = jnp.maximum(excess, 0) if one_sided else excess
        distance = losses.mean_examples(real - fake, batch)
        value = hparams.gradient_penalty * losses.mean_examples(jnp.square(excess), batch) - distance
        return value, Aux({"discriminator_loss": value, "wasserstein_distance": distance}, _collections(variables))

    return _adversary(
        players, generator_loss, discriminator_loss, num_discriminator_steps, WganGpHparams(gradient_penalty)
    )


@factory
@options_of(gan)
def conditional_gan(event_shape: Sequence[int], latent_dim: int, **options: Any) -> Adversary:
    """A GAN both of whose players are given conditions (Mirza & Osindero 2014).

    It is ``gan`` on batches with conditions, and says so where there are none; ``wgan_gp`` takes conditions as well.

    Args:
        event_shape: shape of one example.
        latent_dim: size of the noise that the generator is fed.
        options: as in ``gan``.

    Returns:
        The Adversary.

    Raises:
        ValueError: as for ``gan``; ``init`` on a batch without conditions.

    Example:
        >>> adversary = conditional_gan((5,), 8)
        >>> batch = Batch(jnp.zeros((4, 5)), cond=jnp.ones((4, 1)))
        >>> variables = adversary.init(jax.random.key(0), batch)
        >>> adversary.sample(jax.random.key(1), variables, 4, batch.cond).shape
        (4, 5)
    """
    return conditional(gan(event_shape, latent_dim, **options))


class _Players(NamedTuple):
    """What all adversaries share.

    Attributes:
        init: (key, batch) -> variables.
        generate: (variables, z, cond=None) -> (n, *event), in inference mode.
        discriminate: (variables, x, cond=None) -> (n,), in inference mode.
        judge: (key, variables, batch) -> discriminator's output on data and on samples, and both of them.
        fool: (key, variables, batch, loss of one output) -> the generator's loss and Aux.
        sample: (key, variables, num_samples, cond=None, z=None) -> (n, *event).
        complete: (batch) -> (n, *event), its rows with zeros for what is missing.
    """

    init: Callable[..., Variables]
    generate: Callable[..., Array]
    discriminate: Callable[..., Array]
    judge: Callable[..., tuple[Array, Array, Array, Array]]
    fool: Callable[..., tuple[Array, Aux]]
    sample: Callable[..., Array]
    complete: Callable[[Batch], Array]


def _players(
    event_shape: Sequence[int],
    latent_dim: int,
    hidden_dims: Sequence[int],
    activation: str,
    output_activation: str,
    dropout_rate: float,
    batch_norm: bool,
) -> _Players:
    check_latent_dim(latent_dim)
    event_shape = tuple(event_shape)
    generator = nets.mlp(
        hidden_dims, event_shape, activation=activation, output_activation=output_activation, batch_norm=batch_norm
    )
    discriminator = nets.mlp(hidden_dims, (1,), activation="leaky_relu", dropout_rate=dropout_rate)

    def init(key: Array, batch: Batch) -> Variables:
        generator_key, discriminator_key = jax.random.split(key)
        cond = None if batch.cond is None else batch.cond[:1]
        return nets.join(
            generator=generator.init(generator_key, jnp.zeros((1, latent_dim), jnp.float32), cond),
            discriminator=discriminator.init(discriminator_key, complete(batch.x, event_shape)[:1], cond),
        )

    def generate(variables: Variables, z: Array, cond: Array | None = None) -> Array:
        return generator.apply(nets.select(variables, "generator"), z, cond)[0]

    def discriminate(variables: Variables, x: Array, cond: Array | None = None) -> Array:
        rows = complete(x, event_shape)
        return discriminator.apply(nets.select(variables, "discriminator"), rows, cond)[0][:, 0]

    def rows_of(batch: Batch) -> Array:
        return hide(batch, complete(batch.x, event_shape))

    def hide(batch: Batch, x: Array) -> Array:
        """Zeros in samples where the data have none to show: a gap must not tell one from the other."""
        mask = losses.observed(batch)
        return x if mask is None else jnp.where(mask, x, 0)

    def draw(key: Array, variables: Variables, batch: Batch) -> tuple[Array, Variables]:
        z = jax.random.normal(key, (batch.x.shape[0], latent_dim), batch.x.dtype)
        x, state = generator.apply(nets.select(variables, "generator"), z, batch.cond, train=True)
        return hide(batch, x), state

    def verdict(key: Array, variables: Variables, x: Array, cond: Array | None) -> Array:
        part = nets.select(variables, "discriminator")
        return discriminator.apply(part, x, cond, key=key, train=True)[0][:, 0]

    def judge(key: Array, variables: Variables, batch: Batch) -> tuple[Array, Array, Array, Array]:
        draw_key, real_key, fake_key = jax.random.split(key, 3)
        x = rows_of(batch)
        generated = jax.lax.stop_gradient(draw(draw_key, variables, batch)[0])
        real = verdict(real_key, variables, x, batch.cond)
        fake = verdict(fake_key, variables, generated, batch.cond)
        return real, fake, x, generated

    def fool(key: Array, variables: Variables, batch: Batch, loss: Callable[[Array], Array]) -> tuple[Array, Aux]:
        draw_key, verdict_key = jax.random.split(key)
        generated, state = draw(draw_key, variables, batch)
        value = losses.mean_examples(loss(verdict(verdict_key, variables, generated, batch.cond)), batch)
        collections = {name: {**parts, **state_of(state, name)} for name, parts in _collections(variables).items()}
        return value, Aux({"generator_loss": value}, collections)

    def state_of(state: Variables, name: str) -> Variables:
        return {"generator": state[name]} if name in state else {}

    def sample(
        key: Array, variables: Variables, num_samples: int, cond: Array | None = None, z: Array | None = None
    ) -> Array:
        z = jax.random.normal(key, (num_samples, latent_dim), jnp.float32) if z is None else z
        return generate(variables, z, cond)

    return _Players(init, generate, discriminate, judge, fool, sample, rows_of)


def _adversary(
    players: _Players,
    generator_loss: Callable[..., tuple[Array, Aux]],
    discriminator_loss: Callable[..., tuple[Array, Aux]],
    num_discriminator_steps: int,
    hparams: NamedTuple,
) -> Adversary:
    if num_discriminator_steps < 1:
        raise ValueError(f"num_discriminator_steps: found {num_discriminator_steps}, expected a positive whole number")

    def evaluate(key: Array, variables: Variables, batch: Batch, hparams: NamedTuple) -> Metrics:
        del hparams
        batch = jax.tree.map(lambda field: field[:_MOST_COMPARED], batch)
        x = players.complete(batch)
        drawn = players.sample(key, variables, x.shape[0], batch.cond)
        mask = losses.observed(batch)
        drawn = drawn if mask is None else jnp.where(mask, drawn, 0)
        flat = [rows.reshape(x.shape[0], -1) for rows in (x, drawn)]
        if batch.cond is not None:
            flat = [jnp.concatenate([rows, batch.cond], axis=1) for rows in flat]
        return {"loss": losses.energy_distance(*flat)}

    def score(key: Array, variables: Variables, batch: Batch) -> Array:
        del key
        verdict = -players.discriminate(variables, players.complete(batch), batch.cond)
        if batch.mask is None:
            return verdict
        seen = jnp.any(batch.mask, axis=tuple(range(1, batch.mask.ndim))) if batch.mask.ndim > 1 else batch.mask
        return jnp.where(seen, verdict, jnp.nan)

    return Adversary(
        init=players.init,
        generate=players.generate,
        discriminate=players.discriminate,
        generator_loss=generator_loss,
        discriminator_loss=discriminator_loss,
        evaluate=evaluate,
        score=score,
        sample=players.sample,
        num_discriminator_steps=num_discriminator_steps,
        hparams=hparams,
    )


def _collections(variables: Variables) -> Variables:
    return {name: parts for name, parts in variables.items() if name != "params"}
