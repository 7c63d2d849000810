"""Detection: the false alarm rate is the one asked for, whatever the model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aejax import models
from aejax.data.batches import as_batch
from aejax.tasks import calibrate, detect, p_values, score, threshold
from aejax.tasks import rows as task_rows
from aejax.training import fit
from tests.conftest import REGISTRY


def test_p_values_are_the_ranks_among_calibration_scores():
    normal = np.array([1.0, 2.0, np.nan, 3.0, 4.0])
    np.testing.assert_allclose(p_values(normal, np.array([0.5, 2.0, 3.5, 9.0])), [1.0, 0.8, 0.4, 0.2])
    assert np.isnan(p_values(normal, np.array([np.nan]))).all()
    assert p_values([1.0, np.inf], [2.0]).tolist() == [2 / 3]


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
def test_threshold_and_p_value_agree(rate):
    rng = np.random.default_rng(0)
    normal = rng.gamma(2, size=199).round(1)  # rounded, so that there are ties
    score = rng.gamma(2, size=5000).round(1)
    limit = threshold(normal, rate)
    np.testing.assert_array_equal(score > limit, p_values(normal, score) <= rate + 1e-12)


def test_too_few_calibration_rows_flag_nothing():
    assert threshold(np.arange(50.0), 0.01) == np.inf


def test_the_false_alarm_rate_is_the_one_asked_for():
    """Over many calibration sets, the mean rate on new normal rows is at most the rate, and near it."""
    rng = np.random.default_rng(1)
    rates = []
    for _ in range(400):
        normal = rng.standard_normal(99)
        rates.append((p_values(normal, rng.standard_normal(500)) <= 0.05 + 1e-12).mean())
    standard_error = np.std(rates) / np.sqrt(len(rates))
    assert np.mean(rates) == pytest.approx(0.05, abs=4 * standard_error)


def part(data, rows):
    return jax.tree.map(lambda field: field[rows], data)


def test_a_shifted_sensor_is_found_and_named(request, model, data, key):
    training = part(data, np.arange(300) % 200)  # as many rows as the laws have, and so the same program
    fitted = fit(key, model, training, num_epochs=60, learning_rate=1e-2)
    held_out = part(data, slice(200, None))
    calibration = calibrate(key, model, fitted.variables, held_out)
    broken = held_out._replace(x=held_out.x + 6 * np.eye(6)[3])
    normal = detect(key, model, fitted.variables, held_out, calibration, 0.05)
    found = detect(key, model, fitted.variables, broken, calibration, 0.05)
    assert normal.is_anomaly.mean() <= 0.05
    assert found.is_anomaly.mean() > 0.5
    # The residual spreads over correlated sensors, but the broken one leads; not so where a network ties neighbours.
    if not request.node.callspec.id.startswith("convolutional"):
        assert np.bincount(found.contribution.argmax(axis=1), minlength=6).argmax() == 3


def test_rows_with_missing_values(model, data, key):
    variables = model.init(key, as_batch(data))
    calibration = calibrate(key, model, variables, data)
    few = part(data, slice(5))
    gaps = few.x.copy()
    gaps[0, 2] = np.nan
    gaps[1] = np.nan
    found = detect(key, model, variables, few._replace(x=gaps), calibration)
    assert np.isfinite(found.score[0])
    assert found.contribution[0, 2] == 0
    assert np.isnan(found.p_value[1])
    assert not found.is_anomaly[1]


def test_blocks_do_not_change_a_score(model, data, key, monkeypatch):
    variables = model.init(key, as_batch(data))
    whole = calibrate(key, model, variables, data)
    monkeypatch.setitem(task_rows._SIZES, "cpu", task_rows._Sizes(64, 2**22))
    np.testing.assert_allclose(calibrate(key, model, variables, data).score, whole.score, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rows_ahead", [(1, 0), (3, 1), (8, 2)])
@pytest.mark.parametrize("missing", [[], [0], [200], [0, 1, 33, 100, 299]], ids=str)
def test_rows_that_are_checked_on_the_device_give_the_same_scores(rows, key, monkeypatch, missing, rows_ahead):
    """As on a GPU: blocks are computed as if they had gaps like those before, while others are on their way."""
    model = REGISTRY["vae"]
    variables = model.init(key, as_batch(rows))
    x = rows.copy()
    x[missing, 1] = np.nan
    monkeypatch.setitem(task_rows._SIZES, "cpu", task_rows._Sizes(32, 2**22))
    expected = score(key, model, variables, x)
    monkeypatch.setitem(task_rows._SIZES, "other", task_rows._Sizes(32, 2**22))
    monkeypatch.setattr(task_rows, "_BLOCKS_AHEAD", rows_ahead[0])
    monkeypatch.setattr(task_rows, "_RESULTS_BEHIND", rows_ahead[1])
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    np.testing.assert_array_equal(score(key, model, variables, x), expected)
    with jax.debug_nans(True):
        np.testing.assert_array_equal(score(key, model, variables, x), expected)
    x[290, 0] = np.inf
    with pytest.raises(ValueError, match="x: found an infinite value"):
        score(key, model, variables, x)


def test_rows_of_many_elements_are_taken_a_few_at_a_time(key):
    """An image takes as much memory as thousands of rows of a table."""
    assert task_rows.rows_at_once(224 * 224 * 3) == 16
    assert task_rows.rows_at_once(10**9) == 1
    model = models.autoencoder((300, 300), 2, hidden_dims=())
    variables = model.init(key, as_batch(np.zeros((1, 300, 300))))
    assert score(key, model, variables, np.ones((70, 300, 300), np.float32)).shape == (70,)


def test_a_bad_rate_is_named(rows, key):
    model = REGISTRY["vae"]
    variables = model.init(key, as_batch(rows))
    calibration = calibrate(key, model, variables, rows)
    with pytest.raises(ValueError, match=r"false_alarm_rate: found 1\.5"):
        detect(jax.random.key(0), model, variables, rows, calibration, 1.5)


def test_scores_that_are_none_are_named(rows, key):
    model = REGISTRY["vae"]
    calibration = calibrate(key, model, model.init(key, as_batch(rows)), rows)
    with pytest.raises(ValueError, match="normal: found a Calibration, expected"):
        threshold(calibration, 0.05)
    with pytest.raises(ValueError, match=r"normal: found shape \(2, 3\), expected \(m,\) scores"):
        p_values(np.zeros((2, 3)), np.zeros(2))


def test_contributions_are_in_units_of_each_elements_residual(key):
    """A model that reconstructs zero: the residual is the row."""
    model = models.autoencoder((3,), 1, hidden_dims=())
    variables = jax.tree.map(jnp.zeros_like, model.init(key, as_batch(np.zeros((1, 3)))))
    calibration = calibrate(key, model, variables, np.array([[1.0, 10.0, 0.0], [-3.0, 30.0, 0.0]]))
    np.testing.assert_allclose(calibration.residual_scale, [np.sqrt(5), np.sqrt(500), 1e-3], rtol=1e-5)
    found = detect(key, model, variables, np.array([[1.0, 10.0, 0.002]]), calibration)
    np.testing.assert_allclose(found.contribution, [[1 / 5, 1 / 5, 4]], rtol=1e-4)
