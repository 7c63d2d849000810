"""Arguments that are written down once are seen wherever they can be given."""

import inspect
import pickle

import pytest

import aejax
from aejax import models
from aejax.artefacts.described import describe, made
from aejax.kernels.options import options_of
from aejax.models.autoencoder import AutoencoderOptions
from aejax.models.coder import DenseOptions, dense_networks
from aejax.models.convolutional import ConvolutionalOptions, convolutional_networks
from aejax.training.fitting import FitOptions
from tests.conftest import REGISTRY


def options(function):
    """What can be given by name and has a default."""
    found = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in found if each.kind is each.KEYWORD_ONLY}


@pytest.mark.parametrize("name", models.MODELS)
def test_a_factory_shows_all_of_its_options(name):
    signature = inspect.signature(models.MODELS[name])
    assert not any(each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL) for each in signature.parameters.values())
    assert "options: " not in inspect.getdoc(models.MODELS[name])


def test_options_are_those_of_the_other_function_but_for_its_own():
    shared = options(dense_networks)
    assert shared.items() <= options(models.vae).items()
    assert options(models.sparse_autoencoder).items() >= (shared | {"hidden_dims": ()}).items()
    assert options(models.conditional_gan) == options(models.gan)
    assert options(models.conditional_vae) == options(models.vae)


def test_many_fits_have_the_options_of_one():
    assert options(aejax.ensemble) == options(aejax.fit)
    assert options(aejax.sweep) == {"over": inspect.Parameter.empty, **options(aejax.fit)}
    for name in options(aejax.fit):
        assert f"\n    {name}: " in inspect.getdoc(aejax.sweep)


@pytest.mark.parametrize(
    ("kind", "function"),
    [
        (DenseOptions, dense_networks),
        (ConvolutionalOptions, convolutional_networks),
        (AutoencoderOptions, models.autoencoder),
        (FitOptions, aejax.fit),
    ],
)
def test_type_checkers_know_the_same_options(kind, function):
    assert set(kind.__annotations__) == set(options(function))


@pytest.mark.parametrize("name", REGISTRY)
def test_models_are_made_again_from_their_descriptions(name):
    assert made(describe(REGISTRY[name])) is REGISTRY[name]
    assert pickle.loads(pickle.dumps(REGISTRY[name])) is REGISTRY[name]


def test_an_unknown_option_is_named_with_its_factory():
    with pytest.raises(TypeError, match=r"vae\(\) got an unexpected keyword argument 'hiden_dims'"):
        models.vae((5,), 2, hiden_dims=(8,))


def test_positional_arguments_are_no_options():
    def other(first, *, given, shared=1, own=2): ...

    @options_of(other)
    def function(x, *, own=3, **options):
        """Does."""

    assert str(inspect.signature(function)) == "(x, *, own=3, shared=1)"
