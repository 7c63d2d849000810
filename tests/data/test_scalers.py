import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aejax.data.columns.scalers import constant_columns, fit_scaler, scale, unscale


@pytest.fixture
def x():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 4)) * [1e-3, 1, 50, 1e6] + [1e3, 0, -20, 1e9]
    x[rng.random(x.shape) < 0.1] = np.nan
    return x


def test_standardises_what_is_observed(x):
    scaled = scale(fit_scaler(x), x)
    np.testing.assert_array_equal(np.isnan(scaled), np.isnan(x))
    np.testing.assert_allclose(np.nanmean(scaled, axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.nanstd(scaled, axis=0), 1, rtol=1e-9)


def test_round_trip(x):
    scaler = fit_scaler(x)
    np.testing.assert_allclose(unscale(scaler, scale(scaler, x)), x, rtol=1e-13, atol=1e-13)


def test_statistics_are_float64_whatever_is_given(x):
    scaler = fit_scaler(x.astype(np.float32))
    assert scaler.mean.dtype == scaler.scale.dtype == np.float64
    np.testing.assert_allclose(scaler.mean, np.nanmean(x.astype(np.float32).astype(float), axis=0), rtol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e9 / 3, 1e-300, 7.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_columns_are_scaled_by_their_value(value, dtype):
    constant = np.full(100_001, value, dtype)
    jitter = np.nextafter(constant, dtype(np.inf), where=np.arange(100_001) % 2 == 0, out=constant.copy())
    varies = np.linspace(value - 1e-3 * abs(value) - 1e-30, value, 100_001).astype(dtype)
    gaps = constant.copy()
    gaps[::3] = np.nan
    x = np.stack([constant, jitter, varies, gaps], axis=1)
    if value == 0 or dtype(value) == 0:
        x = x[:, [0, 0, 2, 3]]  # beside zero there is no rounding to speak of
    scaler = fit_scaler(x)
    expected = [True, True, bool(np.ptp(x[:, 2]) > 0), True]
    expected[2] = not expected[2]
    np.testing.assert_array_equal(constant_columns(x), expected)
    size = np.abs(dtype(value)).astype(float) or 1.0
    np.testing.assert_array_equal(np.isclose(scaler.scale, size, rtol=1e-5, atol=0), expected)
    assert np.nanmax(np.abs(scale(scaler, x[:, [0, 3]].repeat(2, axis=1)))[:, 0]) <= 1e-2


def test_jax_arrays(x):
    filled = np.nan_to_num(x[:, 1:3]).astype(np.float32)
    scaler = fit_scaler(jnp.asarray(filled))
    scaled = jax.jit(lambda x: scale(scaler, x))(filled)
    assert isinstance(scaled, jax.Array)
    assert scaled.dtype == jnp.float32
    np.testing.assert_allclose(scaled, scale(scaler, filled), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(unscale(scaler, scaled), filled, rtol=1e-5, atol=1e-4)


def test_the_unit_interval_is_filled(x):
    scaler = fit_scaler(x, scaling="unit_interval")
    scaled = scale(scaler, x)
    np.testing.assert_array_equal(np.nanmin(scaled, axis=0), 0)
    np.testing.assert_allclose(np.nanmax(scaled, axis=0), 1, rtol=1e-15)
    np.testing.assert_allclose(unscale(scaler, scaled), x, rtol=1e-13, atol=1e-9)
    np.testing.assert_array_equal(fit_scaler(np.full((9, 1), 0.3), scaling="unit_interval").scale, 0.3)


def test_counts_stay_as_they_are():
    counts = np.array([[0.0, 7.0], [np.nan, 1e9]])
    np.testing.assert_array_equal(scale(fit_scaler(counts, scaling="counts"), counts), counts)
    for wrong in (-1, 0.5):
        with pytest.raises(ValueError, match="column 'b': found a value that is no count, expected whole numbers"):
            fit_scaler(np.array([[1, wrong]]), columns=("a", "b"), scaling="counts")


@pytest.mark.parametrize("scaling", ["standardised", "unit_interval", "counts"])
def test_no_columns(scaling):
    x = np.zeros((3, 0))
    assert scale(fit_scaler(x, scaling=scaling), x).shape == (3, 0)


def test_errors():
    x = np.array([[1.0, np.nan], [2.0, np.nan]])
    with pytest.raises(ValueError, match="column 1: found no value at all"):
        fit_scaler(x)
    with pytest.raises(ValueError, match="column 'p': found no value at all"):
        fit_scaler(x, columns=("T", "p"))
    with pytest.raises(ValueError, match="column 0: found an infinite value"):
        fit_scaler(np.array([[np.inf], [1.0]]))
    with pytest.raises(ValueError, match="scaling: found 'robust', expected one of standardised, unit_interval"):
        fit_scaler(np.zeros((3, 2)), scaling="robust")
    for shape in ((3,), (0, 2), (2, 2, 2)):
        with pytest.raises(ValueError, match="expected \\(rows, columns\\)"):
            fit_scaler(np.zeros(shape))
