"""Networks that are not ours: linen modules of any signature, nnx modules, pairs of functions."""

import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from aejax import fit, models, nets
from aejax.base import Batch

ONES = jnp.ones((64, 6))


class OnlyX(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(x)


class Train(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(2)(nn.Dropout(0.5, deterministic=not train)(x))


class Training(nn.Module):
    @nn.compact
    def __call__(self, inputs, *, training=False):
        return nn.Dense(2)(nn.Dropout(0.5, deterministic=not training)(inputs))


class IsTraining(nn.Module):
    @nn.compact
    def __call__(self, x, is_training, /):
        return nn.Dense(2)(nn.Dropout(0.5, deterministic=not is_training)(x))


class Deterministic(nn.Module):
    @nn.compact
    def __call__(self, x, scale=1.0, deterministic=True):
        return nn.Dense(2)(nn.Dropout(0.5, deterministic=deterministic)(scale * x))


class RunningAverage(nn.Module):
    @nn.compact
    def __call__(self, x, *, use_running_average):
        return nn.Dense(2)(nn.BatchNorm(use_running_average)(x))


class Cond(nn.Module):
    @nn.compact
    def __call__(self, x, cond):
        return nn.Dense(2)(x) + (0 if cond is None else nn.Dense(2)(cond))


class CondTrain(nn.Module):
    @nn.compact
    def __call__(self, x, *, train, cond=None):
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(2)(x) + (0 if cond is None else nn.Dense(2)(cond))


class NnxNetwork(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(6, 8, rngs=rngs)
        self.blocks = nnx.Sequential(nnx.BatchNorm(8, rngs=rngs), nnx.tanh, nnx.Dropout(0.2, rngs=rngs))
        self.last = nnx.Linear(8, 2, rngs=rngs)

    def __call__(self, x):
        h = self.blocks(self.first(x))
        self.sow(nnx.Intermediate, "hidden", h)
        return self.last(h)


def affine(key, x):
    return [jax.random.normal(key, (x.shape[1], 2)), jnp.zeros(2)]


def affine_apply(params, x):
    return x @ params[0] + params[1]


# What is drawn in training only, or computed from the batch, differs from inference.
DRAWING = [
    Train(),
    Training(),
    IsTraining(),
    Deterministic(),
    CondTrain(),
    nn.remat(Train, static_argnums=(2,))(),
    RunningAverage(),
    nn.Sequential([nn.Dense(3), nn.Dense(2)]),
    OnlyX(),
    Cond(),
]
KINDS = {
    **{f"{index}_{type(module).__name__}": module for index, module in enumerate(DRAWING)},
    "nnx": NnxNetwork(nnx.Rngs(0)),
    "nnx_factory": NnxNetwork,
    "functions": (affine, affine_apply),
}
PLAIN = {"7_Sequential", "8_OnlyX", "9_Cond", "functions"}


@pytest.fixture(params=list(KINDS))
def kind(request):
    return request.param


def test_each_kind_is_a_pure_pair_that_trains_and_rests(kind, key):
    network = nets.as_network(KINDS[kind])
    x = jax.random.normal(key, (64, 6)) + 3
    variables = network.init(key, x[:1])
    state = {name: values for name, values in variables.items() if name != "params"}
    resting, kept = network.apply(variables, x, key=key)
    np.testing.assert_array_equal(resting, network.apply(variables, x)[0])
    jax.tree.map(np.testing.assert_array_equal, kept, state)
    trained, updated = network.apply(variables, x, key=key, train=True)
    assert trained.shape == (64, 2)
    assert (kind in PLAIN) == np.array_equal(trained, resting)
    assert jax.tree.structure(updated) == jax.tree.structure(state)
    assert not any(np.array_equal(*pair) for pair in zip(jax.tree.leaves(updated), jax.tree.leaves(state), strict=True))
    compiled = jax.jit(lambda variables, key: network.apply(variables, x, key=key, train=True)[0])
    np.testing.assert_allclose(compiled(variables, key), trained, atol=1e-5)
    np.testing.assert_array_equal(compiled(variables, key), compiled(variables, key))


def test_a_model_with_each_kind_of_encoder_learns(kind, key, rows):
    model = models.autoencoder((6,), 2, hidden_dims=(8,), encoder=nets.as_network(KINDS[kind]))
    fits = [fit(key, model, rows, num_epochs=8, learning_rate=1e-2, validation=0) for _ in range(2)]
    loss = fits[0].history["loss"]
    assert loss[-1] < 0.9 * loss[0]
    jax.tree.map(np.testing.assert_array_equal, fits[0].variables, fits[1].variables)
    assert model.encode(fits[0].variables, rows).mean.shape == (300, 2)


@pytest.mark.parametrize("module", [Cond(), CondTrain()])
def test_conditions_reach_a_module_that_takes_them(module, key):
    network = nets.as_network(module)
    cond = jnp.ones((64, 3))
    variables = network.init(key, ONES[:1], cond[:1])
    changed = network.apply(variables, ONES, 2 * cond)[0] - network.apply(variables, ONES, cond)[0]
    np.testing.assert_allclose(changed, cond @ variables["params"]["Dense_1"]["kernel"], rtol=1e-5)


@pytest.mark.parametrize("kind", ["8_OnlyX", "nnx", "functions"])
def test_conditions_for_a_network_that_takes_none_are_refused(kind, key):
    network = nets.as_network(KINDS[kind])
    cond = jnp.ones((1, 3))
    with pytest.raises(ValueError, match=r"cond: found conditions of shape \(1, 3\), expected None"):
        network.init(key, ONES[:1], cond)
    with pytest.raises(ValueError, match=r"cond: found conditions of shape \(1, 3\), expected None"):
        network.apply(network.init(key, ONES[:1]), ONES[:1], cond)


class Streams(nn.Module):
    """The masks of two Dropouts, and the numbers of two streams beside them."""

    @nn.compact
    def __call__(self, x, train):
        x = self.param("scale", nn.initializers.ones, ()) * x
        masks = [nn.Dropout(0.5, (), not train, name)(x) for name in ("dropout", "drop")]
        if train:
            masks += [jax.random.bernoulli(self.make_rng(name), shape=x.shape) * 2.0 for name in ("noise", "phase")]
        return jnp.stack(masks)


class NnxStreams(nnx.Module):
    """The masks of four Dropouts, whose streams nnx keeps apart."""

    def __init__(self, rngs):
        self.scale = nnx.Param(jnp.ones(()))
        self.dropouts = nnx.List([nnx.Dropout(0.5, rngs=rngs) for _ in range(4)])

    def __call__(self, x):
        return jnp.stack([dropout(self.scale * x) for dropout in self.dropouts])


@pytest.mark.parametrize("module", [Streams(), NnxStreams])
def test_no_two_streams_have_the_same_key(module, key):
    network = nets.as_network(module)
    x = jnp.ones((4000, 5))
    variables = network.init(key, x[:1])
    masks = network.apply(variables, x, key=key, train=True)[0].reshape(4, -1) / 2
    np.testing.assert_allclose(masks.mean(axis=1), 0.5, atol=0.02)
    np.testing.assert_allclose(np.corrcoef(masks), np.eye(4), atol=0.03)
    again = network.apply(variables, x, key=key, train=True)[0].reshape(4, -1) / 2
    np.testing.assert_array_equal(masks, again)
    other = network.apply(variables, x, key=jax.random.key(8), train=True)[0].reshape(4, -1) / 2
    assert abs(np.corrcoef(masks, other)[:4, 4:]).max() < 0.03


def test_dropout_draws_what_linen_draws_with_the_key_itself(key):
    """Results of networks of ours, and of runs that were kept, do not change."""
    variables = Train().init(key, ONES, False)
    expected = Train().apply(variables, ONES, True, rngs={"dropout": key})
    np.testing.assert_array_equal(nets.as_network(Train()).apply(variables, ONES, key=key, train=True)[0], expected)
    jax.tree.map(np.testing.assert_array_equal, nets.as_network(Train()).init(key, ONES), variables)


class Restless(nn.Module):
    @nn.compact
    def __call__(self, x):
        return x + jax.random.normal(self.make_rng("noise"), x.shape)


class NnxRestless(nnx.Module):
    def __init__(self, rngs):
        self.rngs = rngs

    def __call__(self, x):
        return x + self.rngs.normal(x.shape)


@pytest.mark.parametrize("module", [Restless(), NnxRestless])
def test_a_network_that_draws_without_a_key_is_named(module):
    network = nets.as_network(module)
    with pytest.raises(ValueError, match=r"key: found None, expected a key: .*Restless draws .*; let it draw in train"):
        network.apply({}, ONES)


class Sowing(nn.Module):
    """Sows a list and a sum, beside variables that are only there in training, and one that is always written."""

    @nn.compact
    def __call__(self, x, train):
        h = nn.Dense(2)(x)
        self.sow("intermediates", "hidden", h)
        self.sow("penalties", "square", jnp.sum(h**2), init_fn=lambda: 0.0, reduce_fn=lambda a, b: a + b)
        self.perturb("shift", h)
        if train or self.is_initializing():
            average = self.variable("average", "mean", jnp.zeros, 2)
            average.value = h.mean(axis=0)
        calls = self.variable("calls", "count", jnp.zeros, ())
        calls.value += 1
        return h


def test_what_is_sown_is_no_variable(key):
    network = nets.as_network(Sowing())
    variables = network.init(key, ONES[:1])
    assert set(variables) == {"params", "average", "calls"}
    output, kept = network.apply(variables, ONES)
    jax.tree.map(np.testing.assert_array_equal, kept, {name: variables[name] for name in ("average", "calls")})
    _, updated = network.apply(variables, ONES, train=True)
    assert set(updated) == {"average", "calls"}
    np.testing.assert_allclose(updated["average"]["mean"], output.mean(axis=0), rtol=1e-5)
    assert updated["calls"]["count"] == variables["calls"]["count"] + 1


class SowingAmongVariables(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        self.sow("batch_stats", "seen", x)
        return nn.BatchNorm(not train)(x)


def test_values_sown_among_variables_are_refused(key):
    network = nets.as_network(SowingAmongVariables())
    with pytest.raises(ValueError, match="found values sown into batch_stats"):
        network.apply(network.init(key, ONES), ONES, train=True)


def test_an_instance_of_nnx_keeps_its_values_and_a_factory_draws_them(key):
    module = NnxNetwork(nnx.Rngs(0))
    given, drawn = nets.as_network(module), nets.as_network(NnxNetwork)
    expected = module.first.kernel[...]
    for one in (key, jax.random.key(8)):
        variables = given.init(one, ONES)
        assert set(variables) == {"params", "batch_stats"}
        np.testing.assert_array_equal(variables["params"]["first"]["kernel"], expected)
    jax.tree.map(lambda leaf: leaf.delete(), variables)
    np.testing.assert_array_equal(module.first.kernel[...], expected)
    kernels = [drawn.init(one, ONES)["params"]["first"]["kernel"] for one in (key, key, jax.random.key(8))]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.allclose(kernels[0], kernels[2])


def test_an_nnx_module_computes_what_it_computes_by_itself(key):
    module = NnxNetwork(nnx.Rngs(0))
    network = nets.as_network(module)
    variables = network.init(key, ONES)
    x = jax.random.normal(key, (64, 6))
    _, updated = network.apply(variables, x, key=key, train=True)
    resting, _ = network.apply({**variables, **updated}, x)
    assert not module.blocks.layers[0].use_running_average
    h = module.first(x)
    mean, var = 0.01 * h.mean(axis=0), 0.99 + 0.01 * h.var(axis=0)
    expected = module.last(jnp.tanh((h - mean) / jnp.sqrt(var + 1e-5)))
    np.testing.assert_allclose(resting, expected, rtol=1e-4, atol=1e-5)


class NnxSowing(nnx.Module):
    def __init__(self):
        self.calls = nnx.Variable(jnp.zeros(()))
        self.offset = jnp.ones(())

    def __call__(self, x):
        self.calls[...] += 1
        self.sow(nnx.Intermediate, "inputs", x)
        return x + self.offset


@pytest.mark.filterwarnings("ignore:.*Module.sow")
def test_what_an_nnx_module_writes_is_kept_in_training_only(key):
    module = NnxSowing()
    module(ONES)
    network = nets.as_network(module)
    variables = network.init(key, ONES)
    assert variables == {"state": {"calls": 1, "offset": 1}}
    for train in (False, True):
        output, state = network.apply(variables, ONES, train=train)
        np.testing.assert_array_equal(output, ONES + 1)
        assert state == {"state": {"calls": 1 + train, "offset": 1}}
    assert len(module.inputs.get_value()) == 1
    module(ONES)
    assert network.init(key, ONES) == variables


def test_an_ensemble_of_a_factory_has_members_that_differ(key, rows):
    model = models.autoencoder((6,), 2, encoder=nets.as_network(lambda rngs: nnx.Linear(6, 2, rngs=rngs)))
    kernels = jax.vmap(lambda key: model.init(key, Batch(rows[:1])))(jax.random.split(key, 2))["params"]["encoder"]
    assert not np.allclose(*kernels["kernel"])


def test_functions_may_take_conditions_the_key_and_the_mode(key):
    def apply(params, x, cond, *, key, train):
        return params * x + cond + (jax.random.normal(key, x.shape) if train else 0)

    network = nets.as_network((lambda key, x: jnp.full((), 2.0), apply))
    variables = network.init(key, ONES, ONES)
    np.testing.assert_array_equal(network.apply(variables, ONES, ONES)[0], 3 * ONES)
    noise = jax.random.normal(key, ONES.shape)
    np.testing.assert_array_equal(network.apply(variables, ONES, ONES, key, True)[0], 3 * ONES + noise)


class Graph(nn.Module):
    def __call__(self, x, edges, *, nodes, mask=None):
        return x


class Silent(nn.Module):
    """Has no call."""


class NnxGraph(nnx.Module):
    def __call__(self, x, edges):
        return x


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Graph(), "Graph.__call__: found the required argument edges and nodes, expected x, cond and train only"),
        (NnxGraph(), "NnxGraph.__call__: found the required argument edges"),
        ((affine, lambda params, x, edges: x), "apply: found the required argument edges"),
        ((lambda key: None, affine_apply), r"init: found the arguments \(key\), expected key and x first"),
        (OnlyX, r"found the class OnlyX, expected a module; give OnlyX\(...\)"),
        (Silent(), "Silent: found no __call__"),
        (nnx.Module(), "Module: found no __call__"),
        (3, "network: found int, expected a linen module"),
        ((affine, 3), "network: found tuple, expected a linen module"),
        (
            jnp.tanh,
            "expected a module, a pair of functions, or a function of nnx.Rngs that makes an nnx module; called",
        ),
        (lambda rngs: 3, "which makes .* of nnx.Rngs, expected an nnx module"),
    ],
)
def test_what_is_no_network_is_refused_in_a_sentence(network, message):
    with pytest.raises(ValueError, match=message):
        nets.as_network(network)


def test_a_network_is_returned_as_it_is():
    network = nets.mlp((), (2,))
    assert nets.as_network(network) is network


def test_nnx_is_imported_only_for_who_hands_in_such_a_module():
    code = (
        "import sys, aejax; from flax import linen; aejax.nets.as_network(linen.Dense(2)); print('flax.nnx' in "
        "sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
