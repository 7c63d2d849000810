"""Laws of the functions of every model of the registry: a model added later is tested by being added."""

import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aejax
from aejax import losses, models
from aejax.base import Adversary, Aux, Batch, Latent, Model
from aejax.data.batches import as_batch
from aejax.models.gaps import filled_in_training
from aejax.models.subspaces import local_subspaces
from tests.conftest import REGISTRY

SIGNATURES = {
    "init": ["key", "batch"],
    "encode": ["variables", "x", "cond"],
    "decode": ["variables", "z", "cond"],
    "loss": ["key", "variables", "batch", "hparams", "train"],
    "score": ["key", "variables", "batch"],
    "sample": ["key", "variables", "num_samples", "cond", "z"],
    "log_likelihood": ["key", "variables", "batch", "num_samples"],
    "generate": ["variables", "z", "cond"],
    "discriminate": ["variables", "x", "cond"],
    "generator_loss": ["key", "variables", "batch", "hparams"],
    "discriminator_loss": ["key", "variables", "batch", "hparams"],
    "evaluate": ["key", "variables", "batch", "hparams"],
}
# Models of the registry with other options, whose formulas no model above has.
EVENT = {"event_shape": (6,), "latent_dim": 2}
VARIANTS = {
    "importance_weighted": models.vae(**EVENT, num_importance_samples=2),
    "shared_scale": models.vae(**EVENT, likelihood=losses.gaussian("shared")),
    "fixed_scale": models.vae(**EVENT, likelihood=losses.gaussian(0.5)),
    **{f"likelihood_{name}": models.vae(**EVENT, likelihood=losses.likelihood(name)) for name in losses.LIKELIHOODS},
    "shortcut": models.autoencoder(**EVENT, shortcut=True),
    "normalised": models.autoencoder(**EVENT, batch_norm=True, dropout_rate=0.1),
    "masking_noise": models.denoising_autoencoder(**EVENT, corruption="masking", emphasis=2.0),
    "salt_and_pepper": models.denoising_autoencoder(**EVENT, corruption="salt_and_pepper"),
    **{f"sparse_{name}": models.sparse_autoencoder(**EVENT, penalty=name) for name in ("l1", "topk", "jumprelu")},
    "coarse_grid": models.convolutional_vae(**EVENT, hidden_dims=(4,), grid=(3,), dense_dims=(4,)),
    "subspaces": local_subspaces((6,), 2, num_regions=2, scale="sqrt"),
    "spectral_mask": models.masking_autoencoder((6,), frame_length=4, hop=1, hidden_dim=4),
}


@pytest.fixture
def variables(request, data, key):
    one = request.getfixturevalue("model" if "model" in request.fixturenames else "member")
    return jax.jit(one.init)(key, as_batch(data))


def calls(one, variables, batch, key):
    """Each function of a Model or an Adversary, ready to call."""
    cond = None if batch.cond is None else batch.cond[:5]
    made = {"score": (lambda v: one.score(key, v, batch), variables)}
    if isinstance(one, Adversary):
        z = jnp.ones((300, 2), jnp.float32)
        made |= {
            "generate": (lambda v: one.generate(v, z, batch.cond), variables),
            "discriminate": (lambda v: one.discriminate(v, batch.x, batch.cond), variables),
            "generator_loss": (lambda v: one.generator_loss(key, v, batch, one.hparams), variables),
            "discriminator_loss": (lambda v: one.discriminator_loss(key, v, batch, one.hparams), variables),
            "evaluate": (lambda v: one.evaluate(key, v, batch, one.hparams), variables),
        }
    else:
        z = one.encode(variables, batch.x, batch.cond).mean
        made |= {
            "encode": (lambda v: one.encode(v, batch.x, batch.cond), variables),
            "decode": (lambda v: one.decode(v, z, batch.cond), variables),
            "loss": (lambda v: one.loss(key, v, batch, one.hparams), variables),
        }
        if one.log_likelihood is not None:
            made["log_likelihood"] = (lambda v: one.log_likelihood(key, v, batch, 3), variables)
    if one.sample is not None:
        made["sample"] = (lambda v: one.sample(key, v, 5, cond), variables)
    return made


def losses_of(one):
    """The losses of a Model or an Adversary as (key, variables, batch) -> (scalar, Aux)."""
    names = ["generator_loss", "discriminator_loss"] if isinstance(one, Adversary) else ["loss"]
    return [lambda k, v, b, name=name: getattr(one, name)(k, v, b, one.hparams) for name in names]


def test_signatures_follow_the_naming_law(member):
    for name, expected in SIGNATURES.items():
        function = getattr(member, name, None)
        if function is not None:
            assert list(inspect.signature(function).parameters) == expected, name


def test_shapes_and_types_and_arrays_only(member, variables, data, key):
    assert isinstance(member, Model | Adversary)
    results = {
        name: function(argument) for name, (function, argument) in calls(member, variables, as_batch(data), key).items()
    }
    shapes = {"score": (300,), "generate": (300, 6), "discriminate": (300,), "decode": (300, 6), "sample": (5, 6)}
    shapes["log_likelihood"] = (300,)
    for name, result in results.items():
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(result)), name
        if name in shapes:
            chex.assert_shape(result, shapes[name])
    if isinstance(member, Model):
        assert isinstance(results["encode"], Latent)
        chex.assert_shape(results["encode"].mean, (300, 2))
        assert {"loss", "mse"} <= set(results["loss"][1].metrics)
    for loss in losses_of(member):
        value, aux = loss(key, variables, as_batch(data))
        chex.assert_shape(value, ())
        assert isinstance(aux, Aux)


@pytest.mark.parametrize("one", {**REGISTRY, **VARIANTS})
def test_results_are_float32_whatever_the_default_type(one, rows, key):
    wants_conditions = one.startswith("conditional")
    one, data = {**REGISTRY, **VARIANTS}[one], Batch(rows, cond=rows[:, :1] if wants_conditions else None)
    batch = as_batch(data)
    variables = jax.jit(one.init)(key, batch)

    @jax.jit
    def everything(key, variables, batch):
        rest = {name: parts for name, parts in variables.items() if name != "params"}
        gradients = [
            jax.value_and_grad(lambda params, loss=loss: loss(key, {**rest, "params": params}, batch), has_aux=True)
            for loss in losses_of(one)
        ]
        results = {name: function(argument) for name, (function, argument) in calls(one, variables, batch, key).items()}
        return results, [gradient(variables["params"]) for gradient in gradients]

    for leaf in jax.tree.leaves((variables, everything(key, variables, batch))):
        assert leaf.dtype == np.float32


def test_tasks_take_rows_of_numpy_and_of_jax(member, data, key):
    variables = jax.jit(member.init)(key, as_batch(data))
    for rows in (data, as_batch(data)):
        calibration = aejax.calibrate(key, member, variables, rows)
        detection = aejax.detect(key, member, variables, rows, calibration, 0.1)
        results = [calibration.score, detection.score]
        assert 0 < detection.is_anomaly.sum() <= 30
        if isinstance(member, Model):
            results += [aejax.encode(member, variables, rows), aejax.reconstruct(member, variables, rows)]
        if member.sample is not None:
            cond = None if rows.cond is None else np.asarray(rows.cond)[:5]
            results += [aejax.generate(key, member, variables, 5, cond)]
        for leaf in jax.tree.leaves(results):
            assert leaf.dtype == np.float32
            assert np.isfinite(leaf).all()


def test_jit_equals_no_jit(member, variables, data, key):
    for name, (function, argument) in calls(member, variables, as_batch(data), key).items():
        expected = function(argument)
        chex.assert_trees_all_close(jax.jit(function)(argument), expected, rtol=1e-4, atol=1e-5, custom_message=name)


def test_vmap_equals_a_loop(member, data, key):
    batch, keys = as_batch(data), jax.random.split(key, 3)
    stacked = jax.jit(jax.vmap(member.init, in_axes=(0, None)))(keys, batch)
    single = [jax.jit(member.init)(key, batch) for key in keys]
    functions = {name: function for name, (function, _) in calls(member, single[0], batch, key).items()}

    @jax.jit
    def everything(variables):
        return {name: function(variables) for name, function in functions.items()}

    mapped = jax.vmap(everything)(stacked)
    looped = jax.tree.map(lambda *leaves: np.stack(leaves), *[everything(v) for v in single])
    for name in functions:
        chex.assert_trees_all_close(mapped[name], looped[name], rtol=1e-4, atol=1e-4, custom_message=name)


def test_missing_values_do_not_reach_loss_or_score(member, variables, data, key):
    with_gaps = np.array(data.x)
    with_gaps[::3, 1] = np.nan
    with_gaps[5] = np.nan  # a row of which nothing is observed
    batch = as_batch(data._replace(x=with_gaps))
    # Compiled, a NaN that a later step hides would not be seen where NaN are looked for.
    compiled = (lambda function: function) if jax.config.jax_debug_nans else jax.jit
    for loss in losses_of(member):
        of_params = compiled(
            jax.value_and_grad(lambda p, loss=loss: loss(key, {**variables, "params": p}, batch), has_aux=True)
        )
        (value, aux), gradient = of_params(variables["params"])
        assert np.isfinite(value)
        assert all(np.isfinite(metric) for metric in aux.metrics.values())
        chex.assert_tree_all_finite(gradient)
    score_of = compiled(member.score)
    assert np.isfinite(score_of(key, variables, jax.tree.map(lambda field: np.delete(field, 5, axis=0), batch))).all()
    if not jax.config.jax_debug_nans:  # which refuses the NaN that this score is by contract
        score = np.asarray(score_of(key, variables, batch))
        assert np.isnan(score[5])
        assert np.isfinite(np.delete(score, 5)).all()
    if isinstance(member, Model):  # what stands in a masked target is never read
        given, other = (batch._replace(target=jnp.where(batch.mask, batch.x, hidden)) for hidden in (0, 1e6))
        loss = compiled(member.loss)
        values = [loss(key, variables, b, member.hparams)[0] for b in (given, other)]
        np.testing.assert_array_equal(*values)


def test_the_row_mask_leaves_rows_out(model, variables, data, key):
    keep = np.arange(300) < 100
    # deterministic part only: noise is drawn per row, so compare inference mode of the score
    all_scores = model.score(key, variables, data)
    masked = model.score(key, variables, data._replace(mask=jnp.asarray(keep)))
    np.testing.assert_allclose(masked[:100], all_scores[:100], rtol=1e-5)
    twice = None if data.cond is None else jnp.concatenate([data.cond, data.cond])
    doubled = Batch(jnp.concatenate([data.x, 50 + data.x]), cond=twice, mask=jnp.arange(600) < 300)
    assert model.loss(key, variables, doubled, model.hparams, train=False)[1].metrics["mse"] < 10


def test_weights_of_one_change_nothing_and_weights_of_zero_leave_out(model, variables, data, key):
    batch = as_batch(data)
    ones, half = jnp.ones_like(batch.x), jnp.ones_like(batch.x).at[:, 3:].set(0)
    gaps = batch._replace(mask=half.astype(bool))
    # An encoder reads what has no weight, but not what is masked: there it is given what follows from the rest.
    filled = filled_in_training(model.encode, model.decode, variables, gaps)._replace(mask=None, weight=half)
    plain, weighted, halved, masked = (
        model.loss(key, variables, b, model.hparams, train=False)[0]
        for b in (batch, batch._replace(weight=ones), filled, gaps)
    )
    np.testing.assert_allclose(weighted, plain, rtol=1e-5)
    if not isinstance(model.hparams, models.DenoisingHparams):  # which does not corrupt what is masked
        np.testing.assert_allclose(halved, masked, rtol=1e-5)


def test_the_loss_does_not_depend_on_the_batch_size(model, variables, data, key):
    batch = as_batch(data)
    many = jax.tree.map(lambda field: jnp.tile(field, (20, 1)), batch)
    few, more = (model.loss(key, variables, b, model.hparams, train=False)[0] for b in (batch, many))
    # Those that draw codes have noise, of a tenth of a nat, about a loss that may be near zero.
    np.testing.assert_allclose(few, more, rtol=0.05, atol=0.1)


def test_conditions_are_used(member, rows, key):
    cond = rows[:, :1]
    batch = Batch(rows, cond=cond)
    variables = member.init(key, batch)
    given = (member.generate if isinstance(member, Adversary) else member.decode)(
        variables, jnp.zeros((300, 2)), jnp.asarray(cond)
    )
    assert np.ptp(np.asarray(given), axis=0).max() > 0
    with pytest.raises(ValueError, match="conditions"):
        (member.discriminate if isinstance(member, Adversary) else member.encode)(variables, rows)


def test_a_factory_gives_the_same_model_for_equal_arguments():
    for factory in models.MODELS.values():
        assert factory((6,), 2, hidden_dims=[8]) is factory([6], 2, hidden_dims=(8,))


def test_every_factory_is_public_and_documented():
    for name, factory in models.MODELS.items():
        assert getattr(models, name) is factory
        documentation = inspect.getdoc(factory)
        for argument in inspect.signature(factory).parameters:
            assert f"{argument}: " in documentation, f"{name} says nothing of {argument}"


def test_wrong_event_shape_is_named(member, variables, data):
    function = member.discriminate if isinstance(member, Adversary) else member.encode
    with pytest.raises(ValueError, match=r"x: found shape \(4, 5\), expected \(n, 6\)"):
        function(variables, jnp.zeros((4, 5)), None if data.cond is None else data.cond[:4])


def test_public_names_exist():
    for name in aejax.__all__:
        assert hasattr(aejax, name), name
