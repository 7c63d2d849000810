import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aejax import models
from aejax.artefacts import codecs
from aejax.artefacts.codecs import Stored
from aejax.base import Batch
from aejax.models.subspaces import local_subspaces
from aejax.tasks.surrogate import (
    Compression,
    Surrogate,
    Widening,
    compress,
    compress_maps,
    evaluate_surrogate,
    expand,
    explained,
    fit_compression,
    fit_predictor,
    fit_surrogate,
    predict,
    predict_maps,
    through_components,
    widening,
)
from aejax.tasks.surrogate.stored import _spread_as_whitening
from aejax.training import engine
from tests.real_data import FOLDER, present

MOMENTUM, ENERGY = np.linspace(0.5, 4, 6), np.arange(1, 40, 2.0)
FILE = FOLDER / "neutron" / "sqe_maps.npz"


def two_lines(properties):
    """Maps of two lines whose places and strengths are the properties, (n, 3) in [0, 1]."""
    first, second, strength = np.asarray(properties).T
    lines = [
        height[:, None] * np.exp(-0.5 * ((ENERGY - place[:, None]) / 3) ** 2)
        for place, height in ((6 + 8 * first, 1 + strength), (20 + 12 * second, 2 - strength))
    ]
    return (np.sum(lines, axis=0)[:, None] * (MOMENTUM**2)[:, None]).astype(np.float32)


@pytest.fixture(scope="module")
def properties():
    return np.random.default_rng(0).random((160, 3))


@pytest.fixture(scope="module")
def maps(properties):
    return two_lines(properties)


@pytest.fixture(scope="module")
def compression(maps):
    return fit_compression(
        jax.random.key(0), maps[:120], MOMENTUM, ENERGY, num_numbers=8, num_regions=6, num_widened=600
    )


def test_new_maps_of_the_family_are_held_by_few_numbers(maps, compression):
    z = compress(compression, maps[120:])
    assert z.shape == (40, 8)
    assert explained(maps[120:], expand(compression, z), maps[:120].mean(axis=0)) > 0.97


def bands(rng, num_maps):
    """Maps of one dispersive band below one cut-off, whose shape, width and strength differ: a family of its own."""
    momentum, energy = np.linspace(0.5, 6, 12)[:, None], np.arange(1, 60, 3.0)
    draw = rng.uniform([0.7, 2, 0.1, 0.005], [1.6, 6, 1, 0.02], (num_maps, 4))[:, :, None, None]
    lattice, width, share, soft = draw.swapaxes(0, 1)
    place = 40 * np.abs(np.sin(np.pi * momentum * lattice / 2)) + 3
    lines = sum(
        strength * width / ((energy - factor * place) ** 2 + width**2) for strength, factor in ((1, 1), (share, 0.5))
    )
    return (lines * momentum**2 * np.exp(-soft * momentum**2) / energy).astype(np.float32), momentum[:, 0], energy


def test_many_maps_of_a_narrow_family_are_held_about_as_well_as_by_components():
    """Stretching to cut-offs that do not occur costs little: by stretched maps alone R² is 0.07 behind."""
    maps, momentum, energy = bands(np.random.default_rng(0), 500)
    train, test = maps[:400], maps[400:]
    learned = fit_compression(jax.random.key(0), train, momentum, energy, num_regions=8, num_widened=800)
    answer = expand(learned, compress(learned, test, num_steps=3))
    mean = np.sqrt(train).mean(axis=0)
    plain = through_components(np.sqrt(train), np.sqrt(test), 20)
    assert explained(np.sqrt(test), np.sqrt(answer), mean) > explained(np.sqrt(test), plain, mean) - 0.03


def test_components_are_those_of_the_covariance(maps):
    train, test = maps[:120], maps[120:]
    mean = train.mean(axis=0)
    directions = np.linalg.svd((train - mean).reshape(120, -1), full_matrices=False)[2][:5]
    expected = mean + ((test - mean).reshape(40, -1) @ directions.T @ directions).reshape(test.shape)
    np.testing.assert_allclose(through_components(train, test, 5), expected, atol=1e-2 * maps.max())
    np.testing.assert_allclose(through_components(train[:3], train[:3], 9), train[:3], atol=1e-4 * maps.max())


def test_refinement_lessens_the_error_it_is_asked_to(maps, compression):
    def error(z, scale):
        return np.sum((scale(expand(compression, z)) - scale(maps[120:])) ** 2, axis=(1, 2))

    begin = compress(compression, maps[120:], num_steps=0)
    for name, scale in (("sqrt", np.sqrt), ("balanced", lambda x: np.cbrt(x) ** 2), ("intensity", lambda x: x)):
        refined = compress(compression, maps[120:], error=name)
        assert np.all(error(refined, scale) <= error(begin, scale) * 1.001)
        assert error(refined, scale).sum() < 0.99 * error(begin, scale).sum()


def test_dead_pixels_neither_move_the_code_nor_stay_dark(maps, compression):
    dead = np.random.default_rng(1).random(maps[120:].shape) < 0.2
    whole = compress(compression, maps[120:])
    by_nan = compress(compression, np.where(dead, np.nan, maps[120:]))
    by_mask = compress(compression, Batch(np.where(dead, 50, maps[120:]), mask=~dead))
    filled = expand(compression, by_nan)
    assert explained(maps[120:], filled, maps[:120].mean(axis=0), dead) > 0.95
    np.testing.assert_allclose(by_nan, by_mask, atol=1e-4)
    np.testing.assert_allclose(expand(compression, whole), filled, atol=0.15 * maps.max())


def test_the_unit_of_the_maps_does_not_matter(maps, properties, compression):
    tiny = 1e-12
    whole, small = (expand(compression, compress(compression, maps[120:] * unit)) / unit for unit in (1, tiny))
    np.testing.assert_allclose(small, whole, atol=1e-3 * maps.max())
    surrogates = [
        fit_predictor(jax.random.key(1), compression, properties[:120], maps[:120] * unit, num_members=1)
        for unit in (1, tiny)
    ]
    one, other = (
        predict(fitted, properties[120:]).mean / unit for fitted, unit in zip(surrogates, (1, tiny), strict=True)
    )
    mean = maps[:120].mean(axis=0)
    assert explained(maps[120:], other, mean) > explained(maps[120:], one, mean) - 0.02


def test_a_map_of_which_nothing_is_observed_has_no_code(maps, properties, compression, key):
    rows = maps[:3].copy()
    rows[1] = np.nan
    z = compress(compression, rows)
    assert np.isnan(z).any(axis=1).tolist() == [False, True, False]
    assert np.isnan(expand(compression, z)).all(axis=(1, 2)).tolist() == [False, True, False]
    with pytest.raises(ValueError, match="1 maps of which nothing is observed, the first in row 1"):
        fit_predictor(key, compression, properties[:3], rows)


def test_spectra_are_maps_of_a_single_momentum(maps):
    options = {"num_numbers": 8, "num_regions": 6, "num_widened": 600}
    learned = fit_compression(jax.random.key(0), maps[:120, :1], MOMENTUM[:1], ENERGY, **options)
    answer = expand(learned, compress(learned, maps[120:, :1]))
    assert explained(maps[120:, :1], answer, maps[:120, :1].mean(axis=0)) > 0.97
    with pytest.raises(ValueError, match=r"give maps\[:, None\] and a single momentum"):
        fit_compression(jax.random.key(0), maps[:, 0], MOMENTUM[:1], ENERGY)


def test_a_linear_autoencoder_is_refined_to_least_squares(rows, key):
    """The known answer: the decoder's columns, and the code nearest to each row."""
    model = models.autoencoder((6,), 2, hidden_dims=())
    variables = model.init(key, Batch(jnp.zeros((1, 6))))
    z = compress(Compression(model, variables), rows, error="intensity")
    layer = variables["params"]["decoder"]["layer_0"]
    expected = np.linalg.lstsq(np.asarray(layer["kernel"]).T, (rows - np.asarray(layer["bias"])).T, rcond=None)[0].T
    np.testing.assert_allclose(z, expected, atol=1e-3)


def test_any_model_with_encoder_and_decoder(maps, properties, key):
    model = models.vae(maps.shape[1:], 3, hidden_dims=())
    variables = model.init(key, Batch(jnp.zeros((1, *maps.shape[1:]))))
    surrogate = fit_predictor(
        key, Compression(model, variables), properties, maps, error="intensity", num_members=2, num_epochs=2
    )
    assert predict(surrogate, properties[:5]).code.shape == (2, 5, 3)


def test_the_same_key_gives_the_same_bits_and_compiles_nothing(maps, properties, compression):
    def fitted():
        return fit_predictor(jax.random.key(1), compression, properties[:32], maps[:32], num_members=3, num_epochs=2)

    def num_programs():
        return engine.program(engine.advance.__wrapped__, ("run",))._cache_size()

    first, before = fitted(), num_programs()
    second = fitted()
    assert num_programs() == before
    np.testing.assert_array_equal(predict(first, properties).mean, predict(second, properties).mean)


def test_maps_are_predicted_from_properties(maps, properties, compression):
    surrogate = fit_predictor(
        jax.random.key(1), compression, properties[:120], maps[:120], num_members=3, num_epochs=300
    )
    prediction = predict(surrogate, properties[120:])
    assert prediction.mean.min() >= 0
    assert explained(maps[120:], prediction.mean, maps[:120].mean(axis=0)) > 0.93
    away = predict(surrogate, 3 * np.ones((1, 3)))
    assert away.spread.sum() > 3 * prediction.spread.sum(axis=(1, 2)).mean()
    # Widened by what is found on some held-out maps, the spread holds on others.
    found = widening(maps[120:140], prediction.mean[:20], prediction.spread[:20], 0.9)
    widened = predict(surrogate._replace(widening=found), properties[140:])
    expected = found.factor * np.hypot(prediction.spread[20:], found.floor)
    np.testing.assert_allclose(widened.spread, expected, rtol=1e-6)
    np.testing.assert_array_equal(widened.mean, prediction.mean[20:])
    # One half of so few maps says little of the other: on average over many halves it does.
    coverage = []
    for seed in range(20):
        found_on, held_on = np.split(np.random.default_rng(seed).permutation(40), 2)
        factor, floor = widening(maps[120:][found_on], prediction.mean[found_on], prediction.spread[found_on], 0.9)
        spread = factor * np.hypot(prediction.spread[held_on], floor)
        coverage.append(np.mean(np.abs(maps[120:][held_on] - prediction.mean[held_on]) <= 2 * spread))
    assert abs(np.mean(coverage) - 0.9) < 0.03


def test_members_are_chosen_by_whole_groups(maps, compression):
    """Each family has its own map, and properties that say nothing of it: none is best predicted by little."""
    group = np.arange(120) // 6
    rng = np.random.default_rng(0)
    properties = rng.standard_normal((20, 4))[group] + 0.01 * rng.standard_normal((120, 4))
    families = maps[group] * rng.uniform(0.9, 1.1, (120, 1, 1)).astype(np.float32)
    test = group >= 14
    answers = []
    for groups in (None, np.char.add("family ", group[~test].astype(str))):
        surrogate = fit_predictor(
            jax.random.key(1),
            compression,
            properties[~test],
            families[~test],
            groups=groups,
            num_members=2,
            num_epochs=100,
        )
        answer = predict(surrogate, properties[test])
        assert answer.code.shape == (2, test.sum(), 8)
        answers.append(explained(families[test], answer.mean, families[~test].mean(axis=0)))
    assert answers[1] > answers[0] + 0.1
    with pytest.raises(ValueError, match=r"groups: found shape \(3,\), expected \(120,\)"):
        fit_predictor(jax.random.key(1), compression, properties, families, groups=np.arange(3))
    with pytest.raises(ValueError, match="groups: found a single group"):
        fit_predictor(jax.random.key(1), compression, properties, families, groups=np.zeros(120))


def test_how_a_spread_is_widened():
    x, nothing, one = np.arange(1.0, 101)[:, None], np.zeros((100, 1)), np.ones((100, 1))
    factor, floor = widening(x, nothing, one, 0.9)
    assert floor == 1
    assert factor == pytest.approx(91 / np.sqrt(8))  # 91 of 100 lie within two times hypot(1, 1)
    assert widening(np.where(x > 50, np.nan, x), nothing, one, 0.9).factor == pytest.approx(46 / np.sqrt(8))
    # Where members agree the floor is what is left of a spread.
    spread = np.where(x > 50, 0, one)
    factor, floor = widening(x, nothing, spread, 0.9)
    assert floor == 1
    assert np.mean(x <= 2.000001 * factor * np.hypot(spread, floor)) == 0.91
    # One member alone.
    assert widening(x, nothing, nothing).floor == pytest.approx(np.sqrt(np.mean(x**2)))
    assert widening(nothing, nothing, nothing) == (0, 0)
    with pytest.raises(ValueError, match="found shapes"):
        widening(x, nothing[:3], one)
    with pytest.raises(ValueError, match="coverage: found 95"):
        widening(x, nothing, one, 95)
    with pytest.raises(ValueError, match="no observed pixel"):
        widening(x * np.nan, nothing, one)


@pytest.mark.slow
def test_twenty_numbers_beat_twenty_components_on_crystals_not_seen():
    file = np.load(present(FILE))
    names = np.unique(file["crystal"])[[0, 4, 6, 11, 12, 17, 20, 22, 24]]
    kept = np.isin(file["crystal"], names)
    maps, crystal = file["S"][kept], file["crystal"][kept]
    test = np.isin(crystal, names[1::4])
    learned = fit_compression(jax.random.key(0), maps[~test], file["Q"], file["E"], num_regions=8, num_widened=1200)
    answer = expand(learned, compress(learned, maps[test], num_steps=3))
    y, mean = np.sqrt(maps[~test]), np.sqrt(maps[~test]).mean(axis=0)
    directions = np.linalg.svd((y - mean).reshape(len(y), -1), full_matrices=False)[2][:20]
    off = (np.sqrt(maps[test]) - mean).reshape(test.sum(), -1)
    pca = explained(np.sqrt(maps[test]), mean + (off @ directions.T @ directions).reshape(answer.shape), mean)
    assert explained(np.sqrt(maps[test]), np.sqrt(answer), mean) > pca + 0.02


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda maps: -maps, r"found a sum of -.* in map 0 .* some intensity above 0; subtract less background"),
        (lambda maps: np.where(maps > 1, np.inf, maps), "found infinite values"),
        (
            lambda maps: np.where(np.arange(160)[:, None, None] == 3, np.nan, maps),
            "the first in row 3; leave these out",
        ),
        (lambda maps: maps[:, :3], "expected \\(n, 6, 20\\)"),
        (lambda maps: np.zeros_like(maps), "found a sum of 0 in map 0"),
    ],
)
def test_bad_maps_are_named(change, message, maps):
    with pytest.raises(ValueError, match=message):
        fit_compression(jax.random.key(0), change(maps), MOMENTUM, ENERGY, num_widened=100)


def test_edges_of_bins_are_named_as_such(maps, key):
    edges = np.append(ENERGY - 1, ENERGY[-1] + 1)
    with pytest.raises(ValueError, match=r"energy seems to be edges of bins: give their centres, \(energy\[1:\]"):
        fit_compression(key, maps, MOMENTUM, edges)


def test_what_cannot_work_is_refused(maps, properties, compression, key):
    with pytest.raises(ValueError, match="a GAN has no encoder"):
        compress(Compression(models.gan((6,), 2), {}), maps)
    with pytest.raises(ValueError, match='at least 0 for error="balanced"; give error="intensity"'):
        compress(compression, -maps)
    with pytest.raises(ValueError, match="properties: found missing"):
        fit_predictor(key, compression, np.full((160, 1), np.nan), maps)
    with pytest.raises(ValueError, match="properties: found shape"):
        fit_predictor(key, compression, properties[:7], maps)
    with pytest.raises(ValueError, match="num_epochs: found 0, expected a positive"):
        fit_predictor(key, compression, properties, maps, num_epochs=0)
    with pytest.raises(ValueError, match="num_regions"):
        local_subspaces((6,), 3, 0)


@pytest.fixture(scope="module")
def surrogate(maps, properties):
    size = {"num_numbers": 6, "num_regions": 4, "num_widened": 200, "num_members": 2, "num_epochs": 40}
    named = {"places": properties[:120, :2], "strength": properties[:120, 2]}
    return fit_surrogate(
        jax.random.key(0), maps[:120], MOMENTUM, ENERGY, named, groups=np.arange(120) // 10, num_folds=2, **size
    )


def named(properties):
    return {"strength": properties[:, 2], "places": properties[:, :2]}


def test_a_surrogate_is_measured_on_rows_held_out(surrogate, maps, properties):
    properties = np.clip(properties, surrogate.least, surrogate.most)
    found = evaluate_surrogate(surrogate, maps[120:], named(properties[120:]))
    compressed = expand(surrogate.compression, compress(surrogate.compression, maps[120:]))
    predicted = predict(surrogate.predictor, properties[120:])
    assert found["R2 of compression"] == explained(maps[120:], compressed, maps[120:].mean(axis=0))
    assert found["R2 of prediction"] == explained(maps[120:], predicted.mean, maps[120:].mean(axis=0)) > 0.3
    within = np.abs(maps[120:] - predicted.mean) <= 2 * predicted.spread
    assert found["pixels within two spreads"] == pytest.approx(within.mean())
    assert within.mean() > 0.8  # widened to 0.95 on groups held out
    with pytest.raises(ValueError, match="maps: found 1, expected at least two"):
        evaluate_surrogate(surrogate, maps[:1])


def test_a_surrogate_comes_back_as_it_was_saved(surrogate, maps, properties, tmp_path):
    codecs.save(tmp_path, surrogate)
    found = codecs.load(tmp_path, Surrogate)
    assert found.compression.model is surrogate.compression.model
    np.testing.assert_array_equal(found.compression.whitening, surrogate.compression.whitening)
    assert (found.names, found.measured) == (surrogate.names, surrogate.measured)
    assert found.predictor.widening == surrogate.predictor.widening != Widening()
    for name in ("momentum", "energy", "least", "most"):
        np.testing.assert_array_equal(getattr(found, name), getattr(surrogate, name))
    np.testing.assert_array_equal(compress_maps(found, maps[:5]), compress_maps(surrogate, maps[:5]))
    inside = named(properties[:120])
    for ours, theirs in zip(predict_maps(found, inside), predict_maps(surrogate, inside), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_one_spread_for_all_regions_becomes_a_whitening_of_each():
    basis, spread = np.zeros((4, 2, 3, 5)), np.array([np.inf, 0.5, 0.1])
    stored = Stored({}, {"compression": {"params": {"basis": basis}}, "spread": spread})
    found = _spread_as_whitening(stored).arrays
    np.testing.assert_allclose(found["whitening"], np.tile(np.diag([2.0, 10.0]), (4, 1, 1)))
    assert "spread" not in found


def test_a_surrogate_without_properties_comes_back_and_predicts_nothing(maps, tmp_path):
    size = {"num_numbers": 4, "num_regions": 3, "num_widened": 100}
    codecs.save(tmp_path, fit_surrogate(jax.random.key(0), maps, MOMENTUM, ENERGY, **size))
    found = codecs.load(tmp_path)
    assert compress_maps(found, maps[:3], MOMENTUM, ENERGY).shape == (3, 4)
    with pytest.raises(ValueError, match="trained without any"):
        predict_maps(found, {"mass": np.ones(3)})


def test_networks_of_another_size_are_refused(surrogate, tmp_path):
    params = dict(surrogate.predictor.variables["params"])
    params["layer_0"] = {"kernel": np.zeros((2, 4, 128), np.float32), "bias": np.zeros((2, 128), np.float32)}
    variables = {**surrogate.predictor.variables, "params": params}
    codecs.save(tmp_path, surrogate._replace(predictor=surrogate.predictor._replace(variables=variables)))
    with pytest.raises(ValueError, match="cannot be read as a surrogate: predictor does not fit the model"):
        codecs.load(tmp_path)


def test_properties_outside_of_the_range_of_training_are_named(surrogate, properties):
    far = named(properties[:4] * [1, 1, 9])
    with pytest.warns(UserWarning, match=r"strength: found .* trained on .* extrapolated"):
        predict_maps(surrogate, far)
    far = named(properties[:4] * [1, 9, 1])
    with pytest.warns(UserWarning, match=r"places\[1\]: found"):
        predict_maps(surrogate, far)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strength": np.full(4, "Al2O3")}, r"strength: found \['Al2O3' 'Al2O3'\]\.\.\., expected numbers"),
        ({"strength": np.ones(3)}, "properties: found different numbers of rows, .*'strength': 3"),
        ({"strength": np.ones((4, 2))}, "properties: found 4 columns, expected 3 as in training"),
        ({"strength": 1.0}, "strength: found a single value, expected an array"),
    ],
)
def test_properties_that_do_not_fit_are_named(surrogate, properties, change, message):
    with pytest.raises(ValueError, match=message):
        predict_maps(surrogate, named(properties[:4]) | change)


def test_properties_and_groups_that_do_not_fit_the_maps_are_named(surrogate, maps, properties, key):
    with pytest.raises(ValueError, match="properties: found strength, expected places as well"):
        predict_maps(surrogate, {"strength": properties[:, 2]})
    with pytest.raises(ValueError, match="properties: found 3 rows, expected 160"):
        fit_surrogate(key, maps, MOMENTUM, ENERGY, {"strength": np.ones(3)})
    with pytest.raises(ValueError, match=r"groups: found shape \(3,\), expected \(160,\)"):
        fit_surrogate(key, maps, MOMENTUM, ENERGY, groups=np.ones(3))
    with pytest.raises(ValueError, match="num_folds: found 9, expected 2 to 4"):
        fit_surrogate(key, maps, MOMENTUM, ENERGY, groups=np.arange(160) % 4, num_folds=9)
