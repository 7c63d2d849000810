"""The variational autoencoder: beta, importance-weighted and conditional variants."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp

from aejax import losses, nets
from aejax.base import Array, Aux, Batch, Latent, Model, Variables
from aejax.kernels.options import options_of
from aejax.models.coder import DenseOptions, coder, conditional, dense_networks
from aejax.models.gaps import filled_in_training
from aejax.models.registry import factory


class VaeHparams(NamedTuple):
    """Hyperparameters of a VAE.

    Attributes:
        beta: weight of the KL term; 1 makes the loss the negative evidence lower bound.
    """

    beta: float | Array = 1.0


@factory
@options_of(dense_networks)
def vae(
    event_shape: Sequence[int],
    latent_dim: int,
    *,
    beta: float = 1.0,
    num_importance_samples: int = 1,
    likelihood: losses.Likelihood | None = None,
    shortcut: bool | None = None,
    **options: Unpack[DenseOptions],
) -> Model:
    """A variational autoencoder with a standard normal prior (Kingma & Welling 2014; Rezende et al. 2014).

    The loss is -E_q[log p(x | z)] + beta KL(q(z | x) || p(z)), with one draw of z by reparameterization
    (Kingma & Welling 2014, eq. 10); ``beta`` other than 1 gives the beta-VAE (Higgins et al. 2017, eq. 4). The source
    texts take the squared error in the place of log p(x | z), which fixes the noise at a scale of 0.7 standard
    deviations; here the scale is learned, one for each element, so that samples carry the noise of the data.

    The score is -log p(x | z) + KL at z = E_q[z], divided by the number of observed elements: the negative bound
    without the noise of a draw. ``log_likelihood`` is the importance-weighted bound (Burda et al. 2016, eq. 8).

    Args:
        event_shape: shape of one example, e.g. ``(15,)``.
        latent_dim: size of the code.
        beta: default weight of the KL term; a hyperparameter, so that a sweep over it compiles once.
        num_importance_samples: draws of z for each row and step. More than one makes the loss the importance-weighted
            bound with so many samples (Burda et al. 2016), with the weights' p(z) / q(z | x) to the power beta.
        likelihood: p(x | z); a Gaussian with a learned scale for each element if None.
        shortcut: whether encoder and decoder each have a linear map beside them, as in ``autoencoder``; they begin as
            probabilistic PCA.
        options: as in ``dense_networks``.

    Returns:
        The Model. Conditions in the batch, if any, are appended to the input of encoder and decoder, which makes it
        a conditional VAE (Sohn, Lee & Yan 2015).

    Raises:
        ValueError: a dimension or a number of samples is not positive, a negative beta, or an unknown activation.

    Example:
        >>> model = vae(event_shape=(15,), latent_dim=4)
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 15))))
        >>> model.sample(jax.random.key(1), variables, 3).shape
        (3, 15)
    """
    if beta < 0:
        raise ValueError(f"beta: found {beta}, expected a weight of at least 0")
    if num_importance_samples < 1:
        raise ValueError(f"num_importance_samples: found {num_importance_samples}, expected a positive whole number")
    parts = coder(
        event_shape,
        latent_dim,
        code_size=2 * latent_dim,
        likelihood=likelihood or losses.gaussian(),
        shortcut=shortcut,
        **options,
    )

    def posterior(output: Array) -> tuple[Array, Array]:
        return output[..., :latent_dim], output[..., latent_dim:]

    def encode(variables: Variables, x: Array, cond: Array | None = None) -> Latent:
        return Latent(*posterior(parts.encode(variables, x, cond)[0]))

    def loss(
        key: Array, variables: Variables, batch: Batch, hparams: VaeHparams, train: bool = True
    ) -> tuple[Array, Aux]:
        draw_key, encoder_key, decoder_key = jax.random.split(key, 3)
        batch = filled_in_training(encode, parts.mean, variables, batch)
        output, encoder_state = parts.encode(variables, batch.x, batch.cond, encoder_key, train)
        mean, log_var = posterior(output)
        kl = losses.mean_examples(losses.kl_standard_normal(mean, log_var), batch)
        draws = jax.tree.map(lambda field: jnp.repeat(field, num_importance_samples, axis=0), batch)
        mean, log_var = (jnp.repeat(part, num_importance_samples, axis=0) for part in (mean, log_var))
        noise = jax.random.normal(draw_key, mean.shape, mean.dtype)
        z = mean + jnp.exp(0.5 * log_var) * noise
        output, decoder_state = parts.decode(variables, z, draws.cond, decoder_key, train)
        nll = losses.sum_elements(parts.nll(variables, draws, output), draws)
        if num_importance_samples == 1:
            value = losses.mean_examples(nll, batch) + hparams.beta * kl
        else:
            log_weight = hparams.beta * _log_prior_ratio(z, noise, log_var) - nll
            log_weight = log_weight.reshape(-1, num_importance_samples)
            bound = jax.nn.logsumexp(log_weight, axis=1) - jnp.log(num_importance_samples)
            value = losses.mean_examples(-bound, batch)
        metrics = {"loss": value, "nll": losses.mean_examples(nll, draws), "kl": kl, "mse": parts.mse(draws, output)}
        return value, Aux(metrics, nets.join(encoder=encoder_state, decoder=decoder_state))

    def log_likelihood(key: Array, variables: Variables, batch: Batch, num_samples: int) -> Array:
        mean, log_var = posterior(parts.encode(variables, batch.x, batch.cond)[0])

        def log_weight(key: Array) -> Array:
            noise = jax.random.normal(key, mean.shape, mean.dtype)
            z = mean + jnp.exp(0.5 * log_var) * noise
            output, _ = parts.decode(variables, z, batch.cond)
            nll = losses.sum_elements(parts.nll(variables, batch, output), batch)
            return _log_prior_ratio(z, noise, log_var) - nll

        log_weights = jax.lax.map(log_weight, jax.random.split(key, num_samples))
        return jax.nn.logsumexp(log_weights, axis=0) - jnp.log(num_samples)

    def score(key: Array, variables: Variables, batch: Batch) -> Array:
        del key
        mean, log_var = posterior(parts.encode(variables, batch.x, batch.cond)[0])
        output, _ = parts.decode(variables, mean, batch.cond)
        nll = parts.nll(variables, batch, output)
        kl = losses.kl_standard_normal(mean, log_var)
        return losses.mean_elements(nll, batch) + kl / losses.sum_elements(jnp.ones_like(nll), batch)

    def sample(
        key: Array, variables: Variables, num_samples: int, cond: Array | None = None, z: Array | None = None
    ) -> Array:
        prior_key, noise_key = jax.random.split(key)
        z = jax.random.normal(prior_key, (num_samples, latent_dim), jnp.float32) if z is None else z
        return parts.sample(noise_key, variables, parts.decode(variables, z, cond)[0])

    return Model(parts.init, loss, VaeHparams(beta), encode, parts.mean, score, sample, log_likelihood)


def _log_prior_ratio(z: Array, noise: Array, log_var: Array) -> Array:
    """Log p(z) - log q(z | x) at z = mean + exp(log_var / 2) noise, summed over the code."""
    return 0.5 * jnp.sum(jnp.square(noise) + log_var - jnp.square(z), axis=-1)


@factory
@options_of(vae)
def conditional_vae(
    event_shape: Sequence[int], latent_dim: int, *, likelihood: losses.Likelihood | None = None, **options: Any
) -> Model:
    """A VAE that is given conditions, such as a temperature or a one-hot class (Sohn, Lee & Yan 2015).

    It is ``vae`` on batches with conditions, with two differences: without conditions it says so, and the noise's scale
    is predicted by the decoder, since in a process it depends on the conditions. The prior over codes does not.

    Args:
        event_shape: shape of one example.
        latent_dim: size of the code.
        likelihood: p(x | z, cond); a Gaussian with predicted scale if None.
        options: as in ``vae``.

    Returns:
        The Model.

    Raises:
        ValueError: as for ``vae``; ``init`` on a batch without conditions.

    Example:
        >>> model = conditional_vae((5,), 2)
        >>> batch = Batch(jnp.zeros((4, 5)), cond=jnp.ones((4, 1)))
        >>> variables = model.init(jax.random.key(0), batch)
        >>> model.sample(jax.random.key(1), variables, 4, batch.cond).shape
        (4, 5)
    """
    likelihood = likelihood or losses.gaussian("predicted")
    return conditional(vae(event_shape, latent_dim, likelihood=likelihood, **options))
