"""Maps as experiments give them: a third of the pixels missing, noise below zero, an error for each."""

import warnings

import jax
import numpy as np
import pytest

from aejax.base import Batch
from aejax.models.subspaces import local_subspaces
from aejax.tasks.surrogate import (
    Compression,
    compress,
    compress_maps,
    evaluate_surrogate,
    expand,
    explained,
    fit_compression,
    fit_predictor,
    fit_surrogate,
    predict,
    through_components,
)
from aejax.tasks.surrogate.codes import observed_codes
from aejax.tasks.surrogate.compression import _directions_of_maps, _whitening, principal_directions
from aejax.tasks.surrogate.observed import Observed, completed, observe, product_of_profiles
from tests.real_data import FOLDER, present
from tests.tasks.test_surrogate import ENERGY, MOMENTUM, two_lines

FILE = FOLDER / "neutron" / "sqe_maps.npz"
SIZE = {"num_numbers": 8, "num_regions": 6, "num_widened": 600}


def reached(momentum, energy, incident, highest):
    """Where a spectrometer of that incident energy, with detectors from 3 degrees on, sees anything."""
    before, after = (np.sqrt(np.maximum(of, 0) / 2.0721) for of in (incident, incident - energy))
    low, high = (
        np.sqrt(np.maximum(before**2 + after**2 - 2 * before * after * np.cos(np.radians(angle)), 0))
        for angle in (3, highest)
    )
    return (momentum[:, None] >= low) & (momentum[:, None] <= high) & (energy < 0.97 * incident)


def experiment(maps, momentum, energy, incident, rng, noise, dead=0.08):
    """Maps as measured: limits of kinematics, a gap between detectors, dead pixels, a background subtracted."""
    seen = np.stack([reached(momentum, energy, rng.uniform(*incident), rng.uniform(115, 140)) for _ in maps])
    for one in seen:
        begin = rng.integers(0, len(momentum))
        one[begin : begin + max(len(momentum) // 24, 1)] = False
    seen &= rng.random(maps.shape) > dead
    level = np.array([one[of].mean() for one, of in zip(maps, seen, strict=True)])[:, None, None]
    errors = np.sqrt(noise * level * (maps + 2 * level))
    noisy = maps + errors * rng.standard_normal(maps.shape)
    return np.where(seen, noisy, np.nan).astype(np.float32), np.where(seen, errors, np.nan), seen


@pytest.fixture(scope="module")
def properties():
    return np.random.default_rng(0).random((160, 3))


@pytest.fixture(scope="module")
def truth(properties):
    return two_lines(properties)


@pytest.fixture(scope="module")
def measured(truth):
    found = experiment(truth, MOMENTUM + 1.5, ENERGY, (42, 80), np.random.default_rng(1), noise=0.004, dead=0.2)
    assert 0.3 < 1 - found[2].mean() < 0.45
    assert 0.1 < np.mean(found[0][found[2]] < 0) < 0.35
    return found


@pytest.fixture(scope="module")
def complete(truth):
    return fit_compression(jax.random.key(0), truth[:120], MOMENTUM, ENERGY, **SIZE)


@pytest.fixture(scope="module")
def learned(measured):
    """From maps with errors, and from the same without."""
    maps, errors, _ = measured
    with pytest.warns(UserWarning, match="of the pixels below 0, taken as noise"):
        without = fit_compression(jax.random.key(0), maps[:120], MOMENTUM, ENERGY, **SIZE)
    return {
        True: fit_compression(jax.random.key(0), maps[:120], MOMENTUM, ENERGY, errors=errors[:120], **SIZE),
        False: without,
    }


def known(measured, has_errors):
    """The maps held out, as they are observed."""
    maps, errors, _ = measured
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return observe(maps[120:], errors[120:] if has_errors else None)


@pytest.mark.parametrize("has_errors", [True, False])
def test_a_third_missing_and_noise_below_zero_cost_little(truth, measured, complete, learned, has_errors):
    answer = expand(learned[has_errors], observed_codes(learned[has_errors], known(measured, has_errors))[0])
    best = expand(complete, compress(complete, truth[120:]))
    mean = truth[:120].mean(axis=0)
    assert explained(truth[120:], answer, mean) > explained(truth[120:], best, mean) - 0.02
    assert answer.min() >= 0
    # What is missing is said nearly as well as what is there.
    assert explained(truth[120:], answer, mean, ~measured[2][120:]) > 0.9


def test_complete_maps_are_learned_from_as_ever(truth, complete):
    by_mask = fit_compression(
        jax.random.key(0), np.ma.masked_array(truth[:120], np.zeros(truth[:120].shape, bool)), MOMENTUM, ENERGY, **SIZE
    )
    np.testing.assert_array_equal(by_mask.variables["params"]["basis"], complete.variables["params"]["basis"])


def test_a_mask_of_numpy_is_a_gap(truth, complete):
    dead = np.random.default_rng(2).random(truth[120:].shape) < 0.3
    hidden = np.ma.masked_array(np.where(dead, 1e6, truth[120:]), dead)
    found, expected = (observe(maps).maps for maps in (hidden, np.where(dead, np.nan, truth[120:])))
    np.testing.assert_array_equal(found, expected)


def test_precise_pixels_decide_the_code(truth, complete):
    """Half of the pixels are off by a lot, and their errors say so."""
    rng = np.random.default_rng(3)
    bad = rng.random(truth[120:].shape) < 0.5
    size = np.where(bad, 1.0, 1e-3) * truth.mean()
    maps = truth[120:] + size * rng.standard_normal(bad.shape)
    mean = truth[:120].mean(axis=0)
    with_errors = expand(complete, observed_codes(complete, observe(maps, size))[0])
    without = expand(complete, compress(complete, maps, error="intensity"))
    left = [1 - explained(truth[120:], answer, mean) for answer in (with_errors, without)]
    assert left[0] < 0.5 * left[1]


def test_what_noise_leaves_open_is_not_made_up(truth, complete):
    """Of half of the energies, seen through noise, a code without a prior makes maps that are off by their own size."""
    rng = np.random.default_rng(6)
    size = 0.3 * truth.mean()
    maps = np.where(np.arange(20) < 9, truth[120:] + size * rng.standard_normal(truth[120:].shape), np.nan)
    observed = Observed(maps.astype(np.float32), np.where(np.isfinite(maps), size, np.nan))
    left = [
        np.sum(np.square(truth[120:] - expand(complete, observed_codes(one, observed)[0])))
        for one in (complete, complete._replace(whitening=None))
    ]
    assert left[0] < 0.8 * left[1]


def test_more_numbers_than_maps_and_regions_without_intensity_do_no_harm():
    maps = np.zeros((2, 4, 12), np.float32)
    maps[:, :, 1] = [[1.0], [2.0]]
    learned = fit_compression(
        jax.random.key(0), maps, np.arange(1, 5), np.arange(1, 13), num_numbers=6, num_widened=300
    )
    assert np.isfinite(learned.whitening).all()
    answer = expand(learned, observed_codes(learned, Observed(maps, np.full(maps.shape, 0.1)))[0])
    assert explained(maps, answer, 0 * maps[0]) > 0.8


def test_the_prior_of_a_code_knows_which_numbers_go_together():
    rows = np.random.default_rng(0).standard_normal((500, 3)) @ np.array([[3.0, 1, 0], [0, 0.1, 1], [0, 0, 0.2]])
    whitened = rows @ _whitening(rows)
    np.testing.assert_allclose(whitened.T @ whitened, np.eye(3), atol=1e-8)


def test_small_errors_are_no_errors(truth, complete):
    answers = [
        expand(complete, observed_codes(complete, Observed(truth[120:], errors))[0])
        for errors in (None, 1e-4 * np.ones_like(truth[120:]))
    ]
    assert explained(answers[0], answers[1], truth[:120].mean(axis=0)) > 0.98


def test_codes_are_means_of_a_power():
    """The known answer for flat maps in spots: (mean x^p)^(1/p), which roots put 12 % below the mean."""
    model = local_subspaces((30, 40), 2, scale="sqrt")
    flat = Compression(model, {"params": {"basis": np.full((1, 1, 30, 40), 1200**-0.5, np.float32)}})
    spots = np.random.default_rng(7).gamma(2, 0.5, (3, 30, 40)).astype(np.float32)
    for options, power in (({}, 2 / 3), ({"error": "sqrt"}, 1 / 2), ({"error": "intensity"}, 1)):
        expected = np.mean(spots**power, axis=(1, 2)) ** (1 / power)
        np.testing.assert_allclose(expand(flat, compress(flat, spots, **options))[:, 0, 0], expected, rtol=1e-3)


def test_subspaces_hold_what_differs_in_bright_pixels():
    """A pattern of two bright pixels is small in roots beside one of twenty dark pixels, and large in intensity."""
    bright, dark = np.random.default_rng(8).standard_normal((2, 200, 1))
    y = np.concatenate([10 + bright, 10 - bright, 0.5 + 0.4 * dark * np.ones(20)], axis=1).astype(np.float32)
    basis = _directions_of_maps(y, 2)
    np.testing.assert_allclose(basis @ basis.T, np.eye(2), atol=1e-5)
    left = [np.square(y[:, :2] - (y @ rows.T @ rows)[:, :2]).mean() for rows in (basis, principal_directions(y, 2))]
    assert left[0] < 0.1 * left[1]


def test_weights_decide_as_masks_do(truth, complete):
    dead = np.random.default_rng(4).random(truth[120:].shape) < 0.3
    by_weight = compress(
        complete, Batch(np.where(dead, 9, truth[120:]), weight=np.where(dead, 0, 1.0)), error="intensity", num_steps=15
    )
    by_mask = compress(complete, Batch(np.where(dead, 9, truth[120:]), mask=~dead), error="intensity", num_steps=15)
    seen = [np.sum(np.square(truth[120:] - expand(complete, z)), where=~dead) for z in (by_weight, by_mask)]
    assert seen[0] == pytest.approx(seen[1], rel=0.01)


def test_what_is_expected_lies_between_map_and_fit():
    maps = np.array([[[4.0, 4.0, np.nan]]], np.float32)
    fitted = np.array([[[1.0, 1.0, 2.0]]])
    errors = np.array([[[1e-9, 1e9, np.nan]]])
    np.testing.assert_allclose(completed(Observed(maps, None), fitted), [[[4, 4, 2]]])
    # The first pixel is known, and shows how far the fit is off; the second says nothing.
    np.testing.assert_allclose(completed(Observed(maps, errors), fitted), [[[4, 1, 2]]], atol=1e-6)
    equal = Observed(np.array([[[2.0, 0.0]]], np.float32), np.full((1, 1, 2), 0.5))
    # Misfit: (1 + 1 - 2 * 0.25) / 2 = 0.75 of an intensity of 1; share 0.75 / (0.75 + 0.25).
    np.testing.assert_allclose(completed(equal, np.ones((1, 1, 2))), [[[1.75, 0.25]]])


def test_the_first_guess_is_exact_for_products():
    maps = np.outer([1.0, 2, 4], [3.0, 1, 2])[None]
    np.testing.assert_allclose(product_of_profiles(maps), maps)
    maps[0, 1, 1] = np.nan
    assert np.isfinite(product_of_profiles(maps)).all()


def test_noise_is_measured_below_zero():
    maps = np.abs(np.random.default_rng(0).standard_normal((1, 100, 100))) * 10
    maps[0, :, :50] = np.random.default_rng(1).standard_normal((100, 50))
    with pytest.warns(UserWarning, match=r"found 2[0-9]\.[0-9]% of the pixels below 0"):
        found = observe(maps)
    np.testing.assert_allclose(found.errors, 1, atol=0.05)
    rounding = np.abs(maps)
    rounding[0, 0, 0] = -1e-9
    assert observe(rounding).errors is None


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        (np.ones((3, 2)), r"errors: found shape \(3, 2\), expected \(2, 3, 4\)"),
        (-np.ones((2, 3, 4)), "errors: found -1, expected standard deviations, at least 0"),
        (np.zeros((2, 3, 4)), "errors: found none above 0"),
    ],
)
def test_errors_that_cannot_be_are_named(errors, message):
    with pytest.raises(ValueError, match=message):
        observe(np.ones((2, 3, 4)), errors)


def test_errors_of_zero_are_gaps():
    errors = np.ones((1, 2, 2))
    errors[0, 0, 0] = 0
    with pytest.warns(UserWarning, match="found 0 at 1 pixels, which are taken as missing"):
        assert np.argwhere(np.isnan(observe(np.ones((1, 2, 2)), errors).maps)).tolist() == [[0, 0, 0]]


def test_pixels_that_no_map_observed_are_said(truth):
    maps = truth[:20].copy()
    maps[:, 0] = np.nan
    with pytest.warns(UserWarning, match=r"found 16\.7% of the pixels in none of the maps"):
        fit_compression(jax.random.key(0), maps, MOMENTUM, ENERGY, num_numbers=3, num_regions=2, num_widened=50)


def test_components_of_maps_with_gaps_are_those_of_the_whole(truth):
    gaps = np.random.default_rng(5).random(truth.shape) < 0.2
    holes = np.where(gaps, np.nan, truth)
    whole, found = through_components(truth[:120], truth[120:], 8), through_components(holes[:120], holes[120:], 8)
    mean = truth[:120].mean(axis=0)
    assert explained(truth[120:], found, mean) > explained(truth[120:], whole, mean) - 0.03


def test_maps_are_predicted_from_what_was_observed(truth, properties, measured, learned):
    maps, errors, _ = measured
    predictor = fit_predictor(
        jax.random.key(1),
        learned[True],
        properties[:120],
        maps[:120],
        errors=errors[:120],
        num_members=2,
        num_epochs=200,
    )
    answer = predict(predictor, properties[120:]).mean
    assert explained(truth[120:], answer, truth[:120].mean(axis=0)) > 0.85


@pytest.mark.slow
def test_a_surrogate_of_measured_maps_is_measured_on_what_was_observed(measured, properties):
    maps, errors, _ = measured
    size = {"num_numbers": 6, "num_regions": 3, "num_widened": 150, "num_members": 1, "num_epochs": 5, "num_folds": 2}
    surrogate = fit_surrogate(
        jax.random.key(0),
        maps[:60],
        MOMENTUM,
        ENERGY,
        {"p": properties[:60]},
        errors=errors[:60],
        groups=np.arange(60) // 15,
        **size,
    )
    found = surrogate.measured
    assert np.isfinite(list(found.values())).all()
    assert "R2 of compression on groups held out, of square roots" not in found
    assert found["share of the variance that is noise"] == pytest.approx(
        np.nansum(errors[:60] ** 2) / np.nansum((maps[:60] - np.nanmean(maps[:60], axis=0)) ** 2), rel=0.1
    )
    noise = found["share of the variance that is noise"]
    # Few maps and few numbers: what counts is that noise is not explained.
    assert 0.7 < found["R2 of compression on groups held out"] < 1 - 0.5 * noise
    z = compress_maps(surrogate, maps[120:], MOMENTUM, ENERGY, errors=errors[120:])
    assert np.isfinite(z).all()
    assert evaluate_surrogate(surrogate, maps[120:], errors=errors[120:])["R2 of compression"] > 0.7


@pytest.mark.slow
def test_measured_maps_of_crystals_not_seen_are_held_as_complete_ones():
    file = np.load(present(FILE))
    maps, momentum, energy = file["S"], file["Q"].astype(float), file["E"].astype(float)
    test = np.isin(file["crystal"], np.unique(file["crystal"])[1::5])
    given, errors, seen = experiment(maps, momentum, energy, (210, 400), np.random.default_rng(2), noise=0.02)
    assert 1 - seen.mean() > 1 / 3
    size = {"num_regions": 8, "num_widened": 1200}
    complete = fit_compression(jax.random.key(0), maps[~test], momentum, energy, **size)
    best = expand(complete, compress(complete, maps[test]))
    with pytest.warns(UserWarning, match="in none of the maps; what is said of them is extrapolated"):
        learned = fit_compression(jax.random.key(0), given[~test], momentum, energy, errors=errors[~test], **size)
    answer = expand(learned, observed_codes(learned, observe(given[test], errors[test]))[0])
    mean = maps[~test].mean(axis=0)
    assert explained(maps[test], answer, mean) > explained(maps[test], best, mean) - 0.02
    # Square roots bring out weak bands, of which noise hides some.
    roots = np.sqrt(maps[~test]).mean(axis=0)
    r2 = [explained(np.sqrt(maps[test]), np.sqrt(one), roots) for one in (answer, best)]
    assert r2[0] > r2[1] - 0.02
