"""Equal arguments give the very same object, and what a factory made can be sent to another process."""

import copy
import pickle
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from aejax import losses, models, nets
from aejax.base import Aux, Batch, Model, Objective
from aejax.kernels.recipes import remembered
from aejax.models.masking import masking_autoencoder
from aejax.models.rbm import rbm
from aejax.models.subspaces import local_subspaces
from aejax.training.algorithms import adversarial, contrastive_divergence, minimise
from aejax.training.optimizers import adam, warm_up
from tests.conftest import REGISTRY

VAE = REGISTRY["vae"]


def one_of_each():
    """Made anew at each call: what factories of every kind make."""
    return {
        "likelihood": losses.gaussian("shared"),
        "network": nets.mlp([8], (2,)),
        "shortcut": nets.with_shortcut(nets.resize((3,), (5,)), (5,)),
        "convolutional": nets.convolutional_encoder((8,), (4,), 2),
        "subspaces": local_subspaces((6,), 3),
        "masking": masking_autoencoder([512], hidden_dim=8),
        "plugged": models.vae((6,), 2, encoder=nets.mlp((3,), (4,)), likelihood=losses.poisson()),
        "machine": rbm(6, 3),
        "minimise": minimise(
            models.vae((6,), 2, hidden_dims=(8,)), adam("cosine", num_steps=10), 0.9, warm_up("beta", 5)
        ),
        "adversarial": adversarial(models.gan((6,), 2, hidden_dims=(8,)), optax.sgd),
        "contrastive_divergence": contrastive_divergence(rbm(6, 3), num_chains=4),
    }


KINDS = list(one_of_each())


@pytest.mark.parametrize("kind", KINDS)
def test_equal_arguments_give_the_very_same_object(kind):
    assert one_of_each()[kind] is one_of_each()[kind]


def test_arguments_are_equal_however_they_are_written():
    first = models.vae((6,), 2, hidden_dims=(8,), beta=0.5)
    assert models.vae([6], latent_dim=2, hidden_dims=[8], beta=0.5) is first
    assert models.vae((6,), 2, hidden_dims=(8,), beta=np.array(0.5)) is first
    assert models.vae((6,), 2, hidden_dims=(8,), beta=jnp.array(0.5)) is first
    assert models.vae((6,), 2, hidden_dims=(8,), beta=0.25) is not first


FACTOR = 2.0
CONFIG = types.ModuleType("config")
CONFIG.factor = 2.0


@remembered
def composed(function, *functions):
    """Something that is made of functions."""

    def call(x):
        for each in (function, *functions):
            x = each(x)
        return x

    return call


def written_anew():
    """Pairs of functions: made by the same line, and whether they are equal."""

    def around(value):
        return lambda x: (x, value)

    def deeper(value):
        return lambda x: around(value)(x)

    def partly(value):
        return lambda x, y=value: (x, y)

    class Settings:
        value = 2

    shared = Settings()
    return {
        "numbers": (around(2), around(2), True),
        "other numbers": (around(2), around(3), False),
        "other types": (around(2), around(2.0), False),
        "signs of zero": (around(0.0), around(-0.0), False),
        "strings": (around("a"), around("a"), True),
        "lists": (around([1, 2]), around([1, 2]), True),
        "other lists": (around([1, 2]), around([1, 3]), False),
        "functions of functions": (deeper(2), deeper(2), True),
        "other functions of functions": (deeper(2), deeper(3), False),
        "defaults": (partly(2), partly(2), True),
        "other defaults": (partly(2), partly(3), False),
        "the same array of JAX": (lambda array: (around(array), around(array), True))(jnp.ones(2)),
        "arrays of JAX": (around(jnp.ones(2)), around(jnp.ones(2)), False),
        "an array that may change": (lambda array: (around(array), around(array), False))(np.ones(2)),
        "an object that may change": (around(shared), around(shared), False),
        "other code": ((lambda x: x + 1), (lambda x: x + 2), False),
    }


@pytest.mark.parametrize("kind", list(written_anew()))
def test_functions_written_anew_are_recognised(kind):
    first, second, are_equal = written_anew()[kind]
    assert (composed(first) is composed(second)) == are_equal


@pytest.mark.parametrize(
    "make",
    [
        lambda b1: optax.adam(1e-3, b1=b1),
        lambda b1: optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3, b1=b1)),
        lambda b1: optax.sgd(optax.warmup_cosine_decay_schedule(0.0, b1, 10, 100)),
        lambda b1: optax.sgd(optax.piecewise_constant_schedule(0.1, {10: b1})),
        lambda b1: optax.contrib.schedule_free_adamw(1e-3, b1=b1),
    ],
    ids=["adam", "chain", "schedule", "piecewise", "schedule_free"],
)
def test_transformations_built_anew_are_recognised(make):
    assert composed(*make(0.8)) is composed(*make(0.8))
    assert composed(*make(0.8)) is not composed(*make(0.9))


def test_a_function_sees_the_globals_of_now(monkeypatch):
    """In a notebook the numbers around a lambda are globals."""

    def scaled():
        return composed(lambda x: FACTOR * CONFIG.factor * x)

    first = scaled()
    assert scaled() is first
    assert first(1.0) == 4.0
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 3.0)
    assert scaled() is not first
    assert scaled()(1.0) == 6.0
    monkeypatch.setattr(CONFIG, "factor", 1.0)
    second = scaled()
    assert second(1.0) == 3.0
    monkeypatch.undo()
    assert scaled() is first


def test_a_list_that_changed_under_what_was_remembered_is_noticed():
    def around(values):
        return lambda x: (x, *values)

    values = [1]
    first = composed(around(values))
    values[0] = 2
    assert composed(around([1])) is not first
    assert composed(around([1]))(0) == (0, 1)


def test_a_function_that_calls_itself_is_recognised():
    def countdown(end):
        def count(n):
            return end if n == 0 else count(n - 1)

        return count

    assert composed(countdown(1)) is composed(countdown(1))
    assert composed(countdown(1)) is not composed(countdown(2))


def test_what_is_remembered_is_bounded():
    functions = [lambda x, i=i: i for i in range(300)]
    made = [composed(function) for function in functions]
    assert composed(functions[-1]) is made[-1]
    assert composed(functions[44]) is made[44]
    assert composed(functions[0]) is not made[0]


def test_nothing_is_remembered_while_tracing():
    @jax.jit
    def traced(value):
        return composed(lambda x: value * x)(1.0)

    with jax.checking_leaks():
        assert traced(2.0) == 2.0
        assert traced(3) == 3


def test_an_optimizer_written_in_the_loop_compiles_once(rows, key):
    algorithms = set()
    for _ in range(3):
        algorithms.add(minimise(VAE, lambda rate: optax.adam(rate, b1=0.8)))
        algorithms.add(minimise(VAE, optax.sgd(0.1)))
    assert len(algorithms) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_copies_and_pickles_are_the_very_same_object(kind):
    made = one_of_each()[kind]
    assert copy.copy(made) is made
    assert copy.deepcopy(made) is made
    assert pickle.loads(pickle.dumps(made)) is made


@pytest.mark.parametrize("name", list(REGISTRY))
def test_every_model_of_the_registry_pickles(name):
    assert copy.deepcopy({"model": REGISTRY[name]})["model"] is REGISTRY[name]
    assert pickle.loads(pickle.dumps(REGISTRY[name])) is REGISTRY[name]


def test_other_hyperparameters_go_along():
    changed = VAE._replace(hparams=VAE.hparams._replace(beta=4.0))
    for other in (copy.deepcopy(changed), pickle.loads(pickle.dumps(changed))):
        assert other.hparams.beta == 4.0
        assert other.loss is VAE.loss


@pytest.mark.slow
def test_another_process_gets_an_equal_model_that_works(key, rows, tmp_path):
    algorithm = minimise(VAE, adam("cosine", num_steps=10, clip_norm=1.0), 0.9)
    state = algorithm.init(key, Batch(jnp.asarray(rows[:8])), algorithm.hparams)
    (tmp_path / "sent").write_bytes(pickle.dumps((algorithm, jax.random.key_data(key), rows[:8])))
    code = """
import pickle, sys, jax, jax.numpy as jnp
algorithm, key, x = pickle.load(open(sys.argv[1], "rb"))
from aejax.base import Batch
batch = Batch(jnp.asarray(x))
state = algorithm.init(jax.random.wrap_key_data(key), batch, algorithm.hparams)
state, metrics = jax.jit(algorithm.step)(state, batch, algorithm.hparams)
pickle.dump(jax.device_get((state.variables, metrics)), open(sys.argv[2], "wb"))
"""
    subprocess.run([sys.executable, "-c", code, tmp_path / "sent", tmp_path / "back"], check=True)
    state, metrics = jax.jit(algorithm.step)(state, Batch(jnp.asarray(rows[:8])), algorithm.hparams)
    back = pickle.loads((tmp_path / "back").read_bytes())
    here = jax.device_get((state.variables, metrics))
    # Each process compiles for itself, and may round in another order.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7), back, here)


def init_by_name(key, batch):
    return {"params": {"w": jnp.zeros(batch.x.shape[1:])}}


def loss_by_name(key, variables, batch, hparams, train=True):
    value = jnp.mean((batch.x - variables["params"]["w"]) ** 2)
    return value, Aux({}, {})


def test_functions_that_a_module_holds_pickle_by_name():
    model = Objective(init_by_name, loss_by_name, {"weight": 1.0})
    assert pickle.loads(pickle.dumps(model)) == model
    assert pickle.loads(pickle.dumps(minimise(model))).init is minimise(model).init


def test_what_has_no_recipe_is_refused_and_can_be_copied():
    own = Model(init_by_name, lambda *_: None, {"weight": [1.0]})
    with pytest.raises(
        pickle.PicklingError, match=r"Model.loss: found the function .*<lambda>.*aejax.kernels.recipes.remembered"
    ):
        pickle.dumps(own)
    deep = copy.deepcopy(own)
    assert deep.loss is own.loss
    assert deep.hparams["weight"] is not own.hparams["weight"]
    assert copy.copy(own).hparams is own.hparams
    with pytest.raises(pickle.PicklingError, match=r"argument 1 of minimise: found the function .*<lambda>"):
        pickle.dumps(minimise(VAE, lambda rate: optax.sgd(rate)))
    with pytest.raises(pickle.PicklingError, match=r"GradientTransformation\w*.init: found the function optax"):
        pickle.dumps(minimise(VAE, optax.adam(1e-3)))


def test_a_factory_inside_a_function_is_refused():
    @remembered
    def own_model(size):
        return VAE._replace(init=lambda key, batch: size)

    with pytest.raises(pickle.PicklingError, match="own_model: found the function"):
        pickle.dumps(own_model(2))
    assert copy.deepcopy(own_model(2)) is own_model(2)


def test_a_factory_says_itself_what_is_wrong_with_its_arguments():
    with pytest.raises(TypeError, match="gaussian"):
        losses.gaussian(1.0, 2.0)
    with pytest.raises(ValueError, match="scale: found -1"):
        losses.gaussian(-1)
