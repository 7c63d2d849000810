"""Travel times that no ground gives, rays that stand out, time zero and heavy tails: with known answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import aejax
from aejax.tasks import inversion
from aejax.tasks.inversion import accuracy, sentences, verdict
from aejax.tasks.inversion.rays import Rays, explanations, travel_time_limits

VELOCITIES = (0.06, 0.08)
RNG = np.random.default_rng(0)


def survey(distance=3.3, slowness=1 / 0.07, noise=0.3):
    """A hundred rays through a ground whose slowness is the same but for a tenth."""
    down, up = (depth.ravel() for depth in np.meshgrid(*2 * [np.arange(0.2, 4.0, 0.4)], indexing="ij"))
    rays = Rays(np.column_stack([down, 0 * down]), np.column_stack([up, 0 * up + distance]), 0 * up)
    rng = np.random.default_rng(3)
    return rays._replace(
        time=rays.distance * slowness * rng.uniform(0.93, 1.05, 100) + noise * rng.standard_normal(100)
    )


def said(rays, noise=0.3, **options):
    limits = travel_time_limits(rays, VELOCITIES, noise)
    return sentences.impossible_times(rays, limits, VELOCITIES, noise, **{"is_distance_known": False} | options)


def test_times_of_possible_grounds_are_possible():
    assert said(survey()) == ""
    rays = survey()
    noise = 0.3 * np.random.default_rng(8).standard_normal((200, 100))
    for velocity in VELOCITIES:
        # Of a thousand surveys one at most is to be refused for its noise.
        assert sum(said(rays._replace(time=rays.distance / velocity + one)) != "" for one in noise) <= 2


@pytest.mark.parametrize(("unit", "factor"), [("s", 1e9), ("ms", 1e6), ("us", 1e3), ("ps", 1e-3)])
def test_times_in_another_unit_are_named(unit, factor):
    rays = survey()
    text = said(rays._replace(time=rays.time / factor))
    assert text.startswith("travel_time: found 100 of 100 that no ground of 0.06 to 0.08 m/ns gives")
    assert text.endswith(f"explained by times in {unit} (--time-unit {unit})")


@pytest.mark.parametrize("shift", [-12.0, 10.0, 30.0])
def test_a_time_zero_is_offered_that_holds_the_true_one(shift):
    rays = survey()
    shifted = rays._replace(time=rays.time + shift)
    (found,) = [one for one in explanations(shifted, VELOCITIES, 0.3) if one.of == "time zero"]
    assert found.low < shift < found.high
    assert "--estimate-time-zero" in said(shifted)
    assert ("too late" if shift > 0 else "too early") in said(shifted)


@pytest.mark.parametrize("distance", [2.0, 5.0])
def test_another_distance_is_offered_unless_it_was_measured(distance):
    rays = survey(3.3)._replace(time=survey(distance).time)
    (found,) = [one for one in explanations(rays, VELOCITIES, 0.3) if one.of == "distance"]
    assert found.low < distance < found.high
    assert "source_x and receiver_x" in said(rays)
    assert "source_x" not in said(rays, is_distance_known=True)


def test_single_rays_are_named_with_what_they_should_be():
    rays = survey()
    late = rays._replace(time=np.where(np.arange(100) == 17, 3 * rays.time, rays.time))
    text = said(late)
    assert "found 1 of 100" in text
    assert "row 18 (source 0.6 m, receiver 3 m)" in text
    assert text.endswith("leave such rows out, or give --heavy-tails, which allows single times to be wrong")
    at_one_source = rays._replace(time=np.where(rays.source[:, 0] == rays.source[30, 0], rays.time + 40, rays.time))
    assert "; all have the source at 1.4 m" in said(at_one_source)
    steepness = np.abs(rays.source[:, 0] - rays.receiver[:, 0])
    steep = rays._replace(time=np.where(steepness > 3.0, rays.time + 40, rays.time))
    assert "; all are steeper than 40 degrees, and no others are" in said(steep)


def test_velocities_that_are_too_near_are_said():
    rays = survey()
    wide = rays._replace(time=rays.time * np.where(np.arange(100) % 2, 0.6, 1.5))
    text = said(wide, is_distance_known=True)
    assert "too late or too early" in text
    assert text.endswith("correct the positions, the times or --velocities")


D, M = 2, 40
FORWARD = RNG.normal(size=(M, D)).astype(np.float32)


@pytest.fixture(scope="module")
def linear():
    """A decoder z -> z, and data that are linear in it, near 50."""
    model = aejax.models.vae((D,), D, hidden_dims=())
    variables = model.init(jax.random.key(0), aejax.Batch(jnp.zeros((1, D))))
    layer = {"kernel": jnp.eye(D), "bias": jnp.zeros(D)}
    return model, {**variables, "params": {**variables["params"], "decoder": {"layer_0": layer}}}


def observe(x):
    return 50 + jnp.asarray(FORWARD) @ x


def nothing_left_out(scale=0.0, num_rows=200):
    return accuracy.error_of_rows(scale * RNG.normal(size=(num_rows, M)))


def judged(linear, y, covariance):
    model, variables = linear
    stated = inversion.problem(model, variables, observe, y, covariance, D)
    found = inversion.maximum_a_posteriori(jax.random.key(0), stated, num_starts=2)
    most = inversion.usual(jax.random.key(1), nothing_left_out(), covariance)
    predicted = np.asarray(observe(found.z[0]), float)
    return inversion.judge(stated, found.z[0], float(found.misfit[0]), most, predicted, covariance)


TRUTH = np.asarray(observe(jnp.array([0.7, -0.4])), float)


def test_what_is_right_is_explained_and_what_is_wrong_is_found(linear):
    covariance = 0.25 * np.eye(M)
    y = TRUTH + 0.5 * np.random.default_rng(1).normal(size=M)
    right = judged(linear, y, covariance)
    assert right.is_explained
    assert right.stands_out == ()
    late = judged(linear, y + 3, covariance)
    assert late.stands_out[0] == "shift"
    # Generalised least squares with the code as unknown, in closed form.
    design = np.column_stack([FORWARD, np.ones(M)])
    precision = design.T @ design / 0.25 + np.diag([1.0] * D + [0.0])
    inverse = np.linalg.inv(precision)
    expected = (inverse @ design.T @ (y + 3 - 50) / 0.25)[-1]
    np.testing.assert_allclose(late.shift, (expected, inverse[-1, -1] ** 0.5), rtol=1e-3)
    off = judged(linear, np.where(np.arange(M) == 11, y + 6, y), covariance)
    np.testing.assert_array_equal(np.nonzero(off.is_off)[0], [11])
    noisy = judged(linear, TRUTH + 1.5 * np.random.default_rng(1).normal(size=M), covariance)
    assert noisy.misfit > noisy.most
    assert not any(found.is_explained for found in (late, off, noisy))


def test_what_is_right_is_hardly_ever_called_wrong(linear):
    """Fifty measurements without fault: at a chance of some one in a hundred, five are not to be expected."""
    covariance = 0.25 * np.eye(M)
    noise = 0.5 * np.random.default_rng(5).normal(size=(50, M))
    assert sum(not judged(linear, TRUTH + one, covariance).is_explained for one in noise) < 5


def test_what_is_usual_is_that_of_new_rows():
    """Gaussian errors of few rows and many data: the covariance of the rows themselves would make them too likely."""
    error = nothing_left_out(0.4, num_rows=60)
    covariance = inversion.time_covariance(error, 0.3)
    most = inversion.usual(jax.random.key(0), error, covariance)
    new = (0.4 * RNG.normal(size=(2000, M)) + 0.3 * RNG.normal(size=(2000, M)) - error.mean).T
    misfit = np.sqrt((new * np.linalg.solve(covariance, new)).mean(axis=0))
    assert abs(np.quantile(misfit, 0.99) / most.misfit - 1) < 0.12
    precision = np.linalg.inv(covariance)
    score = (np.abs(precision @ new) / np.sqrt(np.diagonal(precision))[:, None]).max(axis=0)
    assert abs(np.quantile(score, 0.99) / most.score - 1) < 0.25
    assert verdict._QUANTILE == 0.99


def test_a_time_zero_is_estimated_whatever_its_size(linear):
    y = TRUTH + 0.5 * np.random.default_rng(1).normal(size=M)
    error = nothing_left_out()
    for shift in (-20.0, 0.0, 35.0):
        spread = float(np.max(y + shift))
        covariance = inversion.time_covariance(error, 0.5, time_zero_spread=spread)
        found = judged(linear, y + shift, covariance)
        assert found.is_explained
        mean, deviation = inversion.time_zero(found.residual, inversion.time_covariance(error, 0.5), spread)
        assert abs(mean - shift) < 5 * deviation
        assert 0.05 < deviation < 0.2


def test_heavy_tails_weigh_as_the_gamma_variable_of_a_t_distribution():
    residual = np.array([0.0, 1.0, 2.0, 30.0, -80.0])
    alone = inversion.heavy_tailed_weights(residual, accuracy.error_of_rows(np.zeros((9, 5))), 1.0)
    np.testing.assert_allclose(alone, np.minimum(1, 5 / (4 + residual**2)), rtol=1e-6)
    # What the decoder leaves out is no fault of a ray.
    allowed = inversion.heavy_tailed_weights(residual, accuracy.error_of_rows(40 * RNG.normal(size=(500, 5))), 1.0)
    assert allowed.min() > 0.4


def test_part_of_a_residual_may_be_the_decoder_s():
    """Residual 4, decoder's variance 1, noise 1: the weight that agrees with what is left for the noise."""
    error = accuracy.ApproximationError(np.zeros(1), np.eye(1), np.zeros((2, 1)))

    def disagreement(weight):
        noise = 1 / weight
        mean, variance = 4 * noise / (noise + 1), noise / (noise + 1)
        return weight - 5 / (4 + mean**2 + variance)

    expected = scipy.optimize.brentq(disagreement, 0.2, 1.0)
    np.testing.assert_allclose(inversion.heavy_tailed_weights([4.0], error, 1.0), expected, rtol=1e-6)


def test_a_ray_that_hardly_counts_does_not_move_the_fit(linear):
    model, variables = linear
    y = TRUTH + 0.3 * np.random.default_rng(1).normal(size=M)
    wrong = np.where(np.isin(np.arange(M), (3, 20)), y + 60, y)
    error = nothing_left_out()
    start = np.zeros(M)
    for _ in range(4):
        weight = inversion.heavy_tailed_weights(
            wrong - np.asarray(observe(jnp.asarray(start[:D], jnp.float32))), error, 0.3
        )
        stated = inversion.problem(model, variables, observe, wrong, inversion.time_covariance(error, 0.3, weight), D)
        start = np.asarray(inversion.maximum_a_posteriori(jax.random.key(0), stated, num_starts=2).z[0])
    assert set(np.nonzero(weight < 0.1)[0]) == {3, 20}
    np.testing.assert_allclose(start, [0.7, -0.4], atol=0.25)
