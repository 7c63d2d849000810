"""Greedy layer-by-layer pretraining of a deep autoencoder by restricted Boltzmann machines."""

import functools

import jax
import jax.numpy as jnp

from aejax.base import Array, Batch, Model, PyTree, Variables
from aejax.data.batches import RowsLike, as_batch
from aejax.kernels.recipes import origin
from aejax.models.deep import unroll
from aejax.models.rbm import RBM, Units, rbm
from aejax.training.algorithms import contrastive_divergence
from aejax.training.driver import DivergenceError
from aejax.training.fitting import fit


def pretrain(
    key: Array,
    model: Model,
    x: RowsLike,
    *,
    visible: Units = "gaussian",
    num_epochs: int = 20,
    batch_size: int = 100,
    learning_rate: float = 0.01,
    gaussian_learning_rate: float = 1e-3,
    num_gibbs_steps: int = 1,
    num_chains: int | None = None,
) -> Variables:
    """Variables to begin from: a stack of Boltzmann machines, each trained on the hidden units of the one before.

    Hinton & Salakhutdinov (2006): hidden layers are Bernoulli units, the code is Gaussian; then the stack is unrolled
    into encoder and decoder, for ``fit(..., variables=...)`` to fine-tune.

    Args:
        key: PRNG key.
        model: a dense autoencoder with logistic hidden units and a linear code:
            ``aejax.models.deep_autoencoder(..., activation="sigmoid")``.
        x: (n, *event) training rows; in [0, 1] for Bernoulli units, standardised for Gaussian ones. A missing value
            enters as zero, as it does in the encoder.
        visible: kind of the units of the data.
        num_epochs: passes over the rows for each layer.
        batch_size: rows a step.
        learning_rate: of the machines between Bernoulli units, with a momentum of 0.9.
        gaussian_learning_rate: of the machines with a Gaussian side, which diverge at larger rates.
        num_gibbs_steps: k of CD-k.
        num_chains: if given, persistent contrastive divergence with so many chains.

    Returns:
        The variables.

    Raises:
        ValueError: a model with other layers or another activation, or rows out of range.
        RuntimeError: a machine diverged; the message names its layer and rate.

    Example:
        >>> from aejax.models import deep_autoencoder
        >>> x = jax.random.normal(jax.random.key(0), (50, 6))
        >>> model = deep_autoencoder((6,), 2, hidden_dims=(4,), activation="sigmoid")
        >>> start = pretrain(jax.random.key(1), model, x, num_epochs=1)
        >>> fitted = fit(jax.random.key(2), model, x, variables=start, num_epochs=1)
    """
    rows = as_batch(x).x
    if visible == "bernoulli" and not bool(jnp.all((rows >= 0) & (rows <= 1))):
        raise ValueError(
            f"x: found values from {float(rows.min()):g} to {float(rows.max()):g}, expected [0, 1] for Bernoulli "
            'units; scale them, or take visible="gaussian" on standardised rows'
        )
    template = model.init(key, Batch(rows[:1]))
    encoder = template["params"].get("encoder", {})
    layers = [encoder[name] for name in sorted(encoder, key=lambda name: (len(name), name))]  # layer_10 after layer_9
    if not layers or any("kernel" not in layer or layer["kernel"].ndim != 2 for layer in layers):
        raise ValueError("model: found an encoder that is not dense, expected aejax.models.deep_autoencoder")
    made = origin(model)
    activation = "sigmoid" if made is None else made.kwargs.get("activation", "sigmoid")
    if activation != "sigmoid":
        raise ValueError(
            f"model: found the activation {activation!r}, expected 'sigmoid', as the units of Boltzmann machines are "
            "logistic; give deep_autoencoder(..., activation='sigmoid')"
        )
    sizes = [layer["kernel"].shape for layer in layers]
    v = rows.reshape(rows.shape[0], -1)
    stack = []
    for index, (num_visible, num_hidden) in enumerate(sizes):
        is_first, is_last = index == 0, index == len(sizes) - 1
        below: Units = visible if is_first else "bernoulli"
        above: Units = "gaussian" if is_last else "bernoulli"
        machine = rbm(num_visible, num_hidden, visible=below, hidden=above)
        algorithm = contrastive_divergence(machine, num_gibbs_steps, num_chains)
        rate = gaussian_learning_rate if "gaussian" in (below, above) else learning_rate
        try:
            fitted = fit(
                jax.random.fold_in(key, index),
                algorithm,
                v,
                validation=0,
                num_epochs=num_epochs,
                batch_size=batch_size,
                hparams=algorithm.hparams._replace(learning_rate=rate),
            )
        except DivergenceError as error:
            name = "gaussian_learning_rate" if "gaussian" in (below, above) else "learning_rate"
            raise RuntimeError(
                f"the Boltzmann machine of layer {index} diverged in epoch {error.epoch}; lower {name} (found {rate:g})"
            ) from error
        params = fitted.variables["params"]
        stack.append(params)
        v = _hidden(machine, params, v)
    return unroll(stack, template)


@functools.partial(jax.jit, static_argnames="machine")
def _hidden(machine: RBM, params: PyTree, v: Array) -> Array:
    return machine.hidden_mean(params, v)
