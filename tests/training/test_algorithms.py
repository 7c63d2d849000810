"""Algorithms with optimizers of every kind, and the one truth about the loss."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from aejax import models
from aejax.base import Aux, Batch, Objective
from aejax.models.rbm import rbm
from aejax.tasks import reconstruct
from aejax.training import ensemble, fit, sweep
from aejax.training.algorithms import adversarial, contrastive_divergence, minimise
from aejax.training.optimizers import momentum, takes_rate, transformation
from tests.conftest import REGISTRY

# Beside a linear map it would begin near where training ends.
AUTOENCODER = models.autoencoder((6,), 2, hidden_dims=(8,), activation="tanh", shortcut=False)

OPTIMIZERS = {
    "adam": optax.adam(1e-2),
    "multi_steps": optax.MultiSteps(optax.adam(1e-2), 2),
    "inject_hyperparams": optax.inject_hyperparams(optax.adam)(optax.linear_schedule(1e-2, 1e-3, 50)),
    "partition": optax.partition(
        {"a": optax.adam(1e-2), "b": optax.sgd(1e-2)}, lambda params: {"encoder": "a", "decoder": "b"}
    ),
    "backtracking": optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(15)),
    "polyak_sgd": optax.polyak_sgd(max_learning_rate=0.1),
    "reduce_on_plateau": optax.chain(optax.adam(1e-2), optax.contrib.reduce_on_plateau(patience=2)),
    "mechanize": optax.contrib.mechanize(optax.adam(1.0)),
    "prodigy": optax.contrib.prodigy(),
    "momo_adam": optax.contrib.momo_adam(1e-2),
    "schedule_free": optax.contrib.schedule_free_adamw(1e-2),
}


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_the_loss_falls_with_every_optimizer(name, rows, key):
    optimizer = OPTIMIZERS[name]
    assert not takes_rate(optimizer)
    fitted = fit(key, minimise(AUTOENCODER, optimizer), rows, num_epochs=15, batch_size=50)
    losses = fitted.history["loss"]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("name", ["backtracking", "reduce_on_plateau", "schedule_free"])
def test_members_of_an_ensemble_step_each_for_itself(name, rows, key):
    algorithm = minimise(AUTOENCODER, OPTIMIZERS[name])
    keys = jax.random.split(key, 2)
    together = ensemble(keys, algorithm, rows, validation=0, num_epochs=2, batch_size=100)
    alone = fit(keys[1], algorithm, rows, validation=0, num_epochs=2, batch_size=100)
    np.testing.assert_allclose(together.history["loss"][1], alone.history["loss"], rtol=1e-3)


def test_lbfgs_on_all_rows_takes_a_linear_autoencoder_to_the_principal_subspace(rows, key):
    x = rows - rows.mean(axis=0)
    model = models.autoencoder((6,), 2, hidden_dims=())
    fitted = fit(key, minimise(model, optax.lbfgs()), x, validation=0, num_epochs=100, batch_size=len(x))
    pca_error = np.linalg.eigvalsh(x.T @ x / len(x))[:-2].sum() / 6
    error = np.mean((x - reconstruct(model, fitted.variables, x)) ** 2)
    assert pca_error * (1 - 1e-5) <= error <= 1.01 * pca_error


SCHEDULES = {
    "warmup_cosine": lambda rate: optax.warmup_cosine_decay_schedule(0.0, rate, 10, 100),
    "warmup_cosine to an end": lambda rate: optax.warmup_cosine_decay_schedule(0.0, rate, 10, 100, end_value=1e-4),
    "cosine": lambda rate: optax.cosine_decay_schedule(rate, 100),
    "piecewise_constant": lambda rate: optax.piecewise_constant_schedule(rate, {10: 0.5, 50: 0.1}),
    "piecewise_interpolate": lambda rate: optax.piecewise_interpolate_schedule("cosine", rate, {10: 0.5, 50: 0.1}),
    "exponential": lambda rate: optax.exponential_decay(rate, 10, 0.9, end_value=rate / 10),
    "onecycle": lambda rate: optax.cosine_onecycle_schedule(100, rate),
    "sgdr": lambda rate: optax.sgdr_schedule(
        [{"init_value": 0.0, "peak_value": peak, "warmup_steps": 5, "decay_steps": 20} for peak in (rate, rate / 2)]
    ),
    "join": lambda rate: optax.join_schedules(
        [optax.constant_schedule(rate), optax.warmup_cosine_decay_schedule(0.0, 2 * rate, 10, 100)], [10]
    ),
    "without a rise": lambda rate: optax.warmup_cosine_decay_schedule(rate, rate, 0, 100),
    "multiplied": lambda rate: optax.warmup_cosine_decay_schedule(rate / 10, rate, 10, 100, end_value=0.1 * rate),
}


@pytest.mark.parametrize("name", list(SCHEDULES))
@pytest.mark.parametrize("rate", [1e-2, 0.0])
def test_schedules_of_a_traced_rate_are_those_of_the_number(name, rate):
    def steps(rate):
        """What is added to a parameter whose gradient is 1, step by step."""
        update = transformation(lambda rate: optax.sgd(SCHEDULES[name](rate)), rate)
        state, moved = update.init(jnp.zeros(())), []
        for _ in range(30):
            step, state = update.update(jnp.ones(()), state)
            moved.append(step)
        return jnp.stack(moved)

    np.testing.assert_allclose(jax.jit(steps)(rate), steps(rate), rtol=1e-5, atol=1e-9)


def test_rates_of_a_schedule_that_looks_at_them_can_be_swept(rows, key):
    def optimizer(rate):
        return optax.adam(optax.warmup_cosine_decay_schedule(0.0, rate, 5, 50))

    rates = [1e-3, 1e-2]
    options = {"optimizer": optimizer, "validation": 0, "num_epochs": 3}
    swept = sweep(key, AUTOENCODER, rows, over={"learning_rate": rates}, **options)
    alone = fit(key, AUTOENCODER, rows, learning_rate=rates[1], **options)
    np.testing.assert_allclose(swept.history["loss"][1], alone.history["loss"], rtol=1e-4)
    assert abs(swept.history["loss"][0, -1] - alone.history["loss"][-1]) > 1e-2


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda rate: optax.adam(1e-3 if rate > 1e-2 else 1e-4),
        lambda rate: optax.adam(float(rate)),
        lambda rate: optax.adam(1e-3 if rate > 0 and 2 * rate > 1 else 1e-4),
        lambda rate: optax.adam(float(rate) if rate > 0 else 1e-3),
    ],
)
def test_an_optimizer_that_looks_at_the_rate_itself_gets_a_sentence(optimizer, rows, key):
    with pytest.raises(ValueError, match="optimizer: found a function that looks at the value of the learning rate"):
        fit(key, AUTOENCODER, rows, optimizer=optimizer, num_epochs=1)


def test_what_is_no_optimizer_is_refused(rows, key):
    with pytest.raises(ValueError, match="optimizer: found str, expected an Optax transformation"):
        minimise(AUTOENCODER, "adam")
    with pytest.raises(ValueError, match="optimizer: found a function that returns tuple"):
        fit(key, AUTOENCODER, rows, optimizer=lambda rate: (rate,), num_epochs=1)


def test_a_rate_beside_an_optimizer_that_has_its_own_is_refused(rows, key):
    for algorithm in (
        minimise(AUTOENCODER, optax.adam(1e-3)),
        adversarial(REGISTRY["gan"], optax.adam(1e-3)),
        contrastive_divergence(rbm(6, 2), optimizer=optax.adam(1e-3)),
    ):
        assert algorithm.hparams.learning_rate is None
        with pytest.raises(ValueError, match="learning_rate: found one, but the optimizer has a rate already"):
            fit(key, algorithm, rows, hparams=algorithm.hparams._replace(learning_rate=0.1), num_epochs=1)
    algorithm = minimise(AUTOENCODER)
    with pytest.raises(ValueError, match="learning_rate: found None"):
        fit(key, algorithm, rows, hparams=algorithm.hparams._replace(learning_rate=None), num_epochs=1)


def test_a_built_optimizer_takes_the_steps_of_the_function_at_its_rate(rows, key):
    options = {"validation": 0, "num_epochs": 2}
    built = fit(key, minimise(AUTOENCODER, optax.adam(3e-3)), rows, **options)
    given = fit(key, AUTOENCODER, rows, optimizer=optax.adam, learning_rate=3e-3, **options)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), built.variables, given.variables)


def quadratic():
    """A loss with noise, so that its average over steps is better than the last one."""

    def init(key, batch):
        return {"params": {"a": jnp.ones(2), "b": jnp.ones(2)}}

    def loss(key, variables, batch, hparams, train=True):
        noise = jax.random.normal(key, (2,)) if train else 0.0
        a, b = variables["params"]["a"], variables["params"]["b"]
        return jnp.sum(jnp.array([1.0, 30.0]) * (a - 0.5 * noise) ** 2) + jnp.sum((b - noise) ** 2), Aux({}, {})

    return Objective(init, loss)


SCHEDULE_FREE = {
    "alone": optax.contrib.schedule_free_sgd(0.02),
    "adamw": optax.contrib.schedule_free_adamw(0.1),
    "in a chain": optax.chain(optax.clip_by_global_norm(100.0), optax.contrib.schedule_free_sgd(0.02)),
    "in parts": optax.partition(
        {"a": optax.contrib.schedule_free_sgd(0.02), "b": optax.sgd(0.02)}, {"a": "a", "b": "b"}
    ),
    "of a rate": lambda rate: optax.contrib.schedule_free_sgd(20 * rate),
}


@pytest.mark.parametrize("name", list(SCHEDULE_FREE))
def test_schedule_free_is_evaluated_at_its_average(name, key):
    algorithm = minimise(quadratic(), SCHEDULE_FREE[name])
    batch, hparams = Batch(jnp.zeros((1, 1))), algorithm.hparams

    @jax.jit
    @jax.vmap
    def run(key):
        state = algorithm.init(key, batch, hparams)
        state, _ = jax.lax.scan(lambda state, _: algorithm.step(state, batch, hparams), state, None, 400)
        return state, algorithm.variables(state)["params"]

    state, averaged = run(jax.random.split(key, 50))
    raw = state.variables["params"]

    def loss(params):
        return np.mean(jax.vmap(lambda part: algorithm.evaluate(key, {"params": part}, batch, hparams)["loss"])(params))

    assert loss(averaged) < 0.9 * loss(raw)
    if name == "in parts":
        np.testing.assert_array_equal(averaged["b"], raw["b"])
    if name == "alone":
        expected = jax.vmap(optax.contrib.schedule_free_eval_params)(state.opt_state[0], raw)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), averaged, expected)


def test_schedule_free_averages_are_what_fit_returns(rows, key):
    algorithm = minimise(AUTOENCODER, optax.contrib.schedule_free_sgd(0.05))
    fitted = fit(key, algorithm, rows, validation=0, num_epochs=3)
    expected = algorithm.variables(fitted.state)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), fitted.variables, expected)
    assert not np.allclose(
        fitted.variables["params"]["decoder"]["layer_0"]["kernel"],
        fitted.state.variables["params"]["decoder"]["layer_0"]["kernel"],
        atol=1e-4,
    )


def test_two_averages_are_refused(rows, key):
    for algorithm in (
        minimise(AUTOENCODER, optax.contrib.schedule_free_sgd(0.05), ema_decay=0.9),
        adversarial(REGISTRY["gan"], optax.contrib.schedule_free_sgd(0.05), ema_decay=0.9),
    ):
        with pytest.raises(ValueError, match=r"ema_decay: found 0.9, but the optimizer keeps an average"):
            fit(key, algorithm, rows, num_epochs=1)


@pytest.mark.parametrize("name", ["adam", "polyak_sgd", "reduce_on_plateau", "schedule_free"])
def test_players_and_machines_take_the_same_optimizers(name, rows, key):
    batch = Batch(jnp.asarray(rows[:50]))
    for algorithm in (
        adversarial(REGISTRY["gan"], OPTIMIZERS[name]),
        contrastive_divergence(rbm(6, 2, visible="gaussian"), optimizer=OPTIMIZERS[name]),
    ):
        state = algorithm.init(key, batch, algorithm.hparams)
        moved, metrics = jax.jit(algorithm.step)(state, batch, algorithm.hparams)
        moved, metrics = jax.jit(algorithm.step)(moved, batch, algorithm.hparams)
        assert all(jnp.isfinite(value) for value in metrics.values())
        changes = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), moved.variables["params"], state.variables["params"])
        assert max(jax.tree.leaves(changes)) > 0
        evaluated = algorithm.variables(moved)["params"]
        changes = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), evaluated, moved.variables["params"])
        is_other = max(jax.tree.leaves(changes)) > 0
        assert is_other == (name == "schedule_free")


def test_momentum_of_a_machine_is_as_before(rows, key):
    batch = Batch(jnp.asarray(rows[:50]))
    given = contrastive_divergence(rbm(6, 2, visible="gaussian"), optimizer=momentum)
    assert given is contrastive_divergence(rbm(6, 2, visible="gaussian"))
    state = given.init(key, batch, given.hparams)
    assert isinstance(given.step(state, batch, given.hparams)[0].opt_state[0], optax.TraceState)


def wrapped(metrics):
    """A loss that is 1000 more than the model's, and metrics that say something else."""

    def loss(key, variables, batch, hparams, train=True):
        value, aux = AUTOENCODER.loss(key, variables, batch, hparams, train)
        return value + 1000, aux._replace(metrics=metrics(aux.metrics))

    return AUTOENCODER._replace(loss=loss)


@pytest.mark.parametrize(
    "metrics", [dict, lambda metrics: {}, lambda metrics: {"loss": -1.0}], ids=["own", "none", "wrong"]
)
def test_the_scalar_that_a_loss_returns_is_what_is_recorded(metrics, rows, key):
    fitted = fit(key, wrapped(metrics), rows, num_epochs=2)
    for name in ("loss", "val_loss"):
        assert (fitted.history[name] > 1000).all()
        assert (fitted.history[name] < 1100).all()


def test_the_scalars_that_players_minimise_are_what_is_recorded(rows, key):
    gan = REGISTRY["gan"]

    def generator_loss(key, variables, batch, hparams):
        value, aux = gan.generator_loss(key, variables, batch, hparams)
        return value + 1000, aux._replace(metrics={"loss": 0.0})

    other = gan._replace(generator_loss=generator_loss)
    history = fit(key, other, rows, validation=0, num_epochs=1).history
    assert history["loss"] == history["generator_loss"] > 1000


def test_gradients_of_four_batches_make_the_step_of_one_that_is_four_times_as_large(key):
    model = models.autoencoder((6,), 2, hidden_dims=(8,))
    x = jax.random.normal(key, (512, 6))
    large, small = (
        fit(key, model, x, batch_size=256 // parts, optimizer=optimizer, num_epochs=3, validation=x[:64])
        for parts, optimizer in ((1, optax.adam(1e-2)), (4, optax.MultiSteps(optax.adam(1e-2), 4)))
    )
    np.testing.assert_allclose(small.history["val_loss"], large.history["val_loss"], rtol=1e-5)
    assert large.history["val_loss"][-1] != large.history["val_loss"][0]
