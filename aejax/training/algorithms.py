"""How variables move: a model and an optimizer make an Algorithm, which the engine runs."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from aejax.base import (
    Adversary,
    Algorithm,
    Array,
    Aux,
    Batch,
    Metrics,
    Model,
    Objective,
    PlayerLoss,
    PyTree,
    TrainState,
    Variables,
)
from aejax.kernels import hoisting
from aejax.kernels.recipes import remembered
from aejax.models.rbm import RBM
from aejax.training.optimizers import (
    Anneal,
    Optimizer,
    advance,
    averages,
    momentum,
    takes_rate,
    to_evaluate,
    transformation,
)

# Elements below which a tensor's reduction costs more to start than to run.
_SMALL = 65536


class MinimiseHparams(NamedTuple):
    """Hyperparameters of ``minimise``, all of them traced.

    Attributes:
        learning_rate: the optimizer's; None where it has its own.
        model: the model's.
    """

    learning_rate: float | Array | None
    model: PyTree


@remembered
def minimise(
    model: Objective | Model,
    optimizer: Optimizer = optax.adam,
    ema_decay: float | None = None,
    anneal: Anneal | None = None,
) -> Algorithm:
    """Gradient descent on the model's loss.

    Args:
        model: the Model, or any Objective.
        optimizer: any Optax transformation. As a function of the learning rate, such as ``optax.adam`` itself or
            ``adam(...)``, it is built inside the traced step, so that learning rates can be swept without compiling
            again. Built, such as ``optax.lbfgs()``, it has its own rate. One that needs the loss, its gradient or a
            function for its line search (``optax.polyak_sgd``, ``optax.contrib.reduce_on_plateau``) is given those of
            the batch; with ``optax.contrib.schedule_free`` its average is evaluated and returned.
        ema_decay: if given, the moving average of the parameters with this decay is what is evaluated and
            returned (Polyak & Juditsky 1992); early on it forgets faster: the decay is at most (1 + t) / (10 + t).
        anneal: (step, the model's hyperparameters) -> those of that step, such as ``warm_up("beta", 1000)``.
            Validation is with the hyperparameters themselves.

    Returns:
        The Algorithm. Its metrics are the model's, ``loss``, which is the scalar that the model's loss returns whatever
        its metrics say, and ``grad_norm``, the global norm before clipping.

    Raises:
        ValueError: ``ema_decay`` is not in [0, 1), or is given beside ``schedule_free``; no optimizer; a learning rate
            beside one that has its own.

    Example:
        >>> from aejax.models import autoencoder
        >>> algorithm = minimise(autoencoder((5,), 2), optax.adam(1e-3))
        >>> batch = Batch(jnp.ones((20, 5)))
        >>> state = algorithm.init(jax.random.key(0), batch, algorithm.hparams)
        >>> state, metrics = jax.jit(algorithm.step)(state, batch, algorithm.hparams)
        >>> sorted(metrics)
        ['grad_norm', 'loss', 'mse']
    """
    _check_decay(ema_decay)

    def init(key: Array, batch: Batch, hparams: MinimiseHparams, variables: Variables | None = None) -> TrainState:
        init_key, run_key = jax.random.split(key)
        variables = model.init(init_key, batch) if variables is None else variables
        params = variables["params"]
        average = None if ema_decay is None else params
        opt_state = transformation(optimizer, hparams.learning_rate).init(params)
        _check_averages(ema_decay, opt_state)
        return TrainState(jnp.zeros((), jnp.int32), variables, (opt_state, average), run_key)

    def step(state: TrainState, batch: Batch, hparams: MinimiseHparams) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        params = state.variables["params"]

        def loss(params: PyTree) -> tuple[Array, Aux]:
            return model.loss(key, {**state.variables, "params": params}, batch, model_hparams)

        model_hparams = hparams.model if anneal is None else anneal(state.step, hparams.model)
        (value, aux), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        opt_state, average = state.opt_state
        params, opt_state = advance(
            optimizer, hparams.learning_rate, lambda params: loss(params)[0], value, gradient, opt_state, params
        )
        if ema_decay is not None:
            average = _averaged(average, params, ema_decay, state.step)
        metrics = {**aux.metrics, "loss": value, "grad_norm": _norm(gradient)}
        variables = {**aux.collections, "params": params}
        return TrainState(state.step + 1, variables, (opt_state, average), state.key), metrics

    def evaluate(key: Array, variables: Variables, batch: Batch, hparams: MinimiseHparams) -> Metrics:
        value, aux = model.loss(key, variables, batch, hparams.model, train=False)
        return {**aux.metrics, "loss": value}

    def variables(state: TrainState) -> Variables:
        opt_state, average = state.opt_state
        params = to_evaluate(opt_state, state.variables["params"]) if average is None else average
        return {**state.variables, "params": params}

    return Algorithm(init, step, evaluate, variables, MinimiseHparams(_default(optimizer, 1e-3), model.hparams))


class AdversarialHparams(NamedTuple):
    """Hyperparameters of ``adversarial``, all of them traced.

    Attributes:
        learning_rate: of both players; None where their optimizer has its own.
        model: the adversary's.
    """

    learning_rate: float | Array | None
    model: PyTree


@remembered
def adversarial(adversary: Adversary, optimizer: Optimizer = optax.adam, ema_decay: float | None = None) -> Algorithm:
    """Two players in turn: some steps of the discriminator, then one of the generator (Goodfellow et al. 2014).

    Args:
        adversary: the Adversary.
        optimizer: of each player for itself, as in ``minimise``. Its schedule, if it has one, counts rounds.
        ema_decay: if given, the moving average of the generator's parameters and running statistics is what is
            evaluated and returned (Yazici et al. 2019): the generator circles its optimum, the average lies inside.

    Returns:
        The Algorithm. Its ``loss`` in training is the generator's, in validation the energy distance.

    Raises:
        ValueError: as in ``minimise``.
    """
    _check_decay(ema_decay)

    def init(key: Array, batch: Batch, hparams: AdversarialHparams, variables: Variables | None = None) -> TrainState:
        init_key, run_key = jax.random.split(key)
        variables = adversary.init(init_key, batch) if variables is None else variables
        start = transformation(optimizer, hparams.learning_rate).init
        players = {player: start(part) for player, part in variables["params"].items()}
        _check_averages(ema_decay, players)
        average = None if ema_decay is None else _generator(variables)
        return TrainState(jnp.zeros((), jnp.int32), variables, (players, average), run_key)

    def turn(
        player: str,
        loss: PlayerLoss,
        key: Array,
        step: Array,
        state: tuple[Variables, PyTree],
        batch: Batch,
        hparams: AdversarialHparams,
    ) -> tuple[tuple[Variables, PyTree], Metrics]:
        """One step of one player, the other standing still."""
        variables, opt_states = state
        params = variables["params"]

        def own_loss(own: PyTree) -> tuple[Array, Aux]:
            return loss(key, {**variables, "params": {**params, player: own}}, batch, hparams.model)

        (value, aux), gradient = jax.value_and_grad(own_loss, has_aux=True)(params[player])
        opt_state = _at_round(opt_states[player], step)
        own, opt_state = advance(
            optimizer, hparams.learning_rate, lambda own: own_loss(own)[0], value, gradient, opt_state, params[player]
        )
        params = {**params, player: own}
        metrics = {**aux.metrics, f"{player}_loss": value, f"{player}_grad_norm": _norm(gradient)}
        return ({**aux.collections, "params": params}, {**opt_states, player: opt_state}), metrics

    def step(state: TrainState, batch: Batch, hparams: AdversarialHparams) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        generator_key, discriminator_key = jax.random.split(key)
        opt_states, average = state.opt_state

        def discriminator_turn(carry: tuple[Variables, PyTree], key: Array) -> tuple[tuple[Variables, PyTree], Metrics]:
            return turn("discriminator", adversary.discriminator_loss, key, state.step, carry, batch, hparams)

        carry, per_turn = hoisting.scan(
            discriminator_turn,
            (state.variables, opt_states),
            jax.random.split(discriminator_key, adversary.num_discriminator_steps),
        )
        carry, metrics = turn("generator", adversary.generator_loss, generator_key, state.step, carry, batch, hparams)
        variables, opt_states = carry
        if ema_decay is not None:
            average = _averaged(average, _generator(variables), ema_decay, state.step)
        metrics = {**jax.tree.map(jnp.mean, per_turn), **metrics, "loss": metrics["generator_loss"]}
        return TrainState(state.step + 1, variables, (opt_states, average), state.key), metrics

    def evaluate(key: Array, variables: Variables, batch: Batch, hparams: AdversarialHparams) -> Metrics:
        return adversary.evaluate(key, variables, batch, hparams.model)

    def variables(state: TrainState) -> Variables:
        opt_states, average = state.opt_state
        if average is None:
            params = {player: to_evaluate(opt_states[player], own) for player, own in state.variables["params"].items()}
            return {**state.variables, "params": params}
        return {
            name: {**parts, "generator": average[name]} if name in average else parts
            for name, parts in state.variables.items()
        }

    return Algorithm(init, step, evaluate, variables, AdversarialHparams(_default(optimizer, 1e-3), adversary.hparams))


def _at_round(opt_state: PyTree, step: Array) -> PyTree:
    """Learning rate schedules count rounds: by its own turns the discriminator's would have ended long before."""

    def set_count(leaf: PyTree) -> PyTree:
        return leaf._replace(count=step) if isinstance(leaf, optax.ScaleByScheduleState) else leaf

    return jax.tree.map(set_count, opt_state, is_leaf=lambda leaf: isinstance(leaf, optax.ScaleByScheduleState))


def _generator(variables: Variables) -> Variables:
    return {name: parts["generator"] for name, parts in variables.items() if "generator" in parts}


def _averaged(average: PyTree, newest: PyTree, decay: float, step: Array) -> PyTree:
    """The moving average after a step; early on it forgets faster than ``decay`` says."""
    return optax.incremental_update(newest, average, 1 - jnp.minimum(decay, (1 + step) / (10 + step)))


def _norm(gradient: PyTree) -> Array:
    """The global norm; of small tensors as one vector, since each reduction of its own takes some microseconds."""
    small = [leaf for leaf in jax.tree.leaves(gradient) if leaf.size < _SMALL]
    large = [leaf for leaf in jax.tree.leaves(gradient) if leaf.size >= _SMALL]
    return optax.tree.norm([ravel_pytree(small)[0], *large])


def _default(optimizer: Optimizer, learning_rate: float) -> float | None:
    return learning_rate if takes_rate(optimizer) else None


def _check_averages(ema_decay: float | None, opt_state: PyTree) -> None:
    if ema_decay is not None and averages(opt_state):
        raise ValueError(
            f"ema_decay: found {ema_decay}, but the optimizer keeps an average already; leave "
            "ema_decay out, or take another optimizer"
        )


def _check_decay(ema_decay: float | None) -> None:
    if ema_decay is not None and not 0 <= ema_decay < 1:
        raise ValueError(f"ema_decay: found {ema_decay}, expected a number in [0, 1)")


class ContrastiveDivergenceHparams(NamedTuple):
    """Hyperparameters of ``contrastive_divergence``, all of them traced.

    Attributes:
        learning_rate: the optimizer's; None where it has its own.
        weight_decay: weight of half the sum of squares of the kernel in what is minimised.
    """

    learning_rate: float | Array | None
    weight_decay: float | Array


@remembered
def contrastive_divergence(
    machine: RBM,
    num_gibbs_steps: int = 1,
    num_chains: int | None = None,
    optimizer: Optimizer = momentum,
) -> Algorithm:
    """Contrastive divergence, CD-k (Hinton 2002), or persistent contrastive divergence (Tieleman 2008).

    The gradient is that of the mean free energy of the data less the mean free energy of samples, which k steps of
    Gibbs sampling take from the data, or on from where a set of chains stood.

    Args:
        machine: the RBM.
        num_gibbs_steps: k, of hidden and visible units each.
        num_chains: if given, so many chains persist from step to step; their states are the collection ``chains``.
        optimizer: as in ``minimise``.

    Returns:
        The Algorithm. Its ``loss`` is the squared error of a reconstruction by the units' means, summed over a row:
        what can be watched at little cost, though it is not what is minimised.

    Raises:
        ValueError: a number of steps or chains that is not positive, or as in ``minimise``.
    """
    for name, value in (("num_gibbs_steps", num_gibbs_steps), ("num_chains", num_chains)):
        if value is not None and value < 1:
            raise ValueError(f"{name}: found {value}, expected a positive whole number")

    def init(
        key: Array, batch: Batch, hparams: ContrastiveDivergenceHparams, variables: Variables | None = None
    ) -> TrainState:
        init_key, chain_key, run_key = jax.random.split(key, 3)
        variables = machine.init(init_key, batch) if variables is None else variables
        if num_chains is not None and "chains" not in variables:
            hidden = jnp.zeros((num_chains, variables["params"]["hidden_bias"].shape[0]))
            chains = machine.sample_visible(chain_key, variables["params"], hidden)
            variables = {**variables, "chains": {"visible": chains}}
        opt_state = transformation(optimizer, hparams.learning_rate).init(variables["params"])
        return TrainState(jnp.zeros((), jnp.int32), variables, opt_state, run_key)

    def gibbs(key: Array, params: PyTree, visible: Array) -> Array:
        def step(visible: Array, key: Array) -> tuple[Array, None]:
            hidden_key, visible_key = jax.random.split(key)
            hidden = machine.sample_hidden(hidden_key, params, visible)
            return machine.sample_visible(visible_key, params, hidden), None

        return jax.lax.scan(step, visible, jax.random.split(key, num_gibbs_steps))[0]

    def step(state: TrainState, batch: Batch, hparams: ContrastiveDivergenceHparams) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        params = state.variables["params"]
        data = batch.x.reshape(batch.x.shape[0], -1)
        start = data if num_chains is None else state.variables["chains"]["visible"]
        samples = jax.lax.stop_gradient(gibbs(key, params, start))

        def contrast(params: PyTree) -> Array:
            decay = 0.5 * hparams.weight_decay * jnp.sum(jnp.square(params["kernel"]))
            return machine.free_energy(params, data).mean() - machine.free_energy(params, samples).mean() + decay

        value, gradient = jax.value_and_grad(contrast)(params)
        moved, opt_state = advance(optimizer, hparams.learning_rate, contrast, value, gradient, state.opt_state, params)
        variables = {**state.variables, "params": moved}
        if num_chains is not None:
            variables["chains"] = {"visible": samples}
        metrics = {**_reconstruction(params, batch), "grad_norm": _norm(gradient)}
        return TrainState(state.step + 1, variables, opt_state, state.key), metrics

    def evaluate(key: Array, variables: Variables, batch: Batch, hparams: PyTree) -> Metrics:
        del key, hparams
        return _reconstruction(variables["params"], batch)

    def _reconstruction(params: PyTree, batch: Batch) -> Metrics:
        data = batch.x.reshape(batch.x.shape[0], -1)
        error = jnp.square(data - machine.visible_mean(params, machine.hidden_mean(params, data)))
        return {"loss": error.sum(axis=-1).mean(), "mse": error.mean()}

    def variables(state: TrainState) -> Variables:
        return {**state.variables, "params": to_evaluate(state.opt_state, state.variables["params"])}

    return Algorithm(init, step, evaluate, variables, ContrastiveDivergenceHparams(_default(optimizer, 0.01), 2e-4))
