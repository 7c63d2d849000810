"""Each way to break a contract gives one sentence; what keeps it is passed, and is traced once."""

import re
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aejax
from aejax import models, nets
from aejax.base import Aux, Batch, Latent, Model, Objective
from aejax.models.rbm import rbm
from aejax.training.algorithms import adversarial, contrastive_divergence, minimise

ROWS = np.zeros((10, 5))


class Scale(NamedTuple):
    factor: float = 1.0


def init(key, batch):
    stats = {"mean": jnp.zeros(batch.x.shape[1:])}
    return {"params": {"kernel": jax.random.normal(key, (batch.x.shape[1], 2))}, "stats": stats}


def loss(key, variables, batch, hparams, train=True):
    value = hparams.factor * jnp.mean(jnp.square(batch.x @ variables["params"]["kernel"]))
    return value, Aux({"loss": value}, {"stats": variables["stats"]})


def encode(variables, x, cond=None):
    return Latent(x @ variables["params"]["kernel"])


def decode(variables, z, cond=None):
    return z @ variables["params"]["kernel"].T


def score(key, variables, batch):
    return jnp.sum(batch.x, axis=1)


def sample(key, variables, num_samples, cond=None, z=None):
    return jnp.zeros((num_samples, 5))


def log_likelihood(key, variables, batch, num_samples):
    return jnp.zeros(batch.x.shape[0])


GOOD = Model(init, loss, Scale(), encode, decode, score, sample, log_likelihood)


def loss_that_returns(change):
    """The good loss, and then something else of it."""

    def changed(key, variables, batch, hparams, train=True):
        return change(*loss(key, variables, batch, hparams, train), variables)

    return GOOD._replace(loss=changed)


def autoencoder(**options):
    return models.autoencoder((5,), 2, **options)


def test_what_keeps_its_contract_is_passed():
    assert aejax.check(GOOD, ROWS) is None
    assert aejax.check(Objective(init, loss, Scale()), ROWS) is None
    assert aejax.check(minimise(GOOD), ROWS) is None
    assert aejax.check(contrastive_divergence(rbm(5, 3), num_chains=4), ROWS) is None
    assert aejax.check(GOOD, Batch(ROWS, mask=ROWS == 0, weight=ROWS + 1, cond=ROWS[:, :1], target=ROWS)) is None


def test_every_model_of_the_registry_keeps_its_contract(member, data):
    """The rows as they are, and as step and validation of the Algorithm that ``fit`` makes."""
    with jax.transfer_guard("disallow"):
        aejax.check(member, data)
    aejax.check(minimise(member) if isinstance(member, Model) else adversarial(member), data)


@pytest.mark.parametrize("rows", [10, 10**9])
def test_a_check_costs_nothing_on_big_data(rows):
    aejax.check(GOOD, np.broadcast_to(np.float32(0), (rows, 5)))


def wrong_event(shape):
    return nets.mlp((), shape)


# What is broken, and the sentence.
MODELS = {
    "encoder size": (
        lambda: autoencoder(encoder=wrong_event((3,))),
        "encoder: found an output of shape (10, 3), expected (10, 2)",
    ),
    "encoder of a VAE": (
        lambda: models.vae((5,), 2, encoder=wrong_event((2,))),
        "encoder: found an output of shape (10, 2), expected (10, 4), mean and log-variance of 2 dimensions",
    ),
    "decoder event": (
        lambda: autoencoder(decoder=wrong_event((4,))),
        "decoder: found an output of shape (10, 4), expected (10, 5)",
    ),
    "bare scalar": (
        lambda: loss_that_returns(lambda value, aux, _: value),
        "loss: found an array of shape (), expected a pair (scalar, Aux(metrics, collections))",
    ),
    "vector loss": (
        lambda: loss_that_returns(lambda value, aux, _: (jnp.ones(10) * value, aux)),
        "loss: found an array of shape (10,) as loss, expected a scalar; take the mean over rows",
    ),
    "integer loss": (
        lambda: loss_that_returns(lambda value, aux, _: (jnp.int32(value), aux)),
        "loss: found a loss of type int32, expected float32",
    ),
    "no train": (
        lambda: GOOD._replace(loss=lambda key, variables, batch, hparams: loss(key, variables, batch, hparams)),
        "loss: found the arguments (key, variables, batch, hparams), expected (key, variables, batch, hparams, "
        "train=True)",
    ),
    "a dictionary in place of Aux": (
        lambda: loss_that_returns(lambda value, aux, _: (value, aux.metrics)),
        "loss: found dict beside the loss, expected Aux(metrics, collections)",
    ),
    "collections None": (
        lambda: loss_that_returns(lambda value, aux, _: (value, aux._replace(collections=None))),
        "loss: found None as Aux.collections, expected a dictionary of the collections other than params, {} where",
    ),
    "vector metric": (
        lambda: loss_that_returns(lambda value, aux, _: (value, aux._replace(metrics={"mse": jnp.ones(5)}))),
        "loss: found an array of shape (5,) as metric 'mse', expected a scalar; average it",
    ),
    "text as metric": (
        lambda: loss_that_returns(lambda value, aux, _: (value, aux._replace(metrics={"mse": "low"}))),
        "loss: found str as metric 'mse', expected a scalar",
    ),
    "metrics None": (
        lambda: loss_that_returns(lambda value, aux, _: (value, aux._replace(metrics=None))),
        "loss: found None as metrics, expected a dictionary of scalars by name",
    ),
    "collection lost": (
        lambda: loss_that_returns(lambda value, aux, _: (value, aux._replace(collections={}))),
        "loss: found nothing as stats.mean, expected an array of float32 (5,) as it came in",
    ),
    "collection new": (
        lambda: loss_that_returns(
            lambda value, aux, variables: (value, aux._replace(collections={**aux.collections, "more": {"n": value}}))
        ),
        "loss: found an array of float32 () as more.n, expected nothing as it came in",
    ),
    "collection of another shape": (
        lambda: loss_that_returns(lambda value, aux, _: (value, aux._replace(collections={"stats": {"mean": value}}))),
        "loss: found an array of float32 () as stats.mean, expected an array of float32 (5,) as it came in",
    ),
    "collection of another type": (
        lambda: loss_that_returns(
            lambda value, aux, _: (value, aux._replace(collections={"stats": {"mean": jnp.zeros(5, jnp.bfloat16)}}))
        ),
        "loss: found an array of bfloat16 (5,) as stats.mean, expected an array of float32 (5,) as it came in",
    ),
    "collection of another structure": (
        lambda: loss_that_returns(
            lambda value, aux, variables: (value, aux._replace(collections={**aux.collections, "more": {}}))
        ),
        "loss: found the structure PyTreeDef({'more': {}, 'stats': {'mean': *}}), expected PyTreeDef(",
    ),
    "module": (lambda: nn.Dense(3), "model: found a network (Dense), expected an Objective, Model, Adversary or Alg"),
    "network": (lambda: wrong_event((3,)), "model: found a network (Network), expected an Objective, Model"),
    "module as encoder": (
        lambda: autoencoder(encoder=nn.Dense(2)),
        "encoder: found Dense, expected a Network; give aejax.nets.as_network(module)",
    ),
    "module as decoder": (
        lambda: models.vae((5,), 2, decoder=nn.Dense(5)),
        "decoder: found Dense, expected a Network; give aejax.nets.as_network(module)",
    ),
    "class": (lambda: Model, "model: found the class Model, expected an Objective, Model, Adversary or Algorithm"),
    "class of modules": (lambda: nn.Dense, "model: found the class Dense, expected an Objective, Model"),
    "function": (lambda: models.vae, "model: found the function vae, expected an Objective, Model, Adversary or Algo"),
    "a number": (lambda: 3, "model: found int, expected an Objective, Model, Adversary or Algorithm"),
    "init without params": (
        lambda: GOOD._replace(init=lambda key, batch: {"weights": jnp.ones(5)}),
        "init: found the collections weights, expected params among them",
    ),
    "init of an array": (
        lambda: GOOD._replace(init=lambda key, batch: jnp.ones(5)),
        "init: found an array of shape (5,), expected a dictionary of collections with params",
    ),
    "params of integers": (
        lambda: GOOD._replace(init=lambda key, batch: {"params": {"kernel": jnp.ones((5, 2), jnp.int32)}}),
        "init: found params.kernel of type int32, expected float32: it is trained",
    ),
    "params of text": (
        lambda: GOOD._replace(init=lambda key, batch: {"params": {"kernel": "zeros"}}),
        "init: found str as params.kernel, expected an array",
    ),
    "encode of an array": (
        lambda: GOOD._replace(encode=lambda variables, x, cond=None: x),
        "encode: found an array of shape (10, 5), expected Latent(mean, log_var)",
    ),
    "encode of a vector": (
        lambda: GOOD._replace(encode=lambda variables, x, cond=None: Latent(x[:, 0])),
        "encode: found an array of shape (10,) as mean, expected (10, latent_dim)",
    ),
    "log_var": (
        lambda: GOOD._replace(encode=lambda variables, x, cond=None: Latent(x[:, :2], x[:, :1])),
        "encode: found an array of shape (10, 1) as log_var, expected (10, 2)",
    ),
    "no cond": (
        lambda: GOOD._replace(encode=lambda variables, x: Latent(x)),
        "encode: found the arguments (variables, x), expected (variables, x, cond=None)",
    ),
    "decode": (
        lambda: GOOD._replace(decode=lambda variables, z, cond=None: z),
        "decode: found an array of shape (10, 2), expected (10, 5)",
    ),
    "score": (
        lambda: GOOD._replace(score=lambda key, variables, batch: batch.x),
        "score: found an array of shape (10, 5), expected (10,)",
    ),
    "sample": (
        lambda: GOOD._replace(sample=lambda key, variables, num_samples, cond=None, z=None: jnp.ones((5, 10))),
        "sample: found an array of shape (5, 10), expected (10, 5)",
    ),
    "log-likelihood": (
        lambda: GOOD._replace(log_likelihood=lambda key, variables, batch, num_samples: jnp.ones(())),
        "log_likelihood: found an array of shape (), expected (10,)",
    ),
    "no function": (lambda: GOOD._replace(loss=None), "loss: found None, expected a function"),
    "score of a tuple": (
        lambda: GOOD._replace(score=lambda key, variables, batch: (batch.x, batch.x)),
        "score: found a tuple of 2, expected (10,)",
    ),
    "only in validation": (
        lambda: GOOD._replace(
            loss=lambda key, variables, batch, hparams, train=True: (
                loss(key, variables, batch, hparams) if train else jnp.zeros(())
            )
        ),
        "loss: found an array of shape (), expected a pair",
    ),
}


def gan():
    return models.gan((5,), 2, hidden_dims=(4,))


def player_without_collections(key, variables, batch, hparams):
    return jnp.zeros(()), Aux({}, {})


ADVERSARIES = {
    "steps": (
        lambda: gan()._replace(num_discriminator_steps=0),
        "num_discriminator_steps: found 0, expected a positive whole number",
    ),
    "players": (
        lambda: gan()._replace(init=init),
        "init: found the params kernel, expected generator and discriminator among them",
    ),
    "generator's loss": (
        lambda: gan()._replace(generator_loss=player_without_collections),
        "generator_loss: found nothing as batch_stats.generator.norm_0.mean, expected an array of float32 (4,)",
    ),
    "discriminator's loss": (
        lambda: gan()._replace(discriminator_loss=lambda key, variables, batch, hparams: jnp.zeros(())),
        "discriminator_loss: found an array of shape (), expected a pair",
    ),
    "evaluate": (
        lambda: gan()._replace(evaluate=lambda key, variables, batch, hparams: {"mse": jnp.zeros(())}),
        "evaluate: found the metrics mse, expected loss among them",
    ),
    "discriminate": (
        lambda: gan()._replace(discriminate=lambda variables, x, cond=None: x[:, :1]),
        "discriminate: found an array of shape (10, 1), expected (10,)",
    ),
}


def algorithm(**functions):
    return minimise(GOOD)._replace(**functions)


def step_to(change):
    def step(state, batch, hparams):
        return change(*minimise(GOOD).step(state, batch, hparams))

    return algorithm(step=step)


ALGORITHMS = {
    "init": (
        lambda: algorithm(init=lambda key, batch, hparams, variables=None: init(key, batch)),
        "init: found dict, expected a TrainState",
    ),
    "step": (
        lambda: step_to(lambda state, metrics: state),
        "step: found TrainState, expected a pair (TrainState, metrics)",
    ),
    "state": (
        lambda: step_to(lambda state, metrics: (state._replace(step=jnp.float32(0)), metrics)),
        "step: found an array of float32 () as step, expected an array of int32 () as it came in",
    ),
    "metrics": (
        lambda: step_to(lambda state, metrics: (state, {"loss": jnp.ones(3)})),
        "step: found an array of shape (3,) as metric 'loss', expected a scalar",
    ),
    "variables": (
        lambda: algorithm(variables=lambda state: state.opt_state),
        "variables: found a tuple of 2, expected a dictionary of collections with params",
    ),
    "evaluate": (
        lambda: algorithm(evaluate=lambda key, variables, batch, hparams: {}),
        "evaluate: found the metrics (none), expected loss among them",
    ),
}
BROKEN = {
    f"{kind}: {name}": case
    for kind, cases in {"model": MODELS, "adversary": ADVERSARIES, "algorithm": ALGORITHMS}.items()
    for name, case in cases.items()
}


@pytest.mark.parametrize(("make", "sentence"), BROKEN.values(), ids=list(BROKEN))
def test_a_broken_contract_is_one_sentence(make, sentence):
    with pytest.raises(ValueError, match="^" + re.escape(sentence)) as caught:
        aejax.check(make(), ROWS)
    assert "\n" not in str(caught.value)
    assert not getattr(caught.value, "__notes__", [])


HPARAMS = {
    "dictionary": ({"factor": 2.0}, "hparams: found dict {'factor': 2.0}, expected Scale as in the model; give model."),
    "number": (2.0, "hparams: found float 2.0, expected Scale as in the model"),
    "text": (Scale("high"), "hparams: factor: found 'high', expected a number or an array of numbers"),
}


@pytest.mark.parametrize(("hparams", "sentence"), HPARAMS.values(), ids=list(HPARAMS))
def test_wrong_hyperparameters_are_named(hparams, sentence):
    with pytest.raises(ValueError, match="^" + re.escape(sentence)):
        aejax.check(GOOD, ROWS, hparams)


def test_an_error_in_a_function_names_the_function_and_is_chained():
    def fails(variables, z, cond=None):
        raise KeyError("kernel_2")

    with pytest.raises(ValueError, match=r"^decode: found an error in this function, KeyError: 'kernel_2'$") as caught:
        aejax.check(GOOD._replace(decode=fails), ROWS)
    assert isinstance(caught.value.__cause__, KeyError)

    def branches(key, variables, batch, hparams, train=True):
        return (1.0 if batch.x.sum() > 0 else 0.0), Aux({}, {})

    sentence = r"^loss: found an error in this function, TracerBoolConversionError: Attempted boolean"
    with pytest.raises(ValueError, match=sentence) as caught:
        aejax.check(GOOD._replace(loss=branches), ROWS)
    assert isinstance(caught.value.__cause__, jax.errors.TracerBoolConversionError)


def test_a_sentence_of_ours_is_passed_on_as_it_is():
    with pytest.raises(ValueError, match=r"^x: found shape \(10, 5\), expected \(n, 6\) from event_shape"):
        aejax.check(models.autoencoder((6,), 2), ROWS)
    with pytest.raises(ValueError, match=r"^cond: found None, expected \(n, c\) conditions for this conditional model"):
        aejax.check(models.conditional_vae((5,), 2), ROWS)
    with pytest.raises(ValueError, match=r"^x: found text, expected numbers"):
        aejax.check(GOOD, [["a"]])


def test_a_second_check_traces_nothing():
    traced = []

    def counted(key, variables, batch, hparams, train=True):
        traced.append(train)
        return loss(key, variables, batch, hparams, train)

    model = GOOD._replace(loss=counted)
    aejax.check(model, ROWS)
    assert traced == [True, False]
    aejax.check(model, ROWS + 1, Scale(2.0))
    aejax.check(model, jnp.zeros((10, 5)))
    assert traced == [True, False]
    aejax.check(model, ROWS[:9])
    assert traced == [True, False] * 2
    for _ in range(2):  # an array among the hyperparameters, which cannot be hashed
        aejax.check(model._replace(hparams=Scale(jnp.ones(()))), ROWS[:9])
    assert traced == [True, False] * 2


def test_a_failure_is_not_taken_for_a_success_the_second_time():
    broken = GOOD._replace(score=lambda key, variables, batch: batch.x)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^score: found an array of shape \(10, 5\)"):
            aejax.check(broken, ROWS)
