"""The deterministic autoencoder."""

from collections.abc import Sequence
from typing import NamedTuple, Unpack

import jax

from aejax import losses, nets
from aejax.base import Array, Aux, Batch, Latent, Model, Variables
from aejax.kernels.options import options_of
from aejax.models.coder import DenseOptions, coder, dense_networks, reconstruction_score
from aejax.models.gaps import filled_in_training
from aejax.models.registry import factory


class AutoencoderHparams(NamedTuple):
    """A plain autoencoder has no hyperparameter that can be traced."""


class AutoencoderOptions(DenseOptions, total=False):
    """The options of ``autoencoder``, for type checkers."""

    likelihood: losses.Likelihood | None
    shortcut: bool | None


@factory
@options_of(dense_networks)
def autoencoder(
    event_shape: Sequence[int],
    latent_dim: int,
    *,
    likelihood: losses.Likelihood | None = None,
    shortcut: bool | None = None,
    **options: Unpack[DenseOptions],
) -> Model:
    """An autoencoder: x -> z -> x, trained on the squared error (Rumelhart, Hinton & Williams 1986).

    The loss is the squared error summed over the event and averaged over examples, so that neither batch size nor
    missing rows change its scale; the metric ``mse`` is per element. The score is the mean squared error over the
    observed elements. The output is linear: a sigmoid, as some texts use, cannot fit standardised data.
    Without hidden layers the optimum is the principal subspace (Baldi & Hornik 1989).

    Args:
        event_shape: shape of one example, e.g. ``(15,)``.
        latent_dim: size of the code.
        likelihood: what the decoder's output means; the squared error if None.
        shortcut: whether encoder and decoder each have a linear map beside them, whose sum with the network begins as
            the map alone: the principal components of the training rows, or of some thousand of them. So what the
            rows cannot teach the network costs little (docs/defaults.md). By default dense networks with hidden layers
            have it where the likelihood is one of standardised values; with others the maps begin as cosines.
        options: as in ``dense_networks``.

    Returns:
        The Model. Conditions in the batch, if any, are appended to the input of encoder and decoder.

    Raises:
        ValueError: a dimension is not positive, or an unknown activation.

    Example:
        >>> import jax.numpy as jnp
        >>> model = autoencoder(event_shape=(10,), latent_dim=2)
        >>> variables = model.init(jax.random.key(0), Batch(jnp.zeros((1, 10))))
        >>> model.encode(variables, jnp.zeros((5, 10))).mean.shape
        (5, 2)
    """
    parts = coder(
        event_shape,
        latent_dim,
        code_size=latent_dim,
        likelihood=likelihood or losses.squared_error(),
        shortcut=shortcut,
        **options,
    )

    def encode(variables: Variables, x: Array, cond: Array | None = None) -> Latent:
        return Latent(parts.encode(variables, x, cond)[0])

    def loss(
        key: Array, variables: Variables, batch: Batch, hparams: AutoencoderHparams, train: bool = True
    ) -> tuple[Array, Aux]:
        del hparams
        encoder_key, decoder_key = jax.random.split(key)
        batch = filled_in_training(encode, parts.mean, variables, batch)
        z, encoder_state = parts.encode(variables, batch.x, batch.cond, encoder_key, train)
        output, decoder_state = parts.decode(variables, z, batch.cond, decoder_key, train)
        nll = parts.nll(variables, batch, output)
        value = losses.mean_examples(losses.sum_elements(nll, batch), batch)
        metrics = {"loss": value, "mse": parts.mse(batch, output)}
        return value, Aux(metrics, nets.join(encoder=encoder_state, decoder=decoder_state))

    score = reconstruction_score(parts, encode)
    return Model(parts.init, loss, AutoencoderHparams(), encode, parts.mean, score)
